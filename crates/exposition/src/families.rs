//! A page of the text format as families: what the textfile collector reads
//! (prometheus/common `expfmt/text_parse.go`). Stricter than the scrape parser: no second `# HELP`,
//! no line without its end, no unknown escapes.

use std::collections::HashMap;

use golang::strconv::{parse_float, parse_int, quote, quote_bytes};
use model::MetricType;
use model::labels::{BUCKET_LABEL, METRIC_NAME, QUANTILE_LABEL};
use model::names::ValidationScheme;

use crate::{Bucket, Count, Family, Histogram, LabelPairs, Metric, Quantile, Summary, Value};

/// Why a page cannot be read; the text is upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("text format parsing error in line {line}: {message}")]
pub struct FamiliesError {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

/// Reads a page of the text format; families come in the order of their first line, those without
/// metrics are left out.
///
/// # Errors
/// [`FamiliesError`] names the first line that is not right.
pub fn parse_families(text: &[u8], scheme: ValidationScheme) -> Result<Vec<Family>, FamiliesError> {
    let mut reader = Reader {
        input: text,
        pos: 0,
        line: 0,
        scheme,
        families: Vec::new(),
        by_name: HashMap::new(),
        by_labels: HashMap::new(),
    };
    match reader.page() {
        Ok(()) => Ok(reader
            .families
            .into_iter()
            .filter_map(Draft::finish)
            .collect()),
        Err(Stop::End) => Err(FamiliesError {
            line: reader.line,
            message: "unexpected end of input stream".to_owned(),
        }),
        Err(Stop::Error(message)) => Err(FamiliesError {
            line: reader.line,
            message,
        }),
    }
}

/// Why reading stopped within a line.
enum Stop {
    End,
    Error(String),
}

type Step<T = ()> = Result<T, Stop>;

fn stop<T>(message: impl Into<String>) -> Step<T> {
    Err(Stop::Error(message.into()))
}

struct Draft {
    name: String,
    help: Option<String>,
    kind: Option<MetricType>,
    metrics: Vec<Metric>,
}

impl Draft {
    fn is_summary(&self) -> bool {
        self.kind == Some(MetricType::Summary)
    }

    fn is_histogram(&self) -> bool {
        matches!(
            self.kind,
            Some(MetricType::Histogram | MetricType::GaugeHistogram)
        )
    }

    fn finish(self) -> Option<Family> {
        let mut metrics = self.metrics;
        for metric in &mut metrics {
            if let Value::Histogram(histogram) = &mut metric.value {
                all_float_or_none(histogram);
            }
        }
        (!metrics.is_empty()).then_some(Family {
            name: self.name,
            help: self.help,
            kind: self.kind.unwrap_or_default(),
            unit: String::new(),
            metrics,
        })
    }
}

/// One float among a histogram's counts makes all of them floats.
fn all_float_or_none(histogram: &mut Histogram) {
    let counts = || histogram.buckets.iter().map(|b| b.cumulative_count);
    let is_float = |count| matches!(count, Count::Float(_));
    if counts().chain([histogram.count]).any(is_float) {
        histogram.count = Count::Float(histogram.count.as_f64());
        for bucket in &mut histogram.buckets {
            bucket.cumulative_count = Count::Float(bucket.cumulative_count.as_f64());
        }
    }
}

/// What a sample's name says beyond its family.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Count,
    Sum,
}

struct Reader<'a> {
    input: &'a [u8],
    /// Of the byte that is looked at.
    pos: usize,
    line: usize,
    scheme: ValidationScheme,
    families: Vec<Draft>,
    by_name: HashMap<String, usize>,
    /// Summaries and histograms by family and labels: their lines make one metric.
    by_labels: HashMap<(usize, LabelPairs), usize>,
}

impl Reader<'_> {
    fn cur(&self) -> Step<u8> {
        self.input.get(self.pos).copied().ok_or(Stop::End)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.input.get(self.pos), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
    }

    fn page(&mut self) -> Step {
        loop {
            self.line += 1;
            self.skip_blanks();
            match self.input.get(self.pos) {
                None => return Ok(()),
                Some(b'\n') => {}
                Some(b'#') => self.comment()?,
                Some(_) => self.sample()?,
            }
            // Every line leaves the position at its end.
            self.pos += 1;
        }
    }

    fn skip_line(&mut self) -> Step {
        while self.cur()? != b'\n' {
            self.pos += 1;
        }
        Ok(())
    }

    fn word(&mut self) -> Step<String> {
        let start = self.pos;
        while !matches!(self.cur()?, b' ' | b'\t' | b'\n') {
            self.pos += 1;
        }
        Ok(String::from_utf8_lossy(&self.input[start..self.pos]).into_owned())
    }

    fn comment(&mut self) -> Step {
        self.pos += 1;
        self.skip_blanks();
        let keyword = self.word()?;
        if self.cur()? == b'\n' {
            return Ok(());
        }
        if keyword != "HELP" && keyword != "TYPE" {
            return self.skip_line();
        }
        self.skip_blanks();
        let name = self.name("metric name")?;
        if self.cur()? == b'\n' {
            return Ok(());
        }
        if !matches!(self.cur()?, b' ' | b'\t') {
            return stop("invalid metric name in comment");
        }
        let (family, _) = self.family(&name)?;
        self.skip_blanks();
        if self.cur()? == b'\n' {
            return Ok(());
        }
        if keyword == "HELP" {
            self.help(family)
        } else {
            self.kind(family)
        }
    }

    fn help(&mut self, family: usize) -> Step {
        if self.families[family].help.is_some() {
            let name = quote(&self.families[family].name);
            return stop(format!("second HELP line for metric name {name}"));
        }
        let mut text = Vec::new();
        loop {
            match self.cur()? {
                b'\n' => break,
                b'\\' => text.push(self.escape()?),
                byte => text.push(byte),
            }
            self.pos += 1;
        }
        self.families[family].help = Some(String::from_utf8_lossy(&text).into_owned());
        Ok(())
    }

    fn kind(&mut self, family: usize) -> Step {
        let draft = &mut self.families[family];
        if draft.kind.is_some() {
            let name = quote(&draft.name);
            return stop(format!(
                "second TYPE line for metric name {name}, or TYPE reported after samples"
            ));
        }
        let start = self.pos;
        while self.cur()? != b'\n' {
            self.pos += 1;
        }
        let text = String::from_utf8_lossy(&self.input[start..self.pos]);
        let kind = match text.to_ascii_lowercase().as_str() {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "summary" => MetricType::Summary,
            "untyped" => MetricType::Unknown,
            "histogram" => MetricType::Histogram,
            "gaugehistogram" | "gauge_histogram" => MetricType::GaugeHistogram,
            _ => return stop(format!("unknown metric type {}", quote(&text))),
        };
        self.families[family].kind = Some(kind);
        Ok(())
    }

    /// The byte that a backslash and the next byte stand for; the position is left on the latter.
    fn escape(&mut self) -> Step<u8> {
        self.pos += 1;
        match self.cur()? {
            byte @ (b'\\' | b'"') => Ok(byte),
            b'n' => Ok(b'\n'),
            byte => stop(format!("invalid escape sequence '\\{}'", char::from(byte))),
        }
    }

    /// A text in double quotes; the position is left behind it.
    fn quoted(&mut self, what: &str) -> Step<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            self.pos += 1;
            match self.cur()? {
                b'"' => break,
                b'\n' => {
                    let text = quote_bytes(&text);
                    return stop(format!("{what} {text} contains unescaped new-line"));
                }
                b'\\' => text.push(self.escape()?),
                byte => text.push(byte),
            }
        }
        self.pos += 1;
        Ok(text)
    }

    /// A metric or label name, in quotes or of the old alphabet; empty if there is none.
    fn name(&mut self, what: &str) -> Step<String> {
        if self.cur()? == b'"' {
            let name = self.quoted(what)?;
            return Ok(String::from_utf8_lossy(&name).into_owned());
        }
        let start = self.pos;
        let colons = what == "metric name";
        loop {
            let byte = self.cur()?;
            let accepted = byte.is_ascii_alphabetic()
                || byte == b'_'
                || (colons && byte == b':')
                || (self.pos > start && byte.is_ascii_digit());
            if !accepted {
                return Ok(String::from_utf8_lossy(&self.input[start..self.pos]).into_owned());
            }
            self.pos += 1;
        }
    }

    /// The family that a name belongs to, made if there is none.
    fn family(&mut self, name: &str) -> Step<(usize, Part)> {
        if !self.scheme.is_metric_name(name) {
            return if name.is_empty() {
                stop("invalid metric name")
            } else {
                stop(format!("invalid metric name {}", quote(name)))
            };
        }
        if let Some(family) = self.by_name.get(name) {
            return Ok((*family, Part::Whole));
        }
        for (suffix, part) in [
            ("_count", Part::Count),
            ("_sum", Part::Sum),
            ("_bucket", Part::Whole),
        ] {
            let base = name
                .strip_suffix(suffix)
                .and_then(|base| self.by_name.get(base));
            if let Some(family) = base {
                let draft = &self.families[*family];
                if draft.is_histogram() || (draft.is_summary() && suffix != "_bucket") {
                    return Ok((*family, part));
                }
            }
        }
        let family = self.families.len();
        self.by_name.insert(name.to_owned(), family);
        self.families.push(Draft {
            name: name.to_owned(),
            help: None,
            kind: None,
            metrics: Vec::new(),
        });
        Ok((family, Part::Whole))
    }

    fn sample(&mut self) -> Step {
        let mut found = None;
        if self.cur()? != b'{' {
            let name = self.name("metric name")?;
            found = Some(self.sample_family(&name)?);
            self.skip_blanks();
        }
        let mut labels = LabelPairs::new();
        if self.cur()? == b'{' {
            self.pos += 1;
            self.labels(&mut found, &mut labels)?;
            self.skip_blanks();
        }
        let Some((family, part)) = found else {
            return stop("invalid metric name");
        };
        let bound = self.take_bound(family, &mut labels)?;
        let value = self.value()?;
        let at = self.metric_at(family, labels);
        self.set(family, at, part, bound, value)?;
        if self.cur()? == b'\n' {
            return Ok(());
        }
        self.skip_blanks();
        let timestamp = self.word()?;
        let Ok(timestamp_ms) = parse_int(&timestamp, 10, 64) else {
            let timestamp = quote(&timestamp);
            return stop(format!("expected integer as timestamp, got {timestamp}"));
        };
        self.families[family].metrics[at].timestamp_ms = Some(timestamp_ms);
        let start = self.pos;
        self.skip_line()?;
        let rest = &self.input[start..self.pos];
        if !rest.is_empty() {
            return stop(format!(
                "spurious string after timestamp: {}",
                quote_bytes(rest)
            ));
        }
        Ok(())
    }

    /// The family of a sample, whose type is settled by now.
    fn sample_family(&mut self, name: &str) -> Step<(usize, Part)> {
        let found = self.family(name)?;
        self.families[found.0]
            .kind
            .get_or_insert(MetricType::Unknown);
        Ok(found)
    }

    /// The labels up to the closing brace, and the metric's name if it stands among them.
    fn labels(&mut self, found: &mut Option<(usize, Part)>, labels: &mut LabelPairs) -> Step {
        let inside = found.is_none();
        let mut named = false;
        let family_name = |reader: &Self, found: &Option<(usize, Part)>| {
            let name = found.map_or("", |(family, _)| reader.families[family].name.as_str());
            quote(name)
        };
        loop {
            self.skip_blanks();
            if self.cur()? == b'}' {
                self.pos += 1;
                return Ok(());
            }
            let name = self.name("label name")?;
            if name.is_empty() {
                let metric = family_name(self, found);
                return stop(format!("invalid label name for metric {metric}"));
            }
            self.skip_blanks();
            let byte = self.cur()?;
            if byte != b'=' && inside {
                if named {
                    let metric = family_name(self, found);
                    return stop(format!("multiple metric names for metric {metric}"));
                }
                if byte != b',' && byte != b'}' {
                    return stop(format!(
                        "unexpected end of metric name {}",
                        quote_byte(byte)
                    ));
                }
                *found = Some(self.sample_family(&name)?);
                named = true;
                self.pos += 1;
                if byte == b'}' {
                    return Ok(());
                }
                continue;
            }
            if byte != b'=' {
                let found = quote_byte(byte);
                return stop(format!("expected '=' after label name, found {found}"));
            }
            if name == METRIC_NAME {
                return stop(format!("label name {} is reserved", quote(METRIC_NAME)));
            }
            if !self.scheme.is_label_name(&name) {
                return stop(format!("invalid label name {}", quote(&name)));
            }
            if labels.iter().any(|(known, _)| *known == name) {
                let metric = family_name(self, found);
                return stop(format!("duplicate label names for metric {metric}"));
            }
            self.pos += 1;
            let value = self.label_value()?;
            labels.push((name, value));
            self.skip_blanks();
            match self.cur()? {
                b',' => self.pos += 1,
                b'}' => {}
                _ => {
                    let value = labels.last().map_or("", |(_, value)| value);
                    return stop(format!("unexpected end of label value {}", quote(value)));
                }
            }
        }
    }

    fn label_value(&mut self) -> Step<String> {
        self.skip_blanks();
        let byte = self.cur()?;
        if byte != b'"' {
            let found = quote_byte(byte);
            return stop(format!(
                "expected '\"' at start of label value, found {found}"
            ));
        }
        let value = self.quoted("label value")?;
        String::from_utf8(value).or_else(|error| {
            let value = quote_bytes(error.as_bytes());
            stop(format!("invalid label value {value}"))
        })
    }

    /// Takes the bound of a bucket or quantile out of the labels.
    fn take_bound(&self, family: usize, labels: &mut LabelPairs) -> Step<Option<f64>> {
        let draft = &self.families[family];
        let name = match draft.kind {
            Some(MetricType::Summary) => QUANTILE_LABEL,
            Some(MetricType::Histogram | MetricType::GaugeHistogram) => BUCKET_LABEL,
            _ => return Ok(None),
        };
        let Some(at) = labels.iter().position(|(n, _)| n == name) else {
            return Ok(None);
        };
        let (_, text) = labels.remove(at);
        match float(&text) {
            Some(bound) => Ok(Some(bound)),
            None => stop(format!(
                "expected float as value for '{name}' label, got {}",
                quote(&text)
            )),
        }
    }

    fn value(&mut self) -> Step<f64> {
        let text = self.word()?;
        match float(&text) {
            Some(value) => Ok(value),
            None => stop(format!("expected float as value, got {}", quote(&text))),
        }
    }

    /// The metric of these labels: the one there is for summaries and histograms, or else a new one.
    fn metric_at(&mut self, family: usize, labels: LabelPairs) -> usize {
        let draft = &mut self.families[family];
        let new = draft.metrics.len();
        let value = if draft.is_summary() {
            Value::Summary(Summary::default())
        } else if draft.is_histogram() {
            Value::Histogram(Histogram::default())
        } else {
            draft.metrics.push(Metric::new(labels, Value::Gauge(0.0)));
            return new;
        };
        let mut key = labels.clone();
        key.sort();
        let at = *self.by_labels.entry((family, key)).or_insert(new);
        if at == new {
            draft.metrics.push(Metric::new(labels, value));
        }
        at
    }

    fn set(
        &mut self,
        family: usize,
        at: usize,
        part: Part,
        bound: Option<f64>,
        value: f64,
    ) -> Step {
        let draft = &mut self.families[family];
        let count = if value.fract() == 0.0 {
            Count::Integer(value as u64)
        } else {
            Count::Float(value)
        };
        match &mut draft.metrics[at].value {
            Value::Summary(summary) => match (part, bound) {
                (Part::Count, _) => summary.count = value as u64,
                (Part::Sum, _) => summary.sum = value,
                (Part::Whole, Some(quantile)) => {
                    summary.quantiles.push(Quantile { quantile, value });
                }
                (Part::Whole, None) => {}
            },
            Value::Histogram(histogram) => match (part, bound) {
                (Part::Count, _) if value < 0.0 => {
                    let name = quote(&draft.name);
                    return stop(format!("negative count for histogram {name}"));
                }
                (Part::Count, _) => histogram.count = count,
                (Part::Sum, _) => histogram.sum = value,
                (Part::Whole, Some(_)) if value < 0.0 => {
                    let name = quote(&draft.name);
                    return stop(format!("negative bucket population for histogram {name}"));
                }
                (Part::Whole, Some(upper_bound)) => histogram.buckets.push(Bucket {
                    upper_bound,
                    cumulative_count: count,
                    exemplar: None,
                }),
                (Part::Whole, None) => {}
            },
            plain => {
                *plain = match draft.kind {
                    Some(MetricType::Counter) => Value::Counter(value),
                    Some(MetricType::Gauge) => Value::Gauge(value),
                    _ => Value::Untyped(value),
                };
            }
        }
        Ok(())
    }
}

fn quote_byte(byte: u8) -> String {
    golang::strconv::quote_rune(char::from(byte))
}

/// A float without the notations of Go 1.13.
fn float(text: &str) -> Option<f64> {
    if text.contains(['p', 'P', '_']) {
        return None;
    }
    parse_float(text).ok()
}
