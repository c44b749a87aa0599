//! The `remote_read` section.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use golang::strconv::quote;
use http_client::HttpClientConfig;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use yaml_config::{Duration, Inline, Url};

use crate::checked::zero;
use crate::headers::{REMOTE_AUTHORIZATION, check_headers};

/// An endpoint that answers queries along with our own storage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteReadConfig {
    pub section: RemoteReadSection,
    pub http: HttpClientConfig,
    pub selection: RemoteReadSelection,
}

/// The endpoint, and how it is asked.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.plain")]
pub struct RemoteReadSection {
    pub url: Url,
    #[serde(skip_serializing_if = "zero")]
    pub remote_timeout: Duration,
    /// The largest frame of an answer that is accepted, in bytes.
    #[serde(skip_serializing_if = "zero")]
    pub chunked_read_limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub headers: BTreeMap<String, String>,
    /// Whether to ask also for times of which our own storage has everything.
    #[serde(skip_serializing_if = "zero")]
    pub read_recent: bool,
    #[serde(skip_serializing_if = "zero")]
    pub name: String,
}

impl Default for RemoteReadSection {
    fn default() -> RemoteReadSection {
        RemoteReadSection {
            url: Url::default(),
            remote_timeout: Duration::from_secs(60),
            chunked_read_limit: 50_000_000,
            headers: BTreeMap::new(),
            read_recent: false,
            name: String::new(),
        }
    }
}

/// Which queries it is asked.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "config.plain")]
pub struct RemoteReadSelection {
    /// Labels a query must ask for.
    #[serde(skip_serializing_if = "zero")]
    pub required_matchers: BTreeMap<String, String>,
    /// Whether queries are narrowed to our external labels.
    #[serde(skip_serializing_if = "zero")]
    pub filter_external_labels: bool,
}

impl Default for RemoteReadSelection {
    fn default() -> RemoteReadSelection {
        RemoteReadSelection {
            required_matchers: BTreeMap::new(),
            filter_external_labels: true,
        }
    }
}

type Written = Inline<Inline<RemoteReadSection, HttpClientConfig>, RemoteReadSelection>;

impl<'de> Deserialize<'de> for RemoteReadConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RemoteReadConfig, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let config = RemoteReadConfig {
            section: written.own.own,
            http: written.own.inlined,
            selection: written.inlined,
        };
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

impl Serialize for RemoteReadConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = Inline {
            own: &self.section,
            inlined: &self.http,
        };
        Inline {
            own,
            inlined: &self.selection,
        }
        .serialize(serializer)
    }
}

impl RemoteReadConfig {
    fn check(&self) -> Result<(), String> {
        for name in self.selection.required_matchers.keys() {
            if name.is_empty() {
                return Err(format!("{} is not a valid label name", quote(name)));
            }
        }
        if self.section.url.is_empty() {
            return Err("url for remote_read is empty".to_owned());
        }
        check_headers(&self.section.headers, REMOTE_AUTHORIZATION)
    }

    pub(crate) fn set_directory(&mut self, dir: &Path) {
        self.http.set_directory(dir);
    }
}

/// Checks the endpoints together.
pub(crate) fn validate(endpoints: &[Option<RemoteReadConfig>]) -> Result<(), String> {
    let mut names = HashSet::new();
    for endpoint in endpoints {
        let Some(RemoteReadConfig { section, .. }) = endpoint else {
            return Err("empty or null remote read config section".to_owned());
        };
        // Those without a name are told apart by what is in them.
        if !section.name.is_empty() && !names.insert(&section.name) {
            return Err(format!(
                "found multiple remote read configs with job name {}",
                quote(&section.name)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filled_in_and_printed_as_upstream() {
        let text = "{url: 'http://u:p@a', required_matchers: {job: x}}";
        let config: RemoteReadConfig = yaml_config::from_str(text).unwrap();
        assert_eq!(
            yaml_config::to_string(&config).unwrap(),
            "url: http://u:xxxxx@a
remote_timeout: 1m
chunked_read_limit: 50000000
follow_redirects: true
enable_http2: true
required_matchers:
  job: x
filter_external_labels: true
"
        );
        assert_eq!(
            validate(&[None]),
            Err("empty or null remote read config section".to_owned())
        );
        assert_eq!(validate(&[Some(config.clone()), Some(config)]), Ok(()));
    }
}
