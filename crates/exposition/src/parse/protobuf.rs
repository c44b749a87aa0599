//! The parser of length-delimited `io.prometheus.client.MetricFamily` messages (prometheus/prometheus
//! `model/textparse/protobufparse.go`): a metric is decoded in place and presented as the text format
//! would write it, native histograms as such.

use model::labels::{BUCKET_LABEL, METRIC_NAME, QUANTILE_LABEL};
use model::{CounterResetHint, FloatHistogram, Histogram, MetricType, NORMAL_NAN, Span};

use super::compact::{absolute, compact, deltas};
use super::lines::openmetrics_float;
use super::nhcb::Classic;
use super::wire::Fields;
use super::{Entry, ParseError, ParseOptions, ParsedHistogram, TYPE_LABEL, UNIT_LABEL};
use crate::LabelBuf;

pub(super) struct ProtobufParser<'a> {
    input: &'a [u8],
    options: ParseOptions,
    family: Family<'a>,
    /// The metrics of the family that were not read yet.
    rest: Fields<'a>,
    metric: Metric<'a>,
    step: Step,
    /// The key of the current series.
    series: Vec<u8>,
    next_exemplar: usize,
}

#[derive(Clone, Copy, Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    unit: &'a str,
    kind: MetricType,
    /// The message's number of the type: gauge histograms and untyped share no name with ours.
    has_metrics: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next family has to be read.
    Family,
    Help,
    Unit,
    Type,
    Native,
    Value,
    Count,
    Sum,
    /// A quantile or bucket by its index; the one behind the last bucket is `+Inf`.
    Part(usize),
}

#[derive(Default)]
struct Metric<'a> {
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
    timestamp_ms: i64,
    start_ms: i64,
    count: f64,
    sum: f64,
    /// Quantiles and their values, or bounds and cumulative counts.
    parts: Vec<(f64, f64)>,
    /// Of a counter: one. Of a histogram: one of each bucket that has one, with its index.
    exemplars: Vec<(usize, Exemplar<'a>)>,
    native_exemplars: Vec<Exemplar<'a>>,
    native: Native,
}

#[derive(Default)]
struct Native {
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    count: u64,
    count_float: f64,
    positive_spans: Vec<Span>,
    negative_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    negative_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    negative_counts: Vec<f64>,
}

#[derive(Clone, Default)]
struct Exemplar<'a> {
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
    timestamp_ms: Option<i64>,
}

impl<'a> ProtobufParser<'a> {
    pub(super) fn new(input: &'a [u8], options: ParseOptions) -> ProtobufParser<'a> {
        ProtobufParser {
            input,
            options,
            family: Family::default(),
            rest: Fields(b""),
            metric: Metric::default(),
            step: Step::Family,
            series: Vec::new(),
            next_exemplar: 0,
        }
    }

    pub(super) fn next(
        &mut self,
        known: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Entry>, ParseError> {
        let next = match self.step {
            Step::Family => None,
            Step::Help if !self.family.unit.is_empty() => Some(Step::Unit),
            Step::Help | Step::Unit => Some(Step::Type),
            Step::Type => self.next_metric()?,
            step => match self.next_part(step) {
                Some(step) => Some(step),
                None => self.next_metric()?,
            },
        };
        let step = match next {
            Some(step) => step,
            None if self.next_family()? => Step::Help,
            None => return Ok(None),
        };
        self.step = step;
        self.next_exemplar = 0;
        let entry = match step {
            Step::Family | Step::Help => return Ok(Some(Entry::Help)),
            Step::Unit => return Ok(Some(Entry::Unit)),
            Step::Type => return Ok(Some(Entry::Type)),
            Step::Native => {
                self.check_native()?;
                Entry::Histogram
            }
            _ => Entry::Series,
        };
        self.write_series();
        known(&self.series);
        Ok(Some(entry))
    }

    /// What follows within a metric.
    fn next_part(&self, step: Step) -> Option<Step> {
        let parts = self.metric.parts.len();
        match (self.family.kind, step) {
            (_, Step::Count) => Some(Step::Sum),
            (MetricType::Summary, Step::Sum) if parts > 0 => Some(Step::Part(0)),
            (MetricType::Summary, Step::Part(i)) if i + 1 < parts => Some(Step::Part(i + 1)),
            (_, Step::Native) if self.options.always_scrape_classic_histograms && parts > 0 => {
                Some(Step::Count)
            }
            (MetricType::Histogram | MetricType::GaugeHistogram, Step::Sum) => Some(Step::Part(0)),
            (MetricType::Histogram | MetricType::GaugeHistogram, Step::Part(i)) => {
                let is_infinity = i >= parts || self.metric.parts[i].0 == f64::INFINITY;
                (!is_infinity).then_some(Step::Part(i + 1))
            }
            _ => None,
        }
    }

    /// Reads the next metric of the family; `None` behind the last one.
    fn next_metric(&mut self) -> Result<Option<Step>, ParseError> {
        while let Some((number, field)) = self.rest.next()? {
            if number == 4 {
                self.metric.clear();
                self.metric.read(Fields(field.bytes()?))?;
                return Ok(Some(match self.family.kind {
                    MetricType::Summary => Step::Count,
                    MetricType::Histogram | MetricType::GaugeHistogram => self.histogram_step(),
                    _ => Step::Value,
                }));
            }
        }
        Ok(None)
    }

    fn histogram_step(&self) -> Step {
        let native = &self.metric.native;
        let is_native = native.zero_threshold > 0.0
            || native.zero_count > 0
            || native.zero_count_float > 0.0
            || !native.positive_spans.is_empty()
            || !native.negative_spans.is_empty();
        if is_native && !self.options.ignore_native_histograms {
            return Step::Native;
        }
        if self.options.convert_classic_histograms_to_nhcb && self.classic_as_native().is_some() {
            return Step::Native;
        }
        Step::Count
    }

    fn is_converted(&self) -> bool {
        let native = &self.metric.native;
        self.options.ignore_native_histograms
            || !(native.zero_threshold > 0.0
                || native.zero_count > 0
                || native.zero_count_float > 0.0
                || !native.positive_spans.is_empty()
                || !native.negative_spans.is_empty())
    }

    fn classic_as_native(&self) -> Option<ParsedHistogram> {
        let metric = &self.metric;
        let mut classic = Classic::default();
        for (bound, count) in &metric.parts {
            classic.set_bucket(*bound, *count);
        }
        classic.set_count(metric.count);
        classic.sum = metric.sum;
        let mut histogram = classic.convert()?;
        if self.family.kind == MetricType::GaugeHistogram {
            match &mut histogram {
                ParsedHistogram::Integer(h) => h.counter_reset_hint = CounterResetHint::Gauge,
                ParsedHistogram::Float(h) => h.counter_reset_hint = CounterResetHint::Gauge,
            }
        }
        Some(histogram)
    }

    /// Reads the next family that has metrics; `false` at the end.
    fn next_family(&mut self) -> Result<bool, ParseError> {
        while !self.input.is_empty() {
            let mut fields = Fields(self.input);
            let len = fields
                .varint()
                .ok()
                .filter(|_| self.input.len() - fields.0.len() <= 5);
            let Some(len) = len.and_then(|len| usize::try_from(len).ok()) else {
                return Err(ParseError::new("protobufparse: invalid varint encountered"));
            };
            let Some((message, rest)) = fields.0.split_at_checked(len) else {
                let expected = (self.input.len() - fields.0.len()).saturating_add(len);
                return Err(ParseError::new(format!(
                    "protobufparse: insufficient length of buffer, expected at least {expected} bytes, got {} bytes",
                    self.input.len()
                )));
            };
            self.input = rest;
            self.family = Family::read(Fields(message))?;
            self.rest = Fields(message);
            if self.family.has_metrics {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_native(&self) -> Result<(), ParseError> {
        let native = &self.metric.native;
        if self.is_converted() {
            return Ok(());
        }
        let (positive, negative) = if native.is_float() {
            (native.positive_counts.len(), native.negative_counts.len())
        } else {
            (native.positive_deltas.len(), native.negative_deltas.len())
        };
        for (side, spans, buckets) in [
            ("negative", &native.negative_spans, negative),
            ("positive", &native.positive_spans, positive),
        ] {
            let required: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
            if required != buckets as u64 {
                return Err(ParseError::new(format!(
                    "histogram {}: {side} side: spans require {required} buckets, have {buckets}",
                    golang::strconv::quote(self.family.name)
                )));
            }
        }
        Ok(())
    }

    fn write_series(&mut self) {
        let (suffix, extra) = self.magic();
        self.series.clear();
        self.series.extend_from_slice(self.family.name.as_bytes());
        self.series.extend_from_slice(suffix.as_bytes());
        let extra = extra.iter().map(|(n, v)| (*n, v.as_str()));
        for (name, value) in self.metric.labels.iter().copied().chain(extra) {
            self.series.push(0xff);
            self.series.extend_from_slice(name.as_bytes());
            self.series.push(0xff);
            self.series.extend_from_slice(value.as_bytes());
        }
    }

    /// The suffix and the label that the text format would add.
    fn magic(&self) -> (&'static str, Option<(&'static str, String)>) {
        match self.step {
            Step::Count => ("_count", None),
            Step::Sum => ("_sum", None),
            Step::Part(i) => {
                let bound = self
                    .metric
                    .parts
                    .get(i)
                    .map_or(f64::INFINITY, |part| part.0);
                let bound = openmetrics_float(bound);
                if self.family.kind == MetricType::Summary {
                    ("", Some((QUANTILE_LABEL, bound)))
                } else {
                    ("_bucket", Some((BUCKET_LABEL, bound)))
                }
            }
            _ => ("", None),
        }
    }

    pub(super) fn series(&self) -> &[u8] {
        &self.series
    }

    pub(super) fn labels(&self, out: &mut LabelBuf) {
        out.clear();
        let (suffix, extra) = self.magic();
        if suffix.is_empty() {
            out.push(METRIC_NAME, self.family.name);
        } else {
            out.push(METRIC_NAME, &format!("{}{suffix}", self.family.name));
        }
        let with_metadata = self.options.type_and_unit_labels;
        let kind = with_metadata && self.family.kind != MetricType::Unknown;
        let unit = with_metadata && !self.family.unit.is_empty();
        if kind {
            out.push(TYPE_LABEL, self.family.kind.as_str());
        }
        if unit {
            out.push(UNIT_LABEL, self.family.unit);
        }
        for (name, value) in &self.metric.labels {
            if !(kind && *name == TYPE_LABEL || unit && *name == UNIT_LABEL) {
                out.push(name, value);
            }
        }
        if let Some((name, value)) = extra {
            out.push(name, &value);
        }
        out.sort();
    }

    pub(super) fn value(&self) -> f64 {
        let value = match self.step {
            Step::Count => self.metric.count,
            Step::Sum => self.metric.sum,
            Step::Part(i) => self
                .metric
                .parts
                .get(i)
                .map_or(self.metric.count, |part| part.1),
            _ => self.metric.value,
        };
        if value.is_nan() && !model::is_stale(value) {
            return NORMAL_NAN;
        }
        value
    }

    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        // Upstream takes 0 for no timestamp.
        Some(self.metric.timestamp_ms).filter(|ms| *ms != 0)
    }

    pub(super) fn start_ms(&self) -> i64 {
        self.metric.start_ms
    }

    pub(super) fn family_name(&self) -> &str {
        self.family.name
    }

    pub(super) fn help(&self) -> &str {
        self.family.help
    }

    pub(super) fn unit(&self) -> &str {
        self.family.unit
    }

    pub(super) fn kind(&self) -> MetricType {
        self.family.kind
    }

    pub(super) fn histogram(&self) -> Option<ParsedHistogram> {
        if self.is_converted() {
            return self.classic_as_native();
        }
        let gauge = self.family.kind == MetricType::GaugeHistogram;
        self.metric.native.build(self.metric.sum, gauge)
    }

    pub(super) fn exemplar(&mut self, out: &mut LabelBuf) -> Option<(f64, Option<i64>)> {
        let metric = &self.metric;
        let exemplar = loop {
            let at = self.next_exemplar;
            self.next_exemplar += 1;
            match self.step {
                Step::Native => {
                    let exemplar = if metric.native_exemplars.is_empty() {
                        metric.exemplars.get(at).map(|(_, exemplar)| exemplar)?
                    } else {
                        metric.native_exemplars.get(at)?
                    };
                    // Without a timestamp nothing tells a new exemplar from an old one.
                    if exemplar.timestamp_ms.is_some() {
                        break exemplar;
                    }
                }
                Step::Part(i) => {
                    let (bucket, exemplar) = metric.exemplars.get(at)?;
                    if *bucket == i {
                        break exemplar;
                    }
                }
                Step::Value => break metric.exemplars.get(at).map(|(_, exemplar)| exemplar)?,
                _ => return None,
            }
        };
        out.clear();
        for (name, value) in &exemplar.labels {
            out.push(name, value);
        }
        out.sort();
        Some((exemplar.value, exemplar.timestamp_ms))
    }
}

impl<'a> Family<'a> {
    fn read(mut fields: Fields<'a>) -> Result<Family<'a>, ParseError> {
        let mut family = Family {
            kind: MetricType::Counter,
            ..Family::default()
        };
        let mut help: &[u8] = b"";
        let mut name: &[u8] = b"";
        let mut kind = 0;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => name = field.bytes()?,
                2 => help = field.bytes()?,
                3 => kind = field.unsigned()?,
                4 => {
                    field.bytes()?;
                    family.has_metrics = true;
                }
                5 => family.unit = text(field.bytes()?, "unit")?,
                _ => {}
            }
        }
        if !family.has_metrics {
            return Ok(family);
        }
        family.name = std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| {
                ParseError::new(format!(
                    "invalid metric name: {}",
                    String::from_utf8_lossy(name)
                ))
            })?;
        family.help = std::str::from_utf8(help).map_err(|_| {
            ParseError::new(format!(
                "invalid help for metric {}: {}",
                golang::strconv::quote(family.name),
                String::from_utf8_lossy(help)
            ))
        })?;
        family.kind = match kind {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            3 => MetricType::Unknown,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            other => {
                return Err(ParseError::new(format!(
                    "unknown metric type for metric {}: {other}",
                    golang::strconv::quote(family.name)
                )));
            }
        };
        Ok(family)
    }
}

impl<'a> Metric<'a> {
    fn clear(&mut self) {
        self.labels.clear();
        self.parts.clear();
        self.exemplars.clear();
        self.native_exemplars.clear();
        self.native = Native::default();
        (self.value, self.count, self.sum) = (0.0, 0.0, 0.0);
        (self.timestamp_ms, self.start_ms) = (0, 0);
    }

    fn read(&mut self, mut fields: Fields<'a>) -> Result<(), ParseError> {
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => self.labels.push(label(Fields(field.bytes()?))?),
                2 | 3 | 5 => self.read_value(Fields(field.bytes()?), number == 3)?,
                4 => self.read_summary(Fields(field.bytes()?))?,
                6 => self.timestamp_ms = field.unsigned()? as i64,
                7 => self.read_histogram(Fields(field.bytes()?))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_value(&mut self, mut fields: Fields<'a>, is_counter: bool) -> Result<(), ParseError> {
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => self.value = field.double()?,
                2 if is_counter => {
                    let exemplar = exemplar(Fields(field.bytes()?))?;
                    self.exemplars.push((0, exemplar));
                }
                3 if is_counter => self.start_ms = timestamp(Fields(field.bytes()?))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, mut fields: Fields<'a>) -> Result<(), ParseError> {
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => self.count = field.unsigned()? as f64,
                2 => self.sum = field.double()?,
                3 => {
                    let mut part = (0.0, 0.0);
                    let mut quantile = Fields(field.bytes()?);
                    while let Some((number, field)) = quantile.next()? {
                        match number {
                            1 => part.0 = field.double()?,
                            2 => part.1 = field.double()?,
                            _ => {}
                        }
                    }
                    self.parts.push(part);
                }
                4 => self.start_ms = timestamp(Fields(field.bytes()?))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_histogram(&mut self, mut fields: Fields<'a>) -> Result<(), ParseError> {
        let native = &mut self.native;
        while let Some((number, field)) = fields.next()? {
            match number {
                1 => native.count = field.unsigned()?,
                2 => self.sum = field.double()?,
                3 => {
                    let (bound, count, exemplar) = bucket(Fields(field.bytes()?))?;
                    if let Some(exemplar) = exemplar {
                        self.exemplars.push((self.parts.len(), exemplar));
                    }
                    self.parts.push((bound, count));
                }
                4 => native.count_float = field.double()?,
                5 => native.schema = field.zigzag()? as i32,
                6 => native.zero_threshold = field.double()?,
                7 => native.zero_count = field.unsigned()?,
                8 => native.zero_count_float = field.double()?,
                9 => native.negative_spans.push(span(Fields(field.bytes()?))?),
                10 => field.each_zigzag(|delta| native.negative_deltas.push(delta))?,
                11 => field.each_double(|count| native.negative_counts.push(count))?,
                12 => native.positive_spans.push(span(Fields(field.bytes()?))?),
                13 => field.each_zigzag(|delta| native.positive_deltas.push(delta))?,
                14 => field.each_double(|count| native.positive_counts.push(count))?,
                15 => self.start_ms = timestamp(Fields(field.bytes()?))?,
                16 => self
                    .native_exemplars
                    .push(exemplar(Fields(field.bytes()?))?),
                _ => {}
            }
        }
        self.count = if native.count_float != 0.0 {
            native.count_float
        } else {
            native.count as f64
        };
        Ok(())
    }
}

impl Native {
    fn is_float(&self) -> bool {
        self.count_float > 0.0 || self.zero_count_float > 0.0
    }

    fn build(&self, sum: f64, gauge: bool) -> Option<ParsedHistogram> {
        let counter_reset_hint = if gauge {
            CounterResetHint::Gauge
        } else {
            CounterResetHint::Unknown
        };
        if self.is_float() {
            let (positive_spans, positive_buckets) =
                compact(&self.positive_spans, &self.positive_counts, 0)?;
            let (negative_spans, negative_buckets) =
                compact(&self.negative_spans, &self.negative_counts, 0)?;
            return Some(ParsedHistogram::Float(FloatHistogram {
                counter_reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_float,
                count: self.count_float,
                sum,
                positive_spans,
                negative_spans,
                positive_buckets,
                negative_buckets,
                custom_values: Vec::new(),
            }));
        }
        let (positive_spans, positive) =
            compact(&self.positive_spans, &absolute(&self.positive_deltas), 0)?;
        let (negative_spans, negative) =
            compact(&self.negative_spans, &absolute(&self.negative_deltas), 0)?;
        Some(ParsedHistogram::Integer(Histogram {
            counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets: deltas(&positive),
            negative_buckets: deltas(&negative),
            custom_values: Vec::new(),
        }))
    }
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, ParseError> {
    std::str::from_utf8(bytes).map_err(|_| {
        let text = String::from_utf8_lossy(bytes);
        ParseError::new(format!("invalid {what}: {text}"))
    })
}

fn label<'a>(mut fields: Fields<'a>) -> Result<(&'a str, &'a str), ParseError> {
    let mut label = ("", "");
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => label.0 = text(field.bytes()?, "label name")?,
            2 => label.1 = text(field.bytes()?, "label value")?,
            _ => {}
        }
    }
    if label.0.is_empty() {
        return Err(ParseError::new("invalid label name: "));
    }
    Ok(label)
}

fn exemplar<'a>(mut fields: Fields<'a>) -> Result<Exemplar<'a>, ParseError> {
    let mut exemplar = Exemplar::default();
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => exemplar.labels.push(label(Fields(field.bytes()?))?),
            2 => exemplar.value = field.double()?,
            3 => exemplar.timestamp_ms = Some(timestamp(Fields(field.bytes()?))?),
            _ => {}
        }
    }
    Ok(exemplar)
}

fn timestamp(mut fields: Fields<'_>) -> Result<i64, ParseError> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => seconds = field.unsigned()? as i64,
            2 => nanos = field.unsigned()? as i64,
            _ => {}
        }
    }
    Ok(seconds
        .saturating_mul(1000)
        .saturating_add(nanos / 1_000_000))
}

type Bucket<'a> = (f64, f64, Option<Exemplar<'a>>);

fn bucket(mut fields: Fields<'_>) -> Result<Bucket<'_>, ParseError> {
    let (mut bound, mut count, mut count_float, mut with) = (0.0, 0, 0.0, None);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => count = field.unsigned()?,
            2 => bound = field.double()?,
            3 => with = Some(exemplar(Fields(field.bytes()?))?),
            4 => count_float = field.double()?,
            _ => {}
        }
    }
    let count = if count_float != 0.0 {
        count_float
    } else {
        count as f64
    };
    Ok((bound, count, with))
}

fn span(mut fields: Fields<'_>) -> Result<Span, ParseError> {
    let mut span = Span::default();
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => span.offset = field.zigzag()? as i32,
            2 => span.length = field.unsigned()? as u32,
            _ => {}
        }
    }
    Ok(span)
}
