//! The pages: metrics, `/healthz`, and one that links to them.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use exposition::{Escaping, Writer, negotiate};
use telemetry::Registry;
use tokio::sync::mpsc;
use tower_http::compression::{CompressionLayer, CompressionLevel};

use crate::agent::{Agent, write_families};
use crate::engine_stats::Engines;
use crate::identity::Identities;
use crate::now_ms;

/// Parts of a page that wait for the reader.
const PARTS: usize = 2;

/// Where numbers come from that no cgroup tells, and of whom.
pub type Asked = (Arc<Engines>, Arc<Identities>);

struct Web {
    agent: Arc<Agent>,
    engines: Option<Asked>,
    registry: Registry,
}

/// The service's pages; `path` is that of the metrics.
pub fn router(agent: Arc<Agent>, engines: Option<Asked>, registry: Registry, path: &str) -> Router {
    let path = format!("/{}", path.trim_start_matches('/'));
    let landing = Html(format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"UTF-8\"><title>container-agent</title></head>\n\
         <body><h1>container-agent</h1><p>Version: {}</p>\n\
         <ul><li><a href=\".{path}\">Metrics</a></li></ul></body></html>\n",
        env!("CARGO_PKG_VERSION"),
    ));
    let compress = CompressionLayer::new().quality(CompressionLevel::Fastest);
    let mut pages = Router::new()
        .route(&path, get(metrics))
        .layer(compress)
        .with_state(Arc::new(Web {
            agent,
            engines,
            registry,
        }));
    if path != "/healthz" {
        pages = pages.route("/healthz", get(|| async { "ok" }));
    }
    if path != "/" {
        pages = pages.route("/", get(move || async move { landing }));
    }
    pages
}

async fn metrics(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let format = negotiate(accept.unwrap_or_default(), false, Escaping::Underscores);
    let told = match &web.engines {
        Some((engines, identities)) => engines.ask(identities.running()).await,
        None => Vec::new(),
    };
    // Some 10 KiB a container: it is written while it is read, and never in memory as a whole.
    let (parts, mut page) = mpsc::channel::<Result<Bytes, String>>(PARTS);
    tokio::task::spawn_blocking(move || {
        let to_page = parts.clone();
        // Where nobody reads any more, the rest of the page goes nowhere.
        let sink = move |part: &[u8]| {
            let _ = to_page.blocking_send(Ok(Bytes::copy_from_slice(part)));
        };
        let mut writer = Writer::with_sink(format, Box::new(sink));
        web.agent.write(now_ms(), &told, &mut writer);
        write_families(&web.registry.gather(), &mut writer);
        if let Err(error) = writer.finish() {
            tracing::error!(err = %error, "error gathering metrics");
            // The reader sees a page that breaks off, not one that is short.
            let _ = parts.blocking_send(Err(error.to_string()));
        }
    });
    // Compression asks once more after the end.
    let page = futures::stream::poll_fn(move |context| page.poll_recv(context));
    let content_type = [(header::CONTENT_TYPE, format.to_string())];
    (content_type, Body::from_stream(page)).into_response()
}
