//! The sum of two exponential histograms, as the collector's `deltatocumulativeprocessor` makes it.

use std::collections::BTreeMap;

use proto::otlp::metrics::ExponentialHistogramDataPoint;
use proto::otlp::metrics::exponential_histogram_data_point::Buckets;

/// Most buckets of a side: the resolution is halved until they suffice.
const MAX_BUCKETS: i64 = 160;

/// The buckets that count something, by index.
type Counts = BTreeMap<i64, u64>;

/// Adds `delta` to `sum`; times and attributes are not looked at.
pub(super) fn add(sum: &mut ExponentialHistogramDataPoint, delta: &ExponentialHistogramDataPoint) {
    let scale = sum.scale.min(delta.scale);
    let shift = |from: i32| i64::from(from) - i64::from(scale);
    let mut sides = [
        side(sum.positive.as_ref(), shift(sum.scale)),
        side(sum.negative.as_ref(), shift(sum.scale)),
    ];
    let mut more = [
        side(delta.positive.as_ref(), shift(delta.scale)),
        side(delta.negative.as_ref(), shift(delta.scale)),
    ];
    let mut zeros = sum.zero_count.saturating_add(delta.zero_count);
    if sum.zero_threshold != delta.zero_threshold {
        let widest = sum.zero_threshold.max(delta.zero_threshold);
        let last = index_of(widest, scale);
        for counts in sides.iter_mut().chain(&mut more) {
            zeros = zeros.saturating_add(take_up_to(counts, last));
        }
        sum.zero_threshold = upper_bound(last, scale);
    }
    for (counts, more) in sides.iter_mut().zip(more) {
        for (index, count) in more {
            let total = counts.entry(index).or_default();
            *total = total.saturating_add(count);
        }
    }
    let mut halvings = 0i32;
    while sides.iter().any(|counts| width(counts) > MAX_BUCKETS) {
        sides = sides.map(|counts| shifted(counts, 1));
        halvings += 1;
    }
    let [positive, negative] = sides;
    sum.scale = scale.saturating_sub(halvings);
    sum.positive = dense(&positive);
    sum.negative = dense(&negative);
    sum.zero_count = zeros;
    sum.count = sum.count.saturating_add(delta.count);
    sum.sum = sum.sum.zip(delta.sum).map(|(a, b)| a + b);
}

fn side(buckets: Option<&Buckets>, shift: i64) -> Counts {
    let mut counts = Counts::new();
    let Some(buckets) = buckets else {
        return counts;
    };
    for (i, count) in buckets.bucket_counts.iter().enumerate() {
        if *count > 0 {
            counts.insert(i64::from(buckets.offset) + i as i64, *count);
        }
    }
    shifted(counts, shift)
}

/// The same at a resolution that is `halvings` times halved.
fn shifted(counts: Counts, halvings: i64) -> Counts {
    if halvings == 0 {
        return counts;
    }
    let mut coarse = Counts::new();
    for (index, count) in counts {
        let total = coarse.entry(index >> halvings.min(62)).or_default();
        *total = total.saturating_add(count);
    }
    coarse
}

fn width(counts: &Counts) -> i64 {
    match (counts.first_key_value(), counts.last_key_value()) {
        (Some((first, _)), Some((last, _))) => last - first + 1,
        _ => 0,
    }
}

/// Takes the buckets up to `last`; answers what was in them.
fn take_up_to(counts: &mut Counts, last: i64) -> u64 {
    let kept = counts.split_off(&(last + 1));
    let taken = std::mem::replace(counts, kept);
    taken.into_values().fold(0, u64::saturating_add)
}

/// The bucket that `value`, which is positive, falls into; buckets have their upper bound in them.
fn index_of(value: f64, scale: i32) -> i64 {
    let position = value.log2() * f64::from(scale).exp2();
    let whole = position.round();
    // A bound that was computed from an index has to lead back to it.
    if (position - whole).abs() <= 1e-9 * position.abs().max(1.0) {
        whole as i64 - 1
    } else {
        position.floor() as i64
    }
}

fn upper_bound(index: i64, scale: i32) -> f64 {
    ((index as f64 + 1.0) * (-f64::from(scale)).exp2()).exp2()
}

fn dense(counts: &Counts) -> Option<Buckets> {
    let (first, last) = (*counts.first_key_value()?.0, *counts.last_key_value()?.0);
    let bucket_counts = (first..=last)
        .map(|index| counts.get(&index).copied().unwrap_or(0))
        .collect();
    Some(Buckets {
        offset: i32::try_from(first).unwrap_or(if first < 0 { i32::MIN } else { i32::MAX }),
        bucket_counts,
    })
}

#[cfg(test)]
mod tests {
    use super::super::histograms;
    use super::*;

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            sum: Some(1.0),
            ..histograms::tests::point(scale, offset, counts)
        }
    }

    #[track_caller]
    fn check(
        mut sum: ExponentialHistogramDataPoint,
        delta: ExponentialHistogramDataPoint,
        want: (i32, i32, &[u64]),
    ) {
        let count = sum.count + delta.count;
        add(&mut sum, &delta);
        let positive = sum.positive.unwrap();
        assert_eq!((sum.scale, positive.offset, &*positive.bucket_counts), want);
        assert_eq!((sum.count, sum.sum), (count, Some(2.0)));
    }

    #[test]
    fn buckets_are_added_at_the_coarser_resolution() {
        check(
            point(2, 1, &[1, 2]),
            point(2, 2, &[3, 4]),
            (2, 1, &[1, 5, 4]),
        );
        check(
            point(2, -3, &[1, 0, 2]),
            point(1, -1, &[5]),
            (1, -2, &[1, 7]),
        );
        check(point(0, 0, &[]), point(3, 8, &[1]), (0, 1, &[1]));
    }

    #[test]
    fn too_many_buckets_halve_the_resolution() {
        let many = vec![1; 150];
        let mut sum = point(8, 0, &many);
        add(&mut sum, &point(8, 100, &many));
        let positive = sum.positive.unwrap();
        assert_eq!((sum.scale, positive.offset), (7, 0));
        assert_eq!(positive.bucket_counts.len(), 125);
        assert_eq!(positive.bucket_counts.iter().sum::<u64>(), 300);
        // As far apart as they can be.
        let mut sum = point(20, i32::MIN, &[1]);
        add(&mut sum, &point(20, i32::MAX, &[1, 1]));
        let positive = sum.positive.unwrap();
        assert_eq!(positive.bucket_counts.iter().sum::<u64>(), 3);
        assert!(positive.bucket_counts.len() as i64 <= MAX_BUCKETS);
    }

    #[test]
    fn the_wider_zero_bucket_takes_what_falls_into_it() {
        // Buckets up to 2, 4, 8 and 16.
        let mut sum = point(0, 0, &[1, 2, 4, 8]);
        sum.zero_count = 1;
        let mut delta = point(0, 2, &[16]);
        delta.zero_threshold = 4.0;
        delta.zero_count = 32;
        add(&mut sum, &delta);
        assert_eq!((sum.zero_count, sum.zero_threshold), (36, 4.0));
        let positive = sum.positive.clone().unwrap();
        assert_eq!((positive.offset, positive.bucket_counts), (2, vec![20, 8]));
        // It does not grow with every further one.
        add(&mut sum, &delta);
        assert_eq!((sum.zero_count, sum.zero_threshold), (68, 4.0));
        // Within a bucket: all of the bucket is zero then.
        delta.zero_threshold = 5.0;
        add(&mut sum, &delta);
        assert_eq!(sum.zero_threshold, 8.0);
        for scale in [-4, 3, 8] {
            let index = index_of(1.234, scale);
            let bound = upper_bound(index, scale);
            assert!(bound >= 1.234);
            assert_eq!(index_of(bound, scale), index);
        }
    }
}
