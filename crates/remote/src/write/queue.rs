//! A queue: follows the log on a thread of its own and hands what it finds to shards.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tsdb::fs::{FileSystem, RealFs};
use tsdb::wal::{self, LiveReader, Place};
use tsdb_format::FormatError;
use tsdb_format::wal::page::SegmentReader;
use tsdb_format::wal::record::{self, RecordType};

use super::batch::{Counts, Kind, Value};
use super::metrics::Reason;
use super::position::{MAX_SHARDS, Position, Progress};
use super::reshard::{Happened, INTERVAL, Resharder};
use super::series::SeriesTable;
use super::shard::{Shard, Shared};
use super::{Log, Settings};
use crate::push::Protocol;

/// How often the log is looked at while nothing is written to it.
const POLL: Duration = Duration::from_millis(100);
/// How often checkpoints are looked for, and positions saved that moved without a request.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// A queue that runs.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
    resharding: tokio::task::JoinHandle<()>,
}

impl Queue {
    /// Starts reading where the queue's file says, or at the log's end where it says nothing.
    pub fn start(
        shared: Arc<Shared>,
        log: Arc<dyn Log>,
        table: SeriesTable,
    ) -> Result<Queue, String> {
        let name = shared.settings.name.clone();
        let (resume, shards) = beginning(&shared, &*log)?;
        let wanted = Arc::new(AtomicUsize::new(shards));
        let start = resume.iter().map(|shard| shard.taken).min();
        let start = start.unwrap_or_default();
        let metrics = &shared.metrics;
        metrics.min.set(shared.settings.min_shards as f64);
        metrics.max.set(shared.settings.max_shards as f64);
        metrics.capacity.set(shared.settings.capacity as f64);
        metrics
            .per_send
            .set(shared.settings.max_samples_per_send as f64);
        metrics.desired.set(shards as f64);
        *shared.reader.lock() = start;
        let handle = Handle::current();
        let mut reader = Reader {
            shared: Arc::clone(&shared),
            log: Arc::clone(&log),
            table,
            newest_ms: i64::MIN,
            senders: JoinSet::new(),
            handle: handle.clone(),
            skip: Skip::new(&resume),
            wanted: Arc::clone(&wanted),
            checkpoint: None,
            last_segment: start.segment,
            scratch: Scratch::default(),
        };
        metrics.segment.set(start.segment as f64);
        reader.start_shards(&resume);
        shared.save();
        let thread = std::thread::Builder::new()
            .name("remote-write".to_owned())
            .spawn(move || reader.run(start))
            .map_err(|e| format!("remote write {name}: {e}"))?;
        let resharding = handle.spawn(reshard(Arc::clone(&shared), log, wanted));
        Ok(Queue {
            shared,
            reader: thread,
            resharding,
        })
    }

    /// The oldest segment of the log that is still needed.
    pub fn first_segment(&self) -> u64 {
        self.shared.first_segment()
    }

    /// Sends what has been read, and with `flush` all that is in the log, for as long as the receiver
    /// takes it and at most for `deadline`. What is left is sent by the next queue that starts with
    /// this one's file.
    pub async fn stop(self, deadline: Duration, flush: bool) {
        self.resharding.abort();
        self.shared.flush.store(flush, Ordering::Relaxed);
        self.shared.stopping.cancel();
        let reader = self.reader;
        let joined = tokio::task::spawn_blocking(move || reader.join());
        let mut joined = std::pin::pin!(joined);
        if tokio::time::timeout(deadline, &mut joined).await.is_err() {
            self.shared.hard.cancel();
            // It ends within one wait now; a panic was reported where it happened.
            let _ = joined.await;
        }
        self.shared.save();
    }
}

/// Where the shards begin, and how many there shall be.
fn beginning(shared: &Shared, log: &dyn Log) -> Result<(Vec<Progress>, usize), String> {
    let settings = &shared.settings;
    let bound = |shards: usize| shards.clamp(settings.min_shards, settings.max_shards);
    let end = Position::behind(log.end());
    let mut resume = shared.file.lock().last().to_vec();
    let name = &settings.name;
    if resume.iter().any(|shard| shard.taken.segment > end.segment) {
        tracing::warn!(
            remote_name = name,
            "the position of remote write is behind the end of the log, which is another one: beginning at its end"
        );
        resume.clear();
    }
    if resume.is_empty() {
        return Ok((vec![Progress::at(end); bound(1)], bound(1)));
    }
    // As many shards as before: each goes on where it was. Another number comes when all of them are
    // past what any of them has sent.
    let shards = bound(resume.len());
    Ok((resume, shards))
}

async fn reshard(shared: Arc<Shared>, log: Arc<dyn Log>, wanted: Arc<AtomicUsize>) {
    let mut rule = Resharder::default();
    let settings = &shared.settings;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let take = |counter: &std::sync::atomic::AtomicU64| counter.swap(0, Ordering::Relaxed);
        let newest_sent = shared.newest_sent_ms.load(Ordering::Relaxed);
        let delay_ms = match newest_sent {
            i64::MIN => 0,
            sent => log.highest_ms().saturating_sub(sent).max(0),
        };
        let happened = Happened {
            taken: take(&shared.taken) as f64,
            dropped: take(&shared.dropped) as f64,
            sent: take(&shared.sent) as f64,
            sending: Duration::from_nanos(take(&shared.sending_ns)),
            delay_seconds: (delay_ms / 1000) as f64,
        };
        let now = wanted.load(Ordering::Relaxed);
        let bounds = (settings.min_shards, settings.max_shards);
        let (desired, next) = rule.tick(&happened, now, bounds);
        if let Some(desired) = desired {
            shared.metrics.desired.set(desired);
        }
        if next == now {
            continue;
        }
        // While nothing is taken, more shards would only be more to wait for.
        let patience = 2 * settings.batch_send_deadline.max(INTERVAL);
        let since_ms = (shared.clock)() - shared.last_sent_ms.load(Ordering::Relaxed);
        if since_ms > patience.as_millis() as i64 {
            tracing::warn!(
                remote_name = settings.name,
                url = settings.shown_url,
                "Skipping resharding, last successful send was beyond threshold"
            );
            continue;
        }
        tracing::info!(
            remote_name = settings.name,
            url = settings.shown_url,
            from = now,
            to = next,
            "Remote storage resharding"
        );
        wanted.store(next, Ordering::Relaxed);
    }
}

/// What earlier runs have sent already: a position for each shard there was then.
struct Skip {
    shards: Vec<Position>,
    until: Position,
}

impl Skip {
    fn new(shards: &[Progress]) -> Skip {
        let shards: Vec<Position> = shards.iter().map(|shard| shard.taken).collect();
        let until = shards.iter().max().copied().unwrap_or_default();
        Skip { shards, until }
    }

    fn contains(&self, reference: u64, position: Position) -> bool {
        position <= self.until
            && position <= self.shards[(reference % self.shards.len() as u64) as usize]
    }
}

#[derive(Default)]
struct Scratch {
    series: Vec<record::RefSeries>,
    metadata: Vec<record::RefMetadata>,
    histograms: Vec<record::RefHistogram>,
    float_histograms: Vec<record::RefFloatHistogram>,
    exemplars: Vec<record::RefExemplar>,
}

struct Reader {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
    table: SeriesTable,
    newest_ms: i64,
    senders: JoinSet<()>,
    handle: Handle,
    skip: Skip,
    wanted: Arc<AtomicUsize>,
    /// The newest checkpoint that was looked at.
    checkpoint: Option<u64>,
    last_segment: u64,
    scratch: Scratch,
}

impl Reader {
    fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    fn start_shards(&mut self, starts: &[Progress]) {
        let shards: Vec<Arc<Shard>> = starts.iter().map(|p| Arc::new(Shard::new(*p))).collect();
        for shard in &shards {
            let sender = Arc::clone(shard).run(Arc::clone(&self.shared));
            self.senders.spawn_on(sender, &self.handle);
        }
        self.shared.metrics.shards.set(shards.len() as f64);
        *self.shared.shards.write() = Arc::new(shards);
    }

    fn run(mut self, start: Position) {
        let dir = self.log.dir();
        if let Err(error) = self.learn(start.segment) {
            tracing::error!(remote_name = self.settings().name, %error, "reading the series of the log failed");
        }
        let mut live = LiveReader::new(Arc::new(RealFs), dir, start.segment);
        let mut seen = None;
        let mut housekeeping = Instant::now();
        loop {
            let stopping = self.shared.stopping.is_cancelled();
            let end = self.log.end();
            let flushing = stopping && self.shared.flush.load(Ordering::Relaxed);
            if flushing || (seen != Some(end) && !stopping) {
                match live.poll(|place, record| self.take(place, record)) {
                    Ok(_) => seen = Some(end),
                    Err(error) => {
                        tracing::error!(remote_name = self.settings().name, %error, "error tailing WAL");
                        std::thread::sleep(POLL);
                    }
                }
            }
            if stopping || self.shared.hard.is_cancelled() {
                break;
            }
            if housekeeping.elapsed() >= HOUSEKEEPING {
                housekeeping = Instant::now();
                self.shared.save();
                if let Err(error) = self.forget() {
                    tracing::warn!(remote_name = self.settings().name, %error, "reading a checkpoint failed");
                }
            }
            self.reshard();
            if seen == Some(self.log.end()) {
                std::thread::sleep(POLL);
            }
        }
        let shards = Arc::clone(&self.shared.shards.read());
        shards.iter().for_each(|shard| shard.close());
        let senders = &mut self.senders;
        // One that panicked has said so; one that was cancelled has no runtime any more.
        (self.handle).block_on(async { while senders.join_next().await.is_some() {} });
    }

    /// Changes the number of shards: all that is under way is sent first, for the sake of order.
    fn reshard(&mut self) {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let shards = Arc::clone(&self.shared.shards.read());
        if wanted == shards.len() || *self.shared.reader.lock() < self.skip.until {
            return;
        }
        if !shards.iter().all(|shard| shard.drain(&self.shared)) {
            return;
        }
        shards.iter().for_each(|shard| shard.close());
        let here = *self.shared.reader.lock();
        self.start_shards(&vec![Progress::at(here); wanted]);
        self.shared.save();
        while self.senders.try_join_next().is_some() {}
    }

    /// Learns the series that the log names before `segment`.
    fn learn(&mut self, segment: u64) -> Result<(), tsdb::Error> {
        let dir = self.log.dir();
        let checkpoint = wal::checkpoints(&RealFs, &dir).map_err(tsdb::Error::io(&dir))?;
        let mut files = Vec::new();
        let mut from = 0;
        if let Some((number, path)) = checkpoint.last() {
            let own = wal::segments(&RealFs, path).map_err(tsdb::Error::io(path))?;
            files.extend(own.into_iter().map(|file| (*number, file.path)));
            from = number + 1;
            self.checkpoint = Some(*number);
        }
        let own = wal::segments(&RealFs, &dir).map_err(tsdb::Error::io(&dir))?;
        let own = own
            .into_iter()
            .filter(|s| (from..segment).contains(&s.number));
        files.extend(own.map(|file| (file.number, file.path)));
        let wanted = [RecordType::Series as u8, RecordType::Metadata as u8];
        for (number, path) in files {
            if self.shared.stopping.is_cancelled() {
                break;
            }
            let data = RealFs.map(&path).map_err(tsdb::Error::io(&path))?;
            let mut records = SegmentReader::new(&data);
            // Damage is for the database to report: what is behind it is of no use to anybody.
            while let Ok(Some(record)) = records.next_of_types(&wanted) {
                let _ = self.labels(number, record);
            }
        }
        Ok(())
    }

    /// Forgets the series that a new checkpoint has dropped.
    fn forget(&mut self) -> Result<(), tsdb::Error> {
        let dir = self.log.dir();
        let found = wal::checkpoints(&RealFs, &dir).map_err(tsdb::Error::io(&dir))?;
        let Some((number, path)) = found.last() else {
            return Ok(());
        };
        if self.checkpoint.is_some_and(|last| last >= *number) {
            return Ok(());
        }
        let mut keep: HashSet<u64, FixedState> = HashSet::default();
        let mut series = Vec::new();
        for file in wal::segments(&RealFs, path).map_err(tsdb::Error::io(path))? {
            let data = RealFs
                .map(&file.path)
                .map_err(tsdb::Error::io(&file.path))?;
            let mut records = SegmentReader::new(&data);
            let next = |records: &mut SegmentReader<'_>, series: &mut Vec<_>| {
                let Some(record) = records.next_of_types(&[RecordType::Series as u8])? else {
                    return Ok(false);
                };
                record::decode_series(record, series).map(|()| true)
            };
            while next(&mut records, &mut series).map_err(tsdb::Error::format(&file.path))? {
                keep.extend(series.drain(..).map(|s: record::RefSeries| s.reference));
            }
        }
        let shards = Arc::clone(&self.shared.shards.read());
        // Requests in the making know strings by their numbers.
        if !shards.iter().all(|shard| shard.drain(&self.shared)) {
            return Ok(());
        }
        let before = self.table.len();
        self.table.collect(&keep, *number);
        tracing::debug!(
            remote_name = self.settings().name,
            before,
            after = self.table.len(),
            "series of remote write collected"
        );
        self.checkpoint = Some(*number);
        Ok(())
    }

    /// Takes a record; breaks off when the queue ends.
    fn take(&mut self, place: Place, bytes: &[u8]) -> ControlFlow<()> {
        if self.shared.stopping.is_cancelled() && !self.shared.flush.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        self.note_segment(place.segment);
        self.shared.metrics.record(bytes);
        match self.entries(place, bytes) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
            Err(error) => {
                self.shared.metrics.decode_failures.inc();
                tracing::error!(remote_name = self.settings().name, %error, "a record of the log does not decode");
            }
        }
        let mut reader = self.shared.reader.lock();
        *reader = (*reader).max(Position::behind(place));
        ControlFlow::Continue(())
    }

    fn note_segment(&mut self, segment: u64) {
        let last = std::mem::replace(&mut self.last_segment, segment);
        if last == segment {
            return;
        }
        let missed = segment.saturating_sub(last + 1);
        if missed > 0 {
            self.shared.metrics.segments_missed.add(missed);
            tracing::error!(
                remote_name = self.settings().name,
                segments = missed,
                "segments of the log were dropped before remote write has read them: their samples are not sent"
            );
        }
        self.shared.metrics.segment.set(segment as f64);
    }

    fn labels(&mut self, segment: u64, bytes: &[u8]) -> Result<(), FormatError> {
        if RecordType::of(bytes) == Some(RecordType::Series) {
            let series = &mut self.scratch.series;
            series.clear();
            record::decode_series(bytes, series)?;
            for one in series.drain(..) {
                self.table.put(&one, segment);
            }
        } else if self.shared.settings.protocol == Protocol::V2 {
            let metadata = &mut self.scratch.metadata;
            metadata.clear();
            record::decode_metadata(bytes, metadata)?;
            metadata.iter().for_each(|one| self.table.describe(one));
        }
        Ok(())
    }

    fn entries(&mut self, place: Place, bytes: &[u8]) -> Result<ControlFlow<()>, FormatError> {
        let settings = &self.shared.settings;
        let kind = match RecordType::of(bytes) {
            Some(RecordType::Series | RecordType::Metadata) => {
                self.labels(place.segment, bytes)?;
                return Ok(ControlFlow::Continue(()));
            }
            Some(RecordType::Samples | RecordType::SamplesV2) => Kind::Sample,
            Some(
                RecordType::Histograms
                | RecordType::CustomBucketsHistograms
                | RecordType::HistogramsV2
                | RecordType::FloatHistograms
                | RecordType::CustomBucketsFloatHistograms
                | RecordType::FloatHistogramsV2,
            ) if settings.send_native_histograms => Kind::Histogram,
            Some(RecordType::Exemplars) if settings.send_exemplars => Kind::Exemplar,
            _ => return Ok(ControlFlow::Continue(())),
        };
        let age_ms = settings.sample_age_limit.as_millis() as i64;
        let mut entries = Entries {
            shards: Arc::clone(&self.shared.shards.read()),
            shared: &self.shared,
            table: &self.table,
            skip: &self.skip,
            place,
            index: 0,
            oldest_ms: match age_ms {
                0 => i64::MIN,
                age_ms => (self.shared.clock)() - age_ms,
            },
            newest_ms: self.newest_ms,
            taken: [0; 3],
            dropped: 0,
            ended: false,
        };
        let Scratch {
            histograms,
            float_histograms,
            exemplars,
            ..
        } = &mut self.scratch;
        match (kind, RecordType::of(bytes)) {
            (Kind::Sample, _) => record::visit_samples(bytes, |s| {
                let value = Value::Sample {
                    start_ms: s.start_ms,
                    value: s.value,
                };
                entries.entry(kind, s.reference, s.t_ms, false, &value);
            })?,
            (Kind::Exemplar, _) => {
                exemplars.clear();
                record::decode_exemplars(bytes, exemplars)?;
                for e in exemplars.iter() {
                    let value = Value::Exemplar {
                        labels: &e.labels,
                        value: e.value,
                    };
                    entries.entry(kind, e.reference, e.t_ms, false, &value);
                }
            }
            (
                Kind::Histogram,
                Some(
                    RecordType::Histograms
                    | RecordType::CustomBucketsHistograms
                    | RecordType::HistogramsV2,
                ),
            ) => {
                histograms.clear();
                record::decode_histograms(bytes, histograms)?;
                for h in histograms.iter() {
                    let value = Value::Histogram {
                        start_ms: h.start_ms,
                        histogram: &h.histogram,
                    };
                    let custom = h.histogram.uses_custom_buckets();
                    entries.entry(kind, h.reference, h.t_ms, custom, &value);
                }
            }
            (Kind::Histogram, _) => {
                float_histograms.clear();
                record::decode_float_histograms(bytes, float_histograms)?;
                for h in float_histograms.iter() {
                    let value = Value::FloatHistogram {
                        start_ms: h.start_ms,
                        histogram: &h.histogram,
                    };
                    let custom = h.histogram.uses_custom_buckets();
                    entries.entry(kind, h.reference, h.t_ms, custom, &value);
                }
            }
        }
        let ended = entries.ended;
        self.newest_ms = entries.finish();
        Ok(match ended {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }
}

/// The entries of a record on their way to the shards.
struct Entries<'a> {
    shared: &'a Shared,
    shards: Arc<Vec<Arc<Shard>>>,
    table: &'a SeriesTable,
    skip: &'a Skip,
    place: Place,
    index: u32,
    oldest_ms: i64,
    newest_ms: i64,
    taken: Counts,
    dropped: u64,
    ended: bool,
}

impl Entries<'_> {
    #[inline]
    fn entry(&mut self, kind: Kind, reference: u64, t_ms: i64, custom: bool, value: &Value<'_>) {
        let before = Position::within(self.place, self.index);
        self.index += 1;
        let after = Position::within(self.place, self.index);
        if self.ended || self.skip.contains(reference, after) {
            return;
        }
        let Some(series) = self.table.get(reference) else {
            return self.drop(kind, Reason::UnknownSeries);
        };
        if series.pairs.is_empty() {
            return self.drop(kind, Reason::DroppedSeries);
        }
        if t_ms < self.oldest_ms {
            return self.drop(kind, Reason::TooOld);
        }
        if custom && self.shared.settings.protocol == Protocol::V1 {
            return self.drop(kind, Reason::CustomBuckets);
        }
        let shard = &self.shards[(reference % self.shards.len() as u64) as usize];
        // Before it may be sent: the number of those that wait must not fall below zero.
        self.shared.metrics.pending_one(kind);
        let table = self.table;
        let taken = shard.push(self.shared, before, after, |batch| {
            batch.add(table, series, t_ms, value);
        });
        if !taken {
            self.ended = true;
            return;
        }
        self.taken[kind as usize] += 1;
        self.newest_ms = self.newest_ms.max(t_ms);
    }

    #[cold]
    fn drop(&mut self, kind: Kind, reason: Reason) {
        self.dropped += 1;
        self.shared.metrics.drop_one(kind, reason);
    }

    fn finish(self) -> i64 {
        let shared = self.shared;
        let taken: u64 = self.taken.iter().sum();
        shared.taken.fetch_add(taken, Ordering::Relaxed);
        shared.dropped.fetch_add(self.dropped, Ordering::Relaxed);
        if self.newest_ms > i64::MIN {
            shared.metrics.highest.set((self.newest_ms / 1000) as f64);
        }
        self.newest_ms
    }
}

/// The number of shards that can be had.
pub(crate) fn clamp_shards(shards: i64) -> usize {
    usize::try_from(shards).unwrap_or(1).clamp(1, MAX_SHARDS)
}
