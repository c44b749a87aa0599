//! What is answered before the store is open: that it is not ready yet, and how far it has come.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_api::Envelope;
use tower::ServiceExt;
use tsdb::db::Progress;

use crate::api::status::walreplay_json;

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

async fn pass(State(gate): State<Gate>, request: Request) -> Response {
    if let Some(router) = gate.inner.get() {
        return match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    if request.uri().path().ends_with("/api/v1/status/walreplay") {
        let body = Envelope::data(&walreplay_json(&gate.progress));
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response()
}
