//! What is wrong with a query text.

use std::fmt;

use crate::ast::PosRange;

/// One thing that is wrong, and where. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub pos: PosRange,
    pub message: String,
}

/// Everything that is wrong with a text, in the order in which it was found; at least one error.
///
/// Displayed as the HTTP API does: the first error as `1:5: parse error: unexpected "="`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors {
    /// The text that was parsed.
    pub query: Vec<u8>,
    pub errors: Vec<ParseError>,
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.first() {
            Some(error) => write!(
                f,
                "{}: parse error: {}",
                error.pos.line_column(&self.query),
                error.message
            ),
            None => f.write_str("error contains no error message"),
        }
    }
}

impl std::error::Error for ParseErrors {}
