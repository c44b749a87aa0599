//! What survives a restart: alerts, silences and the notification log.
//!
//! - [`record`]: one change as bytes.
//! - [`wal`]: a file of records with checksums; torn tails are cut off.
//! - [`writer`]: the thread that owns the file; answers once a change is on disk.
//! - [`upstream`]: Alertmanager's own snapshot files, read once to take over its data directory.

pub mod record;
pub mod upstream;
pub mod wal;
pub mod writer;
