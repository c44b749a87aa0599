//! How metrics of requests name the handlers: as upstream's router does.

use service::{Form, Handlers};

/// For [`service::HttpOptions`].
pub const HANDLERS: Handlers = Handlers {
    names: NAMES,
    of_path,
    form: Form::Prometheus,
};

const LABEL_VALUES: &str = "/api/v1/label/:name/values";
const OTHER_API: &str = "/api/v1/*path";
const ASSETS: &str = "/assets/*filepath";

const NAMES: &[&str] = &[
    "/",
    "/-/healthy",
    "/-/quit",
    "/-/ready",
    "/-/reload",
    "/alertmanager-discovery",
    "/alerts",
    OTHER_API,
    "/api/v1/admin/tsdb/clean_tombstones",
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/snapshot",
    "/api/v1/alertmanagers",
    "/api/v1/alerts",
    "/api/v1/features",
    "/api/v1/format_query",
    LABEL_VALUES,
    "/api/v1/labels",
    "/api/v1/metadata",
    "/api/v1/notifications",
    "/api/v1/notifications/live",
    "/api/v1/openapi.yaml",
    "/api/v1/otlp/v1/metrics",
    "/api/v1/parse_query",
    "/api/v1/query",
    "/api/v1/query_exemplars",
    "/api/v1/query_range",
    "/api/v1/read",
    "/api/v1/rules",
    "/api/v1/scrape_pools",
    "/api/v1/scrape_pools/config",
    "/api/v1/search/label_names",
    "/api/v1/search/label_values",
    "/api/v1/search/metric_names",
    "/api/v1/series",
    "/api/v1/status/buildinfo",
    "/api/v1/status/config",
    "/api/v1/status/flags",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/self_metrics",
    "/api/v1/status/tsdb",
    "/api/v1/status/tsdb/blocks",
    "/api/v1/status/walreplay",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
    "/api/v1/targets/relabel_steps",
    "/api/v1/write",
    ASSETS,
    "/config",
    "/federate",
    "/flags",
    "/graph",
    "/metrics",
    "/query",
    "/rules",
    "/service-discovery",
    "/status",
    "/targets",
    "/tsdb-status",
    "/version",
];

/// `None` for a path that is none: those would be as many as clients think up.
fn of_path(path: &str) -> Option<&'static str> {
    if let Some(name) = NAMES.iter().find(|name| **name == path) {
        return Some(name);
    }
    if path.starts_with("/api/v1/label/") && path.ends_with("/values") {
        return Some(LABEL_VALUES);
    }
    if path.starts_with("/api/v1/") {
        return Some(OTHER_API);
    }
    path.starts_with("/assets/").then_some(ASSETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_handlers() {
        for (path, handler) in [
            ("/api/v1/query", Some("/api/v1/query")),
            ("/api/v1/label/job/values", Some(LABEL_VALUES)),
            ("/api/v1/nothing", Some(OTHER_API)),
            ("/assets/index.js", Some(ASSETS)),
            ("/nothing", None),
        ] {
            assert_eq!(of_path(path), handler, "{path}");
        }
    }
}
