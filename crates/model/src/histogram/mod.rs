//! Native histograms and all that queries, rules and chunks do with them
//! (prometheus/prometheus `model/histogram`).
//!
//! A histogram is a set of buckets, written as spans of consecutive indexes and a list of counts:
//! absolute counts in [`FloatHistogram`], differences to the bucket before in [`Histogram`].
//! Evaluation knows float histograms only. Read [`buckets`] for how buckets are walked, then
//! `arithmetic`.

mod arithmetic;
mod bounds;
pub mod buckets;
mod compact;
mod error;
mod kahan;
mod reset;
mod resolution;
mod sum;
mod text;
mod trim;
mod validate;

#[cfg(test)]
mod tests;

pub use arithmetic::Reconciled;
pub use bounds::exponential_bound;
pub use buckets::Bucket;
pub use error::HistogramError;
pub use kahan::kahan_add;
pub use sum::{HistogramMean, HistogramSum};

/// The schema of histograms with custom bucket bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// The finest exponential schema.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;
/// The coarsest exponential schema.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;
/// The finest schema that may be sent to us; it is reduced to [`EXPONENTIAL_SCHEMA_MAX`].
pub const EXPONENTIAL_SCHEMA_MAX_RESERVED: i32 = 52;
/// The coarsest schema number that is set aside for exponential buckets.
pub const EXPONENTIAL_SCHEMA_MIN_RESERVED: i32 = -9;

/// Whether the schema has exponential buckets that we can compute with.
pub const fn is_exponential_schema(schema: i32) -> bool {
    schema >= EXPONENTIAL_SCHEMA_MIN && schema <= EXPONENTIAL_SCHEMA_MAX
}

/// Whether histograms of this schema are accepted, if need be after reducing their resolution.
pub const fn is_known_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA
        || (schema >= EXPONENTIAL_SCHEMA_MIN_RESERVED && schema <= EXPONENTIAL_SCHEMA_MAX_RESERVED)
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Gap to the previous span, or the index of the first bucket for the first span.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What is known of a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterResetHint {
    #[default]
    Unknown,
    CounterReset,
    NotCounterReset,
    Gauge,
}

/// A native histogram with integer counts; buckets are deltas to the previous bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub counter_reset_hint: CounterResetHint,
    /// -4..=8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub count: u64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive_buckets: Vec<i64>,
    pub negative_buckets: Vec<i64>,
    /// Upper bounds without +Inf, for [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_values: Vec<f64>,
}

/// A native histogram with float counts; buckets are absolute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    pub counter_reset_hint: CounterResetHint,
    /// -4..=8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    pub positive_buckets: Vec<f64>,
    pub negative_buckets: Vec<f64>,
    /// Upper bounds without +Inf, for [`CUSTOM_BUCKETS_SCHEMA`].
    pub custom_values: Vec<f64>,
}

impl Histogram {
    /// Whether this is a stale marker.
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }

    /// Whether the bounds are given one by one.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// The same histogram with float counts.
    pub fn to_float(&self) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: running_sums(&self.positive_buckets),
            negative_buckets: running_sums(&self.negative_buckets),
            custom_values: self.custom_values.clone(),
        }
    }

    /// Whether both have the same buckets and counts, bit for bit; how their empty spans are
    /// written, and hints, do not matter.
    pub fn equals(&self, other: &Histogram) -> bool {
        self.schema == other.schema
            && self.count == other.count
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && buckets::same_layout(&self.positive_spans, &other.positive_spans)
            && buckets::same_layout(&self.negative_spans, &other.negative_spans)
            && self.positive_buckets == other.positive_buckets
            && self.negative_buckets == other.negative_buckets
    }
}

fn running_sums(deltas: &[i64]) -> Vec<f64> {
    let mut count = 0i64;
    deltas
        .iter()
        .map(|delta| {
            count = count.wrapping_add(*delta);
            count as f64
        })
        .collect()
}

impl FloatHistogram {
    /// Whether this is a stale marker.
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }

    /// Whether the bounds are given one by one.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Whether both have the same buckets and counts, bit for bit; how their empty spans are
    /// written, and hints, do not matter.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        let same = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_buckets() || self.custom_values == other.custom_values)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && buckets::same_layout(&self.negative_spans, &other.negative_spans)
            && same(&self.negative_buckets, &other.negative_buckets)
            && buckets::same_layout(&self.positive_spans, &other.positive_spans)
            && same(&self.positive_buckets, &other.positive_buckets)
    }

    /// What upstream's type takes in memory, in bytes: 168 for the struct, 8 for each span, bucket
    /// and custom bound.
    pub fn upstream_size_bytes(&self) -> usize {
        168 + 8
            * (self.positive_spans.len()
                + self.negative_spans.len()
                + self.positive_buckets.len()
                + self.negative_buckets.len()
                + self.custom_values.len())
    }

    /// For how many float samples a histogram sample counts in `--query.max-samples`: its size and
    /// its timestamp, in units of the 16 bytes of a float sample.
    pub fn size_in_samples(&self) -> usize {
        (self.upstream_size_bytes() + 8) / 16
    }

    /// Whether a sum of any kind went beyond what a float can hold.
    pub fn has_overflow(&self) -> bool {
        self.zero_count.is_infinite()
            || self.count.is_infinite()
            || self.sum.is_infinite()
            || self.positive_buckets.iter().any(|c| c.is_infinite())
            || self.negative_buckets.iter().any(|c| c.is_infinite())
    }
}
