//! Summaries: count, sum and quantiles over a sliding window (client_golang `prometheus/summary.go`).

use std::sync::Arc;
use std::time::Duration;

use exposition::{Quantile, Value};
use parking_lot::Mutex;

use crate::ckms::Stream;
use crate::metric::Cell;
use crate::registry::Clock;

/// A quantile and how far off its rank may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Between 0 and 1.
    pub quantile: f64,
    /// The allowed difference in rank, as a fraction.
    pub error: f64,
}

/// What a summary answers and for how long it remembers.
#[derive(Clone, Debug)]
pub struct SummaryOptions {
    /// The quantiles; none: only count and sum.
    pub objectives: Vec<Objective>,
    /// How old an observation may be to count for the quantiles.
    pub max_age: Duration,
    /// In how many steps observations age.
    pub age_buckets: u32,
}

impl Default for SummaryOptions {
    /// No quantiles, ten minutes, five steps.
    fn default() -> SummaryOptions {
        SummaryOptions {
            objectives: Vec::new(),
            max_age: Duration::from_secs(600),
            age_buckets: 5,
        }
    }
}

impl SummaryOptions {
    /// The quantiles of upstream's own summaries: (quantile, error) pairs.
    pub fn quantiles(pairs: &[(f64, f64)]) -> SummaryOptions {
        SummaryOptions {
            objectives: pairs
                .iter()
                .map(|(quantile, error)| Objective {
                    quantile: *quantile,
                    error: *error,
                })
                .collect(),
            ..SummaryOptions::default()
        }
    }
}

/// A summary.
#[derive(Clone)]
pub struct Summary(Arc<SummaryState>);

struct SummaryState {
    options: SummaryOptions,
    clock: Clock,
    window: Mutex<Window>,
}

/// Every stream takes every observation; the head is the oldest one and answers. When it gets too
/// old it is emptied and becomes the youngest.
struct Window {
    streams: Vec<Stream>,
    head: usize,
    head_expires: Duration,
    count: u64,
    sum: f64,
}

impl std::fmt::Debug for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Summary")
            .field("count", &self.count())
            .finish()
    }
}

impl Summary {
    pub(crate) fn new(options: SummaryOptions, clock: Clock) -> Summary {
        let buckets = options.age_buckets.max(1);
        let streams = if options.objectives.is_empty() {
            Vec::new()
        } else {
            vec![Stream::new(&options.objectives); buckets as usize]
        };
        let head_expires = clock() + options.max_age / buckets;
        Summary(Arc::new(SummaryState {
            options,
            clock,
            window: Mutex::new(Window {
                streams,
                head: 0,
                head_expires,
                count: 0,
                sum: 0.0,
            }),
        }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let mut window = self.0.window.lock();
        window.count += 1;
        window.sum += value;
        if window.streams.is_empty() {
            return;
        }
        self.forget(&mut window);
        for stream in &mut window.streams {
            stream.insert(value);
        }
    }

    /// Counts a duration, in seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// How many observations so far.
    pub fn count(&self) -> u64 {
        self.0.window.lock().count
    }

    fn forget(&self, window: &mut Window) {
        let now = (self.0.clock)();
        let step = self.0.options.max_age / self.0.options.age_buckets.max(1);
        for _ in 0..window.streams.len() {
            if now < window.head_expires {
                return;
            }
            let head = window.head;
            window.streams[head].clear();
            window.head = (head + 1) % window.streams.len();
            window.head_expires += step;
        }
        // Everything was older than the window: start it anew.
        if now >= window.head_expires {
            window.head_expires = now + step;
        }
    }
}

impl Cell for Summary {
    fn value(&self) -> Value {
        let mut window = self.0.window.lock();
        let mut quantiles = Vec::new();
        if !window.streams.is_empty() {
            self.forget(&mut window);
            let head = window.head;
            for objective in &self.0.options.objectives {
                quantiles.push(Quantile {
                    quantile: objective.quantile,
                    value: window.streams[head].query(objective.quantile),
                });
            }
        }
        Value::Summary(exposition::Summary {
            count: window.count,
            sum: window.sum,
            quantiles,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn quantiles_forget_but_count_and_sum_do_not() {
        let now = Arc::new(AtomicU64::new(0));
        let clock: Clock = {
            let now = now.clone();
            Arc::new(move || Duration::from_secs(now.load(Ordering::Relaxed)))
        };
        let summary = Summary::new(SummaryOptions::quantiles(&[(0.5, 0.05)]), clock);
        let median = || match summary.value() {
            Value::Summary(summary) => summary.quantiles[0].value,
            other => panic!("{other:?}"),
        };
        assert!(median().is_nan());
        summary.observe(1.0);
        now.store(500, Ordering::Relaxed);
        summary.observe(9.0);
        summary.observe(9.0);
        assert_eq!(median(), 9.0);
        now.store(599, Ordering::Relaxed);
        assert_eq!(median(), 9.0);
        now.store(5_000, Ordering::Relaxed);
        assert!(median().is_nan());
        summary.observe(4.0);
        assert_eq!(median(), 4.0);
        assert_eq!(summary.count(), 4);
    }
}
