//! `docker_sd_configs`: the containers of a Docker engine (prometheus/prometheus `discovery/moby`).
//!
//! Two questions of the engine's HTTP API, over the host's socket or TCP: containers and networks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use http_client::{Client, ClientOptions, HttpClientConfig};
use model::Labels;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use yaml_config::Inline;

use super::{Mechanism, Updates};
use crate::group::TargetGroup;
use crate::metrics::Metrics;
use crate::refresh;

/// An answer longer than this is no list of containers.
const MAX_BODY_BYTES: usize = 256 << 20;

/// A section of `docker_sd_configs`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct DockerConfig(Inline<DockerSection, HttpClientConfig>);

/// The section's own fields.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "moby.plain")]
pub struct DockerSection {
    /// `unix:///var/run/docker.sock`, `tcp://host:port` or `http(s)://host:port`.
    pub host: String,
    /// For containers that expose no TCP port.
    pub port: u16,
    /// The engine's own filters of containers.
    pub filters: Vec<Filter>,
    /// The address of containers that use the host's network.
    pub host_networking_host: String,
    pub refresh_interval: yaml_config::Duration,
    /// One target for a container in several networks, not one for each.
    pub match_first_network: bool,
}

/// A filter: any of the values.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "moby.Filter")]
pub struct Filter {
    pub name: String,
    pub values: Vec<String>,
}

impl Default for DockerSection {
    fn default() -> DockerSection {
        DockerSection {
            host: String::new(),
            port: 80,
            filters: Vec::new(),
            host_networking_host: "localhost".to_owned(),
            refresh_interval: yaml_config::Duration::from_secs(60),
            match_first_network: true,
        }
    }
}

impl DockerConfig {
    pub(crate) fn resolve_paths(&mut self, dir: &Path) {
        self.0.inlined.set_directory(dir);
    }
}

impl<'de> Deserialize<'de> for DockerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DockerConfig, D::Error> {
        let section: Inline<DockerSection, HttpClientConfig> = Inline::deserialize(deserializer)?;
        if section.own.host.is_empty() {
            return Err(D::Error::custom("host missing"));
        }
        if endpoint(&section.own.host).is_none() {
            let host = golang::strconv::quote(&section.own.host);
            return Err(D::Error::custom(format!(
                "unable to parse docker host {host}"
            )));
        }
        Ok(DockerConfig(section))
    }
}

/// The base URL and, for a socket, its path.
fn endpoint(host: &str) -> Option<(String, Option<String>)> {
    let (scheme, rest) = host.split_once("://")?;
    match scheme {
        "unix" => Some(("http://docker".to_owned(), Some(rest.to_owned()))),
        "tcp" => Some((format!("http://{}", rest.trim_end_matches('/')), None)),
        "http" | "https" => Some((host.trim_end_matches('/').to_owned(), None)),
        _ => None,
    }
}

impl Mechanism for DockerConfig {
    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let DockerConfig(Inline {
                own: section,
                inlined,
            }) = *self;
            let interval = *section.refresh_interval;
            let (url, socket) = endpoint(&section.host).unwrap_or_default();
            let options = ClientOptions {
                unix_socket: socket.map(Into::into),
                ..ClientOptions::default()
            };
            let client = match Client::new(&inlined, options) {
                Ok(client) => client,
                Err(error) => {
                    metrics.failed_configs.with(&[&updates.manager]).add(1.0);
                    tracing::error!(discovery = "docker", url, err = %error, "Cannot create service discovery");
                    return;
                }
            };
            let host = section.host.clone();
            let engine = Arc::new(Engine {
                url,
                client,
                section,
            });
            let look = || {
                let engine = engine.clone();
                async move { engine.look(interval).await }
            };
            refresh::every(interval, ("docker", &host), &metrics, &updates, look).await;
        })
    }
}

struct Engine {
    url: String,
    client: Client,
    section: DockerSection,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    labels: Option<BTreeMap<String, String>>,
    ports: Option<Vec<Port>>,
    host_config: HostConfig,
    network_settings: NetworkSettings,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    r#type: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "NetworkID")]
    network_id: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Network {
    id: String,
    name: String,
    scope: String,
    internal: bool,
    ingress: bool,
    labels: Option<BTreeMap<String, String>>,
}

type Pairs = Vec<(String, String)>;

impl Engine {
    async fn look(&self, timeout: Duration) -> Result<Vec<TargetGroup>, String> {
        let questions = async {
            let containers = self.get(&self.containers_path()).await?;
            let networks = self.get("/networks").await?;
            Ok::<_, String>((containers, networks))
        };
        let (containers, networks): (Vec<Container>, Vec<Network>) =
            tokio::time::timeout(timeout, questions)
                .await
                .map_err(|_| "context deadline exceeded".to_owned())?
                .map_err(|error| format!("error while listing containers: {error}"))?;
        Ok(vec![TargetGroup {
            source: "Docker".to_owned(),
            targets: targets(&containers, &networks, &self.section),
            labels: Labels::empty(),
        }])
    }

    fn containers_path(&self) -> String {
        let mut filters: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
        for filter in &self.section.filters {
            let values = filters.entry(&filter.name).or_default();
            values.extend(filter.values.iter().map(|value| (value.as_str(), true)));
        }
        if filters.is_empty() {
            return "/containers/json".to_owned();
        }
        let json = serde_json::to_string(&filters).unwrap_or_default();
        let mut path = "/containers/json?filters=".to_owned();
        for byte in json.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    path.push(char::from(byte));
                }
                byte => path.push_str(&format!("%{byte:02X}")),
            }
        }
        path
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let request = http::Request::get(format!("{}{path}", self.url))
            .body(Full::<Bytes>::default())
            .map_err(|error| error.to_string())?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES);
        let body = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        if status != http::StatusCode::OK {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            return Err(format!("Error response from daemon: {status}: {text}"));
        }
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}

fn targets(containers: &[Container], networks: &[Network], section: &DockerSection) -> Vec<Labels> {
    let network_labels: BTreeMap<&str, Pairs> = networks
        .iter()
        .map(|network| (network.id.as_str(), labels_of_network(network)))
        .collect();
    let mut targets = Vec::new();
    for container in containers {
        let Some(name) = container.names.iter().flatten().next() else {
            continue;
        };
        let common = labels_of_container(container, name);
        let mut endpoints: Vec<&Endpoint> = endpoints(container, containers);
        if section.match_first_network {
            endpoints.truncate(1);
        }
        for endpoint in endpoints {
            let network = network_labels.get(endpoint.network_id.as_str());
            let base = || common.iter().chain(network.into_iter().flatten()).cloned();
            let before = targets.len();
            for port in container
                .ports
                .iter()
                .flatten()
                .filter(|port| port.r#type == "tcp")
            {
                let more = labels_of_port(endpoint, port);
                targets.push(Labels::from_pairs(base().chain(more)));
            }
            if targets.len() == before {
                let host = if container.host_config.network_mode == "host" {
                    &section.host_networking_host
                } else {
                    &endpoint.ip_address
                };
                let more = [
                    meta("network_ip", &endpoint.ip_address),
                    ("__address__".to_owned(), join(host, section.port)),
                ];
                targets.push(Labels::from_pairs(base().chain(more)));
            }
        }
    }
    targets
}

/// A container's networks by name; those of the container whose network it shares, if it has none.
fn endpoints<'c>(container: &'c Container, all: &'c [Container]) -> Vec<&'c Endpoint> {
    let mut container = container;
    // Bounded: containers could name each other in a circle.
    for _ in 0..=all.len() {
        let networks = container.network_settings.networks.iter().flatten();
        let found: Vec<&Endpoint> = networks
            .filter_map(|(_, endpoint)| endpoint.as_ref())
            .collect();
        if !found.is_empty() {
            return found;
        }
        let mode = &container.host_config.network_mode;
        let shared = mode.strip_prefix("container:");
        let Some(next) = shared.and_then(|id| all.iter().find(|other| other.id == id)) else {
            break;
        };
        container = next;
    }
    Vec::new()
}

fn meta(name: &str, value: impl Into<String>) -> (String, String) {
    (format!("__meta_docker_{name}"), value.into())
}

fn labels_of_container(container: &Container, name: &str) -> Pairs {
    let mut labels = vec![
        meta("container_id", &container.id),
        meta("container_name", name),
        meta("container_image", &container.image),
        meta("container_image_id", &container.image_id),
        meta(
            "container_network_mode",
            &container.host_config.network_mode,
        ),
    ];
    let own = container.labels.iter().flatten();
    labels.extend(own.map(|(n, v)| meta(&format!("container_label_{}", sanitized(n)), v)));
    labels
}

fn labels_of_network(network: &Network) -> Pairs {
    let mut labels = vec![
        meta("network_id", &network.id),
        meta("network_name", &network.name),
        meta("network_scope", &network.scope),
        meta("network_internal", network.internal.to_string()),
        meta("network_ingress", network.ingress.to_string()),
    ];
    let own = network.labels.iter().flatten();
    labels.extend(own.map(|(n, v)| meta(&format!("network_label_{}", sanitized(n)), v)));
    labels
}

fn labels_of_port(endpoint: &Endpoint, port: &Port) -> Pairs {
    let mut labels = vec![
        meta("network_ip", &endpoint.ip_address),
        meta("port_private", port.private_port.to_string()),
        (
            "__address__".to_owned(),
            join(&endpoint.ip_address, port.private_port),
        ),
    ];
    if port.public_port > 0 {
        labels.push(meta("port_public", port.public_port.to_string()));
        labels.push(meta("port_public_ip", &port.ip));
    }
    labels
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Every character beyond the old alphabet of label names becomes `_`.
fn sanitized(name: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINERS: &str = r#"[
      {"Id":"c1","Names":["/web"],"Image":"nginx","ImageID":"sha256:1","Labels":{"com.docker.x":"y"},
       "Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":53,"Type":"udp"}],
       "HostConfig":{"NetworkMode":"b_net"},
       "NetworkSettings":{"Networks":{"b_net":{"IPAddress":"172.20.0.3","NetworkID":"n2"},"a_net":{"IPAddress":"172.19.0.3","NetworkID":"n1"}}}},
      {"Id":"c2","Names":["/side"],"Ports":[],"HostConfig":{"NetworkMode":"container:c1"},"NetworkSettings":{"Networks":{}}},
      {"Id":"c3","Names":["/agent"],"Ports":null,"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{"IPAddress":"","NetworkID":"n3"}}}},
      {"Id":"c4","Names":null}
    ]"#;
    const NETWORKS: &str = r#"[{"Id":"n1","Name":"a_net","Scope":"local","Internal":true,"Ingress":false,"Labels":{}},{"Id":"n3","Name":"host"}]"#;

    fn found(section: &DockerSection) -> Vec<Labels> {
        let containers: Vec<Container> = serde_json::from_str(CONTAINERS).unwrap();
        let networks: Vec<Network> = serde_json::from_str(NETWORKS).unwrap();
        targets(&containers, &networks, section)
    }

    #[test]
    fn containers_become_targets() {
        let targets = found(&DockerSection::default());
        let addresses: Vec<&str> = targets.iter().map(|t| t.get("__address__")).collect();
        assert_eq!(
            addresses,
            ["172.19.0.3:80", "172.19.0.3:80", "localhost:80"]
        );
        let expected = Labels::from([
            ("__address__", "172.19.0.3:80"),
            ("__meta_docker_container_id", "c1"),
            ("__meta_docker_container_image", "nginx"),
            ("__meta_docker_container_image_id", "sha256:1"),
            ("__meta_docker_container_label_com_docker_x", "y"),
            ("__meta_docker_container_name", "/web"),
            ("__meta_docker_container_network_mode", "b_net"),
            ("__meta_docker_network_id", "n1"),
            ("__meta_docker_network_ingress", "false"),
            ("__meta_docker_network_internal", "true"),
            ("__meta_docker_network_ip", "172.19.0.3"),
            ("__meta_docker_network_name", "a_net"),
            ("__meta_docker_network_scope", "local"),
            ("__meta_docker_port_private", "80"),
            ("__meta_docker_port_public", "8080"),
            ("__meta_docker_port_public_ip", "0.0.0.0"),
        ]);
        assert_eq!(targets[0], expected);
        let every = DockerSection {
            match_first_network: false,
            ..DockerSection::default()
        };
        assert_eq!(found(&every).len(), 5);
    }

    #[test]
    fn sections() {
        let parse = |text: &str| yaml_config::from_str::<DockerConfig>(text);
        let config =
            parse("{host: 'unix:///var/run/docker.sock', filters: [{name: label, values: [a]}]}")
                .unwrap();
        assert_eq!(config.0.own.port, 80);
        assert_eq!(parse("{}").unwrap_err().message(), "host missing");
        assert!(parse("{host: 'x'}").is_err());
        assert_eq!(
            endpoint("tcp://h:1/"),
            Some(("http://h:1".to_owned(), None))
        );
        assert_eq!(
            endpoint("unix:///a/b"),
            Some(("http://docker".to_owned(), Some("/a/b".to_owned())))
        );
    }
}
