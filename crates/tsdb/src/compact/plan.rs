//! Which blocks to compact: a pure function of their meta.json, as upstream's levelled compactor has
//! it (prometheus/prometheus `tsdb/compact.go`).

use std::collections::BTreeSet;

use tsdb_format::Ulid;
use tsdb_format::meta::{BlockMeta, Compaction, HINT_STALE_SERIES, Parent};

/// Share of series with deletions from which on a large block is written anew.
const TOMBSTONE_SHARE: f64 = 0.05;

/// The spans of the levels: from `min_ms` on, three times as long each, up to `max_ms`
/// (prometheus/prometheus `tsdb/db.go`).
pub fn block_ranges(min_ms: i64, max_ms: i64) -> Vec<i64> {
    let steps = std::iter::successors(Some(min_ms), |range| range.checked_mul(3)).take(10);
    let ranges: Vec<i64> = steps
        .enumerate()
        .take_while(|(i, range)| *i == 0 || *range <= max_ms)
        .map(|(_, range)| range)
        .collect();
    ranges
}

/// The blocks that should become one, in order of time; empty when there is nothing to do.
///
/// Overlapping blocks come first. Else the newest block is left alone, and neighbours that fill a
/// span of `ranges`, or precede newer ones, are put together. Else a block of which much is deleted
/// is written anew. Blocks of stale series are never mixed with others.
pub fn plan(blocks: &[BlockMeta], ranges: &[i64], overlapping: bool) -> Vec<Ulid> {
    let (stale, others): (Vec<&BlockMeta>, Vec<&BlockMeta>) = blocks
        .iter()
        .partition(|meta| meta.compaction.from_stale_series());
    let planned = plan_class(others, ranges, overlapping);
    if planned.is_empty() {
        plan_class(stale, ranges, overlapping)
    } else {
        planned
    }
}

fn plan_class(mut blocks: Vec<&BlockMeta>, ranges: &[i64], overlapping: bool) -> Vec<Ulid> {
    blocks.sort_by_key(|meta| meta.min_time);
    if overlapping {
        let found = select_overlapping(&blocks);
        if !found.is_empty() {
            return found;
        }
    }
    // The newest was just written: users get the span of a block to copy it elsewhere.
    blocks.pop();
    let found = select_range(&blocks, ranges);
    if !found.is_empty() {
        return found;
    }
    let large = ranges.get(ranges.len() / 2).copied().unwrap_or(i64::MAX);
    for meta in blocks.iter().rev() {
        let (stones, series) = (meta.stats.num_tombstones, meta.stats.num_series);
        if meta.max_time - meta.min_time < large {
            if stones > 0 && stones >= series {
                return vec![meta.ulid];
            }
            break;
        }
        if stones as f64 / (series + 1) as f64 > TOMBSTONE_SHARE {
            return vec![meta.ulid];
        }
    }
    Vec::new()
}

/// The first run of blocks that overlap each other.
fn select_overlapping(blocks: &[&BlockMeta]) -> Vec<Ulid> {
    let mut found = Vec::new();
    let Some(first) = blocks.first() else {
        return found;
    };
    let mut end = first.max_time;
    for pair in blocks.windows(2) {
        if pair[1].min_time < end {
            if found.is_empty() {
                found.push(pair[0].ulid);
            }
            found.push(pair[1].ulid);
        } else if !found.is_empty() {
            break;
        }
        end = end.max(pair[1].max_time);
    }
    found
}

/// The first blocks that belong into one span of a level.
fn select_range(blocks: &[&BlockMeta], ranges: &[i64]) -> Vec<Ulid> {
    let Some(newest) = blocks.last() else {
        return Vec::new();
    };
    for &range in ranges.iter().skip(1) {
        for group in split_by_range(blocks, range) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else {
                continue;
            };
            let failed = group.iter().any(|meta| meta.compaction.failed);
            let filled = last.max_time - first.min_time == range;
            // A span that is not filled may still get a block, unless newer ones are there.
            if !failed && group.len() > 1 && (filled || last.max_time <= newest.min_time) {
                return group.iter().map(|meta| meta.ulid).collect();
            }
        }
    }
    Vec::new()
}

/// The blocks grouped by spans of `range`, aligned to 0; blocks that lie in no one span are left
/// out.
fn split_by_range<'a>(blocks: &[&'a BlockMeta], range: i64) -> Vec<Vec<&'a BlockMeta>> {
    let mut groups: Vec<(i64, Vec<&BlockMeta>)> = Vec::new();
    for &meta in blocks {
        let start = meta.min_time.div_euclid(range) * range;
        if meta.max_time > start + range {
            continue;
        }
        match groups.last_mut() {
            Some((last, group)) if *last == start => group.push(meta),
            _ => groups.push((start, vec![meta])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The meta.json of the block that `blocks` become; statistics are for the writer to fill.
pub fn compacted_meta(ulid: Ulid, blocks: &[BlockMeta]) -> BlockMeta {
    let sources: BTreeSet<Ulid> = blocks
        .iter()
        .flat_map(|meta| meta.compaction.sources.iter().copied())
        .collect();
    let stale = blocks.iter().any(|m| m.compaction.from_stale_series());
    BlockMeta {
        ulid,
        min_time: blocks.iter().map(|m| m.min_time).min().unwrap_or(0),
        max_time: blocks.iter().map(|m| m.max_time).max().unwrap_or(0),
        compaction: Compaction {
            level: 1 + blocks.iter().map(|m| m.compaction.level).max().unwrap_or(0),
            sources: sources.into_iter().collect(),
            parents: blocks
                .iter()
                .map(|meta| Parent {
                    ulid: meta.ulid,
                    min_time: meta.min_time,
                    max_time: meta.max_time,
                })
                .collect(),
            hints: match stale {
                true => vec![HINT_STALE_SERIES.to_owned()],
                false => Vec::new(),
            },
            ..Compaction::default()
        },
        version: 1,
        ..BlockMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb_format::meta::BlockStats;

    fn block(name: u128, min_time: i64, max_time: i64) -> BlockMeta {
        BlockMeta {
            ulid: Ulid(name),
            min_time,
            max_time,
            ..BlockMeta::default()
        }
    }

    fn blocks(ranges: &[(i64, i64)]) -> Vec<BlockMeta> {
        let named = ranges.iter().zip(1..);
        named.map(|((a, b), name)| block(name, *a, *b)).collect()
    }

    fn check(blocks: &[BlockMeta], want: &[u128]) {
        let got = plan(blocks, &[20, 60, 180, 540, 1620], true);
        assert_eq!(got, want.iter().map(|n| Ulid(*n)).collect::<Vec<_>>());
    }

    /// Upstream's `TestLeveledCompactor_plan`, by its own cases.
    #[test]
    fn levels() {
        check(&blocks(&[]), &[]);
        check(&blocks(&[(0, 20)]), &[]);
        check(&blocks(&[(0, 20), (20, 40)]), &[]);
        check(&blocks(&[(0, 20), (20, 40), (40, 60)]), &[]);
        check(
            &blocks(&[(0, 20), (20, 40), (40, 60), (60, 80)]),
            &[1, 2, 3],
        );
        check(&blocks(&[(0, 20), (20, 40), (60, 80), (80, 100)]), &[1, 2]);
        check(
            &blocks(&[(0, 20), (20, 40), (40, 60), (60, 120), (120, 180)]),
            &[1, 2, 3],
        );
        check(
            &blocks(&[(0, 60), (60, 120), (120, 180), (180, 200)]),
            &[1, 2, 3],
        );
        // 0 to 360 is not a span of any level.
        check(
            &blocks(&[(0, 360), (360, 420), (420, 480), (480, 540)]),
            &[],
        );
        // Gaps.
        check(
            &blocks(&[(60, 80), (100, 120), (180, 200), (200, 220)]),
            &[1, 2],
        );
    }

    #[test]
    fn failed_blocks_are_left_alone() {
        let mut all = blocks(&[(0, 20), (20, 40), (40, 60), (60, 80)]);
        all[1].compaction.failed = true;
        check(&all, &[]);
    }

    #[test]
    fn overlaps_come_first() {
        check(&blocks(&[(0, 20), (19, 40), (40, 60)]), &[1, 2]);
        check(&blocks(&[(0, 20), (20, 40), (30, 50), (60, 80)]), &[2, 3]);
        check(
            &blocks(&[(0, 20), (10, 40), (30, 50), (60, 80)]),
            &[1, 2, 3],
        );
        check(
            &blocks(&[(0, 100), (10, 20), (90, 95), (100, 120)]),
            &[1, 2, 3],
        );
        check(&blocks(&[(0, 10), (9, 20), (30, 40), (39, 50)]), &[1, 2]);
        assert!(plan(&blocks(&[(0, 20), (19, 40), (40, 60)]), &[20, 60], false).is_empty());
    }

    #[test]
    fn tombstones() {
        let with = |ranges: &[(i64, i64)], i: usize, series, stones| {
            let mut all = blocks(ranges);
            all[i].stats = BlockStats {
                num_series: series,
                num_tombstones: stones,
                ..BlockStats::default()
            };
            all
        };
        check(&with(&[(0, 540), (540, 560)], 0, 10, 3), &[1]);
        check(&with(&[(0, 60), (60, 80)], 0, 10, 3), &[]);
        check(&with(&[(0, 60), (60, 80)], 0, 10, 10), &[1]);
        check(&with(&[(0, 540), (540, 560)], 0, 100, 5), &[]);
        // The newest is never touched.
        check(&with(&[(0, 540), (540, 1080)], 1, 10, 10), &[]);
    }

    #[test]
    fn stale_series_stay_apart() {
        let mut all = blocks(&[(0, 20), (5, 20), (20, 40)]);
        all[1].compaction.hints.push(HINT_STALE_SERIES.to_owned());
        check(&all, &[]);
    }

    #[test]
    fn negative_times() {
        check(
            &blocks(&[(-60, -40), (-40, -20), (-20, 0), (0, 20)]),
            &[1, 2, 3],
        );
    }

    #[test]
    fn ranges_of_levels() {
        let hour = 3_600_000;
        assert_eq!(
            block_ranges(2 * hour, 36 * hour),
            [2, 6, 18].map(|h| h * hour)
        );
        assert_eq!(block_ranges(2 * hour, 2 * hour), [2 * hour]);
    }

    #[test]
    fn meta_of_the_result() {
        let mut all = blocks(&[(0, 20), (10, 40)]);
        for meta in &mut all {
            meta.compaction.level = 2;
            meta.compaction.sources = vec![Ulid(9), meta.ulid];
        }
        let meta = compacted_meta(Ulid(5), &all);
        assert_eq!((meta.min_time, meta.max_time), (0, 40));
        assert_eq!(meta.compaction.level, 3);
        assert_eq!(meta.compaction.sources, [1, 2, 9].map(Ulid));
        assert_eq!(meta.compaction.parents.len(), 2);
    }
}
