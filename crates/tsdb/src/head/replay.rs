//! The start: chunks, checkpoint, log and write-behind log back into memory.
//!
//! A pipeline: one thread reads and decodes segments, one finds the series, and as many as there are
//! processors append, each to shards of its own. Full chunks are attached, not decoded, and the
//! samples that they hold are skipped in the log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, bounded};
use hashbrown::HashMap;
use model::{Exemplar, Metadata};
use parking_lot::{Mutex, RwLock};
use tsdb_format::FormatError;
use tsdb_format::wal::record::{
    self, RecordType, RefExemplar, RefFloatHistogram, RefHistogram, RefMetadata, RefMmapMarker,
    RefSample, RefSeries, RefTombstone,
};

use super::chunk_files::{ChunkFiles, LoadedChunk};
use super::exemplars::ExemplarRing;
use super::index::LabelIndex;
use super::isolation::Isolation;
use super::metrics::{HeadMetrics, Times};
use super::out_of_order::{LateChunk, OwnedValue};
use super::series::{ChunkPolicy, SHARDS, Value, shard_of};
use super::{Head, HeadOptions, LateLog, Recent, shards};
use crate::Error;
use crate::wal::{
    Damage, Segment, Writer, checkpoints, read_segment, remove_temporary, repair, segments,
};

/// Greater references of a log get new ids: half of the 32 bits stay free for new series.
const MAX_KEPT_ID: u64 = 1 << 31;
const BATCH: usize = 4096;

/// How far the replay has come.
#[derive(Debug, Default)]
pub struct Progress {
    pub min: AtomicU64,
    pub max: AtomicU64,
    pub current: AtomicU64,
    pub done: AtomicBool,
}

/// A decoded record.
enum Decoded {
    Series(Vec<RefSeries>),
    Samples(Vec<RefSample>),
    Histograms(Vec<RefHistogram>),
    FloatHistograms(Vec<RefFloatHistogram>),
    Tombstones(Vec<RefTombstone>),
    Exemplars(Vec<RefExemplar>),
    Metadata(Vec<RefMetadata>),
    Markers(Vec<RefMmapMarker>),
}

/// What the reading thread sends on.
enum Event {
    Segment(u64),
    Record(Decoded),
    /// A segment is damaged; nothing of its folder follows.
    Damaged(Segment, Damage),
    Failed(Error),
}

fn decode(bytes: &[u8]) -> Result<Option<Decoded>, FormatError> {
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
        // Records of the future, and those that say nothing that is needed.
        _ => return Ok(None),
    }))
}

/// Reads segments in order and sends what they hold.
fn read_all(
    options: &HeadOptions,
    list: Vec<Segment>,
    main: bool,
    send: &Sender<Event>,
) -> Result<(), crossbeam::channel::SendError<Event>> {
    for segment in list {
        if main {
            send.send(Event::Segment(segment.number))?;
        }
        let mut gone = Ok(());
        let read = read_segment(&*options.fs, &segment.path, |bytes| {
            if let Some(decoded) = decode(bytes)? {
                gone = send.send(Event::Record(decoded));
            }
            match gone {
                Ok(()) => Ok(()),
                // Ends the reading; the result is not looked at.
                Err(_) => Err(FormatError::invalid(
                    "WAL segment",
                    0,
                    "replay was given up",
                )),
            }
        });
        gone?;
        match read {
            Ok(Ok(())) => {}
            Ok(Err(damage)) => return send.send(Event::Damaged(segment, damage)),
            Err(error) => return send.send(Event::Failed(Error::io(&segment.path)(error))),
        }
    }
    Ok(())
}

/// Chunks of late samples that were found on disk, by series and chunk as the log has them.
type LateChunks = HashMap<(u64, u64), LoadedChunk>;

/// A sample on its way to its shard.
type Sample = (u32, i64, OwnedValue);

/// The part of the replay that knows the series.
struct Replayer<'a> {
    head: &'a Head,
    min_valid_ms: i64,
    chunks: HashMap<u64, Vec<LoadedChunk>>,
    /// Up to where full chunks have a series' samples; by id.
    skip_to: Vec<i64>,
    workers: Vec<Sender<Vec<Sample>>>,
    batches: Vec<Vec<Sample>>,
    unknown: HashMap<&'static str, u64>,
    min_ms: i64,
    max_ms: i64,
}

impl Head {
    /// Opens the head of a data folder: replays what is there, repairs what is damaged.
    ///
    /// # Errors
    /// Files that cannot be read, cut or created.
    pub fn open(
        options: HeadOptions,
        min_valid_ms: i64,
        progress: &Progress,
    ) -> Result<Head, Error> {
        let start = Instant::now();
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
            batches: Mutex::new(Vec::new()),
            metrics,
            closed: AtomicBool::new(false),
            options,
        };
        let exemplars = head.options.max_exemplars;
        head.metrics.exemplars_max.set(exemplars as f64);
        head.replay(chunks, late, min_valid_ms, progress)?;
        head.open_wal()?;
        let seconds = start.elapsed().as_secs_f64();
        head.metrics.replay_seconds.set(seconds);
        progress.done.store(true, Ordering::Release);
        tracing::info!(
            series = head.series_count(),
            seconds,
            "WAL replay completed"
        );
        Ok(head)
    }

    /// Starts a segment behind everything that is there.
    fn open_wal(&self) -> Result<(), Error> {
        let options = &self.options;
        let dir = Head::wal_dir(&options.dir);
        let failed = || Error::io(&dir);
        options.fs.create_dir_all(&dir).map_err(failed())?;
        let list = segments(&*options.fs, &dir).map_err(failed())?;
        let checkpoint = checkpoints(&*options.fs, &dir).map_err(failed())?.pop();
        let number = list.last().map_or(0, |segment| segment.number + 1);
        let number = number.max(checkpoint.map_or(0, |(last, _)| last + 1));
        let writer = Writer::start(
            Arc::clone(&options.fs),
            &dir,
            number,
            options.wal_segment_bytes,
            options.wal_compression,
            Some(self.metrics.wal.clone()),
        );
        *self.wal.lock() = Some(writer.map_err(failed())?);
        Ok(())
    }

    fn replay(
        &self,
        chunks: HashMap<u64, Vec<LoadedChunk>>,
        late: LateChunks,
        min_valid_ms: i64,
        progress: &Progress,
    ) -> Result<(), Error> {
        let fs = &*self.options.fs;
        let wal = Head::wal_dir(&self.options.dir);
        remove_temporary(fs, &wal).map_err(Error::io(&wal))?;
        let checkpoint = checkpoints(fs, &wal).map_err(Error::io(&wal))?.pop();
        let after = checkpoint.as_ref().map_or(0, |(number, _)| number + 1);
        let mut list = segments(fs, &wal).map_err(Error::io(&wal))?;
        list.retain(|segment| segment.number >= after);
        let first = list.first().map_or(after, |segment| segment.number);
        progress.min.store(first, Ordering::Relaxed);
        progress.current.store(first, Ordering::Relaxed);
        let last = list.last().map_or(first, |segment| segment.number);
        progress.max.store(last, Ordering::Relaxed);

        let workers = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .clamp(1, SHARDS);
        std::thread::scope(|scope| {
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..workers).map(|_| bounded::<Vec<Sample>>(8)).unzip();
            let handles: Vec<_> = receivers
                .into_iter()
                .map(|receiver| scope.spawn(move || self.append_replayed(&receiver)))
                .collect();
            let mut replayer = Replayer {
                head: self,
                min_valid_ms,
                chunks,
                skip_to: Vec::new(),
                batches: (0..workers).map(|_| Vec::with_capacity(BATCH)).collect(),
                workers: senders,
                unknown: HashMap::new(),
                min_ms: i64::MAX,
                max_ms: i64::MIN,
            };
            let mut result = Ok(());
            if let Some((_, dir)) = checkpoint {
                result = segments(fs, &dir)
                    .map_err(Error::io(&dir))
                    .and_then(|list| replayer.folder(&dir, list, None));
            }
            if result.is_ok() {
                result = replayer.folder(&wal, list, Some(progress));
            }
            let unknown = replayer.finish();
            for (kind, count) in unknown {
                self.metrics.unknown_refs.with(&[kind]).add(count);
                tracing::warn!(kind, count, "unknown series references in the log");
            }
            for handle in handles {
                if let Ok((min_ms, max_ms)) = handle.join()
                    && min_ms <= max_ms
                {
                    self.widen(min_ms, max_ms);
                }
            }
            result
        })?;
        self.replay_late(late)?;
        self.forget_deletions(min_valid_ms);
        Ok(())
    }

    /// Appends what arrives; answers the range of the samples.
    fn append_replayed(&self, receiver: &Receiver<Vec<Sample>>) -> (i64, i64) {
        let policy = ChunkPolicy {
            files: &self.files,
            range_ms: self.options.block_ms,
            samples_per_chunk: self.options.samples_per_chunk,
        };
        let (mut min_ms, mut max_ms) = (i64::MAX, i64::MIN);
        let mut new_chunks = 0;
        for batch in receiver {
            let mut rest = &batch[..];
            while let Some((first, ..)) = rest.first() {
                let place = shard_of(*first);
                let run = rest
                    .iter()
                    .position(|(id, ..)| shard_of(*id) != place)
                    .unwrap_or(rest.len());
                let mut shard = self.shards[place].lock();
                for (id, t_ms, value) in &rest[..run] {
                    let value = match value {
                        OwnedValue::Float(v) => Value::Float(*v),
                        OwnedValue::Histogram(h) => Value::Histogram(h),
                        OwnedValue::FloatHistogram(h) => Value::FloatHistogram(h),
                    };
                    match shard.append(*id, *t_ms, value, &policy) {
                        Ok(super::series::Outcome::Duplicate) => continue,
                        Ok(super::series::Outcome::NewChunk) => new_chunks += 1,
                        Ok(super::series::Outcome::Appended) => {}
                        Err(error) => {
                            tracing::warn!(%error, series = id, "histogram of the log left out");
                            continue;
                        }
                    }
                    min_ms = min_ms.min(*t_ms);
                    max_ms = max_ms.max(*t_ms);
                }
                rest = &rest[run..];
            }
        }
        self.metrics.chunks.add(f64::from(new_chunks));
        (min_ms, max_ms)
    }

    /// Replays the write-behind log: late samples that are not in blocks yet. A chunk of them is taken
    /// up at its marker in the log: one without is in a block, or its samples are still in the log.
    fn replay_late(&self, mut found: LateChunks) -> Result<(), Error> {
        let fs = &*self.options.fs;
        let dir = Head::wbl_dir(&self.options.dir);
        let list = segments(fs, &dir).map_err(Error::io(&dir))?;
        let mut unknown: HashMap<&'static str, u64> = HashMap::new();
        for segment in list {
            let read = read_segment(fs, &segment.path, |bytes| {
                if let Some(decoded) = decode(bytes)? {
                    self.take_late(decoded, &mut found, &mut unknown);
                }
                Ok(())
            });
            if let Err(damage) = read.map_err(Error::io(&segment.path))? {
                self.metrics.wal_corruptions.inc();
                tracing::warn!(error = %damage.error, segment = segment.number, "encountered WBL read error, attempting repair");
                repair(fs, &dir, &segment, &damage).map_err(Error::io(&dir))?;
                // Their markers may be in what was cut: better twice than not at all.
                let mut rest: Vec<LoadedChunk> = found.drain().map(|(_, chunk)| chunk).collect();
                rest.sort_by_key(|chunk| chunk.reference);
                for chunk in rest {
                    self.attach_late(&chunk);
                }
                break;
            }
        }
        for (kind, count) in unknown {
            self.metrics.late_unknown_refs.with(&[kind]).add(count);
        }
        Ok(())
    }

    fn take_late(
        &self,
        decoded: Decoded,
        found: &mut LateChunks,
        unknown: &mut HashMap<&'static str, u64>,
    ) {
        let mut kind = "samples";
        let mut missing = 0;
        let mut insert = |reference: u64, t_ms: i64, value: OwnedValue| {
            if !self.insert_late(reference, t_ms, value) {
                missing += 1;
            }
        };
        match decoded {
            Decoded::Samples(samples) => {
                for s in samples {
                    insert(s.reference, s.t_ms, OwnedValue::Float(s.value));
                }
            }
            Decoded::Histograms(samples) => {
                kind = "histograms";
                for s in samples {
                    insert(
                        s.reference,
                        s.t_ms,
                        OwnedValue::Histogram(s.histogram.into()),
                    );
                }
            }
            Decoded::FloatHistograms(samples) => {
                kind = "histograms";
                for s in samples {
                    insert(
                        s.reference,
                        s.t_ms,
                        OwnedValue::FloatHistogram(s.histogram.into()),
                    );
                }
            }
            Decoded::Markers(markers) => {
                kind = "mmap_markers";
                for marker in markers {
                    // A chunk that was lost: its samples stay in memory.
                    let Some(chunk) = found.remove(&(marker.reference, marker.chunk)) else {
                        continue;
                    };
                    if !self.attach_late(&chunk) {
                        missing += 1;
                    }
                }
            }
            _ => {}
        }
        if missing > 0 {
            *unknown.entry(kind).or_default() += missing;
        }
    }

    /// Gives its series a chunk of late samples, which are those that the log had up to here; says
    /// whether there is the series.
    fn attach_late(&self, chunk: &LoadedChunk) -> bool {
        let Some(id) = self.resolve(chunk.series) else {
            return false;
        };
        let mut shard = self.shards[shard_of(id)].lock();
        let Some(series) = shard.get_mut(id) else {
            return false;
        };
        let late = &mut series.extra_mut().late;
        late.samples.clear();
        late.chunks.push(LateChunk {
            reference: chunk.reference,
            min_ms: chunk.min_ms,
            max_ms: chunk.max_ms,
        });
        drop(shard);
        self.metrics.chunks.inc();
        self.widen_late(chunk.min_ms, chunk.max_ms);
        true
    }

    fn insert_late(&self, reference: u64, t_ms: i64, value: OwnedValue) -> bool {
        let Some(id) = self.resolve(reference) else {
            return false;
        };
        let mut shard = self.shards[shard_of(id)].lock();
        let Some(series) = shard.get_mut(id) else {
            return false;
        };
        let late = &mut series.extra_mut().late;
        if late.samples.len() >= self.options.out_of_order_cap.max(1) * 64 {
            late.write_out(u64::from(id), &self.files);
        }
        late.insert(t_ms, value);
        drop(shard);
        self.widen_late(t_ms, t_ms);
        true
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

impl Replayer<'_> {
    /// Replays the segments of the log or of a checkpoint.
    fn folder(
        &mut self,
        dir: &Path,
        list: Vec<Segment>,
        progress: Option<&Progress>,
    ) -> Result<(), Error> {
        let options = &self.head.options;
        let (send, receive) = bounded(64);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let send = send;
                // The receiver goes away only after a failure of its own.
                let _ = read_all(options, list, progress.is_some(), &send);
            });
            for event in receive {
                match event {
                    Event::Segment(number) => {
                        if let Some(progress) = progress {
                            progress.current.store(number, Ordering::Relaxed);
                        }
                    }
                    Event::Record(decoded) => self.take(decoded),
                    Event::Failed(error) => return Err(error),
                    Event::Damaged(segment, damage) => {
                        self.head.metrics.wal_corruptions.inc();
                        tracing::warn!(
                            error = %damage.error,
                            segment = segment.number,
                            "encountered WAL read error, attempting repair"
                        );
                        repair(&*options.fs, dir, &segment, &damage).map_err(Error::io(dir))?;
                    }
                }
            }
            Ok(())
        })
    }

    fn finish(mut self) -> HashMap<&'static str, u64> {
        for (worker, batch) in self.batches.iter_mut().enumerate() {
            let _ = self.workers[worker].send(std::mem::take(batch));
        }
        if self.min_ms <= self.max_ms {
            self.head.widen(self.min_ms, self.max_ms);
        }
        self.unknown
    }

    fn unknown(&mut self, kind: &'static str) {
        *self.unknown.entry(kind).or_default() += 1;
    }

    fn take(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::Series(series) => series.iter().for_each(|series| self.series(series)),
            Decoded::Samples(samples) => {
                for s in samples {
                    self.sample("samples", s.reference, s.t_ms, OwnedValue::Float(s.value));
                }
            }
            Decoded::Histograms(samples) => {
                for s in samples {
                    let value = OwnedValue::Histogram(s.histogram.into());
                    self.sample("histograms", s.reference, s.t_ms, value);
                }
            }
            Decoded::FloatHistograms(samples) => {
                for s in samples {
                    let value = OwnedValue::FloatHistogram(s.histogram.into());
                    self.sample("histograms", s.reference, s.t_ms, value);
                }
            }
            Decoded::Tombstones(stones) => {
                // Of any age: late samples may be older than the blocks' end.
                for stone in stones {
                    match self.head.resolve(stone.reference) {
                        Some(id) => self.head.note_deleted(id, stone.min_ms, stone.max_ms),
                        None => *self.unknown.entry("tombstones").or_default() += 1,
                    }
                }
            }
            Decoded::Exemplars(exemplars) => {
                for e in exemplars {
                    self.exemplar(e);
                }
            }
            Decoded::Metadata(metadata) => {
                for m in metadata {
                    self.metadata(m);
                }
            }
            Decoded::Markers(_) => {}
        }
    }

    fn series(&mut self, series: &RefSeries) {
        let head = self.head;
        if series.labels.is_empty() {
            return;
        }
        let wanted = u32::try_from(series.reference)
            .ok()
            .filter(|id| *id > 0 && series.reference < MAX_KEPT_ID)
            .filter(|id| head.shards[shard_of(*id)].lock().get(*id).is_none());
        // Only a head without ids left refuses, and none of these is new to the log's writer.
        let Ok((id, _)) = head.get_or_create(&series.labels, wanted) else {
            return self.unknown("series");
        };
        if u64::from(id) == series.reference {
            // A number that meant another series before; from here on it is this one's.
            head.aliases.write().remove(&series.reference);
        } else {
            head.aliases.write().insert(series.reference, id);
        }
        if series.reference < MAX_KEPT_ID {
            // A number that the log has used is not given to a new series.
            let next = series.reference + 1;
            head.next_id.fetch_max(next, Ordering::Relaxed);
        }
        if let Some(chunks) = self.chunks.remove(&series.reference) {
            self.attach(id, chunks);
        }
    }

    /// Gives a series the full chunks that were found for it.
    fn attach(&mut self, id: u32, mut chunks: Vec<LoadedChunk>) {
        chunks.retain(|chunk| chunk.max_ms >= self.min_valid_ms);
        if chunks.is_empty() {
            return;
        }
        let head = self.head;
        let index = id as usize;
        if self.skip_to.len() <= index {
            self.skip_to.resize(index + 1, i64::MIN);
        }
        // The log may have given the series two references: chunks of both, in any order.
        let mut shard = head.shards[shard_of(id)].lock();
        let mut all: Vec<(i64, i64, u64)> = chunks
            .iter()
            .map(|chunk| (chunk.min_ms, chunk.max_ms, chunk.reference))
            .collect();
        let before = shard.get(id).map_or(0, |series| series.full_count());
        if let Some(series) = shard.get(id).filter(|_| before > 0) {
            all.extend(shard.full_chunks(series).filter_map(|reference| {
                let chunk = head.files.read(reference).ok()?;
                Some((chunk.min_ms, chunk.max_ms, reference))
            }));
        }
        all.sort_unstable();
        let mut last = i64::MIN;
        let mut references = Vec::with_capacity(all.len());
        for (min_ms, max_ms, reference) in all {
            // Both may have written the same samples.
            if references.is_empty() || min_ms > last {
                last = max_ms;
                references.push(reference);
                self.min_ms = self.min_ms.min(min_ms);
                self.max_ms = self.max_ms.max(max_ms);
            }
        }
        shard.set_full(id, &references);
        let more = references.len() as f64 - before as f64;
        head.metrics.chunks.add(more);
        self.skip_to[index] = last;
    }

    fn find(&self, reference: u64) -> Option<u32> {
        let aliases = self.head.aliases.read();
        if !aliases.is_empty()
            && let Some(id) = aliases.get(&reference)
        {
            return Some(*id);
        }
        drop(aliases);
        let id = u32::try_from(reference).ok()?;
        // Every id below has been given in this replay, but maybe not this one: the shard knows.
        (reference < self.head.next_id.load(Ordering::Relaxed)).then_some(id)
    }

    #[inline]
    fn sample(&mut self, kind: &'static str, reference: u64, t_ms: i64, value: OwnedValue) {
        if t_ms < self.min_valid_ms {
            return;
        }
        let Some(id) = self.find(reference) else {
            return self.unknown(kind);
        };
        if self
            .skip_to
            .get(id as usize)
            .is_some_and(|skip| t_ms <= *skip)
        {
            return;
        }
        let worker = shard_of(id) % self.workers.len();
        let batch = &mut self.batches[worker];
        batch.push((id, t_ms, value));
        if batch.len() >= BATCH {
            let full = std::mem::replace(batch, Vec::with_capacity(BATCH));
            // A worker ends only with this side.
            let _ = self.workers[worker].send(full);
        }
    }

    fn exemplar(&mut self, e: RefExemplar) {
        if e.t_ms < self.min_valid_ms {
            return;
        }
        let labels = self
            .head
            .resolve(e.reference)
            .and_then(|id| self.head.labels(id));
        let Some(labels) = labels else {
            return self.unknown("exemplars");
        };
        let exemplar = Exemplar {
            labels: e.labels,
            value: e.value,
            timestamp_ms: Some(e.t_ms),
        };
        // One that is there already, from a checkpoint, is no news.
        let _ = self.head.exemplars.lock().add(&labels, exemplar);
    }

    fn metadata(&mut self, m: RefMetadata) {
        let Some(id) = self.head.resolve(m.reference) else {
            return self.unknown("metadata");
        };
        let metadata = Metadata {
            metric_type: record::metric_type(m.type_byte),
            unit: m.unit,
            help: m.help,
        };
        let mut shard = self.head.shards[shard_of(id)].lock();
        if let Some(series) = shard.get_mut(id) {
            series.extra_mut().metadata = Some(metadata);
        }
    }
}
