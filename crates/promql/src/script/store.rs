//! An in-memory store of columns, for tests: what is appended is what is read, stale markers and
//! start timestamps included.
//!
//! As in upstream's database, a histogram's counter reset hint is not what was appended but what
//! the chunks tell: gauge, or no reset after the histogram before it in the same chunk, or unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use model::labels::METRIC_NAME;
use model::{
    Annotations, CounterResetHint, Exemplar, FloatHistogram, Histogram, Labels, Matcher, Metadata,
    STALE_NAN, is_stale,
};
use storage::{
    AppendError, Appendable, Appender, Columns, EncodedChunk, LabelHints, Querier, Queryable,
    SelectHints, Series, SeriesRef, SeriesSet, StorageError,
};

/// By metric name, since nearly all selectors have one.
type SeriesMap = BTreeMap<Box<str>, BTreeMap<Labels, Arc<Columns>>>;

fn metric_name(labels: &Labels) -> &str {
    labels.find(METRIC_NAME).unwrap_or_default()
}

/// The store. Clones share their content; [`Store::snapshot`] does not.
#[derive(Clone, Default)]
pub struct Store {
    series: Arc<RwLock<Arc<SeriesMap>>>,
}

impl Store {
    /// An empty store.
    pub fn new() -> Store {
        Store::default()
    }

    /// A store with today's content, which later changes to this one do not reach.
    pub fn snapshot(&self) -> Store {
        Store {
            series: Arc::new(RwLock::new(self.content())),
        }
    }

    /// Forgets all series.
    pub fn clear(&self) {
        *self.series.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.content().values().map(BTreeMap::len).sum()
    }

    /// Whether there are no series.
    pub fn is_empty(&self) -> bool {
        self.content().is_empty()
    }

    fn content(&self) -> Arc<SeriesMap> {
        self.series
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Queryable for Store {
    fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(View {
            series: self.content(),
            min_ms,
            max_ms,
        }))
    }
}

struct View {
    series: Arc<SeriesMap>,
    min_ms: i64,
    max_ms: i64,
}

impl View {
    /// The series that satisfy all matchers and have samples, in order of labels.
    fn matching(&self, matchers: &[Matcher]) -> Vec<(&Labels, &Arc<Columns>)> {
        let (on_name, others): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|m| &*m.name == METRIC_NAME);
        let mut found: Vec<(&Labels, &Arc<Columns>)> = self
            .series
            .iter()
            .filter(|(name, _)| on_name.iter().all(|m| m.matches(name)))
            .flat_map(|(_, series)| series)
            .filter(|(labels, columns)| {
                others.iter().all(|m| m.matches_labels(labels))
                    && (has_between(&columns.float_ms, self.min_ms, self.max_ms)
                        || has_between(&columns.histogram_ms, self.min_ms, self.max_ms))
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(b.0));
        found
    }
}

/// Where in sorted timestamps those from `min_ms` to `max_ms` are.
fn between(times: &[i64], min_ms: i64, max_ms: i64) -> std::ops::Range<usize> {
    let start = times.partition_point(|t| *t < min_ms);
    let end = times.partition_point(|t| *t <= max_ms);
    start..end.max(start)
}

fn has_between(times: &[i64], min_ms: i64, max_ms: i64) -> bool {
    !between(times, min_ms, max_ms).is_empty()
}

fn limited(mut values: Vec<String>, limit: usize) -> Vec<String> {
    if limit > 0 {
        values.truncate(limit);
    }
    values
}

impl Querier for View {
    fn select(
        &self,
        sorted: bool,
        hints: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError> {
        let limit = if hints.limit == 0 {
            usize::MAX
        } else {
            hints.limit
        };
        let series = self
            .matching(matchers)
            .into_iter()
            .take(limit)
            .map(|(labels, columns)| {
                // As narrow as a reader may get it, so that one who looks at more is found out.
                let labels = match &hints.only_labels {
                    Some(names) if !sorted => labels.only(names),
                    _ => labels.clone(),
                };
                Arc::new(StoredSeries {
                    labels,
                    columns: columns.clone(),
                }) as Arc<dyn Series>
            })
            .collect();
        Ok(SeriesSet {
            series,
            annotations: Annotations::default(),
        })
    }

    fn label_values(
        &self,
        name: &str,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        let values: BTreeSet<&str> = self
            .matching(matchers)
            .into_iter()
            .filter_map(|(labels, _)| labels.find(name))
            .collect();
        let values = values.into_iter().map(str::to_owned).collect();
        Ok((limited(values, hints.limit), Annotations::default()))
    }

    fn label_names(
        &self,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        let names: BTreeSet<&str> = self
            .matching(matchers)
            .into_iter()
            .flat_map(|(labels, _)| labels.iter().map(|(name, _)| name))
            .collect();
        let names = names.into_iter().map(str::to_owned).collect();
        Ok((limited(names, hints.limit), Annotations::default()))
    }
}

struct StoredSeries {
    labels: Labels,
    columns: Arc<Columns>,
}

impl Series for StoredSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
        let from = &*self.columns;
        let floats = between(&from.float_ms, min_ms, max_ms);
        let histograms = between(&from.histogram_ms, min_ms, max_ms);
        extend_columns(out, from, floats, histograms);
        Ok(())
    }

    fn chunks(&self, _min_ms: i64, _max_ms: i64) -> Result<Vec<EncodedChunk>, StorageError> {
        Err(StorageError::Other(
            "the store of test scripts keeps samples, not chunks".to_owned(),
        ))
    }
}

/// Appends start timestamps to a column that is empty as long as none is known.
fn extend_starts(
    out: &mut Vec<i64>,
    len_before: usize,
    from: &[i64],
    range: &std::ops::Range<usize>,
) {
    if from.is_empty() && out.is_empty() {
        return;
    }
    out.resize(len_before, 0);
    match from.get(range.clone()) {
        Some(starts) => out.extend_from_slice(starts),
        None => out.resize(len_before + range.len(), 0),
    }
}

impl Appendable for Store {
    fn appender(&self) -> Box<dyn Appender> {
        Box::new(Batch {
            store: self.clone(),
            changed: BTreeMap::new(),
        })
    }
}

struct Batch {
    store: Store,
    changed: BTreeMap<Labels, Tail>,
}

/// What a batch adds to a series. So that it need not copy the series, it begins with the series'
/// last samples alone, which tell what may follow and how.
#[derive(Default)]
struct Tail {
    columns: Columns,
    /// How many floats and histograms of `columns` are the series' own.
    known: (usize, usize),
}

impl Tail {
    fn of(series: &Columns) -> Tail {
        let mut columns = Columns::default();
        let (f, h) = (series.float_ms.len(), series.histogram_ms.len());
        let floats = f.saturating_sub(1)..f;
        let histograms = h.saturating_sub(1)..h;
        extend_columns(&mut columns, series, floats, histograms);
        Tail {
            known: (columns.float_ms.len(), columns.histogram_ms.len()),
            columns,
        }
    }

    fn add_to(&self, series: &mut Columns) {
        let floats = self.known.0..self.columns.float_ms.len();
        let histograms = self.known.1..self.columns.histogram_ms.len();
        extend_columns(series, &self.columns, floats, histograms);
    }
}

/// Appends parts of columns to others.
fn extend_columns(
    out: &mut Columns,
    from: &Columns,
    floats: std::ops::Range<usize>,
    histograms: std::ops::Range<usize>,
) {
    extend_starts(
        &mut out.float_start_ms,
        out.float_ms.len(),
        &from.float_start_ms,
        &floats,
    );
    out.float_ms
        .extend_from_slice(&from.float_ms[floats.clone()]);
    out.floats.extend_from_slice(&from.floats[floats]);
    extend_starts(
        &mut out.histogram_start_ms,
        out.histogram_ms.len(),
        &from.histogram_start_ms,
        &histograms,
    );
    out.histogram_ms
        .extend_from_slice(&from.histogram_ms[histograms.clone()]);
    out.histograms
        .extend_from_slice(&from.histograms[histograms]);
}

impl Batch {
    /// The columns of a series, for adding a sample at `t_ms`. `Ok(None)`: it is there already.
    fn columns(
        &mut self,
        labels: &Labels,
        t_ms: i64,
        same: impl Fn(&Columns) -> bool,
    ) -> Result<Option<&mut Columns>, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels("empty label set".to_owned()));
        }
        let store = &self.store;
        let tail = self.changed.entry(labels.clone()).or_insert_with(|| {
            let series = store
                .content()
                .get(metric_name(labels))
                .and_then(|series| series.get(labels).cloned());
            series.map_or_else(Tail::default, |series| Tail::of(&series))
        });
        let columns = &mut tail.columns;
        let last = columns
            .float_ms
            .last()
            .into_iter()
            .chain(columns.histogram_ms.last())
            .max();
        match last {
            Some(last) if *last > t_ms => Err(AppendError::OutOfOrder),
            Some(last) if *last == t_ms && same(columns) => Ok(None),
            Some(last) if *last == t_ms => Err(AppendError::Duplicate(None)),
            _ => Ok(Some(columns)),
        }
    }
}

fn push_start(starts: &mut Vec<i64>, len_before: usize, start_ms: i64) {
    if starts.is_empty() && start_ms == 0 {
        return;
    }
    starts.resize(len_before, 0);
    starts.push(start_ms);
}

fn push_histogram(columns: &mut Columns, start_ms: i64, t_ms: i64, histogram: FloatHistogram) {
    push_start(
        &mut columns.histogram_start_ms,
        columns.histogram_ms.len(),
        start_ms,
    );
    columns.histogram_ms.push(t_ms);
    columns.histograms.push(Arc::new(histogram));
}

fn stale_histogram() -> FloatHistogram {
    FloatHistogram {
        sum: STALE_NAN,
        ..FloatHistogram::default()
    }
}

/// The time that one chunk covers at most.
const CHUNK_RANGE_MS: i64 = 2 * 3_600_000;

/// The counter reset hint that a histogram will be read with.
fn stored_hint(columns: &Columns, t_ms: i64, histogram: &FloatHistogram) -> CounterResetHint {
    use CounterResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
    let hint = histogram.counter_reset_hint;
    if hint == Gauge {
        return Gauge;
    }
    let (Some(before), Some(before_ms)) = (columns.histograms.last(), columns.histogram_ms.last())
    else {
        return Unknown;
    };
    let same_chunk = hint != CounterReset
        && before.counter_reset_hint != Gauge
        && columns.float_ms.last() < Some(before_ms)
        && before_ms.div_euclid(CHUNK_RANGE_MS) == t_ms.div_euclid(CHUNK_RANGE_MS)
        && !before.is_stale()
        && !histogram.is_stale()
        && before.schema == histogram.schema
        && before.zero_threshold == histogram.zero_threshold
        && before.custom_values == histogram.custom_values;
    let unhinted = FloatHistogram {
        counter_reset_hint: Unknown,
        ..histogram.clone()
    };
    if same_chunk && !unhinted.detect_reset(before) {
        NotCounterReset
    } else {
        Unknown
    }
}

impl Appender for Batch {
    fn append(
        &mut self,
        _reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        let same = |columns: &Columns| {
            columns.float_ms.last() == Some(&t_ms)
                && columns.floats.last().map(|v| v.to_bits()) == Some(value.to_bits())
        };
        if let Some(columns) = self.columns(labels, t_ms, same)? {
            if is_stale(value) && columns.histogram_ms.last() > columns.float_ms.last() {
                // A stale marker is of the kind of the sample before it.
                push_histogram(columns, start_ms, t_ms, stale_histogram());
                return Ok(0);
            }
            push_start(
                &mut columns.float_start_ms,
                columns.float_ms.len(),
                start_ms,
            );
            columns.float_ms.push(t_ms);
            columns.floats.push(value);
        }
        Ok(0)
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
            .map_err(|e| AppendError::InvalidHistogram(e.to_string()))?;
        self.append_float_histogram(reference, labels, start_ms, t_ms, &histogram.to_float())
    }

    fn append_float_histogram(
        &mut self,
        _reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &FloatHistogram,
    ) -> Result<SeriesRef, AppendError> {
        if !histogram.is_stale() {
            histogram
                .validate()
                .map_err(|e| AppendError::InvalidHistogram(e.to_string()))?;
        }
        let same = |columns: &Columns| {
            columns.histogram_ms.last() == Some(&t_ms)
                && columns
                    .histograms
                    .last()
                    .is_some_and(|h| h.equals(histogram))
        };
        if let Some(columns) = self.columns(labels, t_ms, same)? {
            let mut histogram = histogram.clone();
            histogram.counter_reset_hint = stored_hint(columns, t_ms, &histogram);
            push_histogram(columns, start_ms, t_ms, histogram);
        }
        Ok(0)
    }

    fn append_exemplar(
        &mut self,
        _reference: SeriesRef,
        _labels: &Labels,
        _exemplar: &Exemplar,
    ) -> Result<SeriesRef, AppendError> {
        Err(AppendError::Unavailable(
            "the store of test scripts keeps no exemplars".to_owned(),
        ))
    }

    fn update_metadata(
        &mut self,
        _reference: SeriesRef,
        _labels: &Labels,
        _metadata: &Metadata,
    ) -> Result<SeriesRef, AppendError> {
        Err(AppendError::Unavailable(
            "the store of test scripts keeps no metadata".to_owned(),
        ))
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let mut series = self
            .store
            .series
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let series = Arc::make_mut(&mut series);
        for (labels, tail) in self.changed {
            let named = match series.get_mut(metric_name(&labels)) {
                Some(named) => named,
                None => series.entry(metric_name(&labels).into()).or_default(),
            };
            tail.add_to(Arc::make_mut(named.entry(labels).or_default()));
        }
        Ok(())
    }

    fn rollback(self: Box<Self>) {}
}
