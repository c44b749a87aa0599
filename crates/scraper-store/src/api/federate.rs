//! `/federate`: the newest samples of selected series as a page of metrics, in the format that the client
//! asks for. Native histograms are there in protobuf only.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use exposition::{
    Bucket, Count, Escaping, Family, Format, Histogram, LabelPairs, Metric, Native, Value, encode,
    negotiate,
};
use http_api::{ApiError, ErrorType, Params};
use model::{CounterResetHint, FloatHistogram, Labels, MetricType, is_stale};
use storage::{Columns, Queryable, SelectHints};

use super::{Api, plain_text};

/// What went wrong with federation, under upstream's names.
pub struct Faults {
    errors: telemetry::Counter,
}

impl Faults {
    /// Registers the counters.
    pub fn new(registry: &telemetry::Registry) -> Faults {
        let metrics = registry.with_prefix("prometheus_web_federation_");
        // Selecting samples warns of nothing here.
        metrics.counter(
            "warnings_total",
            "Total number of warnings that occurred while sending federation responses.",
        );
        Faults {
            errors: metrics.counter(
                "errors_total",
                "Total number of errors that occurred while sending federation responses.",
            ),
        }
    }
}

pub(super) async fn handle(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let mut params = Params::default();
    params.add_encoded(query.as_deref().unwrap_or(""));
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let format = negotiate(accept.unwrap_or(""), false, Escaping::default());
    let work = Arc::clone(&api);
    let page = tokio::task::spawn_blocking(move || page(&work, &params, format)).await;
    match page {
        Ok(Ok(page)) => ([(header::CONTENT_TYPE, format.content_type())], page).into_response(),
        Ok(Err(error)) => {
            api.federation.errors.inc();
            let status = StatusCode::from_u16(error.kind.status());
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            plain_text(status, &error.message)
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The newest sample of a series.
enum Newest {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

fn page(api: &Api, params: &Params, format: Format) -> Result<Vec<u8>, ApiError> {
    let mut samples = newest(api, params)?;
    samples.sort_by(|a, b| (a.0.metric_name(), &a.0).cmp(&(b.0.metric_name(), &b.0)));
    samples.dedup_by(|a, b| a.0 == b.0);
    let external = api.config.load().external_labels.clone();
    let mut families: Vec<Family> = Vec::new();
    for (labels, t_ms, sample) in &samples {
        let (kind, value) = match sample {
            Newest::Float(v) => (MetricType::Unknown, Value::Untyped(*v)),
            Newest::Histogram(h) if h.uses_custom_buckets() => (kind_of(h), classic(h)),
            Newest::Histogram(h) if format.syntax.is_protobuf() => (kind_of(h), native(h)),
            // Text has no way to say it.
            Newest::Histogram(_) => continue,
        };
        let mut metric = Metric::new(label_pairs(labels, &external), value);
        metric.timestamp_ms = Some(*t_ms);
        let name = labels.metric_name();
        match families.last_mut() {
            Some(family) if family.name == name && family.kind == kind => {
                family.push(metric);
            }
            // One name may come with samples of several kinds, as in storage.
            _ => {
                let mut family = Family::new(name, "", kind);
                family.help = None;
                family.push(metric);
                families.push(family);
            }
        }
    }
    let mut out = Vec::new();
    encode(&families, format, &mut out)
        .map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?;
    Ok(out)
}

/// The newest sample within the lookback of each selected series that has a name and is not stale.
fn newest(api: &Api, params: &Params) -> Result<Vec<(Labels, i64, Newest)>, ApiError> {
    let sets = http_api::parse_selectors(params.all("match[]"))?;
    let now_ms = api.now_ms();
    let start_ms = now_ms - api.lookback_delta_ms;
    let querier = api
        .db()
        .querier(start_ms, now_ms)
        .map_err(super::storage_error)?;
    let hints = SelectHints {
        start_ms,
        end_ms: now_ms,
        ..SelectHints::default()
    };
    let mut samples = Vec::new();
    let mut columns = Columns::default();
    for matchers in sets.iter().filter(|set| !set.is_empty()) {
        let set = querier
            .select(true, &hints, matchers)
            .map_err(super::storage_error)?;
        for series in set.series {
            columns.clear();
            series
                .decode(start_ms + 1, now_ms, &mut columns)
                .map_err(super::storage_error)?;
            let float = columns.float_ms.last().zip(columns.floats.last());
            let histogram = columns.histogram_ms.last().zip(columns.histograms.last());
            let (t_ms, sample) = match (float, histogram) {
                (Some((t, v)), h) if h.is_none_or(|(later, _)| later < t) && !is_stale(*v) => {
                    (*t, Newest::Float(*v))
                }
                (f, Some((t, h))) if f.is_none_or(|(later, _)| later < t) && !is_stale(h.sum) => {
                    (*t, Newest::Histogram(Arc::clone(h)))
                }
                _ => continue,
            };
            if series.labels().has("__name__") {
                samples.push((series.labels().clone(), t_ms, sample));
            }
        }
    }
    Ok(samples)
}

/// A series' labels, then the external ones that it has not, and an empty `instance` where there is none: the
/// scraping side would put its own in.
fn label_pairs(labels: &Labels, external: &Labels) -> LabelPairs {
    let own = labels.iter().filter(|(name, _)| *name != "__name__");
    let mut added: Vec<(&str, &str)> = external.iter().collect();
    if !external.has("instance") {
        added.push(("instance", ""));
        added.sort_unstable();
    }
    own.chain(added.into_iter().filter(|(name, _)| !labels.has(name)))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn kind_of(h: &FloatHistogram) -> MetricType {
    match h.counter_reset_hint {
        CounterResetHint::Gauge => MetricType::GaugeHistogram,
        _ => MetricType::Histogram,
    }
}

fn native(h: &FloatHistogram) -> Value {
    Value::Histogram(Histogram {
        count: Count::Float(h.count),
        sum: h.sum,
        buckets: Vec::new(),
        native: Some(Native::Float(h.clone())),
    })
}

/// A histogram with buckets of its own as a classic one.
fn classic(h: &FloatHistogram) -> Value {
    let counts: Vec<(f64, f64)> = h.positive().map(|b| (b.upper, b.count)).collect();
    let mut cumulative = 0.0;
    let mut next = counts.iter().peekable();
    let buckets = h
        .custom_values
        .iter()
        .map(|&upper_bound| {
            while let Some((_, count)) = next.next_if(|(upper, _)| *upper <= upper_bound) {
                cumulative += count;
            }
            Bucket {
                upper_bound,
                cumulative_count: Count::Float(cumulative),
                exemplar: None,
            }
        })
        .collect();
    Value::Histogram(Histogram {
        count: Count::Float(h.count),
        sum: h.sum,
        buckets,
        native: None,
    })
}
