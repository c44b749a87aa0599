//! `promtool` reads the blocks that are written here. Set `PROMTOOL` to its path; without it these
//! tests say so and pass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use model::{FloatHistogram, Histogram, Labels, Span};
use tsdb::block::encode::{Sample, Value, encode_samples};
use tsdb::block::{Block, write_block};
use tsdb::compact::{Merged, compact_blocks, compacted_meta};
use tsdb::fs::RealFs;
use tsdb_format::Ulid;
use tsdb_format::meta::{BlockMeta, Compaction};
use tsdb_format::segment::SEGMENT_BYTES;

const START_MS: i64 = 1_700_006_400_000;
const HOURS_2_MS: i64 = 7_200_000;

/// A data folder as promtool wants it: it looks for a write-ahead log.
fn data_folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("wal")).expect("a folder");
    dir
}

fn promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PROMTOOL").map(PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: set PROMTOOL to the path of Prometheus' promtool");
    }
    path
}

fn run(promtool: &Path, arguments: &[&str], dir: &Path) -> String {
    let output = Command::new(promtool)
        .args(arguments)
        .arg(dir)
        .output()
        .expect("promtool runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("promtool prints text")
}

fn sample(t_ms: i64, value: Value) -> Sample {
    Sample {
        t_ms,
        start_ms: 0,
        value,
    }
}

fn histogram(i: i64) -> Histogram {
    // A new bucket appears in the middle of the series: the chunk is written anew.
    let wide = i >= 50;
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: i as u64,
        count: if wide { 5 * i as u64 } else { 3 * i as u64 },
        sum: i as f64 * 1.5,
        positive_spans: vec![Span {
            offset: 0,
            length: if wide { 3 } else { 2 },
        }],
        positive_buckets: if wide {
            vec![i, 0, i - i / 2 - i / 2]
        } else {
            vec![i, 0]
        },
        ..Histogram::default()
    }
}

fn content(start_ms: i64) -> Vec<(Labels, Vec<Sample>)> {
    let times = (0..300).map(move |i| (i, start_ms + i * 15_000));
    let mut series = Vec::new();
    for host in 0..50 {
        let labels = Labels::from_pairs([
            ("__name__", "requests_total"),
            ("host", &format!("h{host:02}")),
            ("path", "/ü\"\\"),
        ]);
        let value = |i: i64| match i {
            100 => model::STALE_NAN,
            i => (i * host) as f64 / 7.0,
        };
        let samples = times.clone();
        let samples = samples
            .map(|(i, t)| sample(t, Value::Float(value(i))))
            .collect();
        series.push((labels, samples));
    }
    let name = |name: &str| Labels::from_pairs([("__name__", name)]);
    series.push((
        name("latency_float"),
        times
            .clone()
            .map(|(i, t)| sample(t, Value::FloatHistogram(Box::new(float(&histogram(i))))))
            .collect(),
    ));
    series.push((
        name("latency_integer"),
        times
            .map(|(i, t)| sample(t, Value::Histogram(Box::new(histogram(i)))))
            .collect(),
    ));
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}

fn float(h: &Histogram) -> FloatHistogram {
    h.to_float()
}

fn write(dir: &Path, ulid: Ulid, start_ms: i64) -> Arc<Block> {
    let series = content(start_ms);
    let symbols: BTreeSet<String> = series
        .iter()
        .flat_map(|(labels, _)| labels.iter().flat_map(|(n, v)| [n, v]))
        .map(str::to_owned)
        .collect();
    let meta = BlockMeta {
        ulid,
        min_time: start_ms,
        max_time: start_ms + HOURS_2_MS,
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        },
        ..BlockMeta::default()
    };
    let encoded = series.iter().map(|(labels, samples)| {
        Ok((
            labels.clone(),
            encode_samples(samples).expect("good samples"),
        ))
    });
    write_block(&RealFs, dir, meta, symbols, encoded)
        .expect("the block is written")
        .expect("it has samples");
    open(dir, ulid)
}

fn open(dir: &Path, ulid: Ulid) -> Arc<Block> {
    let path = dir.join(ulid.to_string());
    Arc::new(Block::open(Arc::new(RealFs), &path).expect("our own block opens"))
}

#[test]
fn promtool_reads_new_and_compacted_blocks() {
    let Some(promtool) = promtool() else { return };
    let dir = data_folder();
    let (a, b) = (Ulid::new(START_MS as u64, 1), Ulid::new(START_MS as u64, 2));
    let blocks = [
        write(dir.path(), a, START_MS),
        write(dir.path(), b, START_MS + HOURS_2_MS),
    ];
    let list = run(&promtool, &["tsdb", "list"], dir.path());
    assert!(
        list.contains(&a.to_string()) && list.contains(&b.to_string()),
        "{list}"
    );
    assert_eq!(list.matches("15600").count(), 2, "{list}");
    let dumped = run(&promtool, &["tsdb", "dump"], dir.path());
    // promtool prints floats, then float histograms, then histograms of a series: each loop eats the
    // first sample of the next kind, which makes three here.
    assert_eq!(dumped.lines().count(), 31_200 - 3);
    assert!(dumped.contains(r#"{__name__="requests_total", host="h07", path="/ü\"\\"} 2 "#));
    let analyzed = run(&promtool, &["tsdb", "analyze"], dir.path());
    assert!(analyzed.contains("Total Series: 52"), "{analyzed}");

    // Some of it deleted, then both as one.
    let some = [model::Matcher::equal("host", "h07")];
    blocks[0]
        .delete(START_MS, START_MS + 15_000 * 9, &some)
        .expect("deletes");
    let deleted = run(&promtool, &["tsdb", "dump"], dir.path());
    assert_eq!(deleted.lines().count(), 31_190 - 3);
    let merged = data_folder();
    let metas: Vec<_> = blocks.iter().map(|block| block.meta()).collect();
    let meta = compacted_meta(Ulid::new(START_MS as u64, 3), &metas);
    let result = compact_blocks(
        &RealFs,
        merged.path(),
        SEGMENT_BYTES,
        meta,
        &blocks,
        &|| false,
    );
    let Ok(Merged::Block(meta)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(meta.stats.num_samples, 31_190);
    assert_eq!(run(&promtool, &["tsdb", "dump"], merged.path()), deleted);
    let analyzed = run(&promtool, &["tsdb", "analyze", "--extended"], merged.path());
    assert!(analyzed.contains("Total Series: 52"), "{analyzed}");
}
