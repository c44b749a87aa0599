//! Posting lists: sorted series references, four big-endian bytes each; and set operations on sorted
//! lists.

use super::{WHAT, section};
use crate::bytes::Reader;
use crate::error::Result;

/// A posting list as it lies in the index.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postings<'a> {
    bytes: &'a [[u8; 4]],
}

impl<'a> Postings<'a> {
    /// The list of the section at `offset`.
    pub(super) fn open(data: &'a [u8], offset: u64) -> Result<Postings<'a>> {
        let content = section(data, offset)?;
        let mut reader = Reader::at(WHAT, content, offset + 4);
        let count = reader.be32()? as usize;
        let (bytes, rest) = reader.rest().as_chunks::<4>();
        if bytes.len() != count || !rest.is_empty() {
            return Err(reader.invalid(format!(
                "unexpected postings length, should be {} bytes for {count} postings, got {} bytes",
                count.saturating_mul(4),
                reader.remaining()
            )));
        }
        Ok(Postings { bytes })
    }
}

/// A sorted list without duplicates.
pub trait SortedList {
    /// How many entries there are.
    fn len(&self) -> usize;
    /// Entry `i`, which must be below [`SortedList::len`].
    fn get(&self, i: usize) -> u32;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first index from `from` on whose entry is not below `target`: doubles its steps, then
    /// halves them, so that a far target costs the logarithm of its distance.
    fn seek(&self, from: usize, target: u32) -> usize {
        let len = self.len();
        if from >= len || self.get(from) >= target {
            return from;
        }
        // Invariant: entry `low` is below the target; entry `high` is not, or is the end.
        let mut low = from;
        let mut step = 1;
        while low + step < len && self.get(low + step) < target {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(len);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.get(middle) < target {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// All entries.
    fn to_vec(&self) -> Vec<u32> {
        (0..self.len()).map(|i| self.get(i)).collect()
    }
}

impl SortedList for Postings<'_> {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn get(&self, i: usize) -> u32 {
        u32::from_be_bytes(self.bytes[i])
    }
}

impl SortedList for [u32] {
    fn len(&self) -> usize {
        <[u32]>::len(self)
    }

    #[inline]
    fn get(&self, i: usize) -> u32 {
        self[i]
    }
}

/// Keeps the entries of `list` that `other` has.
pub fn retain_common<L: SortedList + ?Sized>(list: &mut Vec<u32>, other: &L) {
    // Walk the shorter side, gallop in the longer.
    if other.len() < list.len() {
        let mut at = 0;
        let mut kept = Vec::with_capacity(other.len());
        for i in 0..other.len() {
            let entry = other.get(i);
            at = list.as_slice().seek(at, entry);
            match list.get(at) {
                Some(found) if *found == entry => kept.push(entry),
                Some(_) => {}
                None => break,
            }
        }
        *list = kept;
        return;
    }
    let mut at = 0;
    list.retain(|&entry| {
        at = other.seek(at, entry);
        at < other.len() && other.get(at) == entry
    });
}

/// Drops the entries of `list` that `other` has.
pub fn drop_common<L: SortedList + ?Sized>(list: &mut Vec<u32>, other: &L) {
    let mut at = 0;
    list.retain(|&entry| {
        at = other.seek(at, entry);
        at >= other.len() || other.get(at) != entry
    });
}

/// The entries of any of the lists, sorted, each once.
pub fn union<L: SortedList>(lists: &[L]) -> Vec<u32> {
    match lists {
        [] => Vec::new(),
        [one] => one.to_vec(),
        lists => {
            let mut all: Vec<u32> = Vec::with_capacity(lists.iter().map(SortedList::len).sum());
            for list in lists {
                all.extend((0..list.len()).map(|i| list.get(i)));
            }
            // The sort finds the sorted runs and merges them.
            all.sort();
            all.dedup();
            all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_operations_agree_with_sets() {
        use std::collections::BTreeSet;
        let lists: Vec<Vec<u32>> = vec![
            vec![],
            vec![5],
            (0..100).collect(),
            (0..100).step_by(7).collect(),
            vec![1, 2, 3, 50, 51, 98, 99, 1000],
            (500..600).collect(),
        ];
        for a in &lists {
            for b in &lists {
                let (x, y): (BTreeSet<_>, BTreeSet<_>) =
                    (a.iter().copied().collect(), b.iter().copied().collect());
                let mut common = a.clone();
                retain_common(&mut common, b.as_slice());
                assert!(common.iter().eq(x.intersection(&y)));
                let mut rest = a.clone();
                drop_common(&mut rest, b.as_slice());
                assert!(rest.iter().eq(x.difference(&y)));
                let bytes = |list: &[u32]| -> Vec<[u8; 4]> {
                    list.iter().map(|v| v.to_be_bytes()).collect()
                };
                let (a, b) = (bytes(a), bytes(b));
                let all = union(&[Postings { bytes: &a }, Postings { bytes: &b }]);
                assert!(all.iter().eq(x.union(&y)));
            }
        }
    }
}
