//! `/api/firewatch/v1`: what our pages show and upstream's API does not tell. The routing tree and where
//! an alert would go, when each group is looked at next, and what was sent last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use model::Labels;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Api, answer};
use crate::route::{Route, Tree};

/// The most notifications that are listed.
const NOTIFICATIONS: usize = 1000;

/// A route; durations in seconds, children by their place in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRoute<'a> {
    matchers: Vec<String>,
    #[serde(rename = "continue")]
    goes_on: bool,
    receiver: &'a str,
    group_by: &'a BTreeSet<String>,
    group_by_all: bool,
    group_wait: f64,
    group_interval: f64,
    repeat_interval: f64,
    mute_time_intervals: &'a [String],
    active_time_intervals: &'a [String],
    labels: &'a BTreeMap<String, String>,
    children: Vec<usize>,
    /// Groups that are there now.
    groups: usize,
}

impl<'a> ShownRoute<'a> {
    fn new(route: &'a Route, groups: usize) -> ShownRoute<'a> {
        let options = &route.options;
        ShownRoute {
            matchers: route.matchers.iter().map(ToString::to_string).collect(),
            goes_on: route.goes_on,
            receiver: &options.receiver,
            group_by: &options.group_by,
            group_by_all: options.group_by_all,
            group_wait: options.group_wait.as_secs_f64(),
            group_interval: options.group_interval.as_secs_f64(),
            repeat_interval: options.repeat_interval.as_secs_f64(),
            mute_time_intervals: &options.mute_time_intervals,
            active_time_intervals: &options.active_time_intervals,
            labels: &options.labels,
            children: route.children().map(|child| child.position()).collect(),
            groups,
        }
    }
}

/// `GET /routes`: all routes, the root first.
pub async fn routes(State(api): State<Api>) -> Response {
    let (tree, counts) = api.engine.with(|router| {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for group in router.groups() {
            *counts.entry(group.route.position()).or_default() += 1;
        }
        (Arc::clone(router.tree()), counts)
    });
    let shown: Vec<ShownRoute<'_>> = tree
        .iter()
        .map(|(index, route)| {
            let groups = counts.get(&index.position()).copied();
            ShownRoute::new(route, groups.unwrap_or(0))
        })
        .collect();
    answer::json(&shown)
}

/// An alert that may come.
#[derive(Deserialize)]
struct Question {
    labels: BTreeMap<String, String>,
}

/// A route that takes an alert, and the group it comes into there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    route: usize,
    receiver: Arc<str>,
    group_labels: Labels,
}

fn taken(tree: &Tree, labels: &Labels) -> Vec<Taken> {
    let matching = tree.matching(labels).into_iter();
    matching
        .map(|index| {
            let route = tree.get(index);
            Taken {
                route: index.position(),
                receiver: Arc::clone(&route.options.receiver),
                group_labels: route.group_labels(labels),
            }
        })
        .collect()
}

/// `POST /routes/match` with `{"labels": {…}}`: where an alert with these labels would go.
pub async fn match_routes(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Response {
    let question: Question = match answer::body(&headers, &body, "question") {
        Ok(question) => question,
        Err(refused) => return refused.into_response(),
    };
    let labels = Labels::from_pairs(&question.labels);
    let tree = api.engine.with(|router| Arc::clone(router.tree()));
    answer::json(&taken(&tree, &labels))
}

/// `GET /groups`: of each group of alerts when it is looked at next, and what was sent last.
pub async fn groups(State(api): State<Api>) -> Response {
    let shown: Vec<serde_json::Value> = api.engine.with(|router| {
        let tree = Arc::clone(router.tree());
        let groups = router.groups();
        groups
            .map(|group| {
                json!({
                    "key": group.key,
                    "labels": group.labels,
                    "receiver": tree.get(group.route).options.receiver,
                    "nextFlush": answer::time(group.next_flush()),
                })
            })
            .collect()
    });
    answer::json(&shown)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    group_key: Arc<str>,
    receiver: Arc<str>,
    integration: String,
    #[serde(serialize_with = "answer::serialize_time")]
    timestamp: jiff::Timestamp,
    firing: usize,
    resolved: usize,
}

/// `GET /notifications`: the last notification of each group to each integration, the newest first.
pub async fn notifications(State(api): State<Api>) -> Response {
    let mut shown: Vec<Notification> = api.engine.with(|router| {
        let entries = router.nflog().iter();
        entries
            .map(|(key, entry)| Notification {
                group_key: Arc::clone(&key.group_key),
                receiver: Arc::clone(&key.receiver.group_name),
                integration: format!("{}[{}]", key.receiver.integration, key.receiver.index),
                timestamp: entry.timestamp,
                firing: entry.firing.len(),
                resolved: entry.resolved.len(),
            })
            .collect()
    });
    shown.sort_by(|a, b| {
        b.timestamp
            .cmp(&a.timestamp)
            .then_with(|| a.group_key.cmp(&b.group_key))
    });
    shown.truncate(NOTIFICATIONS);
    answer::json(&shown)
}
