//! A reusable buffer of label pairs.

use model::Labels;

/// Label pairs as a line spells them: names may occur twice and values may be empty, which is for
/// the reader to judge. Used again for every line, it allocates nothing once it has grown.
#[derive(Clone, Debug, Default)]
pub struct LabelBuf {
    text: String,
    /// Ends of name and value in `text`; each pair begins where the one before it ended.
    pairs: Vec<Pair>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    start: usize,
    name_end: usize,
    value_end: usize,
}

impl LabelBuf {
    /// An empty buffer.
    pub fn new() -> LabelBuf {
        LabelBuf::default()
    }

    /// Removes all pairs and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.pairs.clear();
    }

    /// Adds a pair.
    pub fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(value);
        self.pairs.push(Pair {
            start,
            name_end,
            value_end: self.text.len(),
        });
    }

    /// Sorts by name; pairs of the same name stay in the order of their arrival.
    pub fn sort(&mut self) {
        let text = &self.text;
        self.pairs
            .sort_by(|a, b| text[a.start..a.name_end].cmp(&text[b.start..b.name_end]));
    }

    /// The pairs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.pairs.iter().map(|p| {
            (
                &self.text[p.start..p.name_end],
                &self.text[p.name_end..p.value_end],
            )
        })
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of a name, if it is there; the last one of several.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .filter(|(n, _)| *n == name)
            .last()
            .map(|(_, value)| value)
    }

    /// A name that occurs twice, in a sorted buffer.
    pub fn duplicate(&self) -> Option<&str> {
        let mut names = self.iter().map(|(name, _)| name);
        let mut previous = names.next()?;
        for name in names {
            if name == previous {
                return Some(name);
            }
            previous = name;
        }
        None
    }

    /// The label set: without empty values; of a name given twice the last value.
    pub fn to_labels(&self) -> Labels {
        let sorted = self.iter().zip(self.iter().skip(1)).all(|(a, b)| a.0 < b.0);
        if sorted {
            Labels::from_sorted(self.iter().filter(|(_, value)| !value.is_empty()))
        } else {
            Labels::from_pairs(self.iter())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_and_finds_duplicates() {
        let mut buf = LabelBuf::new();
        buf.push("b", "1");
        buf.push("a", "");
        buf.push("b", "2");
        assert_eq!(buf.to_labels(), Labels::from([("b", "2")]));
        buf.sort();
        assert_eq!(buf.duplicate(), Some("b"));
        assert_eq!(buf.get("b"), Some("2"));
        assert_eq!(buf.to_labels().to_string(), r#"{b="2"}"#);
        buf.clear();
        buf.push("a", "x");
        assert_eq!(buf.duplicate(), None);
        assert_eq!(buf.to_labels(), Labels::from([("a", "x")]));
    }
}
