//! From a page to samples: what every line becomes, and what is wrong with it
//! (prometheus/prometheus `scrape/scrape.go`, `scrapeLoopAppender.append`).

use exposition::{
    Entry, Known as KnownLines, LabelBuf, MediaType, ParseOptions, ParsedHistogram, Parser,
};
use model::labels::METRIC_NAME;
use model::names::ValidationScheme;
use model::{Exemplar, Labels, Metadata, MetricType, STALE_NAN};
use relabel::Rule;
use storage::{AppendError, Appender, SeriesRef};

use crate::cache::{Known, SeriesCache, Slot};
use crate::metadata::{MetadataPage, MetadataStore, Part};
use crate::metrics::Metrics;

/// Samples may lie so far ahead of our clock.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// What a job's configuration says about its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRules {
    pub honor_labels: bool,
    pub honor_timestamps: bool,
    pub track_timestamps_staleness: bool,
    pub metric_relabel: Vec<Rule>,
    pub scheme: ValidationScheme,
    /// 0 for none, as the other limits.
    pub sample_limit: u64,
    pub label_limit: u64,
    pub label_name_length_limit: u64,
    pub label_value_length_limit: u64,
    pub bucket_limit: u64,
    /// Native histograms of a finer schema are made coarser.
    pub max_schema: i32,
    /// Start timestamps go to the store.
    pub start_timestamps: bool,
    /// Metadata go to the store.
    pub store_metadata: bool,
    pub type_and_unit_labels: bool,
}

/// Where samples come from and what watches them.
pub struct Source<'a> {
    pub rules: &'a SampleRules,
    /// The target's own labels.
    pub target: &'a Labels,
    pub metadata: &'a MetadataStore,
    pub metrics: &'a Metrics,
    pub options: ParseOptions,
}

/// What a page came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples on the page.
    pub total: usize,
    /// Those left after relabelling.
    pub added: usize,
    /// Those of series that were not there before.
    pub new_series: usize,
}

/// Appends the samples of a page, and stale markers for series that are not on it any more. `t_ms` is
/// the time of the scrape, `now_ms` that of the clock.
///
/// # Errors
/// Upstream's text. Then the caller rolls the batch back and calls [`append_failure`].
pub fn append_page(
    cache: &mut SeriesCache,
    source: &Source<'_>,
    appender: &mut dyn Appender,
    (page, media_type): (&[u8], MediaType),
    (t_ms, now_ms): (i64, i64),
) -> (Counts, Result<(), String>) {
    let mut page_append = PageAppend {
        cache,
        source,
        appender,
        t_ms,
        max_ms: now_ms.saturating_add(MAX_AHEAD_MS),
        counts: Counts::default(),
        samples: 0,
        labels: LabelBuf::new(),
        sample_limit_hit: false,
        bucket_limit_hit: false,
        refused: Refused::default(),
        metadata: source.metadata.page(media_type),
        family: None,
    };
    let mut result = page_append.read(page, media_type);
    let PageAppend {
        counts,
        refused,
        metadata,
        sample_limit_hit,
        bucket_limit_hit,
        ..
    } = page_append;
    refused.log();
    if sample_limit_hit {
        source.metrics.exceeded_sample_limit.inc();
        result = result.and(Err("sample limit exceeded".to_owned()));
    }
    if bucket_limit_hit {
        source.metrics.exceeded_bucket_limit.inc();
        result = result.and(Err("histogram bucket limit exceeded".to_owned()));
    }
    let result = result.and_then(|()| append_vanished(cache.vanished(), appender, t_ms));
    metadata.end(result.is_ok());
    if result.is_ok() {
        cache.end_scrape(true);
    }
    (counts, result)
}

/// Appends stale markers for all series of the last good scrape: there is no page, or none that holds.
///
/// # Errors
/// What the store says.
pub fn append_failure(
    cache: &mut SeriesCache,
    metrics: &Metrics,
    appender: &mut dyn Appender,
    t_ms: i64,
) -> Result<(), String> {
    let gone = cache.all_vanished();
    if cache.end_scrape(false) {
        metrics.cache_flush_forced.inc();
    }
    append_vanished(gone, appender, t_ms)
}

/// Appends stale markers.
pub(crate) fn append_vanished(
    gone: Vec<SeriesRef>,
    appender: &mut dyn Appender,
    t_ms: i64,
) -> Result<(), String> {
    let none = Labels::empty();
    for reference in gone {
        match appender.append(reference, &none, 0, t_ms, STALE_NAN) {
            // Out of order: the target is back under another loop. No such series: the store has
            // forgotten it, and needs no marker.
            Ok(_)
            | Err(
                AppendError::OutOfOrder
                | AppendError::Duplicate(_)
                | AppendError::TooOld
                | AppendError::OutOfBounds
                | AppendError::InvalidLabels(_),
            ) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Samples that the store did not take, which fails no scrape.
#[derive(Debug, Default)]
struct Refused {
    out_of_order: usize,
    duplicates: usize,
    out_of_bounds: usize,
    exemplars_out_of_order: usize,
}

impl Refused {
    fn log(&self) {
        for (count, text) in [
            (self.out_of_order, "Error on ingesting out-of-order samples"),
            (
                self.duplicates,
                "Error on ingesting samples with different value but same timestamp",
            ),
            (
                self.out_of_bounds,
                "Error on ingesting samples that are too old or are too far into the future",
            ),
            (
                self.exemplars_out_of_order,
                "Error on ingesting out-of-order exemplars",
            ),
        ] {
            if count > 0 {
                tracing::warn!(num_dropped = count, "{text}");
            }
        }
    }
}

struct PageAppend<'a, 'b> {
    cache: &'a mut SeriesCache,
    source: &'a Source<'b>,
    appender: &'a mut dyn Appender,
    t_ms: i64,
    max_ms: i64,
    counts: Counts,
    /// Samples that count towards the sample limit.
    samples: u64,
    labels: LabelBuf,
    sample_limit_hit: bool,
    bucket_limit_hit: bool,
    refused: Refused,
    metadata: MetadataPage<'b>,
    /// The family that the last metadata were of, where they are stored.
    family: Option<String>,
}

/// What is known of the line that is being read.
struct KnownLine<'a, 'b> {
    cache: &'a mut SeriesCache,
    metadata: &'a mut MetadataPage<'b>,
    /// Whether metadata that are known need not be read.
    skip: bool,
    slot: Option<Slot>,
}

impl KnownLines for KnownLine<'_, '_> {
    #[inline]
    fn series(&mut self, series: &[u8]) -> bool {
        self.slot = self.cache.find(series);
        self.slot.is_some()
    }

    #[inline]
    fn metadata(&mut self, line: &[u8]) -> bool {
        self.skip && self.metadata.is_known(line)
    }
}

/// What to do with a sample that could not be appended.
enum Problem {
    /// Counted; the page goes on.
    Counted,
    /// The scrape fails.
    Fatal(String),
}

impl PageAppend<'_, '_> {
    fn read(&mut self, page: &[u8], media_type: MediaType) -> Result<(), String> {
        let mut parser = Parser::new(page, media_type, self.source.options);
        loop {
            let mut known = KnownLine {
                cache: &mut *self.cache,
                metadata: &mut self.metadata,
                skip: !self.source.rules.store_metadata,
                slot: None,
            };
            let entry = parser.next(&mut known);
            let slot = known.slot;
            match entry.map_err(|error| error.to_string())? {
                None => return Ok(()),
                Some(Entry::Series) => self.sample(&mut parser, slot, false)?,
                Some(Entry::Histogram) => self.sample(&mut parser, slot, true)?,
                Some(Entry::Comment) => self.metadata.note_comment(parser.metadata_line()),
                Some(entry) => self.note_metadata(&parser, entry),
            }
        }
    }

    fn note_metadata(&mut self, parser: &Parser<'_>, entry: Entry) {
        let (family, line) = (parser.metadata_name(), parser.metadata_line());
        let metadata = &mut self.metadata;
        match entry {
            Entry::Type => metadata.note(line, &family, Part::Type(parser.kind())),
            Entry::Help => metadata.note(line, &family, Part::Help(&parser.help())),
            _ => metadata.note(line, &family, Part::Unit(&parser.unit())),
        }
        if self.source.rules.store_metadata {
            self.family = Some(family.into_owned());
        }
    }

    #[inline]
    fn sample(
        &mut self,
        parser: &mut Parser<'_>,
        slot: Option<Slot>,
        is_histogram: bool,
    ) -> Result<(), String> {
        self.counts.total += 1;
        let rules = self.source.rules;
        let timestamp = parser.timestamp_ms().filter(|_| rules.honor_timestamps);
        let track = timestamp.is_none() || rules.track_timestamps_staleness;
        let Some(slot) = slot else {
            return self.new_series(parser, timestamp, track, is_histogram);
        };
        let (slot, Known::Series { reference, again }) = self.cache.see(slot) else {
            // Relabelling drops it.
            return Ok(());
        };
        if let Some(references) = self.cache.coming(slot) {
            self.appender.announce(&references);
        }
        let result = if again && timestamp.is_none() {
            Err(self.refuse(AppendError::Duplicate(None)))
        } else {
            self.append_known(parser, slot, reference, timestamp, is_histogram)
        };
        match result {
            Ok(reference) => {
                if track {
                    self.cache.track(slot);
                }
                self.counts.added += 1;
                self.after_sample(parser, reference, None, timestamp, is_histogram);
            }
            Err(Problem::Counted) => self.counts.added += 1,
            Err(Problem::Fatal(error)) => return Err(error),
        }
        Ok(())
    }

    fn append_known(
        &mut self,
        parser: &mut Parser<'_>,
        slot: Slot,
        reference: SeriesRef,
        timestamp: Option<i64>,
        is_histogram: bool,
    ) -> Result<SeriesRef, Problem> {
        let none = Labels::empty();
        match self.append(parser, reference, &none, timestamp, is_histogram) {
            Ok(now) if now == reference => Ok(now),
            Ok(now) => {
                self.cache.rename(slot, now);
                Ok(now)
            }
            // The store has forgotten the series: it gets the labels again.
            Err(AppendError::InvalidLabels(_)) => {
                let labels = match self.final_labels(parser) {
                    Ok(Some(labels)) => labels,
                    Ok(None) => return Err(Problem::Counted),
                    Err(error) => return Err(Problem::Fatal(error)),
                };
                self.samples = self.samples.saturating_sub(1);
                match self.append(parser, 0, &labels, timestamp, is_histogram) {
                    Ok(now) => {
                        self.cache.rename(slot, now);
                        Ok(now)
                    }
                    Err(error) => Err(self.refuse(error)),
                }
            }
            Err(error) => Err(self.refuse(error)),
        }
    }

    fn new_series(
        &mut self,
        parser: &mut Parser<'_>,
        timestamp: Option<i64>,
        track: bool,
        is_histogram: bool,
    ) -> Result<(), String> {
        let Some(labels) = self.final_labels(parser)? else {
            self.cache.add_dropped(parser.series());
            return Ok(());
        };
        match self.append(parser, 0, &labels, timestamp, is_histogram) {
            Ok(reference) => {
                if reference != 0 {
                    self.cache.add(parser.series(), reference, track);
                }
                self.counts.added += 1;
                if !self.sample_limit_hit && !self.bucket_limit_hit {
                    self.counts.new_series += 1;
                }
                self.after_sample(parser, reference, Some(&labels), timestamp, is_histogram);
                Ok(())
            }
            Err(error) => {
                self.counts.added += 1;
                match self.refuse(error) {
                    Problem::Counted => Ok(()),
                    Problem::Fatal(error) => Err(error),
                }
            }
        }
    }

    /// The labels a sample is stored under; `None` if relabelling drops it.
    fn final_labels(&mut self, parser: &mut Parser<'_>) -> Result<Option<Labels>, String> {
        parser.labels(&mut self.labels);
        if let Some(name) = self.labels.duplicate() {
            let name = golang::strconv::quote(name);
            return Err(format!("label name {name} is not unique: invalid sample"));
        }
        let rules = self.source.rules;
        let Some(labels) = mutate(&self.labels, self.source.target, rules) else {
            return Ok(None);
        };
        let Some(name) = labels.find(METRIC_NAME) else {
            return Err("missing metric name (__name__ label)".to_owned());
        };
        let valid = rules.scheme.is_metric_name(name)
            && labels
                .iter()
                .all(|(name, _)| name == METRIC_NAME || rules.scheme.is_label_name(name));
        if !valid {
            return Err(format!("invalid metric name or label names: {labels}"));
        }
        if let Err(error) = check_limits(&labels, rules) {
            self.source.metrics.exceeded_label_limits.inc();
            return Err(error);
        }
        Ok(Some(labels))
    }

    #[inline]
    fn append(
        &mut self,
        parser: &mut Parser<'_>,
        reference: SeriesRef,
        labels: &Labels,
        timestamp: Option<i64>,
        is_histogram: bool,
    ) -> Result<SeriesRef, AppendError> {
        let rules = self.source.rules;
        let t_ms = timestamp.unwrap_or(self.t_ms);
        let start_ms = if rules.start_timestamps {
            parser.start_ms()
        } else {
            0
        };
        if is_histogram {
            return self.append_histogram(parser, (reference, labels), start_ms, t_ms);
        }
        let value = parser.value();
        if rules.sample_limit > 0 && !model::is_stale(value) {
            self.samples += 1;
            if self.samples > rules.sample_limit {
                self.sample_limit_hit = true;
                return Err(LIMIT);
            }
        }
        if t_ms > self.max_ms {
            return Err(AppendError::OutOfBounds);
        }
        self.appender
            .append(reference, labels, start_ms, t_ms, value)
    }

    fn append_histogram(
        &mut self,
        parser: &mut Parser<'_>,
        (reference, labels): (SeriesRef, &Labels),
        start_ms: i64,
        t_ms: i64,
    ) -> Result<SeriesRef, AppendError> {
        let rules = self.source.rules;
        let Some(mut histogram) = parser.histogram() else {
            return Err(AppendError::InvalidHistogram("no histogram".to_owned()));
        };
        if !fit_schema(&mut histogram, rules) {
            self.bucket_limit_hit = true;
            return Err(LIMIT);
        }
        if rules.sample_limit > 0 {
            self.samples += 1;
            if self.samples > rules.sample_limit {
                self.sample_limit_hit = true;
                return Err(LIMIT);
            }
        }
        if t_ms > self.max_ms {
            return Err(AppendError::OutOfBounds);
        }
        match &histogram {
            ParsedHistogram::Integer(h) => self
                .appender
                .append_histogram(reference, labels, start_ms, t_ms, h),
            ParsedHistogram::Float(h) => self
                .appender
                .append_float_histogram(reference, labels, start_ms, t_ms, h),
        }
    }

    /// Counts a sample that was not taken, or says that the scrape fails.
    fn refuse(&mut self, error: AppendError) -> Problem {
        let metrics = self.source.metrics;
        match error {
            error if error == LIMIT => {}
            AppendError::OutOfOrder => {
                self.refused.out_of_order += 1;
                metrics.out_of_order.inc();
            }
            AppendError::Duplicate(_) => {
                self.refused.duplicates += 1;
                metrics.duplicate.inc();
            }
            AppendError::OutOfBounds | AppendError::TooOld => {
                self.refused.out_of_bounds += 1;
                metrics.out_of_bounds.inc();
            }
            error => return Problem::Fatal(error.to_string()),
        }
        Problem::Counted
    }

    fn after_sample(
        &mut self,
        parser: &mut Parser<'_>,
        reference: SeriesRef,
        new_labels: Option<&Labels>,
        timestamp: Option<i64>,
        is_histogram: bool,
    ) {
        if let Some((value, at)) = parser.exemplar(&mut self.labels) {
            let t_ms = timestamp.unwrap_or(self.t_ms);
            self.exemplars(parser, reference, (value, at), t_ms, is_histogram);
        }
        if self.family.is_some() {
            self.store_metadata(parser, reference, new_labels);
        }
    }

    /// Appends a sample's exemplars, the first of which has been read.
    fn exemplars(
        &mut self,
        parser: &mut Parser<'_>,
        reference: SeriesRef,
        first: (f64, Option<i64>),
        t_ms: i64,
        is_histogram: bool,
    ) {
        let mut exemplars = Vec::new();
        let mut next = Some(first);
        while let Some((value, at)) = next {
            // Of native histograms only exemplars with timestamps can be told from old ones.
            if at.is_some() || !is_histogram {
                exemplars.push(Exemplar {
                    labels: self.labels.to_labels(),
                    value,
                    timestamp_ms: Some(at.unwrap_or(t_ms)),
                });
            }
            next = parser.exemplar(&mut self.labels);
        }
        exemplars.sort_by(|a, b| {
            let by_time = a.timestamp_ms.cmp(&b.timestamp_ms);
            by_time.then_with(|| a.value.total_cmp(&b.value))
        });
        let none = Labels::empty();
        let mut late = 0;
        for exemplar in &exemplars {
            match self.appender.append_exemplar(reference, &none, exemplar) {
                Err(AppendError::OutOfOrderExemplar) => late += 1,
                Err(error) => tracing::debug!(err = %error, "Error while adding exemplar"),
                Ok(_) => {}
            }
        }
        // Some of them late is normal: a histogram shows old ones beside new ones.
        if late > 0 && late == exemplars.len() {
            self.refused.exemplars_out_of_order += late;
            self.source.metrics.exemplar_out_of_order.add(late as u64);
        }
    }

    fn store_metadata(
        &mut self,
        parser: &mut Parser<'_>,
        reference: SeriesRef,
        new_labels: Option<&Labels>,
    ) {
        let Some(family) = self.family.as_deref() else {
            return;
        };
        let Some((metadata, changed)) = self.metadata.current(family) else {
            return;
        };
        if new_labels.is_none() && !changed {
            return;
        }
        parser.labels(&mut self.labels);
        let name = self.labels.get(METRIC_NAME).unwrap_or("");
        if is_of_family(name, family, &metadata) {
            let none = Labels::empty();
            let labels = new_labels.unwrap_or(&none);
            if let Err(error) = self.appender.update_metadata(reference, labels, &metadata) {
                tracing::debug!(err = %error, "Error when appending metadata in scrape loop");
            }
        }
    }
}

/// Stands for a limit of ours among the store's errors; never shown.
const LIMIT: AppendError = AppendError::Io(String::new());

/// Adds the target's labels and applies the rules; `None` if nothing is left.
fn mutate(scraped: &LabelBuf, target: &Labels, rules: &SampleRules) -> Option<Labels> {
    let mut labels = scraped.to_labels().builder();
    if rules.honor_labels {
        for (name, value) in target {
            // A label that is there and empty is a way to say that the target's is not wanted.
            if scraped.get(name).is_none() {
                labels.set(name, value);
            }
        }
    } else {
        let mut conflicts: Vec<(&str, &str)> = Vec::new();
        for (name, value) in target {
            match scraped.get(name) {
                None | Some("") => {}
                Some(exposed) => conflicts.push((name, exposed)),
            }
            labels.set(name, value);
        }
        conflicts.sort_by_key(|(name, _)| name.len());
        for (name, exposed) in conflicts {
            let mut exported = format!("exported_{name}");
            while !labels.get(&exported).is_empty() {
                exported.insert_str(0, "exported_");
            }
            labels.set(&exported, exposed);
        }
    }
    if !relabel::apply(&rules.metric_relabel, &mut labels) {
        return None;
    }
    Some(labels.build()).filter(|labels| !labels.is_empty())
}

fn check_limits(labels: &Labels, rules: &SampleRules) -> Result<(), String> {
    let metric = || short(labels.metric_name());
    if rules.label_limit > 0 {
        let count = labels.len();
        if count as u64 > rules.label_limit {
            return Err(format!(
                "label_limit exceeded (metric: {}, number of labels: {count}, limit: {})",
                metric(),
                rules.label_limit
            ));
        }
    }
    let (name_limit, value_limit) = (
        rules.label_name_length_limit,
        rules.label_value_length_limit,
    );
    if name_limit == 0 && value_limit == 0 {
        return Ok(());
    }
    for (name, value) in labels {
        if name_limit > 0 && name.len() as u64 > name_limit {
            return Err(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {}, length: {}, limit: {name_limit})",
                metric(),
                short(name),
                name.len()
            ));
        }
        if value_limit > 0 && value.len() as u64 > value_limit {
            return Err(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {}, value: {}, length: {}, limit: {value_limit})",
                metric(),
                short(name),
                golang::strconv::quote(&short(value)),
                value.len()
            ));
        }
    }
    Ok(())
}

/// The first 50 characters.
fn short(text: &str) -> String {
    text.chars().take(50).collect()
}

/// Makes a histogram coarse enough; `false` if it cannot be.
fn fit_schema(histogram: &mut ParsedHistogram, rules: &SampleRules) -> bool {
    const COARSEST: i32 = -4;
    let buckets = |histogram: &ParsedHistogram| match histogram {
        ParsedHistogram::Integer(h) => h.positive_buckets.len() + h.negative_buckets.len(),
        ParsedHistogram::Float(h) => h.positive_buckets.len() + h.negative_buckets.len(),
    };
    let mut schema = match histogram {
        ParsedHistogram::Integer(h) => h.schema,
        ParsedHistogram::Float(h) => h.schema,
    };
    let exponential = schema >= COARSEST;
    let reduce = |histogram: &mut ParsedHistogram, schema: i32| match histogram {
        ParsedHistogram::Integer(h) => h.reduce_resolution(schema).is_ok(),
        ParsedHistogram::Float(h) => h.reduce_resolution(schema).is_ok(),
    };
    if exponential && schema > rules.max_schema {
        schema = rules.max_schema;
        if !reduce(histogram, schema) {
            return false;
        }
    }
    let limit = usize::try_from(rules.bucket_limit).unwrap_or(usize::MAX);
    while limit > 0 && buckets(histogram) > limit {
        schema -= 1;
        if !exponential || schema < COARSEST || !reduce(histogram, schema) {
            return false;
        }
    }
    true
}

/// The finest schema whose buckets grow by at least this factor (`pickSchema`).
pub(crate) fn max_schema(bucket_factor: f64) -> i32 {
    let factor = if bucket_factor <= 1.0 {
        1.00271
    } else {
        bucket_factor
    };
    let schema = (-factor.log2().log2()).floor();
    schema.clamp(-4.0, 8.0) as i32
}

/// Whether a series of this name can be of the family that metadata were given for.
fn is_of_family(name: &str, family: &str, metadata: &Metadata) -> bool {
    let strip = |name: &'_ str, suffixes: &[&str]| -> String {
        let stripped = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        stripped.unwrap_or(name).to_owned()
    };
    match metadata.metric_type {
        MetricType::Counter => strip(name, &["_total"]) == strip(family, &["_total"]),
        MetricType::Histogram => strip(name, &["_bucket", "_sum", "_count"]) == family,
        MetricType::GaugeHistogram => strip(name, &["_bucket", "_gsum", "_gcount"]) == family,
        MetricType::Summary => strip(name, &["_sum", "_count"]) == family,
        MetricType::Info => strip(name, &["_info"]) == strip(family, &["_info"]),
        _ => name == family,
    }
}

#[cfg(test)]
mod tests;
