//! Records of the write-ahead log, the write-behind log, checkpoints and snapshots
//! (prometheus/prometheus `tsdb/record/record.go`).
//!
//! Decoders append to a vector of the caller's and leave it as it was where a record does not
//! decode. Encoders append to a byte vector. Types 1 to 10 are written; 11 to 14, which carry start
//! timestamps or stand in checkpoints of later versions, are read.

mod histograms;

use std::borrow::Cow;

use model::{Labels, MetricType};

use crate::bytes::{Reader, put_be64, put_f64, put_str, put_uvarint, put_varint, unzigzag};
use crate::error::{FormatError, Result};

pub use histograms::{
    RefFloatHistogram, RefHistogram, decode_float_histogram, decode_float_histograms,
    decode_histogram, decode_histograms, encode_float_histogram, encode_float_histograms,
    encode_histogram, encode_histograms,
};

const WHAT: &str = "WAL record";

/// The type of a record: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecordType {
    Series = 1,
    Samples = 2,
    Tombstones = 3,
    Exemplars = 4,
    MmapMarkers = 5,
    Metadata = 6,
    Histograms = 7,
    FloatHistograms = 8,
    CustomBucketsHistograms = 9,
    CustomBucketsFloatHistograms = 10,
    SamplesV2 = 11,
    HistogramsV2 = 12,
    FloatHistogramsV2 = 13,
    MinValidTime = 14,
}

impl RecordType {
    /// Whether a record of that first byte has samples and nothing else.
    pub const fn holds_samples(first: u8) -> bool {
        matches!(first, 2 | 7..=13)
    }

    /// The type of an encoded record; `None` for types of the future and for no bytes.
    pub fn of(record: &[u8]) -> Option<RecordType> {
        Some(match *record.first()? {
            1 => RecordType::Series,
            2 => RecordType::Samples,
            3 => RecordType::Tombstones,
            4 => RecordType::Exemplars,
            5 => RecordType::MmapMarkers,
            6 => RecordType::Metadata,
            7 => RecordType::Histograms,
            8 => RecordType::FloatHistograms,
            9 => RecordType::CustomBucketsHistograms,
            10 => RecordType::CustomBucketsFloatHistograms,
            11 => RecordType::SamplesV2,
            12 => RecordType::HistogramsV2,
            13 => RecordType::FloatHistogramsV2,
            14 => RecordType::MinValidTime,
            _ => return None,
        })
    }

    /// The name, as upstream's metric labels have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordType::Series => "series",
            RecordType::Samples => "samples",
            RecordType::Tombstones => "tombstones",
            RecordType::Exemplars => "exemplars",
            RecordType::MmapMarkers => "mmapmarkers",
            RecordType::Metadata => "metadata",
            RecordType::Histograms => "histogram_samples",
            RecordType::FloatHistograms => "float_histogram_samples",
            RecordType::CustomBucketsHistograms => "custom_buckets_histogram_samples",
            RecordType::CustomBucketsFloatHistograms => "custom_buckets_float_histogram_samples",
            RecordType::SamplesV2 => "samples_v2",
            RecordType::HistogramsV2 => "histogram_samples_v2",
            RecordType::FloatHistogramsV2 => "float_histogram_samples_v2",
            RecordType::MinValidTime => "min_valid_time",
        }
    }
}

/// A series and its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct RefSeries {
    pub reference: u64,
    pub labels: Labels,
}

/// A float sample of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefSample {
    pub reference: u64,
    /// The start timestamp, 0 if unknown.
    pub start_ms: i64,
    pub t_ms: i64,
    pub value: f64,
}

/// A deleted range of a series, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefTombstone {
    pub reference: u64,
    pub min_ms: i64,
    pub max_ms: i64,
}

impl RefTombstone {
    /// The note that a series was let go of, with all it had, which is in blocks (as upstream has it,
    /// prometheus/prometheus#16929).
    pub const fn eviction(reference: u64) -> RefTombstone {
        RefTombstone {
            reference,
            min_ms: i64::MIN,
            max_ms: i64::MAX,
        }
    }

    /// Whether this is such a note. Deletions are cut to what a series has: none looks like it.
    pub const fn is_eviction(&self) -> bool {
        self.min_ms == i64::MIN && self.max_ms == i64::MAX
    }
}

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct RefExemplar {
    pub reference: u64,
    pub t_ms: i64,
    pub value: f64,
    pub labels: Labels,
}

/// All out-of-order samples of a series up to here are in the head chunk `chunk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefMmapMarker {
    pub reference: u64,
    /// Segment number (upper half) and offset (lower half) in `chunks_head/`.
    pub chunk: u64,
}

/// Metadata of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefMetadata {
    pub reference: u64,
    /// As stored: see [`metric_type_byte`].
    pub type_byte: u8,
    pub unit: String,
    pub help: String,
}

/// The stored byte of a metric type.
pub const fn metric_type_byte(metric_type: MetricType) -> u8 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::Stateset => 7,
    }
}

/// The metric type of a stored byte; bytes of the future are unknown types.
pub const fn metric_type(byte: u8) -> MetricType {
    match byte {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::Stateset,
        _ => MetricType::Unknown,
    }
}

/// Starts reading a record of one of the given types.
fn open<'a>(record: &'a [u8], types: &[RecordType]) -> Result<(RecordType, Reader<'a>)> {
    match RecordType::of(record) {
        Some(found) if types.contains(&found) => Ok((found, Reader::at(WHAT, &record[1..], 1))),
        _ => Err(FormatError::invalid(
            WHAT,
            0,
            match record.first() {
                Some(byte) => format!("invalid record type {byte}"),
                None => "empty record".to_owned(),
            },
        )),
    }
}

/// Runs a decoder of one entry until the record is used up; on failure `out` is as it was.
fn fill<T>(
    reader: &mut Reader<'_>,
    out: &mut Vec<T>,
    mut entry: impl FnMut(&mut Reader<'_>) -> Result<T>,
) -> Result<()> {
    let before = out.len();
    while !reader.is_empty() {
        match entry(reader) {
            Ok(item) => out.push(item),
            Err(error) => {
                out.truncate(before);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Reads a label set: a count, then names and values. Sets that are not sorted, or name a label
/// twice, become valid ones as [`Labels::from_pairs`] has it.
pub fn decode_labels(reader: &mut Reader<'_>) -> Result<Labels> {
    let count = reader.count(2)?;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((reader.uvarint_str()?, reader.uvarint_str()?));
    }
    let sorted = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && pairs.iter().all(|pair| !pair.1.is_empty());
    Ok(if sorted {
        Labels::from_sorted(pairs)
    } else {
        Labels::from_pairs(pairs)
    })
}

/// Writes a label set as [`decode_labels`] reads it.
pub fn encode_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_uvarint(out, labels.len() as u64);
    // The pairs' packed form is that of the record.
    out.extend_from_slice(labels.as_bytes());
}

/// Decodes a series record.
pub fn decode_series(record: &[u8], out: &mut Vec<RefSeries>) -> Result<()> {
    let (_, mut reader) = open(record, &[RecordType::Series])?;
    fill(&mut reader, out, |reader| {
        Ok(RefSeries {
            reference: reader.be64()?,
            labels: decode_labels(reader)?,
        })
    })
}

/// Encodes a series record.
pub fn encode_series<'a>(series: impl IntoIterator<Item = (u64, &'a Labels)>, out: &mut Vec<u8>) {
    out.push(RecordType::Series as u8);
    for (reference, labels) in series {
        put_be64(out, reference);
        encode_labels(out, labels);
    }
}

/// Decodes a record of float samples, with start timestamps (type 11) or without (type 2).
pub fn decode_samples(record: &[u8], out: &mut Vec<RefSample>) -> Result<()> {
    let before = out.len();
    out.reserve(record.len() / 10);
    let result = visit_samples(record, |sample| out.push(sample));
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Hands the samples of a record of float samples to `take`, in order; where the record does not
/// decode, those before the fault have been handed out.
#[inline]
pub fn visit_samples(record: &[u8], mut take: impl FnMut(RefSample)) -> Result<()> {
    let (kind, mut reader) = open(record, &[RecordType::Samples, RecordType::SamplesV2])?;
    if reader.is_empty() {
        return Ok(());
    }
    if kind == RecordType::SamplesV2 {
        let mut times = TimesV2::default();
        while !reader.is_empty() {
            let (reference, t_ms, start_ms) = times.next(&mut reader)?;
            take(RefSample {
                reference,
                start_ms,
                t_ms,
                value: reader.be_f64()?,
            });
        }
        return Ok(());
    }
    let base = Base::read(&mut reader)?;
    let entries = reader.rest();
    let mut at = 0;
    while at < entries.len() {
        let (reference, t_ms, value);
        if let Some(entry) = short_entry(&entries[at..]) {
            (reference, t_ms) = base.plus(entry.reference, entry.t_ms);
            value = entry.value;
            at += entry.len;
        } else {
            let mut reader = reader.clone();
            reader.take(at)?;
            (reference, t_ms) = base.next(&mut reader)?;
            value = reader.be_f64()?;
            at = entries.len() - reader.remaining();
        }
        take(RefSample {
            reference,
            start_ms: 0,
            t_ms,
            value,
        });
    }
    Ok(())
}

/// An entry of a sample record whose differences are short, as nearly all are.
struct ShortEntry {
    reference: u64,
    t_ms: u64,
    value: f64,
    len: usize,
}

/// Reads an entry whose differences take up to three bytes each: a log has millions of them.
#[inline(always)]
fn short_entry(bytes: &[u8]) -> Option<ShortEntry> {
    let bytes = bytes.first_chunk::<14>()?;
    let (reference, t_at) = short_varint(&bytes[..3])?;
    let (t_ms, value_at) = short_varint(&bytes[t_at..t_at + 3])?;
    let value = bytes[t_at + value_at..].first_chunk::<8>()?;
    Some(ShortEntry {
        reference,
        t_ms,
        value: f64::from_be_bytes(*value),
        len: t_at + value_at + 8,
    })
}

/// A LEB128 integer of up to three bytes, and how many they are.
#[inline(always)]
fn short_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let part = |i: usize| u64::from(bytes[i] & 0x7f) << (7 * i);
    if bytes[0] < 0x80 {
        Some((part(0), 1))
    } else if bytes[1] < 0x80 {
        Some((part(0) | part(1), 2))
    } else if bytes[2] < 0x80 {
        Some((part(0) | part(1) | part(2), 3))
    } else {
        None
    }
}

/// Encodes a record of float samples without their start timestamps (type 2).
pub fn encode_samples(samples: &[RefSample], out: &mut Vec<u8>) {
    out.push(RecordType::Samples as u8);
    let Some(first) = samples.first() else { return };
    let base = Base {
        reference: first.reference,
        t_ms: first.t_ms,
    };
    out.reserve(16 + samples.len() * 13);
    base.write(out);
    for sample in samples {
        base.write_entry(out, sample.reference, sample.t_ms);
        put_f64(out, sample.value);
    }
}

/// Decodes a tombstone record.
pub fn decode_tombstones(record: &[u8], out: &mut Vec<RefTombstone>) -> Result<()> {
    let (_, mut reader) = open(record, &[RecordType::Tombstones])?;
    fill(&mut reader, out, |reader| {
        Ok(RefTombstone {
            reference: reader.be64()?,
            min_ms: reader.varint()?,
            max_ms: reader.varint()?,
        })
    })
}

/// Encodes a tombstone record.
pub fn encode_tombstones(stones: &[RefTombstone], out: &mut Vec<u8>) {
    out.push(RecordType::Tombstones as u8);
    for stone in stones {
        put_be64(out, stone.reference);
        put_varint(out, stone.min_ms);
        put_varint(out, stone.max_ms);
    }
}

/// Decodes an exemplar record.
pub fn decode_exemplars(record: &[u8], out: &mut Vec<RefExemplar>) -> Result<()> {
    let (_, mut reader) = open(record, &[RecordType::Exemplars])?;
    if reader.is_empty() {
        return Ok(());
    }
    let base = Base::read(&mut reader)?;
    fill(&mut reader, out, |reader| {
        let (reference, t_ms) = base.next(reader)?;
        Ok(RefExemplar {
            reference,
            t_ms,
            value: reader.be_f64()?,
            labels: decode_labels(reader)?,
        })
    })
}

/// Encodes an exemplar record.
pub fn encode_exemplars(exemplars: &[RefExemplar], out: &mut Vec<u8>) {
    out.push(RecordType::Exemplars as u8);
    let Some(first) = exemplars.first() else {
        return;
    };
    let base = Base {
        reference: first.reference,
        t_ms: first.t_ms,
    };
    base.write(out);
    for exemplar in exemplars {
        base.write_entry(out, exemplar.reference, exemplar.t_ms);
        put_f64(out, exemplar.value);
        encode_labels(out, &exemplar.labels);
    }
}

/// Decodes a record of memory-map markers (write-behind log).
pub fn decode_mmap_markers(record: &[u8], out: &mut Vec<RefMmapMarker>) -> Result<()> {
    let (_, mut reader) = open(record, &[RecordType::MmapMarkers])?;
    fill(&mut reader, out, |reader| {
        Ok(RefMmapMarker {
            reference: reader.be64()?,
            chunk: reader.be64()?,
        })
    })
}

/// Encodes a record of memory-map markers.
pub fn encode_mmap_markers(markers: &[RefMmapMarker], out: &mut Vec<u8>) {
    out.push(RecordType::MmapMarkers as u8);
    for marker in markers {
        put_be64(out, marker.reference);
        put_be64(out, marker.chunk);
    }
}

/// Decodes a metadata record; fields other than unit and help are skipped.
pub fn decode_metadata(record: &[u8], out: &mut Vec<RefMetadata>) -> Result<()> {
    let (_, mut reader) = open(record, &[RecordType::Metadata])?;
    fill(&mut reader, out, |reader| {
        let mut metadata = RefMetadata {
            reference: reader.uvarint()?,
            type_byte: reader.u8()?,
            unit: String::new(),
            help: String::new(),
        };
        for _ in 0..reader.count(2)? {
            // Names are compared and help texts kept as text; nothing else needs to be UTF-8.
            let name = reader.uvarint_bytes()?;
            let value = String::from_utf8_lossy(reader.uvarint_bytes()?);
            match name {
                b"UNIT" => metadata.unit = Cow::into_owned(value),
                b"HELP" => metadata.help = Cow::into_owned(value),
                _ => {}
            }
        }
        Ok(metadata)
    })
}

/// Encodes a metadata record.
pub fn encode_metadata(metadata: &[RefMetadata], out: &mut Vec<u8>) {
    out.push(RecordType::Metadata as u8);
    for entry in metadata {
        put_uvarint(out, entry.reference);
        out.push(entry.type_byte);
        put_uvarint(out, 2);
        put_str(out, "UNIT");
        put_str(out, &entry.unit);
        put_str(out, "HELP");
        put_str(out, &entry.help);
    }
}

/// Decodes the lowest valid time of a checkpoint (type 14).
pub fn decode_min_valid_time(record: &[u8]) -> Result<i64> {
    let (_, mut reader) = open(record, &[RecordType::MinValidTime])?;
    let t_ms = reader.be64()? as i64;
    reader.finish()?;
    Ok(t_ms)
}

/// The reference and the timestamp that the entries of a record count from.
struct Base {
    reference: u64,
    t_ms: i64,
}

impl Base {
    fn read(reader: &mut Reader<'_>) -> Result<Base> {
        Ok(Base {
            reference: reader.be64()?,
            t_ms: reader.be64()? as i64,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_be64(out, self.reference);
        put_be64(out, self.t_ms as u64);
    }

    #[inline]
    fn next(&self, reader: &mut Reader<'_>) -> Result<(u64, i64)> {
        let (reference, t_ms) = (reader.uvarint()?, reader.uvarint()?);
        Ok(self.plus(reference, t_ms))
    }

    /// Reference and time of an entry, from its zigzag differences.
    #[inline]
    fn plus(&self, reference: u64, t_ms: u64) -> (u64, i64) {
        let reference = self.reference.wrapping_add(unzigzag(reference) as u64);
        (reference, self.t_ms.wrapping_add(unzigzag(t_ms)))
    }

    #[inline]
    fn write_entry(&self, out: &mut Vec<u8>, reference: u64, t_ms: i64) {
        put_varint(out, reference.wrapping_sub(self.reference) as i64);
        put_varint(out, t_ms.wrapping_sub(self.t_ms));
    }
}

/// References, timestamps and start timestamps of the types 11 to 13.
#[derive(Default)]
struct TimesV2 {
    started: bool,
    first_t_ms: i64,
    first_start_ms: i64,
    reference: u64,
    start_ms: i64,
}

impl TimesV2 {
    fn next(&mut self, reader: &mut Reader<'_>) -> Result<(u64, i64, i64)> {
        if !self.started {
            self.started = true;
            self.reference = reader.varint()? as u64;
            self.first_t_ms = reader.varint()?;
            self.first_start_ms = reader.varint()?;
            self.start_ms = self.first_start_ms;
            return Ok((self.reference, self.first_t_ms, self.start_ms));
        }
        self.reference = self.reference.wrapping_add(reader.varint()? as u64);
        let t_ms = self.first_t_ms.wrapping_add(reader.varint()?);
        self.start_ms = match reader.u8()? {
            0 => 0,
            1 => self.start_ms,
            _ => self.first_start_ms.wrapping_add(reader.varint()?),
        };
        Ok((self.reference, t_ms, self.start_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_records_leave_the_output_as_it_was() {
        let samples: Vec<_> = (0..5)
            .map(|i| RefSample {
                reference: 7 + i,
                start_ms: 0,
                t_ms: 1000 - i as i64,
                value: 1.5,
            })
            .collect();
        let mut record = Vec::new();
        encode_samples(&samples, &mut record);
        let mut out = Vec::new();
        decode_samples(&record, &mut out).unwrap();
        assert_eq!(out, samples);
        let error = decode_samples(&record[..record.len() - 1], &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "WAL record at offset 59: unexpected end: 8 bytes needed, 7 left"
        );
        assert_eq!(out.len(), 5);
    }

    #[test]
    fn wrong_types_are_named() {
        let error = decode_series(&[2], &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "WAL record at offset 0: invalid record type 2"
        );
        assert_eq!(RecordType::of(&[99]), None);
        assert_eq!(RecordType::of(&[]), None);
    }
}
