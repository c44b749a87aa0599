//! What a start can leave unread of the log, for all that the log itself knows: its pages that have
//! samples only.

use std::collections::BTreeMap;
use std::ops::Range;

use tsdb_format::wal::page::PAGE_BYTES;
use tsdb_format::wal::record::RecordType;

const PAGE: u64 = PAGE_BYTES as u64;

/// The pages of a segment that hold, in whole or in part, records of something else than samples:
/// series, metadata, deletions, exemplars, and what a later version may write. One too many does not
/// matter, one too few loses what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageMarks {
    words: Vec<u64>,
}

impl PageMarks {
    /// Marks that were stored as [`PageMarks::words`].
    pub fn from_words(words: Vec<u64>) -> PageMarks {
        PageMarks { words }
    }

    /// A bit a page, the lowest first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Notes a record with bytes from `start` to `end` (exclusive), if it is one to be marked: `first`
    /// is its first byte.
    #[inline]
    pub fn note(&mut self, first: Option<u8>, start: u64, end: u64) {
        if !first.is_some_and(RecordType::holds_samples) {
            self.mark(start, end);
        }
    }

    fn mark(&mut self, start: u64, end: u64) {
        for page in start / PAGE..end.div_ceil(PAGE) {
            let (word, bit) = ((page / 64) as usize, page % 64);
            if self.words.len() <= word {
                self.words.resize(word + 1, 0);
            }
            self.words[word] |= 1 << bit;
        }
    }

    fn is_marked(&self, page: u64) -> bool {
        let word = self.words.get((page / 64) as usize);
        word.is_some_and(|word| word >> (page % 64) & 1 == 1)
    }

    /// The marked bytes: whole pages, in order, neighbours as one.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let pages = self.words.len() as u64 * 64;
        let mut page = 0;
        std::iter::from_fn(move || {
            while page < pages && !self.is_marked(page) {
                page += 1;
            }
            let start = page;
            while page < pages && self.is_marked(page) {
                page += 1;
            }
            (start < page).then_some(start * PAGE..page * PAGE)
        })
    }
}

/// What is known of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownSegment {
    /// The marks cover so many bytes.
    pub bytes: u64,
    pub marks: PageMarks,
}

/// The segments by their numbers.
pub type KnownSegments = BTreeMap<u64, KnownSegment>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_mark_their_pages() {
        let mut marks = PageMarks::default();
        let samples = Some(RecordType::Samples as u8);
        let series = Some(RecordType::Series as u8);
        marks.note(samples, 0, 40 * PAGE);
        assert_eq!(marks.runs().count(), 0);
        marks.note(series, 10, 20);
        marks.note(series, PAGE - 1, PAGE);
        marks.note(Some(200), 63 * PAGE + 5, 65 * PAGE + 1);
        marks.note(None, 70 * PAGE, 70 * PAGE + 1);
        let runs = |marks: &PageMarks| marks.runs().collect::<Vec<_>>();
        let want = [0..PAGE, 63 * PAGE..66 * PAGE, 70 * PAGE..71 * PAGE];
        assert_eq!(runs(&marks), want);
        let again = PageMarks::from_words(marks.words().to_vec());
        assert_eq!(runs(&again), want);
    }
}
