//! How upstream's router answers: which methods a path has, what is said of paths and methods that are none,
//! CORS and `Vary`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Api, plain_text};

const API: &str = "/api/v1/";
/// Below [`API`], what browsers are not meant to ask for: without a word about origins.
const NO_CORS: [&str; 4] = ["write", "read", "otlp/v1/metrics", "openapi.yaml"];
/// Below [`API`], what is answered without compression.
const PLAIN: [&str; 3] = ["notifications", "notifications/live", "status/walreplay"];

/// The outermost layer of the API.
pub(super) async fn apply(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let endpoint = path.strip_prefix(API).map(str::to_owned);
    let federation = path == "/federate";
    if path == "/api/v1" {
        return to_api();
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight = endpoint.is_some() && request.method() == Method::OPTIONS;
    if request.method() == Method::HEAD {
        // No route of upstream's has it; here as there the answer is which ones there are.
        *request.method_mut() = Method::PATCH;
    }
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => return not_allowed(&response),
        StatusCode::NOT_FOUND if !response.headers().contains_key(header::CONTENT_TYPE) => {
            return plain_text(StatusCode::NOT_FOUND, "404 page not found");
        }
        _ => {}
    }
    let vary = match endpoint.as_deref() {
        Some(endpoint) if NO_CORS.contains(&endpoint) && !preflight => "",
        Some(endpoint) if PLAIN.contains(&endpoint) || endpoint.starts_with("search/") => "Origin",
        Some(_) => "Accept-Encoding, Origin",
        None if federation => "Accept-Encoding",
        None => "",
    };
    // The layer that compresses has its own idea.
    response.headers_mut().remove(header::VARY);
    if !vary.is_empty() {
        (response.headers_mut()).insert(header::VARY, HeaderValue::from_static(vary));
    }
    if !vary.ends_with("Origin") {
        return response;
    }
    let allowed = origin.filter(|o| o.to_str().is_ok_and(|o| api.cors_origin.is_match(o)));
    if let Some(origin) = allowed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        for (name, value) in [
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Authorization, Content-Type, Origin",
            ),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// A page that says that the method is none of the path's, and in `Allow` which ones are, as upstream lists
/// them.
fn not_allowed(response: &Response) -> Response {
    let allow = response.headers().get(header::ALLOW);
    let mut methods: Vec<&str> = allow
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|method| !matches!(*method, "" | "HEAD"))
        .collect();
    methods.push("OPTIONS");
    methods.sort_unstable();
    let mut page = plain_text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
        page.headers_mut().insert(header::ALLOW, value);
    }
    page
}

fn to_api() -> Response {
    let headers = [
        (header::LOCATION, API),
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    ];
    let body = format!("<a href=\"{API}\">Temporary Redirect</a>.\n\n");
    (StatusCode::TEMPORARY_REDIRECT, headers, body).into_response()
}
