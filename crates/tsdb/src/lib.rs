//! The time series database in Prometheus' own on-disk format: head, write-ahead log, blocks,
//! compaction, retention. A data folder can be taken over from Prometheus and given back.
//!
//! What it refuses: nothing is fetched over a network, no clock is read except the one passed in
//! [`Options`](db::Options), and no thread is started except the one of [`Db`].
//!
//! Start with [`Db`], or [`ReadOnlyDb`] to look at one that another process has; `head` holds what is new, `wal` what makes it survive, `block`, `compact` and
//! `retention` what is old. All files are touched through [`fs`].

pub mod block;
pub mod columns;
pub mod compact;
pub mod db;
mod error;
pub mod fs;
pub mod head;
pub mod read_only;
pub mod retention;
pub mod wal;

pub use db::{Db, Options};
pub use error::Error;
pub use read_only::ReadOnlyDb;
