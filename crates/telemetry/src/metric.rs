//! The metrics themselves: clonable handles on shared atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use exposition::{Bucket, Count, Value};

/// Bucket bounds for request durations in seconds (client_golang's `DefBuckets`).
pub const DEFAULT_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// `count` bounds, `width` apart, from `start` on.
pub fn linear_buckets(start: f64, width: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound + width))
        .take(count)
        .collect()
}

/// `count` bounds, each `factor` times the one before, from `start` on.
pub fn exponential_buckets(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor))
        .take(count)
        .collect()
}

/// What a family of metrics with labels is made of.
pub trait Cell: Clone + Send + Sync + 'static {
    /// The value as it is printed.
    fn value(&self) -> Value;
}

/// A float that many threads change.
#[derive(Debug, Default)]
struct AtomicF64(AtomicU64);

impl AtomicF64 {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    fn add(&self, delta: f64) {
        // `fetch_update` fails only if the closure answers `None`.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |bits| {
            Some((f64::from_bits(bits) + delta).to_bits())
        });
    }
}

/// A number that only goes up.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<CounterState>);

/// Whole steps take one instruction; only fractions need the compare-and-swap loop.
#[derive(Debug, Default)]
struct CounterState {
    whole: AtomicU64,
    rest: AtomicF64,
}

impl Counter {
    /// A counter that is in no registry.
    pub fn new() -> Counter {
        Counter::default()
    }

    /// Adds one.
    pub fn inc(&self) {
        self.0.whole.fetch_add(1, Relaxed);
    }

    /// Adds a whole number.
    pub fn add(&self, steps: u64) {
        self.0.whole.fetch_add(steps, Relaxed);
    }

    /// Adds any amount. Negative and NaN amounts are left out: a counter cannot go down.
    pub fn add_f64(&self, amount: f64) {
        if amount > 0.0 {
            self.0.rest.add(amount);
        }
    }

    /// The count so far.
    pub fn get(&self) -> f64 {
        self.0.whole.load(Relaxed) as f64 + self.0.rest.get()
    }
}

impl Cell for Counter {
    fn value(&self) -> Value {
        Value::Counter(self.get())
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicF64>);

impl Gauge {
    /// A gauge that is in no registry.
    pub fn new() -> Gauge {
        Gauge::default()
    }

    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Adds, or takes away if negative.
    pub fn add(&self, delta: f64) {
        self.0.add(delta);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Adds one until the answer is dropped: for things that are in flight.
    pub fn guard(&self) -> impl Drop + Send + use<> {
        struct Guard(Gauge);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.dec();
            }
        }
        self.inc();
        Guard(self.clone())
    }

    /// The value now.
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

impl Cell for Gauge {
    fn value(&self) -> Value {
        Value::Gauge(self.get())
    }
}

/// A classic histogram.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<HistogramState>);

#[derive(Debug)]
struct HistogramState {
    /// Ascending, without `+Inf`.
    bounds: Box<[f64]>,
    /// Observations by bucket, not cumulative; the last one is `+Inf`.
    counts: Box<[AtomicU64]>,
    sum: AtomicF64,
}

impl Histogram {
    /// A histogram that is in no registry. Bounds are sorted, doubles, NaN and infinities dropped.
    pub fn new(bounds: &[f64]) -> Histogram {
        let mut bounds: Vec<f64> = bounds.iter().copied().filter(|b| b.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(HistogramState {
            bounds: bounds.into(),
            counts,
            sum: AtomicF64::default(),
        }))
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[bucket].fetch_add(1, Relaxed);
        self.0.sum.add(value);
    }

    /// Counts a duration, in seconds.
    pub fn observe_duration(&self, duration: std::time::Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// How many observations so far.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The sum of all observations so far.
    pub fn sum(&self) -> f64 {
        self.0.sum.get()
    }
}

impl Cell for Histogram {
    fn value(&self) -> Value {
        let mut total = 0;
        let mut cumulative = self.0.counts.iter().map(|count| {
            total += count.load(Relaxed);
            total
        });
        let buckets = self
            .0
            .bounds
            .iter()
            .zip(&mut cumulative)
            .map(|(bound, count)| Bucket {
                upper_bound: *bound,
                cumulative_count: Count::Integer(count),
                exemplar: None,
            })
            .collect();
        // Taken from the same pass, so that `_count` and the `+Inf` bucket always agree.
        let count = cumulative.last().unwrap_or(0);
        Value::Histogram(exposition::Histogram {
            count: Count::Integer(count),
            sum: self.0.sum.get(),
            buckets,
            native: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_counts_whole_steps_and_fractions() {
        let counter = Counter::new();
        counter.inc();
        counter.add(2);
        counter.add_f64(0.5);
        counter.add_f64(-7.0);
        counter.add_f64(f64::NAN);
        assert_eq!(counter.get(), 3.5);
    }

    #[test]
    fn a_gauge_goes_both_ways() {
        let gauge = Gauge::new();
        gauge.set(5.0);
        gauge.inc();
        gauge.add(-2.5);
        assert_eq!(gauge.get(), 3.5);
        let guard = gauge.guard();
        assert_eq!(gauge.get(), 4.5);
        drop(guard);
        assert_eq!(gauge.get(), 3.5);
    }

    #[test]
    fn no_increment_is_lost_between_threads() {
        let (counter, gauge, histogram) = (Counter::new(), Gauge::new(), Histogram::new(&[1.0]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        counter.inc();
                        counter.add_f64(0.5);
                        gauge.add(1.0);
                        histogram.observe(2.0);
                    }
                });
            }
        });
        assert_eq!(counter.get(), 30_000.0);
        assert_eq!(gauge.get(), 20_000.0);
        assert_eq!((histogram.count(), histogram.sum()), (20_000, 40_000.0));
    }

    #[test]
    fn bucket_bounds_are_inclusive_and_counts_cumulative() {
        let histogram = Histogram::new(&[2.0, 1.0, f64::INFINITY, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 3.0] {
            histogram.observe(value);
        }
        let Value::Histogram(value) = histogram.value() else {
            panic!("a histogram");
        };
        let counts: Vec<_> = value
            .buckets
            .iter()
            .map(|b| (b.upper_bound, b.cumulative_count.as_f64()))
            .collect();
        assert_eq!(counts, [(1.0, 2.0), (2.0, 4.0)]);
        assert_eq!(value.count, Count::Integer(5));
        assert_eq!(value.sum, 8.0);
    }

    #[test]
    fn bucket_series() {
        assert_eq!(linear_buckets(1.0, 2.0, 3), [1.0, 3.0, 5.0]);
        assert_eq!(exponential_buckets(1.0, 10.0, 3), [1.0, 10.0, 100.0]);
    }
}
