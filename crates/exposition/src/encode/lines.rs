//! The two line formats (prometheus/common `expfmt/{text,openmetrics}_create.go`).

use model::MetricType;
use model::labels::{BUCKET_LABEL, QUANTILE_LABEL};
use model::names::{is_legacy_label_name, is_legacy_metric_name};

use super::{EncodeError, EncodeOptions, prototext};
use crate::float::{write_int, write_openmetrics, write_text};
use crate::{Count, Exemplar, Family, Histogram, Metric, Summary, Value};

/// Which of the two formats a line is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Text,
    OpenMetrics,
}

impl Dialect {
    pub(crate) fn float(self, out: &mut Vec<u8>, f: f64) {
        match self {
            Dialect::Text => write_text(out, f),
            Dialect::OpenMetrics => write_openmetrics(out, f),
        }
    }

    fn count(self, out: &mut Vec<u8>, count: Count) {
        match (self, count) {
            (Dialect::OpenMetrics, Count::Integer(n)) => write_int(out, n),
            (_, count) => self.float(out, count.as_f64()),
        }
    }

    pub(crate) fn timestamp(self, out: &mut Vec<u8>, timestamp_ms: Option<i64>) {
        if let Some(timestamp_ms) = timestamp_ms {
            out.push(b' ');
            match self {
                Dialect::Text => write_int(out, timestamp_ms),
                Dialect::OpenMetrics => write_openmetrics(out, timestamp_ms as f64 / 1000.0),
            }
        }
    }
}

pub(super) fn text(family: &Family, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if let Some(help) = &family.help {
        write_help(out, Dialect::Text, &family.name, help);
    }
    write_type(out, &family.name, text_type(family.kind));
    for metric in &family.metrics {
        write_metric(out, Dialect::Text, family, &family.name, metric)?;
    }
    Ok(())
}

pub(super) fn openmetrics(
    family: &Family,
    options: EncodeOptions,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut name = openmetrics_name(&family.name, family.kind).to_owned();
    if !family.unit.is_empty() && !name.ends_with(&format!("_{}", family.unit)) {
        name.push('_');
        name.push_str(&family.unit);
    }
    if let Some(help) = &family.help {
        write_help(out, Dialect::OpenMetrics, &name, help);
    }
    write_type(out, &name, openmetrics_type(&family.name, family.kind));
    if !family.unit.is_empty() {
        out.extend_from_slice(b"# UNIT ");
        write_name(out, &name);
        out.push(b' ');
        write_escaped(out, &family.unit, true);
        out.push(b'\n');
    }
    let total = family.kind == MetricType::Counter && family.name.ends_with("_total");
    let info = family.kind == MetricType::Info && family.name.ends_with("_info");
    let sample_name = match (total, info) {
        (true, _) => format!("{name}_total"),
        (_, true) => format!("{name}_info"),
        _ => name.clone(),
    };
    for metric in &family.metrics {
        write_metric(out, Dialect::OpenMetrics, family, &sample_name, metric)?;
        let has_created = total
            || matches!(metric.value, Value::Summary(_))
            || (matches!(metric.value, Value::Histogram(_))
                && family.kind == MetricType::Histogram);
        if let Some(created_ms) = metric
            .created_ms
            .filter(|_| options.created_lines && has_created)
        {
            write_series(
                out,
                &name,
                "_created",
                &metric.labels,
                None,
                Dialect::OpenMetrics,
            );
            out.push(b' ');
            write_openmetrics(out, created_ms as f64 / 1000.0);
            out.push(b'\n');
        }
    }
    Ok(())
}

/// The family name of OpenMetrics' comments: counters lose their `_total`, infos their `_info`.
pub(crate) fn openmetrics_name(name: &str, kind: MetricType) -> &str {
    match kind {
        MetricType::Counter => name.strip_suffix("_total").unwrap_or(name),
        MetricType::Info => name.strip_suffix("_info").unwrap_or(name),
        _ => name,
    }
}

/// A counter without `_total` is no counter for OpenMetrics.
pub(crate) fn openmetrics_type(name: &str, kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter if !name.ends_with("_total") => "unknown",
        MetricType::Info if !name.ends_with("_info") => "gauge",
        kind => kind.as_str(),
    }
}

/// The text format has five types only.
pub(crate) fn text_type(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Unknown => "untyped",
        MetricType::GaugeHistogram => "histogram",
        MetricType::Info | MetricType::Stateset => "gauge",
        kind => kind.as_str(),
    }
}

pub(crate) fn write_help(out: &mut Vec<u8>, dialect: Dialect, name: &str, help: &str) {
    out.extend_from_slice(b"# HELP ");
    write_name(out, name);
    out.push(b' ');
    write_escaped(out, help, dialect == Dialect::OpenMetrics);
    out.push(b'\n');
}

pub(crate) fn write_type(out: &mut Vec<u8>, name: &str, kind: &str) {
    out.extend_from_slice(b"# TYPE ");
    write_name(out, name);
    out.push(b' ');
    out.extend_from_slice(kind.as_bytes());
    out.push(b'\n');
}

fn write_metric(
    out: &mut Vec<u8>,
    dialect: Dialect,
    family: &Family,
    name: &str,
    metric: &Metric,
) -> Result<(), EncodeError> {
    let labels = &metric.labels[..];
    let expected = match (family.kind, &metric.value) {
        (MetricType::Counter, Value::Counter(f)) => {
            let exemplar = metric.exemplars.first();
            write_float_sample(
                out,
                dialect,
                name,
                labels,
                *f,
                metric.timestamp_ms,
                exemplar,
            );
            return Ok(());
        }
        (MetricType::Gauge | MetricType::Info | MetricType::Stateset, Value::Gauge(f))
        | (MetricType::Unknown, Value::Untyped(f)) => {
            write_float_sample(out, dialect, name, labels, *f, metric.timestamp_ms, None);
            return Ok(());
        }
        (MetricType::Summary, Value::Summary(summary)) => {
            write_summary(out, dialect, name, labels, summary, metric.timestamp_ms);
            return Ok(());
        }
        (MetricType::Histogram | MetricType::GaugeHistogram, Value::Histogram(histogram)) => {
            if dialect == Dialect::OpenMetrics && matches!(histogram.count, Count::Float(_)) {
                return Err(EncodeError::FloatHistogram {
                    family: family.name.clone(),
                    metric: prototext::compact_metric(metric),
                });
            }
            write_histogram(out, dialect, name, labels, histogram, metric.timestamp_ms);
            return Ok(());
        }
        (MetricType::Counter, _) => "counter",
        (MetricType::Gauge | MetricType::Info | MetricType::Stateset, _) => "gauge",
        (MetricType::Unknown, _) => "untyped",
        (MetricType::Summary, _) => "summary",
        (MetricType::Histogram | MetricType::GaugeHistogram, _) => "histogram",
    };
    Err(EncodeError::WrongValue {
        expected,
        family: family.name.clone(),
        metric: prototext::compact_metric(metric),
    })
}

fn write_float_sample(
    out: &mut Vec<u8>,
    dialect: Dialect,
    name: &str,
    labels: &[(String, String)],
    value: f64,
    timestamp_ms: Option<i64>,
    exemplar: Option<&Exemplar>,
) {
    write_series(out, name, "", labels, None, dialect);
    out.push(b' ');
    dialect.float(out, value);
    finish_line(out, dialect, timestamp_ms, exemplar);
}

pub(crate) fn write_summary<N: AsRef<str>, V: AsRef<str>>(
    out: &mut Vec<u8>,
    dialect: Dialect,
    name: &str,
    labels: &[(N, V)],
    summary: &Summary,
    timestamp_ms: Option<i64>,
) {
    for q in &summary.quantiles {
        write_series(
            out,
            name,
            "",
            labels,
            Some((QUANTILE_LABEL, q.quantile)),
            dialect,
        );
        out.push(b' ');
        dialect.float(out, q.value);
        finish_line(out, dialect, timestamp_ms, None);
    }
    write_series(out, name, "_sum", labels, None, dialect);
    out.push(b' ');
    dialect.float(out, summary.sum);
    finish_line(out, dialect, timestamp_ms, None);
    write_series(out, name, "_count", labels, None, dialect);
    out.push(b' ');
    dialect.count(out, Count::Integer(summary.count));
    finish_line(out, dialect, timestamp_ms, None);
}

pub(crate) fn write_histogram<N: AsRef<str>, V: AsRef<str>>(
    out: &mut Vec<u8>,
    dialect: Dialect,
    name: &str,
    labels: &[(N, V)],
    histogram: &Histogram,
    timestamp_ms: Option<i64>,
) {
    let mut bucket = |bound: f64, count: Count, exemplar: Option<&Exemplar>| {
        write_series(
            out,
            name,
            "_bucket",
            labels,
            Some((BUCKET_LABEL, bound)),
            dialect,
        );
        out.push(b' ');
        dialect.count(out, count);
        finish_line(out, dialect, timestamp_ms, exemplar);
    };
    let mut infinity_seen = false;
    for b in &histogram.buckets {
        bucket(b.upper_bound, b.cumulative_count, b.exemplar.as_ref());
        infinity_seen |= b.upper_bound == f64::INFINITY;
    }
    if !infinity_seen {
        bucket(f64::INFINITY, histogram.count, None);
    }
    write_series(out, name, "_sum", labels, None, dialect);
    out.push(b' ');
    dialect.float(out, histogram.sum);
    finish_line(out, dialect, timestamp_ms, None);
    write_series(out, name, "_count", labels, None, dialect);
    out.push(b' ');
    dialect.count(out, histogram.count);
    finish_line(out, dialect, timestamp_ms, None);
}

fn finish_line(
    out: &mut Vec<u8>,
    dialect: Dialect,
    timestamp_ms: Option<i64>,
    exemplar: Option<&Exemplar>,
) {
    dialect.timestamp(out, timestamp_ms);
    if let Some(exemplar) = exemplar.filter(|_| dialect == Dialect::OpenMetrics) {
        out.extend_from_slice(b" # ");
        write_label_block(out, None, &exemplar.labels, None, dialect);
        if exemplar.labels.is_empty() {
            out.extend_from_slice(b"{}");
        }
        out.push(b' ');
        dialect.float(out, exemplar.value);
        dialect.timestamp(out, exemplar.timestamp_ms);
    }
    out.push(b'\n');
}

/// Writes `name_suffix{labels,extra="bound"}`; a name beyond the old alphabet goes into the braces.
pub(crate) fn write_series<N: AsRef<str>, V: AsRef<str>>(
    out: &mut Vec<u8>,
    name: &str,
    suffix: &str,
    labels: &[(N, V)],
    extra: Option<(&str, f64)>,
    dialect: Dialect,
) {
    if is_legacy_metric_name(name) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(suffix.as_bytes());
        write_label_block(out, None, labels, extra, dialect);
    } else {
        write_label_block(out, Some((name, suffix)), labels, extra, dialect);
    }
}

fn write_label_block<N: AsRef<str>, V: AsRef<str>>(
    out: &mut Vec<u8>,
    quoted_name: Option<(&str, &str)>,
    labels: &[(N, V)],
    extra: Option<(&str, f64)>,
    dialect: Dialect,
) {
    let mut separator = b'{';
    if let Some((name, suffix)) = quoted_name {
        out.extend_from_slice(b"{\"");
        write_escaped(out, name, true);
        out.extend_from_slice(suffix.as_bytes());
        out.push(b'"');
        separator = b',';
    }
    for (name, value) in labels {
        out.push(separator);
        separator = b',';
        write_label_name(out, name.as_ref());
        out.extend_from_slice(b"=\"");
        write_escaped(out, value.as_ref(), true);
        out.push(b'"');
    }
    if let Some((name, bound)) = extra {
        out.push(separator);
        separator = b',';
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        dialect.float(out, bound);
        out.push(b'"');
    }
    if separator == b',' {
        out.push(b'}');
    }
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    if is_legacy_metric_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.push(b'"');
        write_escaped(out, name, true);
        out.push(b'"');
    }
}

fn write_label_name(out: &mut Vec<u8>, name: &str) {
    // Upstream checks label names by the rule of metric names; a colon must still be quoted for us
    // to read it back, and upstream reads it either way.
    if is_legacy_label_name(name) {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.push(b'"');
        write_escaped(out, name, true);
        out.push(b'"');
    }
}

/// Escapes backslashes, line feeds and, within quotes, double quotes.
pub(crate) fn write_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (i, b) in bytes.iter().enumerate() {
        let escape: &[u8] = match b {
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'"' if quotes => b"\\\"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[done..i]);
        out.extend_from_slice(escape);
        done = i + 1;
    }
    out.extend_from_slice(&bytes[done..]);
}
