//! Why a database cannot be opened or changed.

use std::io;
use std::path::{Path, PathBuf};

use tsdb_format::FormatError;

/// Why an operation on the database failed; names the file where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Format { path: PathBuf, error: FormatError },
    /// Another process has the folder.
    #[error("opening storage failed: lock DB directory: {0}")]
    Locked(io::Error),
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
    /// The write-ahead log is still being read: what was asked for needs all of it.
    #[error("not ready: {0}")]
    Replaying(String),
    #[error("{0}")]
    Query(#[from] storage::StorageError),
    #[error("{0}")]
    Append(#[from] storage::AppendError),
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// An error of the operating system at a path.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |error| Error::Io { path, error }
    }

    /// Bytes of a file that do not decode.
    pub fn format(path: &Path) -> impl FnOnce(FormatError) -> Error + use<> {
        let path = path.to_owned();
        move |error| Error::Format { path, error }
    }
}
