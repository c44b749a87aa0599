//! `docker_sd_configs`: the containers of a Docker engine (prometheus/prometheus `discovery/moby`).
//!
//! Two questions of the engine's HTTP API, over the host's socket or TCP: containers and networks.

use std::collections::BTreeMap;
use std::path::Path;

use futures::future::BoxFuture;
use http_client::HttpClientConfig;
use model::Labels;
use serde::de::{Deserialize, Deserializer, Error as _};
use yaml_config::Inline;

use super::moby::{Engine, Filter, check_host};
use super::{Mechanism, Updates, moby};
use crate::group::TargetGroup;
use crate::labels::{Pairs, join_host_port, sanitized};
use crate::metrics::Metrics;

const PREFIX: &str = "__meta_docker_";

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

impl<'de> Deserialize<'de> for DockerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DockerConfig, D::Error> {
        let section: Inline<DockerSection, HttpClientConfig> = Inline::deserialize(deserializer)?;
        check_host(&section.own.host).map_err(D::Error::custom)?;
        Ok(DockerConfig(section))
    }
}

impl Mechanism for DockerConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        self.0.inlined.set_directory(dir);
    }

    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        let section = &self.0.own;
        let described = ("docker", section.host.clone(), *section.refresh_interval);
        Box::pin(moby::run(
            described,
            self.0,
            (updates, metrics),
            |asked| async move { look(&asked.0, &asked.1).await },
        ))
    }
}

async fn look(engine: &Engine, section: &DockerSection) -> Result<Vec<TargetGroup>, String> {
    let fail = |error| format!("error while listing containers: {error}");
    let listed = engine.list("/containers/json", &section.filters).await;
    let containers: Vec<Container> = listed.map_err(fail)?;
    let networks = engine.networks(PREFIX).await.map_err(fail)?;
    Ok(vec![TargetGroup {
        source: "Docker".to_owned(),
        targets: targets(&containers, &networks, section),
        labels: Labels::empty(),
    }])
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

fn targets(
    containers: &[Container],
    networks: &BTreeMap<String, Pairs>,
    section: &DockerSection,
) -> Vec<Labels> {
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
            let network = networks.get(&endpoint.network_id);
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
                    ("__address__".to_owned(), join_host_port(host, section.port)),
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
    (format!("{PREFIX}{name}"), value.into())
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

fn labels_of_port(endpoint: &Endpoint, port: &Port) -> Pairs {
    let mut labels = vec![
        meta("network_ip", &endpoint.ip_address),
        meta("port_private", port.private_port.to_string()),
        (
            "__address__".to_owned(),
            join_host_port(&endpoint.ip_address, port.private_port),
        ),
    ];
    if port.public_port > 0 {
        labels.push(meta("port_public", port.public_port.to_string()));
        labels.push(meta("port_public_ip", &port.ip));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::super::moby::Network;
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
        let networks = networks.iter().map(|n| (n.id.clone(), n.labels(PREFIX)));
        targets(&containers, &networks.collect(), section)
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
    }
}
