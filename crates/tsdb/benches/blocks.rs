//! Blocks: open, select, label values, decode, compact.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, MatchKind, Matcher};
use storage::{Columns, LabelHints, Querier as _, SelectHints};
use tsdb::block::encode::{Sample, Value, encode_samples};
use tsdb::block::{Block, BlockQuerier, write_block};
use tsdb::compact::{compact_blocks, compacted_meta};
use tsdb::fs::RealFs;
use tsdb_format::Ulid;
use tsdb_format::meta::BlockMeta;

const METRICS: i64 = 100;
const HOSTS: i64 = 200;
const SAMPLES: i64 = 480;
const SPAN_MS: i64 = SAMPLES * 15_000;

fn labels(metric: i64, host: i64) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("node_metric_{metric:03}_total")),
        ("instance", format!("host-{host:04}:9100")),
        ("job", "node".to_owned()),
        ("mode", format!("m{}", metric % 7)),
        ("zone", format!("z{}", host % 5)),
    ])
}

fn write(dir: &Path, name: u128, start_ms: i64) -> Arc<Block> {
    let mut series: Vec<(i64, Labels)> = (0..METRICS)
        .flat_map(|metric| (0..HOSTS).map(move |host| (metric * host, labels(metric, host))))
        .collect();
    series.sort_by(|a, b| a.1.cmp(&b.1));
    let symbols: BTreeSet<String> = series
        .iter()
        .flat_map(|(_, labels)| labels.iter().flat_map(|(n, v)| [n, v]))
        .map(str::to_owned)
        .collect();
    let meta = BlockMeta {
        ulid: Ulid(name),
        min_time: start_ms,
        max_time: start_ms + SPAN_MS,
        ..BlockMeta::default()
    };
    let rows = series.into_iter().map(|(slope, labels)| {
        let samples: Vec<_> = (0..SAMPLES)
            .map(|i| Sample {
                t_ms: start_ms + i * 15_000,
                start_ms: 0,
                value: Value::Float((i * slope % 1000) as f64),
            })
            .collect();
        Ok((labels, encode_samples(&samples).expect("good samples")))
    });
    write_block(&RealFs, dir, meta, symbols, rows)
        .expect("the block is written")
        .expect("it has samples");
    open(dir, Ulid(name))
}

fn open(dir: &Path, ulid: Ulid) -> Arc<Block> {
    let path = dir.join(ulid.to_string());
    Arc::new(Block::open(Arc::new(RealFs), &path).expect("our own block opens"))
}

fn blocks(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let a = write(dir.path(), 1, 0);
    let b = write(dir.path(), 2, SPAN_MS);
    c.bench_function("open 20 k series", |bencher| {
        bencher.iter(|| black_box(open(dir.path(), Ulid(1))));
    });
    let querier = BlockQuerier::new(Arc::clone(&a), i64::MIN, i64::MAX);
    let hints = SelectHints::default();
    let regexp = |name: &str, pattern: &str| {
        Matcher::new(MatchKind::Regexp, name, pattern).expect("a good pattern")
    };
    let metric = Matcher::equal("__name__", "node_metric_042_total");
    for (name, matchers) in [
        ("one metric", vec![metric.clone()]),
        ("set", vec![metric.clone(), regexp("zone", "z1|z3")]),
        (
            "prefix",
            vec![metric.clone(), regexp("instance", "host-00.*")],
        ),
        ("all of a zone", vec![Matcher::equal("zone", "z1")]),
    ] {
        c.bench_function(&format!("select {name}"), |bencher| {
            bencher.iter(|| {
                let set = querier.select(true, &hints, black_box(&matchers));
                black_box(set.expect("a good block").series.len())
            });
        });
    }
    for (name, matchers) in [("all", vec![]), ("of a metric", vec![metric])] {
        c.bench_function(&format!("label values {name}"), |bencher| {
            bencher.iter(|| {
                let hints = LabelHints::default();
                let values = querier.label_values("instance", &hints, black_box(&matchers));
                black_box(values.expect("a good block").0.len())
            });
        });
    }
    let set = querier
        .select(true, &hints, &[Matcher::equal("zone", "z1")])
        .expect("a good block");
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(
        set.series.len() as u64 * SAMPLES as u64,
    ));
    let mut columns = Columns::default();
    group.bench_function("columns", |bencher| {
        bencher.iter(|| {
            for series in &set.series {
                columns.clear();
                series
                    .decode(i64::MIN, i64::MAX, &mut columns)
                    .expect("a good block");
                black_box(&columns);
            }
        });
    });
    group.finish();
    let mut group = c.benchmark_group("compact");
    group.sample_size(10);
    group.throughput(Throughput::Elements((2 * METRICS * HOSTS * SAMPLES) as u64));
    group.bench_function("two neighbours", |bencher| {
        let target = tempfile::tempdir().expect("a folder");
        bencher.iter(|| {
            let meta = compacted_meta(Ulid(3), &[a.meta(), b.meta()]);
            let parts = [Arc::clone(&a), Arc::clone(&b)];
            compact_blocks(
                &RealFs,
                target.path(),
                tsdb_format::segment::SEGMENT_BYTES,
                meta,
                &parts,
                &|| false,
            )
            .expect("compacts");
            let made = target.path().join(Ulid(3).to_string());
            std::fs::remove_dir_all(made).expect("is there");
        });
    });
    group.finish();
}

criterion_group!(benches, blocks);
criterion_main!(benches);
