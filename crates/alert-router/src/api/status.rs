//! `GET /status` and `GET /receivers`.

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::filter::{Query, passes};
use super::{Api, answer};
use model::Labels;

/// `GET /status`.
pub async fn status(State(api): State<Api>) -> Response {
    use service::version::{BRANCH, BUILD_DATE, BUILD_USER, REVISION, VERSION};
    let live = api.engine.live();
    answer::json(&json!({
        "cluster": cluster(&api),
        "config": {"original": live.config.to_yaml()},
        "uptime": answer::time(api.started),
        "versionInfo": {
            "branch": BRANCH,
            "buildDate": BUILD_DATE,
            "buildUser": BUILD_USER,
            "goVersion": "none (rust)",
            "revision": REVISION,
            "version": VERSION,
        },
    }))
}

/// Who belongs together.
fn cluster(api: &Api) -> serde_json::Value {
    let Some(cluster) = api.engine.cluster() else {
        return json!({"peers": [], "status": "disabled"});
    };
    let peers: Vec<serde_json::Value> = cluster
        .members()
        .into_iter()
        .map(|id| json!({"address": id.address.to_string(), "name": id.name}))
        .collect();
    let status = if cluster.is_ready() {
        "ready"
    } else {
        "settling"
    };
    json!({"name": cluster.name(), "peers": peers, "status": status})
}

#[derive(Serialize)]
struct Receiver<'a> {
    labels: &'a std::collections::BTreeMap<String, String>,
    name: &'a str,
}

/// `GET /receivers`.
pub async fn receivers(State(api): State<Api>, uri: Uri) -> Response {
    let matchers = match Query::parse(uri.query()).matchers("receiver_matchers", api.mode) {
        Ok(matchers) => matchers,
        Err(refused) => return refused.into_response(),
    };
    let live = api.engine.live();
    let all: Vec<Receiver<'_>> = live
        .config
        .file
        .receivers
        .iter()
        .filter(|receiver| passes(&matchers, &Labels::from_pairs(&receiver.labels)))
        .map(|receiver| Receiver {
            labels: &receiver.labels,
            name: &receiver.name,
        })
        .collect();
    answer::json(&all)
}
