//! Metrics of the requests that a service answers, by handler: `<prefix>_http_requests_total` and histograms of
//! how long answers took and how large they were.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
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
}

#[derive(Clone)]
struct Metrics {
    handlers: Handlers,
    requests: CounterVec,
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
    let metrics = Metrics {
        handlers,
        requests: registry.counter_vec(
            "requests_total",
            "Counter of HTTP requests.",
            &["handler", "code"],
        ),
        seconds: registry.histogram_vec(
            "request_duration_seconds",
            "Histogram of latencies for HTTP requests.",
            &["handler"],
            &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0],
        ),
        bytes: registry.histogram_vec(
            "response_size_bytes",
            "Histogram of response size for HTTP requests.",
            &["handler"],
            &telemetry::exponential_buckets(100.0, 10.0, 8),
        ),
    };
    for name in handlers.names {
        metrics.requests.with(&[name, "200"]);
    }
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
    let response = next.run(request).await;
    let code = response.status();
    metrics.requests.with(&[handler, code.as_str()]).inc();
    response.map(|inner| {
        Body::new(Counted {
            inner,
            bytes: 0,
            began,
            handler,
            metrics,
        })
    })
}

/// A body that notes, when it ends or is given up, how much of it was sent.
struct Counted {
    inner: Body,
    bytes: u64,
    began: Instant,
    handler: &'static str,
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
        let handler = [self.handler];
        let seconds = self.metrics.seconds.with(&handler);
        seconds.observe_duration(self.began.elapsed());
        self.metrics.bytes.with(&handler).observe(self.bytes as f64);
    }
}
