//! Metrics of the requests that a service answers, by handler: `<prefix>_http_requests_total` (Prometheus) and
//! histograms of how long answers took and how large they were.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use telemetry::{CounterVec, HistogramVec, Registry};

/// The handlers of a service as metrics name them.
#[derive(Debug, Clone, Copy)]
pub struct Handlers {
    /// All names; each is counted from the start, with 0 requests.
    pub names: &'static [&'static str],
    /// The name of a path's handler, without the prefix of all routes; `None`: it is not counted.
    pub of_path: fn(&str) -> Option<&'static str>,
    /// Whose metrics they are.
    pub form: Form,
}

/// The server whose metrics of requests a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A counter by handler and code, histograms by handler (prometheus/prometheus `web`).
    Prometheus,
    /// Histograms by handler and method, that of durations by code too (prometheus/alertmanager `api`,
    /// `cmd/alertmanager`).
    Alertmanager,
}

#[derive(Clone)]
struct Metrics {
    handlers: Handlers,
    requests: Option<CounterVec>,
    seconds: HistogramVec,
    bytes: HistogramVec,
}

/// Puts the metrics around a router.
pub(crate) fn observe(
    router: Router,
    handlers: Handlers,
    prefix: &str,
    registry: &Registry,
) -> Router {
    let registry = registry.with_prefix(&format!("{prefix}_http_"));
    let seconds = |labels: &[&str], bounds: &[f64]| {
        let help = "Histogram of latencies for HTTP requests.";
        registry.histogram_vec("request_duration_seconds", help, labels, bounds)
    };
    let bytes = |labels: &[&str], count| {
        let help = "Histogram of response size for HTTP requests.";
        let bounds = telemetry::exponential_buckets(100.0, 10.0, count);
        registry.histogram_vec("response_size_bytes", help, labels, &bounds)
    };
    let metrics = match handlers.form {
        Form::Prometheus => {
            let help = "Counter of HTTP requests.";
            let requests = registry.counter_vec("requests_total", help, &["handler", "code"]);
            for name in handlers.names {
                requests.with(&[name, "200"]);
            }
            let bounds = [0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
            Metrics {
                handlers,
                requests: Some(requests),
                seconds: seconds(&["handler"], &bounds),
                bytes: bytes(&["handler"], 8),
            }
        }
        Form::Alertmanager => Metrics {
            handlers,
            requests: None,
            seconds: seconds(&["handler", "method", "code"], telemetry::DEFAULT_BUCKETS),
            bytes: bytes(&["handler", "method"], 7),
        },
    };
    router.layer(axum::middleware::from_fn_with_state(
        Arc::new(metrics),
        around,
    ))
}

async fn around(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let Some(handler) = (metrics.handlers.of_path)(request.uri().path()) else {
        return next.run(request).await;
    };
    let method = method_label(request.method());
    let response = next.run(request).await;
    let code = response.status();
    if let Some(requests) = &metrics.requests {
        requests.with(&[handler, code.as_str()]).inc();
    }
    response.map(|inner| {
        Body::new(Counted {
            inner,
            bytes: 0,
            began,
            handler,
            method,
            code,
            metrics,
        })
    })
}

/// A method as client_golang's promhttp writes it; what clients make up is one.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::PUT => "put",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::DELETE => "delete",
        Method::CONNECT => "connect",
        Method::OPTIONS => "options",
        Method::PATCH => "patch",
        Method::TRACE => "trace",
        _ => "unknown",
    }
}

/// A body that notes, when it ends or is given up, how much of it was sent.
struct Counted {
    inner: Body,
    bytes: u64,
    began: Instant,
    handler: &'static str,
    method: &'static str,
    code: StatusCode,
    metrics: Arc<Metrics>,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes += data.len() as u64;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let labels = [self.handler, self.method, self.code.as_str()];
        let (seconds, bytes) = match self.metrics.handlers.form {
            Form::Prometheus => (1, 1),
            Form::Alertmanager => (3, 2),
        };
        let seconds = self.metrics.seconds.with(&labels[..seconds]);
        seconds.observe_duration(self.began.elapsed());
        let bytes = self.metrics.bytes.with(&labels[..bytes]);
        bytes.observe(self.bytes as f64);
    }
}
