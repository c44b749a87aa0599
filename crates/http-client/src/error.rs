//! What can go wrong on the way to an answer, in the words of Go's `net/http`.

use std::io;
use std::path::Path;

/// Why a client could not be built or a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS section cannot be used.
    #[error("{0}")]
    Tls(String),
    /// A proxy setting cannot be used.
    #[error("{0}")]
    Proxy(String),
    /// A header setting cannot be used.
    #[error("{0}")]
    Header(String),
    /// A secret could not be read, a token not be had.
    #[error("{0}")]
    Credentials(String),
    /// The request failed: `Get "http://host/path": dial tcp 127.0.0.1:1: connect: connection refused`.
    #[error("{operation} \"{url}\": {source}")]
    Request {
        /// The method as Go prints it: `Get`.
        operation: String,
        /// The URL, without password.
        url: String,
        /// What happened.
        source: RequestError,
    },
}

/// What happened to one request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The URI cannot be asked for.
    #[error("{0}")]
    Uri(String),
    /// No connection: name resolution, TCP, proxy or TLS.
    #[error("{0}")]
    Connect(String),
    /// Connected, but the exchange failed.
    #[error("{0}")]
    Exchange(String),
    /// More than ten.
    #[error("stopped after 10 redirects")]
    TooManyRedirects,
    /// A redirect to somewhere that is no URL.
    #[error("failed to parse Location header {0:?}")]
    Location(String),
    /// A secret could not be read, a token not be had.
    #[error("{0}")]
    Credentials(String),
}

/// Go's words for a failed system call.
pub(crate) fn go_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => error.to_string(),
    }
}

/// `open /path: no such file or directory`.
pub(crate) fn go_file_error(operation: &str, path: &Path, error: &io::Error) -> String {
    format!("{operation} {}: {}", path.display(), go_io(error))
}
