//! Which blocks to drop: a pure function of their meta.json, sizes and the limits
//! (prometheus/prometheus `tsdb/db.go`).

use std::collections::BTreeSet;

use tsdb_format::Ulid;
use tsdb_format::meta::BlockMeta;

use crate::db::Retention;

/// A block as retention sees it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub meta: &'a BlockMeta,
    pub size_bytes: u64,
}

/// Why a block goes; upstream counts the three limits apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Older than the retention time.
    pub by_time: BTreeSet<Ulid>,
    /// Beyond the retention size, or the share of the disk.
    pub by_size: BTreeSet<Ulid>,
    /// Compacted into another block, or marked as empty.
    pub replaced: BTreeSet<Ulid>,
}

impl Dropped {
    /// All of them.
    pub fn all(&self) -> BTreeSet<Ulid> {
        self.by_time
            .iter()
            .chain(&self.by_size)
            .chain(&self.replaced)
            .copied()
            .collect()
    }
}

/// The largest size in bytes that the limits allow, if they do limit it. A share of the disk comes
/// before a size, where both are set; `disk_bytes` is the size of the file system.
pub fn max_bytes(limits: &Retention, disk_bytes: u64) -> Option<u64> {
    if limits.max_percentage > 0.0 && disk_bytes > 0 {
        return Some((disk_bytes as f64 * limits.max_percentage.min(100.0) / 100.0) as u64);
    }
    (limits.max_bytes > 0).then_some(limits.max_bytes)
}

/// The blocks to drop. `other_bytes` is what the rest of the data folder takes (write-ahead log and
/// head chunks), which counts towards the size.
pub fn deletable(
    blocks: &[Candidate<'_>],
    limits: &Retention,
    disk_bytes: u64,
    other_bytes: u64,
) -> Dropped {
    let mut dropped = Dropped::default();
    let known: BTreeSet<Ulid> = blocks.iter().map(|block| block.meta.ulid).collect();
    for block in blocks {
        let compaction = &block.meta.compaction;
        if compaction.deletable {
            dropped.replaced.insert(block.meta.ulid);
        }
        let parents = compaction.parents.iter().map(|parent| parent.ulid);
        dropped
            .replaced
            .extend(parents.filter(|parent| known.contains(parent)));
    }
    let mut newest_first: Vec<&Candidate<'_>> = blocks.iter().collect();
    newest_first.sort_by_key(|block| std::cmp::Reverse(block.meta.max_time));
    let Some(newest) = newest_first.first() else {
        return dropped;
    };
    if limits.duration_ms > 0 {
        let oldest = newest.meta.max_time.saturating_sub(limits.duration_ms);
        let old = newest_first[1..]
            .iter()
            .filter(|block| block.meta.max_time <= oldest);
        dropped.by_time.extend(old.map(|block| block.meta.ulid));
    }
    if let Some(most) = max_bytes(limits, disk_bytes) {
        let mut total = other_bytes;
        for block in newest_first {
            total = total.saturating_add(block.size_bytes);
            if total > most {
                dropped.by_size.insert(block.meta.ulid);
            }
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_format::meta::Parent;

    fn blocks() -> Vec<BlockMeta> {
        (1..=5)
            .map(|i| BlockMeta {
                ulid: Ulid(i),
                min_time: i as i64 * 100,
                max_time: i as i64 * 100 + 100,
                ..BlockMeta::default()
            })
            .collect()
    }

    fn check(blocks: &[BlockMeta], limits: Retention, want: [&[u128]; 3]) {
        let candidates: Vec<_> = blocks
            .iter()
            .map(|meta| Candidate {
                meta,
                size_bytes: 10,
            })
            .collect();
        let got = deletable(&candidates, &limits, 1000, 5);
        let set = |names: &[u128]| names.iter().map(|n| Ulid(*n)).collect::<BTreeSet<_>>();
        let want = Dropped {
            by_time: set(want[0]),
            by_size: set(want[1]),
            replaced: set(want[2]),
        };
        assert_eq!(got, want);
        assert!(got.all().len() <= blocks.len());
    }

    fn limits(duration_ms: i64, max_bytes: u64, max_percentage: f64) -> Retention {
        Retention {
            duration_ms,
            max_bytes,
            max_percentage,
        }
    }

    #[test]
    fn time_size_and_share() {
        check(&blocks(), limits(0, 0, 0.0), [&[], &[], &[]]);
        check(&blocks(), limits(300, 0, 0.0), [&[1, 2], &[], &[]]);
        check(&blocks(), limits(301, 0, 0.0), [&[1], &[], &[]]);
        check(&blocks(), limits(1, 0, 0.0), [&[1, 2, 3, 4], &[], &[]]);
        check(&blocks(), limits(0, 35, 0.0), [&[], &[1, 2], &[]]);
        check(&blocks(), limits(0, 34, 0.0), [&[], &[1, 2, 3], &[]]);
        // The share of 1000 bytes comes before the size.
        check(&blocks(), limits(0, 35, 2.5), [&[], &[1, 2, 3], &[]]);
        check(&[], limits(1, 1, 1.0), [&[], &[], &[]]);
    }

    #[test]
    fn replaced_blocks() {
        let mut all = blocks();
        all[4].compaction.parents = [1, 99]
            .map(|name| Parent {
                ulid: Ulid(name),
                ..Parent::default()
            })
            .to_vec();
        all[2].compaction.deletable = true;
        check(&all, limits(0, 0, 0.0), [&[], &[], &[1, 3]]);
    }
}
