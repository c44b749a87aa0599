//! A series is decoded once a query, also where several functions look at it.

#![allow(clippy::unwrap_used, reason = "a test of its own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Annotations, Labels, Matcher};
use promql::{Engine, EngineOptions, QueryOptions, Value};
use storage::{
    Columns, EncodedChunk, LabelHints, Querier, Queryable, SelectHints, Series, SeriesSet,
    StorageError,
};

const SERIES: usize = 40;
const INTERVAL_MS: i64 = 15_000;

/// Series under any name, and how often one was decoded.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

struct Counter {
    labels: Labels,
    decoded: Arc<AtomicUsize>,
}

impl Series for Counter {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let mut t = min_ms.div_euclid(INTERVAL_MS) * INTERVAL_MS + INTERVAL_MS;
        while t <= max_ms {
            out.float_ms.push(t);
            out.floats.push((t / INTERVAL_MS % 50) as f64);
            t += INTERVAL_MS;
        }
        Ok(())
    }

    fn chunks(&self, _: i64, _: i64) -> Result<Vec<EncodedChunk>, StorageError> {
        Ok(Vec::new())
    }
}

impl Queryable for Counted {
    fn querier(&self, _: i64, _: i64) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(self.clone()))
    }
}

impl Querier for Counted {
    fn select(
        &self,
        _: bool,
        _: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError> {
        let name = matchers.iter().find(|m| &*m.name == "__name__").unwrap();
        let series = (0..SERIES).map(|i| {
            let pairs = [("__name__", &*name.value), ("i", &i.to_string())];
            Arc::new(Counter {
                labels: Labels::from(pairs),
                decoded: Arc::clone(&self.0),
            }) as Arc<dyn Series>
        });
        Ok(SeriesSet {
            series: series.collect(),
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

/// How often the series are decoded, each, by a query whose answer has as many.
fn decoded(query: &str) -> usize {
    let counted = Counted::default();
    let options = QueryOptions::default();
    let engine = Engine::new(EngineOptions::default());
    let answer = engine.range(&counted, query, 0, 3_600_000, 60_000, &options);
    let Value::Matrix(series) = answer.unwrap().value else {
        panic!("{query} gives no matrix")
    };
    assert_eq!(series.len(), SERIES, "{query}");
    let decoded = counted.0.load(Ordering::Relaxed);
    assert_eq!(decoded % SERIES, 0, "{query}");
    decoded / SERIES
}

#[test]
fn functions_of_the_same_samples_share_them() {
    for (query, times) in [
        ("rate(a[5m])", 1),
        ("rate(a[5m]) / increase(a[5m])", 1),
        ("max_over_time(a[5m]) - min_over_time(a[5m])", 1),
        // The sum of the first two is computed before the third is looked at.
        ("rate(a[5m]) + increase(a[5m]) + delta(a[5m])", 2),
        // Other samples.
        ("rate(a[5m]) / rate(a[10m])", 2),
        ("rate(a[5m]) / ignoring(__name__) rate(b[5m])", 2),
    ] {
        assert_eq!(decoded(query), times, "{query}");
    }
}
