//! Reading and writing metrics as they travel: the text format, OpenMetrics and protobuf.
//!
//! - Reading: a [`Parser`] goes over a page entry by entry; [`choose_parser`] picks it by content type.
//!   A line whose series is known costs a search for its end, a question and a number: the caller keeps
//!   a map from the bytes of a series to what it knows of it.
//! - Writing: build [`Family`] values and [`encode`] them, or print lines as they come with
//!   [`Writer`]; [`negotiate`] picks the [`Format`] a client asked for.
//! - [`parse_families`] reads a page as families, for the textfile collector.
//!
//! Bytes and values only: no sockets, no files, no clock. What is read comes from the network: it may
//! be anything and panics nowhere.

mod encode;
mod escaping;
mod families;
mod family;
mod float;
mod format;
mod label_buf;
mod parse;
mod writer;

pub use encode::{EncodeError, EncodeOptions, encode, encode_with};
pub use escaping::{Escaping, unescape_values};
pub use families::{FamiliesError, parse_families};
pub use family::{
    Bucket, Count, Exemplar, Family, Histogram, LabelPairs, Metric, Native, Quantile, Summary,
    Value,
};
pub use format::{Format, Syntax, negotiate};
pub use label_buf::LabelBuf;
pub use parse::{
    Entry, Known, MediaType, ParseError, ParseOptions, ParsedHistogram, Parser, TYPE_LABEL,
    UNIT_LABEL, choose_parser,
};
pub use writer::{Sink, Writer};
