//! Decoding requests and appending what they hold (prometheus/prometheus
//! `storage/remote/write_handler.go` for what is accepted and refused).

use std::sync::Arc;

use exposition::{TYPE_LABEL, UNIT_LABEL};
use model::names::ValidationScheme;
use model::{Exemplar, Labels, Metadata, MetricType};
use proto::convert::{AnyHistogram, histogram_from_prometheus};
use proto::wire::{Fields, WireError};
use storage::{AppendError, Appendable, Appender, SeriesRef};

use crate::series_cache::{Cursor, SeriesCache, key};

/// What a request brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
    /// Samples that were refused, and the first reason: a client must not send them again.
    pub refused: u64,
    pub first_refusal: Option<String>,
    /// Samples and histograms of series whose labels are not valid; they are not among those refused, but their
    /// series is.
    pub invalid_labels: u64,
    /// Samples and histograms that came without metadata.
    pub without_metadata: u64,
}

impl Written {
    fn refuse(&mut self, reason: impl std::fmt::Display) {
        self.refused += 1;
        self.first_refusal.get_or_insert_with(|| reason.to_string());
    }
}

/// Why nothing of a request was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The body is not snappy-compressed.
    #[error("snappy: corrupt input")]
    Snappy,
    /// The body is no request.
    #[error("{0}")]
    Decode(String),
    /// The body says it is larger than allowed once decompressed.
    #[error("the request is {0} bytes decompressed, more than the {1} that are allowed")]
    TooLarge(usize, usize),
    /// The store could not take it: to be sent again.
    #[error(transparent)]
    Store(AppendError),
}

impl From<WireError> for WriteError {
    fn from(error: WireError) -> WriteError {
        WriteError::Decode(error.to_string())
    }
}

/// The receiving end of remote write; keeps what it learnt of series between requests.
pub struct Receiver {
    cache: SeriesCache,
    max_bytes: usize,
    /// The current time in ms; without it any time is taken.
    clock: Option<Clock>,
    type_and_unit_labels: bool,
}

/// Tells the current time in ms.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Samples further ahead of our clock are refused: behind one of them all others would be too old.
pub(crate) const MAX_AHEAD_MS: i64 = 10 * 60_000;
/// Why.
pub(crate) const TOO_FAR_AHEAD: &str = "out of bounds: timestamp is too far in the future";

/// The labels that `type-and-unit-labels` adds.
pub(crate) fn type_and_unit(metadata: &Metadata) -> impl Iterator<Item = (&'static str, &str)> {
    let kind = metadata.metric_type;
    let kind = (kind != MetricType::Unknown).then(|| (TYPE_LABEL, kind.as_str()));
    let unit = (!metadata.unit.is_empty()).then_some((UNIT_LABEL, &*metadata.unit));
    kind.into_iter().chain(unit)
}

impl Receiver {
    /// A receiver that takes requests of up to `max_bytes` after decompression.
    pub fn new(max_bytes: usize) -> Receiver {
        Receiver {
            cache: SeriesCache::new(),
            max_bytes,
            clock: None,
            type_and_unit_labels: false,
        }
    }

    /// Refuses samples that are more than ten minutes ahead of a clock.
    pub fn with_clock(mut self, clock: Clock) -> Receiver {
        self.clock = Some(clock);
        self
    }

    /// Puts types and units that come with series (remote write 2.0) into their labels.
    pub fn with_type_and_unit_labels(mut self, on: bool) -> Receiver {
        self.type_and_unit_labels = on;
        self
    }

    /// The labels that a series is stored under.
    fn labelled(&self, labels: Labels, metadata: &Metadata) -> Labels {
        if !self.type_and_unit_labels || type_and_unit(metadata).next().is_none() {
            return labels;
        }
        // Those that came are about nothing the metadata say.
        let mut builder = labels.builder();
        builder.del(TYPE_LABEL).del(UNIT_LABEL);
        for (name, value) in type_and_unit(metadata) {
            builder.set(name, value);
        }
        builder.build()
    }

    fn latest_ms(&self) -> i64 {
        let now = self.clock.as_ref().map(|clock| clock());
        now.map_or(i64::MAX, |now| now.saturating_add(MAX_AHEAD_MS))
    }

    /// Undoes snappy's block format.
    ///
    /// # Errors
    /// [`WriteError::Snappy`], [`WriteError::TooLarge`].
    pub fn decompress(&self, body: &[u8]) -> Result<Vec<u8>, WriteError> {
        let len = snap::raw::decompress_len(body).map_err(|_| WriteError::Snappy)?;
        if len > self.max_bytes {
            return Err(WriteError::TooLarge(len, self.max_bytes));
        }
        snap::raw::Decoder::new()
            .decompress_vec(body)
            .map_err(|_| WriteError::Snappy)
    }

    /// Appends a `prometheus.WriteRequest` (remote write 1.0, decompressed), or the body of Thanos'
    /// WriteableStore, which lies alike. Samples that the store refuses for good are counted and
    /// left out; the others are stored.
    ///
    /// # Errors
    /// [`WriteError::Decode`], and [`WriteError::Store`] when nothing was stored.
    pub fn write_v1(&self, request: &[u8], to: &dyn Appendable) -> Result<Written, WriteError> {
        let mut appender = to.appender();
        let mut written = Written::default();
        let latest_ms = self.latest_ms();
        let mut fields = Fields::new(request);
        let mut cursor = Cursor::default();
        let mut block = Block::default();
        // A block at a time: what is to be looked up for its series is then waited for together.
        while block.fill(&mut fields)? {
            self.cache.find(&block.keys, &mut cursor, &mut block.known);
            appender.announce(&block.known);
            for i in 0..block.series.len() {
                let target = self.series(
                    &block.series[i],
                    block.known[i],
                    latest_ms,
                    &mut *appender,
                    &mut written,
                )?;
                if target.reference != 0 && target.reference != block.known[i] {
                    block.new.push((block.keys[i], target.reference));
                }
            }
            if !block.new.is_empty() {
                self.cache.put(&block.new, to.series_count());
            }
        }
        // This version has none.
        written.without_metadata = written.samples + written.histograms;
        appender.commit().map_err(WriteError::Store)?;
        Ok(written)
    }

    /// Appends what a series of a request has; its reference is 0 if it was refused.
    fn series<'a>(
        &self,
        series: &SentSeries<'a>,
        known: SeriesRef,
        latest_ms: i64,
        appender: &mut dyn Appender,
        written: &mut Written,
    ) -> Result<Target<'a>, WriteError> {
        let mut target = Target {
            label_bytes: series.labels,
            reference: known,
            labels: None,
        };
        if known == 0 {
            match labels(series.labels)? {
                Ok(labels) => target.labels = Some(labels),
                Err(reason) => {
                    written.refuse(reason);
                    written.invalid_labels += series.points;
                    return Ok(target);
                }
            }
        }
        let mut fields = Fields::new(series.points_bytes);
        while let Some((number, value)) = fields.next_field()? {
            match number {
                2 => {
                    let (t_ms, v) = sample(value.bytes())?;
                    if t_ms > latest_ms {
                        written.refuse(TOO_FAR_AHEAD);
                        continue;
                    }
                    let done = target.append(|r, labels| appender.append(r, labels, 0, t_ms, v));
                    match done {
                        Ok(()) => written.samples += 1,
                        Err(error) => refuse_or_fail(error, written)?,
                    }
                }
                3 => {
                    let exemplar: proto::prometheus::Exemplar = decode(value.bytes())?;
                    let exemplar = Exemplar {
                        labels: proto::convert::labels_from_prometheus(&exemplar.labels),
                        value: exemplar.value,
                        timestamp_ms: (exemplar.timestamp != 0).then_some(exemplar.timestamp),
                    };
                    let done =
                        target.append(|r, labels| appender.append_exemplar(r, labels, &exemplar));
                    // As upstream: exemplars that come late are no failure of the request.
                    if done.is_ok() {
                        written.exemplars += 1;
                    }
                }
                4 => {
                    let histogram: proto::prometheus::Histogram = decode(value.bytes())?;
                    let (t_ms, histogram) = histogram_from_prometheus(&histogram);
                    if t_ms > latest_ms {
                        written.refuse(TOO_FAR_AHEAD);
                        continue;
                    }
                    let done = target.append(|r, labels| match &histogram {
                        AnyHistogram::Integer(h) => {
                            appender.append_histogram(r, labels, 0, t_ms, h)
                        }
                        AnyHistogram::Float(h) => {
                            appender.append_float_histogram(r, labels, 0, t_ms, h)
                        }
                    });
                    match done {
                        Ok(()) => written.histograms += 1,
                        Err(error) => refuse_or_fail(error, written)?,
                    }
                }
                _ => {}
            }
        }
        Ok(target)
    }

    /// Appends an `io.prometheus.write.v2.Request` (decompressed).
    ///
    /// # Errors
    /// [`WriteError::Decode`], and [`WriteError::Store`] when nothing was stored.
    pub fn write_v2(&self, request: &[u8], to: &dyn Appendable) -> Result<Written, WriteError> {
        let request: proto::write_v2::Request = decode(request)?;
        let mut appender = to.appender();
        let mut written = Written::default();
        let latest_ms = self.latest_ms();
        for series in &request.timeseries {
            let metadata = metadata_of(&request.symbols, series);
            let labels = symbolized(&request.symbols, &series.labels_refs);
            match labels.map(|labels| self.labelled(labels, &metadata)) {
                Ok(labels) => write_v2_series(
                    &request,
                    series,
                    (&labels, &metadata),
                    latest_ms,
                    &mut *appender,
                    &mut written,
                )?,
                Err(reason) => {
                    written.refuse(reason);
                    written.invalid_labels +=
                        (series.samples.len() + series.histograms.len()) as u64;
                }
            }
        }
        appender.commit().map_err(WriteError::Store)?;
        Ok(written)
    }
}

/// What a series of a request says of its metric.
fn metadata_of(symbols: &[String], series: &proto::write_v2::TimeSeries) -> Metadata {
    let symbol = |index: u32| symbols.get(index as usize).cloned().unwrap_or_default();
    let found = series.metadata.as_ref();
    found.map_or_else(Metadata::default, |found| Metadata {
        metric_type: proto::convert::metric_type(found.r#type),
        unit: symbol(found.unit_ref),
        help: symbol(found.help_ref),
    })
}

fn write_v2_series(
    request: &proto::write_v2::Request,
    series: &proto::write_v2::TimeSeries,
    (labels, metadata): (&Labels, &Metadata),
    latest_ms: i64,
    appender: &mut dyn Appender,
    written: &mut Written,
) -> Result<(), WriteError> {
    let mut reference = 0;
    let before = written.samples + written.histograms;
    for sample in &series.samples {
        if sample.timestamp > latest_ms {
            written.refuse(TOO_FAR_AHEAD);
            continue;
        }
        let start_ms = first_known(sample.start_timestamp, series.created_timestamp);
        match appender.append(reference, labels, start_ms, sample.timestamp, sample.value) {
            Ok(r) => (reference, written.samples) = (r, written.samples + 1),
            Err(e) => refuse_or_fail(e, written)?,
        }
    }
    for histogram in &series.histograms {
        let start_ms = first_known(histogram.start_timestamp, series.created_timestamp);
        // The two messages lie alike up to the fields that only the newer one has.
        let old: proto::prometheus::Histogram = decode(&prost::Message::encode_to_vec(histogram))?;
        let (t_ms, any) = histogram_from_prometheus(&old);
        if t_ms > latest_ms {
            written.refuse(TOO_FAR_AHEAD);
            continue;
        }
        let done = match &any {
            AnyHistogram::Integer(h) => {
                appender.append_histogram(reference, labels, start_ms, t_ms, h)
            }
            AnyHistogram::Float(h) => {
                appender.append_float_histogram(reference, labels, start_ms, t_ms, h)
            }
        };
        match done {
            Ok(r) => (reference, written.histograms) = (r, written.histograms + 1),
            Err(e) => refuse_or_fail(e, written)?,
        }
    }
    for exemplar in &series.exemplars {
        let exemplar_labels = match symbolized_pairs(&request.symbols, &exemplar.labels_refs) {
            Ok(labels) => labels,
            Err(reason) => {
                written.refuse(reason);
                continue;
            }
        };
        let exemplar = Exemplar {
            labels: exemplar_labels,
            value: exemplar.value,
            timestamp_ms: (exemplar.timestamp != 0).then_some(exemplar.timestamp),
        };
        if appender
            .append_exemplar(reference, labels, &exemplar)
            .is_ok()
        {
            written.exemplars += 1;
        }
    }
    if *metadata == Metadata::default() {
        written.without_metadata += written.samples + written.histograms - before;
    } else if reference != 0 {
        // Metadata is a comment on samples: failing to note it loses none.
        let _ = appender.update_metadata(reference, labels, metadata);
    }
    Ok(())
}

fn first_known(a: i64, b: i64) -> i64 {
    if a != 0 { a } else { b }
}

/// A series of a request as it lies there.
struct SentSeries<'a> {
    labels: &'a [u8],
    /// Its samples, histograms and exemplars; labels may be among them.
    points_bytes: &'a [u8],
    /// How many samples and histograms.
    points: u64,
}

impl<'a> SentSeries<'a> {
    fn read(series: &'a [u8]) -> Result<SentSeries<'a>, WireError> {
        // Labels come first in what every sender writes; then their bytes are one run.
        let mut fields = Fields::new(series);
        let (mut labels_end, mut points, mut first) = (0, 0, true);
        let mut labels_first = true;
        while let Some((number, _)) = fields.next_field()? {
            match number {
                1 => {
                    labels_end = fields.position();
                    labels_first &= first;
                }
                2 | 4 => points += 1,
                _ => {}
            }
            first &= number == 1;
        }
        let points_from = if labels_first { labels_end } else { 0 };
        Ok(SentSeries {
            labels: &series[..labels_end],
            points_bytes: &series[points_from..],
            points,
        })
    }
}

/// Some series of a request, that follow each other.
#[derive(Default)]
struct Block<'a> {
    series: Vec<SentSeries<'a>>,
    keys: Vec<u128>,
    /// What the cache knows of them, 0 where it does not.
    known: Vec<SeriesRef>,
    /// What it did not know.
    new: Vec<(u128, SeriesRef)>,
}

impl<'a> Block<'a> {
    /// What the store has of so many series fits into the processor's nearest caches.
    const SERIES: usize = 64;

    /// Reads the next series; says whether there were any.
    fn fill(&mut self, fields: &mut Fields<'a>) -> Result<bool, WireError> {
        self.series.clear();
        self.keys.clear();
        self.new.clear();
        while self.series.len() < Block::SERIES
            && let Some((number, value)) = fields.next_field()?
        {
            if number == 1 {
                let series = SentSeries::read(value.bytes())?;
                self.keys.push(key(series.labels));
                self.series.push(series);
            }
        }
        Ok(!self.series.is_empty())
    }
}

/// A series that is being appended to: known by reference, its labels decoded only when asked for.
struct Target<'a> {
    label_bytes: &'a [u8],
    reference: SeriesRef,
    labels: Option<Labels>,
}

impl Target<'_> {
    /// Appends by reference; where the store has forgotten the series, once more with its labels.
    fn append(
        &mut self,
        mut append: impl FnMut(SeriesRef, &Labels) -> Result<SeriesRef, AppendError>,
    ) -> Result<(), AppendError> {
        if let Some(labels) = &self.labels {
            self.reference = append(self.reference, labels)?;
            return Ok(());
        }
        match append(self.reference, &Labels::empty()) {
            Ok(reference) => self.reference = reference,
            Err(AppendError::InvalidLabels(_)) => {
                let decoded = labels(self.label_bytes).ok().and_then(Result::ok);
                let decoded = decoded.ok_or_else(|| {
                    AppendError::InvalidLabels("labels that were valid before are not now".into())
                })?;
                self.reference = append(0, &decoded)?;
                self.labels = Some(decoded);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn refuse_or_fail(error: AppendError, written: &mut Written) -> Result<(), WriteError> {
    match error {
        AppendError::Unavailable(_) | AppendError::Io(_) => Err(WriteError::Store(error)),
        error => {
            written.refuse(error);
            Ok(())
        }
    }
}

fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, WriteError> {
    M::decode(bytes).map_err(|e| WriteError::Decode(e.to_string()))
}

fn sample(bytes: &[u8]) -> Result<(i64, f64), WireError> {
    let mut fields = Fields::new(bytes);
    let (mut t_ms, mut v) = (0, 0.0);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => v = value.double(),
            2 => t_ms = value.int(),
            _ => {}
        }
    }
    Ok((t_ms, v))
}

/// The labels of a run of `Label` fields; the inner error is why they are refused.
fn labels(bytes: &[u8]) -> Result<Result<Labels, String>, WriteError> {
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(16);
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next_field()? {
        if number != 1 {
            continue;
        }
        let (mut name, mut text) = ("", "");
        let mut parts = Fields::new(value.bytes());
        while let Some((number, value)) = parts.next_field()? {
            let slice = std::str::from_utf8(value.bytes());
            let slice =
                slice.map_err(|_| WriteError::Decode("proto: label is not UTF-8".into()))?;
            match number {
                1 => name = slice,
                2 => text = slice,
                _ => {}
            }
        }
        pairs.push((name, text));
    }
    Ok(checked(&pairs))
}

fn checked(pairs: &[(&str, &str)]) -> Result<Labels, String> {
    let labels = Labels::from_pairs(pairs.iter().copied());
    let given = pairs.iter().filter(|(_, value)| !value.is_empty()).count();
    if given != labels.len() {
        return Err(format!(
            "invalid labels for series, labels {labels}: duplicate label name"
        ));
    }
    let valid = |(name, _)| ValidationScheme::Utf8.is_label_name(name);
    if labels.metric_name().is_empty() || !labels.iter().all(valid) {
        return Err(format!("invalid metric name or labels, got {labels}"));
    }
    Ok(labels)
}

fn symbolized_pairs(symbols: &[String], refs: &[u32]) -> Result<Labels, String> {
    let (pairs, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("invalid labelRefs length {}", refs.len()));
    }
    let symbol = |index: u32| {
        symbols
            .get(index as usize)
            .map(String::as_str)
            .ok_or_else(|| {
                format!(
                    "labelRefs {index} (name) = {index} outside of symbols table (size {})",
                    symbols.len()
                )
            })
    };
    let pairs = pairs.iter().map(|[n, v]| Ok((symbol(*n)?, symbol(*v)?)));
    Ok(Labels::from_pairs(
        pairs.collect::<Result<Vec<_>, String>>()?,
    ))
}

fn symbolized(symbols: &[String], refs: &[u32]) -> Result<Labels, String> {
    let labels = symbolized_pairs(symbols, refs)?;
    let pairs: Vec<(&str, &str)> = labels.iter().collect();
    checked(&pairs)
}

#[cfg(test)]
mod tests;
