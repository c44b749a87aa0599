//! Summaries: quantiles over a sliding window (client_golang `prometheus/summary.go`), by Cormode,
//! Korn, Muthukrishnan, Srivastava, "Effective Computation of Biased Quantiles over Data Streams".
//!
//! Other than `telemetry::Summary` this one takes an observation with a weight (a sampled timer
//! counts 1/rate times at the cost of one), has no lock of its own and is told the time.

use std::time::Duration;

use exposition::Quantile;

use crate::mapper::SummaryOptions;

/// client_golang's defaults.
const MAX_AGE: Duration = Duration::from_secs(600);
const AGE_BUCKETS: u32 = 5;
const BUF_CAP: u32 = 500;

/// So many distinct values are kept as they are before any are merged.
const EXACT: usize = 500;

#[derive(Debug, Clone, Copy)]
struct Tuple {
    value: f64,
    /// How many ranks it covers.
    width: f64,
    /// How uncertain its rank is.
    delta: f64,
}

#[derive(Debug, Clone, Default)]
struct Stream {
    tuples: Vec<Tuple>,
    count: f64,
    merged: bool,
}

/// A summary.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Not yet in the streams: value and weight.
    pending: Vec<(f64, f64)>,
    /// Every stream takes every observation; the head is the oldest one and answers. When it gets
    /// too old it is emptied and becomes the youngest.
    streams: Box<[Stream]>,
    head: usize,
    head_expires: Duration,
}

fn step(options: &SummaryOptions) -> Duration {
    let max_age = match options.max_age {
        Duration::ZERO => MAX_AGE,
        max_age => max_age,
    };
    max_age / age_buckets(options)
}

fn age_buckets(options: &SummaryOptions) -> u32 {
    match options.age_buckets {
        0 => AGE_BUCKETS,
        // More of them than this are a mistake in the file, and memory.
        buckets => buckets.min(1000),
    }
}

impl Summary {
    pub(super) fn new(options: &SummaryOptions, now: Duration) -> Summary {
        Summary {
            count: 0,
            sum: 0.0,
            pending: Vec::new(),
            streams: vec![Stream::default(); age_buckets(options) as usize].into(),
            head: 0,
            head_expires: now + step(options),
        }
    }

    pub(super) fn observe(
        &mut self,
        options: &SummaryOptions,
        value: f64,
        times: u64,
        now: Duration,
    ) {
        self.count += times;
        self.sum += value * times as f64;
        if options.quantiles.is_empty() {
            return;
        }
        self.forget(options, now);
        self.pending.push((value, times as f64));
        let most = match options.buf_cap {
            0 => BUF_CAP,
            cap => cap.min(100_000),
        };
        if self.pending.len() >= most as usize {
            self.flush(options);
        }
    }

    /// The quantiles as of now; NaN where the window has no observation.
    pub(super) fn quantiles(&mut self, options: &SummaryOptions, now: Duration) -> Vec<Quantile> {
        self.forget(options, now);
        self.flush(options);
        let head = &self.streams[self.head];
        let quantiles = options.quantiles.iter().map(|(quantile, _)| Quantile {
            quantile: *quantile,
            value: head.query(&options.quantiles, *quantile),
        });
        let mut quantiles: Vec<Quantile> = quantiles.collect();
        quantiles.sort_by(|a, b| a.quantile.total_cmp(&b.quantile));
        quantiles.dedup_by(|a, b| a.quantile == b.quantile);
        quantiles
    }

    fn forget(&mut self, options: &SummaryOptions, now: Duration) {
        if now < self.head_expires {
            return;
        }
        self.flush(options);
        let step = step(options).max(Duration::from_nanos(1));
        for _ in 0..self.streams.len() {
            if now < self.head_expires {
                return;
            }
            self.streams[self.head] = Stream::default();
            self.head = (self.head + 1) % self.streams.len();
            self.head_expires += step;
        }
        // After a long silence all are empty: the window begins anew.
        if now >= self.head_expires {
            self.head_expires = now + step;
        }
    }

    fn flush(&mut self, options: &SummaryOptions) {
        if self.pending.is_empty() {
            return;
        }
        self.pending.sort_by(|a, b| a.0.total_cmp(&b.0));
        for stream in &mut self.streams {
            stream.insert(&options.quantiles, &self.pending);
        }
        self.pending.clear();
    }
}

impl Stream {
    /// How wide a tuple at `rank` may be (the paper's f(r, n), the smallest over all targets).
    fn allowed(&self, targets: &[(f64, f64)], rank: f64) -> f64 {
        let n = self.count;
        let allowed = targets.iter().map(|(quantile, error)| {
            if quantile * n <= rank {
                2.0 * error * rank / quantile
            } else {
                2.0 * error * (n - rank) / (1.0 - quantile)
            }
        });
        // A target of 0 or 1 divides by zero and so asks for the extreme itself.
        allowed
            .map(|f| if f.is_nan() { 0.0 } else { f })
            .fold(f64::INFINITY, f64::min)
    }

    /// Sorts values in that are sorted themselves.
    fn insert(&mut self, targets: &[(f64, f64)], values: &[(f64, f64)]) {
        let old = std::mem::take(&mut self.tuples);
        let mut tuples: Vec<Tuple> = Vec::with_capacity(old.len() + values.len());
        let mut old = old.into_iter().peekable();
        let mut rank = 0.0;
        for (value, weight) in values {
            while let Some(tuple) = old.next_if(|tuple| tuple.value.total_cmp(value).is_le()) {
                rank += tuple.width;
                tuples.push(tuple);
            }
            // At either end the rank is known exactly, and as long as nothing was merged.
            let delta = if !self.merged || old.peek().is_none() || tuples.is_empty() {
                0.0
            } else {
                (self.allowed(targets, rank).floor() - 1.0).max(0.0)
            };
            match tuples.last_mut() {
                Some(last) if last.value == *value && last.delta == 0.0 && delta == 0.0 => {
                    last.width += weight;
                }
                _ => tuples.push(Tuple {
                    value: *value,
                    width: *weight,
                    delta,
                }),
            }
            self.count += weight;
            rank += weight;
        }
        tuples.extend(old);
        if tuples.len() > EXACT {
            self.merged = true;
            tuples = self.compressed(targets, tuples);
        }
        self.tuples = tuples;
    }

    fn compressed(&self, targets: &[(f64, f64)], tuples: Vec<Tuple>) -> Vec<Tuple> {
        let mut kept: Vec<Tuple> = Vec::with_capacity(tuples.len());
        let mut rank = self.count;
        for tuple in tuples.into_iter().rev() {
            rank -= tuple.width;
            match kept.last_mut() {
                Some(right)
                    if tuple.width + right.width + right.delta <= self.allowed(targets, rank) =>
                {
                    right.width += tuple.width;
                }
                _ => kept.push(tuple),
            }
        }
        kept.reverse();
        kept.shrink_to_fit();
        kept
    }

    fn query(&self, targets: &[(f64, f64)], quantile: f64) -> f64 {
        let Some(first) = self.tuples.first() else {
            return f64::NAN;
        };
        let mut target = (quantile * self.count).ceil();
        if !self.merged {
            let mut rank = 0.0;
            for tuple in &self.tuples {
                rank += tuple.width;
                if rank >= target {
                    return tuple.value;
                }
            }
            return self.tuples[self.tuples.len() - 1].value;
        }
        target += (self.allowed(targets, target) / 2.0).ceil();
        let mut rank = 0.0;
        let mut previous = first;
        for tuple in &self.tuples[1..] {
            rank += previous.width;
            if rank + tuple.width + tuple.delta > target {
                return previous.value;
            }
            previous = tuple;
        }
        previous.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SummaryOptions {
        SummaryOptions {
            quantiles: vec![(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)],
            max_age: Duration::from_secs(100),
            age_buckets: 5,
            buf_cap: 0,
        }
    }

    fn at(summary: &mut Summary, seconds: u64) -> Vec<f64> {
        let quantiles = summary.quantiles(&options(), Duration::from_secs(seconds));
        quantiles.into_iter().map(|q| q.value).collect()
    }

    #[test]
    fn few_are_exact_and_weights_count() {
        let mut summary = Summary::new(&options(), Duration::ZERO);
        assert!(at(&mut summary, 0).iter().all(|v| v.is_nan()));
        for value in [5.0, 1.0, 3.0, 2.0, 4.0] {
            summary.observe(&options(), value, 1, Duration::ZERO);
        }
        assert_eq!(at(&mut summary, 0), [3.0, 5.0, 5.0]);
        summary.observe(&options(), 1.0, 1_000_000_000, Duration::ZERO);
        assert_eq!(at(&mut summary, 0), [1.0, 1.0, 1.0]);
        assert_eq!(summary.count, 1_000_000_005);
    }

    #[test]
    fn forgets() {
        let mut summary = Summary::new(&options(), Duration::ZERO);
        summary.observe(&options(), 1.0, 1, Duration::ZERO);
        summary.observe(&options(), 9.0, 3, Duration::from_secs(90));
        assert_eq!(at(&mut summary, 99)[0], 9.0);
        assert_eq!(at(&mut summary, 175)[0], 9.0);
        assert!(at(&mut summary, 300)[0].is_nan());
        assert_eq!(summary.sum, 28.0);
    }

    #[test]
    fn many_stay_within_the_error_in_little_memory() {
        let n = 50_000_usize;
        for factor in [1, 7919] {
            let mut summary = Summary::new(&options(), Duration::ZERO);
            for i in 0..n {
                summary.observe(&options(), (i * factor % n) as f64, 1, Duration::ZERO);
            }
            for (found, (quantile, error)) in at(&mut summary, 0).iter().zip(&options().quantiles) {
                let off = (found / n as f64 - quantile).abs();
                assert!(off <= *error, "{factor}: {quantile} is off by {off}");
            }
            assert!(summary.streams[0].tuples.len() < 2_000);
        }
    }
}
