//! The seam between those who keep samples and those who read or write them.
//!
//! Readers see series as **columns**: a series is decoded once for the whole range asked for, into
//! arrays of timestamps and values ([`Columns`]). Writers append through [`Appender`], all or
//! nothing at commit. Everything is synchronous; callers that are not run it on a blocking thread.
//!
//! Start with [`Queryable`] and [`Appendable`]. `merge` joins several sources into one.

mod append;
pub mod merge;
mod query;

pub use append::{AppendError, Appendable, Appender, Overridden, SeriesRef, check_exemplar_length};
pub use merge::{ChunkEncoder, Merged};
pub use query::{
    ChunkEncoding, Columns, EncodedChunk, LabelHints, Last, Querier, Queryable, SelectHints,
    Series, SeriesSet, StorageError, Turn,
};
