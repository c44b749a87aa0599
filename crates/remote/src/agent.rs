//! The agent's storage: a write-ahead log and nothing else. What is appended can be sent on by remote
//! write, and not be queried.
//!
//! The log is Prometheus' own, in `<dir>/wal`. Of a series the memory holds its reference, a hash of
//! its labels and the time of its last sample; the labels are in the log. Series that got no samples
//! for a while, and segments that remote write has read, go with [`Agent::truncate`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata};
use parking_lot::Mutex;
use storage::{AppendError, Appendable, Appender, SeriesRef, check_exemplar_length};
use telemetry::{Counter, Gauge, Registry};
use tsdb::Error;
use tsdb::fs::{FileSystem, RealFs};
use tsdb::wal::{self, Place, Writer};
use tsdb_format::FormatError;
use tsdb_format::wal::page::{Compression, SEGMENT_BYTES};
use tsdb_format::wal::record::{
    self, RecordType, RefExemplar, RefFloatHistogram, RefHistogram, RefMetadata, RefSample,
};

use crate::series_cache::key;
use crate::write::Log;

/// What an agent's storage is opened with.
#[derive(Clone)]
pub struct AgentOptions {
    pub dir: PathBuf,
    /// 0 for the usual size.
    pub segment_bytes: u64,
    pub compression: Compression,
    pub no_lockfile: bool,
    pub registry: Registry,
}

/// The storage; a cheap handle.
#[derive(Clone)]
pub struct Agent(Arc<Inner>);

struct Inner {
    options: AgentOptions,
    fs: Arc<dyn FileSystem>,
    /// Nothing once it is closed.
    writer: Mutex<Option<Writer>>,
    series: Mutex<Series>,
    keep_from: AtomicU64,
    highest_ms: AtomicI64,
    metrics: Metrics,
    _lock: Option<Box<dyn Send + Sync>>,
}

#[derive(Default)]
struct Series {
    by_key: HashMap<u128, u64, FixedState>,
    by_reference: HashMap<u64, Entry, FixedState>,
    /// Series that are gone, and the segment up to which the log may have samples of them.
    expiring: HashMap<u64, u64, FixedState>,
    last_reference: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    key: u128,
    last_ms: i64,
    last_exemplar_ms: i64,
}

struct Metrics {
    active: Gauge,
    deleted: Gauge,
    floats: Counter,
    histograms: Counter,
    exemplars: Counter,
    out_of_order: Counter,
    truncate_seconds: telemetry::Summary,
}

impl Metrics {
    fn new(registry: &Registry) -> Metrics {
        let metrics = registry.with_prefix("prometheus_agent_");
        let samples = metrics.counter_vec(
            "samples_appended_total",
            "Total number of samples appended to the storage",
            &["type"],
        );
        Metrics {
            active: metrics.gauge(
                "active_series",
                "Number of active series being tracked by the WAL storage",
            ),
            deleted: metrics.gauge(
                "deleted_series",
                "Number of series pending deletion from the WAL",
            ),
            floats: samples.with(&["float"]),
            histograms: samples.with(&["histogram"]),
            exemplars: metrics.counter(
                "exemplars_appended_total",
                "Total number of exemplars appended to the storage",
            ),
            out_of_order: metrics.counter(
                "out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts.",
            ),
            truncate_seconds: metrics.summary(
                "truncate_duration_seconds",
                "Duration of WAL truncation.",
                telemetry::SummaryOptions::quantiles(&[]),
            ),
        }
    }
}

impl Agent {
    /// Opens a folder: takes its lock, and learns the series of its log. A damaged log is cut where
    /// the damage begins.
    ///
    /// # Errors
    /// A folder that is locked, or cannot be read or written.
    pub fn open(options: AgentOptions) -> Result<Agent, Error> {
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let dir = &options.dir;
        fs.create_dir_all(dir).map_err(Error::io(dir))?;
        let lock = match options.no_lockfile {
            true => None,
            false => Some(fs.lock(&dir.join("lock")).map_err(Error::Locked)?),
        };
        let wal_dir = dir.join("wal");
        let mut series = Series::default();
        let mut highest_ms = i64::MIN;
        series.replay(&*fs, &wal_dir, &mut highest_ms)?;
        let segment_bytes = match options.segment_bytes {
            0 => SEGMENT_BYTES,
            bytes => bytes,
        };
        let writer = Writer::open(
            Arc::clone(&fs),
            &wal_dir,
            segment_bytes,
            options.compression,
            None,
        )
        .map_err(Error::io(&wal_dir))?;
        let metrics = Metrics::new(&options.registry);
        metrics.active.set(series.by_reference.len() as f64);
        Ok(Agent(Arc::new(Inner {
            options,
            fs,
            writer: Mutex::new(Some(writer)),
            series: Mutex::new(series),
            keep_from: AtomicU64::new(u64::MAX),
            highest_ms: AtomicI64::new(highest_ms),
            metrics,
            _lock: lock,
        })))
    }

    /// Takes nothing more, and forces the log to the disk.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn close(&self) -> Result<(), Error> {
        let Some(mut writer) = self.0.writer.lock().take() else {
            return Ok(());
        };
        let result = writer.sync().map_err(Error::io(&self.dir()));
        if !self.0.options.no_lockfile {
            // Gone before it is given up: who finds no file makes one of its own.
            let _ = self.0.fs.remove_file(&self.0.options.dir.join("lock"));
        }
        result
    }

    /// Forgets the series without samples since `min_ms`, and drops two thirds of the segments, as far as
    /// nobody still reads them.
    ///
    /// # Errors
    /// A checkpoint that cannot be written; nothing is removed then.
    pub fn truncate(&self, min_ms: i64) -> Result<(), Error> {
        let start = std::time::Instant::now();
        let inner = &*self.0;
        let dir = self.dir();
        let segment = self.end().segment;
        {
            let mut series = inner.series.lock();
            series.collect(min_ms, segment);
            inner.metrics.active.set(series.by_reference.len() as f64);
            inner.metrics.deleted.set(series.expiring.len() as f64);
        }
        // What is removed must not be in use: a new segment, so that what is there is complete.
        match &mut *inner.writer.lock() {
            Some(writer) => writer.cut().map_err(Error::io(&dir))?,
            None => return Err(Error::Closed),
        }
        let list = wal::segments(&*inner.fs, &dir).map_err(Error::io(&dir))?;
        let (Some(first), Some(last)) = (list.first(), list.last()) else {
            return Ok(());
        };
        let last = last.number.saturating_sub(1);
        let last = first.number + last.saturating_sub(first.number) * 2 / 3;
        let keep_from = inner.keep_from.load(Ordering::Acquire);
        let last = last.min(keep_from.saturating_sub(1));
        if last <= first.number {
            return Ok(());
        }
        let keep = |reference: u64| {
            let series = inner.series.lock();
            series.by_reference.contains_key(&reference)
                || (series.expiring.get(&reference)).is_some_and(|until| *until > last)
        };
        let segment_bytes = match inner.options.segment_bytes {
            0 => SEGMENT_BYTES,
            bytes => bytes,
        };
        let compression = inner.options.compression;
        wal::checkpoint(
            &inner.fs,
            &dir,
            last,
            &keep,
            min_ms,
            segment_bytes,
            compression,
        )?;
        wal::remove_before(&*inner.fs, &dir, last + 1).map_err(Error::io(&dir))?;
        for (number, path) in wal::checkpoints(&*inner.fs, &dir).map_err(Error::io(&dir))? {
            if number < last {
                inner.fs.remove_dir_all(&path).map_err(Error::io(&path))?;
            }
        }
        let mut series = inner.series.lock();
        series.expiring.retain(|_, until| *until > last);
        inner.metrics.deleted.set(series.expiring.len() as f64);
        let seconds = &inner.metrics.truncate_seconds;
        seconds.observe_duration(start.elapsed());
        Ok(())
    }
}

impl Log for Agent {
    fn dir(&self) -> PathBuf {
        self.0.options.dir.join("wal")
    }

    fn end(&self) -> Place {
        let writer = self.0.writer.lock();
        writer.as_ref().map_or_else(Place::default, |writer| Place {
            segment: writer.segment(),
            offset: writer.position(),
        })
    }

    fn keep_from(&self, segment: u64) {
        self.0.keep_from.store(segment, Ordering::Release);
    }

    fn highest_ms(&self) -> i64 {
        self.0.highest_ms.load(Ordering::Relaxed)
    }

    fn appended(&self) -> [f64; 3] {
        let metrics = &self.0.metrics;
        [
            metrics.floats.get(),
            metrics.histograms.get(),
            metrics.exemplars.get(),
        ]
    }
}

impl Series {
    fn replay(
        &mut self,
        fs: &dyn FileSystem,
        dir: &Path,
        highest_ms: &mut i64,
    ) -> Result<(), Error> {
        wal::remove_temporary(fs, dir).map_err(Error::io(dir))?;
        let checkpoints = wal::checkpoints(fs, dir).map_err(Error::io(dir))?;
        let mut files = Vec::new();
        let mut from = 0;
        if let Some((number, path)) = checkpoints.last() {
            let own = wal::segments(fs, path).map_err(Error::io(path))?;
            files.extend(own.into_iter().map(|file| (path.as_path(), file)));
            from = number + 1;
        }
        let own = wal::segments(fs, dir).map_err(Error::io(dir))?;
        let own = own.into_iter().filter(|segment| segment.number >= from);
        files.extend(own.map(|file| (dir, file)));
        for (folder, file) in files {
            let read = wal::read_segment(fs, &file.path, |record| self.take(record, highest_ms));
            if let Err(damage) = read.map_err(Error::io(&file.path))? {
                tracing::warn!(error = %damage.error, segment = file.number, "encountered WAL read error, attempting repair");
                wal::repair(fs, folder, &file, &damage, None).map_err(Error::io(folder))?;
                if folder == dir {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], highest_ms: &mut i64) -> Result<(), FormatError> {
        let mut seen = |series: &mut Series, reference: u64, t_ms: i64| {
            if let Some(entry) = series.by_reference.get_mut(&reference) {
                entry.last_ms = entry.last_ms.max(t_ms);
                *highest_ms = (*highest_ms).max(t_ms);
            }
        };
        match RecordType::of(bytes) {
            Some(RecordType::Series) => {
                let mut list = Vec::new();
                record::decode_series(bytes, &mut list)?;
                for one in list {
                    self.insert(one.reference, key(one.labels.as_bytes()));
                }
            }
            Some(RecordType::Samples | RecordType::SamplesV2) => {
                record::visit_samples(bytes, |s| seen(self, s.reference, s.t_ms))?;
            }
            Some(
                RecordType::Histograms
                | RecordType::CustomBucketsHistograms
                | RecordType::HistogramsV2,
            ) => {
                let mut list = Vec::new();
                record::decode_histograms(bytes, &mut list)?;
                list.iter().for_each(|h| seen(self, h.reference, h.t_ms));
            }
            Some(
                RecordType::FloatHistograms
                | RecordType::CustomBucketsFloatHistograms
                | RecordType::FloatHistogramsV2,
            ) => {
                let mut list = Vec::new();
                record::decode_float_histograms(bytes, &mut list)?;
                list.iter().for_each(|h| seen(self, h.reference, h.t_ms));
            }
            _ => {}
        }
        Ok(())
    }

    fn insert(&mut self, reference: u64, key: u128) {
        self.by_key.insert(key, reference);
        self.last_reference = self.last_reference.max(reference);
        let entry = Entry {
            key,
            last_ms: i64::MIN,
            last_exemplar_ms: i64::MIN,
        };
        self.by_reference.entry(reference).or_insert(entry);
    }

    fn collect(&mut self, min_ms: i64, segment: u64) {
        let (by_key, expiring) = (&mut self.by_key, &mut self.expiring);
        self.by_reference.retain(|reference, entry| {
            if entry.last_ms >= min_ms {
                return true;
            }
            if by_key.get(&entry.key) == Some(reference) {
                by_key.remove(&entry.key);
            }
            expiring.insert(*reference, segment);
            false
        });
    }
}

impl Appendable for Agent {
    fn series_count(&self) -> Option<usize> {
        Some(self.0.series.lock().by_reference.len())
    }

    fn appender(&self) -> Box<dyn Appender> {
        Box::new(Batch {
            agent: self.clone(),
            series: Vec::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
            float_histograms: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
        })
    }
}

/// A batch; the series that it made stay even if it is rolled back: they are in the log then.
struct Batch {
    agent: Agent,
    series: Vec<(u64, Labels)>,
    samples: Vec<RefSample>,
    histograms: Vec<RefHistogram>,
    float_histograms: Vec<RefFloatHistogram>,
    exemplars: Vec<RefExemplar>,
    metadata: Vec<RefMetadata>,
}

impl Batch {
    /// The series of a reference, or of labels; a new one is made.
    fn resolve(&mut self, reference: SeriesRef, labels: &Labels) -> Result<u64, AppendError> {
        let mut series = self.agent.0.series.lock();
        if series.by_reference.contains_key(&reference) {
            return Ok(reference);
        }
        if labels.is_empty() {
            let text = "empty labelset: invalid sample".to_owned();
            return Err(AppendError::InvalidLabels(text));
        }
        let key = key(labels.as_bytes());
        if let Some(known) = series.by_key.get(&key) {
            return Ok(*known);
        }
        let reference = series.last_reference + 1;
        series.insert(reference, key);
        self.agent.0.metrics.active.inc();
        self.series.push((reference, labels.clone()));
        Ok(reference)
    }

    /// Checks a sample's time and takes note of it.
    fn accept(&mut self, reference: u64, t_ms: i64) -> Result<u64, AppendError> {
        let mut series = self.agent.0.series.lock();
        if let Some(entry) = series.by_reference.get_mut(&reference) {
            if t_ms <= entry.last_ms {
                self.agent.0.metrics.out_of_order.inc();
                return Err(AppendError::OutOfOrder);
            }
            entry.last_ms = t_ms;
        }
        Ok(reference)
    }

    fn log(&mut self) -> Result<(), AppendError> {
        let mut records: Vec<Vec<u8>> = Vec::new();
        let mut add = |encode: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut out = Vec::new();
            encode(&mut out);
            // A record of its type byte alone has no entries.
            if out.len() > 1 {
                records.push(out);
            }
        };
        let series = self.series.iter().map(|(id, labels)| (*id, labels));
        let mut series = Some(series);
        add(&mut |out| {
            if let Some(series) = series.take() {
                record::encode_series(series, out);
            }
        });
        add(&mut |out| record::encode_metadata(&self.metadata, out));
        add(&mut |out| record::encode_samples(&self.samples, out));
        let mut custom = Vec::new();
        add(&mut |out| record::encode_histograms(&self.histograms, out, &mut custom));
        add(&mut |out| out.append(&mut custom));
        let floats = &self.float_histograms;
        add(&mut |out| record::encode_float_histograms(floats, out, &mut custom));
        add(&mut |out| out.append(&mut custom));
        add(&mut |out| record::encode_exemplars(&self.exemplars, out));
        self.series.clear();
        if records.is_empty() {
            return Ok(());
        }
        match &mut *self.agent.0.writer.lock() {
            Some(writer) => writer
                .log(records.iter().map(Vec::as_slice))
                .map_err(|error| wal::refused("WAL", &error)),
            None => Err(AppendError::Unavailable("the storage is closed".to_owned())),
        }
    }
}

impl Appender for Batch {
    fn append(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        let reference = self.resolve(reference, labels)?;
        self.accept(reference, t_ms)?;
        self.samples.push(RefSample {
            reference,
            start_ms,
            t_ms,
            value,
        });
        Ok(reference)
    }

    fn append_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        let valid = histogram.validate();
        valid.map_err(|e| AppendError::InvalidHistogram(e.to_string()))?;
        let reference = self.resolve(reference, labels)?;
        self.accept(reference, t_ms)?;
        self.histograms.push(RefHistogram {
            reference,
            start_ms,
            t_ms,
            histogram: histogram.clone(),
        });
        Ok(reference)
    }

    fn append_float_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &FloatHistogram,
    ) -> Result<SeriesRef, AppendError> {
        let valid = histogram.validate();
        valid.map_err(|e| AppendError::InvalidHistogram(e.to_string()))?;
        let reference = self.resolve(reference, labels)?;
        self.accept(reference, t_ms)?;
        self.float_histograms.push(RefFloatHistogram {
            reference,
            start_ms,
            t_ms,
            histogram: histogram.clone(),
        });
        Ok(reference)
    }

    fn append_exemplar(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        exemplar: &Exemplar,
    ) -> Result<SeriesRef, AppendError> {
        check_exemplar_length(&exemplar.labels)?;
        let mut series = self.agent.0.series.lock();
        let known = match series.by_reference.contains_key(&reference) {
            true => Some(reference),
            false => series.by_key.get(&key(labels.as_bytes())).copied(),
        };
        let t_ms = exemplar.timestamp_ms.unwrap_or(0);
        let entry = known.and_then(|known| Some((known, series.by_reference.get_mut(&known)?)));
        let Some((reference, entry)) = entry else {
            return Err(AppendError::InvalidLabels(format!(
                "unknown series ref when trying to add exemplar: {reference}"
            )));
        };
        // Exemplars are repeated with every scrape until there is a newer one.
        if t_ms <= entry.last_exemplar_ms {
            return Err(AppendError::DuplicateExemplar);
        }
        entry.last_exemplar_ms = t_ms;
        self.exemplars.push(RefExemplar {
            reference,
            t_ms,
            value: exemplar.value,
            labels: exemplar.labels.clone(),
        });
        Ok(reference)
    }

    fn update_metadata(
        &mut self,
        reference: SeriesRef,
        _labels: &Labels,
        metadata: &Metadata,
    ) -> Result<SeriesRef, AppendError> {
        self.metadata.push(RefMetadata {
            reference,
            type_byte: record::metric_type_byte(metadata.metric_type),
            unit: metadata.unit.clone(),
            help: metadata.help.clone(),
        });
        Ok(reference)
    }

    fn commit(mut self: Box<Self>) -> Result<(), AppendError> {
        self.log()?;
        let inner = &self.agent.0;
        let floats = self.samples.iter().map(|s| s.t_ms);
        let histograms = self.histograms.iter().map(|h| h.t_ms);
        let float_histograms = self.float_histograms.iter().map(|h| h.t_ms);
        let newest = floats.chain(histograms).chain(float_histograms).max();
        if let Some(newest) = newest {
            inner.highest_ms.fetch_max(newest, Ordering::Relaxed);
        }
        inner.metrics.floats.add(self.samples.len() as u64);
        let histograms = self.histograms.len() + self.float_histograms.len();
        inner.metrics.histograms.add(histograms as u64);
        inner.metrics.exemplars.add(self.exemplars.len() as u64);
        Ok(())
    }

    fn rollback(self: Box<Self>) {}
}

impl Drop for Batch {
    /// Series that were made have their references: the log must know them.
    fn drop(&mut self) {
        if self.series.is_empty() {
            return;
        }
        self.samples.clear();
        self.histograms.clear();
        self.float_histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        if let Err(error) = self.log() {
            tracing::error!(%error, "logging the series of a batch that was rolled back failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Agent {
        Agent::open(AgentOptions {
            dir: dir.to_owned(),
            segment_bytes: 64 << 10,
            compression: Compression::Snappy,
            no_lockfile: false,
            registry: Registry::new(),
        })
        .unwrap()
    }

    fn append(agent: &Agent, series: u64, t_ms: i64) -> Result<SeriesRef, AppendError> {
        let labels = Labels::from([("__name__", "m"), ("i", &*series.to_string())]);
        let mut batch = agent.appender();
        let reference = batch.append(0, &labels, 0, t_ms, 1.0)?;
        batch.commit().map(|()| reference)
    }

    fn samples(agent: &Agent) -> Vec<(u64, i64)> {
        let mut found = Vec::new();
        let mut files: Vec<PathBuf> = Vec::new();
        for (_, path) in wal::checkpoints(&RealFs, &agent.dir()).unwrap() {
            files.extend(
                wal::segments(&RealFs, &path)
                    .unwrap()
                    .into_iter()
                    .map(|s| s.path),
            );
        }
        files.extend(
            wal::segments(&RealFs, &agent.dir())
                .unwrap()
                .into_iter()
                .map(|s| s.path),
        );
        for file in files {
            wal::read_segment(&RealFs, &file, |bytes| {
                if RecordType::of(bytes) == Some(RecordType::Samples) {
                    record::visit_samples(bytes, |s| found.push((s.reference, s.t_ms)))?;
                }
                Ok(())
            })
            .unwrap()
            .unwrap();
        }
        found
    }

    #[test]
    fn references_and_times_survive() {
        let dir = tempfile::tempdir().unwrap();
        let agent = open(dir.path());
        let first = append(&agent, 1, 10).unwrap();
        let second = append(&agent, 2, 10).unwrap();
        assert_eq!(append(&agent, 1, 10), Err(AppendError::OutOfOrder));
        // A batch that is dropped leaves its series.
        let labels = Labels::from([("__name__", "dropped")]);
        let third = agent.appender().append(0, &labels, 0, 1, 1.0).unwrap();
        assert!(Agent::open(agent.0.options.clone()).is_err());
        agent.close().unwrap();
        assert!(matches!(
            append(&agent, 1, 20),
            Err(AppendError::Unavailable(_))
        ));
        drop(agent);
        let agent = open(dir.path());
        assert_eq!(append(&agent, 1, 10), Err(AppendError::OutOfOrder));
        assert_eq!(append(&agent, 1, 11), Ok(first));
        assert_eq!(
            agent
                .appender()
                .append(second, &Labels::empty(), 0, 11, 1.0),
            Ok(second)
        );
        assert_eq!(agent.appender().append(0, &labels, 0, 5, 1.0), Ok(third));
        assert_eq!(agent.highest_ms(), 11);
        assert_eq!(samples(&agent), [(first, 10), (second, 10), (first, 11)]);
        let unknown = agent.appender().append(77, &Labels::empty(), 0, 11, 1.0);
        assert!(matches!(unknown, Err(AppendError::InvalidLabels(_))));
    }

    #[test]
    fn the_log_is_truncated_behind_its_readers() {
        let dir = tempfile::tempdir().unwrap();
        let agent = open(dir.path());
        for t_ms in 0..4000 {
            append(&agent, t_ms as u64 % 100, t_ms).unwrap();
            if t_ms % 400 == 0 {
                agent.0.writer.lock().as_mut().unwrap().cut().unwrap();
            }
        }
        let count = samples(&agent).len();
        agent.keep_from(0);
        agent.truncate(3990).unwrap();
        assert_eq!(samples(&agent).len(), count);
        agent.keep_from(u64::MAX);
        agent.truncate(3990).unwrap();
        let left = samples(&agent);
        assert!(left.len() < count / 2, "{}", left.len());
        // Series without samples since then are gone, the others go on.
        let reference = append(&agent, 99, 5000).unwrap();
        assert!(left.iter().any(|(other, _)| *other == reference));
        assert_eq!(agent.0.series.lock().by_reference.len(), 10);
        drop(agent);
        let agent = open(dir.path());
        assert_eq!(append(&agent, 99, 6000), Ok(reference));
        assert!(append(&agent, 500, 6000).unwrap() > 100);
    }
}
