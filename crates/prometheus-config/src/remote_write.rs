//! The `remote_write` section.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use golang::strconv::quote;
use http_client::HttpClientConfig;
use model::names::ValidationScheme;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use yaml_config::{Duration, Inline, Url};

use crate::checked::{Null, or_null, zero};
use crate::headers::{REMOTE_AUTHORIZATION, check_headers};
use crate::remote_auth::{AzureAdConfig, GoogleIamConfig, SigV4Config};

/// The first version of the protocol.
const WRITE_V1: &str = "prometheus.WriteRequest";
/// The second version of the protocol.
const WRITE_V2: &str = "io.prometheus.write.v2.Request";

/// An endpoint that samples are sent to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteWriteConfig {
    pub section: RemoteWriteSection,
    /// Without HTTP/2 unless asked for.
    pub http: HttpClientConfig,
    pub sending: RemoteWriteSending,
}

/// The endpoint, and what is sent there.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.plain")]
pub struct RemoteWriteSection {
    pub url: Url,
    #[serde(skip_serializing_if = "zero")]
    pub remote_timeout: Duration,
    #[serde(skip_serializing_if = "zero")]
    pub headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "zero")]
    pub write_relabel_configs: Vec<Option<relabel::Config>>,
    #[serde(skip_serializing_if = "zero")]
    pub name: String,
    #[serde(skip_serializing_if = "zero")]
    pub send_exemplars: bool,
    #[serde(skip_serializing_if = "zero")]
    pub send_native_histograms: bool,
    #[serde(skip_serializing_if = "zero")]
    pub round_robin_dns: bool,
    #[serde(skip_serializing_if = "zero")]
    pub protobuf_message: String,
    /// A field of [`HttpClientConfig`] with another default here; read twice, printed there.
    #[serde(skip_serializing)]
    enable_http2: Option<bool>,
}

impl Default for RemoteWriteSection {
    fn default() -> RemoteWriteSection {
        RemoteWriteSection {
            url: Url::default(),
            remote_timeout: Duration::from_secs(30),
            headers: BTreeMap::new(),
            write_relabel_configs: Vec::new(),
            name: String::new(),
            send_exemplars: false,
            send_native_histograms: false,
            round_robin_dns: false,
            protobuf_message: WRITE_V1.to_owned(),
            enable_http2: None,
        }
    }
}

/// How it is sent, and who we are to the endpoint.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.plain")]
pub struct RemoteWriteSending {
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_null_queue")]
    pub queue_config: QueueConfig,
    #[serde(deserialize_with = "or_null")]
    pub metadata_config: MetadataConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<SigV4Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azuread: Option<AzureAdConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub google_iam: Option<GoogleIamConfig>,
}

/// The queue in front of an endpoint.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.QueueConfig")]
pub struct QueueConfig {
    /// Samples that a shard holds.
    #[serde(skip_serializing_if = "zero")]
    pub capacity: i64,
    #[serde(skip_serializing_if = "zero")]
    pub max_shards: i64,
    #[serde(skip_serializing_if = "zero")]
    pub min_shards: i64,
    #[serde(skip_serializing_if = "zero")]
    pub max_samples_per_send: i64,
    #[serde(skip_serializing_if = "zero")]
    pub batch_send_deadline: Duration,
    #[serde(skip_serializing_if = "zero")]
    pub min_backoff: Duration,
    #[serde(skip_serializing_if = "zero")]
    pub max_backoff: Duration,
    #[serde(skip_serializing_if = "zero")]
    pub retry_on_http_429: bool,
    /// Older samples are dropped; 0 for none.
    #[serde(skip_serializing_if = "zero")]
    pub sample_age_limit: Duration,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline: Duration::from_secs(5),
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
            retry_on_http_429: false,
            sample_age_limit: Duration::ZERO,
        }
    }
}

impl Null for QueueConfig {
    fn null() -> QueueConfig {
        QueueConfig {
            capacity: 0,
            max_shards: 0,
            min_shards: 0,
            max_samples_per_send: 0,
            batch_send_deadline: Duration::ZERO,
            min_backoff: Duration::ZERO,
            max_backoff: Duration::ZERO,
            retry_on_http_429: false,
            sample_age_limit: Duration::ZERO,
        }
    }
}

fn is_null_queue(queue: &QueueConfig) -> bool {
    *queue == QueueConfig::null()
}

impl QueueConfig {
    fn check(&self) -> Result<(), String> {
        if self.max_shards <= 0 {
            return Err("remote write queue max_shards must be positive".to_owned());
        }
        if self.min_shards <= 0 {
            return Err("remote write queue min_shards must be positive".to_owned());
        }
        if self.min_shards > self.max_shards {
            let text = "remote write queue min_shards must not be greater than max_shards";
            return Err(text.to_owned());
        }
        Ok(())
    }
}

/// Types, units and help texts of metrics, sent by themselves (first version of the protocol).
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.MetadataConfig")]
pub struct MetadataConfig {
    pub send: bool,
    pub send_interval: Duration,
    #[serde(skip_serializing_if = "zero")]
    pub max_samples_per_send: i64,
}

impl Default for MetadataConfig {
    fn default() -> MetadataConfig {
        MetadataConfig {
            send: true,
            send_interval: Duration::from_secs(60),
            max_samples_per_send: 2_000,
        }
    }
}

impl Null for MetadataConfig {
    fn null() -> MetadataConfig {
        MetadataConfig {
            send: false,
            send_interval: Duration::ZERO,
            max_samples_per_send: 0,
        }
    }
}

type Written = Inline<Inline<RemoteWriteSection, HttpClientConfig>, RemoteWriteSending>;

impl<'de> Deserialize<'de> for RemoteWriteConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RemoteWriteConfig, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let mut config = RemoteWriteConfig {
            section: written.own.own,
            http: written.own.inlined,
            sending: written.inlined,
        };
        config.http.enable_http2 = config.section.enable_http2.unwrap_or(false);
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

impl Serialize for RemoteWriteConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = Inline {
            own: &self.section,
            inlined: &self.http,
        };
        Inline {
            own,
            inlined: &self.sending,
        }
        .serialize(serializer)
    }
}

impl RemoteWriteConfig {
    fn check(&self) -> Result<(), String> {
        let section = &self.section;
        if section.url.is_empty() {
            return Err("url for remote_write is empty".to_owned());
        }
        if section.write_relabel_configs.iter().any(Option::is_none) {
            return Err("empty or null relabeling rule in remote write config".to_owned());
        }
        check_headers(&section.headers, REMOTE_AUTHORIZATION)?;
        if ![WRITE_V1, WRITE_V2].contains(&section.protobuf_message.as_str()) {
            return Err(format!(
                "invalid protobuf_message value: unknown type for remote write protobuf message {}, supported: {WRITE_V1}, {WRITE_V2}",
                section.protobuf_message
            ));
        }
        self.sending.queue_config.check()?;
        self.check_auth()
    }

    fn check_auth(&self) -> Result<(), String> {
        let given: Vec<&str> = [
            ("basic_auth", self.http.basic_auth.is_some()),
            ("authorization", self.http.authorization.is_some()),
            ("oauth2", self.http.oauth2.is_some()),
            ("sigv4", self.sending.sigv4.is_some()),
            ("azuread", self.sending.azuread.is_some()),
            ("google_iam", self.sending.google_iam.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        if given.len() > 1 {
            return Err(format!(
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [{}]",
                given.join(" ")
            ));
        }
        Ok(())
    }

    /// What is configured and not acted on.
    pub(crate) fn unavailable(&self) -> Vec<String> {
        let sending = &self.sending;
        [
            ("sigv4", sending.sigv4.is_some()),
            ("azuread", sending.azuread.is_some()),
            ("google_iam", sending.google_iam.is_some()),
        ]
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| format!("remote_write.{name}"))
        .collect()
    }

    pub(crate) fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }
}

/// Checks the endpoints together, and their rules under the scheme of names in force.
pub(crate) fn validate(
    endpoints: &[Option<RemoteWriteConfig>],
    scheme: ValidationScheme,
) -> Result<(), String> {
    let mut names = HashSet::new();
    for endpoint in endpoints {
        let Some(RemoteWriteConfig { section, .. }) = endpoint else {
            return Err("empty or null remote write config section".to_owned());
        };
        // Those without a name are told apart by what is in them.
        if !section.name.is_empty() && !names.insert(&section.name) {
            return Err(format!(
                "found multiple remote write configs with job name {}",
                quote(&section.name)
            ));
        }
        for rule in section.write_relabel_configs.iter().flatten() {
            rule.compile(scheme).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RemoteWriteConfig, String> {
        yaml_config::from_str(text).map_err(|e| e.message())
    }

    #[test]
    fn http2_and_null_sections() {
        let http2 = |text: &str| read(text).unwrap().http.enable_http2;
        assert!(!http2("url: http://a"));
        assert!(http2("{url: http://a, enable_http2: true}"));
        let config = read("{url: http://a, metadata_config: null}").unwrap();
        assert_eq!(config.sending.metadata_config, MetadataConfig::null());
        assert_eq!(config.sending.queue_config, QueueConfig::default());
        assert_eq!(
            read("{url: http://a, queue_config: }").unwrap_err(),
            "remote write queue max_shards must be positive"
        );
    }

    #[test]
    fn refused_in_upstreams_words() {
        for (text, error) in [
            ("{}", "url for remote_write is empty"),
            (
                "{url: http://a, write_relabel_configs: [null]}",
                "empty or null relabeling rule in remote write config",
            ),
            (
                "{url: http://a, protobuf_message: x}",
                "invalid protobuf_message value: unknown type for remote write protobuf message x, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
            ),
            (
                "{url: http://a, basic_auth: {username: u}, sigv4: {}}",
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [basic_auth sigv4]",
            ),
            (
                "{url: http://a, nonsense: 1}",
                "yaml: unmarshal errors:\n  line 1: field nonsense not found in type config.plain",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), error, "{text}");
        }
        let named = read("{url: http://a, name: n}").unwrap();
        assert_eq!(
            validate(
                &[Some(named.clone()), Some(named)],
                ValidationScheme::default()
            ),
            Err("found multiple remote write configs with job name \"n\"".to_owned())
        );
    }
}
