//! Quantiles of values, of classic buckets and of native histograms
//! (prometheus/prometheus `promql/quantile.go`).

use model::FloatHistogram;

/// The quantile of values, interpolated between neighbours. The values are sorted, NaN first.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if (0.0..=1.0).contains(&q) {
        values.sort_unstable_by_key(|v| order(*v));
    }
    quantile_of_sorted(q, values)
}

/// [`quantile`] of values in their [`order`].
pub(crate) fn quantile_of_sorted(q: f64, values: &[f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}

/// What values are sorted by: NaN is the least, -0 less than 0.
#[inline]
fn order(v: f64) -> i64 {
    if v.is_nan() {
        return i64::MIN;
    }
    let bits = v.to_bits() as i64;
    // Below zero a greater magnitude is less.
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// The values of a window in their order, kept up while the window moves.
#[derive(Default)]
pub(crate) struct SortedWindow {
    values: Vec<f64>,
    from: usize,
    to: usize,
}

impl SortedWindow {
    /// Moves to `from..to` of `all`, neither of which goes back from one call to the next.
    pub(crate) fn slide(&mut self, all: &[f64], from: usize, to: usize) -> &[f64] {
        let len = to - from;
        let changes = (from - self.from) + (to - self.to);
        // Moving half of a window for each change, or sorting it all; in nanoseconds, about.
        let keep_up = changes * (20 + len / 16);
        let sort_all = len * (len.max(2).ilog2() as usize) * 3;
        if from >= self.to || keep_up > sort_all {
            self.values.clear();
            self.values.extend_from_slice(&all[from..to]);
            self.values.sort_unstable_by_key(|v| order(*v));
        } else {
            for v in &all[self.from..from] {
                let at = self.place(*v);
                self.values.remove(at);
            }
            for v in &all[self.to..to] {
                let at = self.place(*v);
                self.values.insert(at, *v);
            }
        }
        (self.from, self.to) = (from, to);
        &self.values
    }

    /// Of the first value that is not less.
    fn place(&self, v: f64) -> usize {
        self.values
            .partition_point(|other| order(*other) < order(v))
    }
}

/// A bucket of a classic histogram: how many observations are not above `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicBucket {
    pub upper: f64,
    pub count: f64,
}

/// What had to be changed to make buckets monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forced {
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
}

/// Relative differences below this are taken for rounding.
const SMALL_DELTA: f64 = 1e-12;

/// Sorts buckets and joins those with the same bound. False if the last one is not +Inf.
fn normalize(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| {
        a.upper
            .partial_cmp(&b.upper)
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    if buckets
        .last()
        .is_none_or(|last| last.upper != f64::INFINITY)
    {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// The quantile of a classic histogram, linear within a bucket, and what monotonicity needed.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !normalize(buckets) {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    let observations = buckets[buckets.len() - 1].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, None);
    }
    let mut rank = q * observations;
    let last = buckets.len() - 1;
    // Counts rise, so that the first one is found that reaches the rank; none reaches NaN.
    let found = buckets[..last]
        .iter()
        .position(|bucket| bucket.count >= rank)
        .unwrap_or(last);
    if found == last {
        return (buckets[last - 1].upper, forced);
    }
    if found == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let end = buckets[found].upper;
    let mut start = 0.0;
    let mut count = buckets[found].count;
    if found > 0 {
        start = buckets[found - 1].upper;
        count -= buckets[found - 1].count;
        rank -= buckets[found - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

/// Raises every count to that of the bucket before it, if it is below.
fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        if count == previous {
            continue;
        }
        if almost_equal(previous, count, SMALL_DELTA) {
            bucket.count = previous;
        } else if count < previous {
            bucket.count = previous;
            let diff = previous - count;
            let seen = forced.get_or_insert(Forced {
                min_bucket: bucket.upper,
                max_bucket: bucket.upper,
                max_diff: diff,
            });
            seen.min_bucket = seen.min_bucket.min(bucket.upper);
            seen.max_bucket = seen.max_bucket.max(bucket.upper);
            seen.max_diff = seen.max_diff.max(diff);
        } else {
            previous = count;
        }
    }
    forced
}

/// prometheus/prometheus `util/almost`.
fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    const MIN_NORMAL: f64 = f64::MIN_POSITIVE;
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let diff = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < MIN_NORMAL {
        return diff < epsilon * MIN_NORMAL;
    }
    diff / sum.min(f64::MAX) < epsilon
}

/// The share of a classic histogram's observations between two values.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !normalize(buckets) {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut ranks = Ranks::new(lower, upper);
    let mut rank = 0.0;
    for (i, bucket) in buckets.iter().enumerate() {
        let start = match i {
            0 if bucket.upper > 0.0 => 0.0,
            0 => f64::NEG_INFINITY,
            _ => buckets[i - 1].upper,
        };
        let end = bucket.upper;
        let within = |v: f64| {
            // Where a bucket has no end, its observations are at its other end.
            if start == f64::NEG_INFINITY {
                bucket.count
            } else if end == f64::INFINITY {
                rank
            } else {
                rank + (bucket.count - rank) * (v - start) / (end - start)
            }
        };
        if ranks.see(start, end, rank, within) {
            break;
        }
        rank = bucket.count;
    }
    ranks.fraction(count, count)
}

/// The ranks of two values while buckets are walked upwards.
struct Ranks {
    lower: f64,
    upper: f64,
    lower_rank: Option<f64>,
    upper_rank: Option<f64>,
}

impl Ranks {
    fn new(lower: f64, upper: f64) -> Ranks {
        Ranks {
            lower,
            upper,
            lower_rank: None,
            upper_rank: None,
        }
    }

    /// Looks at a bucket with `rank` observations below it; true once both are found.
    fn see(&mut self, start: f64, end: f64, rank: f64, within: impl Fn(f64) -> f64) -> bool {
        for (value, found) in [
            (self.lower, &mut self.lower_rank),
            (self.upper, &mut self.upper_rank),
        ] {
            if found.is_some() {
                continue;
            }
            if start >= value {
                *found = Some(rank);
            } else if start < value && end > value {
                *found = Some(within(value));
            }
        }
        self.lower_rank.is_some() && self.upper_rank.is_some()
    }

    fn fraction(&self, most: f64, count: f64) -> f64 {
        let rank = |found: Option<f64>| match found {
            Some(rank) if rank > most => most,
            Some(rank) => rank,
            None => most,
        };
        (rank(self.upper_rank) - rank(self.lower_rank)) / count
    }
}

/// What NaN observations do to a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NanObservations {
    /// None, or they do not matter.
    No,
    /// The quantile lies among them.
    Result,
    /// They count as above everything else.
    Skew,
}

/// The quantile of a native histogram: exponential within exponential buckets, linear within custom
/// buckets and the zero bucket.
pub(crate) fn histogram_quantile(q: f64, h: &FloatHistogram) -> (f64, NanObservations) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, NanObservations::No);
    }
    if q > 1.0 {
        return (f64::INFINITY, NanObservations::No);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, NanObservations::No);
    }
    // NaN observations are in the count but in no bucket: ranks hold from below only.
    let has_nan = h.sum.is_nan();
    let forward = has_nan || q < 0.5;
    let mut rank = if forward { q } else { 1.0 - q } * h.count;

    let all = h.all_buckets();
    let mut count = 0.0;
    let mut found: Option<model::histogram::Bucket> = None;
    let mut walk = |bucket: model::histogram::Bucket| {
        found = Some(bucket);
        if bucket.count == 0.0 {
            return false;
        }
        count += bucket.count;
        count >= rank
    };
    if forward {
        all.iter().any(&mut walk);
    } else {
        all.iter().rev().any(&mut walk);
    }
    let Some(mut bucket) = found else {
        // No buckets at all; the count is all NaN observations, or the histogram has no buckets.
        return if has_nan {
            (f64::NAN, NanObservations::Result)
        } else {
            (0.0, NanObservations::No)
        };
    };
    if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanObservations::No);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanObservations::No);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
            bucket.lower = 0.0;
        } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
            bucket.upper = 0.0;
        }
    }
    // Rounding may have summed up more than there is.
    if count > h.count {
        count = h.count;
    }
    if count < rank {
        return if has_nan {
            (f64::NAN, NanObservations::Result)
        } else {
            (bucket.upper, NanObservations::No)
        };
    }
    if forward {
        rank -= count - bucket.count;
    } else {
        rank = count - rank;
    }
    let mut nan = NanObservations::No;
    if has_nan {
        let in_buckets: f64 = all.iter().map(|b| b.count).sum();
        if in_buckets < h.count {
            nan = NanObservations::Skew;
        }
    }
    let fraction = rank / bucket.count;
    if h.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * fraction, nan);
    }
    let log_lower = super::math::log2(bucket.lower.abs());
    let log_upper = super::math::log2(bucket.upper.abs());
    let value = if bucket.lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    };
    (value, nan)
}

/// The share of a native histogram's observations between two values, and whether NaN observations
/// were left out.
pub(crate) fn histogram_fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let mut ranks = Ranks::new(lower, upper);
    let mut rank = 0.0;
    let custom = h.uses_custom_buckets();
    let all = h.all_buckets();
    for mut bucket in all.iter() {
        let around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if around_zero {
            if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
                bucket.lower = 0.0;
            } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
                bucket.upper = 0.0;
            }
        }
        let within = |v: f64| {
            if custom || around_zero {
                if custom && bucket.lower == f64::NEG_INFINITY {
                    return rank + bucket.count;
                }
                if custom && bucket.upper == f64::INFINITY {
                    return rank;
                }
                let below = (v - bucket.lower) / (bucket.upper - bucket.lower);
                return rank + bucket.count * below;
            }
            let log = |v: f64| super::math::log2(v.abs());
            let (lower, upper) = (log(bucket.lower), log(bucket.upper));
            let fraction = if v > 0.0 {
                (log(v) - lower) / (upper - lower)
            } else {
                1.0 - ((log(v) - upper) / (lower - upper))
            };
            rank + bucket.count * fraction
        };
        if ranks.see(bucket.lower, bucket.upper, rank, within) {
            break;
        }
        rank += bucket.count;
    }
    let mut most = h.count;
    let mut left_out = false;
    if h.sum.is_nan() {
        let in_buckets: f64 = all.iter().map(|b| b.count).sum();
        if in_buckets < h.count {
            most = in_buckets;
            left_out = true;
        }
    }
    (ranks.fraction(most, h.count), left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_values() {
        for (q, values, want) in [
            (0.5, &[3.0, 1.0, 2.0][..], 2.0),
            (0.25, &[1.0, 2.0], 1.25),
            (-0.1, &[1.0], f64::NEG_INFINITY),
            (1.1, &[1.0], f64::INFINITY),
            (1.0, &[1.0, 5.0], 5.0),
        ] {
            assert_eq!(quantile(q, &mut values.to_vec()), want, "{q} {values:?}");
        }
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn quantiles_of_buckets() {
        let buckets = |list: &[(f64, f64)]| -> Vec<ClassicBucket> {
            list.iter()
                .map(|(upper, count)| ClassicBucket {
                    upper: *upper,
                    count: *count,
                })
                .collect()
        };
        let inf = f64::INFINITY;
        let mut simple = buckets(&[(inf, 10.0), (1.0, 5.0), (2.0, 10.0)]);
        assert_eq!(bucket_quantile(0.75, &mut simple), (1.5, None));
        let mut falling = buckets(&[(1.0, 5.0), (2.0, 3.0), (inf, 10.0)]);
        let (value, forced) = bucket_quantile(0.5, &mut falling);
        assert_eq!(value, 1.0);
        assert_eq!(
            forced,
            Some(Forced {
                min_bucket: 2.0,
                max_bucket: 2.0,
                max_diff: 2.0
            })
        );
        assert!(bucket_quantile(0.5, &mut buckets(&[(1.0, 5.0)])).0.is_nan());
        assert_eq!(
            bucket_fraction(
                0.0,
                1.5,
                &mut buckets(&[(1.0, 5.0), (2.0, 10.0), (inf, 10.0)])
            ),
            0.75
        );
    }
}
