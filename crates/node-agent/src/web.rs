//! The page of metrics, `?collect[]=`, `?exclude[]=`, and the page that links to it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use exposition::{Escaping, Writer, negotiate};
use service::Boot;
use telemetry::{CounterVec, Gauge};
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use crate::Collectors;

struct Web {
    boot: Boot,
    collectors: Collectors,
    /// Leave `--web.disable-exporter-metrics` out of the page.
    own_metrics: bool,
    limit: Option<(Semaphore, usize)>,
    requests: CounterVec,
    errors: CounterVec,
    in_flight: Gauge,
}

/// The service's pages: `--web.telemetry-path` and `/`.
pub fn router(boot: &Boot, collectors: Collectors) -> Router {
    let args = &boot.args;
    let requests = boot.metrics.counter_vec(
        "promhttp_metric_handler_requests_total",
        "Total number of scrapes by HTTP status code.",
        &["code"],
    );
    for code in ["200", "500", "503"] {
        requests.with(&[code]);
    }
    let errors = boot.metrics.counter_vec(
        "promhttp_metric_handler_errors_total",
        "Total number of internal errors encountered by the promhttp metric handler.",
        &["cause"],
    );
    for cause in ["encoding", "gathering"] {
        errors.with(&[cause]);
    }
    let limit = args.count("web.max-requests");
    let path = match args.str("web.telemetry-path") {
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    let web = Web {
        boot: boot.clone(),
        collectors,
        own_metrics: !args.bool("web.disable-exporter-metrics"),
        limit: (limit > 0).then(|| (Semaphore::new(limit), limit)),
        requests,
        errors,
        in_flight: boot.metrics.gauge(
            "promhttp_metric_handler_requests_in_flight",
            "Current number of scrapes being served.",
        ),
    };
    let landing = Html(format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"UTF-8\"><title>Node Exporter</title></head>\n\
         <body><h1>Node Exporter</h1><p>Prometheus Node Exporter, served by node-agent</p>\n\
         <p>Version: {}</p>\n<ul><li><a href=\"{path}\">Metrics</a></li></ul></body></html>\n",
        env!("CARGO_PKG_VERSION"),
    ));
    let compress = CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest);
    let pages = Router::new().route(&path, get(metrics)).layer(compress);
    let pages = pages.with_state(Arc::new(web));
    if path == "/" {
        return pages;
    }
    pages.route("/", get(move || async move { landing }))
}

async fn metrics(
    State(web): State<Arc<Web>>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let values = |key: &str| -> Vec<String> {
        let matching = query.iter().filter(|(name, _)| name == key);
        matching.map(|(_, value)| value.clone()).collect()
    };
    let (collect, exclude) = (values("collect[]"), values("exclude[]"));
    if let Err(refusal) = check(&web.collectors, &collect, &exclude) {
        return (StatusCode::BAD_REQUEST, refusal).into_response();
    }
    let permit = match &web.limit {
        None => None,
        Some((free, limit)) => match free.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let text =
                    format!("Limit of concurrent requests reached ({limit}), try again later.\n");
                web.requests.with(&["503"]).inc();
                return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
            }
        },
    };
    let in_flight = web.in_flight.guard();
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let format = negotiate(accept.unwrap_or_default(), false, Escaping::Underscores);
    let worker = web.clone();
    let page = tokio::task::spawn_blocking(move || {
        let mut others = worker.boot.metrics.gather();
        // What runs is said all the same.
        others.retain(|family| worker.own_metrics || family.name == "node_exporter_build_info");
        let wanted = |name: &str| {
            (collect.is_empty() || collect.iter().any(|c| c == name))
                && !exclude.iter().any(|e| e == name)
        };
        let mut writer = Writer::new(format);
        worker.collectors.scrape(&wanted, &others, &mut writer);
        writer.finish()
    });
    let page = page.await;
    drop(in_flight);
    drop(permit);
    let (code, response) = match page {
        Ok(Ok(body)) => {
            let kind = [(header::CONTENT_TYPE, format.to_string())];
            ("200", (kind, body).into_response())
        }
        failed => {
            let (cause, error) = match failed {
                Ok(Err(error)) => ("encoding", error.to_string()),
                _ => ("gathering", "the scrape was cut off".to_owned()),
            };
            web.errors.with(&[cause]).inc();
            tracing::error!(err = error, "error gathering metrics");
            let text = format!("An error has occurred while serving metrics:\n\n{error}\n");
            (
                "500",
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response(),
            )
        }
    };
    web.requests.with(&[code]).inc();
    response
}

/// Upstream's answers to filters that name what is not there.
fn check(collectors: &Collectors, collect: &[String], exclude: &[String]) -> Result<(), String> {
    if !collect.is_empty() && !exclude.is_empty() {
        return Err("Combined collect and exclude queries are not allowed.".to_owned());
    }
    for name in collect {
        if collectors.names().any(|enabled| enabled == name) {
            continue;
        }
        let flag = format!("collector.{name}");
        let known = crate::FLAGS.iter().any(|f| f.name == flag) && !name.contains('.');
        let what = if known {
            "disabled collector"
        } else {
            "missing collector"
        };
        return Err(format!(
            "Couldn't create filtered metrics handler: couldn't create collector: {what}: {name}"
        ));
    }
    Ok(())
}
