//! The head's hot paths: samples of known and of new series, queries, replay.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use model::{Labels, MatchKind, Matcher};
use storage::{Appendable, Columns, LabelHints, Queryable, SelectHints};
use tsdb::{Db, Options};

const SERIES: usize = 20_000;

fn labels(i: usize) -> Labels {
    Labels::from_pairs([
        (
            "__name__",
            format!("node_metric_{}_total", i % 200).as_str(),
        ),
        ("instance", &format!("host-{:04}:9100", i / 200)),
        ("job", "node"),
        ("cluster", "production"),
        ("device", &format!("eth{}", i % 4)),
        ("mode", ["idle", "user", "system", "iowait"][i % 4]),
    ])
}

struct Store {
    db: Db,
    dir: tempfile::TempDir,
    references: Vec<u64>,
    t_ms: i64,
}

fn open(dir: &std::path::Path) -> Db {
    let mut options = Options::new(dir);
    options.background = false;
    Db::open(options).expect("a new folder opens")
}

fn filled(samples: usize) -> Store {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = Store {
        db: open(dir.path()),
        dir,
        references: vec![0; SERIES],
        t_ms: 1_700_000_000_000,
    };
    for _ in 0..samples {
        scrape(&mut store);
    }
    store
}

/// One sample for every series, in commits of 500.
fn scrape(store: &mut Store) {
    store.t_ms += 15_000;
    let none = Labels::empty();
    for (number, part) in store.references.chunks_mut(500).enumerate() {
        let mut appender = store.db.appender();
        for (i, reference) in part.iter_mut().enumerate() {
            let i = number * 500 + i;
            let value = (store.t_ms / 1000 * (i as i64 % 17)) as f64;
            let set = if *reference == 0 { &labels(i) } else { &none };
            *reference = appender
                .append(*reference, set, 0, store.t_ms, value)
                .expect("in order");
        }
        appender.commit().expect("the disk has room");
    }
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(SERIES as u64));
    let mut store = filled(10);
    group.bench_function("known series", |b| b.iter(|| scrape(&mut store)));
    let sets: Vec<Labels> = (0..SERIES).map(labels).collect();
    group.bench_function("known series by labels", |b| {
        b.iter(|| {
            store.t_ms += 15_000;
            for part in sets.chunks(500) {
                let mut appender = store.db.appender();
                for set in part {
                    appender
                        .append(0, set, 0, store.t_ms, 1.5)
                        .expect("in order");
                }
                appender.commit().expect("the disk has room");
            }
        });
    });
    group.bench_function("new series", |b| {
        b.iter_batched(
            || filled(0),
            |mut store| {
                scrape(&mut store);
                store
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn query(c: &mut Criterion) {
    let store = filled(240);
    let mut group = c.benchmark_group("query");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    let matcher = |kind, name: &str, value: &str| {
        Matcher::new(kind, name.to_owned(), value.to_owned()).expect("a valid expression")
    };
    let querier = store.db.querier(0, i64::MAX).expect("open");
    for (name, matchers) in [
        (
            "one metric",
            vec![matcher(MatchKind::Equal, "__name__", "node_metric_7_total")],
        ),
        (
            "regular expression",
            vec![
                matcher(MatchKind::Regexp, "instance", "host-00[0-4].*"),
                matcher(MatchKind::NotEqual, "mode", "idle"),
            ],
        ),
    ] {
        group.bench_function(format!("select, {name}"), |b| {
            b.iter(|| {
                let set = querier.select(true, &SelectHints::default(), &matchers);
                black_box(set.expect("no damage").series.len())
            });
        });
    }
    group.throughput(Throughput::Elements(SERIES as u64 * 240));
    group.bench_function("decode everything", |b| {
        b.iter(|| {
            let set = querier.select(false, &SelectHints::default(), &[]);
            let mut columns = Columns::default();
            for series in set.expect("no damage").series {
                columns.clear();
                series.decode(0, i64::MAX, &mut columns).expect("no damage");
                black_box(columns.floats.len());
            }
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("label values with a matcher", |b| {
        let matchers = [matcher(MatchKind::Equal, "__name__", "node_metric_7_total")];
        b.iter(|| {
            let values = querier.label_values("instance", &LabelHints::default(), &matchers);
            black_box(values.expect("no damage").0.len())
        });
    });
    group.finish();
}

fn replay(c: &mut Criterion) {
    let store = filled(100);
    let dir = store.dir.path().to_owned();
    drop(store.db);
    let mut group = c.benchmark_group("replay");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(SERIES as u64 * 100));
    group.bench_function("log", |b| b.iter(|| black_box(open(&dir).head_times_ms())));
    group.finish();
}

criterion_group!(benches, append, query, replay);
criterion_main!(benches);
