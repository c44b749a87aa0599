//! Blocks written and read back.

use std::sync::Arc;

use model::{MatchKind, Matcher};
use storage::{Columns, LabelHints, Querier as _, SelectHints};
use tsdb_format::meta::{BlockMeta, Compaction};

use super::encode::{Sample, Value, encode_samples};
use super::*;
use crate::fs::RealFs;

/// A block of ten hosts with three metrics each, 300 samples 15 s apart.
fn sample_block(dir: &Path) -> Arc<Block> {
    let ulid = Ulid::new(1_700_000_000_000, 7);
    let mut series = Vec::new();
    for metric in ["cpu", "disk", "memory"] {
        for host in 0..10 {
            let labels = model::Labels::from_pairs([
                ("__name__", metric),
                ("host", &format!("h{host}")),
                ("odd", if host % 2 == 1 { "yes" } else { "" }),
            ]);
            let samples: Vec<_> = (0..300)
                .map(|i| Sample {
                    t_ms: i * 15_000,
                    start_ms: 0,
                    value: Value::Float((i * (host + 1)) as f64),
                })
                .collect();
            series.push((labels, encode_samples(&samples).unwrap()));
        }
    }
    let symbols: std::collections::BTreeSet<String> = series
        .iter()
        .flat_map(|(labels, _)| labels.iter().flat_map(|(n, v)| [n, v]))
        .map(str::to_owned)
        .collect();
    let meta = BlockMeta {
        ulid,
        min_time: 0,
        max_time: 300 * 15_000,
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        },
        ..BlockMeta::default()
    };
    let meta = write_block(&RealFs, dir, meta, symbols, series.into_iter().map(Ok))
        .unwrap()
        .unwrap();
    assert_eq!(meta.stats.num_series, 30);
    assert_eq!(meta.stats.num_samples, 9000);
    assert_eq!(meta.stats.num_chunks, 90);
    Arc::new(Block::open(Arc::new(RealFs), &dir.join(ulid.to_string())).unwrap())
}

fn matcher(kind: MatchKind, name: &str, value: &str) -> Matcher {
    Matcher::new(kind, name, value).unwrap()
}

#[test]
fn matchers_agree_with_looking_at_every_series() {
    let dir = tempfile::tempdir().unwrap();
    let block = sample_block(dir.path());
    let querier = BlockQuerier::new(Arc::clone(&block), i64::MIN, i64::MAX);
    let all = querier.select(true, &SelectHints::default(), &[]).unwrap();
    assert_eq!(all.series.len(), 30);
    let mut conditions = Vec::new();
    for name in ["__name__", "host", "odd", "missing"] {
        for value in ["", "cpu", "h3", "yes", "nothing"] {
            conditions.push(matcher(MatchKind::Equal, name, value));
            conditions.push(matcher(MatchKind::NotEqual, name, value));
        }
        for pattern in [
            "", ".*", ".+", "cpu|disk", "h[1-3]", "h.*", "(y|)", "yes|", "m.*y",
        ] {
            conditions.push(matcher(MatchKind::Regexp, name, pattern));
            conditions.push(matcher(MatchKind::NotRegexp, name, pattern));
        }
    }
    for a in &conditions {
        for b in &conditions {
            let matchers = [a.clone(), b.clone()];
            let got = querier
                .select(true, &SelectHints::default(), &matchers)
                .unwrap();
            let got: Vec<_> = got.series.iter().map(|s| s.labels().clone()).collect();
            let want: Vec<_> = all
                .series
                .iter()
                .map(|s| s.labels().clone())
                .filter(|labels| matchers.iter().all(|m| m.matches_labels(labels)))
                .collect();
            assert_eq!(got, want, "{a} {b}");
            let hosts = querier
                .label_values("host", &LabelHints::default(), &matchers)
                .unwrap();
            let want: std::collections::BTreeSet<String> =
                want.iter().map(|l| l.get("host").to_owned()).collect();
            assert!(hosts.0.iter().eq(want.iter()), "{a} {b}");
        }
    }
}

#[test]
fn label_names_and_limits() {
    let dir = tempfile::tempdir().unwrap();
    let querier = BlockQuerier::new(sample_block(dir.path()), i64::MIN, i64::MAX);
    let names = |matchers: &[Matcher], limit| {
        let hints = LabelHints { limit };
        querier.label_names(&hints, matchers).unwrap().0
    };
    assert_eq!(names(&[], 0), ["__name__", "host", "odd"]);
    assert_eq!(names(&[], 2), ["__name__", "host"]);
    let even = [Matcher::equal("host", "h2")];
    assert_eq!(names(&even, 0), ["__name__", "host"]);
    let values = querier
        .label_values("host", &LabelHints { limit: 2 }, &[])
        .unwrap();
    assert_eq!(values.0, ["h0", "h1"]);
}

#[test]
fn ranges_and_deletions() {
    let dir = tempfile::tempdir().unwrap();
    let block = sample_block(dir.path());
    let one = [
        Matcher::equal("__name__", "cpu"),
        Matcher::equal("host", "h1"),
    ];
    let decode = |block: &Arc<Block>, min, max| {
        let querier = BlockQuerier::new(Arc::clone(block), min, max);
        let set = querier.select(true, &SelectHints::default(), &one).unwrap();
        let mut columns = Columns::default();
        for series in &set.series {
            series.decode(i64::MIN, i64::MAX, &mut columns).unwrap();
        }
        columns
    };
    let columns = decode(&block, 150_000, 180_000);
    assert_eq!(columns.float_ms, [150_000, 165_000, 180_000]);
    assert_eq!(columns.floats, [20.0, 22.0, 24.0]);
    block.delete(0, 160_000, &one).unwrap();
    block.delete(180_000, 180_000, &one).unwrap();
    assert_eq!(decode(&block, 150_000, 180_000).float_ms, [165_000]);
    assert_eq!(block.meta().stats.num_tombstones, 2);
    block.delete(i64::MIN, i64::MAX, &one).unwrap();
    assert!(decode(&block, i64::MIN, i64::MAX).is_empty());
    // All of it is on the disk.
    let again = Arc::new(Block::open(Arc::new(RealFs), block.dir()).unwrap());
    assert!(decode(&again, i64::MIN, i64::MAX).is_empty());
    assert_eq!(again.meta(), block.meta());
}

#[test]
fn damage_is_named_and_nothing_panics() {
    let dir = tempfile::tempdir().unwrap();
    let block = sample_block(dir.path());
    for name in ["index", "chunks/000001", "tombstones", "meta.json"] {
        let path = block.dir().join(name);
        let good = std::fs::read(&path).unwrap();
        let step = (good.len() / 150).max(1);
        for i in (0..good.len()).step_by(step) {
            for bad in [
                [&good[..i], &[good[i] ^ 0x55], &good[i + 1..]].concat(),
                good[..i].to_vec(),
            ] {
                // A new file: the old one is mapped.
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, bad).unwrap();
                let Ok(opened) = Block::open(Arc::new(RealFs), block.dir()) else {
                    continue;
                };
                let querier = BlockQuerier::new(Arc::new(opened), i64::MIN, i64::MAX);
                let any = [matcher(MatchKind::Regexp, "host", "h.*")];
                if let Ok(set) = querier.select(true, &SelectHints::default(), &any) {
                    for series in set.series {
                        let mut columns = Columns::default();
                        let _ = series.decode(i64::MIN, i64::MAX, &mut columns);
                    }
                }
            }
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, good).unwrap();
    }
    Block::open(Arc::new(RealFs), block.dir()).unwrap();
}

#[test]
fn nothing_stays_of_an_unfinished_or_empty_block() {
    let dir = tempfile::tempdir().unwrap();
    let meta = BlockMeta {
        ulid: Ulid::new(1, 1),
        ..BlockMeta::default()
    };
    let none: [&str; 0] = [];
    let writer = BlockWriter::create(&RealFs, dir.path(), meta.clone(), none).unwrap();
    assert!(writer.finish().unwrap().is_none());
    let writer = BlockWriter::create(&RealFs, dir.path(), meta, none).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn snapshots_have_their_own_tombstones() {
    let dir = tempfile::tempdir().unwrap();
    let block = sample_block(dir.path());
    let copy = dir.path().join("snapshots/now");
    block.snapshot(&copy).unwrap();
    block.delete(0, 10_000_000, &[]).unwrap();
    let copy = Block::open(Arc::new(RealFs), &copy.join(block.ulid().to_string())).unwrap();
    assert!(copy.tombstones().is_empty());
    assert_eq!(copy.meta().stats.num_samples, 9000);
}

#[test]
fn leftovers_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let ulid = Ulid::new(5, 5);
    for name in [
        format!("{ulid}{CREATION_SUFFIX}"),
        format!("{ulid}{DELETION_SUFFIX}"),
        format!("{ulid}.tmp"),
        "mine.tmp".to_owned(),
        ulid.to_string(),
    ] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    assert_eq!(remove_leftovers(&RealFs, dir.path()).unwrap().len(), 3);
    assert_eq!(block_folders(&RealFs, dir.path()).unwrap(), [ulid]);
    remove_block(&RealFs, dir.path(), ulid).unwrap();
    assert_eq!(block_folders(&RealFs, dir.path()).unwrap(), []);
}
