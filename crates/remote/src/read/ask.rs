//! Asking: another store as a [`Queryable`].
//!
//! Selections wait for the network: they are made on threads that may block, within a tokio runtime
//! whose handle is given at the start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use http_client::{Client, ClientOptions, HttpClientConfig};
use model::annotations::Level;
use model::{Annotations, Labels, MatchKind, Matcher};
use prost::Message;
use proto::convert::{AnyHistogram, histogram_from_prometheus, labels_from_prometheus};
use proto::prometheus::{
    ChunkedReadResponse, LabelMatcher, Query, ReadHints, ReadRequest, ReadResponse, TimeSeries,
    read_request::ResponseType,
};
use storage::{
    ChunkEncoding, Columns, EncodedChunk, LabelHints, Querier, Queryable, SelectHints, Series,
    SeriesSet, StorageError,
};
use telemetry::{CounterVec, DEFAULT_BUCKETS, Gauge, GaugeVec, HistogramVec, Registry};
use tokio::runtime::Handle;

use super::{CHUNKS_TYPE, SAMPLES_TYPE, format_encoding, take_frame};
use crate::push::compress;
use crate::write::header_map;

/// The part of an error's answer that is read for the message.
const MAX_ERROR_BYTES: usize = 1024;
/// The largest answer in one piece: what snappy can hold is 4 GiB, which nobody wants in memory.
const MAX_SAMPLES_BYTES: usize = 512 << 20;

/// Another store, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteStoreConfig {
    pub name: String,
    pub url: String,
    pub shown_url: String,
    pub http: HttpClientConfig,
    pub headers: Vec<(String, String)>,
    pub timeout: Duration,
    /// Largest frame that is taken.
    pub chunked_read_limit: u64,
    /// Asked only by queries that have all of these.
    pub required_matchers: Vec<(String, String)>,
    /// Asked even for times of which our own store has everything.
    pub read_recent: bool,
    /// Whether queries are narrowed to our external labels.
    pub filter_external_labels: bool,
    pub user_agent: String,
}

/// `prometheus_remote_read_client_*`: the metrics of all remote stores.
#[derive(Clone)]
pub struct AskMetrics {
    queries: GaugeVec,
    total: CounterVec,
    seconds: HistogramVec,
}

/// Registers them.
pub fn ask_metrics(registry: &Registry) -> AskMetrics {
    let metrics = registry.with_prefix("prometheus_remote_read_client_");
    let labels = ["remote_name", "url"];
    let mut buckets = DEFAULT_BUCKETS.to_vec();
    buckets.extend([25.0, 60.0, 120.0, 300.0]);
    AskMetrics {
        queries: metrics.gauge_vec(
            "queries",
            "The number of in-flight remote read queries.",
            &labels,
        ),
        total: metrics.counter_vec(
            "queries_total",
            "The total number of remote read queries.",
            &["remote_name", "url", "response_type", "code"],
        ),
        seconds: metrics.histogram_vec(
            "request_duration_seconds",
            "Histogram of the latency for remote read requests. Note that for streamed responses this is only the duration of the initial call and does not include the processing of the stream.",
            &["remote_name", "url", "response_type"],
            &buckets,
        ),
    }
}

/// Answers the oldest time of our own store, in ms.
pub type LocalStart = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Another store.
pub struct RemoteStore {
    shared: Arc<Shared>,
}

struct Shared {
    config: RemoteStoreConfig,
    client: Client,
    headers: HeaderMap,
    external: Labels,
    local_start: LocalStart,
    handle: Handle,
    metrics: AskMetrics,
    in_flight: Gauge,
}

impl RemoteStore {
    /// A store that is asked on the current runtime.
    ///
    /// # Errors
    /// Settings that no client can be built from.
    pub fn new(
        config: RemoteStoreConfig,
        external: Labels,
        local_start: LocalStart,
        metrics: AskMetrics,
    ) -> Result<RemoteStore, String> {
        let options = ClientOptions {
            user_agent: config.user_agent.parse().ok(),
            ..ClientOptions::default()
        };
        let fail = |error: String| format!("remote read {}: {error}", config.shown_url);
        let client = Client::new(&config.http, options).map_err(|e| fail(e.to_string()))?;
        let headers = header_map(&config.headers).map_err(fail)?;
        let in_flight = metrics.queries.with(&[&config.name, &config.shown_url]);
        let external = match config.filter_external_labels {
            true => external,
            false => Labels::empty(),
        };
        Ok(RemoteStore {
            shared: Arc::new(Shared {
                config,
                client,
                headers,
                external,
                local_start,
                handle: Handle::current(),
                metrics,
                in_flight,
            }),
        })
    }
}

impl Queryable for RemoteStore {
    fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        let mut range = Some((min_ms, max_ms));
        if !self.shared.config.read_recent {
            let start_ms = (self.shared.local_start)();
            // What our own store has is not asked for.
            range = (min_ms <= start_ms).then_some((min_ms, max_ms.min(start_ms)));
        }
        Ok(Box::new(RemoteQuerier {
            shared: Arc::clone(&self.shared),
            range,
        }))
    }
}

struct RemoteQuerier {
    shared: Arc<Shared>,
    /// What is asked for, if anything.
    range: Option<(i64, i64)>,
}

impl Querier for RemoteQuerier {
    /// A store that fails is a warning, not an error: our own samples are there all the same.
    fn select(
        &self,
        sorted: bool,
        hints: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError> {
        let config = &self.shared.config;
        let is_required = |(name, value): &(String, String)| {
            let meets = |m: &Matcher| {
                m.kind == MatchKind::Equal && *m.name == **name && *m.value == **value
            };
            matchers.iter().any(meets)
        };
        let asked = config.required_matchers.iter().all(is_required);
        let Some((min_ms, max_ms)) = self.range.filter(|_| asked) else {
            return Ok(SeriesSet::default());
        };
        let mut wire: Vec<LabelMatcher> = matchers.iter().map(wire_matcher).collect();
        let mut added = Vec::new();
        for (name, value) in &self.shared.external {
            if matchers.iter().all(|m| *m.name != *name) {
                wire.push(wire_matcher(&Matcher::equal(name, value)));
                added.push(name.to_owned());
            }
        }
        let query = Query {
            start_timestamp_ms: min_ms,
            end_timestamp_ms: max_ms,
            matchers: wire,
            hints: Some(ReadHints {
                step_ms: hints.step_ms,
                func: hints.func.clone(),
                start_ms: hints.start_ms,
                end_ms: hints.end_ms,
                range_ms: hints.range_ms,
                ..ReadHints::default()
            }),
        };
        let ask = self.shared.ask(query);
        // Whatever thread this is: one of the runtime's own lets others take its place meanwhile.
        let answer = tokio::task::block_in_place(|| self.shared.handle.block_on(ask));
        let mut annotations = Annotations::default();
        let mut series = answer.unwrap_or_else(|error| {
            annotations.add(Level::Warning, format!("remote_read: {error}"));
            Vec::new()
        });
        if !added.is_empty() {
            for one in &mut series {
                one.labels = one.labels.without(|name| added.iter().any(|a| a == name));
            }
        }
        if sorted {
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        Ok(SeriesSet {
            series: series
                .into_iter()
                .map(|one| Arc::new(one) as Arc<dyn Series>)
                .collect(),
            annotations,
        })
    }

    /// The protocol has no such question; upstream warns in the same words.
    fn label_values(
        &self,
        _name: &str,
        _hints: &LabelHints,
        _matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        Ok((Vec::new(), self.not_implemented()))
    }

    fn label_names(
        &self,
        _hints: &LabelHints,
        _matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError> {
        Ok((Vec::new(), self.not_implemented()))
    }
}

impl RemoteQuerier {
    fn not_implemented(&self) -> Annotations {
        let mut annotations = Annotations::default();
        if self.range.is_some() {
            annotations.add(Level::Warning, "not implemented");
        }
        annotations
    }
}

fn wire_matcher(matcher: &Matcher) -> LabelMatcher {
    let kind = match matcher.kind {
        MatchKind::Equal => 0,
        MatchKind::NotEqual => 1,
        MatchKind::Regexp => 2,
        MatchKind::NotRegexp => 3,
    };
    LabelMatcher {
        r#type: kind,
        name: matcher.name.to_string(),
        value: matcher.value.to_string(),
    }
}

impl Shared {
    async fn ask(&self, query: Query) -> Result<Vec<RemoteSeries>, String> {
        let _in_flight = self.in_flight.guard();
        let exchange = self.exchange(query);
        match tokio::time::timeout(self.config.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "error sending request: Post {:?}: context deadline exceeded",
                self.config.shown_url
            )),
        }
    }

    async fn exchange(&self, query: Query) -> Result<Vec<RemoteSeries>, String> {
        let request = ReadRequest {
            queries: vec![query],
            accepted_response_types: vec![
                ResponseType::StreamedXorChunks as i32,
                ResponseType::Samples as i32,
            ],
        };
        let mut http = Request::new(Full::new(compress(&request.encode_to_vec())));
        *http.method_mut() = Method::POST;
        let url = &self.config.url;
        *http.uri_mut() = url.parse().map_err(|e| format!("{url}: {e}"))?;
        for (name, value) in [
            ("content-encoding", "snappy"),
            ("accept-encoding", "snappy"),
            ("content-type", SAMPLES_TYPE),
            ("x-prometheus-remote-read-version", "0.1.0"),
        ] {
            http.headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        http.headers_mut().extend(self.headers.clone());
        let begin = Instant::now();
        let sent = self.client.send(http).await;
        let response = sent.map_err(|e| {
            self.count("sampled", "0", begin);
            format!("error sending request: {e}")
        })?;
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or("");
        let content_type = content_type.to_owned();
        let streamed = content_type.starts_with(CHUNKS_TYPE);
        let kind = if streamed { "chunked" } else { "sampled" };
        self.count(kind, status.as_str(), begin);
        if !status.is_success() {
            let body = Limited::new(response.into_body(), MAX_ERROR_BYTES);
            let body = body.collect().await.map(|b| b.to_bytes());
            let text = body.unwrap_or_default();
            return Err(format!(
                "remote server {} returned http status {status}: {}",
                self.config.shown_url,
                String::from_utf8_lossy(&text).trim_end()
            ));
        }
        if streamed {
            return self.chunks(response.into_body()).await;
        }
        if content_type.starts_with(SAMPLES_TYPE) {
            let body = Limited::new(response.into_body(), MAX_SAMPLES_BYTES);
            let body = body.collect().await;
            let body = body.map_err(|e| format!("error reading response: {e}"))?;
            return samples(&body.to_bytes());
        }
        Err(format!("unsupported content type: {content_type}"))
    }

    fn count(&self, kind: &str, code: &str, begin: Instant) {
        let (name, url) = (&self.config.name, &self.config.shown_url);
        self.metrics.total.with(&[name, url, kind, code]).inc();
        let seconds = self.metrics.seconds.with(&[name, url, kind]);
        seconds.observe_duration(begin.elapsed());
    }

    async fn chunks<B>(&self, mut body: B) -> Result<Vec<RemoteSeries>, String>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let mut series: Vec<RemoteSeries> = Vec::new();
        let mut buffer = BytesMut::new();
        let limit = self.config.chunked_read_limit;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| format!("error reading response: {e}"))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            buffer.extend_from_slice(&data);
            while let Some((message, length)) = take_frame(&buffer, limit)? {
                let response = ChunkedReadResponse::decode(message).map_err(|e| e.to_string())?;
                take_chunks(response, &mut series)?;
                bytes::Buf::advance(&mut buffer, length);
            }
        }
        if !buffer.is_empty() {
            return Err("unexpected EOF".to_owned());
        }
        Ok(series)
    }
}

/// Adds the series of a frame; one that goes on is continued.
pub(super) fn take_chunks(
    response: ChunkedReadResponse,
    series: &mut Vec<RemoteSeries>,
) -> Result<(), String> {
    for found in response.chunked_series {
        let labels = labels_from_prometheus(&found.labels);
        if series.last().is_none_or(|last| last.labels != labels) {
            series.push(RemoteSeries::new(labels));
        }
        let Some(one) = series.last_mut() else {
            continue;
        };
        for chunk in found.chunks {
            let encoding = match chunk.r#type {
                1 => ChunkEncoding::Xor,
                2 => ChunkEncoding::Histogram,
                3 => ChunkEncoding::FloatHistogram,
                other => return Err(format!("unknown chunk encoding {other}")),
            };
            let format = format_encoding(encoding);
            let bytes = &chunk.data;
            let mut columns = Columns::default();
            tsdb::columns::decode_chunk(format, bytes, i64::MIN, i64::MAX, &mut columns)
                .map_err(|e| e.to_string())?;
            storage::merge::merge_columns(&mut one.columns, columns);
        }
    }
    Ok(())
}

/// The series of an answer in one piece.
pub(super) fn samples(body: &[u8]) -> Result<Vec<RemoteSeries>, String> {
    let corrupt = "error reading response: snappy: corrupt input";
    let length = snap::raw::decompress_len(body).map_err(|_| corrupt)?;
    if length > MAX_SAMPLES_BYTES {
        return Err(format!("the answer is {length} bytes, more than are taken"));
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(body);
    let response = ReadResponse::decode(&*bytes.map_err(|_| corrupt)?)
        .map_err(|e| format!("unable to unmarshal response body: {e}"))?;
    if response.results.len() != 1 {
        return Err(format!("responses: want 1, got {}", response.results.len()));
    }
    let found = response.results.into_iter().flat_map(|r| r.timeseries);
    found.map(|one| series_of(&one)).collect()
}

fn series_of(found: &TimeSeries) -> Result<RemoteSeries, String> {
    let mut series = RemoteSeries::new(labels_from_prometheus(&found.labels));
    let columns = &mut series.columns;
    let mut floats: Vec<(i64, f64)> = (found.samples.iter())
        .map(|s| (s.timestamp, s.value))
        .collect();
    floats.sort_by_key(|(t, _)| *t);
    floats.dedup_by_key(|(t, _)| *t);
    (columns.float_ms, columns.floats) = floats.into_iter().unzip();
    let histogram = |h| {
        let (t_ms, any) = histogram_from_prometheus(h);
        let checked = match any {
            AnyHistogram::Integer(h) => h.validate().map(|()| h.to_float()),
            AnyHistogram::Float(h) => h.validate().map(|()| h),
        };
        checked
            .map(|h| (t_ms, Arc::new(h)))
            .map_err(|e| e.to_string())
    };
    let mut histograms: Vec<_> = found
        .histograms
        .iter()
        .map(histogram)
        .collect::<Result<_, _>>()?;
    histograms.sort_by_key(|(t, _)| *t);
    histograms.dedup_by_key(|(t, _)| *t);
    (columns.histogram_ms, columns.histograms) = histograms.into_iter().unzip();
    Ok(series)
}

/// A series that another store sent.
pub(super) struct RemoteSeries {
    labels: Labels,
    columns: Columns,
}

impl RemoteSeries {
    fn new(labels: Labels) -> RemoteSeries {
        RemoteSeries {
            labels,
            columns: Columns::default(),
        }
    }
}

impl Series for RemoteSeries {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError> {
        let within = |times: &[i64]| {
            let from = times.partition_point(|t| *t < min_ms);
            from..times.partition_point(|t| *t <= max_ms).max(from)
        };
        let floats = within(&self.columns.float_ms);
        out.float_ms
            .extend_from_slice(&self.columns.float_ms[floats.clone()]);
        out.floats.extend_from_slice(&self.columns.floats[floats]);
        if !out.float_start_ms.is_empty() {
            out.float_start_ms.resize(out.float_ms.len(), 0);
        }
        let histograms = within(&self.columns.histogram_ms);
        out.histogram_ms
            .extend_from_slice(&self.columns.histogram_ms[histograms.clone()]);
        out.histograms
            .extend_from_slice(&self.columns.histograms[histograms]);
        if !out.histogram_start_ms.is_empty() {
            out.histogram_start_ms.resize(out.histogram_ms.len(), 0);
        }
        Ok(())
    }

    fn chunks(&self, min_ms: i64, max_ms: i64) -> Result<Vec<EncodedChunk>, StorageError> {
        let mut columns = Columns::default();
        self.decode(min_ms, max_ms, &mut columns)?;
        tsdb::columns::encode_columns(&columns)
    }
}
