//! Blocks compacted and read back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{Labels, Matcher};
use storage::{Columns, Querier as _, SelectHints};
use tsdb_format::Ulid;
use tsdb_format::meta::{BlockMeta, Compaction};
use tsdb_format::segment::SEGMENT_BYTES;

use super::*;
use crate::block::encode::{Sample, Value, encode_samples};
use crate::block::{Block, BlockQuerier, block_folders, remove_leftovers, write_block};
use crate::fs::{Fault, FaultFs, RealFs};

type Series = BTreeMap<Labels, Vec<(i64, f64)>>;

fn series(name: &str, samples: impl IntoIterator<Item = (i64, f64)>) -> (Labels, Vec<(i64, f64)>) {
    let labels = Labels::from_pairs([("__name__", name)]);
    (labels, samples.into_iter().collect())
}

fn write(dir: &Path, name: u128, range: (i64, i64), content: Series) -> Arc<Block> {
    let ulid = Ulid(name);
    let symbols: std::collections::BTreeSet<String> = content
        .keys()
        .flat_map(|labels| labels.iter().flat_map(|(n, v)| [n, v]))
        .map(str::to_owned)
        .collect();
    let meta = BlockMeta {
        ulid,
        min_time: range.0,
        max_time: range.1,
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        },
        ..BlockMeta::default()
    };
    let series = content.into_iter().map(|(labels, samples)| {
        let samples: Vec<_> = samples
            .into_iter()
            .map(|(t_ms, v)| Sample {
                t_ms,
                start_ms: 0,
                value: Value::Float(v),
            })
            .collect();
        Ok((labels, encode_samples(&samples).unwrap()))
    });
    write_block(&RealFs, dir, meta, symbols, series)
        .unwrap()
        .unwrap();
    open(dir, ulid)
}

fn open(dir: &Path, ulid: Ulid) -> Arc<Block> {
    Arc::new(Block::open(Arc::new(RealFs), &dir.join(ulid.to_string())).unwrap())
}

fn read(block: &Arc<Block>) -> Series {
    let querier = BlockQuerier::new(Arc::clone(block), i64::MIN, i64::MAX);
    let set = querier.select(true, &SelectHints::default(), &[]).unwrap();
    set.series
        .iter()
        .map(|series| {
            let mut columns = Columns::default();
            series.decode(i64::MIN, i64::MAX, &mut columns).unwrap();
            let samples = columns.float_ms.into_iter().zip(columns.floats).collect();
            (series.labels().clone(), samples)
        })
        .collect()
}

fn compact(dir: &Path, name: u128, blocks: &[Arc<Block>]) -> Merged {
    let metas: Vec<_> = blocks.iter().map(|block| block.meta()).collect();
    let meta = compacted_meta(Ulid(name), &metas);
    compact_blocks(&RealFs, dir, SEGMENT_BYTES, meta, blocks, &|| false).unwrap()
}

#[test]
fn neighbours_keep_their_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let a = write(
        dir.path(),
        1,
        (0, 1000),
        [
            series("a", (0..200).map(|t| (t, t as f64))),
            series("b", [(5, 1.0)]),
        ]
        .into(),
    );
    let b = write(
        dir.path(),
        2,
        (1000, 2000),
        [
            series("a", (1000..1100).map(|t| (t, t as f64))),
            series("c", [(1005, 1.0)]),
        ]
        .into(),
    );
    let Merged::Block(meta) = compact(dir.path(), 3, &[a, b]) else {
        panic!("there are samples");
    };
    assert_eq!((meta.min_time, meta.max_time), (0, 2000));
    assert_eq!(meta.compaction.level, 2);
    assert_eq!(meta.stats.num_series, 3);
    assert_eq!(meta.stats.num_chunks, 5);
    assert_eq!(meta.stats.num_samples, 302);
    let all = read(&open(dir.path(), meta.ulid));
    let times: Vec<_> = (0..200).chain(1000..1100).map(|t| (t, t as f64)).collect();
    assert_eq!(all[&series("a", []).0], times);
}

#[test]
fn overlapping_blocks_are_merged_sample_by_sample() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = [
        write(
            dir.path(),
            1,
            (0, 1000),
            [series("a", (0..300).map(|t| (t * 3, 1.0)))].into(),
        ),
        write(
            dir.path(),
            2,
            (0, 1000),
            [series("a", (0..300).map(|t| (t * 3 + t % 2, 2.0)))].into(),
        ),
    ];
    let Merged::Block(meta) = compact(dir.path(), 3, &blocks) else {
        panic!("there are samples");
    };
    assert_eq!(meta.stats.num_samples, 450);
    assert_eq!(meta.stats.num_chunks, 5);
    let all = read(&open(dir.path(), meta.ulid));
    let samples = &all[&series("a", []).0];
    assert_eq!(samples.len(), 450);
    assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0));
    // Of samples of one time the earlier block's stays.
    assert!(samples.iter().all(|(t, v)| (*v == 1.0) == (t % 3 == 0)));
}

#[test]
fn deleted_samples_are_gone_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let block = write(
        dir.path(),
        1,
        (0, 1000),
        [
            series("a", (0..300).map(|t| (t, 1.0))),
            series("b", (0..10).map(|t| (t, 1.0))),
        ]
        .into(),
    );
    block
        .delete(100, 110, &[Matcher::equal("__name__", "a")])
        .unwrap();
    block
        .delete(0, 1000, &[Matcher::equal("__name__", "b")])
        .unwrap();
    let Merged::Block(meta) = compact(dir.path(), 2, std::slice::from_ref(&block)) else {
        panic!("there are samples");
    };
    assert_eq!(meta.stats.num_samples, 289);
    assert_eq!(meta.stats.num_series, 1);
    let merged = open(dir.path(), meta.ulid);
    assert!(merged.tombstones().is_empty());
    assert_eq!(read(&merged), read(&block));
    block.delete(0, 1000, &[]).unwrap();
    assert_eq!(compact(dir.path(), 3, &[block]), Merged::Empty);
    assert!(!dir.path().join(Ulid(3).to_string()).exists());
}

#[test]
fn a_canceled_compaction_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let many = (0..3000).map(|i| series(&format!("m{i:05}"), [(1, 1.0)]));
    let block = write(dir.path(), 1, (0, 10), many.collect());
    let meta = compacted_meta(Ulid(2), &[block.meta()]);
    let result = compact_blocks(&RealFs, dir.path(), SEGMENT_BYTES, meta, &[block], &|| true);
    assert!(matches!(result, Err(crate::Error::Closed)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Crashes, a full disk and failing operations at every step: the old blocks stay as they are, and
/// the new one is there as a whole or not at all.
#[test]
fn faults_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let names = (0..40).map(|i| series(&format!("m{i:02}"), (0..200).map(|t| (t, t as f64))));
    let old = [
        write(dir.path(), 1, (0, 300), names.clone().collect()),
        write(dir.path(), 2, (100, 400), names.collect()),
    ];
    old[0].delete(50, 60, &[]).unwrap();
    let before: Vec<Series> = old.iter().map(read).collect();
    let metas: Vec<_> = old.iter().map(|block| block.meta()).collect();
    let mut wanted = None;
    for fault in [
        Fault::Crash,
        Fault::CrashInWrite(100),
        Fault::Full,
        Fault::Io,
    ] {
        for at in 0.. {
            let fs = FaultFs::new();
            fs.plan(at, fault);
            let meta = compacted_meta(Ulid(3), &metas);
            let result = compact_blocks(&fs, dir.path(), SEGMENT_BYTES, meta, &old, &|| false);
            remove_leftovers(&RealFs, dir.path()).unwrap();
            let found = block_folders(&RealFs, dir.path()).unwrap();
            assert_eq!(found[..2], [Ulid(1), Ulid(2)], "{fault:?} at {at}");
            for (ulid, before) in found.iter().zip(&before) {
                assert_eq!(read(&open(dir.path(), *ulid)), *before);
            }
            if let Some(new) = found.get(2) {
                let content = read(&open(dir.path(), *new));
                assert_eq!(*wanted.get_or_insert(content.clone()), content);
                std::fs::remove_dir_all(dir.path().join(new.to_string())).unwrap();
            } else {
                assert!(result.is_err(), "{fault:?} at {at}");
            }
            if result.is_ok() {
                assert!(at > 10, "the fault struck");
                break;
            }
        }
    }
}

/// The same for deletions: the tombstones before or those after, and a count that may lag behind.
#[test]
fn faults_while_deleting() {
    let dir = tempfile::tempdir().unwrap();
    let content: Series = [series("a", (0..200).map(|t| (t, 1.0)))].into();
    write(dir.path(), 1, (0, 300), content.clone());
    for at in 0.. {
        let fs = FaultFs::new();
        let path = dir.path().join(Ulid(1).to_string());
        let block = Block::open(Arc::new(fs.clone()), &path).unwrap();
        fs.plan(at, Fault::Crash);
        let result = block.delete(at as i64 * 3, at as i64 * 3, &[]);
        let left = read(&open(dir.path(), Ulid(1)))[&series("a", []).0].len();
        assert!(left == 200 || left == 199, "{left}");
        if result.is_ok() {
            assert_eq!(left, 199);
            break;
        }
        std::fs::remove_dir_all(&path).unwrap();
        write(dir.path(), 1, (0, 300), content.clone());
    }
}

mod model_test {
    //! Random blocks, deletions and compactions against a plain map.

    use model::{Histogram, Span};
    use proptest::prelude::*;

    use super::*;
    use crate::block::encode::Sample;

    /// Content of a block: series number to samples, each a time and whether it is a histogram.
    type Content = BTreeMap<u8, BTreeMap<i64, bool>>;

    fn content() -> impl Strategy<Value = Content> {
        let samples = proptest::collection::btree_map(0..400i64, any::<bool>(), 1..200);
        proptest::collection::btree_map(0..6u8, samples, 1..6)
    }

    fn labels(number: u8) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("n", &format!("{number}"))])
    }

    /// What a sample is like depends on its time alone: duplicates agree.
    fn value(t: i64, histogram: bool) -> Value {
        if !histogram {
            return Value::Float(t as f64 / 3.0);
        }
        let buckets = 1 + t % 4;
        Value::Histogram(Box::new(Histogram {
            schema: 1,
            count: t as u64,
            sum: t as f64,
            positive_spans: vec![Span {
                offset: (t % 3) as i32,
                length: buckets as u32,
            }],
            positive_buckets: std::iter::once(t).chain((1..buckets).map(|_| 0)).collect(),
            ..Histogram::default()
        }))
    }

    fn write_content(dir: &Path, name: u128, start_ms: i64, content: &Content) -> Arc<Block> {
        let mut symbols: std::collections::BTreeSet<String> =
            ["__name__", "m", "n"].map(str::to_owned).into();
        symbols.extend(content.keys().map(u8::to_string));
        let meta = BlockMeta {
            ulid: Ulid(name),
            min_time: start_ms,
            max_time: start_ms + 400,
            ..BlockMeta::default()
        };
        let series = content.iter().map(|(number, samples)| {
            let samples: Vec<_> = samples
                .iter()
                .map(|(t, histogram)| Sample {
                    t_ms: start_ms + t,
                    start_ms: 0,
                    value: value(start_ms + t, *histogram),
                })
                .collect();
            Ok((labels(*number), encode_samples(&samples).unwrap()))
        });
        write_block(&RealFs, dir, meta, symbols, series)
            .unwrap()
            .unwrap();
        open(dir, Ulid(name))
    }

    /// Series and times of a block, and which samples are histograms.
    fn read_content(block: &Arc<Block>) -> BTreeMap<Labels, BTreeMap<i64, bool>> {
        let querier = BlockQuerier::new(Arc::clone(block), i64::MIN, i64::MAX);
        let set = querier.select(true, &SelectHints::default(), &[]).unwrap();
        let mut all = BTreeMap::new();
        for series in &set.series {
            let mut columns = Columns::default();
            series.decode(i64::MIN, i64::MAX, &mut columns).unwrap();
            let mut samples = BTreeMap::new();
            for (t, v) in columns.float_ms.iter().zip(&columns.floats) {
                assert_eq!(*v, *t as f64 / 3.0);
                samples.insert(*t, false);
            }
            for (t, h) in columns.histogram_ms.iter().zip(&columns.histograms) {
                assert_eq!((h.count, h.sum), (*t as f64, *t as f64));
                assert_eq!(
                    h.positive_buckets.iter().sum::<f64>(),
                    (*t * (1 + *t % 4)) as f64
                );
                samples.insert(*t, true);
            }
            assert_eq!(
                samples.len(),
                columns.float_ms.len() + columns.histogram_ms.len()
            );
            if !samples.is_empty() {
                all.insert(series.labels().clone(), samples);
            }
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn blocks_compact_to_the_union_without_what_is_deleted(
            contents in proptest::collection::vec((0..3i64, content()), 1..4),
            deletions in proptest::collection::vec((0..3usize, 0..6u8, 0..1200i64, 0..300i64), 0..5),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut contents: Vec<_> = contents
                .into_iter()
                .map(|(place, content)| (place * 200, content))
                .collect();
            contents.sort_by_key(|(start, _)| *start);
            let blocks: Vec<_> = contents
                .iter()
                .zip(1..)
                .map(|((start, content), name)| write_content(dir.path(), name, *start, content))
                .collect();
            for (block, number, from, span) in deletions {
                let Some((start, content)) = contents.get_mut(block) else { continue };
                let number_matcher = Matcher::equal("n", number.to_string());
                blocks[block].delete(from, from + span, &[number_matcher]).unwrap();
                if let Some(samples) = content.get_mut(&number) {
                    samples.retain(|t, _| !(from..=from + span).contains(&(*start + t)));
                }
            }
            let mut want: BTreeMap<Labels, BTreeMap<i64, bool>> = BTreeMap::new();
            for (start, content) in contents.iter().rev() {
                for (number, samples) in content.iter().filter(|(_, s)| !s.is_empty()) {
                    // Earlier blocks come later here and win.
                    want.entry(labels(*number))
                        .or_default()
                        .extend(samples.iter().map(|(t, h)| (start + t, *h)));
                }
            }
            match compact(dir.path(), 9, &blocks) {
                Merged::Empty => prop_assert!(want.is_empty()),
                Merged::Block(meta) => {
                    let samples: usize = want.values().map(BTreeMap::len).sum();
                    prop_assert_eq!(meta.stats.num_samples, samples as u64);
                    prop_assert_eq!(meta.stats.num_series, want.len() as u64);
                    prop_assert_eq!(read_content(&open(dir.path(), meta.ulid)), want);
                }
            }
        }
    }
}
