//! The `alerting` section.

use std::path::Path;

use discovery::Configs;
use http_client::HttpClientConfig;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use yaml_config::{Duration, Inline};

use crate::remote_auth::SigV4Config;

/// Where alerts go, and what is done to them before.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.plain")]
pub struct AlertingConfig {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alert_relabel_configs: Vec<Option<relabel::Config>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// A set of Alertmanagers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertmanagerConfig {
    pub section: AlertmanagerSection,
    pub http: HttpClientConfig,
    pub discovery: Configs,
}

/// The set's own fields.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.plain")]
pub struct AlertmanagerSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<SigV4Config>,
    pub scheme: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    pub timeout: Duration,
    pub api_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabel_configs: Vec<Option<relabel::Config>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alert_relabel_configs: Vec<Option<relabel::Config>>,
}

impl Default for AlertmanagerSection {
    fn default() -> AlertmanagerSection {
        AlertmanagerSection {
            sigv4: None,
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            timeout: Duration::from_secs(10),
            api_version: "v2".to_owned(),
            relabel_configs: Vec::new(),
            alert_relabel_configs: Vec::new(),
        }
    }
}

type Written = Inline<Inline<AlertmanagerSection, HttpClientConfig>, Configs>;

impl<'de> Deserialize<'de> for AlertmanagerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AlertmanagerConfig, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let config = AlertmanagerConfig {
            section: written.own.own,
            http: written.own.inlined,
            discovery: written.inlined,
        };
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

impl Serialize for AlertmanagerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = Inline {
            own: &self.http,
            inlined: &self.section,
        };
        Inline {
            own,
            inlined: &self.discovery,
        }
        .serialize(serializer)
    }
}

impl AlertmanagerConfig {
    fn check(&self) -> Result<(), String> {
        let section = &self.section;
        if section.api_version != "v2" {
            return Err(format!(
                "expected Alertmanager api version to be one of [v2] but got {}",
                section.api_version
            ));
        }
        let http = &self.http;
        let has_auth =
            http.basic_auth.is_some() || http.authorization.is_some() || http.oauth2.is_some();
        if has_auth && section.sigv4.is_some() {
            let text =
                "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured";
            return Err(text.to_owned());
        }
        if section.relabel_configs.is_empty() {
            self.discovery.validate()?;
        }
        if section.relabel_configs.iter().any(Option::is_none) {
            return Err("empty or null Alertmanager target relabeling rule".to_owned());
        }
        if section.alert_relabel_configs.iter().any(Option::is_none) {
            return Err("empty or null Alertmanager alert relabeling rule".to_owned());
        }
        Ok(())
    }
}

impl AlertingConfig {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.alert_relabel_configs.is_empty() && self.alertmanagers.is_empty()
    }

    /// Checks the relabelling rules under the scheme of names in force.
    ///
    /// # Errors
    /// Upstream's texts.
    pub(crate) fn validate(&self, scheme: model::names::ValidationScheme) -> Result<(), String> {
        if self.alert_relabel_configs.iter().any(Option::is_none) {
            return Err("empty or null alert relabeling rule".to_owned());
        }
        let of_sets = self.alertmanagers.iter().flat_map(|set| {
            set.section
                .relabel_configs
                .iter()
                .chain(&set.section.alert_relabel_configs)
        });
        for rule in self.alert_relabel_configs.iter().chain(of_sets).flatten() {
            rule.compile(scheme).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    pub(crate) fn set_directory(&mut self, dir: &Path) {
        for set in &mut self.alertmanagers {
            set.http.set_directory(dir);
            set.discovery.resolve_paths(dir);
        }
    }
}
