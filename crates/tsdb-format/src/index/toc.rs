//! The table of contents at the end of an index.

use super::WHAT;
use crate::bytes::{Reader, crc32, put_be32, put_be64};
use crate::error::{Cause, FormatError, Result};

/// Where the sections start; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toc {
    pub symbols: u64,
    pub series: u64,
    pub label_indices: u64,
    pub label_indices_table: u64,
    pub postings: u64,
    pub postings_table: u64,
}

impl Toc {
    /// Bytes of the table.
    pub const BYTES: usize = 6 * 8 + 4;

    /// Reads the table from the end of an index.
    ///
    /// # Errors
    /// Too few bytes, or a wrong checksum.
    pub fn decode(index: &[u8]) -> Result<Toc> {
        let start = index.len().checked_sub(Toc::BYTES).ok_or_else(|| {
            FormatError::new(
                WHAT,
                0,
                Cause::UnexpectedEnd {
                    needed: Toc::BYTES as u64,
                    left: index.len() as u64,
                },
            )
        })?;
        let bytes = &index[start..];
        let mut reader = Reader::at(WHAT, bytes, start as u64);
        let toc = Toc {
            symbols: reader.be64()?,
            series: reader.be64()?,
            label_indices: reader.be64()?,
            label_indices_table: reader.be64()?,
            postings: reader.be64()?,
            postings_table: reader.be64()?,
        };
        reader.expect_crc(crc32(&bytes[..6 * 8]))?;
        Ok(toc)
    }

    /// Appends the table.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for place in [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ] {
            put_be64(out, place);
        }
        let crc = crc32(&out[start..]);
        put_be32(out, crc);
    }
}
