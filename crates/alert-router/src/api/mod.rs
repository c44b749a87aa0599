//! HTTP: API v2 as upstream's OpenAPI file defines it, what is left of v1, and what our pages need
//! besides.

mod alerts;
mod answer;
mod filter;
mod pages;
mod silences;
mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use jiff::Timestamp;
use tower_http::cors::CorsLayer;

use crate::engine::Engine;
use crate::matcher::Mode;

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The router.
    pub engine: Engine,
    /// Notation of matchers.
    pub mode: Mode,
    /// When the service was started.
    pub started: Timestamp,
    /// `--web.get-concurrency`.
    pub get_concurrency: usize,
    /// `--web.timeout`; zero is no bound.
    pub timeout: Duration,
    /// `--log.silences`.
    pub log_silences: bool,
    in_flight: Arc<AtomicUsize>,
}

impl Api {
    /// The shared part of the handlers. A `get_concurrency` of 0 stands for the number of
    /// processors, but at least 8, as upstream has it.
    pub fn new(
        engine: Engine,
        mode: Mode,
        get_concurrency: usize,
        timeout: Duration,
        log_silences: bool,
    ) -> Api {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Api {
            started: engine.now(),
            engine,
            mode,
            get_concurrency: if get_concurrency == 0 {
                processors.max(8)
            } else {
                get_concurrency
            },
            timeout,
            log_silences,
            in_flight: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// All paths below `/api`.
    pub fn router(self) -> Router {
        let v2 = Router::new()
            .route("/status", get(status::status))
            .route("/receivers", get(status::receivers))
            .route("/alerts", get(alerts::list).post(alerts::post))
            .route("/alerts/groups", get(alerts::groups))
            .route("/silences", get(silences::list).post(silences::post))
            .route("/silence/{id}", get(silences::get).delete(silences::delete))
            .fallback(not_found)
            .method_not_allowed_fallback(not_allowed)
            .layer(middleware::map_response(no_store))
            .layer(CorsLayer::permissive().allow_methods([
                Method::GET,
                Method::POST,
                Method::HEAD,
            ]));
        let ours = Router::new()
            .route("/routes", get(pages::routes))
            .route("/routes/match", post(pages::match_routes))
            .route("/groups", get(pages::groups))
            .route("/notifications", get(pages::notifications))
            .fallback(not_found)
            .layer(middleware::map_response(no_store));
        Router::new()
            .nest("/api/v2", v2)
            .nest("/api/firewatch/v1", ours)
            .route("/api/v2/", any(not_found))
            .route("/api/v1", any(gone))
            .route("/api/v1/{*path}", any(gone))
            .layer(middleware::from_fn_with_state(self.clone(), limit))
            .with_state(self)
    }
}

async fn no_store(mut response: Response) -> Response {
    let value = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}

async fn not_found(uri: axum::extract::OriginalUri) -> Response {
    let message = format!("path {} was not found", uri.0.path());
    answer::problem(StatusCode::NOT_FOUND, 404, &message)
}

async fn not_allowed(method: Method, uri: axum::extract::OriginalUri) -> Response {
    let path = uri.0.path().trim_end_matches('/');
    let allowed = if path.ends_with("/alerts") || path.ends_with("/silences") {
        "POST,GET"
    } else if path.contains("/silence/") {
        "DELETE,GET"
    } else {
        "GET"
    };
    let message = format!("method {method} is not allowed, but [{allowed}] are");
    let mut response = answer::problem(StatusCode::METHOD_NOT_ALLOWED, 405, &message);
    let allow = HeaderValue::from_static(allowed);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// Every path of API v1.
async fn gone(method: Method, uri: Uri) -> Response {
    tracing::warn!(path = uri.path(), %method, "v1 API received a request on a removed endpoint");
    const BODY: &str = r#"{"status":"deprecated","error":"The Alertmanager v1 API was deprecated in version 0.16.0 and is removed as of version 0.27.0 - please use the equivalent route in the v2 API"}"#;
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::GONE, json, format!("{BODY}\n")).into_response()
}

/// Bounds the number of GET requests, and the time of any.
async fn limit(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let _guard = if is_get {
        let metrics = api.engine.metrics();
        let count = api.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let guard = InFlight(&api);
        metrics.requests_in_flight.set(count as f64);
        if count > api.get_concurrency {
            metrics.concurrency_exceeded.inc();
            let text = format!(
                "Limit of concurrent GET requests reached ({}), try again later.\n\n",
                api.get_concurrency
            );
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
        Some(guard)
    } else {
        None
    };
    if api.timeout.is_zero() {
        return next.run(request).await;
    }
    match tokio::time::timeout(api.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let ns = i64::try_from(api.timeout.as_nanos()).unwrap_or(i64::MAX);
            let timeout = golang::time::format_duration(ns);
            let text = format!("Exceeded configured timeout of {timeout}.\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

struct InFlight<'a>(&'a Api);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let rest = self.0.in_flight.fetch_sub(1, Ordering::Relaxed) - 1;
        self.0.engine.metrics().requests_in_flight.set(rest as f64);
    }
}
