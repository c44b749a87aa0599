//! Go output that users of the replaced programs see: number formatting and parsing, quoting, fmt
//! verbs, time layouts and durations, and RE2 as Go's regexp package speaks it.
//!
//! Pure functions over text and numbers; each module names the Go package whose behaviour it has.

pub mod fmt;
pub mod regexp;
pub mod strconv;
pub mod time;

#[cfg(test)]
mod robustness;
