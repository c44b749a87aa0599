//! The trim operators `</` and `>/` (prometheus/prometheus `TrimBuckets`): keeping the observations
//! below or above a bound, as far as buckets tell.

use super::{Bucket, FloatHistogram};

/// Which observations stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Below,
    Above,
}

/// How observations are taken to be spread within a bucket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    Linear,
    /// Linear, in the zero bucket.
    Zero,
    /// Positive or negative, by the bucket's bounds.
    Exponential,
}

impl FloatHistogram {
    /// Keeps the observations that are not above `bound`. Of a bucket that the bound cuts a share
    /// stays; the sum becomes that of the kept buckets' middles, unless nothing goes. Empty buckets
    /// are left out.
    pub fn trim_above(&mut self, bound: f64) {
        self.trim(bound, Keep::Below);
    }

    /// Keeps the observations that are not below `bound`, likewise.
    pub fn trim_below(&mut self, bound: f64) {
        self.trim(bound, Keep::Above);
    }

    fn trim(&mut self, bound: f64, keep: Keep) {
        let spread = if self.uses_custom_buckets() {
            Spread::Linear
        } else {
            Spread::Exponential
        };
        let mut kept = Kept {
            bound,
            keep,
            count: 0.0,
            sum: 0.0,
            cut: false,
        };
        // The zero bucket lies on the side on which there are other buckets.
        let zero = (self.zero_count > 0.0 && !self.uses_custom_buckets()).then(|| {
            let mut zero = self.zero_bucket();
            let populated = |buckets: &[f64]| buckets.iter().any(|count| *count != 0.0);
            let negative = populated(&self.negative_buckets);
            let positive = populated(&self.positive_buckets);
            if positive && !negative {
                zero.lower = 0.0;
            } else if negative && !positive {
                zero.upper = 0.0;
            }
            zero
        });
        let positive: Vec<Bucket> = self.positive().collect();
        for (count, bucket) in self.positive_buckets.iter_mut().zip(&positive) {
            *count = kept.take(bucket, spread);
        }
        let negative: Vec<Bucket> = self.negative().collect();
        for (count, bucket) in self.negative_buckets.iter_mut().zip(&negative) {
            *count = kept.take(bucket, spread);
        }
        if let Some(zero) = zero {
            self.zero_count = kept.take_share(&zero, Spread::Zero);
        }
        if kept.cut {
            self.sum = if kept.count == 0.0 { 0.0 } else { kept.sum };
            self.count = kept.count;
            self.compact(0);
        }
    }
}

/// What stays of the buckets so far.
struct Kept {
    bound: f64,
    keep: Keep,
    count: f64,
    sum: f64,
    /// Something went.
    cut: bool,
}

impl Kept {
    /// Accounts for a bucket and returns the count that it keeps.
    fn take(&mut self, bucket: &Bucket, spread: Spread) -> f64 {
        if bucket.count == 0.0 {
            return 0.0;
        }
        // Neither below nor above what is no number.
        if self.bound.is_nan() {
            self.cut = true;
            return 0.0;
        }
        self.take_share(bucket, spread)
    }

    fn take_share(&mut self, bucket: &Bucket, spread: Spread) -> f64 {
        let (count, middle) = if bucket.lower.is_infinite() || bucket.upper.is_infinite() {
            self.of_infinite(bucket)
        } else {
            self.of(bucket, spread)
        };
        self.cut |= count != bucket.count;
        self.count += count;
        if count != 0.0 {
            self.sum += count * middle;
        }
        count
    }

    /// The count that a bucket keeps, and the middle of what it keeps.
    fn of(&self, bucket: &Bucket, spread: Spread) -> (f64, f64) {
        let below = share_below(bucket, self.bound, spread);
        // To the last digit: of the zero bucket upstream computes the share that stays.
        if spread == Spread::Zero
            && self.keep == Keep::Above
            && bucket.lower < self.bound
            && self.bound < bucket.upper
        {
            let share = (bucket.upper - self.bound) / (bucket.upper - bucket.lower);
            let middle = f64::midpoint(self.bound, bucket.upper);
            return (bucket.count * share, middle);
        }
        let (count, from, to) = match self.keep {
            Keep::Below => (below, bucket.lower, bucket.upper.min(self.bound)),
            Keep::Above => (
                bucket.count - below,
                bucket.lower.max(self.bound),
                bucket.upper,
            ),
        };
        let middle = match spread {
            Spread::Linear | Spread::Zero => f64::midpoint(from, to),
            Spread::Exponential if bucket.upper <= 0.0 => -(from.abs() * to.abs()).sqrt(),
            Spread::Exponential => (from.abs() * to.abs()).sqrt(),
        };
        (count, middle)
    }

    /// A custom bucket without a finite bound on one side: its observations are at infinity, as far
    /// as the bound goes. If it begins at -Inf and ends above zero, it begins at zero instead.
    fn of_infinite(&self, bucket: &Bucket) -> (f64, f64) {
        let bound = self.bound;
        let all = |at: f64| (bucket.count, at);
        let nothing = (0.0, 0.0);
        if bucket.lower == f64::NEG_INFINITY && bucket.upper == f64::INFINITY {
            let noop = match self.keep {
                Keep::Below => bound == f64::INFINITY,
                Keep::Above => bound == f64::NEG_INFINITY,
            };
            return if noop { all(0.0) } else { nothing };
        }
        if bucket.lower == f64::NEG_INFINITY {
            if self.keep == Keep::Above && bound == f64::NEG_INFINITY {
                return all(bucket.upper);
            }
            if bucket.upper > 0.0 {
                if bound < 0.0 {
                    return nothing;
                }
                let (count, upper) = (bucket.count, bucket.upper);
                return match self.keep {
                    Keep::Below if bound >= upper => all(upper / 2.0),
                    Keep::Below => (count * bound / upper, bound / 2.0),
                    Keep::Above if bound >= upper => nothing,
                    Keep::Above => (count * (1.0 - bound / upper), f64::midpoint(bound, upper)),
                };
            }
            return match self.keep {
                Keep::Below if bound == f64::NEG_INFINITY => nothing,
                Keep::Below => all(bucket.upper.min(bound)),
                Keep::Above => nothing,
            };
        }
        match self.keep {
            Keep::Below if bound == f64::INFINITY => all(bucket.lower),
            Keep::Below => nothing,
            Keep::Above if bound == f64::INFINITY => nothing,
            Keep::Above => all(bucket.lower.max(bound)),
        }
    }
}

/// The observations of the bucket that are not above `bound`.
fn share_below(bucket: &Bucket, bound: f64, spread: Spread) -> f64 {
    if bound <= bucket.lower {
        return 0.0;
    }
    if bound >= bucket.upper {
        return bucket.count;
    }
    let log = |v: f64| v.abs().log2();
    let fraction = match spread {
        Spread::Linear | Spread::Zero => (bound - bucket.lower) / (bucket.upper - bucket.lower),
        Spread::Exponential if bucket.upper > 0.0 => {
            (log(bound) - log(bucket.lower)) / (log(bucket.upper) - log(bucket.lower))
        }
        Spread::Exponential => {
            1.0 - (log(bound) - log(bucket.upper)) / (log(bucket.lower) - log(bucket.upper))
        }
    };
    bucket.count * fraction
}
