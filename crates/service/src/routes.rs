//! The paths every service has, around its own.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use telemetry::{CounterVec, Gauge};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::{Boot, HttpOptions};

/// The service's router with the kit's paths before it, below the prefix. A panic in a handler is a
/// 500 and a log line.
pub(crate) fn assemble(boot: &Boot, router: Router, options: &HttpOptions) -> Router {
    let mut kit = Router::new()
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", any(reload));
    if boot.program.quit {
        kit = kit.route("/-/quit", any(quit));
    }
    let kit = kit
        .method_not_allowed_fallback(async || {
            let mut page = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
            page.headers_mut().insert(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            );
            page
        })
        .with_state(boot.clone());
    let mut all = kit;
    if let Some(path) = &options.metrics_path {
        all = all.merge(metrics_page(boot, path));
    }
    let mut all = all.fallback_service(router);
    if let Some(handlers) = options.handlers {
        // Around it as a whole: also what has no route is counted.
        let observed = Router::new().fallback_service(all);
        let prefix = boot.program.metric_prefix;
        all = crate::request_metrics::observe(observed, handlers, prefix, &boot.metrics);
    }
    let prefix = options.prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return catch_panics(all);
    }
    let prefix = if prefix.starts_with('/') {
        prefix.to_owned()
    } else {
        format!("/{prefix}")
    };
    let home = format!("{prefix}/");
    let to_home = move || {
        let home = home.clone();
        async move { (StatusCode::FOUND, [(header::LOCATION, home)]) }
    };
    catch_panics(
        Router::new()
            .route("/", any(to_home.clone()))
            .route(&prefix, any(to_home))
            .fallback_service(StripPrefix { prefix, inner: all }),
    )
}

/// Cuts the prefix off a request's path; what is not below it is not found. It is no route with a
/// wildcard, since that would be one more parameter of the paths within.
#[derive(Clone)]
struct StripPrefix {
    /// With a slash before it and none behind.
    prefix: String,
    inner: Router,
}

impl tower::Service<Request> for StripPrefix {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = <Router as tower::Service<Request>>::Future;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        tower::Service::<Request>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let path = request.uri().path_and_query();
        let rest = path
            .and_then(|path| path.as_str().strip_prefix(&self.prefix))
            .filter(|path| path.starts_with('/'));
        let Some(Ok(uri)) = rest.map(str::parse) else {
            return tower::Service::<Request>::call(&mut Router::new(), request);
        };
        *request.uri_mut() = uri;
        tower::Service::<Request>::call(&mut self.inner, request)
    }
}

pub(crate) fn catch_panics(router: Router) -> Router {
    router.layer(CatchPanicLayer::custom(
        |panic: Box<dyn std::any::Any + Send>| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            tracing::error!(err = text, "a request handler panicked");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error\n").into_response()
        },
    ))
}

fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    if text.is_empty() {
        return response;
    }
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

async fn healthy(State(boot): State<Boot>) -> Response {
    plain(StatusCode::OK, boot.program.healthy_text)
}

async fn ready(State(boot): State<Boot>) -> Response {
    if boot.is_ready() {
        plain(StatusCode::OK, boot.program.ready_text)
    } else {
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        let stopping = if boot.shutdown.is_requested() {
            "true"
        } else {
            "false"
        };
        response
            .headers_mut()
            .insert("x-prometheus-stopping", HeaderValue::from_static(stopping));
        response
    }
}

/// The refusal of a lifecycle request, if it is not allowed.
fn lifecycle(boot: &Boot, method: &Method) -> Option<Response> {
    if let Some(flag) = boot.program.lifecycle_flag
        && !boot.args.bool(flag)
    {
        return Some(plain(
            StatusCode::FORBIDDEN,
            "Lifecycle API is not enabled.\n",
        ));
    }
    if *method != Method::POST && *method != Method::PUT {
        let mut refusal = plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only POST or PUT requests allowed",
        );
        refusal
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("POST, PUT"));
        return Some(refusal);
    }
    None
}

async fn reload(State(boot): State<Boot>, method: Method) -> Response {
    if let Some(refusal) = lifecycle(&boot, &method) {
        return refusal;
    }
    match boot.reload().await {
        Ok(()) => plain(StatusCode::OK, ""),
        Err(error) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("failed to reload config: {error}\n"),
        ),
    }
}

async fn quit(State(boot): State<Boot>, method: Method) -> Response {
    if let Some(refusal) = lifecycle(&boot, &method) {
        return refusal;
    }
    boot.shutdown.request("/-/quit was called");
    plain(StatusCode::OK, "Requesting termination... Goodbye!")
}

#[derive(Clone)]
struct Page {
    boot: Boot,
    requests: CounterVec,
    in_flight: Gauge,
}

/// The registry at `path`, with the `promhttp_*` metrics about itself; gzip where asked for.
fn metrics_page(boot: &Boot, path: &str) -> Router {
    let requests = boot.metrics.counter_vec(
        "promhttp_metric_handler_requests_total",
        "Total number of scrapes by HTTP status code.",
        &["code"],
    );
    for code in ["200", "500", "503"] {
        requests.with(&[code]);
    }
    let in_flight = boot.metrics.gauge(
        "promhttp_metric_handler_requests_in_flight",
        "Current number of scrapes being served.",
    );
    let page = Page {
        boot: boot.clone(),
        requests,
        in_flight,
    };
    Router::new()
        .route(path, get(metrics))
        .layer(CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest))
        .with_state(page)
}

async fn metrics(State(page): State<Page>, headers: HeaderMap) -> Response {
    let in_flight = page.in_flight.guard();
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let registry = page.boot.metrics.clone();
    let accept = accept.map(str::to_owned);
    // Collectors may take their time; other requests should not wait for them.
    let rendered = tokio::task::spawn_blocking(move || registry.render(accept.as_deref())).await;
    drop(in_flight);
    match rendered {
        Ok(rendered) => {
            page.requests.with(&["200"]).inc();
            (
                [(header::CONTENT_TYPE, rendered.content_type)],
                rendered.body,
            )
                .into_response()
        }
        Err(error) => {
            page.requests.with(&["500"]).inc();
            tracing::error!(err = %error, "a metrics collector failed");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "An error has occurred while serving metrics:\n\na collector failed\n",
            )
        }
    }
}
