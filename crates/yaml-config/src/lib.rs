//! The one door to YAML: strict, with positions, typed as Go's yaml package types.
//!
//! The scanner and emitter are libyaml's (a safe Rust port), as Go's are, so what parses there parses
//! here, with the same complaints. Above it decoding is ours and goes by the type of the field as in
//! Go: `severity: 1` is the string "1" for a `String`, `yes` is a boolean only for a `bool`, `null`
//! is the zero value. Unknown fields and keys given twice are errors; [`Error`] names line, column,
//! field and what was expected, and several unknown fields are reported together.
//!
//! What callers do:
//! - derive `Deserialize` (and `Serialize`), with `#[serde(default)]` where a field may be absent and
//!   `#[serde(rename = "config.plain")]` on the struct where users know its Go name from messages;
//! - [`from_str`] and [`to_string`];
//! - [`Spanned`] around what has to be found again in the file, [`Inline`] where upstream inlines a
//!   struct (`#[serde(flatten)]` buffers values as serde's own types, so it would lose positions and
//!   typing by field);
//! - the scalars configuration files share: [`Secret`], [`Duration`], [`Size`], [`Url`], and
//!   [`at_most_one`] for the `*_file` twins.
//!
//! No files here: text in, values out.

mod de;
mod duration;
mod emit;
mod error;
mod file_twin;
mod inline;
mod node;
mod resolve;
mod secret;
mod size;
mod spanned;
mod url;

pub use de::{from_str, from_str_ignoring_unknown, from_str_one, from_value};
pub use duration::Duration;
pub use emit::to_string;
pub use error::{Error, Kind};
pub use file_twin::at_most_one;
pub use inline::Inline;
pub use node::Value;
pub use secret::{SECRET_TEXT, Secret};
pub use size::{Size, SizeError};
pub use spanned::Spanned;
pub use url::{Url, UrlError};

#[cfg(test)]
mod tests;
