//! The trim operators `</` and `>/` (prometheus/prometheus `promql/engine.go`): removing the
//! observations above or below a bound, as far as buckets tell.

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
    ExponentialPositive,
    ExponentialNegative,
}

impl FloatHistogram {
    /// Removes the observations above `bound`. A bucket that the bound cuts keeps its share; the
    /// sum loses what the removed observations are estimated to be. Empty buckets are left out.
    pub fn trim_above(&mut self, bound: f64) {
        self.trim(bound, Keep::Below);
    }

    /// Removes the observations below `bound`, likewise.
    pub fn trim_below(&mut self, bound: f64) {
        self.trim(bound, Keep::Above);
    }

    fn trim(&mut self, bound: f64, keep: Keep) {
        let custom = self.uses_custom_buckets();
        let mut trimmed = Trimmed::default();
        let positive: Vec<Bucket> = self.positive().collect();
        for (count, bucket) in self.positive_buckets.iter_mut().zip(&positive) {
            if bucket.count == 0.0 {
                continue;
            }
            trimmed.has_negative |= custom && (bucket.upper <= 0.0 || bucket.lower < 0.0);
            trimmed.has_positive |= !custom || bucket.upper > 0.0;
            let spread = if custom {
                Spread::Linear
            } else {
                Spread::ExponentialPositive
            };
            *count = trimmed.take(bucket, bound, keep, spread);
        }
        let negative: Vec<Bucket> = self.negative().collect();
        for (count, bucket) in self.negative_buckets.iter_mut().zip(&negative) {
            if bucket.count == 0.0 {
                continue;
            }
            trimmed.has_negative = true;
            *count = trimmed.take(bucket, bound, keep, Spread::ExponentialNegative);
        }
        if self.zero_count > 0.0 {
            let below = share_below(&self.zero_bucket(), bound, Spread::Linear);
            self.zero_count = match keep {
                Keep::Below => below,
                Keep::Above => self.zero_count - below,
            };
            trimmed.count += self.zero_count;
        }
        self.sum = trimmed.sum(self.sum);
        self.count = trimmed.count;
        self.compact(0);
    }
}

#[derive(Default)]
struct Trimmed {
    count: f64,
    removed_sum: f64,
    has_positive: bool,
    has_negative: bool,
}

impl Trimmed {
    /// Accounts for a bucket and returns what it keeps.
    fn take(&mut self, bucket: &Bucket, bound: f64, keep: Keep, spread: Spread) -> f64 {
        let (whole, cut) = match keep {
            Keep::Below => (bucket.upper <= bound, bucket.lower < bound),
            Keep::Above => (bucket.lower >= bound, bucket.upper > bound),
        };
        let (kept, mut midpoint) = cut_bucket(bucket, bound, keep, spread);
        if whole {
            self.count += bucket.count;
            return bucket.count;
        }
        if cut {
            self.removed_sum += (bucket.count - kept) * midpoint;
            self.count += kept;
            return kept;
        }
        if spread != Spread::Linear {
            midpoint = (bucket.lower * bucket.upper).sqrt();
        }
        self.removed_sum += bucket.count * midpoint;
        0.0
    }

    fn sum(&self, original: f64) -> f64 {
        if self.count == 0.0 {
            return 0.0;
        }
        let sum = original - self.removed_sum;
        // An estimate must not change the sign that the buckets allow.
        if (!self.has_negative && sum < 0.0) || (!self.has_positive && sum > 0.0) {
            return 0.0;
        }
        sum
    }
}

/// What a bucket keeps, and the middle of what it loses.
fn cut_bucket(bucket: &Bucket, bound: f64, keep: Keep, spread: Spread) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return cut_infinite_bucket(bucket, bound, keep);
    }
    let below = share_below(bucket, bound, spread);
    match keep {
        Keep::Below => (
            below,
            midpoint(bucket, bucket.lower.abs() * bound.abs(), spread),
        ),
        Keep::Above => (
            bucket.count - below,
            midpoint(bucket, bound.abs() * bucket.upper.abs(), spread),
        ),
    }
}

/// How observations are spread towards infinity is unknown: such a bucket goes as a whole, unless
/// it begins at -Inf and ends above zero, when zero stands for its lower bound.
fn cut_infinite_bucket(bucket: &Bucket, bound: f64, keep: Keep) -> (f64, f64) {
    if bucket.lower == f64::NEG_INFINITY {
        let from_zero = bound >= 0.0 && bucket.upper > bound && bucket.upper != f64::INFINITY;
        return match keep {
            Keep::Below if bound >= bucket.upper => (bucket.count, 0.0),
            Keep::Above if bound <= bucket.lower => (bucket.count, 0.0),
            Keep::Below if from_zero => (
                bucket.count * bound / bucket.upper,
                (bound + bucket.upper) / 2.0,
            ),
            Keep::Above if from_zero => (bucket.count * (1.0 - bound / bucket.upper), bound / 2.0),
            _ => (0.0, bucket.upper),
        };
    }
    match keep {
        Keep::Above if bound <= bucket.lower => (bucket.count, 0.0),
        _ => (0.0, bucket.lower),
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
        Spread::Linear => (bound - bucket.lower) / (bucket.upper - bucket.lower),
        Spread::ExponentialPositive => {
            (log(bound) - log(bucket.lower)) / (log(bucket.upper) - log(bucket.lower))
        }
        Spread::ExponentialNegative => {
            1.0 - (log(bound) - log(bucket.upper)) / (log(bucket.lower) - log(bucket.upper))
        }
    };
    bucket.count * fraction
}

fn midpoint(bucket: &Bucket, product: f64, spread: Spread) -> f64 {
    match spread {
        Spread::Linear => (bucket.lower + bucket.upper) / 2.0,
        Spread::ExponentialPositive => product.sqrt(),
        Spread::ExponentialNegative => -product.sqrt(),
    }
}
