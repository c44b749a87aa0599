//! The one error a service ends with.

use std::fmt;

/// Why a service could not start or had to stop: a message for the log and an exit code.
///
/// Any [`std::error::Error`] turns into one with `?`; the message keeps the chain of causes.
/// (It is no `std::error::Error` itself, as otherwise that conversion could not exist.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
    exit_code: u8,
}

impl Error {
    /// An error with exit code 1.
    pub fn new(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            exit_code: 1,
        }
    }

    /// The same error, another exit code.
    pub fn with_exit_code(mut self, code: u8) -> Error {
        self.exit_code = code;
        self
    }

    /// The same error, behind `context: `.
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many errors print their cause themselves.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Error::new(message)
    }
}
