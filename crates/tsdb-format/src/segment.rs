//! Chunk segment files of blocks, `chunks/000001` and on (prometheus/prometheus
//! `tsdb/docs/format/chunks.md`).
//!
//! A reference is the segment's number, counted from 0, in the upper half and the offset of the
//! chunk in the lower.

use crate::bytes::{Reader, crc32, crc32_append, put_be32, put_uvarint};
use crate::chunk::Encoding;
use crate::error::{Cause, FormatError, Result};

/// The first four bytes of a segment.
pub const MAGIC: u32 = 0x85BD_40DD;
/// Bytes of the header.
pub const HEADER_BYTES: usize = 8;
/// Upstream's largest size of a segment.
pub const SEGMENT_BYTES: u64 = 512 * 1024 * 1024;

const WHAT: &str = "chunk segment";

/// The header of a segment.
pub const fn header() -> [u8; HEADER_BYTES] {
    let magic = MAGIC.to_be_bytes();
    [magic[0], magic[1], magic[2], magic[3], 1, 0, 0, 0]
}

/// The file name of segment `index`, counted from 0.
pub fn file_name(index: u32) -> String {
    format!("{:06}", u64::from(index) + 1)
}

/// The reference of a chunk.
pub const fn reference(segment: u32, offset: u32) -> u64 {
    (segment as u64) << 32 | offset as u64
}

/// Segment and offset of a reference.
pub const fn split(reference: u64) -> (u32, u32) {
    ((reference >> 32) as u32, reference as u32)
}

/// How many bytes a chunk takes in a segment.
pub fn stored_bytes(data: &[u8]) -> usize {
    let mut len_bytes = 1;
    let mut len = data.len() >> 7;
    while len > 0 {
        len_bytes += 1;
        len >>= 7;
    }
    len_bytes + 1 + data.len() + 4
}

/// Appends a chunk as segments store it.
pub fn put_chunk(out: &mut Vec<u8>, encoding: Encoding, data: &[u8]) {
    put_uvarint(out, data.len() as u64);
    out.push(encoding.byte());
    out.extend_from_slice(data);
    put_be32(out, crc32_append(crc32(&[encoding.byte()]), data));
}

/// Checks the header of a segment.
///
/// # Errors
/// A file of another kind or version.
pub fn check_header(segment: &[u8]) -> Result<()> {
    check_magic(WHAT, segment, MAGIC)
}

pub(crate) fn check_magic(what: &'static str, data: &[u8], expected: u32) -> Result<()> {
    let mut reader = Reader::new(what, data);
    let found = reader.be32()?;
    if found != expected {
        let cause = Cause::Magic { expected, found };
        return Err(FormatError::new(what, 0, cause));
    }
    match reader.u8()? {
        1 => Ok(()),
        version => Err(FormatError::new(what, 4, Cause::Version(version))),
    }
}

/// The encoding and payload of the chunk at `offset` of a segment, its checksum checked.
///
/// # Errors
/// An offset at which there is no whole chunk.
pub fn chunk(segment: &[u8], offset: u32) -> Result<(Encoding, &[u8])> {
    let at = offset as usize;
    let rest = segment.get(at..).unwrap_or_default();
    let mut reader = Reader::at(WHAT, rest, u64::from(offset));
    let len = reader.uvarint()?;
    let start = reader.position();
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len < rest.len())
        .ok_or_else(|| {
            reader.error(Cause::UnexpectedEnd {
                needed: len,
                left: reader.remaining() as u64,
            })
        })?;
    let body = reader.take(len + 1)?;
    reader.expect_crc(crc32(body))?;
    let encoding = Encoding::from_byte(body[0]).ok_or_else(|| {
        FormatError::invalid(
            WHAT,
            u64::from(offset) + start as u64,
            format!("invalid chunk encoding {}", body[0]),
        )
    })?;
    Ok((encoding, &body[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_round_trip_and_damage_is_found() {
        let mut file = header().to_vec();
        let payload = vec![7; 300];
        put_chunk(&mut file, Encoding::Xor, &payload);
        assert_eq!(file.len(), HEADER_BYTES + stored_bytes(&payload));
        check_header(&file).unwrap();
        assert_eq!(chunk(&file, 8), Ok((Encoding::Xor, &payload[..])));
        for i in 4..file.len() {
            let mut damaged = file.clone();
            damaged[i] ^= 1;
            let found = check_header(&damaged).is_err() || chunk(&damaged, 8).is_err();
            assert!(found || (5..8).contains(&i), "byte {i}");
        }
        assert!(chunk(&file, 9000).is_err());
    }
}
