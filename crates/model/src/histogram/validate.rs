//! Whether the parts of a histogram agree with each other.

use super::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, HistogramError, Span, is_exponential_schema,
};

impl Histogram {
    /// Checks spans against buckets, counts for being negative, and the sum of the buckets against
    /// the count (which NaN observations may exceed).
    ///
    /// # Errors
    /// The first contradiction, with upstream's text.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let mut in_buckets = 0u64;
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            check_bounds(
                &self.custom_values,
                &self.positive_spans,
                self.positive_buckets.len(),
            )
            .map_err(|e| e.inside("custom buckets"))?;
            check_custom(
                self.zero_count != 0,
                self.zero_threshold,
                &self.negative_spans,
                self.negative_buckets.is_empty(),
            )?;
        } else if is_exponential_schema(self.schema) {
            check_spans(&self.positive_spans, self.positive_buckets.len())
                .map_err(|e| e.inside("positive side"))?;
            check_spans(&self.negative_spans, self.negative_buckets.len())
                .map_err(|e| e.inside("negative side"))?;
            in_buckets = sum_of(&self.negative_buckets).map_err(|e| e.inside("negative side"))?;
            if !self.custom_values.is_empty() {
                return Err(HistogramError::ExponentialSchemaCustomBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        let positive = sum_of(&self.positive_buckets).map_err(|e| e.inside("positive side"))?;
        in_buckets = in_buckets
            .wrapping_add(positive)
            .wrapping_add(self.zero_count);
        let count = self.count;
        if self.sum.is_nan() {
            if in_buckets > count {
                return Err(HistogramError::CountNotBigEnough { in_buckets, count });
            }
        } else if in_buckets != count {
            return Err(HistogramError::CountMismatch { in_buckets, count });
        }
        Ok(())
    }
}

impl FloatHistogram {
    /// Checks spans against buckets and counts for being negative. The count is not compared with
    /// the sum of the buckets: rounding may part them.
    ///
    /// # Errors
    /// The first contradiction, with upstream's text.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            check_bounds(
                &self.custom_values,
                &self.positive_spans,
                self.positive_buckets.len(),
            )
            .map_err(|e| e.inside("custom buckets"))?;
            check_custom(
                self.zero_count != 0.0,
                self.zero_threshold,
                &self.negative_spans,
                self.negative_buckets.is_empty(),
            )?;
        } else if is_exponential_schema(self.schema) {
            check_spans(&self.positive_spans, self.positive_buckets.len())
                .map_err(|e| e.inside("positive side"))?;
            check_spans(&self.negative_spans, self.negative_buckets.len())
                .map_err(|e| e.inside("negative side"))?;
            not_negative(&self.negative_buckets).map_err(|e| e.inside("negative side"))?;
            if self.zero_count < 0.0 {
                return Err(HistogramError::NegativeZeroCount(general(self.zero_count)));
            }
            if !self.custom_values.is_empty() {
                return Err(HistogramError::ExponentialSchemaCustomBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount(general(self.count)));
        }
        not_negative(&self.positive_buckets).map_err(|e| e.inside("positive side"))
    }
}

fn general(value: f64) -> String {
    golang::strconv::format_float(value, 'g', -1, 64)
}

fn check_custom(
    has_zero_count: bool,
    zero_threshold: f64,
    negative_spans: &[Span],
    no_negative_buckets: bool,
) -> Result<(), HistogramError> {
    if has_zero_count {
        return Err(HistogramError::CustomBucketsZeroCount);
    }
    if zero_threshold != 0.0 {
        return Err(HistogramError::CustomBucketsZeroThreshold);
    }
    if !negative_spans.is_empty() {
        return Err(HistogramError::CustomBucketsNegativeSpans);
    }
    if !no_negative_buckets {
        return Err(HistogramError::CustomBucketsNegativeBuckets);
    }
    Ok(())
}

fn check_spans(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    for (i, span) in spans.iter().enumerate().skip(1) {
        if span.offset < 0 {
            return Err(HistogramError::SpanNegativeOffset {
                number: i + 1,
                offset: span.offset,
            });
        }
    }
    check_length(spans, buckets)
}

fn check_length(spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != buckets as u64 {
        return Err(HistogramError::SpansBucketsMismatch {
            needed,
            have: buckets,
        });
    }
    Ok(())
}

fn check_bounds(bounds: &[f64], spans: &[Span], buckets: usize) -> Result<(), HistogramError> {
    let mut previous = f64::NEG_INFINITY;
    for bound in bounds {
        if bound.is_nan() {
            return Err(HistogramError::CustomBucketsNan);
        }
        if *bound <= previous {
            let fixed = |v: f64| golang::strconv::format_float(v, 'f', 6, 64);
            return Err(HistogramError::CustomBucketsInvalid {
                previous: fixed(previous),
                current: fixed(*bound),
            });
        }
        previous = *bound;
    }
    if previous == f64::INFINITY {
        return Err(HistogramError::CustomBucketsInfinite);
    }
    let mut total = 0u64;
    for (i, span) in spans.iter().enumerate() {
        let Ok(offset) = u64::try_from(span.offset) else {
            return Err(HistogramError::SpanNegativeOffset {
                number: i + 1,
                offset: span.offset,
            });
        };
        total += offset + u64::from(span.length);
    }
    check_length(spans, buckets)?;
    if ((bounds.len() + 1) as u64) < total {
        return Err(HistogramError::CustomBucketsMismatch {
            have: bounds.len(),
            needed: total,
        });
    }
    Ok(())
}

fn sum_of(deltas: &[i64]) -> Result<u64, HistogramError> {
    let mut count = 0i64;
    let mut sum = 0u64;
    for (i, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return Err(HistogramError::NegativeBucketCount {
                number: i + 1,
                count: count.to_string(),
            });
        }
        sum = sum.wrapping_add(count as u64);
    }
    Ok(sum)
}

fn not_negative(counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|count| *count < 0.0) {
        Some(i) => Err(HistogramError::NegativeBucketCount {
            number: i + 1,
            count: general(counts[i]),
        }),
        None => Ok(()),
    }
}
