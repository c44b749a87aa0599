//! `dockerswarm_sd_configs`: the services, tasks or nodes of a Docker swarm, as a manager knows them
//! (prometheus/prometheus `discovery/moby`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use futures::future::BoxFuture;
use http_client::HttpClientConfig;
use model::Labels;
use serde::de::{Deserialize, Deserializer, Error as _};
use yaml_config::Inline;

use super::moby::{Engine, Filter, check_host};
use super::{Mechanism, Updates, moby};
use crate::group::TargetGroup;
use crate::labels::{Pairs, join_host_port, last_wins, sanitized};
use crate::metrics::Metrics;

const PREFIX: &str = "__meta_dockerswarm_";

/// A section of `dockerswarm_sd_configs`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct DockerSwarmConfig(Inline<DockerSwarmSection, HttpClientConfig>);

/// The section's own fields.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "moby.plain")]
pub struct DockerSwarmSection {
    /// As in `docker_sd_configs`.
    pub host: String,
    /// `services`, `tasks` or `nodes`.
    pub role: String,
    /// For what publishes no port.
    pub port: u16,
    /// The engine's own filters of what the role names.
    pub filters: Vec<Filter>,
    pub refresh_interval: yaml_config::Duration,
}

impl Default for DockerSwarmSection {
    fn default() -> DockerSwarmSection {
        DockerSwarmSection {
            host: String::new(),
            role: String::new(),
            port: 80,
            filters: Vec::new(),
            refresh_interval: yaml_config::Duration::from_secs(60),
        }
    }
}

impl<'de> Deserialize<'de> for DockerSwarmConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let section: Inline<DockerSwarmSection, HttpClientConfig> =
            Inline::deserialize(deserializer)?;
        check_host(&section.own.host).map_err(D::Error::custom)?;
        match section.own.role.as_str() {
            "services" | "nodes" | "tasks" => Ok(DockerSwarmConfig(section)),
            "" => Err(D::Error::custom(
                "role missing (one of: tasks, services, nodes)",
            )),
            role => Err(D::Error::custom(format!(
                "invalid role {role}, expected tasks, services, or nodes"
            ))),
        }
    }
}

impl Mechanism for DockerSwarmConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        self.0.inlined.set_directory(dir);
    }

    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        let section = &self.0.own;
        let described = (
            "dockerswarm",
            section.host.clone(),
            *section.refresh_interval,
        );
        Box::pin(moby::run(
            described,
            self.0,
            (updates, metrics),
            |asked| async move { look(&asked.0, &asked.1).await },
        ))
    }
}

async fn look(engine: &Engine, section: &DockerSwarmSection) -> Result<Vec<TargetGroup>, String> {
    let found = match section.role.as_str() {
        "services" => services(engine, section).await,
        "nodes" => nodes(engine, section).await,
        _ => tasks(engine, section).await,
    };
    Ok(vec![TargetGroup {
        source: "DockerSwarm".to_owned(),
        targets: found?.into_iter().map(last_wins).collect(),
        labels: Labels::empty(),
    }])
}

async fn services(engine: &Engine, section: &DockerSwarmSection) -> Result<Vec<Pairs>, String> {
    let listed: Result<Vec<Service>, _> = engine.list("/services", &section.filters).await;
    let services = listed.map_err(|e| format!("error while listing swarm services: {e}"))?;
    let networks = networks(engine).await?;
    targets_of_services(&services, &networks, section.port)
}

async fn nodes(engine: &Engine, section: &DockerSwarmSection) -> Result<Vec<Pairs>, String> {
    let listed: Result<Vec<Node>, _> = engine.list("/nodes", &section.filters).await;
    let nodes = listed.map_err(|e| format!("error while listing swarm nodes: {e}"))?;
    let target = |node: &Node| {
        let mut target = node.labels();
        target.push(meta(
            "node_engine_version",
            &node.description.engine.engine_version,
        ));
        if let Some(manager) = &node.manager_status {
            target.push(meta("node_manager_leader", &manager.leader.to_string()));
            target.push(meta("node_manager_reachability", &manager.reachability));
            target.push(meta("node_manager_address", &manager.addr));
        }
        target.push(address(&node.status.addr, section.port));
        target
    };
    Ok(nodes.iter().map(target).collect())
}

async fn tasks(engine: &Engine, section: &DockerSwarmSection) -> Result<Vec<Pairs>, String> {
    let listed: Result<Vec<Task>, _> = engine.list("/tasks", &section.filters).await;
    let tasks = listed.map_err(|e| format!("error while listing swarm services: {e}"))?;
    let services: Result<Vec<Service>, _> = engine.get("/services").await;
    let services =
        services.map_err(|e| format!("error while computing services labels and ports: {e}"))?;
    let nodes: Result<Vec<Node>, _> = engine.get("/nodes").await;
    let nodes = nodes.map_err(|e| {
        format!(
            "error while computing nodes labels and ports: error while listing swarm nodes: {e}"
        )
    })?;
    let around = Around {
        services: by(&services, |service| &service.id),
        nodes: by(&nodes, |node| &node.id),
        networks: networks(engine).await?,
        containers: containers(engine, &tasks).await,
        port: section.port,
    };
    targets_of_tasks(&tasks, &around)
}

fn by<T>(all: &[T], id: impl Fn(&T) -> &String) -> BTreeMap<&str, &T> {
    all.iter().map(|one| (id(one).as_str(), one)).collect()
}

async fn networks(engine: &Engine) -> Result<BTreeMap<String, Pairs>, String> {
    let networks = engine.networks(PREFIX).await;
    networks.map_err(|e| format!("error while computing swarm network labels: {e}"))
}

/// The labels of those tasks' containers that run on this engine: an image's labels are known to no one
/// else. A container that cannot be looked at has none.
async fn containers(engine: &Engine, tasks: &[Task]) -> BTreeMap<String, Pairs> {
    let mut labels = BTreeMap::new();
    for task in tasks {
        let Some(id) = task.container_id().filter(|id| !id.is_empty()) else {
            continue;
        };
        if labels.contains_key(id) {
            continue;
        }
        let path = format!("/containers/{}/json", crate::labels::escaped(id));
        if let Ok(container) = engine.get::<Container>(&path).await {
            labels.insert(
                id.to_owned(),
                prefixed("container_label_", &container.config.labels),
            );
        }
    }
    labels
}

/// What tasks are described with besides themselves.
struct Around<'a> {
    services: BTreeMap<&'a str, &'a Service>,
    nodes: BTreeMap<&'a str, &'a Node>,
    networks: BTreeMap<String, Pairs>,
    containers: BTreeMap<String, Pairs>,
    port: u16,
}

fn targets_of_services(
    services: &[Service],
    networks: &BTreeMap<String, Pairs>,
    port: u16,
) -> Result<Vec<Pairs>, String> {
    let mut targets = Vec::new();
    for service in services {
        let container = &service.spec.task_template.container_spec;
        let mut common = service.labels();
        common.extend([
            meta("service_task_container_hostname", &container.hostname),
            meta("service_task_container_image", &container.image),
        ]);
        if let Some(status) = &service.update_status {
            common.push(meta("service_updating_status", &status.state));
        }
        for virtual_ip in service.endpoint.virtual_ips.iter().flatten() {
            let ip = ip_of(&virtual_ip.addr)?;
            let network = networks.get(&virtual_ip.network_id).into_iter().flatten();
            let common: Pairs = common.iter().chain(network).cloned().collect();
            let before = targets.len();
            for tcp in service.tcp_ports() {
                let mut target = common.clone();
                target.push(meta("service_endpoint_port_name", &tcp.name));
                target.push(meta(
                    "service_endpoint_port_publish_mode",
                    &tcp.publish_mode,
                ));
                target.push(address(&ip, tcp.published_port));
                targets.push(target);
            }
            if targets.len() == before {
                let mut target = common;
                target.push(address(&ip, port));
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

fn targets_of_tasks(tasks: &[Task], around: &Around<'_>) -> Result<Vec<Pairs>, String> {
    let mut targets = Vec::new();
    for task in tasks {
        let service = around.services.get(task.service_id.as_str());
        let common = labels_of_task(task, around);
        let node = around.nodes.get(task.node_id.as_str());
        let node_address = node.map_or("", |node| node.status.addr.as_str());
        let published = task.status.port_status.iter();
        let published = published.flat_map(|status| status.ports.iter().flatten());
        for port in published.filter(|port| port.protocol == "tcp") {
            let mut target = common.clone();
            target.push(meta("task_port_publish_mode", &port.publish_mode));
            target.push(address(node_address, port.published_port));
            targets.push(target);
        }
        for attached in task.networks_attachments.iter().flatten() {
            let network = around.networks.get(&attached.network.id);
            for cidr in attached.addresses.iter().flatten() {
                let ip = ip_of(cidr)?;
                let network = network.into_iter().flatten();
                let common: Pairs = common.iter().chain(network).cloned().collect();
                let before = targets.len();
                for port in service.iter().flat_map(|service| service.tcp_ports()) {
                    let mut target = common.clone();
                    target.push(meta("task_port_publish_mode", &port.publish_mode));
                    target.push(address(&ip, port.published_port));
                    targets.push(target);
                }
                if targets.len() == before {
                    let mut target = common;
                    target.push(address(&ip, around.port));
                    targets.push(target);
                }
            }
        }
    }
    Ok(targets)
}

fn labels_of_task(task: &Task, around: &Around<'_>) -> Pairs {
    let mut labels = vec![
        meta("task_id", &task.id),
        meta("task_desired_state", &task.desired_state),
        meta("task_state", &task.status.state),
        meta("task_slot", &task.slot.to_string()),
    ];
    if let Some(id) = task.container_id() {
        labels.push(meta("task_container_id", id));
    }
    if let Some(container) = &task.spec.container_spec {
        // The image's labels first: those of the service's specification go before them.
        let of_image = task.container_id().and_then(|id| around.containers.get(id));
        labels.extend(of_image.into_iter().flatten().cloned());
        labels.extend(prefixed("container_label_", &container.labels));
    }
    if let Some(service) = around.services.get(task.service_id.as_str()) {
        labels.extend(service.labels());
    }
    if let Some(node) = around.nodes.get(task.node_id.as_str()) {
        labels.extend(node.labels());
    }
    labels
}

fn meta(name: &str, value: &str) -> (String, String) {
    (format!("{PREFIX}{name}"), value.to_owned())
}

fn address(host: &str, port: u16) -> (String, String) {
    ("__address__".to_owned(), join_host_port(host, port))
}

fn prefixed(prefix: &str, labels: &Option<BTreeMap<String, String>>) -> Pairs {
    let labels = labels.iter().flatten();
    labels
        .map(|(name, value)| meta(&format!("{prefix}{}", sanitized(name)), value))
        .collect()
}

/// The address of `10.0.0.2/24`.
fn ip_of(cidr: &str) -> Result<String, String> {
    let ip = cidr.split_once('/').map(|(ip, _)| ip.parse::<IpAddr>());
    match ip {
        Some(Ok(ip)) => Ok(ip.to_string()),
        _ => Err(format!(
            "error while parsing address {cidr}: invalid CIDR address: {cidr}"
        )),
    }
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: ServiceSpec,
    #[serde(rename = "Endpoint")]
    endpoint: Endpoint,
    #[serde(rename = "UpdateStatus")]
    update_status: Option<State>,
}

impl Service {
    /// The labels that its tasks have as well.
    fn labels(&self) -> Pairs {
        let mode = &self.spec.mode;
        let mode = match (&mode.global, &mode.replicated) {
            (Some(_), _) => "global",
            (None, Some(_)) => "replicated",
            (None, None) => "",
        };
        let mut labels = vec![
            meta("service_id", &self.id),
            meta("service_name", &self.spec.name),
            meta("service_mode", mode),
        ];
        labels.extend(prefixed("service_label_", &self.spec.labels));
        labels
    }

    fn tcp_ports(&self) -> impl Iterator<Item = &Port> {
        let ports = self.endpoint.ports.iter().flatten();
        ports.filter(|port| port.protocol == "tcp")
    }
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ServiceSpec {
    name: String,
    labels: Option<BTreeMap<String, String>>,
    mode: Mode,
    task_template: TaskTemplate,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mode {
    global: Option<serde::de::IgnoredAny>,
    replicated: Option<serde::de::IgnoredAny>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskTemplate {
    container_spec: ContainerSpec,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerSpec {
    hostname: String,
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "Ports")]
    ports: Option<Vec<Port>>,
    #[serde(rename = "VirtualIPs")]
    virtual_ips: Option<Vec<VirtualIp>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Port {
    name: String,
    protocol: String,
    published_port: u16,
    publish_mode: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct VirtualIp {
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(rename = "Addr")]
    addr: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct State {
    state: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: NodeSpec,
    #[serde(rename = "Description")]
    description: Description,
    #[serde(rename = "Status")]
    status: NodeStatus,
    #[serde(rename = "ManagerStatus")]
    manager_status: Option<ManagerStatus>,
}

impl Node {
    /// The labels that the tasks on it have as well.
    fn labels(&self) -> Pairs {
        let description = &self.description;
        let mut labels = vec![
            meta("node_id", &self.id),
            meta("node_role", &self.spec.role),
            meta("node_address", &self.status.addr),
            meta("node_availability", &self.spec.availability),
            meta("node_hostname", &description.hostname),
            meta(
                "node_platform_architecture",
                &description.platform.architecture,
            ),
            meta("node_platform_os", &description.platform.os),
            meta("node_status", &self.status.state),
        ];
        labels.extend(prefixed("node_label_", &self.spec.labels));
        labels
    }
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeSpec {
    role: String,
    availability: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Description {
    hostname: String,
    platform: Platform,
    engine: EngineDescription,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Platform {
    #[serde(rename = "Architecture")]
    architecture: String,
    #[serde(rename = "OS")]
    os: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct EngineDescription {
    engine_version: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NodeStatus {
    state: String,
    addr: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ManagerStatus {
    leader: bool,
    reachability: String,
    addr: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Task {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    #[serde(rename = "Slot")]
    slot: i64,
    #[serde(rename = "DesiredState")]
    desired_state: String,
    #[serde(rename = "Spec")]
    spec: TaskSpec,
    #[serde(rename = "Status")]
    status: TaskStatus,
    #[serde(rename = "NetworksAttachments")]
    networks_attachments: Option<Vec<Attachment>>,
}

impl Task {
    fn container_id(&self) -> Option<&str> {
        let container = self.status.container_status.as_ref();
        container.map(|container| container.container_id.as_str())
    }
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskSpec {
    container_spec: Option<ContainerSpec>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct TaskStatus {
    state: String,
    container_status: Option<ContainerStatus>,
    port_status: Option<PortStatus>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    container_id: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PortStatus {
    ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Attachment {
    network: AttachedNetwork,
    addresses: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct AttachedNetwork {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    config: ContainerConfig,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerConfig {
    labels: Option<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: &str = r#"[
      {"ID":"s1","Spec":{"Name":"web","Labels":{"com.x":"y"},"Mode":{"Replicated":{"Replicas":2}},
        "TaskTemplate":{"ContainerSpec":{"Image":"nginx@sha","Hostname":"h"}}},
       "Endpoint":{"Ports":[{"Name":"metrics","Protocol":"tcp","TargetPort":80,"PublishedPort":9100,"PublishMode":"ingress"},
                            {"Protocol":"udp","PublishedPort":53}],
                   "VirtualIPs":[{"NetworkID":"n1","Addr":"10.0.0.3/24"}]},
       "UpdateStatus":{"State":"completed"}},
      {"ID":"s2","Spec":{"Name":"agent","Mode":{"Global":{}}},"Endpoint":{"VirtualIPs":[{"NetworkID":"n2","Addr":"10.0.1.3/24"}]}}
    ]"#;
    const NODES: &str = r#"[{"ID":"d1","Spec":{"Role":"manager","Availability":"active","Labels":{"rack.no":"7"}},
       "Description":{"Hostname":"oscar","Platform":{"Architecture":"x86_64","OS":"linux"},"Engine":{"EngineVersion":"20.10"}},
       "Status":{"State":"ready","Addr":"192.168.1.2"},
       "ManagerStatus":{"Leader":true,"Reachability":"reachable","Addr":"192.168.1.2:2377"}}]"#;
    const TASKS: &str = r#"[
      {"ID":"t1","ServiceID":"s1","NodeID":"d1","Slot":1,"DesiredState":"running",
       "Spec":{"ContainerSpec":{"Image":"nginx","Labels":{"a":"of the service"}}},
       "Status":{"State":"running","ContainerStatus":{"ContainerID":"c1"},
                 "PortStatus":{"Ports":[{"Protocol":"tcp","PublishedPort":8080,"PublishMode":"host"}]}},
       "NetworksAttachments":[{"Network":{"ID":"n1"},"Addresses":["10.0.0.5/24"]}]},
      {"ID":"t2","ServiceID":"s2","NodeID":"gone","Spec":{"ContainerSpec":{}},"Status":{"State":"pending","PortStatus":{}},
       "NetworksAttachments":[{"Network":{"ID":"n2"},"Addresses":["10.0.1.5/24"]}]}
    ]"#;

    fn networks() -> BTreeMap<String, Pairs> {
        BTreeMap::from([("n1".to_owned(), vec![meta("network_name", "front")])])
    }

    fn check(target: &Pairs, expected: &[(&str, &str)]) {
        let expected = expected
            .iter()
            .map(|(name, value)| match name.strip_prefix("__") {
                Some(_) => ((*name).to_owned(), (*value).to_owned()),
                None => meta(name, value),
            });
        assert_eq!(last_wins(target.clone()), last_wins(expected.collect()));
    }

    #[test]
    fn services_become_targets() {
        let services: Vec<Service> = serde_json::from_str(SERVICES).unwrap();
        let targets = targets_of_services(&services, &networks(), 80).unwrap();
        assert_eq!(targets.len(), 2);
        check(
            &targets[0],
            &[
                ("__address__", "10.0.0.3:9100"),
                ("network_name", "front"),
                ("service_endpoint_port_name", "metrics"),
                ("service_endpoint_port_publish_mode", "ingress"),
                ("service_id", "s1"),
                ("service_label_com_x", "y"),
                ("service_mode", "replicated"),
                ("service_name", "web"),
                ("service_task_container_hostname", "h"),
                ("service_task_container_image", "nginx@sha"),
                ("service_updating_status", "completed"),
            ],
        );
        check(
            &targets[1],
            &[
                ("__address__", "10.0.1.3:80"),
                ("service_id", "s2"),
                ("service_mode", "global"),
                ("service_name", "agent"),
                ("service_task_container_hostname", ""),
                ("service_task_container_image", ""),
            ],
        );
        let mut odd = services;
        odd[1].endpoint.virtual_ips.as_mut().unwrap()[0].addr = "x".to_owned();
        assert!(targets_of_services(&odd, &networks(), 80).is_err());
    }

    #[test]
    fn tasks_become_targets() {
        let services: Vec<Service> = serde_json::from_str(SERVICES).unwrap();
        let nodes: Vec<Node> = serde_json::from_str(NODES).unwrap();
        let tasks: Vec<Task> = serde_json::from_str(TASKS).unwrap();
        let image = vec![
            meta("container_label_a", "of the image"),
            meta("container_label_b", "too"),
        ];
        let around = Around {
            services: by(&services, |service| &service.id),
            nodes: by(&nodes, |node| &node.id),
            networks: networks(),
            containers: BTreeMap::from([("c1".to_owned(), image)]),
            port: 80,
        };
        let targets = targets_of_tasks(&tasks, &around).unwrap();
        let addresses: Vec<String> = targets
            .iter()
            .map(|target| last_wins(target.clone()).get("__address__").to_owned())
            .collect();
        assert_eq!(
            addresses,
            ["192.168.1.2:8080", "10.0.0.5:9100", "10.0.1.5:80"]
        );
        check(
            &targets[0],
            &[
                ("__address__", "192.168.1.2:8080"),
                ("container_label_a", "of the service"),
                ("container_label_b", "too"),
                ("node_address", "192.168.1.2"),
                ("node_availability", "active"),
                ("node_hostname", "oscar"),
                ("node_id", "d1"),
                ("node_label_rack_no", "7"),
                ("node_platform_architecture", "x86_64"),
                ("node_platform_os", "linux"),
                ("node_role", "manager"),
                ("node_status", "ready"),
                ("service_id", "s1"),
                ("service_label_com_x", "y"),
                ("service_mode", "replicated"),
                ("service_name", "web"),
                ("task_container_id", "c1"),
                ("task_desired_state", "running"),
                ("task_id", "t1"),
                ("task_port_publish_mode", "host"),
                ("task_slot", "1"),
                ("task_state", "running"),
            ],
        );
        assert_eq!(
            last_wins(targets[1].clone()).get("__meta_dockerswarm_network_name"),
            "front"
        );
    }

    #[test]
    fn sections() {
        let error = |text: &str| {
            let parsed = yaml_config::from_str::<DockerSwarmConfig>(text);
            parsed.unwrap_err().message()
        };
        assert_eq!(error("{role: nodes}"), "host missing");
        assert_eq!(
            error("{host: 'unix:///x'}"),
            "role missing (one of: tasks, services, nodes)"
        );
        assert_eq!(
            error("{host: 'unix:///x', role: stacks}"),
            "invalid role stacks, expected tasks, services, or nodes"
        );
    }
}
