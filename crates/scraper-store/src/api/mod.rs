//! HTTP API v1: one endpoint a file; here the state they share and the way from a request to an
//! answer.
//!
//! Handlers are plain functions from [`Call`] to bytes and run on blocking threads; a client that
//! goes away cancels its query.

mod admin;
mod discovery;
mod exemplars;
mod explain;
mod features;
pub mod federate;
mod label_values;
mod labels;
mod manners;
pub(crate) mod metadata;
mod notifications;
mod openapi;
mod otlp;
mod query;
mod query_range;
mod query_text;
pub mod read;
pub mod received;
mod rules;
mod self_metrics;
mod series;
pub mod status;
mod targets;
mod write;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, OriginalUri, Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http_api::{ApiError, Envelope, ErrorType, Params};
use model::{Annotations, Labels};
use promql::{CancelToken, QueryError, QueryOptions, StatsLevel};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use crate::features::ServerFeatures;
use crate::notifications::Notifications;
use crate::queries::{Asked, Origin, Queries};
use crate::remotes::{Stores, UNAVAILABLE};

pub use rules::RulesSource;

/// The largest form body, as Go's `ParseForm` has it.
const MAX_FORM_BYTES: usize = 10 << 20;

/// What the endpoints need.
pub struct Api {
    pub engine: Arc<promql::Engine>,
    /// Our own samples; an agent has none.
    pub db: Option<Arc<tsdb::Db>>,
    /// What queries are answered from: our own samples and those of `remote_read`.
    pub store: Arc<Stores>,
    /// Bounds of remote read.
    pub read: read::Limits,
    /// Absent where nothing is scraped (tests of the API).
    pub scrapes: Option<Arc<parking_lot::Mutex<scrape::Manager>>>,
    /// What the pages show of the configuration in force.
    pub config: Arc<ArcSwap<ConfigView>>,
    /// Every flag and its value, as strings.
    pub flags: BTreeMap<String, String>,
    pub rules: Option<Arc<dyn RulesSource>>,
    /// The current time in ms.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub lookback_delta_ms: i64,
    pub timeout: Duration,
    /// Where every query goes through.
    pub queries: Arc<Queries>,
    pub enable_admin: bool,
    pub enable_remote_write: bool,
    pub enable_otlp: bool,
    /// What becomes of OpenTelemetry's metrics; set on reload.
    pub otlp: ArcSwap<remote::otlp::OtlpSettings>,
    /// The sums of OpenTelemetry's deltas, where they are wanted.
    pub deltas: Option<Arc<remote::otlp::Deltas>>,
    /// What is counted of samples that are sent to us.
    pub received: received::Received,
    /// What is counted of `/federate`.
    pub federation: federate::Faults,
    /// Where samples go that are sent to us.
    pub appendable: Arc<dyn storage::Appendable>,
    /// Names of the remote write messages that are accepted.
    pub accepted_messages: Vec<String>,
    pub receiver: Arc<remote::Receiver>,
    /// What is the matter with the server.
    pub notifications: Arc<Notifications>,
    pub features: ServerFeatures,
    /// Our own metrics.
    pub metrics: telemetry::Registry,
    /// How far the start has come.
    pub replay: Arc<tsdb::db::Progress>,
    pub cors_origin: golang::regexp::Regexp,
    pub status: status::ServerStatus,
}

/// The configuration in force, as far as the API shows it.
#[derive(Clone, Debug, Default)]
pub struct ConfigView {
    /// YAML with defaults filled in and secrets hidden.
    pub yaml: String,
    pub external_labels: Labels,
    pub loaded_at_ms: i64,
    /// Whether the last attempt to load succeeded.
    pub reload_success: bool,
}

/// A request, parsed.
pub(crate) struct Call {
    pub params: Params,
    /// The variable part of the path, if the route has one.
    pub path_argument: String,
    pub cancel: CancelToken,
    /// Who asked.
    pub origin: Origin,
    /// How long it waited for its place among the queries that run.
    pub queued: Duration,
    /// The query, if it was parsed already.
    pub expr: Option<promql::ast::Expr>,
}

type Answer = Result<Vec<u8>, ApiError>;
type Handler = fn(&Api, &Call) -> Answer;

/// The routes below `/api/v1`.
pub fn router(api: Arc<Api>) -> Router {
    let both = |handler: Handler| -> MethodRouter<Arc<Api>> {
        let run =
            move |state: State<Arc<Api>>, request| plain(state.0, String::new(), request, handler);
        get(run).post(run)
    };
    let queries = |handler: Handler, once: bool| -> MethodRouter<Arc<Api>> {
        let run = move |state: State<Arc<Api>>, request| run_query(state.0, request, handler, once);
        get(run).post(run)
    };
    let only_get = |handler: Handler| -> MethodRouter<Arc<Api>> {
        get(move |state: State<Arc<Api>>, request| plain(state.0, String::new(), request, handler))
    };
    let with_name = |handler: Handler| -> MethodRouter<Arc<Api>> {
        get(
            move |state: State<Arc<Api>>, Path(name): Path<String>, request| {
                plain(state.0, name, request, handler)
            },
        )
    };
    let admin = |handler: Handler| -> MethodRouter<Arc<Api>> {
        let run =
            move |state: State<Arc<Api>>, request| plain(state.0, String::new(), request, handler);
        post(run).put(run)
    };
    let routes = Router::new()
        .route("/query", queries(query::handle, true))
        .route("/query_range", queries(query_range::handle, true))
        .route("/query_exemplars", both(exemplars::handle))
        .route("/format_query", both(query_text::format))
        .route("/parse_query", both(query_text::parse))
        .route("/firewatch/explain", queries(explain::handle, false))
        .route("/firewatch/discovery", only_get(discovery::handle))
        .route("/series", both(series::handle))
        .route("/labels", both(labels::handle))
        .route("/label/{name}/values", with_name(label_values::handle))
        .route("/label//values", only_get(label_values::handle))
        .route("/metadata", only_get(metadata::handle))
        .route("/targets", only_get(targets::active_and_dropped))
        .route("/targets/metadata", only_get(metadata::of_targets))
        .route("/targets/relabel_steps", only_get(targets::relabel_steps))
        .route("/scrape_pools", only_get(targets::scrape_pools))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(rules::alertmanagers))
        .route("/status/config", only_get(status::config))
        .route("/status/flags", only_get(status::flags))
        .route("/status/buildinfo", only_get(status::buildinfo))
        .route("/status/runtimeinfo", only_get(status::runtimeinfo))
        .route("/status/tsdb", only_get(status::tsdb))
        .route("/status/tsdb/blocks", only_get(status::blocks))
        .route("/status/self_metrics", only_get(self_metrics::handle))
        .route("/status/walreplay", only_get(status::walreplay))
        .route("/features", only_get(features::handle))
        .route("/notifications", only_get(notifications::list))
        .route("/notifications/live", get(notifications::live))
        .route("/openapi.yaml", get(openapi::handle))
        .route("/search/metric_names", both(status::no_search))
        .route("/search/label_names", both(status::no_search))
        .route("/search/label_values", both(status::no_search))
        .route("/write", post(write::handle))
        .route("/read", post(read::handle))
        .route("/otlp/v1/metrics", post(otlp::handle))
        .route("/admin/tsdb/delete_series", admin(admin::delete_series))
        .route(
            "/admin/tsdb/clean_tombstones",
            admin(admin::clean_tombstones),
        )
        .route("/admin/tsdb/snapshot", admin(admin::snapshot));
    let all = Router::new()
        .nest("/api/v1", routes)
        .merge(match api.db.is_some() {
            true => Router::new().route("/federate", get(federate::handle)),
            false => Router::new(),
        })
        .route("/version", get(status::version))
        .layer(
            CompressionLayer::new()
                .quality(CompressionLevel::Fastest)
                // Chunks are compressed already.
                .compress_when(
                    DefaultPredicate::new()
                        .and(NotForContentType::const_new(read::CHUNKS_MEDIA_TYPE)),
                ),
        )
        .with_state(Arc::clone(&api));
    // A fallback, since a route's list of methods would be added behind the back of layers around it.
    Router::new()
        .fallback_service(all)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api),
            agent,
        ))
        .layer(axum::middleware::from_fn_with_state(api, manners::apply))
}

/// Refuses what an agent cannot answer: it has targets, but no samples.
async fn agent(
    State(api): State<Arc<Api>>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let path = request.uri().path().strip_prefix("/api/v1/");
    if api.db.is_none() && path.is_some_and(|path| !crate::gate::is_of_agents(path)) {
        return failed(&ApiError::new(ErrorType::Execution, UNAVAILABLE));
    }
    next.run(request).await
}

/// A page of one line, as Go's `http.Error` writes it.
pub(crate) fn plain_text(status: StatusCode, text: impl std::fmt::Display) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, format!("{text}\n")).into_response()
}

async fn plain(
    api: Arc<Api>,
    path_argument: String,
    request: Request,
    handler: Handler,
) -> Response {
    run(api, path_argument, request, handler, None).await
}

/// How a query is run.
#[derive(Clone, Copy)]
struct Queried {
    /// How long it waited for its place.
    queued: Duration,
    /// It is evaluated once, not part by part.
    once: bool,
}

/// Runs a handler where it may block; that of a query right here
/// if it is small.
async fn run(
    api: Arc<Api>,
    path_argument: String,
    request: Request,
    handler: Handler,
    query: Option<Queried>,
) -> Response {
    let origin = Origin {
        client: request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .map(|peer| peer.0.ip()),
        method: request.method().to_string(),
        path: (request.extensions().get::<OriginalUri>())
            .map_or_else(|| request.uri().path(), |uri| uri.path())
            .to_owned(),
    };
    let params = match read_params(request).await {
        Ok(params) => params,
        Err(error) => return failed(&error),
    };
    let cancel = CancelToken::new();
    let guard = CancelOnDrop(cancel.clone());
    let mut call = Call {
        params,
        path_argument,
        cancel,
        origin,
        queued: query.map_or(Duration::ZERO, |query| query.queued),
        expr: None,
    };
    let once = query.is_some_and(|query| query.once);
    let answer = if once && api.is_small(&mut call) {
        // Waking another thread, and being woken by it, would take longer.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handler(&api, &call)))
            .map_err(drop)
    } else {
        tokio::task::spawn_blocking(move || handler(&api, &call))
            .await
            .map_err(drop)
    };
    std::mem::forget(guard);
    match answer {
        Ok(Ok(body)) if body.is_empty() => StatusCode::NO_CONTENT.into_response(),
        Ok(Ok(body)) => json(StatusCode::OK, body),
        Ok(Err(error)) => failed(&error),
        Err(_) => failed(&ApiError::new(
            ErrorType::Internal,
            "the handler panicked; see the log",
        )),
    }
}

/// [`run`] in one of the places for queries.
async fn run_query(api: Arc<Api>, request: Request, handler: Handler, once: bool) -> Response {
    match api.queries.place(api.timeout).await {
        Ok(place) => {
            run(
                Arc::clone(&api),
                String::new(),
                request,
                handler,
                Some(Queried {
                    queued: place.queued,
                    once,
                }),
            )
            .await
        }
        Err(error) => failed(&query_error(error)),
    }
}

/// Cancels the query when the request's future is dropped: its client went away.
pub(crate) struct CancelOnDrop(pub(crate) CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The parameters of a request: of a form body first, then of the query string.
async fn read_params(request: Request) -> Result<Params, ApiError> {
    let mut params = Params::default();
    let (parts, body) = request.into_parts();
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let is_form = content_type.is_some_and(|t| {
        t.split(';').next().is_some_and(|t| {
            t.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
    });
    if is_form && parts.method != Method::GET {
        let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES)
            .await
            .map_err(|e| ApiError::bad_data(format!("error parsing form values: {e}")))?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| ApiError::bad_data("error parsing form values: not UTF-8"))?;
        params.add_encoded(text);
    }
    params.add_encoded(parts.uri.query().unwrap_or(""));
    Ok(params)
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        Body::from(body),
    )
        .into_response()
}

pub(crate) fn failed(error: &ApiError) -> Response {
    let status =
        StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, Envelope::error(error))
}

impl Api {
    /// Our own samples.
    fn db(&self) -> &tsdb::Db {
        let db = self.db.as_deref();
        db.expect("an agent refuses requests that come here")
    }

    fn now_ms(&self) -> i64 {
        (self.now)()
    }

    /// The options of a query: the client's timeout and lookback, bounded by ours.
    fn query_options(&self, call: &Call) -> Result<QueryOptions, ApiError> {
        let mut timeout = self.timeout;
        if let text @ [_, ..] = call.params.get("timeout").as_bytes() {
            let text = String::from_utf8_lossy(text);
            let ms = http_api::parse_duration_ms(&text)
                .map_err(|e| ApiError::parameter("timeout", e))?;
            if ms <= 0 {
                // Upstream gives up before it begins, in Go's words.
                let text = "context deadline exceeded";
                return Err(ApiError::new(ErrorType::Execution, text));
            }
            timeout = timeout.min(std::time::Duration::from_millis(ms as u64));
        }
        let lookback_delta_ms = match call.params.get("lookback_delta") {
            "" => None,
            text => Some(http_api::parse_duration_ms(text).map_err(|e| {
                ApiError::bad_data(format!("error parsing lookback delta duration: {e}"))
            })?),
        };
        Ok(QueryOptions {
            lookback_delta_ms,
            cancel: call
                .cancel
                .with_deadline(std::time::Instant::now() + timeout),
            stats: if self.features.per_step_stats && call.params.get("stats") == "all" {
                StatsLevel::PerStep
            } else {
                StatsLevel::Totals
            },
        })
    }

    /// Whether a query is answered faster than handed to another thread. Parses it.
    fn is_small(&self, call: &mut Call) -> bool {
        let params = &call.params;
        let time = |name: &str| http_api::parse_time_ms(params.get(name)).ok();
        // What is wrong with the parameters the handler says.
        let times = match params.get("step") {
            "" => http_api::parse_time_or(params, "time", self.now_ms())
                .map_or((0, 0, 0), |t_ms| (t_ms, t_ms, 0)),
            step => match (
                time("start"),
                time("end"),
                http_api::parse_duration_ms(step),
            ) {
                (Some(start_ms), Some(end_ms), Ok(step_ms)) => (start_ms, end_ms, step_ms),
                _ => return false,
            },
        };
        let Ok(expr) = self.engine.parse(params.get("query")) else {
            return false;
        };
        let small = self.engine.is_small(&*self.store, &expr, times);
        call.expr = Some(expr);
        small
    }

    /// Runs a query at `start_ms`, ... `end_ms`; a step of 0 is that of a query for one moment.
    fn evaluate(
        &self,
        call: &Call,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
    ) -> Result<promql::QueryResult, ApiError> {
        let options = self.query_options(call)?;
        let query = call.params.get("query");
        let asked = Asked {
            query,
            start_ms,
            end_ms,
            step_ms,
            queued: call.queued,
            origin: Some(&call.origin),
        };
        let result = self.queries.run(&asked, || {
            let parsed;
            let expr = match &call.expr {
                Some(expr) => expr,
                None => {
                    parsed = self.engine.parse(query)?;
                    &parsed
                }
            };
            let (engine, db) = (&self.engine, &*self.store);
            if step_ms == 0 {
                engine.instant_expr(db, expr, query, start_ms, &options)
            } else {
                engine.range_expr(db, expr, query, start_ms, end_ms, step_ms, &options)
            }
        });
        result.map_err(query_error)
    }
}

/// The API's error for a failed query.
fn query_error(error: QueryError) -> ApiError {
    let kind = match error.error_type() {
        "bad_data" => return ApiError::parameter("query", error),
        "timeout" => ErrorType::Timeout,
        "canceled" => ErrorType::Canceled,
        "internal" => ErrorType::Internal,
        _ => ErrorType::Execution,
    };
    ApiError::new(kind, error.to_string())
}

fn storage_error(error: storage::StorageError) -> ApiError {
    match error {
        storage::StorageError::Canceled => ApiError::new(ErrorType::Canceled, error.to_string()),
        _ => ApiError::new(ErrorType::Execution, error.to_string()),
    }
}

/// Adds the warning that a result was cut at the client's limit.
fn truncated(annotations: &mut Annotations) {
    annotations.add(
        model::annotations::Level::Warning,
        "results truncated due to limit",
    );
}
