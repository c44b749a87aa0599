//! `/api/v1/openapi.yaml`: the endpoints as an OpenAPI document, 3.1 or (`openapi_version=3.2`) 3.2, from one
//! table.

use std::fmt::Write as _;

use axum::extract::RawQuery;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use http_api::Params;

use super::status::API_VERSION;

/// An endpoint: path, methods, tag, what it does, and its parameters.
struct Endpoint {
    path: &'static str,
    methods: &'static [&'static str],
    tag: &'static str,
    summary: &'static str,
    parameters: &'static [&'static str],
}

const fn endpoint(
    path: &'static str,
    methods: &'static [&'static str],
    tag: &'static str,
    summary: &'static str,
    parameters: &'static [&'static str],
) -> Endpoint {
    Endpoint {
        path,
        methods,
        tag,
        summary,
        parameters,
    }
}

const GET: &[&str] = &["get"];
const BOTH: &[&str] = &["get", "post"];
const POST: &[&str] = &["post"];
const ADMIN: &[&str] = &["post", "put"];

#[rustfmt::skip]
const ENDPOINTS: &[Endpoint] = &[
    endpoint("/query", BOTH, "query", "Evaluates a query at one moment", &["query*", "time", "timeout", "limit#", "lookback_delta", "stats"]),
    endpoint("/query_range", BOTH, "query", "Evaluates a query over a range of time", &["query*", "start*", "end*", "step*", "timeout", "limit#", "lookback_delta", "stats"]),
    endpoint("/query_exemplars", BOTH, "query", "Exemplars of the series that a query reads", &["query*", "start", "end"]),
    endpoint("/format_query", BOTH, "query", "Formats a query", &["query*"]),
    endpoint("/parse_query", BOTH, "query", "The syntax tree of a query", &["query*"]),
    endpoint("/labels", BOTH, "labels", "Names of labels", &["match[]+", "start", "end", "limit#"]),
    endpoint("/label/{name}/values", GET, "labels", "Values of a label", &["name/", "match[]+", "start", "end", "limit#"]),
    endpoint("/series", BOTH, "series", "Label sets by selectors", &["match[]+*", "start", "end", "limit#"]),
    endpoint("/metadata", GET, "metadata", "Types, units and help texts of metrics", &["metric", "limit#", "limit_per_metric#"]),
    endpoint("/targets", GET, "targets", "What is scraped, and how it goes", &["state", "scrapePool"]),
    endpoint("/targets/metadata", GET, "targets", "Metadata by target", &["match_target", "metric", "limit#"]),
    endpoint("/targets/relabel_steps", GET, "targets", "What the rules of a scrape pool make of labels", &["scrapePool*", "labels*"]),
    endpoint("/scrape_pools", GET, "targets", "Names of the scrape pools", &[]),
    endpoint("/rules", GET, "rules", "Rule groups and their state", &["type", "rule_name[]+", "rule_group[]+", "file[]+", "match[]+", "exclude_alerts", "group_limit#", "group_next_token"]),
    endpoint("/alerts", GET, "alerts", "Active alerts", &[]),
    endpoint("/alertmanagers", GET, "alerts", "Where alerts are sent to", &[]),
    endpoint("/status/config", GET, "status", "The configuration in force", &[]),
    endpoint("/status/flags", GET, "status", "The flags and their values", &[]),
    endpoint("/status/runtimeinfo", GET, "status", "Facts about the process", &[]),
    endpoint("/status/buildinfo", GET, "status", "Facts about the build", &[]),
    endpoint("/status/tsdb", GET, "status", "What the head holds", &["limit#"]),
    endpoint("/status/tsdb/blocks", GET, "status", "The blocks on disk", &[]),
    endpoint("/status/walreplay", GET, "status", "How far the log has been read", &[]),
    endpoint("/status/self_metrics", GET, "status", "The server's own metrics", &["metric_name_pattern"]),
    endpoint("/features", GET, "status", "What this server can do", &[]),
    endpoint("/notifications", GET, "notifications", "What is the matter with the server", &[]),
    endpoint("/notifications/live", GET, "notifications", "The same as a stream of events", &[]),
    endpoint("/write", POST, "remote", "Takes samples by remote write", &[]),
    endpoint("/read", POST, "remote", "Gives samples by remote read", &[]),
    endpoint("/otlp/v1/metrics", POST, "remote", "Takes OTLP metrics", &[]),
    endpoint("/admin/tsdb/delete_series", ADMIN, "admin", "Deletes samples", &["match[]+*", "start", "end"]),
    endpoint("/admin/tsdb/clean_tombstones", ADMIN, "admin", "Removes deleted samples from disk", &[]),
    endpoint("/admin/tsdb/snapshot", ADMIN, "admin", "Makes a snapshot of all samples", &["skip_head"]),
];

pub(super) async fn handle(RawQuery(query): RawQuery) -> Response {
    let mut params = Params::default();
    params.add_encoded(query.as_deref().unwrap_or(""));
    let version = match params.get("openapi_version") {
        "3.2" | "3.2.0" => "3.2.0",
        _ => "3.1.0",
    };
    let headers = [
        (header::CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ];
    (headers, document(version)).into_response()
}

/// The document. Writing to a text cannot fail.
fn document(version: &str) -> String {
    let mut out = format!(
        "openapi: {version}\ninfo:\n  title: Prometheus HTTP API\n  description: The HTTP API of scraper-store, which is that of Prometheus.\n  version: {API_VERSION}\nservers:\n  - url: /api/v1\npaths:\n"
    );
    for endpoint in ENDPOINTS {
        let _ = writeln!(out, "  {}:", endpoint.path);
        for method in endpoint.methods {
            operation(&mut out, endpoint, method);
        }
    }
    out.push_str(SCHEMAS);
    out
}

fn operation(out: &mut String, endpoint: &Endpoint, method: &str) {
    let id = endpoint
        .path
        .trim_matches('/')
        .replace(['/', '{', '}'], "_");
    let _ = write!(
        out,
        "    {method}:\n      operationId: {method}_{id}\n      tags: [{}]\n      summary: {}\n",
        endpoint.tag, endpoint.summary
    );
    if !endpoint.parameters.is_empty() {
        out.push_str("      parameters:\n");
    }
    for parameter in endpoint.parameters {
        let name = parameter.trim_end_matches(['*', '#', '+', '/']);
        let marks = &parameter[name.len()..];
        let place = if marks.contains('/') { "path" } else { "query" };
        let required = marks.contains(['*', '/']);
        let schema = match (marks.contains('+'), marks.contains('#')) {
            (true, _) => "{type: array, items: {type: string}}",
            (_, true) => "{type: integer, format: int64}",
            _ => "{type: string}",
        };
        let _ = writeln!(
            out,
            "        - {{name: \"{name}\", in: {place}, required: {required}, schema: {schema}}}"
        );
    }
    out.push_str(
        "      responses:\n        \"200\": {description: Success., content: {application/json: {schema: {$ref: \"#/components/schemas/Success\"}}}}\n        default: {description: Error., content: {application/json: {schema: {$ref: \"#/components/schemas/Error\"}}}}\n",
    );
}

const SCHEMAS: &str = "components:
  schemas:
    Success:
      type: object
      required: [status]
      properties:
        status: {type: string, const: success}
        data: {}
        warnings: {type: array, items: {type: string}}
        infos: {type: array, items: {type: string}}
    Error:
      type: object
      required: [status, errorType, error]
      properties:
        status: {type: string, const: error}
        errorType: {type: string}
        error: {type: string}
";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn both_versions_are_yaml_that_names_every_endpoint() {
        for version in ["3.1.0", "3.2.0"] {
            let document: Value = yaml_config::from_str(&document(version)).unwrap();
            assert_eq!(document["openapi"], version);
            let paths = document["paths"].as_object().unwrap();
            assert_eq!(paths.len(), ENDPOINTS.len());
            let query = &paths["/query"]["get"]["parameters"];
            assert_eq!(query[0]["name"], "query");
            assert_eq!(query[0]["required"], true);
            let name = &paths["/label/{name}/values"]["get"]["parameters"][0];
            assert_eq!(name["in"], "path");
        }
    }
}
