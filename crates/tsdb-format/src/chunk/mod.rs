//! Chunks: runs of samples of one series (prometheus/prometheus `tsdb/docs/format/chunks.md`).
//!
//! What is called a chunk here is its payload: the encoding's byte, the length and the checksum
//! around it belong to the files (`crate::segment`, `crate::head_chunks`).

mod bits;
mod codec;
pub mod histogram;
mod layout;
mod start;
pub mod xor;
pub mod xor2;

pub use histogram::{Appended, FloatHistogramChunk, HistogramChunk, ResetHeader};
pub use xor::{XorChunk, XorState, XorTail};

use crate::error::{Cause, FormatError, Result};

/// How a chunk is encoded; the numbers are the type bytes in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Native histograms with integer counts.
    Histogram = 2,
    /// Native histograms with float counts.
    FloatHistogram = 3,
    /// Floats with optional start timestamps; read, not written by default.
    Xor2 = 4,
    /// Integer histograms with start timestamps.
    HistogramSt = 5,
    /// Float histograms with start timestamps.
    FloatHistogramSt = 6,
}

impl Encoding {
    /// The encoding of a type byte.
    pub const fn from_byte(byte: u8) -> Option<Encoding> {
        Some(match byte {
            1 => Encoding::Xor,
            2 => Encoding::Histogram,
            3 => Encoding::FloatHistogram,
            4 => Encoding::Xor2,
            5 => Encoding::HistogramSt,
            6 => Encoding::FloatHistogramSt,
            _ => return None,
        })
    }

    /// The type byte.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether the samples are floats.
    pub const fn is_float(self) -> bool {
        matches!(self, Encoding::Xor | Encoding::Xor2)
    }
}

/// The number of samples that a chunk says to hold.
///
/// # Errors
/// Fewer bytes than the two of the count.
pub fn sample_count(what: &'static str, data: &[u8]) -> Result<u16> {
    match data {
        [a, b, ..] => Ok(u16::from_be_bytes([*a, *b])),
        _ => Err(FormatError::new(
            what,
            0,
            Cause::UnexpectedEnd {
                needed: 2,
                left: data.len() as u64,
            },
        )),
    }
}

#[cold]
fn overrun(what: &'static str, bits: &bits::BitReader<'_>, read: u16, total: u16) -> FormatError {
    FormatError::invalid(
        what,
        bits.byte_offset(),
        format!("unexpected end in sample {read} of {total}"),
    )
}

/// Appends the samples of an encoded float chunk with `min_ms <= t <= max_ms` to the columns.
/// `starts` is left empty as long as no chunk has start timestamps, and as long as `times` from
/// then on.
///
/// # Errors
/// Bytes that do not decode, or an encoding of histograms.
pub fn decode_floats(
    encoding: Encoding,
    data: &[u8],
    min_ms: i64,
    max_ms: i64,
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
    starts: &mut Vec<i64>,
) -> Result<()> {
    match encoding {
        Encoding::Xor => {
            let result = xor::decode(data, min_ms, max_ms, times, values);
            if !starts.is_empty() {
                starts.resize(times.len(), 0);
            }
            result
        }
        Encoding::Xor2 => xor2::decode(data, min_ms, max_ms, times, values, starts),
        _ => Err(FormatError::invalid(
            "float chunk",
            0,
            format!("{encoding:?} is no encoding of floats"),
        )),
    }
}

/// The number of samples of an encoded chunk, as its header says.
///
/// # Errors
/// Fewer bytes than a header.
pub fn samples(encoding: Encoding, data: &[u8]) -> Result<u16> {
    let count = sample_count("chunk", data)?;
    Ok(match encoding {
        Encoding::HistogramSt | Encoding::FloatHistogramSt => count & 0x3fff,
        _ => count,
    })
}
