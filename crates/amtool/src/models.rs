//! What API v2 takes and gives; fields in the order in which upstream writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels or annotations.
pub type LabelSet = BTreeMap<String, String>;

/// An alert that the server shows.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    #[serde(default)]
    pub annotations: LabelSet,
    pub ends_at: String,
    pub fingerprint: String,
    pub receivers: Vec<BTreeMap<String, String>>,
    pub starts_at: String,
    pub status: AlertStatus,
    pub updated_at: String,
    #[serde(
        default,
        rename = "generatorURL",
        skip_serializing_if = "String::is_empty"
    )]
    pub generator_url: String,
    pub labels: LabelSet,
}

/// What keeps an alert from being sent.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertStatus {
    pub inhibited_by: Vec<String>,
    #[serde(default)]
    pub muted_by: Vec<String>,
    pub silenced_by: Vec<String>,
    pub state: String,
}

/// An alert that is sent to the server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAlert {
    pub annotations: LabelSet,
    pub ends_at: String,
    pub starts_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    pub generator_url: String,
    pub labels: LabelSet,
}

/// A matcher of a silence.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    #[serde(default = "yes")]
    pub is_equal: bool,
    pub is_regex: bool,
    pub name: String,
    pub value: String,
}

fn yes() -> bool {
    true
}

/// A silence that the server shows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    pub id: String,
    pub status: BTreeMap<String, String>,
    pub updated_at: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: LabelSet,
    pub comment: String,
    pub created_by: String,
    pub ends_at: String,
    pub matchers: Vec<Matcher>,
    pub starts_at: String,
}

/// A silence that is sent to the server. What a file to import leaves out is empty, for the server
/// to judge.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NewSilence {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: LabelSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<Vec<Matcher>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<String>,
}

/// The server's status.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub cluster: Cluster,
    pub config: Running,
    pub uptime: String,
    pub version_info: Version,
}

/// Who belongs together.
#[derive(Debug, Deserialize, Serialize)]
pub struct Cluster {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default)]
    pub peers: Vec<Peer>,
    pub status: String,
}

/// One of them.
#[derive(Debug, Deserialize, Serialize)]
pub struct Peer {
    pub address: String,
    pub name: String,
}

/// The running configuration.
#[derive(Debug, Deserialize, Serialize)]
pub struct Running {
    pub original: String,
}

/// What the server is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    pub branch: String,
    pub build_date: String,
    pub build_user: String,
    pub go_version: String,
    pub revision: String,
    pub version: String,
}
