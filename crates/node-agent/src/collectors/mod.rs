//! The collectors: one file each, one line each in [`TABLE`].
//!
//! Those of Linux are in `linux`; other systems, such as a developer's laptop, have `portable`. A
//! collector reads below the root paths and adds samples to a page. What it added before an error
//! stays on the page, as upstream.

mod filter;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
mod textfile;
mod time;
mod uname;

use std::path::PathBuf;

use service::Args;

use crate::files::Files;
use crate::page::Page;

/// Why a collector has no (more) samples.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The host has no such thing.
    #[error("collector returned no data")]
    NoData,
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A text is not what the kernel writes there.
    #[error("invalid {what}: {text:?}")]
    Invalid {
        /// What was read.
        what: &'static str,
        /// The part that is not right.
        text: String,
    },
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl CollectError {
    /// A text that is not as expected.
    pub fn invalid(what: &'static str, text: &str) -> CollectError {
        let text = text.chars().take(80).collect();
        CollectError::Invalid { what, text }
    }

    /// Whether a file or directory is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, CollectError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// No data where the file is missing, for things that many hosts do not have.
    pub fn missing_is_no_data(self) -> CollectError {
        if self.is_missing() {
            CollectError::NoData
        } else {
            self
        }
    }
}

/// What a collector answers.
pub type Outcome = Result<(), CollectError>;

/// One collector, set up: it may keep state between two scrapes.
pub type Collector = Box<dyn Fn(&mut Files, &mut Page) -> Outcome + Send + Sync>;

type Build = fn(&Args) -> Result<Collector, String>;

#[cfg(target_os = "linux")]
pub use linux::TABLE;
#[cfg(not(target_os = "linux"))]
pub use portable::TABLE;
