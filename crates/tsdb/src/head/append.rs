//! Appending: a batch is checked as it is filled, logged as one, and applied so that a query sees
//! all of it or nothing.

mod apply;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata};
use storage::{AppendError, Appender, SeriesRef};
use tsdb_format::chunk::Encoding;
use tsdb_format::wal::record::{
    self, RefExemplar, RefFloatHistogram, RefHistogram, RefMetadata, RefSample,
};

use super::series::{Bounds, ChunkPolicy, Place, Shard, Value, shard_of};
use super::{Head, MAX_ID};
use crate::wal::refused;

/// What an appender has gathered; kept for the next one, so that a batch allocates nothing.
#[derive(Default)]
pub struct Batch {
    /// Series whose labels the log does not have yet.
    series: Vec<(u32, Labels)>,
    samples: Vec<RefSample>,
    histograms: Vec<RefHistogram>,
    float_histograms: Vec<RefFloatHistogram>,
    exemplars: Vec<(u32, Labels, Exemplar)>,
    metadata: Vec<(u32, Metadata)>,
    record: Vec<u8>,
    other: Vec<u8>,
}

impl Batch {
    fn clear(&mut self) {
        self.series.clear();
        self.samples.clear();
        self.histograms.clear();
        self.float_histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.record.clear();
        self.other.clear();
    }
}

/// A batch for the head.
pub struct HeadAppender {
    head: Arc<Head>,
    batch: Batch,
    bounds: Bounds,
    id: u64,
    last_t_ms: i64,
    done: bool,
    /// Begun while the log was being read: what is in order shows only later.
    early: bool,
}

impl Head {
    /// A new batch.
    pub fn appender(self: &Arc<Self>) -> HeadAppender {
        let early = *self.replaying.read();
        self.batch(early)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            head_max_ms: self.times().1,
            min_valid_ms: self.appendable_min_ms(),
            window_ms: self.window_ms.load(Ordering::Acquire),
        }
    }

    fn batch(self: &Arc<Self>, early: bool) -> HeadAppender {
        let mut appenders = self.appenders.lock();
        let bounds = self.bounds();
        appenders.0 += 1;
        let id = appenders.0;
        let lowest = match bounds.window_ms {
            0 => bounds.min_valid_ms,
            _ => i64::MIN,
        };
        appenders.1.insert(id, lowest);
        let oldest = *appenders
            .1
            .first_key_value()
            .map_or(&id, |(oldest, _)| oldest);
        drop(appenders);
        self.metrics.newest_batch.set(id as f64);
        self.metrics.oldest_batch.set(oldest as f64);
        self.metrics.active_appenders.inc();
        HeadAppender {
            head: Arc::clone(self),
            batch: self.batches.lock().pop().unwrap_or_default(),
            bounds,
            id,
            last_t_ms: 0,
            done: false,
            early,
        }
    }

    pub(super) fn policy(&self) -> ChunkPolicy<'_> {
        ChunkPolicy {
            files: &self.files,
            range_ms: self.options.block_ms,
            samples_per_chunk: self.options.samples_per_chunk,
        }
    }

    /// The id of a reference, if it is one of the head.
    #[inline]
    fn known(reference: SeriesRef) -> Option<u32> {
        (1..=MAX_ID)
            .contains(&reference)
            .then_some(reference as u32)
    }
}

fn invalid(labels: &Labels) -> Result<(), AppendError> {
    if labels.is_empty() {
        return Err(AppendError::InvalidLabels(
            "empty labelset: invalid sample".to_owned(),
        ));
    }
    let mut last = None;
    for (name, _) in labels {
        if last == Some(name) {
            return Err(AppendError::InvalidLabels(format!(
                "label name \"{name}\" is not unique: invalid sample"
            )));
        }
        last = Some(name);
    }
    Ok(())
}

impl HeadAppender {
    fn resolve(&mut self, labels: &Labels) -> Result<u32, AppendError> {
        invalid(labels)?;
        if self.head.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(self.head.get_or_create(labels, None)?.0)
    }

    /// Runs `check` on a series found by reference or labels; where the check passes, the series
    /// stays until this batch is through.
    #[inline]
    fn with_series(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        mut check: impl FnMut(&Shard, &super::series::Series, &Head) -> Result<(), AppendError>,
    ) -> Result<u32, AppendError> {
        if let Some(id) = Head::known(reference) {
            let mut guard = self.head.shards[shard_of(id)].lock();
            let shard = &mut *guard;
            if let Some(series) = shard.get(id) {
                check(shard, series, &self.head)?;
                let unlogged = pin(shard, id);
                drop(guard);
                if unlogged {
                    self.note_series(id);
                }
                return Ok(id);
            }
        }
        loop {
            let id = self.resolve(labels)?;
            let mut guard = self.head.shards[shard_of(id)].lock();
            let shard = &mut *guard;
            // Collected between being found and being looked at: look again.
            let Some(series) = shard.get(id) else {
                continue;
            };
            let logged = series.is_logged();
            let result = check(shard, series, &self.head);
            if result.is_ok() {
                pin(shard, id);
            }
            drop(guard);
            if !logged
                && self
                    .batch
                    .series
                    .iter()
                    .rev()
                    .take(8)
                    .all(|(known, _)| *known != id)
            {
                self.batch.series.push((id, labels.clone()));
            }
            result?;
            return Ok(id);
        }
    }

    /// Notes a series that another batch created and did not log yet.
    #[cold]
    fn note_series(&mut self, id: u32) {
        if self.batch.series.iter().any(|(known, _)| *known == id) {
            return;
        }
        if let Some(labels) = self.head.labels(id) {
            self.batch.series.push((id, labels));
        }
    }

    fn check_value(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        t_ms: i64,
        value: Value<'_>,
    ) -> Result<u32, AppendError> {
        let bounds = self.bounds;
        let mut late_ms = None;
        let early = self.early;
        let result = self.with_series(reference, labels, |shard, series, head| {
            if early {
                // Nothing can be said yet about what belongs to blocks if late samples are taken.
                let old = bounds.window_ms == 0 && t_ms < head.min_valid_ms.load(Ordering::Acquire);
                return if old {
                    Err(AppendError::OutOfBounds)
                } else {
                    Ok(())
                };
            }
            match shard.place(series, t_ms, value, bounds, &head.files) {
                Ok(Place::InOrder) => Ok(()),
                Ok(Place::Late) => {
                    late_ms = Some(bounds.head_max_ms.saturating_sub(t_ms));
                    Ok(())
                }
                Err(error) => {
                    late_ms = Some(bounds.head_max_ms.saturating_sub(t_ms));
                    Err(error)
                }
            }
        });
        let metrics = &self.head.metrics;
        if let Some(late_ms) = late_ms.filter(|late| *late > 0) {
            metrics.late_delta_seconds.observe(late_ms as f64 / 1000.0);
        }
        match &result {
            Err(AppendError::OutOfOrder) => metrics.out_of_order.inc(),
            Err(AppendError::OutOfBounds) => metrics.out_of_bounds.inc(),
            Err(AppendError::TooOld) => metrics.too_old.inc(),
            _ => {}
        }
        self.last_t_ms = t_ms;
        result
    }

    fn finish(&mut self, rolled_back: bool) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        if rolled_back {
            let ids = (self.batch.samples.iter().map(|s| s.reference))
                .chain(self.batch.histograms.iter().map(|s| s.reference))
                .chain(self.batch.float_histograms.iter().map(|s| s.reference));
            for id in ids {
                let id = id as u32;
                unpin(&mut self.head.shards[shard_of(id)].lock(), id);
            }
        }
        self.head.metrics.active_appenders.dec();
        self.head.appenders.lock().1.remove(&self.id);
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        // A batch as large as a backfill's is not worth keeping.
        let mut batches = self.head.batches.lock();
        if batches.len() < 16 && batch.samples.capacity() <= 1 << 16 {
            batches.push(batch);
        }
    }

    /// Writes the batch to the log.
    fn log(&mut self) -> Result<(), AppendError> {
        let batch = &mut self.batch;
        let mut ends = Vec::with_capacity(8);
        let out = &mut batch.record;
        let mut end = |out: &Vec<u8>| {
            // A record of its type byte alone has no entries.
            ends.push(out.len());
        };
        out.clear();
        if !batch.series.is_empty() {
            record::encode_series(batch.series.iter().map(|(id, l)| (u64::from(*id), l)), out);
            end(out);
        }
        if !batch.metadata.is_empty() {
            let metadata: Vec<RefMetadata> = batch
                .metadata
                .iter()
                .map(|(id, metadata)| RefMetadata {
                    reference: u64::from(*id),
                    type_byte: record::metric_type_byte(metadata.metric_type),
                    unit: metadata.unit.clone(),
                    help: metadata.help.clone(),
                })
                .collect();
            record::encode_metadata(&metadata, out);
            end(out);
        }
        if !batch.samples.is_empty() {
            record::encode_samples(&batch.samples, out);
            end(out);
        }
        for custom in [false, true] {
            // The encoders write exponential and custom buckets to two records.
            for float in [false, true] {
                batch.other.clear();
                let mut scratch = Vec::new();
                let (plain, special) = match custom {
                    false => (&mut batch.other, &mut scratch),
                    true => (&mut scratch, &mut batch.other),
                };
                match float {
                    false => record::encode_histograms(&batch.histograms, plain, special),
                    true => {
                        record::encode_float_histograms(&batch.float_histograms, plain, special)
                    }
                }
                if batch.other.len() > 1 {
                    out.extend_from_slice(&batch.other);
                    end(out);
                }
            }
        }
        if !batch.exemplars.is_empty() {
            let exemplars: Vec<RefExemplar> = batch
                .exemplars
                .iter()
                .map(|(id, _, exemplar)| RefExemplar {
                    reference: u64::from(*id),
                    t_ms: exemplar.timestamp_ms.unwrap_or(0),
                    value: exemplar.value,
                    labels: exemplar.labels.clone(),
                })
                .collect();
            record::encode_exemplars(&exemplars, out);
            end(out);
        }
        if ends.is_empty() {
            return Ok(());
        }
        let mut start = 0;
        let records = ends.iter().map(|end| {
            let record = &out[start..*end];
            start = *end;
            record
        });
        match &mut *self.head.wal.lock() {
            Some(wal) => wal.log(records).map_err(|error| refused("WAL", &error)),
            None => Err(AppendError::Unavailable(
                "the log is still being replayed".to_owned(),
            )),
        }
    }

    /// A batch of samples that are in the log already.
    pub(super) fn of_log(head: &Arc<Head>) -> HeadAppender {
        head.batch(false)
    }

    fn take(&mut self, reference: u64) -> Option<u32> {
        let id = self.head.resolve(reference)?;
        pin(&mut self.head.shards[shard_of(id)].lock(), id);
        Some(id)
    }

    /// Takes a sample of the log; says whether there is its series. Likewise below.
    pub(super) fn take_float(&mut self, sample: RefSample) -> bool {
        let Some(id) = self.take(sample.reference) else {
            return false;
        };
        let reference = u64::from(id);
        if model::is_stale(sample.value) {
            // A histogram series ends with a stale histogram.
            let shard = self.head.shards[shard_of(id)].lock();
            let kind = shard.get(id).and_then(|series| shard.stale_as(series));
            drop(shard);
            let (start_ms, t_ms, sum) = (sample.start_ms, sample.t_ms, sample.value);
            match kind {
                Some(Encoding::Histogram) => {
                    self.batch.histograms.push(RefHistogram {
                        reference,
                        start_ms,
                        t_ms,
                        histogram: Histogram {
                            sum,
                            ..Histogram::default()
                        },
                    });
                    return true;
                }
                Some(Encoding::FloatHistogram) => {
                    self.batch.float_histograms.push(RefFloatHistogram {
                        reference,
                        start_ms,
                        t_ms,
                        histogram: FloatHistogram {
                            sum,
                            ..FloatHistogram::default()
                        },
                    });
                    return true;
                }
                _ => {}
            }
        }
        self.batch.samples.push(RefSample {
            reference,
            ..sample
        });
        true
    }

    pub(super) fn take_histogram(&mut self, sample: RefHistogram) -> bool {
        let id = self.take(sample.reference);
        self.batch.histograms.extend(id.map(|id| RefHistogram {
            reference: u64::from(id),
            ..sample
        }));
        id.is_some()
    }

    pub(super) fn take_float_histogram(&mut self, sample: RefFloatHistogram) -> bool {
        let id = self.take(sample.reference);
        let sample = id.map(|id| RefFloatHistogram {
            reference: u64::from(id),
            ..sample
        });
        self.batch.float_histograms.extend(sample);
        id.is_some()
    }

    fn add_exemplars(&mut self) {
        if self.batch.exemplars.is_empty() {
            return;
        }
        let metrics = &self.head.metrics;
        let mut ring = self.head.exemplars.lock();
        for (_, series, exemplar) in self.batch.exemplars.drain(..) {
            match ring.add(&series, exemplar) {
                Ok(()) => metrics.exemplars_appended.inc(),
                Err(AppendError::OutOfOrderExemplar) => metrics.exemplars_out_of_order.inc(),
                Err(_) => {}
            }
        }
        let (len, _) = ring.size();
        metrics.exemplars_in_storage.set(len as f64);
        metrics.exemplar_series.set(ring.series() as f64);
        if let Some(last) = ring.last_ms() {
            metrics.exemplar_last_seconds.set(last as f64 / 1000.0);
        }
    }
}

/// Keeps a series from being collected; says whether the log still lacks its labels.
#[inline]
fn pin(shard: &mut Shard, id: u32) -> bool {
    match shard.get_mut(id) {
        Some(series) => {
            series.pin();
            !series.is_logged()
        }
        None => false,
    }
}

/// Lets a series go again.
#[inline]
fn unpin(shard: &mut Shard, id: u32) {
    if let Some(series) = shard.get_mut(id) {
        series.unpin();
    }
}

fn closed() -> AppendError {
    AppendError::Unavailable("the database is closed".to_owned())
}

impl Appender for HeadAppender {
    fn announce(&mut self, references: &[SeriesRef]) {
        let mut ids = references.iter().filter_map(|r| Head::known(*r)).peekable();
        while let Some(first) = ids.next() {
            let place = shard_of(first);
            let shard = self.head.shards[place].lock();
            shard.fetch(first);
            while let Some(id) = ids.next_if(|id| shard_of(*id) == place) {
                shard.fetch(id);
            }
        }
    }

    fn append(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        if model::is_stale(value) && !self.early {
            // A histogram series ends with a stale histogram.
            let id = Head::known(reference)
                .filter(|id| self.head.shards[shard_of(*id)].lock().get(*id).is_some())
                .or_else(|| self.head.find(labels));
            let kind = id.and_then(|id| {
                let shard = self.head.shards[shard_of(id)].lock();
                shard.get(id).and_then(|series| shard.stale_as(series))
            });
            match kind {
                Some(Encoding::Histogram) => {
                    let histogram = Histogram {
                        sum: value,
                        ..Histogram::default()
                    };
                    return self.append_histogram(reference, labels, start_ms, t_ms, &histogram);
                }
                Some(Encoding::FloatHistogram) => {
                    let histogram = FloatHistogram {
                        sum: value,
                        ..FloatHistogram::default()
                    };
                    return self
                        .append_float_histogram(reference, labels, start_ms, t_ms, &histogram);
                }
                _ => {}
            }
        }
        let id = self.check_value(reference, labels, t_ms, Value::Float(value))?;
        self.batch.samples.push(RefSample {
            reference: u64::from(id),
            start_ms,
            t_ms,
            value,
        });
        Ok(u64::from(id))
    }

    fn append_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        histogram
            .validate()
            .map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        let id = self.check_value(reference, labels, t_ms, Value::Histogram(histogram))?;
        self.batch.histograms.push(RefHistogram {
            reference: u64::from(id),
            start_ms,
            t_ms,
            histogram: histogram.clone(),
        });
        Ok(u64::from(id))
    }

    fn append_float_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &FloatHistogram,
    ) -> Result<SeriesRef, AppendError> {
        histogram
            .validate()
            .map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        let id = self.check_value(reference, labels, t_ms, Value::FloatHistogram(histogram))?;
        self.batch.float_histograms.push(RefFloatHistogram {
            reference: u64::from(id),
            start_ms,
            t_ms,
            histogram: histogram.clone(),
        });
        Ok(u64::from(id))
    }

    fn append_exemplar(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        exemplar: &Exemplar,
    ) -> Result<SeriesRef, AppendError> {
        let head = &self.head;
        if !head.exemplars.lock().is_enabled() {
            return Ok(0);
        }
        let series = Head::known(reference)
            .and_then(|id| Some((id, head.labels(id)?)))
            .or_else(|| head.find(labels).map(|id| (id, labels.clone())));
        let Some((id, series)) = series else {
            return Err(AppendError::InvalidLabels(format!(
                "unknown HeadSeriesRef when trying to add exemplar: {reference}"
            )));
        };
        let mut exemplar = exemplar.clone();
        exemplar.timestamp_ms.get_or_insert(self.last_t_ms);
        match head.exemplars.lock().check(&series, &exemplar) {
            Ok(()) => {}
            // Not kept, and no reason to complain.
            Err(AppendError::DuplicateExemplar) => return Ok(0),
            Err(error) => {
                if error == AppendError::OutOfOrderExemplar {
                    head.metrics.exemplars_out_of_order.inc();
                }
                return Err(error);
            }
        }
        self.batch.exemplars.push((id, series, exemplar));
        Ok(u64::from(id))
    }

    fn update_metadata(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        metadata: &Metadata,
    ) -> Result<SeriesRef, AppendError> {
        let head = &self.head;
        let id = Head::known(reference)
            .filter(|id| head.shards[shard_of(*id)].lock().get(*id).is_some())
            .or_else(|| head.find(labels));
        let Some(id) = id else {
            return Err(AppendError::InvalidLabels(format!(
                "unknown series when trying to add metadata with HeadSeriesRef: {reference} and labels: {labels}"
            )));
        };
        let shard = head.shards[shard_of(id)].lock();
        let known = shard
            .get(id)
            .and_then(|series| series.extra()?.metadata.as_ref());
        if known != Some(metadata) {
            self.batch.metadata.push((id, metadata.clone()));
        }
        Ok(u64::from(id))
    }

    fn commit(mut self: Box<Self>) -> Result<(), AppendError> {
        if self.head.closed.load(Ordering::Acquire) {
            self.finish(true);
            return Err(closed());
        }
        if self.early {
            let head = Arc::clone(&self.head);
            let replaying = head.replaying.read();
            if *replaying {
                // Its turn comes when what is older has been read.
                let result = self.log();
                if result.is_ok() {
                    self.mark_logged();
                }
                self.finish(true);
                return result;
            }
            self.bounds = head.bounds();
        }
        let head = Arc::clone(&self.head);
        let _committing = head.committing.read();
        if let Err(error) = self.log() {
            self.finish(true);
            return Err(error);
        }
        self.add_exemplars();
        self.settle()
    }

    fn rollback(mut self: Box<Self>) {
        self.finish(true);
    }
}

impl Drop for HeadAppender {
    fn drop(&mut self) {
        self.finish(true);
    }
}
