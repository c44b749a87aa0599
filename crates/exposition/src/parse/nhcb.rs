//! Classic histograms as native histograms with custom buckets (prometheus/prometheus
//! `model/textparse/nhcbparse.go` and `util/convertnhcb`).

use golang::strconv::parse_float;
use model::labels::{BUCKET_LABEL, METRIC_NAME};
use model::{FloatHistogram, Histogram, MetricType, Span};

use super::compact::{compact, deltas};
use super::lines::LineParser;
use super::{Entry, ParseError, ParsedHistogram};
use crate::LabelBuf;

/// A parser's entries with the series of classic histograms collected into native ones.
pub(super) struct Nhcb {
    keep_classic: bool,
    state: State,
    /// What was read before it turned out that a histogram was complete; `None` is the page's end.
    pending: Option<Entry>,
    /// The name of the last `# TYPE` line.
    family: String,

    /// Labels of the series read last.
    labels: LabelBuf,
    collecting: Collected,
    emitted: Collected,
    series: Vec<u8>,
    histogram: Option<ParsedHistogram>,
    next_exemplar: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Collecting,
    Emitting,
}

/// The series of one histogram.
#[derive(Default)]
struct Collected {
    name: String,
    /// Without `le`.
    labels: LabelBuf,
    buckets: Classic,
    timestamp_ms: Option<i64>,
    start_ms: i64,
    exemplars: Vec<(LabelBuf, f64, Option<i64>)>,
}

impl Nhcb {
    pub(super) fn new(keep_classic: bool) -> Nhcb {
        Nhcb {
            keep_classic,
            state: State::Start,
            pending: None,
            family: String::new(),
            labels: LabelBuf::new(),
            collecting: Collected::default(),
            emitted: Collected::default(),
            series: Vec::new(),
            histogram: None,
            next_exemplar: 0,
        }
    }

    pub(super) fn next(
        &mut self,
        lines: &mut LineParser<'_>,
        known: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Entry>, ParseError> {
        loop {
            if self.state == State::Emitting {
                self.state = State::Start;
                let pending = self.pending.take();
                if pending == Some(Entry::Series) {
                    if self.collect(lines) && !self.keep_classic {
                        continue;
                    }
                    known(lines.series());
                }
                return Ok(pending);
            }
            // Every line is read in full: its labels decide what it belongs to.
            let entry = lines.next(&mut |_: &[u8]| false)?;
            match entry {
                Some(Entry::Series) => {
                    lines.labels(&mut self.labels);
                    if self.state == State::Collecting && self.is_another(lines) && self.convert() {
                        break self.emit(entry, known);
                    }
                    if self.collect(lines) && !self.keep_classic {
                        continue;
                    }
                    known(lines.series());
                    return Ok(entry);
                }
                Some(Entry::Type) => self.family = lines.metadata_name().into_owned(),
                _ => {}
            }
            if self.convert() {
                break self.emit(entry, known);
            }
            return Ok(entry);
        }
    }

    fn emit(
        &mut self,
        pending: Option<Entry>,
        known: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Entry>, ParseError> {
        self.pending = pending;
        known(&self.series);
        Ok(Some(Entry::Histogram))
    }

    /// Whether the series read last is not of the histogram that is being collected.
    fn is_another(&self, lines: &LineParser<'_>) -> bool {
        let name = self.labels.get(METRIC_NAME).unwrap_or("");
        let collected = self
            .collecting
            .labels
            .iter()
            .filter(|(n, _)| *n != METRIC_NAME);
        lines.kind() != MetricType::Histogram
            || base_name(name).1 != self.collecting.name
            || !without_bucket(&self.labels)
                .filter(|(n, _)| *n != METRIC_NAME)
                .eq(collected)
    }

    /// Takes the series read last if it is of a classic histogram.
    fn collect(&mut self, lines: &mut LineParser<'_>) -> bool {
        if lines.kind() != MetricType::Histogram {
            return false;
        }
        let name = self.labels.get(METRIC_NAME).unwrap_or("");
        let (suffix, base) = base_name(name);
        if base != self.family {
            return false;
        }
        let bound = match suffix {
            Suffix::None => return false,
            Suffix::Count | Suffix::Sum => 0.0,
            Suffix::Bucket => {
                let bound = self
                    .labels
                    .get(BUCKET_LABEL)
                    .and_then(|le| parse_float(le).ok());
                match bound.filter(|bound| !bound.is_nan()) {
                    Some(bound) => bound,
                    None => return false,
                }
            }
        };
        if self.state != State::Collecting {
            self.state = State::Collecting;
            let collecting = &mut self.collecting;
            collecting.name = base.to_owned();
            collecting.labels.clear();
            for (name, value) in without_bucket(&self.labels) {
                let value = if name == METRIC_NAME { base } else { value };
                collecting.labels.push(name, value);
            }
            collecting.start_ms = lines.start_ms();
            collecting.exemplars.clear();
            collecting.buckets = Classic::default();
        }
        self.collecting.timestamp_ms = lines.timestamp_ms();
        let mut labels = LabelBuf::new();
        while let Some((value, timestamp_ms)) = lines.exemplar(&mut labels) {
            let exemplar = (labels.clone(), value, timestamp_ms);
            self.collecting.exemplars.push(exemplar);
        }
        let buckets = &mut self.collecting.buckets;
        match suffix {
            Suffix::Bucket => buckets.set_bucket(bound, lines.value()),
            Suffix::Count => buckets.set_count(lines.value()),
            Suffix::Sum | Suffix::None => buckets.sum = lines.value(),
        }
        true
    }

    /// Ends the histogram that is being collected; `false` if there is none, or none that makes sense.
    fn convert(&mut self) -> bool {
        if self.state != State::Collecting {
            return false;
        }
        self.state = State::Start;
        let Some(histogram) = self.collecting.buckets.convert() else {
            return false;
        };
        std::mem::swap(&mut self.collecting, &mut self.emitted);
        self.series.clear();
        self.series.extend_from_slice(self.emitted.name.as_bytes());
        let mut separator = '{';
        for (name, value) in self
            .emitted
            .labels
            .iter()
            .filter(|(n, _)| *n != METRIC_NAME)
        {
            let value = golang::strconv::quote(value);
            self.series
                .extend_from_slice(format!("{separator}{name}={value}").as_bytes());
            separator = ',';
        }
        if separator == ',' {
            self.series.push(b'}');
        }
        self.histogram = Some(histogram);
        self.next_exemplar = 0;
        self.state = State::Emitting;
        true
    }

    pub(super) fn emitting(&self) -> bool {
        self.state == State::Emitting
    }

    pub(super) fn series(&self) -> &[u8] {
        &self.series
    }

    pub(super) fn labels(&self) -> &LabelBuf {
        &self.emitted.labels
    }

    pub(super) fn histogram(&mut self) -> Option<ParsedHistogram> {
        self.histogram.take()
    }

    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        self.emitted.timestamp_ms
    }

    pub(super) fn start_ms(&self) -> i64 {
        self.emitted.start_ms
    }

    pub(super) fn exemplar(&mut self, out: &mut LabelBuf) -> Option<(f64, Option<i64>)> {
        let (labels, value, timestamp_ms) = self.emitted.exemplars.get(self.next_exemplar)?;
        self.next_exemplar += 1;
        out.clone_from(labels);
        Some((*value, *timestamp_ms))
    }
}

fn without_bucket(labels: &LabelBuf) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().filter(|(name, _)| *name != BUCKET_LABEL)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Suffix {
    None,
    Bucket,
    Sum,
    Count,
}

fn base_name(name: &str) -> (Suffix, &str) {
    for (text, suffix) in [
        ("_bucket", Suffix::Bucket),
        ("_sum", Suffix::Sum),
        ("_count", Suffix::Count),
    ] {
        if let Some(base) = name.strip_suffix(text) {
            return (suffix, base);
        }
    }
    (Suffix::None, name)
}

/// A classic histogram in pieces.
#[derive(Debug, Default)]
pub(super) struct Classic {
    /// Upper bounds, ascending, and cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    pub(super) sum: f64,
    broken: bool,
}

impl Classic {
    /// Notes a bucket; one that is there already stays as it is.
    pub(super) fn set_bucket(&mut self, bound: f64, count: f64) {
        if count.is_nan() || count < 0.0 || bound.is_nan() {
            self.broken = true;
            return;
        }
        let at = self.buckets.partition_point(|(known, _)| *known < bound);
        if self
            .buckets
            .get(at)
            .is_none_or(|(known, _)| *known != bound)
        {
            self.buckets.insert(at, (bound, count));
        }
    }

    pub(super) fn set_count(&mut self, count: f64) {
        if count.is_nan() || count < 0.0 {
            self.broken = true;
            return;
        }
        self.count = Some(count);
    }

    /// The native histogram; `None` if counts are not cumulative or contradict each other.
    pub(super) fn convert(&mut self) -> Option<ParsedHistogram> {
        if self.broken {
            return None;
        }
        let last = self.buckets.last().copied();
        if last.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            let rest = self.count.or(last.map(|(_, count)| count)).unwrap_or(0.0);
            self.buckets.push((f64::INFINITY, rest));
        }
        let total = self.buckets.last().map_or(0.0, |(_, count)| *count);
        let count = *self.count.get_or_insert(total);
        if count != total || self.buckets.windows(2).any(|w| w[1].1 < w[0].1) {
            return None;
        }
        let bounds = &self.buckets[..self.buckets.len() - 1];
        let custom_values: Vec<f64> = bounds.iter().map(|(bound, _)| *bound).collect();
        let spans = [Span {
            offset: 0,
            length: u32::try_from(self.buckets.len()).ok()?,
        }];
        let is_whole = |f: f64| f.fract() == 0.0 && f < 9e18;
        if self.buckets.iter().all(|(_, count)| is_whole(*count)) {
            let mut previous = 0i64;
            let counts: Vec<i64> = self
                .buckets
                .iter()
                .map(|(_, count)| {
                    let count = *count as i64;
                    count - std::mem::replace(&mut previous, count)
                })
                .collect();
            let (positive_spans, counts) = compact(&spans, &counts, 2)?;
            return Some(ParsedHistogram::Integer(Histogram {
                schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
                count: count as u64,
                sum: self.sum,
                positive_spans,
                positive_buckets: deltas(&counts),
                custom_values,
                ..Histogram::default()
            }));
        }
        let mut previous = 0.0;
        let counts: Vec<f64> = self
            .buckets
            .iter()
            .map(|(_, count)| count - std::mem::replace(&mut previous, *count))
            .collect();
        let (positive_spans, positive_buckets) = compact(&spans, &counts, 0)?;
        Some(ParsedHistogram::Float(FloatHistogram {
            schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans,
            positive_buckets,
            custom_values,
            ..FloatHistogram::default()
        }))
    }
}
