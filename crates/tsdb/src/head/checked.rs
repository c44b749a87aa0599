//! Which chunks of a file have had their checksum checked: once is enough, as long as the file is mapped.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::prefetch::prefetch;

/// No chunk takes fewer bytes, so that no two begin in the same slot.
const SLOT: usize = 32;
/// Slots that are allocated together, on first use.
const PAGE: usize = 64 * 64;

/// A bit a chunk.
pub struct Checked {
    pages: Box<[OnceLock<Box<[AtomicU64; PAGE / 64]>>]>,
}

impl Checked {
    /// For a file of `len` bytes.
    pub fn new(len: usize) -> Checked {
        let pages = len.div_ceil(SLOT * PAGE);
        Checked {
            pages: (0..pages).map(|_| OnceLock::new()).collect(),
        }
    }

    fn place(offset: usize) -> (usize, usize, u64) {
        let slot = offset / SLOT;
        (slot / PAGE, slot % PAGE / 64, 1 << (slot % 64))
    }

    /// Whether the chunk at `offset` was found good.
    #[inline]
    pub fn has(&self, offset: usize) -> bool {
        let (page, word, bit) = Checked::place(offset);
        let page = self.pages.get(page).and_then(OnceLock::get);
        page.is_some_and(|page| page[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// Has what [`Checked::has`] looks at fetched from memory.
    pub fn prefetch(&self, offset: usize) {
        let (page, word, _) = Checked::place(offset);
        if let Some(page) = self.pages.get(page).and_then(OnceLock::get) {
            prefetch(std::slice::from_ref(&page[word]));
        }
    }

    /// Notes that the chunk at `offset` is good.
    pub fn note(&self, offset: usize) {
        let (page, word, bit) = Checked::place(offset);
        if let Some(page) = self.pages.get(page) {
            let page = page.get_or_init(|| Box::new([const { AtomicU64::new(0) }; PAGE / 64]));
            page[word].fetch_or(bit, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_a_bit_each() {
        let checked = Checked::new(1 << 20);
        let offsets = [
            8,
            40,
            72,
            SLOT * 64,
            SLOT * PAGE - 1,
            SLOT * PAGE,
            (1 << 20) - 1,
        ];
        for (i, offset) in offsets.iter().enumerate() {
            assert!(!checked.has(*offset));
            checked.note(*offset);
            let found: Vec<bool> = offsets.iter().map(|offset| checked.has(*offset)).collect();
            let expected: Vec<bool> = (0..offsets.len()).map(|j| j <= i).collect();
            assert_eq!(found, expected);
        }
        // Beyond the file nothing is kept.
        checked.note(1 << 20);
        assert!(!checked.has(1 << 20));
    }
}
