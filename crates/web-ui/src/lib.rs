//! The web pages of scraper-store and alert-router, embedded in the program.
//!
//! Their source is in `app/` (TypeScript, Preact, uPlot, CodeMirror with Prometheus' PromQL extension);
//! what is served is its build in `assets/`, which travels with the source, so that nobody needs Node to
//! build Firewatch. A test compares the two. All URLs of the pages are relative and every page lies one
//! level below the root, so they work under any prefix, also behind a proxy that strips it.
//!
//! The pages speak to the service's own API and to nobody else; a content security policy says so to
//! the browser.

use std::io::Read as _;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// Pages of scraper-store: Prometheus' paths where it has the page.
const STORE_PAGES: [&str; 10] = [
    "query",
    "explore",
    "alerts",
    "rules",
    "targets",
    "service-discovery",
    "tsdb-status",
    "status",
    "config",
    "flags",
];

/// Scripts, styles and requests from here only; styles in the page are the editor's.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; form-action 'self'";

/// scraper-store's pages; `title` is `--web.page-title`. `/` and `/graph` lead to the query page.
pub fn store(title: &str) -> Router {
    let page = page("store.html", title);
    let mut router = files();
    for path in STORE_PAGES {
        let page = page.clone();
        router = router.route(
            &format!("/{path}"),
            get(move || async move { page.respond() }),
        );
    }
    router
        .route("/", get(|| async { redirect("query", None) }))
        .route("/graph", get(|query| async { to("query", query) }))
        .route(
            "/alertmanager-discovery",
            get(|| async { redirect("status", None) }),
        )
}

/// alert-router's page, which holds all of them behind `#`, as links in notifications expect.
pub fn router(title: &str) -> Router {
    let page = page("router.html", title);
    files().route("/", get(move || async move { page.respond() }))
}

fn to(page: &str, RawQuery(query): RawQuery) -> Response {
    redirect(page, query.as_deref())
}

/// To another page of the same level; relative, so that it holds under any prefix.
fn redirect(page: &str, query: Option<&str>) -> Response {
    let target = match query {
        Some(query) => format!("{page}?{query}"),
        None => page.to_owned(),
    };
    match HeaderValue::try_from(target) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn files() -> Router {
    Router::new().route(
        "/assets/{name}",
        get(|Path(name): Path<String>, headers: HeaderMap| async move { asset(&name, &headers) }),
    )
}

/// A file whose name holds a hash of its content: it never changes.
fn asset(name: &str, headers: &HeaderMap) -> Response {
    let Some(packed) = embedded(&format!("assets/{name}")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kind = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let mut response = content(packed, headers);
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    set.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    response
}

fn embedded(name: &str) -> Option<&'static [u8]> {
    let found = embedded::FILES.iter().find(|(file, _)| *file == name);
    found.map(|(_, packed)| *packed)
}

/// Compressed where the client takes it.
fn content(packed: &'static [u8], headers: &HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let gzip = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && quality.replace(' ', "") != "q=0"
        });
    let mut response = if gzip {
        let coding = [(header::CONTENT_ENCODING, "gzip")];
        (coding, Body::from(packed)).into_response()
    } else {
        Body::from(unpacked(packed)).into_response()
    };
    let set = response.headers_mut();
    set.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    set.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .expect("what the build compressed is whole");
    bytes
}

/// An HTML page with its title filled in.
#[derive(Clone)]
struct Page {
    html: axum::body::Bytes,
}

impl Page {
    fn respond(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, Body::from(self.html.clone())).into_response()
    }
}

fn page(file: &str, title: &str) -> Page {
    let packed = embedded(file).expect("assets/ holds both pages, a test says so");
    let html = String::from_utf8_lossy(&unpacked(packed)).into_owned();
    let (before, rest) = html.split_once("<title>").unwrap_or((&html, ""));
    let (_, after) = rest.split_once("</title>").unwrap_or(("", ""));
    let html = format!("{before}<title>{}</title>{after}", escaped(title));
    Page { html: html.into() }
}

/// Text within HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
