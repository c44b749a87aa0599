//! Deleted ranges: the `tombstones` file of a block (prometheus/prometheus
//! `tsdb/docs/format/tombstones.md`, `tsdb/tombstones/tombstones.go`).

use std::collections::BTreeMap;

use crate::bytes::{Reader, crc32, put_be32, put_uvarint, put_varint};
use crate::error::{Cause, FormatError, Result};

/// The first four bytes of a file.
pub const MAGIC: u32 = 0x0130_BA30;
/// The name of the file in a block.
pub const FILE_NAME: &str = "tombstones";

const WHAT: &str = "tombstones";
const HEADER_BYTES: usize = 5;

/// A range of time, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval {
    pub min_ms: i64,
    pub max_ms: i64,
}

impl Interval {
    /// Whether `t_ms` lies in the range.
    pub const fn contains(&self, t_ms: i64) -> bool {
        self.min_ms <= t_ms && t_ms <= self.max_ms
    }
}

/// Adds a range to sorted ranges that do not touch, joining those that then touch.
pub fn add_interval(intervals: &mut Vec<Interval>, mut new: Interval) {
    if new.min_ms > new.max_ms {
        return;
    }
    let first = intervals.partition_point(|i| i.max_ms.saturating_add(1) < new.min_ms);
    let last = intervals.partition_point(|i| i.min_ms <= new.max_ms.saturating_add(1));
    if let [a, .., b] = &intervals[first..last] {
        new.min_ms = new.min_ms.min(a.min_ms);
        new.max_ms = new.max_ms.max(b.max_ms);
    } else if let [a] = &intervals[first..last] {
        new.min_ms = new.min_ms.min(a.min_ms);
        new.max_ms = new.max_ms.max(a.max_ms);
    }
    intervals.splice(first..last, [new]);
}

/// Whether sorted ranges have `t_ms`.
pub fn is_deleted(intervals: &[Interval], t_ms: i64) -> bool {
    let i = intervals.partition_point(|i| i.max_ms < t_ms);
    intervals.get(i).is_some_and(|i| i.min_ms <= t_ms)
}

/// Whether one of the sorted ranges covers all of `min_ms ..= max_ms`.
pub fn covers(intervals: &[Interval], min_ms: i64, max_ms: i64) -> bool {
    let i = intervals.partition_point(|i| i.max_ms < max_ms);
    intervals.get(i).is_some_and(|i| i.min_ms <= min_ms)
}

/// The deleted ranges of series, by reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tombstones {
    by_series: BTreeMap<u64, Vec<Interval>>,
}

impl Tombstones {
    /// No deletions.
    pub fn new() -> Tombstones {
        Tombstones::default()
    }

    /// Deletes a range of a series; ranges that touch become one.
    pub fn add(&mut self, series: u64, interval: Interval) {
        add_interval(self.by_series.entry(series).or_default(), interval);
    }

    /// The deleted ranges of a series, sorted, not touching each other.
    pub fn of(&self, series: u64) -> &[Interval] {
        self.by_series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// How many ranges there are: `numTombstones` of meta.json.
    pub fn total(&self) -> u64 {
        self.by_series.values().map(|i| i.len() as u64).sum()
    }

    /// All series with deletions, by reference.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[Interval])> {
        self.by_series.iter().map(|(k, v)| (*k, v.as_slice()))
    }

    /// Appends the entries alone, as files and snapshots hold them.
    pub fn encode_entries(&self, out: &mut Vec<u8>) {
        for (series, intervals) in &self.by_series {
            for interval in intervals {
                put_uvarint(out, *series);
                put_varint(out, interval.min_ms);
                put_varint(out, interval.max_ms);
            }
        }
    }

    /// Reads entries to the end.
    ///
    /// # Errors
    /// An entry that is not whole.
    pub fn decode_entries(reader: &mut Reader<'_>) -> Result<Tombstones> {
        let mut tombstones = Tombstones::new();
        while !reader.is_empty() {
            let series = reader.uvarint()?;
            let interval = Interval {
                min_ms: reader.varint()?,
                max_ms: reader.varint()?,
            };
            tombstones.add(series, interval);
        }
        Ok(tombstones)
    }

    /// The bytes of a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(1);
        self.encode_entries(&mut out);
        let crc = crc32(&out[HEADER_BYTES..]);
        put_be32(&mut out, crc);
        out
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// Another kind of file, a wrong checksum, or an entry that is not whole.
    pub fn decode(file: &[u8]) -> Result<Tombstones> {
        crate::segment::check_magic(WHAT, file, MAGIC)?;
        let Some(end) = file.len().checked_sub(4).filter(|end| *end >= HEADER_BYTES) else {
            let left = file.len().saturating_sub(HEADER_BYTES) as u64;
            let cause = Cause::UnexpectedEnd { needed: 4, left };
            return Err(FormatError::new(WHAT, HEADER_BYTES as u64, cause));
        };
        let entries = &file[HEADER_BYTES..end];
        Reader::at(WHAT, &file[end..], end as u64).expect_crc(crc32(entries))?;
        Tombstones::decode_entries(&mut Reader::at(WHAT, entries, HEADER_BYTES as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(min_ms: i64, max_ms: i64) -> Interval {
        Interval { min_ms, max_ms }
    }

    #[test]
    fn ranges_join_where_they_touch() {
        let check = |add: &[(i64, i64)], want: &[(i64, i64)]| {
            let mut got = Vec::new();
            add.iter()
                .for_each(|&(a, b)| add_interval(&mut got, interval(a, b)));
            let want: Vec<_> = want.iter().map(|&(a, b)| interval(a, b)).collect();
            assert_eq!(got, want, "{add:?}");
        };
        check(&[(1, 2), (3, 4)], &[(1, 4)]);
        check(&[(1, 2), (4, 5)], &[(1, 2), (4, 5)]);
        check(&[(1, 2), (6, 9), (3, 4)], &[(1, 4), (6, 9)]);
        check(&[(1, 2), (6, 9), (3, 5)], &[(1, 9)]);
        check(&[(5, 6), (1, 20)], &[(1, 20)]);
        check(&[(5, 6), (9, 10), (1, 2)], &[(1, 2), (5, 6), (9, 10)]);
        check(&[(i64::MIN, i64::MAX), (3, 4)], &[(i64::MIN, i64::MAX)]);
        check(&[(4, 3)], &[]);
    }

    #[test]
    fn lookups() {
        let ranges = [interval(1, 3), interval(7, 9)];
        let deleted: Vec<_> = (0..11).filter(|t| is_deleted(&ranges, *t)).collect();
        assert_eq!(deleted, [1, 2, 3, 7, 8, 9]);
        assert!(covers(&ranges, 7, 9) && covers(&ranges, 2, 2));
        assert!(!covers(&ranges, 3, 7) && !covers(&ranges, 9, 10));
    }

    #[test]
    fn files_round_trip() {
        let mut tombstones = Tombstones::new();
        assert_eq!(
            Tombstones::decode(&tombstones.encode()),
            Ok(Tombstones::new())
        );
        tombstones.add(300, interval(-5, 7));
        tombstones.add(300, interval(100, 200));
        tombstones.add(2, interval(i64::MIN, i64::MAX));
        let mut file = tombstones.encode();
        assert_eq!(tombstones.total(), 3);
        assert_eq!(Tombstones::decode(&file), Ok(tombstones));
        file[7] ^= 1;
        assert!(Tombstones::decode(&file).is_err());
        (0..9).for_each(|n| assert!(Tombstones::decode(&file[..n]).is_err()));
    }
}
