//! A page of metrics, taken apart.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// Samples by name, and what is said of each family.
#[derive(Debug, Default)]
pub struct Page {
    pub samples: Vec<(String, Labels, f64)>,
    /// HELP and TYPE lines by family.
    pub families: BTreeMap<String, BTreeSet<String>>,
}

impl Page {
    /// Takes a page in the text format apart.
    ///
    /// # Panics
    /// Where it is none.
    pub fn parse(text: &str) -> Page {
        let mut page = Page::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let family = comment
                    .split(' ')
                    .nth(1)
                    .expect("HELP and TYPE name a family");
                let lines = page.families.entry(family.to_owned()).or_default();
                lines.insert(line.to_owned());
                continue;
            }
            let end = line.find(['{', ' ']).expect("a sample has a value");
            let (name, mut rest) = line.split_at(end);
            let mut labels = Labels::new();
            if let Some(inside) = rest.strip_prefix('{') {
                rest = labels_of(inside, &mut labels);
            }
            let value = rest.split_whitespace().next().expect("a value");
            let value = value
                .parse()
                .unwrap_or_else(|_| panic!("no number: {line}"));
            page.samples.push((name.to_owned(), labels, value));
        }
        page
    }

    /// The values of a family's series that have these labels.
    pub fn values(&self, family: &str, wanted: &[(&str, &str)]) -> Vec<f64> {
        let fits = |labels: &Labels| {
            wanted
                .iter()
                .all(|(name, value)| labels.get(*name).is_some_and(|v| v == value))
        };
        self.samples
            .iter()
            .filter(|(name, labels, _)| name == family && fits(labels))
            .map(|(_, _, value)| *value)
            .collect()
    }

    /// The sum over the series of a container; `None` where there is none.
    pub fn of(&self, family: &str, container: &str) -> Option<f64> {
        let values = self.values(family, &[("name", container)]);
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The labels of a container.
    pub fn labels(&self, container: &str) -> Option<&Labels> {
        let named = |labels: &Labels| labels.get("name").is_some_and(|name| name == container);
        let mut samples = self.samples.iter();
        samples.find_map(|(family, labels, _)| {
            (family == "container_last_seen" && named(labels)).then_some(labels)
        })
    }
}

/// Reads `a="1",b="2"} 3` up to the brace.
fn labels_of<'a>(mut text: &'a str, labels: &mut Labels) -> &'a str {
    loop {
        text = text.trim_start_matches(',');
        if let Some(rest) = text.strip_prefix('}') {
            return rest;
        }
        let (name, quoted) = text.split_once("=\"").expect("name=\"value\"");
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next().expect("a value ends") {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next().expect("an escape has two letters").1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.to_owned(), value);
        text = &quoted[end..];
    }
}
