//! What all of API v1's endpoints share: the envelope, the table from errors to status codes, the
//! parsing of parameters, and sample values as JSON.
//!
//! [`answer`] is the other end: what clients of such an API read.
//!
//! Bytes and values only; routing, handlers and state live with the service. Shapes are those of
//! prometheus/prometheus `web/api/v1`. Start with [`Envelope`] and [`ApiError`].

pub mod answer;
pub mod ast_json;
mod envelope;
mod error;
mod json;
mod params;
mod result;
pub mod rules;

pub use envelope::Envelope;
pub use error::{ApiError, ErrorType};
pub use json::{to_json, write_float, write_labels, write_number, write_string, write_timestamp};
pub use params::{
    Params, parse_duration_ms, parse_limit, parse_match_params, parse_selectors, parse_time_ms,
    parse_time_or, unescape,
};
pub use result::write_value;
