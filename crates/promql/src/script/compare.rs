//! Comparisons with tolerance (prometheus/prometheus `util/almost`, `promql/promqltest`).

use model::{FloatHistogram, is_stale};

/// The relative difference that scripts and rule unit tests allow.
pub const EPSILON: f64 = 0.000_001;

/// Whether two values differ by less than `epsilon` times the sum of their sizes. Stale markers
/// equal only each other, all other NaNs equal each other.
pub fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let size = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < epsilon * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < epsilon
}

/// Whether two histograms are the same up to [`EPSILON`] in count, sum and buckets, and up to how
/// their spans are cut. Counter reset hints are compared only if `with_hint`.
pub fn histograms_match(a: &FloatHistogram, b: &FloatHistogram, with_hint: bool) -> bool {
    let (mut a, mut b) = (a.clone(), b.clone());
    a.compact(0);
    b.compact(0);
    let near = |a: f64, b: f64| almost_equal(a, b, EPSILON);
    let all_near =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(*a, *b));
    a.schema == b.schema
        && near(a.count, b.count)
        && near(a.sum, b.sum)
        && a.custom_values == b.custom_values
        && a.zero_threshold == b.zero_threshold
        && near(a.zero_count, b.zero_count)
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && all_near(&a.positive_buckets, &b.positive_buckets)
        && all_near(&a.negative_buckets, &b.negative_buckets)
        && (!with_hint || a.counter_reset_hint == b.counter_reset_hint)
}
