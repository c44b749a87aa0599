//! What the engine takes beyond decoding: 1000 series in memory, 240 steps of a minute.

use criterion::{Criterion, criterion_group, criterion_main};
use model::Labels;
use promql::script::Store;
use promql::{Engine, EngineOptions, QueryOptions};
use storage::Appendable;

const SCRAPE_MS: i64 = 15_000;
const MINUTE_MS: i64 = 60_000;
const STEPS: i64 = 240;

/// `requests_total` and `capacity` of 1000 instances in 20 jobs, and `latency_bucket` of 100
/// instances with 10 buckets.
fn store() -> Store {
    let store = Store::new();
    let mut batch = store.appender();
    let samples = (STEPS + 10) * MINUTE_MS / SCRAPE_MS;
    let mut append = |labels: &Labels, value: &dyn Fn(i64) -> f64| {
        for i in 0..samples {
            batch
                .append(0, labels, 0, i * SCRAPE_MS, value(i))
                .expect("the samples are in order");
        }
    };
    for n in 0..1000i64 {
        let (instance, job) = (format!("host-{n}:9100"), format!("job-{}", n % 20));
        let labels = |name: &str| {
            Labels::from_pairs([
                ("__name__", name),
                ("instance", &instance),
                ("job", &job),
                ("env", "production"),
            ])
        };
        append(&labels("requests_total"), &|i| {
            ((i * (n % 7 + 1)) % 5000) as f64
        });
        append(&labels("capacity"), &|i| (100 + (i + n) % 13) as f64);
    }
    let bounds = [
        "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf",
    ];
    for n in 0..100i64 {
        let instance = format!("host-{n}:9100");
        for (b, le) in bounds.iter().enumerate() {
            let labels = Labels::from_pairs([
                ("__name__", "latency_bucket"),
                ("instance", instance.as_str()),
                ("le", le),
            ]);
            append(&labels, &|i| (i * (b as i64 + 1)) as f64);
        }
    }
    batch.commit().expect("the store takes every batch");
    store
}

fn queries(criterion: &mut Criterion) {
    let store = store();
    let start = 10 * MINUTE_MS;
    let end = start + (STEPS - 1) * MINUTE_MS;
    for threads in [1, 2] {
        let engine = Engine::new(EngineOptions {
            threads,
            ..EngineOptions::default()
        });
        let mut group = criterion.benchmark_group(format!("{threads} threads"));
        group.sample_size(20);
        for (name, query) in [
            ("selector", "requests_total"),
            ("rate", "rate(requests_total[5m])"),
            ("sum by rate", "sum by (job) (rate(requests_total[5m]))"),
            ("avg_over_time", "avg_over_time(requests_total[5m])"),
            ("max_over_time 1h", "max_over_time(requests_total[1h])"),
            (
                "histogram_quantile",
                "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))",
            ),
            (
                "join",
                "requests_total / on (instance, job) group_left capacity",
            ),
            ("topk", "topk(10, requests_total)"),
            ("compare", "count(requests_total > 100)"),
        ] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    engine
                        .range(
                            &store,
                            query,
                            start,
                            end,
                            MINUTE_MS,
                            &QueryOptions::default(),
                        )
                        .expect("the query is valid")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, queries);
criterion_main!(benches);
