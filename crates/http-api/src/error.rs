//! API errors and the one table that turns them into status codes.

/// The kinds of failure that API v1 tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    BadData,
    Execution,
    Timeout,
    Canceled,
    Internal,
    Unavailable,
    NotFound,
    NotAcceptable,
    TooManyRequests,
}

impl ErrorType {
    /// The `errorType` of the envelope.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorType::BadData => "bad_data",
            ErrorType::Execution => "execution",
            ErrorType::Timeout => "timeout",
            ErrorType::Canceled => "canceled",
            ErrorType::Internal => "internal",
            ErrorType::Unavailable => "unavailable",
            ErrorType::NotFound => "not_found",
            ErrorType::NotAcceptable => "not_acceptable",
            ErrorType::TooManyRequests => "too_many_requests",
        }
    }

    /// The HTTP status, as upstream's `respondError` chooses it.
    pub const fn status(self) -> u16 {
        match self {
            ErrorType::BadData => 400,
            ErrorType::Execution => 422,
            ErrorType::Canceled => 499,
            ErrorType::Timeout => 503,
            ErrorType::Internal | ErrorType::Unavailable => 500,
            ErrorType::NotFound => 404,
            ErrorType::NotAcceptable => 406,
            ErrorType::TooManyRequests => 429,
        }
    }
}

/// A failed request: what the envelope says of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub kind: ErrorType,
    pub message: String,
}

impl ApiError {
    /// An error of any kind.
    pub fn new(kind: ErrorType, message: impl Into<String>) -> ApiError {
        ApiError {
            kind,
            message: message.into(),
        }
    }

    /// A request that is wrong.
    pub fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorType::BadData, message)
    }

    /// A parameter that is wrong: `invalid parameter "time": ...`.
    pub fn parameter(name: &str, message: impl std::fmt::Display) -> ApiError {
        ApiError::bad_data(format!(
            "invalid parameter {}: {message}",
            golang::strconv::quote(name)
        ))
    }
}
