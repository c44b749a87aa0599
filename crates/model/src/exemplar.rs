//! Exemplars: a trace beside a sample.

use crate::Labels;

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The exemplar's own labels, usually a trace id.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed, if the exposition said so.
    pub timestamp_ms: Option<i64>,
}
