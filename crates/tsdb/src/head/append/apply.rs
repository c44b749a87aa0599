//! Applying: what the log has goes to the shards, and what of it is late to the write-behind log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use storage::AppendError;
use tsdb_format::wal::record::{
    self, RecordType, RefFloatHistogram, RefHistogram, RefMmapMarker, RefSample,
};

use super::super::isolation::Applying;
use super::super::out_of_order::OutOfOrder;
use super::super::series::{Bounds, ChunkPolicy, Outcome, Place, Shard, Value, shard_of};
use super::super::{Head, LateLog};
use super::{HeadAppender, unpin};
use crate::wal::{Writer, refused};

/// The open chunks of so many series are fetched at once.
const AHEAD: usize = 32;

/// What applying a batch has counted.
#[derive(Default)]
struct Applied {
    min_ms: Option<i64>,
    max_ms: Option<i64>,
    late_min_ms: Option<i64>,
    late_max_ms: Option<i64>,
    floats: u64,
    histograms: u64,
    late: u64,
    new_chunks: u64,
    late_records: Vec<Vec<u8>>,
    late_markers: bool,
    late_samples: Vec<RefSample>,
    late_histograms: Vec<RefHistogram>,
    late_float_histograms: Vec<RefFloatHistogram>,
}

impl HeadAppender {
    /// The log has the labels of the batch's new series.
    pub(super) fn mark_logged(&self) {
        for (id, _) in &self.batch.series {
            let mut shard = self.head.shards[shard_of(*id)].lock();
            if let Some(series) = shard.get_mut(*id) {
                series.set_logged(true);
            }
        }
    }

    /// Applies what the log has, and logs what of it is late.
    ///
    /// # Errors
    /// A write-behind log that cannot be written.
    pub(in crate::head) fn settle(&mut self) -> Result<(), AppendError> {
        let mut applied = self.apply();
        let metrics = &self.head.metrics;
        metrics.floats_appended.add(applied.floats);
        metrics.histograms_appended.add(applied.histograms);
        metrics.late_appended.add(applied.late);
        metrics.chunks.add(applied.new_chunks as f64);
        metrics.chunks_created.add(applied.new_chunks);
        applied.seal_late();
        if applied.late_markers
            && let Err(error) = self.head.files.flush()
        {
            // A marker promises that the chunk is there. Without it the samples stay in the log.
            tracing::warn!(%error, "late samples stay in the write-behind log");
            let is_marker =
                |bytes: &Vec<u8>| RecordType::of(bytes) == Some(RecordType::MmapMarkers);
            applied.late_records.retain(|record| !is_marker(record));
        }
        // What is late again and again (a retry) is acknowledged only when the log has it.
        let late = self.bounds.window_ms > 0;
        let result = match late {
            true => self.head.log_late(applied.late_records),
            false => Ok(()),
        };
        self.finish(false);
        result
    }

    fn apply(&mut self) -> Applied {
        let head = Arc::clone(&self.head);
        let applying = head.isolation.apply();
        let mut applied = Applied::default();
        let mut bounds = self.bounds;
        if bounds.window_ms > 0 {
            // What was cut to a block meanwhile is late now, and goes to the log of late samples:
            // the other one is not replayed that far back.
            let min_valid_ms = head.min_valid_ms.load(Ordering::Acquire);
            bounds.min_valid_ms = bounds.min_valid_ms.max(min_valid_ms);
        }
        let mut work = Work {
            head: &head,
            applying: &applying,
            bounds,
            policy: head.policy(),
            applied: &mut applied,
        };
        self.mark_logged();
        let mut samples = &self.batch.samples[..];
        while let Some(first) = samples.first() {
            // As long as the samples stay in the shard, so does its lock.
            let place = shard_of(first.reference as u32);
            let run = samples
                .iter()
                .position(|s| shard_of(s.reference as u32) != place)
                .unwrap_or(samples.len());
            let mut shard = head.shards[place].lock();
            for block in samples[..run].chunks(AHEAD) {
                for sample in block {
                    shard.fetch_open(sample.reference as u32);
                }
                for sample in block {
                    let id = sample.reference as u32;
                    match work.one(&mut shard, id, sample.t_ms, Value::Float(sample.value)) {
                        Some(Place::Late) => work.applied.late_samples.push(*sample),
                        Some(Place::InOrder) => work.applied.floats += 1,
                        None => {}
                    }
                    unpin(&mut shard, id);
                }
            }
            samples = &samples[run..];
        }
        for sample in &self.batch.histograms {
            let value = Value::Histogram(&sample.histogram);
            if work.histogram(sample.reference, sample.t_ms, value) {
                work.applied.late_histograms.push(sample.clone());
            }
        }
        for sample in &self.batch.float_histograms {
            let value = Value::FloatHistogram(&sample.histogram);
            if work.histogram(sample.reference, sample.t_ms, value) {
                work.applied.late_float_histograms.push(sample.clone());
            }
        }
        for (id, metadata) in self.batch.metadata.drain(..) {
            let mut shard = head.shards[shard_of(id)].lock();
            if let Some(series) = shard.get_mut(id) {
                series.extra_mut().metadata = Some(metadata);
            }
        }
        // Before the gate opens: a reader that begins then must know the new range.
        if let (Some(min), Some(max)) = (applied.min_ms, applied.max_ms) {
            head.widen(min, max);
        }
        if let (Some(min), Some(max)) = (applied.late_min_ms, applied.late_max_ms) {
            head.widen_late(min, max);
        }
        applied
    }
}

struct Work<'a> {
    head: &'a Head,
    applying: &'a Applying<'a>,
    bounds: Bounds,
    policy: ChunkPolicy<'a>,
    applied: &'a mut Applied,
}

impl Work<'_> {
    /// Applies a histogram; says whether it is late.
    fn histogram(&mut self, reference: u64, t_ms: i64, value: Value<'_>) -> bool {
        let id = reference as u32;
        let head = self.head;
        let mut shard = head.shards[shard_of(id)].lock();
        let place = self.one(&mut shard, id, t_ms, value);
        unpin(&mut shard, id);
        self.applied.histograms += u64::from(place == Some(Place::InOrder));
        place == Some(Place::Late)
    }

    /// Applies a sample; says where it went, `None` where it was left out.
    #[inline]
    fn one(&mut self, shard: &mut Shard, id: u32, t_ms: i64, value: Value<'_>) -> Option<Place> {
        let metrics = &self.head.metrics;
        let Some(series) = shard.get(id) else {
            metrics.series_not_found.inc();
            return None;
        };
        match shard.place(series, t_ms, value, self.bounds, &self.head.files) {
            Ok(Place::InOrder) => {}
            Ok(Place::Late) => return self.late(shard, id, t_ms, value),
            // Another batch, or an earlier sample of this one, was faster.
            Err(error) => {
                match error {
                    AppendError::OutOfOrder => metrics.out_of_order.inc(),
                    AppendError::OutOfBounds => metrics.out_of_bounds.inc(),
                    AppendError::TooOld => metrics.too_old.inc(),
                    _ => {}
                }
                return None;
            }
        }
        shard.pins.note_in_order(self.applying, id, t_ms);
        let applied = &mut *self.applied;
        match shard.append(id, t_ms, value, &self.policy) {
            Ok(Outcome::Duplicate) => return None,
            Ok(Outcome::NewChunk) => applied.new_chunks += 1,
            Ok(Outcome::Appended) => {}
            Err(error) => {
                tracing::debug!(%error, series = id, "histogram left out");
                return None;
            }
        }
        applied.min_ms = Some(applied.min_ms.map_or(t_ms, |min| min.min(t_ms)));
        applied.max_ms = Some(applied.max_ms.map_or(t_ms, |max| max.max(t_ms)));
        Some(Place::InOrder)
    }

    fn late(&mut self, shard: &mut Shard, id: u32, t_ms: i64, value: Value<'_>) -> Option<Place> {
        let head = self.head;
        let cap = head.options.out_of_order_cap.max(1);
        let empty = OutOfOrder::default();
        let before = shard.get(id)?.extra().map_or(&empty, |extra| &extra.late);
        // The pins borrow the shard, and so do the samples that they copy.
        let copy = (self.applying.newest != 0).then(|| before.clone());
        if let Some(copy) = &copy {
            shard.pins.note_out_of_order(self.applying, id, copy);
        }
        let late = &mut shard.get_mut(id)?.extra_mut().late;
        let mut chunks = Vec::new();
        if late.samples.len() >= cap {
            chunks = late.write_out(u64::from(id), &head.files);
            self.applied.new_chunks += chunks.len() as u64;
        }
        let inserted = late.insert(t_ms, value.to_owned());
        if !chunks.is_empty() {
            // The log must have the samples in the chunks before the markers, and no later ones.
            // Every chunk needs its marker: one without is not taken up again (see the replay).
            self.applied.seal_late();
            let mut out = Vec::new();
            let reference = u64::from(id);
            let markers: Vec<RefMmapMarker> = chunks
                .into_iter()
                .map(|chunk| RefMmapMarker { reference, chunk })
                .collect();
            record::encode_mmap_markers(&markers, &mut out);
            self.applied.late_records.push(out);
            self.applied.late_markers = true;
        }
        if !inserted {
            return None;
        }
        let applied = &mut *self.applied;
        applied.late += 1;
        applied.late_min_ms = Some(applied.late_min_ms.map_or(t_ms, |min| min.min(t_ms)));
        applied.late_max_ms = Some(applied.late_max_ms.map_or(t_ms, |max| max.max(t_ms)));
        Some(Place::Late)
    }
}

impl Applied {
    /// Turns the late samples gathered so far into records.
    fn seal_late(&mut self) {
        let mut records = [const { Vec::new() }; 5];
        let [samples, plain, custom, float, float_custom] = &mut records;
        if !self.late_samples.is_empty() {
            record::encode_samples(&self.late_samples, samples);
            self.late_samples.clear();
        }
        record::encode_histograms(&self.late_histograms, plain, custom);
        self.late_histograms.clear();
        record::encode_float_histograms(&self.late_float_histograms, float, float_custom);
        self.late_float_histograms.clear();
        self.late_records
            .extend(records.into_iter().filter(|record| record.len() > 1));
    }
}

impl Head {
    /// Writes records to the write-behind log, those first that could not be written before.
    fn log_late(&self, records: Vec<Vec<u8>>) -> Result<(), AppendError> {
        let mut log = self.late_log.lock();
        log.pending.extend(records);
        if log.pending.is_empty() {
            return Ok(());
        }
        self.write_late(&mut log)
            .map_err(|error| refused("WBL", &error))
    }

    fn write_late(&self, log: &mut LateLog) -> io::Result<()> {
        let writer = match &mut log.writer {
            Some(writer) => writer,
            None => log.writer.insert(Writer::open(
                Arc::clone(&self.options.fs),
                &Head::wbl_dir(&self.options.dir),
                self.options.wal_segment_bytes,
                self.options.wal_compression,
                Some(self.metrics.wbl.clone()),
            )?),
        };
        writer.log(log.pending.iter().map(Vec::as_slice))?;
        log.pending.clear();
        Ok(())
    }
}
