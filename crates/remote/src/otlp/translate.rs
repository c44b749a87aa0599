//! From metrics of OpenTelemetry to series.

use std::collections::{BTreeMap, BTreeSet};

use model::{CounterResetHint, Exemplar, Labels, Metadata, MetricType, STALE_NAN};
use proto::otlp::common::any_value::Value as Any;
use proto::otlp::common::{AnyValue, InstrumentationScope, KeyValue};
use proto::otlp::metrics::metric::Data;
use proto::otlp::metrics::{
    self as m, AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, SummaryDataPoint, exemplar, number_data_point,
};
use storage::{AppendError, Appender, SeriesRef};

use super::histograms::{custom, exponential, is_stale};
use crate::receive::type_and_unit;

use super::names::{Shape, label_name, metric_name, unit_name};
use super::{OtlpSettings, Promote, Taken, ms};

const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// A request on its way into the store.
pub(crate) struct Translation<'a> {
    settings: &'a OtlpSettings,
    appender: Box<dyn Appender>,
    taken: Taken,
    /// Later samples are refused.
    latest_ms: i64,
}

/// What all series of a resource, or of a scope in it, have.
#[derive(Default)]
struct Common {
    /// Added where a point has no such label.
    promoted: Vec<(String, String)>,
    /// `job` and `instance`.
    identity: Vec<(String, String)>,
}

/// A metric's name and description.
struct Named<'a> {
    name: String,
    metadata: Metadata,
    common: &'a Common,
}

type Step = Result<(), AppendError>;

impl<'a> Translation<'a> {
    pub fn new(
        settings: &'a OtlpSettings,
        appender: Box<dyn Appender>,
        taken: Taken,
        latest_ms: i64,
    ) -> Translation<'a> {
        Translation {
            settings,
            appender,
            taken,
            latest_ms,
        }
    }

    /// Makes all of it durable.
    pub fn commit(self) -> Result<Taken, AppendError> {
        self.appender.commit()?;
        Ok(self.taken)
    }

    /// Takes the metrics of a resource.
    ///
    /// # Errors
    /// A store that takes nothing now.
    pub fn resource(&mut self, resource: &ResourceMetrics) -> Step {
        let attributes = resource
            .resource
            .as_ref()
            .map_or(&[][..], |r| &r.attributes);
        let identity = identity(attributes);
        let promoted = self.promoted(attributes);
        let mut times: Option<(i64, i64)> = None;
        for scope in &resource.scope_metrics {
            let mut common = Common {
                promoted: promoted.clone(),
                identity: identity.clone(),
            };
            if let (true, Some(found)) = (self.settings.promote_scope_metadata, &scope.scope) {
                common.promoted.extend(self.scope(found, &scope.schema_url));
            }
            for metric in &scope.metrics {
                if let Some((first, last)) = self.metric(metric, &common)? {
                    let (old_first, old_last) = times.unwrap_or((first, last));
                    times = Some((old_first.min(first), old_last.max(last)));
                }
            }
        }
        match times {
            Some(times) => self.target_info(attributes, &identity, times),
            None => Ok(()),
        }
    }

    fn promoted(&self, attributes: &[KeyValue]) -> Vec<(String, String)> {
        let wanted = |key: &str| match &self.settings.promote {
            Promote::These(keys) => keys.iter().any(|k| k == key),
            Promote::AllBut(keys) => !keys.iter().any(|k| k == key),
        };
        let chosen = attributes.iter().filter(|pair| wanted(&pair.key));
        chosen.map(|pair| self.label(pair)).collect()
    }

    fn label(&self, pair: &KeyValue) -> (String, String) {
        let name = label_name(&pair.key, self.settings.label_naming);
        (name, text_of(pair.value.as_ref()))
    }

    fn scope(&self, scope: &InstrumentationScope, schema_url: &str) -> Vec<(String, String)> {
        let mut labels = vec![
            ("otel_scope_name".to_owned(), scope.name.clone()),
            ("otel_scope_version".to_owned(), scope.version.clone()),
            ("otel_scope_schema_url".to_owned(), schema_url.to_owned()),
        ];
        labels.extend(scope.attributes.iter().map(|pair| {
            let key = format!("otel_scope_{}", pair.key);
            let name = label_name(&key, self.settings.label_naming);
            (name, text_of(pair.value.as_ref()))
        }));
        labels
    }

    /// The labels of a series that is named after a metric.
    fn labels_of(
        &self,
        metric: &Named<'_>,
        attributes: &[KeyValue],
        name: &str,
        more: &[(&str, &str)],
    ) -> Labels {
        self.labels(
            attributes,
            metric.common,
            name,
            Some(&metric.metadata),
            more,
        )
    }

    /// The labels of a series: `more` win over all others.
    fn labels(
        &self,
        attributes: &[KeyValue],
        common: &Common,
        name: &str,
        about: Option<&Metadata>,
        more: &[(&str, &str)],
    ) -> Labels {
        let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for pair in sorted {
            let (name, value) = self.label(pair);
            // Different attributes may become one label.
            labels
                .entry(name)
                .and_modify(|old| {
                    old.push(';');
                    old.push_str(&value);
                })
                .or_insert(value);
        }
        for (name, value) in &common.promoted {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (name, value) in &common.identity {
            labels.insert(name.clone(), value.clone());
        }
        if let (true, Some(about)) = (self.settings.type_and_unit_labels, about) {
            labels.extend(type_and_unit(about).map(|(n, v)| (n.to_owned(), v.to_owned())));
        }
        for (name, value) in more {
            labels.insert((*name).to_owned(), (*value).to_owned());
        }
        labels.insert("__name__".to_owned(), name.to_owned());
        Labels::from_pairs(labels)
    }

    fn fault(&mut self, points: usize, text: String) {
        self.taken.untranslated += points as u64;
        self.taken.first_fault.get_or_insert(text);
    }

    /// Takes a metric; answers its first and last time, if it has points.
    fn metric(
        &mut self,
        metric: &Metric,
        common: &Common,
    ) -> Result<Option<(i64, i64)>, AppendError> {
        let Some(data) = &metric.data else {
            self.fault(1, format!("metric {:?} has no data", metric.name));
            return Ok(None);
        };
        let is_delta = |temporality: i32| temporality == AggregationTemporality::Delta as i32;
        let fits = |temporality: i32| {
            temporality == AggregationTemporality::Cumulative as i32
                || (self.settings.native_deltas && is_delta(temporality))
        };
        // There is no type for deltas.
        let of_type = |temporality: i32, kind| match is_delta(temporality) {
            true => MetricType::Unknown,
            false => kind,
        };
        let (points, valid, shape, kind) = match data {
            Data::Gauge(gauge) => (
                gauge.data_points.len(),
                true,
                Shape::Gauge,
                MetricType::Gauge,
            ),
            Data::Sum(sum) if sum.is_monotonic => (
                sum.data_points.len(),
                fits(sum.aggregation_temporality),
                Shape::Counter,
                of_type(sum.aggregation_temporality, MetricType::Counter),
            ),
            Data::Sum(sum) => (
                sum.data_points.len(),
                fits(sum.aggregation_temporality),
                Shape::Other,
                of_type(sum.aggregation_temporality, MetricType::Gauge),
            ),
            Data::Histogram(h) => (
                h.data_points.len(),
                fits(h.aggregation_temporality),
                Shape::Other,
                of_type(h.aggregation_temporality, MetricType::Histogram),
            ),
            Data::ExponentialHistogram(h) => (
                h.data_points.len(),
                fits(h.aggregation_temporality),
                Shape::Other,
                of_type(h.aggregation_temporality, MetricType::Histogram),
            ),
            Data::Summary(summary) => (
                summary.data_points.len(),
                true,
                Shape::Other,
                MetricType::Summary,
            ),
        };
        if !valid {
            let name = &metric.name;
            self.fault(
                points,
                format!("invalid temporality and type combination for metric {name:?}"),
            );
            return Ok(None);
        }
        if points == 0 {
            self.fault(0, format!("empty data points. {} is dropped", metric.name));
            return Ok(None);
        }
        let named = Named {
            name: metric_name(&metric.name, &metric.unit, shape, self.settings.strategy),
            metadata: Metadata {
                metric_type: kind,
                unit: unit_name(&metric.unit),
                help: metric.description.clone(),
            },
            common,
        };
        let mut times: Option<(i64, i64)> = None;
        let mut seen = |nanos: u64| {
            let (first, last) = times.unwrap_or((ms(nanos), ms(nanos)));
            times = Some((first.min(ms(nanos)), last.max(ms(nanos))));
        };
        match data {
            Data::Gauge(m::Gauge { data_points }) | Data::Sum(m::Sum { data_points, .. }) => {
                for point in data_points {
                    seen(point.time_unix_nano);
                    self.number(&named, point)?;
                }
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    seen(point.time_unix_nano);
                    match self.settings.convert_histograms_to_nhcb {
                        true => self.custom_histogram(&named, point)?,
                        false => self.classic_histogram(&named, point)?,
                    }
                }
            }
            Data::ExponentialHistogram(histogram) => {
                for point in &histogram.data_points {
                    seen(point.time_unix_nano);
                    let labels = self.labels_of(&named, &point.attributes, &named.name, &[]);
                    let times = (ms(point.start_time_unix_nano), ms(point.time_unix_nano));
                    match exponential(point) {
                        Ok(h) => self.native(&named, &labels, times, h, &point.exemplars)?,
                        Err(text) => self.fault(1, text),
                    }
                }
            }
            Data::Summary(summary) => {
                for point in &summary.data_points {
                    seen(point.time_unix_nano);
                    self.summary(&named, point)?;
                }
            }
        }
        Ok(times)
    }

    fn number(&mut self, named: &Named<'_>, point: &NumberDataPoint) -> Step {
        let labels = self.labels_of(named, &point.attributes, &named.name, &[]);
        let value = match point.value {
            _ if is_stale(point.flags) => STALE_NAN,
            Some(number_data_point::Value::AsDouble(value)) => value,
            Some(number_data_point::Value::AsInt(value)) => value as f64,
            None => 0.0,
        };
        let times = (ms(point.start_time_unix_nano), ms(point.time_unix_nano));
        let reference = self.sample(&labels, times, value, Some(&named.metadata))?;
        // Of gauges nobody wants to know.
        match named.metadata.metric_type {
            MetricType::Counter | MetricType::Unknown => {
                self.exemplars(reference, &labels, &point.exemplars)
            }
            _ => Ok(()),
        }
    }

    fn classic_histogram(&mut self, named: &Named<'_>, point: &HistogramDataPoint) -> Step {
        let times = (ms(point.start_time_unix_nano), ms(point.time_unix_nano));
        let stale = is_stale(point.flags);
        let value = |value: f64| if stale { STALE_NAN } else { value };
        let metadata = Some(&named.metadata);
        if let Some(sum) = point.sum {
            let name = format!("{}_sum", named.name);
            let labels = self.labels_of(named, &point.attributes, &name, &[]);
            self.sample(&labels, times, value(sum), metadata)?;
        }
        let name = format!("{}_count", named.name);
        let labels = self.labels_of(named, &point.attributes, &name, &[]);
        self.sample(&labels, times, value(point.count as f64), metadata)?;
        let name = format!("{}_bucket", named.name);
        let mut cumulative: u64 = 0;
        let mut exemplars: Vec<&m::Exemplar> = point.exemplars.iter().collect();
        let counts = point.bucket_counts.iter().chain(std::iter::repeat(&0));
        let bounds = point.explicit_bounds.iter().zip(counts);
        let finite: Vec<(f64, u64)> = bounds
            .map(|(bound, count)| {
                cumulative = cumulative.saturating_add(*count);
                (*bound, cumulative)
            })
            .collect();
        for (bound, count) in finite.into_iter().chain([(f64::INFINITY, point.count)]) {
            let le = golang::strconv::format_float(bound, 'f', -1, 64);
            let labels = self.labels_of(named, &point.attributes, &name, &[("le", &le)]);
            let reference = self.sample(&labels, times, value(count as f64), metadata)?;
            let (own, rest) = (exemplars.into_iter()).partition(|e| exemplar_value(e) <= bound);
            exemplars = rest;
            let own: Vec<&m::Exemplar> = own;
            for one in own {
                self.exemplars(reference, &labels, std::slice::from_ref(one))?;
            }
        }
        Ok(())
    }

    fn custom_histogram(&mut self, named: &Named<'_>, point: &HistogramDataPoint) -> Step {
        let labels = self.labels_of(named, &point.attributes, &named.name, &[]);
        let times = (ms(point.start_time_unix_nano), ms(point.time_unix_nano));
        match custom(point) {
            Ok(h) => self.native(named, &labels, times, h, &point.exemplars),
            Err(text) => {
                self.fault(1, text);
                Ok(())
            }
        }
    }

    fn native(
        &mut self,
        named: &Named<'_>,
        labels: &Labels,
        (start_ms, t_ms): (i64, i64),
        mut histogram: model::Histogram,
        exemplars: &[m::Exemplar],
    ) -> Step {
        if named.metadata.metric_type == MetricType::Unknown {
            // A delta: it is not compared with the one before.
            histogram.counter_reset_hint = CounterResetHint::Gauge;
        }
        if !self.is_in_time(t_ms) {
            return Ok(());
        }
        let done = self
            .appender
            .append_histogram(0, labels, start_ms, t_ms, &histogram);
        let reference = self.settle(done)?;
        self.describe(reference, labels, &named.metadata);
        self.exemplars(reference, labels, exemplars)
    }

    fn summary(&mut self, named: &Named<'_>, point: &SummaryDataPoint) -> Step {
        let times = (ms(point.start_time_unix_nano), ms(point.time_unix_nano));
        let stale = is_stale(point.flags);
        let value = |value: f64| if stale { STALE_NAN } else { value };
        let metadata = Some(&named.metadata);
        for (suffix, number) in [("sum", point.sum), ("count", point.count as f64)] {
            let name = format!("{}_{suffix}", named.name);
            let labels = self.labels_of(named, &point.attributes, &name, &[]);
            self.sample(&labels, times, value(number), metadata)?;
        }
        for quantile in &point.quantile_values {
            let text = golang::strconv::format_float(quantile.quantile, 'f', -1, 64);
            let more = [("quantile", &*text)];
            let labels = self.labels_of(named, &point.attributes, &named.name, &more);
            self.sample(&labels, times, value(quantile.value), metadata)?;
        }
        Ok(())
    }

    /// What is known of the resource, as a series to join with.
    fn target_info(
        &mut self,
        attributes: &[KeyValue],
        identity: &[(String, String)],
        (first_ms, last_ms): (i64, i64),
    ) -> Step {
        let identifying = |pair: &&KeyValue| IDENTIFYING.contains(&&*pair.key);
        let others = attributes.iter().filter(|pair| !identifying(pair)).count();
        // Without others it says nothing, without identity it belongs to nothing.
        if others == 0 || identity.is_empty() {
            return Ok(());
        }
        let keep = self.settings.keep_identifying_resource_attributes;
        let shown: Vec<KeyValue> = attributes
            .iter()
            .filter(|pair| keep || !identifying(pair))
            .cloned()
            .collect();
        let common = Common {
            promoted: Vec::new(),
            identity: identity.to_vec(),
        };
        let labels = self.labels(&shown, &common, "target_info", None, &[]);
        let metadata = Metadata {
            metric_type: MetricType::Gauge,
            unit: String::new(),
            help: "Target metadata".to_owned(),
        };
        let step = (self.settings.lookback_ms / 2).max(1);
        // A request over a long time would make many of them.
        let mut t_ms = first_ms.max(last_ms.saturating_sub(step.saturating_mul(100)));
        let mut times = BTreeSet::new();
        while t_ms < last_ms {
            times.insert(t_ms);
            t_ms += step;
        }
        times.insert(last_ms);
        for t_ms in times {
            self.sample(&labels, (0, t_ms), 1.0, Some(&metadata))?;
        }
        Ok(())
    }

    fn sample(
        &mut self,
        labels: &Labels,
        (start_ms, t_ms): (i64, i64),
        value: f64,
        metadata: Option<&Metadata>,
    ) -> Result<SeriesRef, AppendError> {
        if !self.is_in_time(t_ms) {
            return Ok(0);
        }
        let done = self.appender.append(0, labels, start_ms, t_ms, value);
        let reference = self.settle(done)?;
        if let Some(metadata) = metadata {
            self.describe(reference, labels, metadata);
        }
        Ok(reference)
    }

    /// Refuses a sample that is too far ahead.
    fn is_in_time(&mut self, t_ms: i64) -> bool {
        let in_time = t_ms <= self.latest_ms;
        if !in_time {
            self.taken.refused += 1;
            let reason = &mut self.taken.first_refusal;
            reason.get_or_insert_with(|| crate::TOO_FAR_AHEAD.to_owned());
        }
        in_time
    }

    /// Counts what became of a sample; 0 for one that was refused.
    fn settle(&mut self, done: Result<SeriesRef, AppendError>) -> Result<SeriesRef, AppendError> {
        match done {
            Ok(reference) => {
                self.taken.samples += 1;
                Ok(reference)
            }
            Err(error @ (AppendError::Unavailable(_) | AppendError::Io(_))) => Err(error),
            Err(error) => {
                self.taken.refused += 1;
                self.taken
                    .first_refusal
                    .get_or_insert_with(|| error.to_string());
                Ok(0)
            }
        }
    }

    fn describe(&mut self, reference: SeriesRef, labels: &Labels, metadata: &Metadata) {
        if reference != 0 {
            // A comment on samples: failing to note it loses none.
            let _ = self.appender.update_metadata(reference, labels, metadata);
        }
    }

    fn exemplars(&mut self, reference: SeriesRef, labels: &Labels, list: &[m::Exemplar]) -> Step {
        if reference == 0 {
            return Ok(());
        }
        for one in list {
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let mut pairs = vec![
                ("trace_id".to_owned(), hex(&one.trace_id)),
                ("span_id".to_owned(), hex(&one.span_id)),
            ];
            let more = one.filtered_attributes.iter();
            pairs.extend(more.map(|pair| (pair.key.clone(), text_of(pair.value.as_ref()))));
            let mut exemplar = Exemplar {
                labels: Labels::from_pairs(pairs.clone()),
                value: exemplar_value(one),
                timestamp_ms: Some(ms(one.time_unix_nano)),
            };
            let done = self.appender.append_exemplar(reference, labels, &exemplar);
            if let Err(AppendError::ExemplarLabelLength) = done {
                // The ids matter more than what was filtered out.
                pairs.truncate(2);
                exemplar.labels = Labels::from_pairs(pairs);
                let _ = self.appender.append_exemplar(reference, labels, &exemplar);
            }
        }
        Ok(())
    }
}

fn exemplar_value(exemplar: &m::Exemplar) -> f64 {
    match exemplar.value {
        Some(exemplar::Value::AsDouble(value)) => value,
        Some(exemplar::Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

/// `job` and `instance`, as far as the resource says who it is.
fn identity(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let get = |key: &str| {
        let pair = attributes.iter().find(|pair| pair.key == key)?;
        Some(text_of(pair.value.as_ref()))
    };
    let mut labels = Vec::new();
    if let Some(name) = get("service.name") {
        let job = match get("service.namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        };
        labels.push(("job".to_owned(), job));
    }
    if let Some(instance) = get("service.instance.id") {
        labels.push(("instance".to_owned(), instance));
    }
    labels
}

/// A value as text: plain ones as they are, composed ones in JSON.
fn text_of(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::DoubleValue(number)) => golang::strconv::format_float(*number, 'f', -1, 64),
        Some(Any::BytesValue(bytes)) => base64(bytes),
        Some(composed) => json_of(composed).to_string(),
        None => String::new(),
    }
}

fn json_of(value: &Any) -> serde_json::Value {
    use serde_json::Value;
    let inner = |value: &Option<AnyValue>| {
        let inner = value.as_ref().and_then(|value| value.value.as_ref());
        inner.map_or(Value::Null, json_of)
    };
    match value {
        Any::StringValue(text) => Value::from(text.as_str()),
        Any::BoolValue(flag) => Value::from(*flag),
        Any::IntValue(number) => Value::from(*number),
        Any::DoubleValue(number) => Value::from(*number),
        Any::BytesValue(bytes) => Value::from(base64(bytes)),
        Any::ArrayValue(array) => array
            .values
            .iter()
            .map(|one| one.value.as_ref().map_or(Value::Null, json_of))
            .collect(),
        Any::KvlistValue(list) => {
            let pairs = list.values.iter();
            let map: serde_json::Map<String, Value> = pairs
                .map(|pair| (pair.key.clone(), inner(&pair.value)))
                .collect();
            Value::Object(map)
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
