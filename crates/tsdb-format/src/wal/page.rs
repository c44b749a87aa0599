//! Segments: 32 KiB pages of fragments (prometheus/prometheus `tsdb/docs/format/wal.md`,
//! `tsdb/wlog/{wlog,reader}.go`).
//!
//! A record is cut into fragments where it does not fit a page; it never spans segments. A page that
//! has no room for a fragment's header is filled with zeros.

use std::io::Read as _;

use crate::bytes::crc32;
use crate::error::{Cause, FormatError, Result};

/// Bytes a page.
pub const PAGE_BYTES: usize = 32 * 1024;
/// Bytes of a fragment before its data: type, length, checksum.
pub const HEADER_BYTES: usize = 7;
/// Upstream's default size of a segment.
pub const SEGMENT_BYTES: u64 = 128 * 1024 * 1024;
/// A record larger than this, decompressed, is taken for damage.
pub const MAX_RECORD_BYTES: usize = 1 << 30;

const WHAT: &str = "WAL segment";
const TYPE_MASK: u8 = 0b111;
const SNAPPY_BIT: u8 = 1 << 3;
const ZSTD_BIT: u8 = 1 << 4;

const PAD: u8 = 0;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// How records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    None,
    #[default]
    Snappy,
    Zstd,
}

impl Compression {
    const fn bit(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Snappy => SNAPPY_BIT,
            Compression::Zstd => ZSTD_BIT,
        }
    }
}

/// Compresses records; a record that does not shrink stays as it is.
pub struct Compressor {
    compression: Compression,
    buffer: Vec<u8>,
    snappy: snap::raw::Encoder,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    /// A compressor of one kind.
    pub fn new(compression: Compression) -> Compressor {
        Compressor {
            compression,
            buffer: Vec::new(),
            snappy: snap::raw::Encoder::new(),
            // Without memory for zstd the records stay uncompressed, which every reader reads.
            zstd: match compression {
                Compression::Zstd => zstd::bulk::Compressor::new(1).ok(),
                Compression::None | Compression::Snappy => None,
            },
        }
    }

    /// The record as it shall be stored, and how that is compressed.
    pub fn compress<'a>(&'a mut self, record: &'a [u8]) -> (&'a [u8], Compression) {
        let size = match self.compression {
            _ if record.is_empty() => None,
            Compression::None => None,
            Compression::Snappy => {
                let most = snap::raw::max_compress_len(record.len());
                if self.buffer.len() < most {
                    self.buffer.resize(most, 0);
                }
                self.snappy.compress(record, &mut self.buffer).ok()
            }
            Compression::Zstd => {
                let most = zstd::zstd_safe::compress_bound(record.len());
                if self.buffer.len() < most {
                    self.buffer.resize(most, 0);
                }
                self.zstd
                    .as_mut()
                    .and_then(|zstd| zstd.compress_to_buffer(record, &mut self.buffer[..]).ok())
            }
        };
        match size {
            Some(size) if size < record.len() => (&self.buffer[..size], self.compression),
            _ => (record, Compression::None),
        }
    }
}

/// Cuts records into fragments; knows where in the segment the next byte goes.
#[derive(Clone, Debug, Default)]
pub struct PageWriter {
    position: u64,
}

impl PageWriter {
    /// A writer at `position` of a segment: 0, or the size of the segment that is continued.
    pub fn new(position: u64) -> PageWriter {
        PageWriter { position }
    }

    /// Where the next byte goes: the size of the segment.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn page_left(&self) -> usize {
        PAGE_BYTES - (self.position % PAGE_BYTES as u64) as usize
    }

    /// Whether a stored record of `len` bytes fits a segment of `segment_bytes`; if not, the next
    /// segment has to be started, unless this one is empty.
    pub fn fits(&self, len: usize, segment_bytes: u64) -> bool {
        if self.position >= segment_bytes {
            return false;
        }
        let left_in_page = self.page_left().saturating_sub(HEADER_BYTES) as u64;
        let page = PAGE_BYTES as u64;
        let pages_behind = (segment_bytes / page).saturating_sub(self.position / page + 1);
        len as u64 <= left_in_page + pages_behind * (page - HEADER_BYTES as u64)
    }

    /// Appends a stored record's fragments, and what fills the page before them, to `out`; says how
    /// many fragments there are.
    pub fn write(&mut self, stored: &[u8], compression: Compression, out: &mut Vec<u8>) -> u64 {
        let mut rest = stored;
        let mut first = true;
        let mut fragments = 0;
        loop {
            if self.page_left() <= HEADER_BYTES {
                // As upstream: a fragment has at least one byte of data, unless the record is empty.
                self.fill_page(out);
            }
            let n = rest.len().min(self.page_left() - HEADER_BYTES);
            let (data, behind) = rest.split_at(n);
            let kind = match (first, behind.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            out.push(kind | compression.bit());
            out.extend_from_slice(&(n as u16).to_be_bytes());
            out.extend_from_slice(&crc32(data).to_be_bytes());
            out.extend_from_slice(data);
            self.position += (HEADER_BYTES + n) as u64;
            rest = behind;
            first = false;
            fragments += 1;
            if rest.is_empty() {
                // A page that is full to the last byte or header is closed with its record.
                if self.page_left() < HEADER_BYTES {
                    self.fill_page(out);
                }
                return fragments;
            }
        }
    }

    /// Fills the page with zeros: at the end of a segment.
    pub fn fill_page(&mut self, out: &mut Vec<u8>) {
        let left = self.page_left();
        if left < PAGE_BYTES {
            out.resize(out.len() + left, 0);
            self.position += left as u64;
        }
    }
}

/// Reads the records of a segment that lies in memory.
pub struct SegmentReader<'a> {
    data: &'a [u8],
    position: usize,
    /// Behind the last whole record.
    valid: usize,
    stored: Vec<u8>,
    /// Begins with the last record that had to be decompressed.
    record: Vec<u8>,
    snappy: snap::raw::Decoder,
}

/// A record that was stepped over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its first byte, which says its type; `None` for a record without bytes.
    pub first: Option<u8>,
    /// Where its first fragment starts.
    pub start: usize,
    /// Behind its last fragment.
    pub end: usize,
}

/// What a fragment's header says.
struct Fragment<'a> {
    kind: u8,
    flags: u8,
    data: &'a [u8],
    /// Behind the fragment.
    end: usize,
}

impl<'a> SegmentReader<'a> {
    /// A reader of a segment from its first byte.
    pub fn new(data: &'a [u8]) -> SegmentReader<'a> {
        SegmentReader::at(data, 0)
    }

    /// A reader that starts at `position`, which is that of a record.
    pub fn at(data: &'a [u8], position: usize) -> SegmentReader<'a> {
        SegmentReader {
            data,
            position: position.min(data.len()),
            valid: position.min(data.len()),
            stored: Vec::new(),
            record: Vec::new(),
            snappy: snap::raw::Decoder::new(),
        }
    }

    /// Where the next record is looked for.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The position behind the last whole record: what is before it is good, and a damaged segment
    /// is cut here.
    pub fn valid_to(&self) -> usize {
        self.valid
    }

    /// The next record, decompressed; `None` at the end.
    ///
    /// # Errors
    /// Damage: its place, and what is wrong. There is no reading on behind it.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>> {
        Ok(self.next_with_end()?.map(|(record, _)| record))
    }

    /// [`SegmentReader::next_record`] with the position behind it.
    ///
    /// # Errors
    /// As there.
    pub fn next_with_end(&mut self) -> Result<Option<(&[u8], usize)>> {
        let start = self.position;
        self.stored.clear();
        let mut index = 0;
        let (flags, direct) = loop {
            let Some(fragment) = self.fragment(true)? else {
                if index > 0 {
                    return Err(FormatError::invalid(
                        WHAT,
                        start as u64,
                        "last record is torn",
                    ));
                }
                self.valid = self.position;
                return Ok(None);
            };
            self.check_order(fragment.kind, index)?;
            self.position = fragment.end;
            match fragment.kind {
                FULL => break (fragment.flags, Some(fragment.data)),
                LAST => {
                    self.stored.extend_from_slice(fragment.data);
                    break (fragment.flags, None);
                }
                _ => self.stored.extend_from_slice(fragment.data),
            }
            index += 1;
        };
        let stored: &[u8] = match direct {
            Some(data) => data,
            None => &self.stored,
        };
        let decompressed = decompress(flags, stored, &mut self.record, &mut self.snappy)
            .map_err(|text| FormatError::invalid(WHAT, start as u64, text))?;
        self.valid = self.position;
        let record = match (decompressed, direct) {
            (Some(len), _) => &self.record[..len],
            (None, Some(data)) => data,
            (None, None) => &self.stored,
        };
        Ok(Some((record, self.position)))
    }

    /// The next record whose first byte is one of `wanted`, decompressed; `None` at the end. The records
    /// before it are [stepped over](SegmentReader::step).
    ///
    /// # Errors
    /// Damage that is met on the way.
    pub fn next_of_types(&mut self, wanted: &[u8]) -> Result<Option<&[u8]>> {
        while let Some(step) = self.step()? {
            if step.first.is_some_and(|byte| wanted.contains(&byte)) {
                return self.record_at(step.start);
            }
        }
        Ok(None)
    }

    /// Steps over the next record: it is neither decompressed, where its first byte can be seen without
    /// that, nor held against its checksums. `None` at the end.
    ///
    /// # Errors
    /// Damage that is met on the way.
    pub fn step(&mut self) -> Result<Option<Step>> {
        self.step_over(false)
    }

    /// [`SegmentReader::step`] that holds the record against its checksums.
    ///
    /// # Errors
    /// As there.
    pub fn checked_step(&mut self) -> Result<Option<Step>> {
        self.step_over(true)
    }

    fn step_over(&mut self, checked: bool) -> Result<Option<Step>> {
        let Some(fragment) = self.fragment(checked)? else {
            self.valid = self.position;
            return Ok(None);
        };
        let start = self.position;
        self.check_order(fragment.kind, 0)?;
        let mut first = first_byte(fragment.flags, fragment.data);
        self.position = fragment.end;
        let (mut kind, mut index) = (fragment.kind, 0);
        while kind != FULL && kind != LAST {
            index += 1;
            let Some(next) = self.fragment(checked)? else {
                let text = "last record is torn";
                return Err(FormatError::invalid(WHAT, start as u64, text));
            };
            self.check_order(next.kind, index)?;
            self.position = next.end;
            kind = next.kind;
        }
        let end = self.position;
        if first.is_none() {
            let record = self.record_at(start)?;
            first = record.and_then(|record| record.first().copied());
        }
        self.valid = self.position;
        Ok(Some(Step { first, start, end }))
    }

    /// The record that starts at `start`, as a [`Step`] has it, decompressed.
    ///
    /// # Errors
    /// Damage.
    pub fn record_at(&mut self, start: usize) -> Result<Option<&[u8]>> {
        self.position = start;
        self.next_record()
    }

    /// Goes to the first record that starts at or behind `page_start`, where a page starts: what the
    /// page has of a record that began before is left out.
    ///
    /// # Errors
    /// Damage that is met on the way.
    pub fn seek_page(&mut self, page_start: usize) -> Result<()> {
        self.position = page_start.min(self.data.len());
        while let Some(fragment) = self.fragment(false)? {
            if !matches!(fragment.kind, MIDDLE | LAST) {
                break;
            }
            self.position = fragment.end;
        }
        self.valid = self.position;
        Ok(())
    }

    /// The fragment at the position, past padding; `None` at the end.
    fn fragment(&mut self, checked: bool) -> Result<Option<Fragment<'a>>> {
        loop {
            let at = self.position;
            let Some(&head) = self.data.get(at) else {
                return Ok(None);
            };
            let page_left = PAGE_BYTES - at % PAGE_BYTES;
            if head & TYPE_MASK == PAD {
                // The rest of the page is zeros, or of the file where the page is not finished.
                let rest = &self.data[at..self.data.len().min(at + page_left)];
                if let Some(i) = rest.iter().position(|&byte| byte != 0) {
                    return Err(FormatError::invalid(
                        WHAT,
                        (at + i) as u64,
                        "unexpected non-zero byte in padded page",
                    ));
                }
                self.position += rest.len();
                continue;
            }
            if page_left < HEADER_BYTES {
                return Err(FormatError::invalid(
                    WHAT,
                    at as u64,
                    "fragment header across the end of a page",
                ));
            }
            return self.whole_fragment(at, head, page_left, checked).map(Some);
        }
    }

    fn whole_fragment(
        &self,
        at: usize,
        head: u8,
        page_left: usize,
        checked: bool,
    ) -> Result<Fragment<'a>> {
        let rest = &self.data[at..];
        let torn = |needed: usize| {
            FormatError::new(
                WHAT,
                at as u64,
                Cause::UnexpectedEnd {
                    needed: needed as u64,
                    left: rest.len() as u64,
                },
            )
        };
        let header: &[u8; HEADER_BYTES] = rest
            .first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| torn(HEADER_BYTES))?;
        let len = usize::from(u16::from_be_bytes([header[1], header[2]]));
        if len > page_left - HEADER_BYTES {
            return Err(FormatError::invalid(
                WHAT,
                at as u64,
                format!("invalid record size {len}"),
            ));
        }
        let data = rest
            .get(HEADER_BYTES..HEADER_BYTES + len)
            .ok_or_else(|| torn(HEADER_BYTES + len))?;
        let expected = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
        let actual = if checked { crc32(data) } else { expected };
        if expected != actual {
            return Err(FormatError::new(
                WHAT,
                at as u64,
                Cause::Checksum { expected, actual },
            ));
        }
        Ok(Fragment {
            kind: head & TYPE_MASK,
            flags: head & !TYPE_MASK,
            data,
            end: at + HEADER_BYTES + len,
        })
    }

    fn check_order(&self, kind: u8, index: usize) -> Result<()> {
        let problem = match kind {
            FULL if index != 0 => "unexpected full record",
            FIRST if index != 0 => "unexpected first record, dropping buffer",
            MIDDLE if index == 0 => "unexpected middle record, dropping buffer",
            LAST if index == 0 => "unexpected last record, dropping buffer",
            FULL | FIRST | MIDDLE | LAST => return Ok(()),
            _ => "unexpected record type",
        };
        Err(FormatError::invalid(WHAT, self.position as u64, problem))
    }
}

/// The first byte of a record, of which `stored` is the beginning; `None` where that takes
/// decompression.
fn first_byte(flags: u8, stored: &[u8]) -> Option<u8> {
    if flags & ZSTD_BIT != 0 {
        return None;
    }
    if flags & SNAPPY_BIT == 0 {
        return stored.first().copied();
    }
    // The length as a varint, then a literal: there is nothing yet that could be copied.
    let tag = 1 + stored.iter().take(5).position(|byte| *byte < 0x80)?;
    let more = match *stored.get(tag)? {
        byte if byte & 3 != 0 => return None,
        byte => usize::from(byte >> 2).saturating_sub(59),
    };
    stored.get(tag + 1 + more).copied()
}

/// Decompresses to the beginning of `record` and says how many bytes that are, or `None` where `stored`
/// is the record itself.
fn decompress(
    flags: u8,
    stored: &[u8],
    record: &mut Vec<u8>,
    snappy: &mut snap::raw::Decoder,
) -> Result<Option<usize>, String> {
    if stored.is_empty() || flags & (SNAPPY_BIT | ZSTD_BIT) == 0 {
        return Ok(None);
    }
    if flags & SNAPPY_BIT != 0 {
        let len = snap::raw::decompress_len(stored).map_err(|e| e.to_string())?;
        // No run of snappy expands beyond 64 bytes for three.
        if len > MAX_RECORD_BYTES || len / 32 > stored.len() {
            return Err(format!("snappy: record of {len} bytes claimed"));
        }
        // What is overwritten need not be cleared.
        if record.len() < len {
            record.resize(len, 0);
        }
        snappy
            .decompress(stored, &mut record[..len])
            .map_err(|e| e.to_string())?;
        return Ok(Some(len));
    }
    record.clear();
    let decoder =
        zstd::stream::read::Decoder::with_buffer(stored).map_err(|e| format!("zstd: {e}"))?;
    decoder
        .take(MAX_RECORD_BYTES as u64 + 1)
        .read_to_end(record)
        .map_err(|e| format!("zstd: {e}"))?;
    if record.len() > MAX_RECORD_BYTES {
        return Err("zstd: record too large".to_owned());
    }
    Ok(Some(record.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(i: usize, len: usize) -> Vec<u8> {
        (0..len).map(|j| (i * 31 + j * j / 7) as u8).collect()
    }

    fn sizes() -> impl Iterator<Item = usize> {
        [0, 1, 100, 32_753, 32_761, 32_762, 5, 70_000, 7, 200_000]
            .into_iter()
            .cycle()
            .take(40)
    }

    fn write(compression: Compression) -> Vec<u8> {
        let mut compressor = Compressor::new(compression);
        let mut writer = PageWriter::new(0);
        let mut out = Vec::new();
        for (i, len) in sizes().enumerate() {
            let record = record(i, len);
            let (stored, compression) = compressor.compress(&record);
            writer.write(stored, compression, &mut out);
            assert_eq!(writer.position(), out.len() as u64);
        }
        out
    }

    #[test]
    fn records_round_trip_in_all_compressions() {
        for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
            let data = write(compression);
            let mut reader = SegmentReader::new(&data);
            for (i, len) in sizes().enumerate() {
                let got = reader.next_record().unwrap().unwrap();
                assert!(got == record(i, len), "{compression:?} record {i}");
            }
            assert_eq!(reader.next_record(), Ok(None));
            for wanted in (0..=255).step_by(31) {
                let mut skipping = SegmentReader::new(&data);
                for (i, len) in sizes().enumerate() {
                    let record = record(i, len);
                    if record.first() == Some(&wanted) {
                        assert!(skipping.next_of_types(&[wanted]).unwrap() == Some(&record[..]));
                    }
                }
                assert_eq!(skipping.next_of_types(&[wanted]), Ok(None));
                assert_eq!(skipping.valid_to(), data.len());
            }
        }
    }

    #[test]
    fn a_torn_tail_leaves_what_is_before_it() {
        let data = write(Compression::None);
        let mut ends = vec![0];
        let mut reader = SegmentReader::new(&data);
        while let Ok(Some(_)) = reader.next_record() {
            ends.push(reader.valid_to());
        }
        for cut in (0..data.len()).step_by(997) {
            let mut reader = SegmentReader::new(&data[..cut]);
            while let Ok(Some(_)) = reader.next_record() {}
            let last = *ends.iter().rfind(|end| **end <= cut).unwrap();
            assert!(reader.valid_to() >= last && reader.valid_to() <= cut);
        }
    }

    #[test]
    fn flipped_bits_are_found() {
        let mut writer = PageWriter::new(0);
        let mut data = Vec::new();
        writer.write(b"first", Compression::None, &mut data);
        writer.write(b"second", Compression::None, &mut data);
        data[HEADER_BYTES + 5 + HEADER_BYTES] ^= 4;
        let mut reader = SegmentReader::new(&data);
        assert_eq!(reader.next_record().unwrap(), Some(&b"first"[..]));
        let error = reader.next_record().unwrap_err();
        assert_eq!(error.offset, 12);
        assert!(matches!(error.cause, Cause::Checksum { .. }));
        assert_eq!(reader.valid_to(), 12);
    }

    #[test]
    fn segment_room() {
        let writer = PageWriter::new(0);
        let most = PAGE_BYTES - HEADER_BYTES;
        assert!(writer.fits(4 * most, 4 * PAGE_BYTES as u64));
        assert!(!writer.fits(4 * most + 1, 4 * PAGE_BYTES as u64));
        assert!(!PageWriter::new(4 * PAGE_BYTES as u64).fits(0, 4 * PAGE_BYTES as u64));
    }
}
