//! `thanos.Query`: PromQL over gRPC, series after series.
//!
//! Thanos' times are whole seconds. Our own clients add the exact moment in milliseconds as request
//! metadata ([`EXACT_TIME`]), so that rules are evaluated on time to the millisecond; others never
//! see it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use model::FloatHistogram;
use promql::{CancelToken, QueryError, QueryOptions, QueryResult, SampleValue, Value};
use proto::convert::{float_histogram_to_prometheus, labels_to_thanos};
use proto::prometheus::{Histogram, Sample};
use proto::prometheus_copy::TimeSeries;
use proto::thanos::query_server::Query;
use proto::thanos::{
    QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, QueryStats,
    query_range_response, query_response,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::api::Api;
use crate::queries::Asked;

/// Request metadata: the evaluation time in milliseconds.
pub const EXACT_TIME: &str = "firewatch-time-ms";

pub(super) struct QueryService {
    pub api: Arc<Api>,
}

type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Query for QueryService {
    type QueryStream = ResponseStream<QueryResponse>;
    type QueryRangeStream = ResponseStream<QueryRangeResponse>;

    async fn query(
        &self,
        request: Request<QueryRequest>,
    ) -> Result<Response<Self::QueryStream>, Status> {
        let exact_ms = exact_time(request.metadata())?;
        let request = request.into_inner();
        let t_ms = exact_ms.unwrap_or(request.time_seconds.saturating_mul(1000));
        let bounds = Bounds::new(request.timeout_seconds, request.lookback_delta_seconds);
        let result = self
            .evaluate(bounds, move |api, options, queued| {
                let query = request.query.as_str();
                let asked = Asked {
                    query,
                    start_ms: t_ms,
                    end_ms: t_ms,
                    step_ms: 0,
                    queued,
                    origin: None,
                };
                (api.queries).run(&asked, || {
                    api.engine.instant(&*api.store, query, t_ms, options)
                })
            })
            .await?;
        let frames = frames(result).map(|frame| {
            use query_response::Result as Frame;
            let result = match frame {
                AnyFrame::Warning(text) => Frame::Warnings(text),
                AnyFrame::Series(series) => Frame::Timeseries(series),
                AnyFrame::Stats(stats) => Frame::Stats(stats),
            };
            Ok(QueryResponse {
                result: Some(result),
            })
        });
        Ok(Response::new(stream::iter(frames).boxed()))
    }

    async fn query_range(
        &self,
        request: Request<QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        let request = request.into_inner();
        if request.interval_seconds <= 0 {
            return Err(Status::invalid_argument(
                "interval_seconds must be positive",
            ));
        }
        if request.end_time_seconds < request.start_time_seconds {
            return Err(Status::invalid_argument(
                "end timestamp must not be before start time",
            ));
        }
        let [start_ms, end_ms, step_ms] = [
            request.start_time_seconds,
            request.end_time_seconds,
            request.interval_seconds,
        ]
        .map(|seconds| seconds.saturating_mul(1000));
        let bounds = Bounds::new(request.timeout_seconds, request.lookback_delta_seconds);
        let result = self
            .evaluate(bounds, move |api, options, queued| {
                let query = request.query.as_str();
                let asked = Asked {
                    query,
                    start_ms,
                    end_ms,
                    step_ms,
                    queued,
                    origin: None,
                };
                (api.queries).run(&asked, || {
                    api.engine
                        .range(&*api.store, query, start_ms, end_ms, step_ms, options)
                })
            })
            .await?;
        let frames = frames(result).map(|frame| {
            use query_range_response::Result as Frame;
            let result = match frame {
                AnyFrame::Warning(text) => Frame::Warnings(text),
                AnyFrame::Series(series) => Frame::Timeseries(series),
                AnyFrame::Stats(stats) => Frame::Stats(stats),
            };
            Ok(QueryRangeResponse {
                result: Some(result),
            })
        });
        Ok(Response::new(stream::iter(frames).boxed()))
    }
}

fn exact_time(metadata: &MetadataMap) -> Result<Option<i64>, Status> {
    let Some(value) = metadata.get(EXACT_TIME) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| {
        Status::invalid_argument(format!(
            "metadata {EXACT_TIME}: not a number of milliseconds"
        ))
    })
}

/// What the client bounds a query by; zero means: nothing.
struct Bounds {
    timeout: Option<Duration>,
    lookback_delta_ms: Option<i64>,
}

impl Bounds {
    fn new(timeout_seconds: i64, lookback_seconds: i64) -> Bounds {
        let positive = |seconds: i64| (seconds > 0).then_some(seconds);
        Bounds {
            timeout: positive(timeout_seconds).map(|s| Duration::from_secs(s as u64)),
            lookback_delta_ms: positive(lookback_seconds).map(|s| s.saturating_mul(1000)),
        }
    }
}

impl QueryService {
    /// Runs a query on a blocking thread; a client that hangs up cancels it.
    async fn evaluate(
        &self,
        bounds: Bounds,
        run: impl FnOnce(&Api, &QueryOptions, Duration) -> Result<QueryResult, QueryError>
        + Send
        + 'static,
    ) -> Result<QueryResult, Status> {
        let api = Arc::clone(&self.api);
        let timeout = bounds.timeout.map_or(api.timeout, |t| t.min(api.timeout));
        let cancel = CancelToken::new();
        let guard = crate::api::CancelOnDrop(cancel.clone());
        let options = QueryOptions {
            lookback_delta_ms: bounds.lookback_delta_ms,
            cancel: cancel.with_deadline(Instant::now() + timeout),
            ..QueryOptions::default()
        };
        let place = api.queries.place(api.timeout).await.map_err(status)?;
        let queued = place.queued;
        let result = tokio::task::spawn_blocking(move || run(&api, &options, queued))
            .await
            .map_err(|_| Status::internal("the query panicked; see the log"))?;
        std::mem::forget(guard);
        result.map_err(status)
    }
}

fn status(error: QueryError) -> Status {
    let text = error.to_string();
    match error.error_type() {
        "bad_data" => Status::invalid_argument(text),
        "timeout" => Status::deadline_exceeded(text),
        "canceled" => Status::cancelled(text),
        "internal" => Status::internal(text),
        _ => Status::aborted(text),
    }
}

enum AnyFrame {
    Warning(String),
    Series(TimeSeries),
    Stats(QueryStats),
}

/// An answer as frames: warnings, series, then what it cost.
fn frames(result: QueryResult) -> impl Iterator<Item = AnyFrame> + Send {
    let warnings: Vec<String> = result.annotations.warnings().map(str::to_owned).collect();
    let stats = QueryStats {
        samples_total: result.stats.samples.total_queryable_samples as i64,
        peak_samples: result.stats.samples.peak_samples as i64,
    };
    let warnings = warnings.into_iter().map(AnyFrame::Warning);
    let series = series(result.value).into_iter().map(AnyFrame::Series);
    warnings
        .chain(series)
        .chain(std::iter::once(AnyFrame::Stats(stats)))
}

/// Every kind of value as series: a scalar is one without labels, as Thanos has it.
fn series(value: Value) -> Vec<TimeSeries> {
    match value {
        Value::Scalar { t_ms, v } => vec![TimeSeries {
            samples: vec![Sample {
                value: v,
                timestamp: t_ms,
            }],
            ..TimeSeries::default()
        }],
        Value::String { .. } => Vec::new(),
        Value::Vector(vector) => vector
            .into_iter()
            .map(|element| {
                let mut series = TimeSeries {
                    labels: labels_to_thanos(&element.labels),
                    ..TimeSeries::default()
                };
                match element.value {
                    SampleValue::Float(value) => {
                        series.samples.push(Sample {
                            value,
                            timestamp: element.t_ms,
                        });
                    }
                    SampleValue::Histogram(h) => {
                        series
                            .histograms
                            .push(float_histogram_to_prometheus(element.t_ms, &h));
                    }
                }
                series
            })
            .collect(),
        Value::Matrix(matrix) => matrix
            .into_iter()
            .map(|series| {
                let samples = series.float_ms.iter().zip(&series.floats);
                let histograms = series.histogram_ms.iter().zip(&series.histograms);
                TimeSeries {
                    labels: labels_to_thanos(&series.labels),
                    samples: samples
                        .map(|(t, v)| Sample {
                            value: *v,
                            timestamp: *t,
                        })
                        .collect(),
                    histograms: histograms.map(|(t, h)| histogram(*t, h)).collect(),
                    ..TimeSeries::default()
                }
            })
            .collect(),
    }
}

fn histogram(t_ms: i64, h: &FloatHistogram) -> Histogram {
    float_histogram_to_prometheus(t_ms, h)
}
