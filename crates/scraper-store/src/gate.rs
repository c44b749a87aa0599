//! What is answered before the store is ready: that it is not, and how far it has come. Samples are
//! taken as soon as the store is open, while its log is still being read; what asks for samples is
//! refused until all of them are there.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_api::Envelope;
use tower::ServiceExt;
use tsdb::db::Progress;

use crate::api::status::WalReplay;

/// A router that can be served before what it routes to is there.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<OnceLock<Router>>,
    progress: Arc<Progress>,
}

impl Gate {
    /// A closed gate; `progress` is what `/api/v1/status/walreplay` tells of meanwhile.
    pub fn new(progress: Arc<Progress>) -> Gate {
        Gate {
            inner: Arc::default(),
            progress,
        }
    }

    /// Lets requests through to `router`; a gate opens once.
    pub fn open(&self, router: Router) {
        // A second call finds it open and changes nothing.
        let _ = self.inner.set(router);
    }

    /// The router to serve.
    pub fn router(&self) -> Router {
        Router::new().fallback(pass).with_state(self.clone())
    }
}

/// What looks at no samples, below `/api/v1/`: it is answered while they are still being read, and by an
/// agent, which has none.
const WITHOUT_SAMPLES: [&str; 15] = [
    "features",
    "notifications",
    "notifications/live",
    "openapi.yaml",
    "otlp/v1/metrics",
    "scrape_pools",
    "status/buildinfo",
    "status/config",
    "status/flags",
    "status/runtimeinfo",
    "status/self_metrics",
    "status/walreplay",
    "targets",
    "targets/relabel_steps",
    "write",
];

/// Whether an agent answers a path below `/api/v1/`.
pub(crate) fn is_of_agents(path: &str) -> bool {
    WITHOUT_SAMPLES.contains(&path) || ["metadata", "targets/metadata"].contains(&path)
}

fn is_early(path: &str) -> bool {
    match path.split_once("/api/v1/") {
        Some((_, rest)) => {
            WITHOUT_SAMPLES.contains(&rest) || ["format_query", "parse_query"].contains(&rest)
        }
        None => !path.ends_with("/federate"),
    }
}

async fn pass(State(gate): State<Gate>, request: Request) -> Response {
    let complete = gate.progress.done.load(Ordering::Acquire) || is_early(request.uri().path());
    if let Some(router) = gate.inner.get().filter(|_| complete) {
        return match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    if request.uri().path().ends_with("/api/v1/status/walreplay") {
        let body = Envelope::data(&WalReplay::of(&gate.progress));
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response()
}
