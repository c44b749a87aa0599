//! Label names and values by number, each text once: most of a million series' labels are the same
//! few thousand texts.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// The texts in use.
#[derive(Default)]
pub(crate) struct Strings {
    texts: Vec<Text>,
    by_text: HashTable<u32>,
    free: Vec<u32>,
    /// Numbers without a text that requests in the making may still know by the old one.
    waiting: Vec<u32>,
}

struct Text {
    text: Box<str>,
    uses: u32,
}

fn hash(text: &str) -> u64 {
    FixedState::default().hash_one(text)
}

impl Strings {
    /// The number of a text, which is used once more from now on.
    pub fn intern(&mut self, text: &str) -> u32 {
        let hash_of = hash(text);
        let found = self
            .by_text
            .find(hash_of, |id| &*self.texts[*id as usize].text == text);
        if let Some(id) = found.copied() {
            self.texts[id as usize].uses += 1;
            return id;
        }
        let new = Text {
            text: text.into(),
            uses: 1,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.texts[id as usize] = new;
                id
            }
            None => {
                self.texts.push(new);
                (self.texts.len() - 1) as u32
            }
        };
        let texts = &self.texts;
        (self.by_text).insert_unique(hash_of, id, |id| hash(&texts[*id as usize].text));
        id
    }

    /// The text of a number.
    #[inline]
    pub fn get(&self, id: u32) -> &str {
        &self.texts[id as usize].text
    }

    /// One use less.
    pub fn release(&mut self, id: u32) {
        let text = &mut self.texts[id as usize];
        text.uses -= 1;
        if text.uses > 0 {
            return;
        }
        let gone = std::mem::take(&mut text.text);
        if let Ok(entry) = self.by_text.find_entry(hash(&gone), |other| *other == id) {
            entry.remove();
        }
        self.waiting.push(id);
    }

    /// Lets numbers without a text be used again: no request in the making knows them.
    pub fn recycle(&mut self) {
        self.free.append(&mut self.waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_live_as_long_as_they_are_used() {
        let mut strings = Strings::default();
        let (a, b) = (strings.intern("a"), strings.intern("b"));
        assert_eq!(strings.intern("a"), a);
        strings.release(a);
        assert_eq!((strings.get(a), strings.get(b)), ("a", "b"));
        strings.release(a);
        let c = strings.intern("c");
        assert!(c != a && c != b);
        strings.recycle();
        assert_eq!(strings.intern("d"), a);
        assert_eq!(strings.get(a), "d");
        assert_eq!(strings.intern("b"), b);
    }
}
