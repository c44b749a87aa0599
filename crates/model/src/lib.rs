//! The vocabulary every other crate speaks: label sets, matchers, timestamps and durations,
//! sample values and their markers, native histograms, exemplars, metadata and alerts.
//!
//! Values only: nothing here does IO, reads a clock or holds a lock. Timestamps are `i64`
//! milliseconds since the Unix epoch everywhere, and `_ms` is part of the name where one is stored.
//!
//! Start with [`Labels`] and [`Matcher`].

pub mod alert;
pub mod annotations;
pub mod duration;
pub mod exemplar;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod names;
pub mod value;

pub use alert::Alert;
pub use annotations::Annotations;
pub use duration::{format_duration, parse_duration};
pub use exemplar::Exemplar;
pub use histogram::{CounterResetHint, FloatHistogram, Histogram, Span};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchKind, Matcher};
pub use metadata::{Metadata, MetricType};
pub use value::{NORMAL_NAN, STALE_NAN, is_stale};
