//! The `index` file of a block: symbols, series, postings (prometheus/prometheus
//! `tsdb/docs/format/index.md`, `tsdb/index/index.go`).
//!
//! Version 2 is written and read, version 1 read. [`IndexReader`] keeps little in memory: every
//! [`STRIDE`]th symbol's and posting list's place; all else is read from the bytes, which are a
//! memory map in practice.

pub mod postings;
mod reader;
mod series;
mod symbols;
mod table;
mod toc;
mod writer;

pub use postings::Postings;
pub use reader::{IndexReader, SymbolCache};
pub use series::{ChunkMeta, SeriesEntry};
pub use toc::Toc;
pub use writer::{IndexWriter, WriteError};

/// The name of the file in a block.
pub const FILE_NAME: &str = "index";
/// The first four bytes of a file.
pub const MAGIC: u32 = 0xBAAA_D700;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 5;
/// One in so many symbols and posting lists has its place in memory.
pub const STRIDE: usize = 8;

const WHAT: &str = "index";
/// Series start at multiples of this; their references count in it.
const SERIES_ALIGN: u64 = 16;

use crate::bytes::{Reader, crc32};
use crate::error::{Cause, FormatError, Result};

/// A section: four bytes of length, the content, four of checksum. Returns the content, and checks
/// the sum.
fn section(data: &[u8], offset: u64) -> Result<&[u8]> {
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|at| data.get(at..))
        .unwrap_or_default();
    let mut reader = Reader::at(WHAT, rest, offset);
    let len = reader.be32()? as usize;
    let content = reader.take(len)?;
    reader.expect_crc(crc32(content))?;
    Ok(content)
}

/// The version of an index by its header.
fn version(data: &[u8]) -> Result<u8> {
    let mut reader = Reader::new(WHAT, data);
    let found = reader.be32()?;
    if found != MAGIC {
        let expected = MAGIC;
        let cause = Cause::Magic { expected, found };
        return Err(FormatError::new(WHAT, 0, cause));
    }
    match reader.u8()? {
        version @ (1 | 2) => Ok(version),
        version => Err(FormatError::new(WHAT, 4, Cause::Version(version))),
    }
}
