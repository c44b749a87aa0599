//! The bytes of `wal_shortcut`.
//!
//! ```text
//! magic <8>
//! open chunks, each:
//!   series <uvarint, from 1 on>  encoding <1>  predicted <1>
//!   first time <varint>  end <varint, less the first time>  len <uvarint>  data <len>
//! 0 <1>
//! facts: lowest time <varint>  checkpoint <uvarint, 0 for none, else its number and 1>
//!   place: segment <uvarint>  offset <uvarint>
//!   segments <uvarint>, each: number <uvarint>  bytes <uvarint>  sum <4b>  words <uvarint>  word <8b>...
//!   chunk files <uvarint>, each: number <uvarint>  bytes <uvarint>  sum <4b>
//! where the facts begin <8b>
//! CRC32 of everything before <4b>
//! ```

use std::io;
use std::ops::Range;
use std::path::Path;

use tsdb_format::FormatError;
use tsdb_format::bytes::{
    Reader, crc32, crc32_append, put_be32, put_be64, put_uvarint, put_varint,
};
use tsdb_format::chunk::Encoding;

use super::super::series::OpenState;
use crate::fs::{File, FileSystem};
use crate::wal::{PageMarks, Place};

const MAGIC: &[u8; 8] = b"FWSCUT\0\x01";
const WHAT: &str = "WAL shortcut";
const TRAILER: usize = 12;
const BUFFER: usize = 256 * 1024;
/// What of a file's end stands for it: no two logs have the same.
const TAIL: usize = 64 * 1024;

/// A checksum of a file's end.
pub fn sum_of_tail(bytes: &[u8]) -> u32 {
    crc32(&bytes[bytes.len().saturating_sub(TAIL)..])
}

/// What has to be as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Samples before this were in blocks.
    pub min_valid_ms: i64,
    pub checkpoint: Option<u64>,
    /// What is before is covered.
    pub from: Place,
    pub segments: Vec<SegmentFacts>,
    /// Number, bytes and [`sum_of_tail`] of the files with full chunks.
    pub chunk_files: Vec<(u32, u64, u32)>,
}

/// A segment of the log, up to where the open chunks have samples of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    pub number: u64,
    pub bytes: u64,
    pub sum: u32,
    pub marks: PageMarks,
}

/// A file that is being written.
pub struct Sink {
    file: Box<dyn File>,
    at: u64,
    crc: u32,
    buffer: Vec<u8>,
}

impl Sink {
    /// Creates the file.
    ///
    /// # Errors
    /// What the operating system says, here and below.
    pub fn create(fs: &dyn FileSystem, path: &Path) -> io::Result<Sink> {
        Ok(Sink {
            file: fs.create(path)?,
            at: 0,
            crc: 0,
            buffer: MAGIC.to_vec(),
        })
    }

    /// Adds the open chunk of a series.
    pub fn open_chunk(&mut self, series: u32, open: &OpenState<'_>) {
        let out = &mut self.buffer;
        put_uvarint(out, u64::from(series));
        out.push(open.encoding.byte());
        out.push(u8::from(open.predicted));
        put_varint(out, open.min_ms);
        put_varint(out, open.next_at_ms.wrapping_sub(open.min_ms));
        put_uvarint(out, open.data.len() as u64);
        out.extend_from_slice(open.data);
    }

    /// Writes out what has gathered, if that is much.
    pub fn write_out(&mut self) -> io::Result<()> {
        match self.buffer.len() >= BUFFER {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.at, &self.buffer)?;
        self.crc = crc32_append(self.crc, &self.buffer);
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Completes the file and says how long it is.
    pub fn finish(mut self, facts: &Facts) -> io::Result<u64> {
        let out = &mut self.buffer;
        out.push(0);
        let start = self.at + out.len() as u64;
        put_facts(out, facts);
        put_be64(out, start);
        let crc = crc32_append(self.crc, out);
        put_be32(out, crc);
        self.flush()?;
        Ok(self.at)
    }
}

fn put_facts(out: &mut Vec<u8>, facts: &Facts) {
    put_varint(out, facts.min_valid_ms);
    put_uvarint(out, facts.checkpoint.map_or(0, |number| number + 1));
    put_uvarint(out, facts.from.segment);
    put_uvarint(out, facts.from.offset);
    put_uvarint(out, facts.segments.len() as u64);
    for segment in &facts.segments {
        put_uvarint(out, segment.number);
        put_uvarint(out, segment.bytes);
        put_be32(out, segment.sum);
        put_uvarint(out, segment.marks.words().len() as u64);
        for word in segment.marks.words() {
            put_be64(out, *word);
        }
    }
    put_uvarint(out, facts.chunk_files.len() as u64);
    for (number, bytes, sum) in &facts.chunk_files {
        put_uvarint(out, u64::from(*number));
        put_uvarint(out, *bytes);
        put_be32(out, *sum);
    }
}

/// The facts of a file, and where its open chunks are.
///
/// # Errors
/// A file that is torn or damaged, or of another version.
pub fn parse(bytes: &[u8]) -> Result<(Facts, Range<usize>), FormatError> {
    let invalid = |text: &str| FormatError::invalid(WHAT, 0, text.to_owned());
    if bytes.len() < MAGIC.len() + 1 + TRAILER || !bytes.starts_with(MAGIC) {
        return Err(invalid("no such file, or of another version"));
    }
    let (body, trailer) = bytes.split_at(bytes.len() - TRAILER);
    let mut trailer_reader = Reader::new(WHAT, trailer);
    let start = trailer_reader.be64()?;
    trailer_reader.expect_crc(crc32(&bytes[..bytes.len() - 4]))?;
    let start = usize::try_from(start).ok();
    let start = start.filter(|start| (MAGIC.len() + 1..=body.len()).contains(start));
    let Some(start) = start else {
        return Err(invalid("facts lie outside"));
    };
    let mut reader = Reader::at(WHAT, &body[start..], start as u64);
    let facts = read_facts(&mut reader)?;
    reader.finish()?;
    Ok((facts, MAGIC.len()..start - 1))
}

fn read_facts(reader: &mut Reader<'_>) -> Result<Facts, FormatError> {
    let min_valid_ms = reader.varint()?;
    let checkpoint = reader.uvarint()?.checked_sub(1);
    let from = Place {
        segment: reader.uvarint()?,
        offset: reader.uvarint()?,
    };
    let count = reader.count(7)?;
    let mut segments = Vec::with_capacity(count);
    for _ in 0..count {
        let (number, bytes, sum) = (reader.uvarint()?, reader.uvarint()?, reader.be32()?);
        let words = reader.count(8)?;
        let words = (0..words)
            .map(|_| reader.be64())
            .collect::<Result<_, _>>()?;
        segments.push(SegmentFacts {
            number,
            bytes,
            sum,
            marks: PageMarks::from_words(words),
        });
    }
    let count = reader.count(6)?;
    let mut chunk_files = Vec::with_capacity(count);
    for _ in 0..count {
        let number = u32::try_from(reader.uvarint()?)
            .map_err(|_| reader.invalid("number of a chunk file"))?;
        chunk_files.push((number, reader.uvarint()?, reader.be32()?));
    }
    Ok(Facts {
        min_valid_ms,
        checkpoint,
        from,
        segments,
        chunk_files,
    })
}

/// The open chunks of a file; `bytes` are those that [`parse`] has named.
pub fn open_chunks(
    bytes: &[u8],
) -> impl Iterator<Item = Result<(u32, OpenState<'_>), FormatError>> {
    let mut reader = Reader::new(WHAT, bytes);
    let mut failed = false;
    std::iter::from_fn(move || {
        if reader.is_empty() || failed {
            return None;
        }
        let chunk = open_chunk(&mut reader);
        failed = chunk.is_err();
        Some(chunk)
    })
}

fn open_chunk<'a>(reader: &mut Reader<'a>) -> Result<(u32, OpenState<'a>), FormatError> {
    let series =
        u32::try_from(reader.uvarint()?).map_err(|_| reader.invalid("number of a series"))?;
    let encoding = Encoding::from_byte(reader.u8()?).ok_or_else(|| reader.invalid("encoding"))?;
    let predicted = reader.u8()? == 1;
    let min_ms = reader.varint()?;
    let next_at_ms = min_ms.wrapping_add(reader.varint()?);
    let len = reader.count(1)?;
    let open = OpenState {
        encoding,
        min_ms,
        next_at_ms,
        predicted,
        data: reader.take(len)?,
    };
    Ok((series, open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    fn some_facts() -> Facts {
        let mut marks = PageMarks::default();
        marks.note(Some(1), 5_000_000, 5_100_000);
        let segment = |number, marks| SegmentFacts {
            number,
            bytes: number * 1000,
            sum: 0xdead_beef,
            marks,
        };
        Facts {
            min_valid_ms: i64::MIN,
            checkpoint: Some(0),
            from: Place {
                segment: 8,
                offset: 77_777_777,
            },
            segments: vec![segment(7, marks), segment(8, PageMarks::default())],
            chunk_files: vec![(3, 1 << 27, 1), (4, 9, 2)],
        }
    }

    fn state(data: &[u8], min_ms: i64) -> OpenState<'_> {
        OpenState {
            encoding: Encoding::Histogram,
            min_ms,
            next_at_ms: min_ms.wrapping_add(7_200_000),
            predicted: true,
            data,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let data = vec![7; 3000];
        let mut sink = Sink::create(&RealFs, &path).unwrap();
        for id in 1..300 {
            sink.open_chunk(id, &state(&data[..id as usize * 10], i64::from(id) - 150));
            sink.write_out().unwrap();
        }
        let len = sink.finish(&some_facts()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, len);
        let (facts, chunks) = parse(&bytes).unwrap();
        assert_eq!(facts, some_facts());
        let found: Vec<_> = open_chunks(&bytes[chunks]).map(Result::unwrap).collect();
        assert_eq!(found.len(), 299);
        for (id, open) in found {
            assert_eq!(open, state(&data[..id as usize * 10], i64::from(id) - 150));
        }
        // Whatever is torn or flipped is found.
        for cut in (0..bytes.len())
            .step_by(997)
            .chain(bytes.len() - 20..bytes.len())
        {
            assert!(parse(&bytes[..cut]).is_err(), "cut to {cut}");
            let mut flipped = bytes.clone();
            flipped[cut] ^= 1 << (cut % 8);
            assert!(parse(&flipped).is_err(), "flipped at {cut}");
        }
    }

    /// Bytes whose checksum is right, and that say anything else, do no harm.
    #[test]
    fn nonsense_is_refused_or_read() {
        let mut out = MAGIC.to_vec();
        out.push(0);
        let start = out.len();
        put_facts(&mut out, &some_facts());
        for at in 0..out.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut bytes = out.clone();
                bytes[at] = value;
                for place in [start, at] {
                    let mut bytes = bytes.clone();
                    put_be64(&mut bytes, place as u64);
                    let crc = crc32(&bytes);
                    put_be32(&mut bytes, crc);
                    if let Ok((facts, chunks)) = parse(&bytes) {
                        facts
                            .segments
                            .iter()
                            .for_each(|s| assert!(s.marks.runs().count() < 10_000));
                        open_chunks(&bytes[chunks]).for_each(drop);
                    }
                }
                open_chunks(&bytes).for_each(drop);
            }
        }
    }
}
