//! Quantiles of a stream in little memory: Cormode, Korn, Muthukrishnan, Srivastava, "Effective
//! Computation of Biased Quantiles over Data Streams", the targeted variant client_golang uses.
//!
//! Observations are kept as tuples (value, width, delta): `width` is how many ranks the tuple covers,
//! `delta` how uncertain its rank is. Neighbours are merged as long as the error allowed at their
//! rank permits it.

use crate::Objective;

/// Observations are sorted in before they are many.
const BUFFER: usize = 500;

#[derive(Clone, Debug)]
struct Tuple {
    value: f64,
    width: f64,
    delta: f64,
}

/// One stream of observations.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    targets: Box<[Objective]>,
    tuples: Vec<Tuple>,
    buffer: Vec<f64>,
    /// Observations in `tuples`.
    count: f64,
}

impl Stream {
    pub(crate) fn new(targets: &[Objective]) -> Stream {
        Stream {
            targets: targets.into(),
            tuples: Vec::new(),
            buffer: Vec::new(),
            count: 0.0,
        }
    }

    pub(crate) fn insert(&mut self, value: f64) {
        self.buffer.push(value);
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.tuples.clear();
        self.buffer.clear();
        self.count = 0.0;
    }

    /// The value at quantile `q`; NaN without observations.
    pub(crate) fn query(&mut self, q: f64) -> f64 {
        // Few observations are answered exactly.
        if self.tuples.is_empty() {
            if self.buffer.is_empty() {
                return f64::NAN;
            }
            self.buffer.sort_by(f64::total_cmp);
            let rank = (q * self.buffer.len() as f64).ceil() as usize;
            return self.buffer[rank.clamp(1, self.buffer.len()) - 1];
        }
        self.flush();
        let mut target = (q * self.count).ceil();
        target += (self.allowed_error(target) / 2.0).ceil();
        let mut rank = 0.0;
        let mut previous = &self.tuples[0];
        for tuple in &self.tuples[1..] {
            rank += previous.width;
            if rank + tuple.width + tuple.delta > target {
                return previous.value;
            }
            previous = tuple;
        }
        previous.value
    }

    /// How wide a tuple at `rank` may be (the paper's f(r, n), the smallest over all targets).
    fn allowed_error(&self, rank: f64) -> f64 {
        let n = self.count;
        self.targets
            .iter()
            .map(|target| {
                if target.quantile * n <= rank {
                    2.0 * target.error * rank / target.quantile
                } else {
                    2.0 * target.error * (n - rank) / (1.0 - target.quantile)
                }
            })
            .fold(f64::INFINITY, f64::min)
    }

    /// Sorts the buffer into the tuples and merges what may be merged.
    fn flush(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.sort_by(f64::total_cmp);
        let mut merged = Vec::with_capacity(self.tuples.len() + buffer.len());
        let mut old = std::mem::take(&mut self.tuples).into_iter().peekable();
        let mut rank = 0.0;
        for value in buffer.drain(..) {
            while let Some(tuple) = old.next_if(|tuple| tuple.value <= value) {
                rank += tuple.width;
                merged.push(tuple);
            }
            // At either end the rank is known exactly.
            let delta = if old.peek().is_none() || merged.is_empty() {
                0.0
            } else {
                (self.allowed_error(rank).floor() - 1.0).max(0.0)
            };
            merged.push(Tuple {
                value,
                width: 1.0,
                delta,
            });
            self.count += 1.0;
            rank += 1.0;
        }
        merged.extend(old);
        self.tuples = self.compress(merged);
        self.buffer = buffer;
    }

    fn compress(&self, tuples: Vec<Tuple>) -> Vec<Tuple> {
        let mut kept: Vec<Tuple> = Vec::with_capacity(tuples.len());
        let mut rank = self.count;
        for tuple in tuples.into_iter().rev() {
            let Some(right) = kept.last_mut() else {
                rank -= tuple.width;
                kept.push(tuple);
                continue;
            };
            let before = rank - tuple.width;
            if tuple.width + right.width + right.delta <= self.allowed_error(before) {
                right.width += tuple.width;
            } else {
                kept.push(tuple);
            }
            rank = before;
        }
        kept.reverse();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &[Objective] = &[
        Objective {
            quantile: 0.5,
            error: 0.05,
        },
        Objective {
            quantile: 0.9,
            error: 0.01,
        },
        Objective {
            quantile: 0.99,
            error: 0.001,
        },
    ];

    #[test]
    fn few_observations_are_exact() {
        let mut stream = Stream::new(TARGETS);
        assert!(stream.query(0.5).is_nan());
        for value in [5.0, 1.0, 3.0, 2.0, 4.0] {
            stream.insert(value);
        }
        assert_eq!(stream.query(0.5), 3.0);
        assert_eq!(stream.query(0.99), 5.0);
        assert_eq!(stream.query(0.0), 1.0);
    }

    #[test]
    fn many_stay_within_the_error_in_little_memory() {
        for step in [1, 7919, 99_999 - 7919] {
            let mut stream = Stream::new(TARGETS);
            let n = 100_000_usize;
            // A permutation of 0..n, ascending for step 1.
            for i in 0..n {
                stream.insert((i * step % n) as f64);
            }
            for target in TARGETS {
                let found = stream.query(target.quantile) / n as f64;
                assert!(
                    (found - target.quantile).abs() <= target.error,
                    "step {step}: {target:?} is {found}"
                );
            }
            assert!(stream.tuples.len() < 2_000, "{}", stream.tuples.len());
        }
    }
}
