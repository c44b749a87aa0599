//! The HTTP API of a Docker engine, as much of it as discovery asks: `docker_sd_configs` and
//! `dockerswarm_sd_configs` share it (prometheus/prometheus `discovery/moby`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http_client::{Client, ClientOptions, HttpClientConfig};
use serde::de::DeserializeOwned;
use yaml_config::Inline;

use super::Updates;
use crate::fetch::{fetch, get};
use crate::group::TargetGroup;
use crate::labels::{Pairs, query, sanitized};
use crate::metrics::Metrics;
use crate::refresh;

/// A filter: any of the values.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "moby.Filter")]
pub struct Filter {
    pub name: String,
    pub values: Vec<String>,
}

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    url: String,
    /// Of an engine that listens on a socket of its host.
    socket: Option<String>,
}

/// Checks a `host`.
///
/// # Errors
/// Upstream's texts.
pub(super) fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("host missing".to_owned());
    }
    match address(host) {
        Some(_) => Ok(()),
        None => {
            let host = golang::strconv::quote(host);
            Err(format!("unable to parse docker host {host}"))
        }
    }
}

fn address(host: &str) -> Option<Address> {
    let (scheme, rest) = host.split_once("://")?;
    let (url, socket) = match scheme {
        "unix" => ("http://docker".to_owned(), Some(rest.to_owned())),
        "tcp" => (format!("http://{}", rest.trim_end_matches('/')), None),
        "http" | "https" => (host.trim_end_matches('/').to_owned(), None),
        _ => return None,
    };
    Some(Address { url, socket })
}

/// Asks an engine at the section's intervals, for ever: what `docker_sd_configs` and
/// `dockerswarm_sd_configs` do.
pub(super) async fn run<S, F>(
    (mechanism, host, interval): (&'static str, String, Duration),
    Inline { own, inlined }: Inline<S, HttpClientConfig>,
    (updates, metrics): (Updates, Metrics),
    look: fn(Arc<(Engine, S)>) -> F,
) where
    S: Send + Sync,
    F: Future<Output = Result<Vec<TargetGroup>, String>> + Send,
{
    let described = (mechanism, host.as_str());
    let Some(engine) = Engine::new(described, &inlined, interval, &updates, &metrics) else {
        return;
    };
    let asked = Arc::new((engine, own));
    let look = || look(asked.clone());
    refresh::every(interval, described, &metrics, &updates, look).await;
}

/// An engine that can be asked.
#[derive(Debug)]
pub(super) struct Engine {
    url: String,
    client: Client,
    timeout: Duration,
}

impl Engine {
    /// `None`, said and counted, where there can be no client. An answer that takes longer than `timeout`
    /// is none.
    pub fn new(
        (mechanism, host): (&'static str, &str),
        http: &HttpClientConfig,
        timeout: Duration,
        updates: &Updates,
        metrics: &Metrics,
    ) -> Option<Engine> {
        // The host was checked when the section was read.
        let address = address(host)?;
        let options = ClientOptions {
            unix_socket: address.socket.map(Into::into),
            http1_only: true,
            ..ClientOptions::default()
        };
        let client = updates.client((mechanism, host), http, options, metrics)?;
        Some(Engine {
            url: address.url,
            client,
            timeout,
        })
    }

    /// The answer to one question.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let asked = fetch(&self.client, get(&format!("{}{path}", self.url))?);
        let answer = tokio::time::timeout(self.timeout, asked)
            .await
            .map_err(|_| "context deadline exceeded".to_owned())??;
        if answer.status != StatusCode::OK {
            let (status, text) = (answer.status, answer.excerpt());
            return Err(format!("Error response from daemon: {status}: {text}"));
        }
        answer.json()
    }

    /// The answer to a question whose answers can be filtered.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        filters: &[Filter],
    ) -> Result<T, String> {
        self.get(&format!("{path}{}", filter_query(filters))).await
    }

    /// The labels of all networks, by the network's id.
    pub async fn networks(&self, prefix: &str) -> Result<BTreeMap<String, Pairs>, String> {
        let networks: Vec<Network> = self.get("/networks").await?;
        let networks = networks.into_iter();
        Ok(networks
            .map(|network| (network.id.clone(), network.labels(prefix)))
            .collect())
    }
}

fn filter_query(filters: &[Filter]) -> String {
    let mut all: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in filters {
        let values = all.entry(&filter.name).or_default();
        values.extend(filter.values.iter().map(|value| (value.as_str(), true)));
    }
    if all.is_empty() {
        return String::new();
    }
    let json = serde_json::to_string(&all).unwrap_or_default();
    query([("filters", json.as_str())])
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Network {
    pub id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    labels: Option<BTreeMap<String, String>>,
}

impl Network {
    pub fn labels(&self, prefix: &str) -> Pairs {
        let meta = |name: &str, value: &str| (format!("{prefix}network_{name}"), value.to_owned());
        let mut labels = vec![
            meta("id", &self.id),
            meta("name", &self.name),
            meta("scope", &self.scope),
            meta("internal", &self.internal.to_string()),
            meta("ingress", &self.ingress.to_string()),
        ];
        let own = self.labels.iter().flatten();
        labels.extend(own.map(|(n, v)| meta(&format!("label_{}", sanitized(n)), v)));
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let at = |url: &str, socket: Option<&str>| {
            Some(Address {
                url: url.to_owned(),
                socket: socket.map(str::to_owned),
            })
        };
        assert_eq!(address("tcp://h:1/"), at("http://h:1", None));
        assert_eq!(address("https://h:1"), at("https://h:1", None));
        assert_eq!(address("unix:///a/b"), at("http://docker", Some("/a/b")));
        assert_eq!(address("npipe:////./pipe/docker_engine"), None);
        assert_eq!(check_host(""), Err("host missing".to_owned()));
        assert!(check_host("x").is_err());
    }

    #[test]
    fn filters_are_one_parameter() {
        let filter = |name: &str, values: &[&str]| Filter {
            name: name.to_owned(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        assert_eq!(filter_query(&[]), "");
        assert_eq!(
            filter_query(&[filter("label", &["b", "a"]), filter("label", &["c"])]),
            "?filters=%7B%22label%22%3A%7B%22a%22%3Atrue%2C%22b%22%3Atrue%2C%22c%22%3Atrue%7D%7D"
        );
    }
}
