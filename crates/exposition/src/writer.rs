//! Printing a page line by line, without building families.

use model::MetricType;

use crate::encode::lines::{
    self, Dialect, openmetrics_name, openmetrics_type, text_type, write_help, write_series,
    write_type,
};
use crate::{EncodeError, Escaping, Family, Format, Histogram, Metric, Summary, Value, encode};

/// Writes a page of metrics in any format: a family, then its samples, then the next family.
///
/// For the line formats every call prints at once; for protobuf the families are collected and
/// encoded by [`Writer::finish`]. The caller sees to it that families are not interleaved.
///
/// ```
/// # use exposition::{Format, Writer};
/// # use model::MetricType;
/// let mut writer = Writer::new(Format::default());
/// writer.family("requests_total", "Requests served.", MetricType::Counter);
/// writer.sample(&[("code", "200")], 1e6);
/// assert_eq!(
///     writer.finish().unwrap(),
///     b"# HELP requests_total Requests served.\n# TYPE requests_total counter\nrequests_total{code=\"200\"} 1e+06\n"
/// );
/// ```
pub struct Writer {
    format: Format,
    out: Vec<u8>,
    name: String,
    kind: MetricType,
    families: Vec<Family>,
    /// Takes what is printed, part by part.
    sink: Option<Sink>,
    /// Why a part could not be encoded; the page fails at its end.
    failed: Option<EncodeError>,
}

/// Takes the parts of a page.
pub type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// A part is handed out when it is larger than this, at the next family.
const PART: usize = 32 * 1024;

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("format", &self.format)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer of an empty page.
    pub fn new(format: Format) -> Writer {
        Writer::with_buffer(format, Vec::with_capacity(32 * 1024))
    }

    /// A writer that appends to a buffer whose memory is to be used again.
    pub fn with_buffer(format: Format, out: Vec<u8>) -> Writer {
        Writer {
            format,
            out,
            name: String::new(),
            kind: MetricType::Unknown,
            families: Vec::new(),
            sink: None,
            failed: None,
        }
    }

    /// A writer that hands the page out in parts of some families each, so that a long one is never
    /// in memory as a whole. [`Writer::finish`] hands out the last part, and gives an empty rest.
    pub fn with_sink(format: Format, sink: Sink) -> Writer {
        Writer {
            sink: Some(sink),
            ..Writer::with_buffer(format, Vec::with_capacity(2 * PART))
        }
    }

    /// Begins a family: prints its `# HELP` and `# TYPE` lines.
    pub fn family(&mut self, name: &str, help: &str, kind: MetricType) -> &mut Self {
        self.kind = kind;
        if self.sink.is_some() {
            self.hand_out(PART);
        }
        if self.format.syntax.is_protobuf() {
            self.families.push(Family::new(name, help, kind));
            return self;
        }
        self.name.clear();
        self.name.push_str(&self.format.escaping.escape(name));
        let name = self.name.as_str();
        match self.dialect() {
            Dialect::Text => {
                write_help(&mut self.out, Dialect::Text, name, help);
                write_type(&mut self.out, name, text_type(kind));
            }
            Dialect::OpenMetrics => {
                let short = openmetrics_name(name, kind);
                write_help(&mut self.out, Dialect::OpenMetrics, short, help);
                write_type(&mut self.out, short, openmetrics_type(name, kind));
            }
        }
        self
    }

    /// Adds a counter, gauge, info, stateset or untyped sample to the family begun last.
    pub fn sample<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        labels: &[(N, V)],
        value: f64,
    ) -> &mut Self {
        self.sample_at(labels, value, None)
    }

    /// [`Writer::sample`] with an explicit timestamp.
    pub fn sample_at<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        labels: &[(N, V)],
        value: f64,
        timestamp_ms: Option<i64>,
    ) -> &mut Self {
        if self.format.syntax.is_protobuf() {
            let value = match self.kind {
                MetricType::Counter => Value::Counter(value),
                MetricType::Unknown => Value::Untyped(value),
                _ => Value::Gauge(value),
            };
            self.collect(labels, value, timestamp_ms);
            return self;
        }
        let dialect = self.dialect();
        self.series(labels);
        self.out.push(b' ');
        dialect.float(&mut self.out, value);
        dialect.timestamp(&mut self.out, timestamp_ms);
        self.out.push(b'\n');
        self
    }

    /// Adds a histogram's lines to the family begun last.
    pub fn histogram<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        labels: &[(N, V)],
        histogram: &Histogram,
    ) -> &mut Self {
        if self.format.syntax.is_protobuf() {
            self.collect(labels, Value::Histogram(histogram.clone()), None);
            return self;
        }
        let dialect = self.dialect();
        let labels = escaped(labels, self.format.escaping);
        lines::write_histogram(&mut self.out, dialect, &self.name, &labels, histogram, None);
        self
    }

    /// Adds a summary's lines to the family begun last.
    pub fn summary<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        labels: &[(N, V)],
        summary: &Summary,
    ) -> &mut Self {
        if self.format.syntax.is_protobuf() {
            self.collect(labels, Value::Summary(summary.clone()), None);
            return self;
        }
        let dialect = self.dialect();
        let labels = escaped(labels, self.format.escaping);
        lines::write_summary(&mut self.out, dialect, &self.name, &labels, summary, None);
        self
    }

    /// Ends the page and hands it out.
    ///
    /// # Errors
    /// [`EncodeError`] for protobuf, where a family has no name or a value not of its type.
    pub fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        if self.format.syntax.is_protobuf() {
            encode(&self.families, self.format, &mut self.out)?;
            self.families.clear();
        } else if self.format.syntax.is_openmetrics() {
            self.out.extend_from_slice(b"# EOF\n");
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.hand_out(1);
        Ok(self.out)
    }

    /// Gives the sink what there is, if it is at least that long.
    fn hand_out(&mut self, least: usize) {
        let Some(sink) = &mut self.sink else { return };
        if !self.families.is_empty() {
            let encoded = encode(&self.families, self.format, &mut self.out);
            self.failed = self.failed.take().or(encoded.err());
            self.families.clear();
        }
        if self.out.len() >= least {
            sink(&self.out);
            self.out.clear();
        }
    }

    fn dialect(&self) -> Dialect {
        if self.format.syntax.is_openmetrics() {
            Dialect::OpenMetrics
        } else {
            Dialect::Text
        }
    }

    fn series<N: AsRef<str>, V: AsRef<str>>(&mut self, labels: &[(N, V)]) {
        let dialect = self.dialect();
        let escaping = self.format.escaping;
        let is_legacy = |(name, _): &(N, V)| model::names::is_legacy_label_name(name.as_ref());
        if escaping == Escaping::AllowUtf8
            || (escaping != Escaping::Dots && labels.iter().all(is_legacy))
        {
            write_series(&mut self.out, &self.name, "", labels, None, dialect);
        } else {
            let labels = escaped(labels, escaping);
            write_series(&mut self.out, &self.name, "", &labels, None, dialect);
        }
    }

    fn collect<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        labels: &[(N, V)],
        value: Value,
        timestamp_ms: Option<i64>,
    ) {
        let labels = labels
            .iter()
            .map(|(n, v)| (n.as_ref().to_owned(), v.as_ref().to_owned()))
            .collect();
        let mut metric = Metric::new(labels, value);
        metric.timestamp_ms = timestamp_ms;
        if let Some(family) = self.families.last_mut() {
            family.push(metric);
        }
    }
}

fn escaped<N: AsRef<str>, V: AsRef<str>>(
    labels: &[(N, V)],
    escaping: Escaping,
) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|(n, v)| {
            (
                escaping.escape(n.as_ref()).into_owned(),
                v.as_ref().to_owned(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::negotiate;

    fn fill(mut writer: Writer) -> Vec<u8> {
        for family in 0..40 {
            writer.family(&format!("family_{family}"), "Help.", MetricType::Gauge);
            for series in 0..100 {
                writer.sample(&[("series", series.to_string())], f64::from(series));
            }
        }
        writer.finish().unwrap()
    }

    #[test]
    fn parts_make_the_page() {
        for accept in [
            "",
            "application/openmetrics-text",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
        ] {
            let format = negotiate(accept, false, Escaping::Underscores);
            let whole = fill(Writer::new(format));
            let parts = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
            let kept = Arc::clone(&parts);
            let sink = move |part: &[u8]| kept.lock().unwrap().push(part.to_vec());
            let rest = fill(Writer::with_sink(format, Box::new(sink)));
            assert!(rest.is_empty());
            let parts = parts.lock().unwrap();
            assert!(parts.len() > 1, "{} parts with {accept}", parts.len());
            assert!(parts.iter().all(|part| part.len() < 2 * PART));
            assert_eq!(parts.concat(), whole, "{accept}");
        }
    }
}
