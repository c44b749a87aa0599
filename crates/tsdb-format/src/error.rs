//! The one error of all decoders: what was read, where, and why it does not decode.

/// Bytes that do not decode. `offset` counts from the start of the file where the caller gave the
/// decoder its place in it, else from the start of the bytes handed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at offset {offset}: {cause}")]
pub struct FormatError {
    /// The part of the format that was being read, such as `series record`.
    pub what: &'static str,
    /// Where in the file the offending field starts, in bytes.
    pub offset: u64,
    pub cause: Cause,
}

/// Why bytes do not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("unexpected end: {needed} bytes needed, {left} left")]
    UnexpectedEnd { needed: u64, left: u64 },
    #[error("invalid checksum (expected: {expected:x}, actual: {actual:x})")]
    Checksum { expected: u32, actual: u32 },
    #[error("invalid magic number {found:x}, expected {expected:x}")]
    Magic { expected: u32, found: u32 },
    #[error("unknown version {0}")]
    Version(u8),
    #[error("variable-length integer of more than 64 bits")]
    Varint,
    #[error("text is not UTF-8")]
    Utf8,
    #[error("{0}")]
    Invalid(String),
}

impl FormatError {
    /// An error at `offset`.
    pub fn new(what: &'static str, offset: u64, cause: Cause) -> FormatError {
        FormatError {
            what,
            offset,
            cause,
        }
    }

    /// An error at `offset` with a free text.
    pub fn invalid(what: &'static str, offset: u64, text: impl Into<String>) -> FormatError {
        FormatError::new(what, offset, Cause::Invalid(text.into()))
    }

    /// The same error, its offset counted from `base` bytes further ahead.
    #[must_use]
    pub fn shifted(mut self, base: u64) -> FormatError {
        self.offset += base;
        self
    }
}

/// The result of a decoder.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;
