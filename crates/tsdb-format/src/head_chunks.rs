//! Files of full head chunks, `chunks_head/000001` and on (prometheus/prometheus
//! `tsdb/docs/format/head_chunks.md`, `tsdb/chunks/head_chunks.go`).
//!
//! A reference is the file's number (from 1) in the upper half and the chunk's offset in the lower.
//! Files are preallocated: behind the last chunk there may be zeros.

use crate::bytes::{Reader, crc32, put_be32, put_be64, put_uvarint};
use crate::chunk::Encoding;
use crate::error::{Cause, FormatError, Result};

/// The first four bytes of a file.
pub const MAGIC: u32 = 0x0130_BC91;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 8;
/// Upstream's largest size of a file.
pub const FILE_BYTES: u64 = 128 * 1024 * 1024;
/// Marks out-of-order chunks in the encoding's byte.
const OUT_OF_ORDER: u8 = 0x80;
/// Bytes before the length: series, times, encoding.
const FIXED_BYTES: usize = 25;

const WHAT: &str = "head chunk file";

/// The header of a file.
pub const fn header() -> [u8; HEADER_BYTES] {
    let magic = MAGIC.to_be_bytes();
    [magic[0], magic[1], magic[2], magic[3], 1, 0, 0, 0]
}

/// The name of file `number`, counted from 1.
pub fn file_name(number: u32) -> String {
    format!("{number:06}")
}

/// A chunk in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadChunk<'a> {
    pub series: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    pub encoding: Encoding,
    pub out_of_order: bool,
    pub data: &'a [u8],
}

/// How many bytes a chunk takes in a file.
pub fn stored_bytes(data: &[u8]) -> usize {
    let mut len_bytes = 1;
    let mut len = data.len() >> 7;
    while len > 0 {
        len_bytes += 1;
        len >>= 7;
    }
    FIXED_BYTES + len_bytes + data.len() + 4
}

/// Appends a chunk as files store it.
pub fn put_chunk(out: &mut Vec<u8>, chunk: &HeadChunk<'_>) {
    let start = out.len();
    put_be64(out, chunk.series);
    put_be64(out, chunk.min_ms as u64);
    put_be64(out, chunk.max_ms as u64);
    out.push(chunk.encoding.byte() | u8::from(chunk.out_of_order) << 7);
    put_uvarint(out, chunk.data.len() as u64);
    out.extend_from_slice(chunk.data);
    let crc = crc32(&out[start..]);
    put_be32(out, crc);
}

/// Checks the header of a file.
///
/// # Errors
/// A file of another kind or version.
pub fn check_header(file: &[u8]) -> Result<()> {
    crate::segment::check_magic(WHAT, file, MAGIC)
}

/// The chunk at `offset`, and the offset behind it; its checksum is checked.
///
/// # Errors
/// An offset at which there is no whole chunk.
pub fn chunk(file: &[u8], offset: u32) -> Result<(HeadChunk<'_>, u32)> {
    read_chunk(file, offset, true)
}

/// [`chunk`] where the checksum was checked before.
///
/// # Errors
/// An offset at which there is no whole chunk.
pub fn good_chunk(file: &[u8], offset: u32) -> Result<(HeadChunk<'_>, u32)> {
    read_chunk(file, offset, false)
}

fn read_chunk(file: &[u8], offset: u32, check: bool) -> Result<(HeadChunk<'_>, u32)> {
    let rest = file.get(offset as usize..).unwrap_or_default();
    let mut reader = Reader::at(WHAT, rest, u64::from(offset));
    let series = reader.be64()?;
    let min_ms = reader.be64()? as i64;
    let max_ms = reader.be64()? as i64;
    let encoding = reader.u8()?;
    let data = reader.uvarint_bytes()?;
    let end = reader.position();
    if check {
        reader.expect_crc(crc32(&rest[..end]))?;
    } else {
        reader.be32()?;
    }
    let known = Encoding::from_byte(encoding & !OUT_OF_ORDER).ok_or_else(|| {
        FormatError::invalid(
            WHAT,
            u64::from(offset) + 24,
            format!("invalid chunk encoding {encoding}"),
        )
    })?;
    let next = u32::try_from(offset as usize + reader.position())
        .map_err(|_| reader.invalid("file of more than 4 GiB"))?;
    let chunk = HeadChunk {
        series,
        min_ms,
        max_ms,
        encoding: known,
        out_of_order: encoding & OUT_OF_ORDER != 0,
        data,
    };
    Ok((chunk, next))
}

/// The chunks of a file with their offsets, in order; ends behind the last chunk or with the first
/// fault.
pub fn chunks(file: &[u8]) -> Chunks<'_> {
    Chunks {
        file,
        offset: Some(HEADER_BYTES as u32),
    }
}

/// See [`chunks`].
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    file: &'a [u8],
    offset: Option<u32>,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(u32, HeadChunk<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset.take()?;
        let rest = self.file.get(offset as usize..).unwrap_or_default();
        // No series has the number 0: this is the preallocated rest.
        let start = &rest[..rest.len().min(FIXED_BYTES)];
        if start.iter().all(|byte| *byte == 0) {
            let stray = rest.iter().position(|byte| *byte != 0)?;
            return Some(Err(FormatError::new(
                WHAT,
                u64::from(offset) + stray as u64,
                Cause::Invalid("bytes behind the end of the chunks".to_owned()),
            )));
        }
        Some(chunk(self.file, offset).map(|(chunk, next)| {
            self.offset = Some(next);
            (offset, chunk)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_round_trip_up_to_the_preallocated_rest() {
        let mut file = header().to_vec();
        let mut wanted = Vec::new();
        for i in 1..5u64 {
            let chunk = HeadChunk {
                series: i,
                min_ms: -(i as i64),
                max_ms: i as i64,
                encoding: Encoding::Histogram,
                out_of_order: i % 2 == 0,
                data: &[9; 200][..i as usize * 40],
            };
            let offset = file.len();
            put_chunk(&mut file, &chunk);
            assert_eq!(file.len() - offset, stored_bytes(chunk.data));
            wanted.push((offset as u32, chunk));
        }
        check_header(&file).unwrap();
        let whole = file.len();
        file.resize(whole + 100, 0);
        assert_eq!(chunks(&file).collect::<Result<Vec<_>>>(), Ok(wanted));
        assert!(chunks(&file[..whole - 1]).last().unwrap().is_err());
        file[whole + 50] = 1;
        assert!(chunks(&file).last().unwrap().is_err());
    }
}
