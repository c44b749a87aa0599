//! The bytes of a Prometheus database: chunks, index, write-ahead log, tombstones, meta.json.
//!
//! Pure: bytes in, values out, and back. No files, no clock, no locks; files are opened, mapped and
//! synced by `tsdb`. Whatever bytes come in, nothing here panics or allocates more than the bytes
//! justify: errors say where in the bytes and why ([`FormatError`]). `README.md` draws the bytes.
//!
//! Start with [`chunk`] and [`index`] for blocks, with [`wal`] for what comes before them.

pub mod bytes;
pub mod chunk;
pub mod error;
pub mod head_chunks;
pub mod index;
pub mod meta;
pub mod names;
pub mod segment;
pub mod snapshot;
pub mod tombstones;
pub mod ulid;
pub mod wal;

pub use error::{Cause, FormatError};
pub use ulid::Ulid;
