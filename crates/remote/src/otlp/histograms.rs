//! Exponential histograms as native ones, and explicit buckets as native ones with custom bounds.

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{CounterResetHint, Histogram, STALE_NAN, Span};
use proto::otlp::metrics::exponential_histogram_data_point::Buckets;
use proto::otlp::metrics::{ExponentialHistogramDataPoint, HistogramDataPoint};

/// The finest resolution of native histograms, and the coarsest.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// Width of the zero bucket where a point says none.
const ZERO_THRESHOLD: f64 = 1e-128;

/// Whether a point says that nothing was recorded.
pub(crate) const fn is_stale(flags: u32) -> bool {
    flags & 1 != 0
}

/// An exponential histogram as a native one.
///
/// # Errors
/// A resolution that is too coarse, buckets that cannot be counted.
pub(crate) fn exponential(point: &ExponentialHistogramDataPoint) -> Result<Histogram, String> {
    if point.scale < *SCHEMAS.start() {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= -4, was {}",
            point.scale
        ));
    }
    let shift = (point.scale - SCHEMAS.end()).max(0);
    let (positive_spans, positive_buckets) = spans(point.positive.as_ref(), shift)?;
    let (negative_spans, negative_buckets) = spans(point.negative.as_ref(), shift)?;
    let mut histogram = Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: point.scale - shift,
        zero_threshold: match point.zero_threshold {
            0.0 => ZERO_THRESHOLD,
            threshold => threshold,
        },
        zero_count: point.zero_count,
        count: point.count,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        custom_values: Vec::new(),
    };
    if is_stale(point.flags) {
        histogram.sum = STALE_NAN;
    }
    Ok(histogram)
}

/// Buckets as spans and differences; `shift` halvings of the resolution.
fn spans(buckets: Option<&Buckets>, shift: i32) -> Result<(Vec<Span>, Vec<i64>), String> {
    let Some(buckets) = buckets else {
        return Ok((Vec::new(), Vec::new()));
    };
    let too_many = || "the buckets' counts are too large".to_owned();
    // From the index of a bucket to its count; indices are one higher than OTLP's.
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (i, count) in buckets.bucket_counts.iter().enumerate() {
        if *count == 0 {
            continue;
        }
        let index = ((i64::from(buckets.offset) + i as i64) >> shift.min(62)) + 1;
        match merged.last_mut() {
            Some((last, sum)) if *last == index => {
                *sum = sum.checked_add(*count).ok_or_else(too_many)?;
            }
            _ => merged.push((index, *count)),
        }
    }
    let mut spans: Vec<Span> = Vec::new();
    let mut deltas = Vec::with_capacity(merged.len());
    let (mut next, mut before) = (0i64, 0i64);
    for (index, count) in merged {
        let gap = index - next;
        match spans.last_mut() {
            Some(span) if gap <= 2 => {
                // Small gaps are filled with empty buckets.
                for _ in 0..gap {
                    span.length += 1;
                    deltas.push(-before);
                    before = 0;
                }
                span.length += 1;
            }
            _ => {
                let offset = i32::try_from(gap).map_err(|_| too_many())?;
                spans.push(Span { offset, length: 1 });
            }
        }
        let count = i64::try_from(count).map_err(|_| too_many())?;
        deltas.push(count - before);
        before = count;
        next = index + 1;
    }
    Ok((spans, deltas))
}

/// Explicit buckets as a native histogram with custom bounds.
///
/// # Errors
/// Buckets that cannot be counted.
pub(crate) fn custom(point: &HistogramDataPoint) -> Result<Histogram, String> {
    let counts = Buckets {
        // The first bucket has the number 0.
        offset: -1,
        bucket_counts: point.bucket_counts.clone(),
    };
    let (positive_spans, positive_buckets) = spans(Some(&counts), 0)?;
    let mut histogram = Histogram {
        counter_reset_hint: CounterResetHint::Unknown,
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: point.count,
        sum: point.sum.unwrap_or(0.0),
        positive_spans,
        positive_buckets,
        custom_values: point.explicit_bounds.clone(),
        ..Histogram::default()
    };
    if is_stale(point.flags) {
        histogram.sum = STALE_NAN;
    }
    Ok(histogram)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A point with buckets above zero only.
    pub(in super::super) fn point(
        scale: i32,
        offset: i32,
        counts: &[u64],
    ) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            scale,
            positive: Some(Buckets {
                offset,
                bucket_counts: counts.to_vec(),
            }),
            count: counts.iter().sum(),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    #[test]
    fn buckets_become_spans() {
        let h = exponential(&point(3, 4, &[4, 0, 2, 0, 0, 0, 1])).unwrap();
        let span = |offset, length| Span { offset, length };
        assert_eq!(h.positive_spans, [span(5, 3), span(3, 1)]);
        assert_eq!(h.positive_buckets, [4, -4, 2, -1]);
        assert_eq!((h.schema, h.zero_threshold), (3, ZERO_THRESHOLD));
        assert!(h.validate().is_ok());
    }

    #[test]
    fn fine_buckets_are_merged() {
        let h = exponential(&point(9, -2, &[3, 1, 4, 1, 5])).unwrap();
        // -2 and -1, 0 and 1, 2: one higher.
        assert_eq!(h.schema, 8);
        assert_eq!(
            h.positive_spans,
            [Span {
                offset: 0,
                length: 3
            }]
        );
        assert_eq!(h.positive_buckets, [4, 1, 0]);
        let error = exponential(&point(-5, 0, &[1])).unwrap_err();
        assert!(error.ends_with("Scale must be >= -4, was -5"), "{error}");
        assert!(exponential(&point(100, i32::MAX, &[1, 1, 1])).is_ok());
        assert!(exponential(&point(8, i32::MAX, &[1])).is_err());
        assert!(exponential(&point(8, 0, &[u64::MAX])).is_err());
    }

    #[test]
    fn custom_bounds() {
        let point = HistogramDataPoint {
            count: 6,
            sum: Some(2.0),
            bucket_counts: vec![1, 2, 3],
            explicit_bounds: vec![0.5, 1.0],
            ..HistogramDataPoint::default()
        };
        let h = custom(&point).unwrap();
        assert_eq!(
            h.positive_spans,
            [Span {
                offset: 0,
                length: 3
            }]
        );
        assert_eq!(h.positive_buckets, [1, 1, 1]);
        assert!(h.validate().is_ok());
    }
}
