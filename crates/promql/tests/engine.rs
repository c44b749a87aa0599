//! The engine's promises beyond upstream's answers: the same answer on any number of threads, step
//! by step as in one go; limits that fail one query and nothing else.

#![allow(clippy::unwrap_used, reason = "a test of its own")]

use std::time::{Duration, Instant};

use model::histogram::Span;
use model::{CounterResetHint, FloatHistogram, Labels, STALE_NAN};
use promql::script::Store;
use promql::value::QueryResult;
use promql::{
    CancelToken, Engine, EngineOptions, Features, QueryError, QueryOptions, SampleValue,
    StatsLevel, Value,
};
use storage::Appendable;

const MINUTE: i64 = 60_000;

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Counters with resets, gauges with gaps and stale markers, classic and native histograms: three
/// hours, a sample every 20 seconds or so.
fn store() -> Store {
    let store = Store::new();
    let mut batch = store.appender();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let labels = |name: &str, n: u64, extra: &[(&str, &str)]| {
        let (instance, job) = (format!("i{n}"), format!("j{}", n % 3));
        let mut pairs = vec![("__name__", name), ("instance", &instance), ("job", &job)];
        pairs.extend_from_slice(extra);
        Labels::from_pairs(pairs)
    };
    for n in 0..70 {
        let (counter, gauge) = (labels("c_total", n, &[]), labels("g", n, &[]));
        let native = labels("h", n, &[]);
        let (mut value, mut counts) = (0.0, [0.0, 0.0, 0.0]);
        let mut t = numbers.next(20_000) as i64;
        while t < 180 * MINUTE {
            value += numbers.next(50) as f64;
            if numbers.next(200) == 0 {
                value = 0.0;
                counts = [0.0; 3];
            }
            batch.append(0, &counter, 0, t, value).unwrap();
            match numbers.next(40) {
                0 => {
                    batch.append(0, &gauge, 0, t, STALE_NAN).unwrap();
                }
                1 => {
                    batch.append(0, &gauge, 0, t, f64::NAN).unwrap();
                }
                2..8 => {}
                _ => {
                    let v = numbers.next(1000) as f64 / 7.0 - 40.0;
                    batch.append(0, &gauge, 0, t, v).unwrap();
                }
            }
            if n < 20 {
                for count in &mut counts {
                    *count += numbers.next(5) as f64;
                }
                let histogram = FloatHistogram {
                    counter_reset_hint: CounterResetHint::Unknown,
                    schema: (n % 2) as i32,
                    count: counts.iter().sum(),
                    sum: counts[0] + counts[2],
                    positive_spans: vec![Span {
                        offset: 0,
                        length: 3,
                    }],
                    positive_buckets: counts.to_vec(),
                    ..FloatHistogram::default()
                };
                batch
                    .append_float_histogram(0, &native, 0, t, &histogram)
                    .unwrap();
            }
            t += 15_000 + numbers.next(10_000) as i64;
        }
    }
    for n in 0..12 {
        let mut counts = [0.0; 4];
        for t in 0..360 {
            for (i, le) in ["0.1", "1", "10", "+Inf"].iter().enumerate() {
                counts[i] += (numbers.next(4) + i as u64 * 2) as f64;
                let labels = labels("b_bucket", n, &[("le", le)]);
                batch.append(0, &labels, 0, t * 30_000, counts[i]).unwrap();
            }
        }
    }
    batch.commit().unwrap();
    store
}

fn engine(threads: usize) -> Engine {
    Engine::new(EngineOptions {
        threads,
        features: Features::ALL,
        ..EngineOptions::default()
    })
}

const QUERIES: [&str; 48] = [
    "c_total",
    "g offset 3m",
    "g @ 3600",
    "rate(c_total[5m])",
    "increase(c_total[7m] offset 1m)",
    "irate(c_total[2m])",
    "delta(g[10m])",
    "sum by (job) (rate(c_total[5m]))",
    "avg without (instance) (g)",
    "max(g) - min(g)",
    "stddev by (job) (g)",
    "quantile by (job) (0.9, g)",
    "count by (job) (g > 10)",
    "topk by (job) (3, g)",
    "bottomk(4, g)",
    "limitk(5, g)",
    "limit_ratio(0.3, g)",
    "count_values(\"v\", round(g, 20))",
    "sum_over_time(g[11m])",
    "avg_over_time(g[11m])",
    "min_over_time(g[11m])",
    "max_over_time(g[11m])",
    "stdvar_over_time(g[11m])",
    "quantile_over_time(0.3, g[11m])",
    "mad_over_time(g[11m])",
    "changes(g[11m])",
    "resets(c_total[30m])",
    "deriv(g[11m])",
    "predict_linear(g[11m], 600)",
    "last_over_time(g[3m])",
    "present_over_time(g[1m])",
    "absent_over_time(g{instance=\"i3\"}[40s])",
    "absent(g{instance=\"i3\"})",
    "timestamp(g)",
    "max_over_time(rate(c_total[5m])[20m:1m])",
    "sum by (job) (sum_over_time(g[10m:45s] offset 2m))",
    "g / on (instance, job) c_total",
    "c_total * on (job) group_left () sum by (job) (g)",
    "g and on (instance) (c_total > 300)",
    "g unless on (instance) (c_total > 300)",
    "g > 20 or c_total",
    "-g + bool_free",
    "histogram_quantile(0.9, sum by (le) (rate(b_bucket[5m])))",
    "histogram_quantile(0.5, rate(h[10m]))",
    "sum by (job) (h)",
    "histogram_count(sum(rate(h[5m])))",
    "clamp_max(scalar(sum(g)) * vector(time()), 5)",
    "label_replace(g, \"x\", \"$1\", \"instance\", \"i(.*)\") == bool 3",
];

fn range(engine: &Engine, store: &Store, query: &str) -> QueryResult {
    engine
        .range(
            store,
            query,
            20 * MINUTE,
            170 * MINUTE,
            2 * MINUTE + 7_000,
            &QueryOptions::default(),
        )
        .unwrap_or_else(|e| panic!("{query}: {e}"))
}

/// `Debug` shows every float with all its digits, and NaN equals NaN.
fn text(result: &QueryResult) -> String {
    format!(
        "{:?} {:?} {:?}",
        result.value, result.annotations, result.stats.samples
    )
}

#[test]
fn the_same_answer_on_any_number_of_threads() {
    let store = store();
    let (one, three) = (engine(1), engine(3));
    for query in QUERIES {
        let (a, b) = (range(&one, &store, query), range(&three, &store, query));
        assert!(text(&a) == text(&b), "{query}");
    }
}

#[test]
fn a_range_is_its_instants() {
    let store = store();
    let engine = engine(1);
    for query in QUERIES {
        let Value::Matrix(matrix) = range(&engine, &store, query).value else {
            panic!("{query} gives no matrix");
        };
        for step in [0, 11, 37, 60] {
            let t = 20 * MINUTE + step * (2 * MINUTE + 7_000);
            let answer = engine
                .instant(&store, query, t, &QueryOptions::default())
                .unwrap_or_else(|e| panic!("{query}: {e}"));
            let mut got: Vec<(String, String)> = match answer.value {
                Value::Vector(samples) => samples
                    .into_iter()
                    .map(|sample| {
                        assert_eq!(sample.t_ms, t);
                        let value = match sample.value {
                            SampleValue::Float(v) => format!("{v:?}"),
                            SampleValue::Histogram(h) => format!("{h:?}"),
                        };
                        (sample.labels.to_string(), value)
                    })
                    .collect(),
                other => panic!("{query} gives {other:?}"),
            };
            let mut wanted: Vec<(String, String)> = Vec::new();
            for series in &matrix {
                if let Ok(i) = series.float_ms.binary_search(&t) {
                    wanted.push((series.labels.to_string(), format!("{:?}", series.floats[i])));
                }
                if let Ok(i) = series.histogram_ms.binary_search(&t) {
                    let value = format!("{:?}", series.histograms[i]);
                    wanted.push((series.labels.to_string(), value));
                }
            }
            got.sort();
            wanted.sort();
            assert!(got == wanted, "{query} at {t}: {got:?} {wanted:?}");
        }
    }
}

#[test]
fn failures_have_upstreams_types_and_texts() {
    let store = store();
    let run = |options: EngineOptions, query: &str, cancel: CancelToken| {
        let options = EngineOptions {
            features: Features::ALL,
            ..options
        };
        let query_options = QueryOptions {
            cancel,
            ..QueryOptions::default()
        };
        let engine = Engine::new(options);
        let result = engine.range(
            &store,
            query,
            20 * MINUTE,
            170 * MINUTE,
            MINUTE,
            &query_options,
        );
        assert_eq!(engine.bytes_in_use(), 0, "{query}");
        match result {
            Err(error) => (error.error_type(), error.to_string()),
            Ok(_) => panic!("{query} did not fail"),
        }
    };
    let fine = EngineOptions::default;
    let canceled = CancelToken::new();
    canceled.cancel();
    assert_eq!(
        run(fine(), "g", canceled),
        (
            "canceled",
            "query was canceled in query execution".to_owned()
        )
    );
    let late = CancelToken::new().with_deadline(Instant::now());
    assert_eq!(
        run(fine(), "g", late),
        ("timeout", "query timed out in query execution".to_owned())
    );
    let hasty = EngineOptions {
        timeout: Duration::from_nanos(1),
        ..fine()
    };
    assert_eq!(run(hasty, "g", CancelToken::new()).0, "timeout");
    let small = EngineOptions {
        max_samples: 1000,
        ..fine()
    };
    let too_many =
        "query processing would load too many samples into memory in query execution".to_owned();
    assert_eq!(
        run(small, "sum(g)", CancelToken::new()),
        ("execution", too_many.clone())
    );
    let poor = EngineOptions {
        max_query_bytes: 10_000,
        ..fine()
    };
    assert_eq!(
        run(poor, "g{job=\"j1\"} + g", CancelToken::new()),
        (
            "execution",
            "query processing would need more than 10000 bytes of memory for this query, at selector g{job=\"j1\"}".to_owned()
        )
    );
    for (query, kind, text) in [
        (
            "g +",
            "bad_data",
            "1:4: parse error: unexpected end of input",
        ),
        (
            "g[5m]",
            "bad_data",
            "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        (
            "sum by (job) (g) + on (job) g",
            "execution",
            "found duplicate series for the match group",
        ),
        (
            "g + on (job) sum by (job) (g)",
            "execution",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "rate({__name__=~\"c_total|g\"}[5m])",
            "execution",
            "vector cannot contain metrics with the same labelset",
        ),
        (
            "g[5m:0s]",
            "bad_data",
            "1:6: parse error: duration must be greater than 0",
        ),
        ("topk(NaN, g)", "execution", "Parameter value is NaN"),
    ] {
        let (got_kind, got) = run(fine(), query, CancelToken::new());
        assert_eq!(got_kind, kind, "{query}: {got}");
        assert!(got.starts_with(text), "{query}: {got}");
    }
}

#[test]
fn hostile_queries_fail_alone() {
    let store = store();
    let engine = engine(2);
    let options = QueryOptions::default();
    // More steps than anything could hold.
    let endless = engine.range(&store, "g", 0, i64::MAX / 2, 1, &options);
    assert!(matches!(endless, Err(QueryError::TooManySamples)));
    let endless = engine.instant(&store, "sum_over_time(vector(1)[100y:1ms])", 0, &options);
    assert!(matches!(endless, Err(QueryError::TooManySamples)));
    // As deep as the parser lets them be.
    let chain = vec!["1"; 900].join(" + ");
    let sum = engine.instant(&store, &chain, 0, &options).unwrap();
    assert_eq!(sum.value, Value::Scalar { t_ms: 0, v: 900.0 });
    let chain = vec!["g"; 300].join(" + ");
    assert!(engine.instant(&store, &chain, MINUTE, &options).is_ok());
    let nested = format!("{}g{}", "abs(".repeat(150), ")".repeat(150));
    assert!(engine.instant(&store, &nested, MINUTE, &options).is_ok());
    // Times at the ends of what there is.
    for t in [i64::MIN, i64::MIN / 2, i64::MAX / 2, i64::MAX] {
        for query in [
            "g",
            "rate(g[5m])",
            "g offset 100y",
            "g offset -100y",
            "g smoothed",
            "rate(g[100y] anchored)",
            "g @ 9223372036854775.807",
            "max_over_time(g[1h:1m] @ -9223372036854775.807)",
            "max_over_time(g[1h:1m])",
            "info(g)",
            "year()",
        ] {
            let _ = engine.instant(&store, query, t, &options);
        }
    }
    // Nothing to do.
    let backwards = engine.range(&store, "g", 10, 0, 1, &options).unwrap();
    assert_eq!(backwards.value, Value::Matrix(Vec::new()));
}

#[test]
fn statistics_count_what_was_looked_at() {
    let store = Store::new();
    let mut batch = store.appender();
    let labels = Labels::from_pairs([("__name__", "m")]);
    for i in 0..=20 {
        batch.append(0, &labels, 0, i * 10_000, i as f64).unwrap();
    }
    batch.commit().unwrap();
    let engine = engine(1);
    let options = QueryOptions {
        stats: StatsLevel::PerStep,
        ..QueryOptions::default()
    };
    let stats = |query: &str| {
        let result = engine.range(&store, query, 60_000, 180_000, MINUTE, &options);
        result.unwrap().stats.samples
    };
    for (query, total, peak, per_step) in [
        ("m", 3, 3, [1, 1, 1]),
        ("rate(m[1m])", 18, 9, [6, 6, 6]),
        ("sum(m)", 3, 3, [1, 1, 1]),
        ("m + m", 6, 11, [2, 2, 2]),
        ("m @ 10", 3, 3, [1, 1, 1]),
        ("max_over_time(m[1m:20s])", 9, 15, [3, 3, 3]),
        ("1", 0, 3, [0, 0, 0]),
    ] {
        let got = stats(query);
        assert_eq!(got.total_queryable_samples, total, "{query}");
        assert_eq!(got.peak_samples, peak, "{query}");
        let steps: Vec<u64> = got.per_step.iter().map(|(_, n)| *n).collect();
        assert_eq!(steps, per_step, "{query}");
    }
}
