//! What can be wrong with a histogram; the texts are upstream's (`model/histogram/generic.go`).

/// Why a histogram is refused, or an operation on two of them is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HistogramError {
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
    )]
    CountNotBigEnough { in_buckets: u64, count: u64 },
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch { in_buckets: u64, count: u64 },
    #[error("observation count is  {0}: histogram's observation count is negative")]
    NegativeCount(String),
    #[error(
        "zero bucket has observation count of {0}: histogram has a bucket whose observation count is negative"
    )]
    NegativeZeroCount(String),
    #[error(
        "bucket number {number} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeBucketCount { number: usize, count: String },
    #[error(
        "span number {number} with offset {offset}: histogram has a span whose offset is negative"
    )]
    SpanNegativeOffset { number: usize, offset: i32 },
    #[error(
        "spans need {needed} buckets, have {have} buckets: histogram spans specify different number of buckets than provided"
    )]
    SpansBucketsMismatch { needed: u64, have: usize },
    #[error(
        "only {have} custom bounds defined which is insufficient to cover total span length of {needed}: histogram custom bounds are too few"
    )]
    CustomBucketsMismatch { have: usize, needed: u64 },
    #[error(
        "previous bound is {previous} and current is {current}: histogram custom bounds must be in strictly increasing order"
    )]
    CustomBucketsInvalid { previous: String, current: String },
    #[error(
        "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    CustomBucketsInfinite,
    #[error("histogram custom bounds must not be NaN")]
    CustomBucketsNan,
    #[error(
        "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
    )]
    IncompatibleSchema,
    #[error("custom buckets: must have zero count of 0")]
    CustomBucketsZeroCount,
    #[error("custom buckets: must have zero threshold of 0")]
    CustomBucketsZeroThreshold,
    #[error("custom buckets: must not have negative spans")]
    CustomBucketsNegativeSpans,
    #[error("custom buckets: must not have negative buckets")]
    CustomBucketsNegativeBuckets,
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialSchemaCustomBounds,
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema {0}"
    )]
    InvalidSchema(i32),
    #[error(
        "histogram has an unknown schema, which must be between -9 and 52 for exponential buckets, or -53 for custom buckets, got schema {0}"
    )]
    UnknownSchema(i32),
    #[error("cannot reduce resolution when there are custom buckets")]
    ReduceCustomBuckets,
    #[error("cannot reduce resolution to custom buckets schema")]
    ReduceToCustomBuckets,
    #[error("cannot reduce resolution from schema {from} to {to}")]
    ReduceToFiner { from: i32, to: i32 },
    /// One of the others, with the part of the histogram that it is about.
    #[error("{part}: {error}")]
    In {
        /// `positive side`, `negative side`, `custom buckets`.
        part: &'static str,
        error: Box<HistogramError>,
    },
}

impl HistogramError {
    pub(super) fn inside(self, part: &'static str) -> HistogramError {
        HistogramError::In {
            part,
            error: Box::new(self),
        }
    }
}
