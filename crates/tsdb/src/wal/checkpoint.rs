//! Checkpoints: what is still needed of old segments, written once more, so that those can go.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_format::FormatError;
use tsdb_format::wal::page::Compression;
use tsdb_format::wal::record::{self, RecordType, RefMetadata};

use super::{Writer, checkpoints, read_segment, remove_temporary, segments};
use crate::Error;
use crate::fs::FileSystem;

/// What a checkpoint kept and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointStats {
    pub series: usize,
    pub dropped_series: usize,
    pub samples: usize,
    pub dropped_samples: usize,
}

const BATCH_BYTES: usize = 1 << 20;

struct Checkpointer<'a> {
    keep: &'a dyn Fn(u64) -> bool,
    min_ms: i64,
    writer: Writer,
    path: PathBuf,
    records: Vec<Vec<u8>>,
    bytes: usize,
    metadata: BTreeMap<u64, RefMetadata>,
    stats: CheckpointStats,
    failure: Option<Error>,
}

/// Writes `checkpoint.<to>` from the last checkpoint and the segments up to `to`: the series that
/// `keep` names, everything from `min_ms` on, and the latest metadata of each kept series. It
/// appears under its name only when it is complete.
///
/// # Errors
/// Files that cannot be read or written, and damage: nothing is repaired here, and nothing removed.
pub fn checkpoint(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    to: u64,
    keep: &dyn Fn(u64) -> bool,
    min_ms: i64,
    segment_bytes: u64,
    compression: Compression,
) -> Result<CheckpointStats, Error> {
    remove_temporary(&**fs, dir).map_err(Error::io(dir))?;
    let last = checkpoints(&**fs, dir).map_err(Error::io(dir))?.pop();
    let mut sources = Vec::new();
    let mut from = 0;
    if let Some((number, path)) = last {
        sources.extend(segments(&**fs, &path).map_err(Error::io(&path))?);
        from = number + 1;
    }
    let own = segments(&**fs, dir).map_err(Error::io(dir))?;
    sources.extend(own.into_iter().filter(|s| (from..=to).contains(&s.number)));

    let target = dir.join(format!("checkpoint.{to:08}"));
    let temporary = dir.join(format!("checkpoint.{to:08}.tmp"));
    fs.create_dir_all(&temporary)
        .map_err(Error::io(&temporary))?;
    let writer = Writer::start(
        Arc::clone(fs),
        &temporary,
        0,
        segment_bytes,
        compression,
        None,
    )
    .map_err(Error::io(&temporary))?;
    let mut checkpointer = Checkpointer {
        keep,
        min_ms,
        writer,
        path: temporary.clone(),
        records: Vec::new(),
        bytes: 0,
        metadata: BTreeMap::new(),
        stats: CheckpointStats::default(),
        failure: None,
    };
    for source in sources {
        let read = read_segment(&**fs, &source.path, |record| checkpointer.take(record));
        let damage = read.map_err(Error::io(&source.path))?;
        if let Some(failure) = checkpointer.failure.take() {
            return Err(failure);
        }
        damage.map_err(|damage| Error::format(&source.path)(damage.error))?;
    }
    let stats = checkpointer.finish()?;
    fs.sync_dir(&temporary).map_err(Error::io(&temporary))?;
    if fs.exists(&target) {
        fs.remove_dir_all(&target).map_err(Error::io(&target))?;
    }
    fs.rename(&temporary, &target).map_err(Error::io(&target))?;
    fs.sync_dir(dir).map_err(Error::io(dir))?;
    Ok(stats)
}

impl Checkpointer<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let min_ms = self.min_ms;
        let mut out = Vec::new();
        match RecordType::of(bytes) {
            Some(RecordType::Series) => {
                let mut series = Vec::new();
                record::decode_series(bytes, &mut series)?;
                let all = series.len();
                series.retain(|s| (self.keep)(s.reference));
                self.stats.series += all;
                self.stats.dropped_series += all - series.len();
                if !series.is_empty() {
                    record::encode_series(
                        series.iter().map(|s| (s.reference, &s.labels)),
                        &mut out,
                    );
                }
            }
            Some(RecordType::Samples | RecordType::SamplesV2) => {
                let mut samples = Vec::new();
                record::decode_samples(bytes, &mut samples)?;
                let all = samples.len();
                samples.retain(|s| s.t_ms >= min_ms);
                self.count(all, samples.len());
                if !samples.is_empty() {
                    record::encode_samples(&samples, &mut out);
                }
            }
            Some(
                RecordType::Histograms
                | RecordType::CustomBucketsHistograms
                | RecordType::HistogramsV2,
            ) => {
                let mut samples = Vec::new();
                record::decode_histograms(bytes, &mut samples)?;
                let all = samples.len();
                samples.retain(|s| s.t_ms >= min_ms);
                self.count(all, samples.len());
                let mut custom = Vec::new();
                record::encode_histograms(&samples, &mut out, &mut custom);
                self.push(custom);
            }
            Some(
                RecordType::FloatHistograms
                | RecordType::CustomBucketsFloatHistograms
                | RecordType::FloatHistogramsV2,
            ) => {
                let mut samples = Vec::new();
                record::decode_float_histograms(bytes, &mut samples)?;
                let all = samples.len();
                samples.retain(|s| s.t_ms >= min_ms);
                self.count(all, samples.len());
                let mut custom = Vec::new();
                record::encode_float_histograms(&samples, &mut out, &mut custom);
                self.push(custom);
            }
            Some(RecordType::Tombstones) => {
                let mut stones = Vec::new();
                record::decode_tombstones(bytes, &mut stones)?;
                stones.retain(|stone| match stone.is_eviction() {
                    true => (self.keep)(stone.reference),
                    false => stone.max_ms >= min_ms,
                });
                if !stones.is_empty() {
                    record::encode_tombstones(&stones, &mut out);
                }
            }
            Some(RecordType::Exemplars) => {
                let mut exemplars = Vec::new();
                record::decode_exemplars(bytes, &mut exemplars)?;
                exemplars.retain(|exemplar| exemplar.t_ms >= min_ms);
                if !exemplars.is_empty() {
                    record::encode_exemplars(&exemplars, &mut out);
                }
            }
            Some(RecordType::Metadata) => {
                let mut metadata = Vec::new();
                record::decode_metadata(bytes, &mut metadata)?;
                for entry in metadata {
                    if (self.keep)(entry.reference) {
                        self.metadata.insert(entry.reference, entry);
                    }
                }
            }
            // Markers belong to the write-behind log; records of the future are not understood.
            _ => {}
        }
        self.push(out);
        if self.bytes >= BATCH_BYTES {
            self.flush();
        }
        match self.failure {
            // Ends the reading; the caller finds the failure.
            Some(_) => Err(FormatError::invalid("checkpoint", 0, "write failed")),
            None => Ok(()),
        }
    }

    fn count(&mut self, all: usize, kept: usize) {
        self.stats.samples += all;
        self.stats.dropped_samples += all - kept;
    }

    fn push(&mut self, record: Vec<u8>) {
        // One byte is the type of a record without entries.
        if record.len() > 1 {
            self.bytes += record.len();
            self.records.push(record);
        }
    }

    fn flush(&mut self) {
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        if let Err(error) = self.writer.log(records.iter().map(Vec::as_slice)) {
            self.failure.get_or_insert(Error::io(&self.path)(error));
        }
    }

    fn finish(mut self) -> Result<CheckpointStats, Error> {
        let metadata: Vec<RefMetadata> = std::mem::take(&mut self.metadata).into_values().collect();
        for some in metadata.chunks(1000) {
            let mut out = Vec::new();
            record::encode_metadata(some, &mut out);
            self.push(out);
        }
        self.flush();
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.writer.sync().map_err(Error::io(&self.path))?;
        Ok(self.stats)
    }
}
