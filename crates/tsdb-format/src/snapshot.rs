//! Records of head snapshots, `chunk_snapshot.*` (prometheus/prometheus
//! `tsdb/docs/format/memory_snapshot.md`, `tsdb/head_wal.go`). They are framed like WAL records.

use model::{FloatHistogram, Histogram, Labels};

use crate::bytes::{Reader, put_be64, put_f64, put_uvarint};
use crate::chunk::Encoding;
use crate::error::{FormatError, Result};
use crate::tombstones::Tombstones;
use crate::wal::record::{
    RecordType, RefExemplar, decode_exemplars, decode_float_histogram, decode_histogram,
    decode_labels, encode_exemplars, encode_float_histogram, encode_histogram, encode_labels,
};

const WHAT: &str = "snapshot record";
const SERIES: u8 = 1;
const TOMBSTONES: u8 = 2;
const EXEMPLARS: u8 = 3;

/// A record of a snapshot.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // Nearly all records are series.
pub enum SnapshotRecord<'a> {
    Series(SnapshotSeries<'a>),
    Tombstones(Tombstones),
    Exemplars(Vec<RefExemplar>),
}

/// A series with its open chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotSeries<'a> {
    pub reference: u64,
    pub labels: Labels,
    pub chunk: Option<SnapshotChunk<'a>>,
}

/// An open chunk and the last sample, which duplicates are told by.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotChunk<'a> {
    pub min_ms: i64,
    pub max_ms: i64,
    pub encoding: Encoding,
    pub data: &'a [u8],
    pub last: LastSample,
}

/// The last sample of an open chunk.
#[derive(Clone, Debug, PartialEq)]
pub enum LastSample {
    Float(f64),
    Histogram(Histogram),
    FloatHistogram(FloatHistogram),
}

/// Appends a series record.
pub fn encode_series(series: &SnapshotSeries<'_>, out: &mut Vec<u8>) {
    out.push(SERIES);
    put_be64(out, series.reference);
    encode_labels(out, &series.labels);
    // Once the range of chunks; no reader uses it.
    put_be64(out, 0);
    let Some(chunk) = &series.chunk else {
        return put_uvarint(out, 0);
    };
    put_uvarint(out, 1);
    put_be64(out, chunk.min_ms as u64);
    put_be64(out, chunk.max_ms as u64);
    out.push(chunk.encoding.byte());
    put_uvarint(out, chunk.data.len() as u64);
    out.extend_from_slice(chunk.data);
    match &chunk.last {
        LastSample::Float(value) => {
            // Once the last four samples; of these only the last value is used.
            out.extend_from_slice(&[0; 56]);
            put_f64(out, *value);
        }
        LastSample::Histogram(histogram) => encode_histogram(out, histogram),
        LastSample::FloatHistogram(histogram) => encode_float_histogram(out, histogram),
    }
}

/// Appends a record of all tombstones.
pub fn encode_tombstones(tombstones: &Tombstones, out: &mut Vec<u8>) {
    let mut entries = vec![1];
    tombstones.encode_entries(&mut entries);
    out.push(TOMBSTONES);
    put_uvarint(out, entries.len() as u64);
    out.extend_from_slice(&entries);
}

/// Appends a record of exemplars.
pub fn encode_snapshot_exemplars(exemplars: &[RefExemplar], out: &mut Vec<u8>) {
    let start = out.len();
    encode_exemplars(exemplars, out);
    out[start] = EXEMPLARS;
}

/// Decodes any record of a snapshot.
///
/// # Errors
/// Bytes that are no such record.
pub fn decode(record: &[u8]) -> Result<SnapshotRecord<'_>> {
    let mut reader = Reader::new(WHAT, record);
    match reader.u8()? {
        SERIES => decode_series(&mut reader).map(SnapshotRecord::Series),
        TOMBSTONES => {
            let entries = reader.uvarint_bytes()?;
            reader.finish()?;
            let mut entries = Reader::new(WHAT, entries);
            match entries.u8()? {
                1 => Tombstones::decode_entries(&mut entries).map(SnapshotRecord::Tombstones),
                version => Err(entries.invalid(format!("invalid tombstone format {version:x}"))),
            }
        }
        EXEMPLARS => {
            let mut as_wal = record.to_vec();
            as_wal[0] = RecordType::Exemplars as u8;
            let mut exemplars = Vec::new();
            decode_exemplars(&as_wal, &mut exemplars)?;
            Ok(SnapshotRecord::Exemplars(exemplars))
        }
        kind => Err(FormatError::invalid(
            WHAT,
            0,
            format!("invalid record type {kind:x}"),
        )),
    }
}

fn decode_series<'a>(reader: &mut Reader<'a>) -> Result<SnapshotSeries<'a>> {
    let reference = reader.be64()?;
    let labels = decode_labels(reader)?;
    reader.be64()?;
    let chunk = match reader.uvarint()? {
        0 => None,
        _ => Some(decode_chunk(reader)?),
    };
    reader.finish()?;
    Ok(SnapshotSeries {
        reference,
        labels,
        chunk,
    })
}

fn decode_chunk<'a>(reader: &mut Reader<'a>) -> Result<SnapshotChunk<'a>> {
    let min_ms = reader.be64()? as i64;
    let max_ms = reader.be64()? as i64;
    let byte = reader.u8()?;
    let encoding = Encoding::from_byte(byte)
        .ok_or_else(|| reader.invalid(format!("invalid chunk encoding {byte}")))?;
    let data = reader.uvarint_bytes()?;
    let last = match encoding {
        Encoding::Xor | Encoding::Xor2 => {
            reader.take(56)?;
            LastSample::Float(reader.be_f64()?)
        }
        Encoding::Histogram | Encoding::HistogramSt => {
            LastSample::Histogram(decode_histogram(reader)?)
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            LastSample::FloatHistogram(decode_float_histogram(reader)?)
        }
    };
    Ok(SnapshotChunk {
        min_ms,
        max_ms,
        encoding,
        data,
        last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tombstones::Interval;

    #[test]
    fn records_round_trip() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let chunk = |encoding, last| SnapshotChunk {
            min_ms: -1,
            max_ms: 1,
            encoding,
            data: &[1, 2, 3],
            last,
        };
        for chunk in [
            None,
            Some(chunk(Encoding::Xor, LastSample::Float(2.5))),
            Some(chunk(
                Encoding::Histogram,
                LastSample::Histogram(Histogram::default()),
            )),
            Some(chunk(
                Encoding::FloatHistogram,
                LastSample::FloatHistogram(FloatHistogram::default()),
            )),
        ] {
            let series = SnapshotSeries {
                reference: 7,
                labels: labels.clone(),
                chunk,
            };
            let mut record = Vec::new();
            encode_series(&series, &mut record);
            assert_eq!(decode(&record), Ok(SnapshotRecord::Series(series)));
            (0..record.len()).for_each(|n| assert!(decode(&record[..n]).is_err()));
        }
        let mut tombstones = Tombstones::new();
        tombstones.add(
            7,
            Interval {
                min_ms: 1,
                max_ms: 2,
            },
        );
        let mut record = Vec::new();
        encode_tombstones(&tombstones, &mut record);
        assert_eq!(decode(&record), Ok(SnapshotRecord::Tombstones(tombstones)));
        let exemplars = vec![RefExemplar {
            reference: 7,
            t_ms: 9,
            value: 1.5,
            labels,
        }];
        let mut record = Vec::new();
        encode_snapshot_exemplars(&exemplars, &mut record);
        assert_eq!(decode(&record), Ok(SnapshotRecord::Exemplars(exemplars)));
    }
}
