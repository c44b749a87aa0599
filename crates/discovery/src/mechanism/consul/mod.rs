//! `consul_sd_configs`: the instances of services that a Consul agent knows (prometheus/prometheus
//! `discovery/consul`).
//!
//! Consul holds a question back until its answer has changed ("blocking queries"). The catalog tells which
//! services there are, and every service is then watched by itself: its instances and their health. Where
//! the configuration names services and nothing else, the catalog is not asked.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{HeaderValue, StatusCode};
use http_client::{BasicAuth, Client, ClientOptions, HttpClientConfig};
use model::Labels;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use tokio::task::{AbortHandle, JoinSet};
use yaml_config::{Inline, Secret};

use super::{Mechanism, Updates};
use crate::fetch::{fetch, get};
use crate::group::TargetGroup;
use crate::labels::{Pairs, escaped, join_host_port, last_wins, query, sanitized};
use crate::metrics::Metrics;

const PREFIX: &str = "__meta_consul_";
/// How long Consul may hold back an answer that has not changed.
const WATCH_TIMEOUT: Duration = Duration::from_secs(120);
/// Consul adds up to a sixteenth of the time, so that not all watchers come back at once.
const WATCH_GRACE: Duration = Duration::from_secs(15);
/// The pause after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// A section of `consul_sd_configs`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct ConsulConfig(Inline<ConsulSection, HttpClientConfig>);

/// The section's own fields.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "consul.plain")]
pub struct ConsulSection {
    /// Host and port.
    pub server: String,
    /// Where behind a proxy Consul's API begins.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub token: Secret,
    /// The agent's own, if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag_separator: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// Any server may answer, not only the leader.
    pub allow_stale: bool,
    /// The least time between two questions of a kind.
    pub refresh_interval: yaml_config::Duration,
    /// All, if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Instances must have all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_meta: BTreeMap<String, String>,
    /// Of the catalog.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// Of instances.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub health_filter: String,
}

impl Default for ConsulSection {
    fn default() -> ConsulSection {
        ConsulSection {
            server: "localhost:8500".to_owned(),
            path_prefix: String::new(),
            token: Secret::default(),
            datacenter: String::new(),
            namespace: String::new(),
            partition: String::new(),
            tag_separator: ",".to_owned(),
            scheme: "http".to_owned(),
            username: String::new(),
            password: Secret::default(),
            allow_stale: true,
            refresh_interval: yaml_config::Duration::from_secs(30),
            services: Vec::new(),
            tags: Vec::new(),
            node_meta: BTreeMap::new(),
            filter: String::new(),
            health_filter: String::new(),
        }
    }
}

impl<'de> Deserialize<'de> for ConsulConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ConsulConfig, D::Error> {
        let config = ConsulConfig(Inline::deserialize(deserializer)?);
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

impl ConsulConfig {
    fn check(&self) -> Result<(), &'static str> {
        let (section, http) = (&self.0.own, &self.0.inlined);
        if section.server.trim().is_empty() {
            return Err("consul SD configuration requires a server address");
        }
        let has_user = !section.username.is_empty() || !section.password.is_empty();
        if has_user && http.basic_auth.is_some() {
            return Err(
                "at most one of consul SD configuration username and password and basic auth can be configured",
            );
        }
        let has_bearer = http.authorization.is_some() || http.oauth2.is_some();
        if !section.token.is_empty() && has_bearer {
            return Err(
                "at most one of consul SD token, authorization, or oauth2 can be configured",
            );
        }
        Ok(())
    }

    /// The inlined section with the user of the section's own fields.
    fn http(&self) -> HttpClientConfig {
        let (section, mut http) = (&self.0.own, self.0.inlined.clone());
        if !section.username.is_empty() || !section.password.is_empty() {
            http.basic_auth = Some(BasicAuth {
                username: section.username.clone(),
                password: section.password.clone(),
                ..BasicAuth::default()
            });
        }
        http
    }
}

impl Mechanism for ConsulConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        self.0.inlined.set_directory(dir);
    }

    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let described = ("consul", self.0.own.server.clone());
            let described = (described.0, described.1.as_str());
            let options = ClientOptions::default();
            let Some(client) = updates.client(described, &self.http(), options, &metrics) else {
                return;
            };
            let mut agent = Agent {
                section: self.0.own,
                client,
                updates,
                metrics,
            };
            agent.find_datacenter().await;
            Arc::new(agent).watch().await;
        })
    }
}

/// An agent that can be asked.
struct Agent {
    section: ConsulSection,
    client: Client,
    updates: Updates,
    metrics: Metrics,
}

/// An answer and the index it stands for.
struct Indexed<T> {
    value: T,
    index: u64,
}

impl Agent {
    /// Asks the agent for its datacenter until it tells, if the configuration does not say.
    async fn find_datacenter(&mut self) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Itself {
            config: Config,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Config {
            datacenter: String,
        }
        let server = self.section.server.clone();
        while self.section.datacenter.is_empty() {
            let asked = self.ask::<Itself>("/v1/agent/self", &[]);
            match tokio::time::timeout(WATCH_GRACE, asked).await {
                Ok(Ok(answer)) => self.section.datacenter = answer.value.config.datacenter,
                Ok(Err(error)) => self.failed(&server, &error).await,
                Err(_) => self.failed(&server, "context deadline exceeded").await,
            }
        }
        self.updates.recovered(&server);
    }

    async fn watch(self: Arc<Self>) {
        let section = &self.section;
        let is_named =
            !section.services.is_empty() && section.tags.is_empty() && section.filter.is_empty();
        let mut watchers = JoinSet::new();
        if !is_named {
            return self.clone().watch_catalog(watchers).await;
        }
        for name in &section.services {
            watchers.spawn(self.clone().watch_service(name.clone()));
        }
        while watchers.join_next().await.is_some() {}
    }

    /// Keeps a watcher for every service of the catalog that is wanted.
    async fn watch_catalog(self: Arc<Self>, mut watchers: JoinSet<()>) {
        let server = self.section.server.clone();
        let mut watched: BTreeMap<String, AbortHandle> = BTreeMap::new();
        let mut ticks = ticks(&self.section);
        let mut index = 0;
        loop {
            ticks.tick().await;
            let mut parameters = self.parameters(index);
            parameters.extend(pair("filter", &self.section.filter));
            let found = self
                .timed::<BTreeMap<String, Vec<String>>>(
                    "services",
                    "/v1/catalog/services",
                    &parameters,
                )
                .await;
            let answer = match found {
                Ok(answer) => answer,
                Err(error) => {
                    self.failed(&server, &format!("Error refreshing service list: {error}"))
                        .await;
                    continue;
                }
            };
            self.updates.recovered(&server);
            if answer.index == index {
                continue;
            }
            index = next_index(index, answer.index);
            let wanted = answer.value.iter();
            let wanted = wanted.filter(|(name, tags)| self.wants(name, tags));
            let wanted: BTreeSet<&String> = wanted.map(|(name, _)| name).collect();
            let mut gone = Vec::new();
            watched.retain(|name, watcher| {
                if wanted.contains(name) {
                    return true;
                }
                watcher.abort();
                gone.push(TargetGroup {
                    source: name.clone(),
                    ..TargetGroup::default()
                });
                false
            });
            for group in &gone {
                self.updates.recovered(&self.described(&group.source));
            }
            for name in wanted {
                if !watched.contains_key(name) {
                    let watcher = watchers.spawn(self.clone().watch_service(name.clone()));
                    watched.insert(name.clone(), watcher);
                }
            }
            if watched.is_empty() {
                // So that it is known that there is nothing.
                gone.push(TargetGroup::default());
            }
            if !gone.is_empty() && !self.updates.send(gone).await {
                return;
            }
            // What has been stopped is forgotten.
            while watchers.try_join_next().is_some() {}
        }
    }

    /// Publishes the instances of a service whenever they change.
    async fn watch_service(self: Arc<Self>, name: String) {
        let path = format!("/v1/health/service/{}", escaped(&name));
        let described = self.described(&name);
        let mut ticks = ticks(&self.section);
        let mut index = 0;
        loop {
            ticks.tick().await;
            let mut parameters = self.parameters(index);
            parameters.extend(pair("filter", &self.section.health_filter));
            let tags = self.section.tags.iter();
            parameters.extend(tags.map(|tag| ("tag".to_owned(), tag.clone())));
            let found = self
                .timed::<Vec<Instance>>("service", &path, &parameters)
                .await;
            let answer = match found {
                Ok(answer) => answer,
                Err(error) => {
                    self.failed(&described, &format!("Error refreshing service: {error}"))
                        .await;
                    continue;
                }
            };
            self.updates.recovered(&described);
            if answer.index == index {
                continue;
            }
            index = next_index(index, answer.index);
            let group = TargetGroup {
                source: name.clone(),
                targets: answer
                    .value
                    .iter()
                    .map(|instance| instance.labels(&self.section.tag_separator))
                    .collect(),
                labels: Labels::from([
                    ("__meta_consul_service", name.as_str()),
                    ("__meta_consul_dc", self.section.datacenter.as_str()),
                ]),
            };
            if !self.updates.send(vec![group]).await {
                return;
            }
        }
    }

    fn described(&self, service: &str) -> String {
        format!("{} {service}", self.section.server)
    }

    fn wants(&self, name: &str, tags: &[String]) -> bool {
        let services = &self.section.services;
        let named = services.is_empty() || services.iter().any(|service| service == name);
        named && self.section.tags.iter().all(|tag| tags.contains(tag))
    }

    /// What every question says.
    fn parameters(&self, index: u64) -> Vec<(String, String)> {
        let section = &self.section;
        let mut parameters: Vec<_> = [
            pair("dc", &section.datacenter),
            pair("ns", &section.namespace),
            pair("partition", &section.partition),
            section
                .allow_stale
                .then(|| ("stale".to_owned(), String::new())),
            (index > 0).then(|| ("index".to_owned(), index.to_string())),
            Some((
                "wait".to_owned(),
                format!("{}ms", WATCH_TIMEOUT.as_millis()),
            )),
        ]
        .into_iter()
        .flatten()
        .collect();
        let meta = section.node_meta.iter();
        parameters
            .extend(meta.map(|(key, value)| ("node-meta".to_owned(), format!("{key}:{value}"))));
        parameters
    }

    async fn timed<T: DeserializeOwned>(
        &self,
        call: &str,
        path: &str,
        parameters: &[(String, String)],
    ) -> Result<Indexed<T>, String> {
        let begin = Instant::now();
        let asked = tokio::time::timeout(WATCH_TIMEOUT + WATCH_GRACE, self.ask(path, parameters));
        let answer = asked.await;
        let duration = self.metrics.consul_rpc_duration.with(&["catalog", call]);
        duration.observe_duration(begin.elapsed());
        answer.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(String, String)],
    ) -> Result<Indexed<T>, String> {
        let section = &self.section;
        let pairs = parameters.iter();
        let query = query(pairs.map(|(name, value)| (name.as_str(), value.as_str())));
        let prefix = section.path_prefix.trim_end_matches('/');
        let url = format!(
            "{}://{}{prefix}{path}{query}",
            section.scheme, section.server
        );
        let mut request = get(&url)?;
        if !section.token.is_empty() {
            let token = HeaderValue::from_str(section.token.reveal());
            let token = token.map_err(|_| "the token is no header value".to_owned())?;
            request.headers_mut().insert("X-Consul-Token", token);
        }
        let answer = fetch(&self.client, request).await?;
        if answer.status != StatusCode::OK {
            let (status, text) = (answer.status.as_u16(), answer.excerpt());
            return Err(format!("Unexpected response code: {status} ({text})"));
        }
        Ok(Indexed {
            index: answer.header("x-consul-index").parse().unwrap_or(0),
            value: answer.json()?,
        })
    }

    async fn failed(&self, what: &str, error: &str) {
        self.metrics.consul_rpc_failures.inc();
        self.updates.failed("consul", what, error);
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// The first at once, the others no sooner than the interval.
fn ticks(section: &ConsulSection) -> tokio::time::Interval {
    let mut ticks =
        tokio::time::interval((*section.refresh_interval).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// An index that goes backwards (a restored snapshot) begins anew, as Consul's documentation asks for.
fn next_index(before: u64, now: u64) -> u64 {
    if now < before { 0 } else { now }
}

fn pair(name: &str, value: &str) -> Option<(String, String)> {
    (!value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

/// An instance of a service as `/v1/health/service` describes it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Instance {
    node: Node,
    service: Service,
    checks: Option<Vec<Check>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Node {
    node: String,
    address: String,
    tagged_addresses: Option<BTreeMap<String, String>>,
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Address")]
    address: String,
    #[serde(rename = "Port")]
    port: u32,
    #[serde(rename = "Tags")]
    tags: Option<Vec<String>>,
    #[serde(rename = "Meta")]
    meta: Option<BTreeMap<String, String>>,
    #[serde(rename = "Namespace")]
    namespace: String,
    #[serde(rename = "Partition")]
    partition: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Check {
    #[serde(rename = "CheckID")]
    check_id: String,
    #[serde(rename = "Status")]
    status: String,
}

impl Instance {
    fn labels(&self, separator: &str) -> Labels {
        let (node, service) = (&self.node, &self.service);
        let meta = |name: &str, value: &str| (format!("{PREFIX}{name}"), value.to_owned());
        let host = if service.address.is_empty() {
            &node.address
        } else {
            &service.address
        };
        // Separators around every tag, so that regular expressions need not care for its place.
        let tags = service.tags.iter().flatten().cloned().collect::<Vec<_>>();
        let tags = format!("{separator}{}{separator}", tags.join(separator));
        let mut labels: Pairs = vec![
            ("__address__".to_owned(), join_host_port(host, service.port)),
            meta("address", &node.address),
            meta("node", &node.node),
            meta("namespace", &service.namespace),
            meta("partition", &service.partition),
            meta("tags", &tags),
            meta("service_address", &service.address),
            meta("service_port", &service.port.to_string()),
            meta("service_id", &service.id),
            meta("health", self.health()),
        ];
        for (prefix, pairs) in [
            ("metadata_", &node.meta),
            ("service_metadata_", &service.meta),
            ("tagged_address_", &node.tagged_addresses),
        ] {
            let pairs = pairs.iter().flatten();
            labels.extend(pairs.map(|(k, v)| meta(&format!("{prefix}{}", sanitized(k)), v)));
        }
        last_wins(labels)
    }

    /// The worst of all checks.
    fn health(&self) -> &'static str {
        let checks = || self.checks.iter().flatten();
        let is_maintenance = |check: &Check| {
            check.check_id == "_node_maintenance"
                || check.check_id.starts_with("_service_maintenance:")
        };
        let any = |status: &str| checks().any(|check| check.status == status);
        if checks().any(is_maintenance) {
            "maintenance"
        } else if any("critical") {
            "critical"
        } else if any("warning") {
            "warning"
        } else {
            "passing"
        }
    }
}
