//! The reading side: segments to records, and what a record says.

use std::sync::atomic::{AtomicBool, Ordering};

use tsdb_format::FormatError;
use tsdb_format::wal::record::{
    self, RecordType, RefExemplar, RefFloatHistogram, RefHistogram, RefMetadata, RefMmapMarker,
    RefSample, RefSeries, RefTombstone,
};

use crate::Error;
use crate::fs::FileSystem;
use crate::wal::{Damage, Segment, read_segment_from};

/// A decoded record.
pub(super) enum Decoded {
    Series(Vec<RefSeries>),
    Samples(Vec<RefSample>),
    Histograms(Vec<RefHistogram>),
    FloatHistograms(Vec<RefFloatHistogram>),
    Tombstones(Vec<RefTombstone>),
    Exemplars(Vec<RefExemplar>),
    Metadata(Vec<RefMetadata>),
    Markers(Vec<RefMmapMarker>),
}

/// Decodes a record; `None` for one that says nothing that is needed.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<Decoded>, FormatError> {
    fn all<T>(
        bytes: &[u8],
        decode: impl Fn(&[u8], &mut Vec<T>) -> Result<(), FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let mut out = Vec::new();
        decode(bytes, &mut out)?;
        Ok(out)
    }
    Ok(Some(match RecordType::of(bytes) {
        Some(RecordType::Series) => Decoded::Series(all(bytes, record::decode_series)?),
        Some(RecordType::Samples | RecordType::SamplesV2) => {
            Decoded::Samples(all(bytes, record::decode_samples)?)
        }
        Some(
            RecordType::Histograms | RecordType::CustomBucketsHistograms | RecordType::HistogramsV2,
        ) => Decoded::Histograms(all(bytes, record::decode_histograms)?),
        Some(
            RecordType::FloatHistograms
            | RecordType::CustomBucketsFloatHistograms
            | RecordType::FloatHistogramsV2,
        ) => Decoded::FloatHistograms(all(bytes, record::decode_float_histograms)?),
        Some(RecordType::Tombstones) => Decoded::Tombstones(all(bytes, record::decode_tombstones)?),
        Some(RecordType::Exemplars) => Decoded::Exemplars(all(bytes, record::decode_exemplars)?),
        Some(RecordType::Metadata) => Decoded::Metadata(all(bytes, record::decode_metadata)?),
        Some(RecordType::MmapMarkers) => Decoded::Markers(all(bytes, record::decode_mmap_markers)?),
        // Records of the future.
        _ => return Ok(None),
    }))
}

/// How the reading of a folder ended.
pub(super) enum End {
    Whole,
    /// A segment is damaged; nothing behind the damage was read.
    Damaged(Segment, Damage),
}

/// Hands the records of segments to `take`, in order, those of the first one from a position on; `begin`
/// is told of every segment.
///
/// # Errors
/// A file that cannot be read, and [`Error::Closed`] where `stop` was set meanwhile.
pub(super) fn read_records(
    fs: &dyn FileSystem,
    (list, mut position): (&[Segment], u64),
    stop: &AtomicBool,
    mut begin: impl FnMut(u64),
    mut take: impl FnMut(&[u8]) -> Result<(), FormatError>,
) -> Result<End, Error> {
    for segment in list {
        begin(segment.number);
        let mut stopped = false;
        let read = read_segment_from(fs, &segment.path, std::mem::take(&mut position), |bytes| {
            if stop.load(Ordering::Relaxed) {
                stopped = true;
                // Ends the reading; the error is not looked at.
                return Err(FormatError::invalid("WAL segment", 0, "stopped"));
            }
            take(bytes)
        });
        if stopped {
            return Err(Error::Closed);
        }
        if let Err(damage) = read.map_err(Error::io(&segment.path))? {
            return Ok(End::Damaged(segment.clone(), damage));
        }
    }
    Ok(End::Whole)
}
