//! `push metrics`: a page of metrics by remote write 1.0.

use std::collections::BTreeMap;
use std::io::Read;

use exposition::{Family, Metric, Value};
use golang::strconv::format_float;
use model::names::ValidationScheme;
use model::{Labels, MetricType};
use proto::prometheus::metric_metadata::MetricType as WireType;
use proto::prometheus::{Label, MetricMetadata, Sample, TimeSeries, WriteRequest};
use remote::push::{Push, body};
use service::flags::Call;

use crate::output::open_error;
use crate::query::{client, parse_header, runtime};
use crate::{FAILURE, time};

/// `push metrics`.
pub fn run(call: &Call) -> u8 {
    let mut code = 0;
    let files = call.words("metric-files");
    if files.is_empty() {
        println!("Parsing standard input");
        let mut text = Vec::new();
        let read = std::io::stdin().read_to_end(&mut text);
        let sent = read
            .map_err(|e| e.to_string())
            .and_then(|_| send(call, &text));
        code = report(sent, "  SUCCESS: metrics pushed to remote write.");
    }
    for file in files {
        println!("Parsing metrics file {file}");
        let read = std::fs::read(file).map_err(|e| open_error(file, &e));
        let sent = read.and_then(|text| send(call, &text));
        let success = format!("  SUCCESS: metrics file {file} pushed to remote write.");
        code = code.max(report(sent, &success));
    }
    code
}

fn report(sent: Result<(), String>, success: &str) -> u8 {
    match sent {
        Ok(()) => {
            println!("{success}");
            0
        }
        Err(error) => {
            eprintln!("  FAILED: {error}");
            FAILURE
        }
    }
}

fn send(call: &Call, text: &[u8]) -> Result<(), String> {
    let families =
        exposition::parse_families(text, ValidationScheme::Legacy).map_err(|e| e.to_string())?;
    let pair = |text: &String| {
        let (name, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    let extra: Vec<(String, String)> = call.flags.list("label").iter().map(pair).collect();
    let mut headers = http::HeaderMap::new();
    for header in call.flags.list("header") {
        let (name, value) = parse_header(header)?;
        headers.append(name, value);
    }
    let url = call.word("remote-write-url").to_owned();
    let push = Push::new(client(call)?, url, headers, call.flags.duration("timeout"));
    let request = request(&families, &extra, time::now_ms());
    runtime()?
        .block_on(push.send(body(&request)))
        .map_err(|e| e.to_string())
}

/// Families as a request; samples without a time get `now_ms`.
fn request(families: &[Family], extra: &[(String, String)], now_ms: i64) -> WriteRequest {
    let mut sorted: Vec<&Family> = families.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut request = WriteRequest::default();
    for family in sorted {
        request.metadata.push(MetricMetadata {
            r#type: wire_type(family.kind) as i32,
            metric_family_name: family.name.clone(),
            help: family.help.clone().unwrap_or_default(),
            unit: family.unit.clone(),
        });
        for metric in &family.metrics {
            let mut sink = Sink {
                series: &mut request.timeseries,
                family: &family.name,
                metric,
                extra,
                t_ms: metric.timestamp_ms.unwrap_or(now_ms),
            };
            sink.metric();
        }
    }
    request
}

fn wire_type(kind: MetricType) -> WireType {
    match kind {
        MetricType::Counter => WireType::Counter,
        MetricType::Gauge => WireType::Gauge,
        MetricType::Histogram => WireType::Histogram,
        MetricType::GaugeHistogram => WireType::Gaugehistogram,
        MetricType::Summary => WireType::Summary,
        MetricType::Info => WireType::Info,
        MetricType::Stateset => WireType::Stateset,
        MetricType::Unknown => WireType::Unknown,
    }
}

/// Where the series of a metric go.
struct Sink<'a> {
    series: &'a mut Vec<TimeSeries>,
    family: &'a str,
    metric: &'a Metric,
    extra: &'a [(String, String)],
    t_ms: i64,
}

impl Sink<'_> {
    fn metric(&mut self) {
        match &self.metric.value {
            Value::Summary(summary) => {
                for quantile in &summary.quantiles {
                    let bound = ("quantile", format_float(quantile.quantile, 'g', -1, 64));
                    self.add("", Some(bound), quantile.value);
                }
                self.add("_count", None, summary.count as f64);
                self.add("_sum", None, summary.sum);
            }
            Value::Histogram(histogram) => {
                for bucket in &histogram.buckets {
                    let bound = ("le", format_float(bucket.upper_bound, 'g', -1, 64));
                    self.add("_bucket", Some(bound), bucket.cumulative_count.as_f64());
                }
                self.add("_count", None, histogram.count.as_f64());
                self.add("_sum", None, histogram.sum);
            }
            Value::Counter(v) | Value::Gauge(v) | Value::Untyped(v) => self.add("", None, *v),
        }
    }

    fn add(&mut self, suffix: &str, bound: Option<(&str, String)>, value: f64) {
        let mut labels: BTreeMap<&str, &str> = self
            .metric
            .labels
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        labels.extend(self.extra.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        if let Some((name, text)) = &bound {
            labels.insert(name, text);
        }
        let name = format!("{}{suffix}", self.family);
        labels.insert(model::labels::METRIC_NAME, &name);
        let labels = Labels::from_pairs(labels);
        self.series.push(TimeSeries {
            labels: labels
                .iter()
                .map(|(name, value)| Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
            samples: vec![Sample {
                value,
                timestamp: self.t_ms,
            }],
            ..TimeSeries::default()
        });
    }
}
