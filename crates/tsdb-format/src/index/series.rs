//! Series entries: label symbols and chunk places.

use super::WHAT;
use crate::bytes::{Reader, crc32, put_be32, put_uvarint, put_varint};
use crate::error::{Cause, FormatError, Result};

/// Where a chunk is, and the times of its first and last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkMeta {
    /// See [`crate::segment::reference`].
    pub reference: u64,
    pub min_ms: i64,
    pub max_ms: i64,
}

/// A series as the index has it: symbols of names and values, and chunks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesEntry {
    pub labels: Vec<(u32, u32)>,
    pub chunks: Vec<ChunkMeta>,
}

/// Reads the entry at `offset` into `entry`, whose memory is reused; without chunks where
/// `with_chunks` is false.
pub(super) fn decode(
    data: &[u8],
    offset: u64,
    entry: &mut SeriesEntry,
    with_chunks: bool,
) -> Result<()> {
    entry.labels.clear();
    entry.chunks.clear();
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|at| data.get(at..))
        .unwrap_or_default();
    let mut reader = Reader::at(WHAT, rest, offset);
    let len = reader.uvarint()?;
    let at = reader.offset();
    let len = usize::try_from(len).map_err(|_| reader.error(Cause::Varint))?;
    let content = reader.take(len)?;
    reader.expect_crc(crc32(content))?;
    let mut reader = Reader::at(WHAT, content, at);
    for _ in 0..reader.count(2)? {
        let (name, value) = (symbol(&mut reader)?, symbol(&mut reader)?);
        entry.labels.push((name, value));
    }
    if with_chunks {
        decode_chunks(&mut reader, &mut entry.chunks)?;
    }
    Ok(())
}

fn symbol(reader: &mut Reader<'_>) -> Result<u32> {
    let offset = reader.offset();
    u32::try_from(reader.uvarint()?).map_err(|_| FormatError::new(WHAT, offset, Cause::Varint))
}

fn decode_chunks(reader: &mut Reader<'_>, chunks: &mut Vec<ChunkMeta>) -> Result<()> {
    let count = reader.count(3)?;
    let mut last = ChunkMeta::default();
    for i in 0..count {
        let min_ms = if i == 0 {
            reader.varint()?
        } else {
            last.max_ms.wrapping_add(reader.uvarint()? as i64)
        };
        let max_ms = min_ms.wrapping_add(reader.uvarint()? as i64);
        let reference = if i == 0 {
            reader.uvarint()?
        } else {
            last.reference.wrapping_add(reader.varint()? as u64)
        };
        last = ChunkMeta {
            reference,
            min_ms,
            max_ms,
        };
        chunks.push(last);
    }
    Ok(())
}

/// Appends an entry; `scratch` is memory to work in.
pub(super) fn encode(
    labels: &[(u32, u32)],
    chunks: &[ChunkMeta],
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    scratch.clear();
    put_uvarint(scratch, labels.len() as u64);
    for (name, value) in labels {
        put_uvarint(scratch, u64::from(*name));
        put_uvarint(scratch, u64::from(*value));
    }
    put_uvarint(scratch, chunks.len() as u64);
    let mut last: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match last {
            None => put_varint(scratch, chunk.min_ms),
            Some(last) => put_uvarint(scratch, chunk.min_ms.wrapping_sub(last.max_ms) as u64),
        }
        put_uvarint(scratch, chunk.max_ms.wrapping_sub(chunk.min_ms) as u64);
        match last {
            None => put_uvarint(scratch, chunk.reference),
            Some(last) => {
                put_varint(scratch, chunk.reference.wrapping_sub(last.reference) as i64);
            }
        }
        last = Some(chunk);
    }
    put_uvarint(out, scratch.len() as u64);
    out.extend_from_slice(scratch);
    put_be32(out, crc32(scratch));
}
