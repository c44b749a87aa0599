//! Go's `strconv`: numbers and quoted strings.

mod float;
mod parse;
mod printable;
mod quote;
mod short;

#[cfg(test)]
mod tests;

pub use float::{Sink, append_float, format_float};
pub use parse::{
    NumError, NumErrorKind, parse_bool, parse_float, parse_float32, parse_int, parse_uint,
};
pub use quote::{
    SyntaxError, append_quote, can_backquote, is_print, quote, quote_bytes, quote_rune,
    quote_rune_to_ascii, quote_to_ascii, unquote, unquote_any, unquote_bytes,
};
pub use short::Short;
