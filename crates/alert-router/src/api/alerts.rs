//! `GET` and `POST /alerts`, `GET /alerts/groups`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use golang::regexp::Regexp;
use jiff::Timestamp;
use model::Labels;
use serde::{Deserialize, Serialize};

use super::answer::{Refused, Text, optional_time, serialize_time};
use super::filter::{Query, passes};
use super::{Api, answer};
use crate::alert::{self, Alert};
use crate::intake::{self, Posted};
use crate::matcher::Matcher;
use crate::router::{Refusal, Status};

#[derive(Deserialize)]
struct PostableAlert<'a> {
    labels: Option<Labels>,
    #[serde(default)]
    annotations: Option<Labels>,
    #[serde(default, rename = "startsAt", deserialize_with = "optional_time")]
    starts_at: Option<Timestamp>,
    #[serde(default, rename = "endsAt", deserialize_with = "optional_time")]
    ends_at: Option<Timestamp>,
    #[serde(default, borrow, rename = "generatorURL")]
    generator_url: Option<Text<'a>>,
}

/// `POST /alerts`: 200 once every valid alert of the body is on disk.
pub async fn post(State(api): State<Api>, headers: HeaderMap, bytes: Bytes) -> Response {
    let alerts: Vec<PostableAlert<'_>> = match answer::body(&headers, &bytes, "alerts") {
        Ok(alerts) => alerts,
        Err(refused) => return refused.into_response(),
    };
    let mut batch = Vec::with_capacity(alerts.len());
    for (i, alert) in alerts.into_iter().enumerate() {
        let Some(labels) = alert.labels else {
            let message = format!("{i}.labels in body is required");
            return answer::problem(StatusCode::UNPROCESSABLE_ENTITY, 602, &message);
        };
        batch.push(Posted {
            labels,
            annotations: alert.annotations.unwrap_or_default(),
            starts_at: alert.starts_at,
            ends_at: alert.ends_at,
            generator_url: alert.generator_url.unwrap_or_default().0,
        });
    }
    let accepted = intake::accept(&api.engine, batch);
    if let Err(error) = api.engine.durable(accepted.commit).await {
        return answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, &error);
    }
    let invalid: Vec<String> = accepted
        .refused
        .iter()
        .filter(|(_, refusal)| matches!(refusal, Refusal::Invalid(_)))
        .map(|(_, refusal)| refusal.to_string())
        .collect();
    if invalid.is_empty() {
        return StatusCode::OK.into_response();
    }
    let text = invalid.join("; ");
    tracing::error!(component = "api", version = "v2", err = %text, "Failed to validate alerts");
    answer::refusal(StatusCode::BAD_REQUEST, &text)
}

#[derive(Serialize)]
struct GettableAlert {
    annotations: Labels,
    #[serde(rename = "endsAt", serialize_with = "serialize_time")]
    ends_at: Timestamp,
    fingerprint: String,
    receivers: Vec<ReceiverName>,
    #[serde(rename = "startsAt", serialize_with = "serialize_time")]
    starts_at: Timestamp,
    status: AlertStatus,
    #[serde(rename = "updatedAt", serialize_with = "serialize_time")]
    updated_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "is_empty")]
    generator_url: Arc<str>,
    labels: Labels,
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

#[derive(Clone, Serialize)]
struct ReceiverName {
    name: Arc<str>,
}

#[derive(Serialize)]
struct AlertStatus {
    #[serde(rename = "inhibitedBy")]
    inhibited_by: Vec<String>,
    #[serde(rename = "mutedBy")]
    muted_by: Vec<String>,
    #[serde(rename = "silencedBy")]
    silenced_by: Vec<String>,
    state: &'static str,
}

impl GettableAlert {
    fn new(alert: &Alert, status: Status, receivers: &[Arc<str>], muted_by: Vec<String>) -> Self {
        let suppressed = !status.silenced_by.is_empty() || !status.inhibited_by.is_empty();
        GettableAlert {
            annotations: alert.annotations.clone(),
            ends_at: alert.ends_at,
            fingerprint: format!("{:016x}", alert.fingerprint()),
            receivers: receivers
                .iter()
                .map(|name| ReceiverName {
                    name: Arc::clone(name),
                })
                .collect(),
            starts_at: alert.starts_at,
            status: AlertStatus {
                inhibited_by: status.inhibited_by,
                muted_by,
                silenced_by: status.silenced_by,
                state: if suppressed { "suppressed" } else { "active" },
            },
            updated_at: alert.updated_at,
            generator_url: Arc::clone(&alert.generator_url),
            labels: alert.labels.clone(),
        }
    }
}

/// What a request wants to see.
struct Wanted {
    matchers: Vec<Matcher>,
    receiver: Option<Regexp>,
    receiver_matchers: Vec<Matcher>,
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
}

impl Wanted {
    fn parse(api: &Api, uri: &Uri) -> Result<Wanted, Refused> {
        let query = Query::parse(uri.query());
        Ok(Wanted {
            matchers: query.matchers("filter", api.mode)?,
            receiver: query.receiver()?,
            receiver_matchers: query.matchers("receiver_matchers", api.mode)?,
            active: query.switch("active"),
            silenced: query.switch("silenced"),
            inhibited: query.switch("inhibited"),
            muted: query.switch("muted"),
        })
    }

    /// Which receivers are asked for.
    fn receivers(&self, api: &Api) -> HashMap<String, bool> {
        let live = api.engine.live();
        let receivers = live.config.file.receivers.iter();
        receivers
            .map(|receiver| {
                let by_name = self
                    .receiver
                    .as_ref()
                    .is_none_or(|re| re.is_match(&receiver.name));
                let labels = Labels::from_pairs(&receiver.labels);
                let wanted = by_name && passes(&self.receiver_matchers, &labels);
                (receiver.name.clone(), wanted)
            })
            .collect()
    }

    fn status(&self, status: &Status) -> bool {
        let silenced = !status.silenced_by.is_empty();
        let inhibited = !status.inhibited_by.is_empty();
        (self.active || silenced || inhibited)
            && (self.silenced || !silenced)
            && (self.inhibited || !inhibited)
    }
}

/// `GET /alerts`.
pub async fn list(State(api): State<Api>, uri: Uri) -> Response {
    let wanted = match Wanted::parse(&api, &uri) {
        Ok(wanted) => wanted,
        Err(refused) => return refused.into_response(),
    };
    let known = wanted.receivers(&api);
    let now = api.engine.now();
    let mut shown: Vec<GettableAlert> = api.engine.with(|router| {
        let tree = Arc::clone(router.tree());
        let alerts: Vec<Arc<Alert>> = router
            .alerts()
            .filter(|alert| alert.ends_at >= now && passes(&wanted.matchers, &alert.labels))
            .cloned()
            .collect();
        alerts
            .iter()
            .filter_map(|alert| {
                let routes = tree.matching(&alert.labels);
                let receivers: Vec<Arc<str>> = routes
                    .into_iter()
                    .map(|index| Arc::clone(&tree.get(index).options.receiver))
                    .collect();
                if !receivers
                    .iter()
                    .any(|name| known.get(&**name) == Some(&true))
                {
                    return None;
                }
                let status = router.status(&alert.labels, now);
                wanted
                    .status(&status)
                    .then(|| GettableAlert::new(alert, status, &receivers, Vec::new()))
            })
            .collect()
    });
    shown.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
    answer::json(&shown)
}

#[derive(Serialize)]
struct AlertGroup {
    alerts: Vec<GettableAlert>,
    labels: Labels,
    receiver: ReceiverName,
}

/// `GET /alerts/groups`.
pub async fn groups(State(api): State<Api>, uri: Uri) -> Response {
    let wanted = match Wanted::parse(&api, &uri) {
        Ok(wanted) => wanted,
        Err(refused) => return refused.into_response(),
    };
    let known = wanted.receivers(&api);
    let now = api.engine.now();
    let mut shown: Vec<AlertGroup> = api.engine.with(|router| {
        let tree = Arc::clone(router.tree());
        // What each group shows, and of each alert all receivers that it is shown for.
        let mut receivers: HashMap<u64, Vec<Arc<str>>> = HashMap::new();
        let mut groups = Vec::new();
        for group in router.groups() {
            let options = &tree.get(group.route).options;
            if known.get(&*options.receiver) != Some(&true) {
                continue;
            }
            let (muted_by, _) = router.muted_by_time(options, now);
            if !wanted.muted && !muted_by.is_empty() {
                continue;
            }
            let alerts = group.alerts();
            let alerts: Vec<Arc<Alert>> = alerts
                .filter(|alert| alert.ends_at >= now && passes(&wanted.matchers, &alert.labels))
                .cloned()
                .collect();
            groups.push((
                group.labels.clone(),
                Arc::clone(&options.receiver),
                muted_by,
                alerts,
            ));
        }
        let mut passing = Vec::with_capacity(groups.len());
        for (labels, receiver, muted_by, alerts) in groups {
            let mut kept: Vec<(Arc<Alert>, Status)> = Vec::with_capacity(alerts.len());
            for alert in alerts {
                let status = router.status(&alert.labels, now);
                if wanted.status(&status) {
                    let names = receivers.entry(alert.fingerprint()).or_default();
                    names.push(Arc::clone(&receiver));
                    kept.push((alert, status));
                }
            }
            if !kept.is_empty() {
                kept.sort_by(|a, b| alert::notification_order(&a.0.labels, &b.0.labels));
                passing.push((labels, receiver, muted_by, kept));
            }
        }
        receivers.values_mut().for_each(|names| names.sort());
        let groups = passing
            .into_iter()
            .map(|(labels, receiver, muted_by, alerts)| AlertGroup {
                alerts: alerts
                    .into_iter()
                    .map(|(alert, status)| {
                        let names = receivers.get(&alert.fingerprint());
                        let names = names.map(Vec::as_slice).unwrap_or_default();
                        GettableAlert::new(&alert, status, names, muted_by.clone())
                    })
                    .collect(),
                labels,
                receiver: ReceiverName { name: receiver },
            });
        groups.collect()
    });
    shown.sort_by(|a, b| {
        alert::label_set_order(&a.labels, &b.labels)
            .then_with(|| a.receiver.name.cmp(&b.receiver.name))
    });
    answer::json(&shown)
}
