//! The page at `/`: what this is and where its parts are.

use axum::Router;
use axum::response::Html;
use axum::routing::get;

const PAGE: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>scraper-store</title></head>
<body>
<h1>scraper-store</h1>
<p>Scrapes, stores and queries metrics. Point Grafana's Prometheus data source here.</p>
<ul>
<li><a href=\"api/v1/targets\">Targets</a></li>
<li><a href=\"api/v1/alerts\">Alerts</a>, <a href=\"api/v1/rules\">rules</a></li>
<li><a href=\"api/v1/query?query=up\">Query: up</a></li>
<li><a href=\"api/v1/status/tsdb\">Storage</a>, <a href=\"api/v1/status/config\">configuration</a></li>
<li><a href=\"metrics\">Own metrics</a></li>
</ul>
</body>
</html>
";

/// The route.
pub fn router() -> Router {
    Router::new().route("/", get(|| async { Html(PAGE) }))
}
