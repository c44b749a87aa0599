//! What the engine takes beyond decoding: 1000 series in memory, 240 steps of a minute.

use std::collections::HashMap;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use model::{Annotations, Labels, Matcher};
use promql::{Engine, EngineOptions, QueryOptions};
use storage::{
    Columns, EncodedChunk, LabelHints, Querier, Queryable, SelectHints, Series, SeriesSet,
    StorageError,
};

const SCRAPE_MS: i64 = 15_000;
const MINUTE_MS: i64 = 60_000;
const STEPS: i64 = 240;

/// Series by metric name; other matchers are not looked at, and decoding is copying, so that what is
/// measured is the engine.
#[derive(Clone, Default)]
struct Fixed(Arc<HashMap<String, Vec<Arc<dyn Series>>>>);

struct FixedSeries {
    labels: Labels,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Series for FixedSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
        let from = self.times.partition_point(|t| *t < min_ms);
        let to = self.times.partition_point(|t| *t <= max_ms);
        out.float_ms.extend_from_slice(&self.times[from..to]);
        out.floats.extend_from_slice(&self.values[from..to]);
        Ok(())
    }

    fn chunks(&self, _: i64, _: i64) -> Result<Vec<EncodedChunk>, StorageError> {
        Ok(Vec::new())
    }
}

impl Queryable for Fixed {
    fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Fixed {
    fn select(
        &self,
        _: bool,
        _: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError> {
        let name = matchers.iter().find(|m| &*m.name == "__name__");
        let series = name.and_then(|m| self.0.get(&*m.value)).cloned();
        Ok(SeriesSet {
            series: series.unwrap_or_default(),
            annotations: Annotations::default(),
        })
    }

    fn label_values(
        &self,
        _: &str,
        _: &LabelHints,
        _: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        Ok(Default::default())
    }

    fn label_names(
        &self,
        _: &LabelHints,
        _: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        Ok(Default::default())
    }
}

/// `requests_total` and `capacity` of 1000 instances in 20 jobs, and `latency_bucket` of 100
/// instances with 10 buckets.
fn store() -> Fixed {
    let mut all: HashMap<String, Vec<Arc<dyn Series>>> = HashMap::new();
    let samples = (STEPS + 10) * MINUTE_MS / SCRAPE_MS;
    let mut add = |labels: Labels, value: &dyn Fn(i64) -> f64| {
        let series = FixedSeries {
            times: (0..samples).map(|i| i * SCRAPE_MS).collect(),
            values: (0..samples).map(value).collect(),
            labels,
        };
        let name = series.labels.metric_name().to_owned();
        all.entry(name).or_default().push(Arc::new(series));
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
        add(labels("requests_total"), &|i| {
            ((i * (n % 7 + 1)) % 5000) as f64
        });
        add(labels("capacity"), &|i| (100 + (i + n) % 13) as f64);
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
            add(labels, &|i| (i * (b as i64 + 1)) as f64);
        }
    }
    Fixed(Arc::new(all))
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
