//! Reading and writing metrics as they travel: the text format, OpenMetrics and protobuf.
//!
//! - Writing: build [`Family`] values and [`encode`] them, or print lines as they come with
//!   [`Writer`]; [`negotiate`] picks the [`Format`] a client asked for.
//!
//! Bytes and values only: no sockets, no files, no clock.

mod encode;
mod escaping;
mod family;
mod float;
mod format;
mod writer;

pub use encode::{EncodeError, EncodeOptions, encode, encode_with};
pub use escaping::{Escaping, unescape_values};
pub use family::{
    Bucket, Count, Exemplar, Family, Histogram, LabelPairs, Metric, Native, Quantile, Summary,
    Value,
};
pub use format::{Format, Syntax, negotiate};
pub use writer::Writer;
