//! The start: chunks, checkpoint, log and write-behind log back into memory.
//!
//! In three steps, of which the first is quick: [`Head::open`] looks up the full chunks and steps
//! through the log for its series alone. From then on batches are taken: they are logged, and their
//! turn comes when everything older has been read. [`Replay::run`] reads the samples, one thread that
//! reads and as many as there are processors that append, each to shards of its own; full chunks are
//! attached, not decoded, and the samples that they hold are skipped. At last `catch_up` reads what
//! has been logged meanwhile, until nothing is left and batches go the usual way.

mod catch_up;
mod known;
mod late;
mod open_chunks;
mod read;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, bounded};
use hashbrown::HashMap;
use model::{Exemplar, Metadata};
use parking_lot::{Mutex, RwLock};
use tsdb_format::FormatError;
use tsdb_format::wal::record::{self, RecordType, RefExemplar, RefMetadata, RefSeries};

use super::chunk_files::{ChunkFiles, LoadedChunk};
use super::exemplars::ExemplarRing;
use super::index::LabelIndex;
use super::isolation::Isolation;
use super::metrics::{HeadMetrics, Times};
use super::out_of_order::OwnedValue;
use super::series::{SHARDS, Value, shard_of};
use super::shortcut::{Found, Shortcut};
use super::{Head, HeadOptions, LateLog, Recent, shards, shortcut};
use crate::Error;
use crate::wal::{
    KnownSegments, Place, Segment, Writer, checkpoints, remove_temporary, repair, segments,
};

use known::{Floors, Known};
use late::LateChunks;
use read::{Decoded, End, decode, read_records};

/// Greater references of a log get new ids: half of the 32 bits stay free for new series.
const MAX_KEPT_ID: u64 = 1 << 31;
const BATCH: usize = 4096;
/// Types of records that the second reading has use for, other than samples.
const OTHER: [u8; 3] = [
    RecordType::Tombstones as u8,
    RecordType::Exemplars as u8,
    RecordType::Metadata as u8,
];

/// How far the replay has come.
#[derive(Debug, Default)]
pub struct Progress {
    pub min: AtomicU64,
    pub max: AtomicU64,
    pub current: AtomicU64,
    pub done: AtomicBool,
}

/// A sample on its way to its shard. Floats stand by themselves, since nearly all are some: an enum of
/// both would be put together in memory and copied from there.
struct Sample {
    id: u32,
    t_ms: i64,
    float: f64,
    /// What it is instead, if it is no float.
    histogram: Option<Box<OwnedValue>>,
}

impl Sample {
    fn value(&self) -> Value<'_> {
        match &self.histogram {
            None => Value::Float(self.float),
            Some(histogram) => histogram.borrow(),
        }
    }
}

/// Full chunks by series, those of late samples, and whether all were found as they had been written.
type Loaded = (HashMap<u64, Vec<LoadedChunk>>, LateChunks, bool);

/// The part of the start that may take long: reading the samples of the log.
pub struct Replay {
    started: Instant,
    min_valid_ms: i64,
    checkpoint: Option<PathBuf>,
    /// Segments whose late samples are in the write-behind log.
    list: Vec<Segment>,
    /// Segments of an earlier start that ended before it had caught up, and the first of our own.
    unsettled: Vec<Segment>,
    own: u64,
    /// Whether batches may have come since the start.
    early: bool,
    floors: Floors,
    late: LateChunks,
    shortcut: Option<Shortcut>,
}

/// Whether batches are taken before the log has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nobody appends before the replay is over.
    Quiet,
    /// Batches may come at once.
    Early,
}

impl Head {
    /// Opens the head of a data folder so far that batches can be taken; [`Replay::run`] does the
    /// rest.
    ///
    /// # Errors
    /// Files that cannot be read, cut or created.
    pub fn open(
        options: HeadOptions,
        min_valid_ms: i64,
        start: Start,
        progress: &Progress,
    ) -> Result<(Head, Replay), Error> {
        let started = Instant::now();
        let times = Arc::new(Times::default());
        let metrics = HeadMetrics::new(&options.registry, &times);
        let chunks_dir = options.dir.join("chunks_head");
        let mut chunks: HashMap<u64, Vec<LoadedChunk>> = HashMap::new();
        let mut late = LateChunks::new();
        let (files, damage) = ChunkFiles::load(
            Arc::clone(&options.fs),
            &chunks_dir,
            metrics.mmapped_chunks.clone(),
            |chunk| match chunk.out_of_order {
                true => {
                    late.insert((chunk.series, chunk.reference), chunk);
                }
                false => chunks.entry(chunk.series).or_default().push(chunk),
            },
        )
        .map_err(Error::io(&chunks_dir))?;
        let intact = damage.is_none();
        if let Some(error) = damage {
            metrics.chunk_corruptions.inc();
            tracing::warn!(%error, "loading on-disk chunks failed, the rest comes from the log");
        }
        let head = Head {
            shards: shards(),
            by_hash: shards(),
            index: RwLock::new(LabelIndex::default()),
            next_id: AtomicU64::new(1),
            files,
            isolation: Arc::new(Isolation::default()),
            wal: Mutex::new(None),
            keep_wal_from: AtomicU64::new(u64::MAX),
            late_log: Mutex::new(LateLog {
                writer: None,
                pending: Vec::new(),
            }),
            exemplars: Mutex::new(ExemplarRing::new(options.max_exemplars)),
            times,
            min_valid_ms: AtomicI64::new(min_valid_ms),
            late_min_ms: AtomicI64::new(i64::MAX),
            late_max_ms: AtomicI64::new(i64::MIN),
            recent: Mutex::new(Recent::default()),
            window_ms: AtomicI64::new(options.out_of_order_window_ms.max(0)),
            expiring: Mutex::new(HashMap::new()),
            aliases: RwLock::new(HashMap::new()),
            appenders: Mutex::new(Default::default()),
            committing: RwLock::new(()),
            noted: Mutex::default(),
            batches: Mutex::new(Vec::new()),
            metrics,
            closed: AtomicBool::new(false),
            replaying: RwLock::new(true),
            unsettled: AtomicBool::new(false),
            options,
        };
        let exemplars = head.options.max_exemplars;
        head.metrics.exemplars_max.set(exemplars as f64);
        let loaded = (chunks, late, intact);
        let replay = head.prepare(loaded, min_valid_ms, start, started, progress)?;
        Ok((head, replay))
    }

    /// Finds the log's series, and starts a segment behind everything that is there.
    fn prepare(
        &self,
        (chunks, late, intact): Loaded,
        min_valid_ms: i64,
        start: Start,
        started: Instant,
        progress: &Progress,
    ) -> Result<Replay, Error> {
        let fs = &*self.options.fs;
        let wal = Head::wal_dir(&self.options.dir);
        remove_temporary(fs, &wal).map_err(Error::io(&wal))?;
        shortcut::remove_temporary(fs, &self.options.dir)?;
        let checkpoint = checkpoints(fs, &wal).map_err(Error::io(&wal))?.pop();
        let after = checkpoint.as_ref().map_or(0, |(number, _)| number + 1);
        let mut list = segments(fs, &wal).map_err(Error::io(&wal))?;
        let own = list
            .last()
            .map_or(0, |segment| segment.number + 1)
            .max(after);
        list.retain(|segment| segment.number >= after);
        let first = list.first().map_or(after, |segment| segment.number);
        progress.min.store(first, Ordering::Relaxed);
        progress.current.store(first, Ordering::Relaxed);
        let last = list.last().map_or(first, |segment| segment.number);
        progress.max.store(last, Ordering::Relaxed);

        let unsettled_from = catch_up::unsettled_from(fs, &self.options.dir).unwrap_or(own);
        let settled = list.partition_point(|segment| segment.number < unsettled_from);
        let found = Found {
            files: intact.then_some(&self.files),
            min_valid_ms,
            checkpoint: checkpoint.as_ref().map(|(number, _)| *number),
            segments: &list[..settled],
        };
        let shortcut = self.find_shortcut(&found);

        let mut known = Known {
            head: self,
            min_valid_ms,
            chunks,
            floors: Floors::default(),
            last_segment: last,
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            segments: KnownSegments::new(),
        };
        if let Some((_, dir)) = &checkpoint {
            let list = segments(fs, dir).map_err(Error::io(dir))?;
            known.folder(fs, &list, 0)?;
            known.segments.clear();
        }
        match &shortcut {
            None => known.folder(fs, &list, 0)?,
            Some(shortcut) => {
                known.shortcut(shortcut);
                let behind = list.partition_point(|s| s.number < shortcut.from.segment);
                known.folder(fs, &list[behind..], shortcut.from.offset)?;
            }
        }
        let Known {
            floors,
            min_ms,
            max_ms,
            segments: known,
            ..
        } = known;
        if min_ms <= max_ms {
            self.widen(min_ms, max_ms);
        }
        if start == Start::Early {
            catch_up::note_unsettled(fs, &self.options.dir, unsettled_from.min(own))?;
        }
        self.open_wal(own, known)?;
        let unsettled = list.split_off(settled);
        let (place, bytes) = shortcut.as_ref().map_or_else(
            || {
                (
                    Place {
                        segment: first,
                        offset: 0,
                    },
                    0,
                )
            },
            |shortcut| (shortcut.from, shortcut.bytes()),
        );
        self.set_noted(place, bytes);
        Ok(Replay {
            started,
            min_valid_ms,
            checkpoint: checkpoint.map(|(_, dir)| dir),
            list,
            unsettled,
            own,
            early: start == Start::Early,
            floors,
            late,
            shortcut,
        })
    }

    /// What of the log need not be read.
    fn find_shortcut(&self, found: &Found<'_>) -> Option<Shortcut> {
        let options = &self.options;
        options.shortcut_log_bytes?;
        match Shortcut::find(&*options.fs, &options.dir, found) {
            Ok(shortcut) => shortcut,
            Err(reason) => {
                tracing::info!(reason, "the log is read as a whole");
                None
            }
        }
    }

    /// Starts segment `number` behind those that are known.
    fn open_wal(&self, number: u64, known: KnownSegments) -> Result<(), Error> {
        let options = &self.options;
        let dir = Head::wal_dir(&options.dir);
        options.fs.create_dir_all(&dir).map_err(Error::io(&dir))?;
        let writer = Writer::start(
            Arc::clone(&options.fs),
            &dir,
            number,
            options.wal_segment_bytes,
            options.wal_compression,
            Some(self.metrics.wal.clone()),
        );
        let mut writer = writer.map_err(Error::io(&dir))?;
        writer.adopt(known);
        *self.wal.lock() = Some(writer);
        Ok(())
    }

    /// Whether the log is still being read: what is in the head is not all there is.
    pub fn is_replaying(&self) -> bool {
        *self.replaying.read()
    }

    /// The series that a record names, which is created under the record's reference where that is
    /// free.
    fn replay_series(&self, series: &RefSeries) -> Option<u32> {
        let wanted = u32::try_from(series.reference)
            .ok()
            .filter(|id| *id > 0 && series.reference < MAX_KEPT_ID)
            .filter(|id| self.shards[shard_of(*id)].lock().get(*id).is_none());
        // Only a head without ids left refuses, and none of these is new to the log's writer.
        let (id, _) = self.get_or_create(&series.labels, wanted).ok()?;
        if u64::from(id) == series.reference {
            // A number that meant another series before; from here on it is this one's.
            self.aliases.write().remove(&series.reference);
        } else {
            self.aliases.write().insert(series.reference, id);
            // The log's reader takes this number for that series: the series that has it as its id
            // is entered once more before it is used.
            if let Ok(other) = u32::try_from(series.reference)
                && let Some(other) = self.shards[shard_of(other)].lock().get_mut(other)
            {
                other.set_logged(false);
            }
        }
        if series.reference < MAX_KEPT_ID {
            // A number that the log has used is not given to a new series.
            self.next_id
                .fetch_max(series.reference + 1, Ordering::Relaxed);
        }
        Some(id)
    }

    /// Appends what arrives; answers the range of the samples.
    fn append_replayed(&self, receiver: &Receiver<Vec<Sample>>) -> (i64, i64) {
        let policy = self.policy();
        let (mut min_ms, mut max_ms) = (i64::MAX, i64::MIN);
        let mut new_chunks = 0;
        for batch in receiver {
            let mut rest = &batch[..];
            while let Some(first) = rest.first() {
                let place = shard_of(first.id);
                let run = rest
                    .iter()
                    .position(|sample| shard_of(sample.id) != place)
                    .unwrap_or(rest.len());
                let mut shard = self.shards[place].lock();
                for sample in &rest[..run] {
                    let (id, t_ms) = (sample.id, sample.t_ms);
                    match shard.append(id, t_ms, sample.value(), &policy) {
                        Ok(super::series::Outcome::Duplicate) => continue,
                        Ok(super::series::Outcome::NewChunk) => new_chunks += 1,
                        Ok(super::series::Outcome::Appended) => {}
                        Err(error) => {
                            tracing::warn!(%error, series = id, "histogram of the log left out");
                            continue;
                        }
                    }
                    min_ms = min_ms.min(t_ms);
                    max_ms = max_ms.max(t_ms);
                }
                rest = &rest[run..];
            }
        }
        self.metrics.chunks.add(f64::from(new_chunks));
        (min_ms, max_ms)
    }

    /// The series that a reference of the log means.
    pub(super) fn resolve(&self, reference: u64) -> Option<u32> {
        if let Some(id) = self.aliases.read().get(&reference) {
            return Some(*id);
        }
        let id = u32::try_from(reference).ok()?;
        self.shards[shard_of(id)]
            .lock()
            .get(id)
            .map(|series| series.id)
    }
}

/// The part of the replay that routes samples.
struct Router<'a> {
    head: &'a Head,
    min_valid_ms: i64,
    floors: &'a Floors,
    /// Whether every reference of the log is its series' id.
    plain: bool,
    workers: Vec<Sender<Vec<Sample>>>,
    batches: Vec<Vec<Sample>>,
    unknown: HashMap<&'static str, u64>,
}

impl Replay {
    /// Reads the log's samples, the write-behind log, and what was logged meanwhile. When it returns
    /// without error, the head has everything.
    ///
    /// # Errors
    /// Files that cannot be read or cut; [`Error::Closed`] where the head was closed meanwhile.
    pub fn run(mut self, head: &Arc<Head>, progress: &Progress) -> Result<(), Error> {
        let late = std::mem::take(&mut self.late);
        self.read(head, progress)?;
        head.replay_late(late)?;
        head.forget_deletions(self.min_valid_ms);
        self.catch_up(head, progress)?;
        let seconds = self.started.elapsed().as_secs_f64();
        head.metrics.replay_seconds.set(seconds);
        progress.done.store(true, Ordering::Release);
        tracing::info!(
            series = head.series_count(),
            seconds,
            "WAL replay completed"
        );
        Ok(())
    }

    fn read(&self, head: &Head, progress: &Progress) -> Result<(), Error> {
        let fs = &*head.options.fs;
        let wal = Head::wal_dir(&head.options.dir);
        let plain = head.aliases.read().is_empty();
        if !plain {
            // Numbers change their meaning along the log: from its beginning, once more.
            head.aliases.write().clear();
        }
        // Whose open chunks they are is plain only then.
        let shortcut = self.shortcut.as_ref().filter(|_| plain);
        head.metrics.skipped_bytes.set(0.0);
        if let Some(shortcut) = shortcut {
            let bytes = shortcut.skipped_bytes();
            head.metrics.skipped_bytes.set(bytes as f64);
            let Place { segment, offset } = shortcut.from;
            tracing::info!(
                bytes,
                segment,
                offset,
                "samples of the log before here are known"
            );
        }
        let workers = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(1, SHARDS);
        std::thread::scope(|scope| {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..workers).map(|_| bounded::<Vec<Sample>>(8)).unzip();
            let handles: Vec<_> = receivers
                .into_iter()
                .enumerate()
                .map(|(worker, receiver)| {
                    scope.spawn(move || {
                        let restored = shortcut.map(|shortcut| {
                            head.restore_open(shortcut, &self.floors, (worker, workers))
                        });
                        let (min, max) = restored.unwrap_or((i64::MAX, i64::MIN));
                        let (first, last) = head.append_replayed(&receiver);
                        (min.min(first), max.max(last))
                    })
                })
                .collect();
            let mut router = Router {
                head,
                min_valid_ms: self.min_valid_ms,
                floors: &self.floors,
                plain,
                batches: (0..workers).map(|_| Vec::with_capacity(BATCH)).collect(),
                workers: senders,
                unknown: HashMap::new(),
            };
            let mut result = Ok(());
            if let Some(dir) = &self.checkpoint {
                result = segments(fs, dir)
                    .map_err(Error::io(dir))
                    .and_then(|list| self.folder(&mut router, dir, (&list, 0), None));
            }
            if result.is_ok() {
                result = self.log(&mut router, shortcut, &wal, progress);
            }
            router.flush();
            head.count_unknown(std::mem::take(&mut router.unknown));
            drop(router);
            for handle in handles {
                if let Ok((min_ms, max_ms)) = handle.join()
                    && min_ms <= max_ms
                {
                    head.widen(min_ms, max_ms);
                }
            }
            result
        })
    }

    /// Replays the log, but for what a shortcut spares.
    fn log(
        &self,
        router: &mut Router<'_>,
        shortcut: Option<&Shortcut>,
        dir: &Path,
        progress: &Progress,
    ) -> Result<(), Error> {
        let Some(shortcut) = shortcut else {
            return self.folder(router, dir, (&self.list, 0), Some(progress));
        };
        let begin = |number| progress.current.store(number, Ordering::Relaxed);
        if let Err((segment, damage)) = shortcut.records(&OTHER, begin, |bytes| router.take(bytes))
        {
            return self.end(router.head, dir, End::Damaged(segment, damage), true);
        }
        let from = shortcut.from;
        let behind = self.list.partition_point(|s| s.number < from.segment);
        let list = &self.list[behind..];
        self.folder(router, dir, (list, from.offset), Some(progress))
    }

    /// Replays the segments of the log or of a checkpoint, the first one from a position on.
    fn folder(
        &self,
        router: &mut Router<'_>,
        dir: &Path,
        (list, position): (&[Segment], u64),
        progress: Option<&Progress>,
    ) -> Result<(), Error> {
        let head = router.head;
        let begin = |number| {
            if let Some(progress) = progress {
                progress.current.store(number, Ordering::Relaxed);
            }
        };
        let fs = &*head.options.fs;
        let list = (list, position);
        let end = read_records(fs, list, &head.closed, begin, |bytes| router.take(bytes))?;
        self.end(head, dir, end, progress.is_some())
    }

    /// Repairs what was found damaged in the log, if it `is_log`, or in a checkpoint.
    fn end(&self, head: &Head, dir: &Path, end: End, is_log: bool) -> Result<(), Error> {
        match end {
            End::Whole => Ok(()),
            End::Damaged(segment, damage) => {
                head.metrics.wal_corruptions.inc();
                tracing::warn!(
                    error = %damage.error,
                    segment = segment.number,
                    "encountered WAL read error, attempting repair"
                );
                // What an earlier start took while it was reading does not depend on what is cut.
                let keep = self.unsettled.first().map_or(self.own, |own| own.number);
                let keep = is_log.then_some(keep);
                repair(&*head.options.fs, dir, &segment, &damage, keep).map_err(Error::io(dir))
            }
        }
    }
}

impl Head {
    fn count_unknown(&self, unknown: HashMap<&'static str, u64>) {
        for (kind, count) in unknown {
            self.metrics.unknown_refs.with(&[kind]).add(count);
            tracing::warn!(kind, count, "unknown series references in the log");
        }
    }
}

/// The value of a [`Sample`] that is no float.
fn of_histogram(value: OwnedValue) -> (f64, Option<Box<OwnedValue>>) {
    (0.0, Some(Box::new(value)))
}

impl Router<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        match RecordType::of(bytes) {
            Some(RecordType::Samples | RecordType::SamplesV2) => {
                return record::visit_samples(bytes, |s| {
                    self.sample("samples", s.reference, s.t_ms, || (s.value, None));
                });
            }
            // They are known already, and none means another one later.
            Some(RecordType::Series) if self.plain => return Ok(()),
            _ => {}
        }
        match decode(bytes)? {
            Some(Decoded::Series(series)) => {
                for series in series.iter().filter(|series| !series.labels.is_empty()) {
                    self.head.replay_series(series);
                }
            }
            Some(Decoded::Histograms(samples)) => {
                for s in samples {
                    self.sample("histograms", s.reference, s.t_ms, || {
                        of_histogram(OwnedValue::Histogram(s.histogram.into()))
                    });
                }
            }
            Some(Decoded::FloatHistograms(samples)) => {
                for s in samples {
                    self.sample("histograms", s.reference, s.t_ms, || {
                        of_histogram(OwnedValue::FloatHistogram(s.histogram.into()))
                    });
                }
            }
            Some(other) => self
                .head
                .replay_other(other, self.min_valid_ms, &mut self.unknown),
            None => {}
        }
        Ok(())
    }

    #[inline]
    fn sample(
        &mut self,
        kind: &'static str,
        reference: u64,
        t_ms: i64,
        value: impl FnOnce() -> (f64, Option<Box<OwnedValue>>),
    ) {
        let mut id = reference;
        if !self.plain
            && let Some(alias) = self.head.aliases.read().get(&reference)
        {
            id = u64::from(*alias);
        }
        let floor = self.floors.get(id);
        if t_ms <= floor {
            if floor == Floors::UNKNOWN && t_ms >= self.min_valid_ms {
                *self.unknown.entry(kind).or_default() += 1;
            }
            return;
        }
        // An id that has a floor is one of 32 bits.
        let id = id as u32;
        let worker = shard_of(id) % self.workers.len();
        let batch = &mut self.batches[worker];
        let (float, histogram) = value();
        batch.push(Sample {
            id,
            t_ms,
            float,
            histogram,
        });
        if batch.len() >= BATCH {
            self.send(worker);
        }
    }

    #[cold]
    fn send(&mut self, worker: usize) {
        let full = std::mem::replace(&mut self.batches[worker], Vec::with_capacity(BATCH));
        // A worker ends only with this side.
        let _ = self.workers[worker].send(full);
    }

    fn flush(&mut self) {
        for worker in 0..self.workers.len() {
            self.send(worker);
        }
    }
}

impl Head {
    /// Takes what is neither a series nor a sample.
    fn replay_other(
        &self,
        decoded: Decoded,
        min_valid_ms: i64,
        unknown: &mut HashMap<&'static str, u64>,
    ) {
        let mut missing = |kind| *unknown.entry(kind).or_default() += 1;
        match decoded {
            Decoded::Tombstones(stones) => {
                // Of any age: late samples may be older than the blocks' end.
                for stone in stones.into_iter().filter(|stone| !stone.is_eviction()) {
                    match self.resolve(stone.reference) {
                        Some(id) => self.note_deleted(id, stone.min_ms, stone.max_ms),
                        None => missing("tombstones"),
                    }
                }
            }
            Decoded::Exemplars(exemplars) => {
                for e in exemplars.into_iter().filter(|e| e.t_ms >= min_valid_ms) {
                    if !self.replay_exemplar(e) {
                        missing("exemplars");
                    }
                }
            }
            Decoded::Metadata(metadata) => {
                for m in metadata {
                    if !self.replay_metadata(m) {
                        missing("metadata");
                    }
                }
            }
            _ => {}
        }
    }

    fn replay_exemplar(&self, e: RefExemplar) -> bool {
        let labels = self.resolve(e.reference).and_then(|id| self.labels(id));
        let Some(labels) = labels else { return false };
        let exemplar = Exemplar {
            labels: e.labels,
            value: e.value,
            timestamp_ms: Some(e.t_ms),
        };
        // One that is there already, from a checkpoint, is no news.
        let _ = self.exemplars.lock().add(&labels, exemplar);
        true
    }

    fn replay_metadata(&self, m: RefMetadata) -> bool {
        let Some(id) = self.resolve(m.reference) else {
            return false;
        };
        let metadata = Metadata {
            metric_type: record::metric_type(m.type_byte),
            unit: m.unit,
            help: m.help,
        };
        let mut shard = self.shards[shard_of(id)].lock();
        if let Some(series) = shard.get_mut(id) {
            series.extra_mut().metadata = Some(metadata);
        }
        true
    }
}
