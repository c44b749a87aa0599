//! Objects as labels (prometheus/prometheus `discovery/kubernetes/{pod,service,node,...}.go`).

use model::Labels;

use super::config::Role;
use super::objects::{
    Container, ContainerPort, Endpoint, EndpointSlice, Endpoints, Ingress, IngressRule, Meta, Node,
    Pod, Reference, Service, SlicePort, key,
};
use super::view::View;
use crate::group::TargetGroup;
use crate::labels::{Pairs, join_host_port, last_wins, sanitized};

const PREFIX: &str = "__meta_kubernetes_";
/// Which service a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A group, and what it was made of besides its own object.
pub(super) struct Built {
    pub group: TargetGroup,
    pub refs: Vec<Ref>,
}

/// An object that a group depends on, there or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Ref {
    Pod(String),
    Service(String),
    Node(String),
    Namespace(String),
}

fn meta(name: &str, value: impl Into<String>) -> (String, String) {
    (format!("{PREFIX}{name}"), value.into())
}

fn address(value: String) -> (String, String) {
    ("__address__".to_owned(), value)
}

/// Labels and annotations, each with the one that says it is there.
fn meta_labels(meta_of: &Meta, resource: &str) -> Pairs {
    let mut labels = Pairs::new();
    for (what, texts) in [
        ("annotation", &meta_of.annotations),
        ("label", &meta_of.labels),
    ] {
        for (name, value) in texts.iter().flatten() {
            let name = sanitized(name);
            labels.push(meta(&format!("{resource}_{what}_{name}"), value));
            labels.push(meta(&format!("{resource}_{what}present_{name}"), "true"));
        }
    }
    labels
}

fn named_meta_labels(meta_of: &Meta, role: Role) -> Pairs {
    let mut labels = meta_labels(meta_of, role.name());
    labels.push(meta(&format!("{}_name", role.name()), &meta_of.name));
    labels
}

/// Collects the labels of other objects, and that they were asked for.
struct Around<'a> {
    view: &'a View,
    refs: Vec<Ref>,
}

impl<'a> Around<'a> {
    fn new(view: &'a View) -> Around<'a> {
        Around {
            view,
            refs: Vec::new(),
        }
    }

    fn namespace(&mut self, name: &str) -> Pairs {
        if !self.view.attach.namespace {
            return Pairs::new();
        }
        self.refs.push(Ref::Namespace(name.to_owned()));
        let namespace = self.view.namespaces.get(name);
        namespace.map_or_else(Pairs::new, |n| meta_labels(&n.metadata, "namespace"))
    }

    fn node(&mut self, name: Option<&str>) -> Pairs {
        let (true, Some(name)) = (self.view.attach.node, name) else {
            return Pairs::new();
        };
        self.refs.push(Ref::Node(name.to_owned()));
        let node = self.view.nodes.get(name);
        node.map_or_else(Pairs::new, |n| named_meta_labels(&n.metadata, Role::Node))
    }

    fn service(&mut self, namespace: &str, name: &str) -> Pairs {
        let key = key(namespace, name);
        let service = self.view.services.get(&key);
        self.refs.push(Ref::Service(key));
        service.map_or_else(Pairs::new, |service| service_labels(service))
    }

    fn pod(&mut self, reference: Option<&Reference>) -> Option<&'a Pod> {
        let reference = reference.filter(|reference| reference.kind == "Pod")?;
        let key = key(&reference.namespace, &reference.name);
        let pod = self.view.pods.get(&key);
        self.refs.push(Ref::Pod(key));
        pod.map(|pod| &**pod)
    }

    fn built(self, source: String, labels: Pairs, targets: Vec<Pairs>) -> Built {
        let mut refs = self.refs;
        refs.sort();
        refs.dedup();
        Built {
            group: TargetGroup {
                source,
                targets: targets.into_iter().map(last_wins).collect(),
                labels: last_wins(labels),
            },
            refs,
        }
    }
}

pub(super) fn node(node: &Node, view: &View) -> Built {
    let around = Around::new(view);
    let mut labels = named_meta_labels(&node.metadata, Role::Node);
    labels.push(meta("node_provider_id", &node.spec.provider_id));
    let addresses = || node.status.addresses.iter().flatten();
    let preferred = [
        "InternalIP",
        "InternalDNS",
        "ExternalIP",
        "ExternalDNS",
        "LegacyHostIP",
        "Hostname",
    ];
    let host = preferred
        .iter()
        .find_map(|kind| addresses().find(|address| address.kind == *kind));
    let source = format!("node/{}", node.metadata.name);
    let Some(host) = host else {
        tracing::warn!(discovery = "kubernetes", node = %node.metadata.name, "No node address found");
        return around.built(source, labels, Vec::new());
    };
    let port = node.status.daemon_endpoints.kubelet_endpoint.port;
    let mut target = vec![
        address(join_host_port(&host.address, port)),
        ("instance".to_owned(), node.metadata.name.clone()),
    ];
    // The first of a kind is the one that counts.
    let mut kinds: Vec<&str> = Vec::new();
    for one in addresses() {
        if !kinds.contains(&one.kind.as_str()) {
            kinds.push(&one.kind);
            let name = format!("node_address_{}", sanitized(&one.kind));
            target.push(meta(&name, &one.address));
        }
    }
    around.built(source, labels, vec![target])
}

fn pod_labels(pod: &Pod) -> Pairs {
    let status = &pod.status;
    let ready = status.conditions.iter().flatten();
    let ready = ready
        .filter(|condition| condition.kind == "Ready")
        .map(|condition| condition.status.to_lowercase())
        .next()
        .unwrap_or_else(|| "unknown".to_owned());
    let mut labels = named_meta_labels(&pod.metadata, Role::Pod);
    labels.extend([
        meta("pod_ip", &status.pod_ip),
        meta("pod_ready", ready),
        meta("pod_phase", &status.phase),
        meta("pod_node_name", &pod.spec.node_name),
        meta("pod_host_ip", &status.host_ip),
        meta("pod_uid", &pod.metadata.uid),
    ]);
    let mut owners = pod.metadata.owner_references.iter().flatten();
    if let Some(owner) = owners.find(|owner| owner.controller) {
        labels.push(meta("pod_controller_kind", &owner.kind));
        labels.push(meta("pod_controller_name", &owner.name));
    }
    labels
}

/// All containers, and whether they are of those that run first.
fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let later = pod.spec.containers.iter().flatten();
    let first = pod.spec.init_containers.iter().flatten();
    later
        .map(|container| (container, false))
        .chain(first.map(|container| (container, true)))
}

fn ports(container: &Container) -> impl Iterator<Item = &ContainerPort> {
    container.ports.iter().flatten()
}

fn container_labels(container: &Container, is_init: bool) -> Pairs {
    vec![
        meta("pod_container_name", &container.name),
        meta("pod_container_image", &container.image),
        meta("pod_container_init", is_init.to_string()),
    ]
}

fn port_labels(port: &ContainerPort) -> Pairs {
    vec![
        meta("pod_container_port_name", &port.name),
        meta("pod_container_port_number", port.container_port.to_string()),
        meta("pod_container_port_protocol", &port.protocol),
    ]
}

pub(super) fn pod(pod: &Pod, view: &View) -> Built {
    let mut around = Around::new(view);
    let source = format!("pod/{}/{}", pod.metadata.namespace, pod.metadata.name);
    let ip = &pod.status.pod_ip;
    // It is about to start, or has been evicted.
    if ip.is_empty() {
        return around.built(source, Pairs::new(), Vec::new());
    }
    let mut labels = pod_labels(pod);
    labels.push(meta("namespace", &pod.metadata.namespace));
    labels.extend(around.node(Some(&pod.spec.node_name)));
    labels.extend(around.namespace(&pod.metadata.namespace));
    let mut targets = Vec::new();
    for (container, is_init) in containers(pod) {
        let statuses = if is_init {
            &pod.status.init_container_statuses
        } else {
            &pod.status.container_statuses
        };
        let mut statuses = statuses.iter().flatten();
        let status = statuses.find(|status| status.name == container.name);
        let mut common = container_labels(container, is_init);
        let id = status.map_or("", |status| status.container_id.as_str());
        common.push(meta("pod_container_id", id));
        let before = targets.len();
        for port in ports(container) {
            let mut target = common.clone();
            target.push(address(join_host_port(ip, port.container_port)));
            target.extend(port_labels(port));
            targets.push(target);
        }
        // One that declares no port: relabelling has to say which.
        if targets.len() == before {
            common.push(address(ip.clone()));
            targets.push(common);
        }
    }
    around.built(source, labels, targets)
}

fn service_labels(service: &Service) -> Pairs {
    let mut labels = named_meta_labels(&service.metadata, Role::Service);
    labels.push(meta("namespace", &service.metadata.namespace));
    labels
}

pub(super) fn service(service: &Service, view: &View) -> Built {
    let mut around = Around::new(view);
    let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
    let spec = &service.spec;
    let mut labels = service_labels(service);
    labels.extend(around.namespace(namespace));
    let target = |port: &super::objects::ServicePort| {
        let host = format!("{name}.{namespace}.svc");
        let mut target = vec![
            address(join_host_port(&host, port.port)),
            meta("service_port_name", &port.name),
            meta("service_port_number", port.port.to_string()),
            meta("service_port_protocol", &port.protocol),
            meta("service_type", &spec.kind),
        ];
        if spec.kind == "ExternalName" {
            target.push(meta("service_external_name", &spec.external_name));
        } else {
            target.push(meta("service_cluster_ip", &spec.cluster_ip));
        }
        if spec.kind == "LoadBalancer" {
            target.push(meta("service_loadbalancer_ip", &spec.load_balancer_ip));
        }
        target
    };
    let targets = spec.ports.iter().flatten().map(target).collect();
    around.built(format!("svc/{namespace}/{name}"), labels, targets)
}

pub(super) fn ingress(ingress: &Ingress, view: &View) -> Built {
    let mut around = Around::new(view);
    let (namespace, name) = (&ingress.metadata.namespace, &ingress.metadata.name);
    let mut labels = named_meta_labels(&ingress.metadata, Role::Ingress);
    labels.push(meta("namespace", namespace));
    if let Some(class) = &ingress.spec.ingress_class_name {
        labels.push(meta("ingress_class_name", class));
    }
    labels.extend(around.namespace(namespace));
    let tls = ingress.spec.tls.iter().flatten();
    let tls: Vec<&String> = tls.flat_map(|tls| tls.hosts.iter().flatten()).collect();
    let mut targets = Vec::new();
    for rule in ingress.spec.rules.iter().flatten() {
        let is_secure = tls.iter().any(|pattern| host_matches(pattern, &rule.host));
        let scheme = if is_secure { "https" } else { "http" };
        for path in paths(rule) {
            targets.push(vec![
                address(rule.host.clone()),
                meta("ingress_scheme", scheme),
                meta("ingress_host", &rule.host),
                meta("ingress_path", path),
            ]);
        }
    }
    around.built(format!("ingress/{namespace}/{name}"), labels, targets)
}

fn paths(rule: &IngressRule) -> Vec<&str> {
    let Some(http) = &rule.http else {
        return vec!["/"];
    };
    let paths = http.paths.iter().flatten();
    paths
        .map(|one| match one.path.as_str() {
            "" => "/",
            path => path,
        })
        .collect()
}

/// `*.example.com` stands for one label more.
fn host_matches(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.split_once('.'), host.split_once('.')) {
        (Some(("*", pattern)), Some((_, host))) => pattern == host,
        _ => false,
    }
}

/// The pods behind addresses, and which of their ports a service covers.
#[derive(Default)]
struct SeenPods<'a> {
    pods: Vec<(&'a Pod, Vec<i32>)>,
}

impl<'a> SeenPods<'a> {
    /// The labels of the pod behind an address, and of its container that listens on the port.
    fn see(&mut self, pod: &'a Pod, port: Option<i32>) -> Pairs {
        let place = self
            .pods
            .iter()
            .position(|(seen, _)| std::ptr::eq(*seen, pod));
        let place = place.unwrap_or_else(|| {
            self.pods.push((pod, Vec::new()));
            self.pods.len() - 1
        });
        self.pods[place].1.extend(port);
        let mut labels = pod_labels(pod);
        for (container, is_init) in containers(pod) {
            let port = ports(container).find(|found| Some(found.container_port) == port);
            if let Some(port) = port {
                labels.extend(container_labels(container, is_init));
                labels.extend(port_labels(port));
            }
        }
        labels
    }

    /// Targets for the ports that no service covers.
    fn others(&self) -> Vec<Pairs> {
        let mut targets = Vec::new();
        for (pod, covered) in &self.pods {
            let ip = &pod.status.pod_ip;
            if ip.is_empty() {
                continue;
            }
            for (container, is_init) in containers(pod) {
                for port in ports(container) {
                    if covered.contains(&port.container_port) {
                        continue;
                    }
                    let mut target = pod_labels(pod);
                    target.push(address(join_host_port(ip, port.container_port)));
                    target.extend(container_labels(container, is_init));
                    target.extend(port_labels(port));
                    targets.push(target);
                }
            }
        }
        targets
    }
}

pub(super) fn endpoints(endpoints: &Endpoints, view: &View) -> Built {
    let mut around = Around::new(view);
    let (namespace, name) = (&endpoints.metadata.namespace, &endpoints.metadata.name);
    let mut labels = vec![meta("namespace", namespace)];
    labels.extend(around.service(namespace, name));
    labels.extend(around.namespace(namespace));
    labels.extend(named_meta_labels(&endpoints.metadata, Role::Endpoints));
    let over = endpoints.metadata.labels.iter().flatten();
    let mut over = over.filter(|(name, _)| *name == "endpoints.kubernetes.io/over-capacity");
    if over.next().is_some() {
        tracing::warn!(discovery = "kubernetes", endpoint = %name, "Number of endpoints in one Endpoints object exceeds 1000 and has been truncated, please use \"role: endpointslice\" instead");
    }
    let mut seen = SeenPods::default();
    let mut targets = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        for port in subset.ports.iter().flatten() {
            let ready = subset.addresses.iter().flatten().map(|one| (one, "true"));
            let not_ready = subset.not_ready_addresses.iter().flatten();
            for (one, ready) in ready.chain(not_ready.map(|one| (one, "false"))) {
                let mut target = vec![
                    address(join_host_port(&one.ip, port.port)),
                    meta("endpoint_port_name", &port.name),
                    meta("endpoint_port_protocol", &port.protocol),
                    meta("endpoint_ready", ready),
                    meta("endpoint_hostname", &one.hostname),
                ];
                let reference = one.target_ref.as_ref();
                if let Some(reference) = reference {
                    target.push(meta("endpoint_address_target_kind", &reference.kind));
                    target.push(meta("endpoint_address_target_name", &reference.name));
                }
                if let Some(node) = &one.node_name {
                    target.push(meta("endpoint_node_name", node));
                }
                let of_node = reference.filter(|reference| reference.kind == "Node");
                let node = one.node_name.as_deref();
                let node = node.or(of_node.map(|reference| reference.name.as_str()));
                target.extend(around.node(node));
                if let Some(pod) = around.pod(reference) {
                    target.extend(seen.see(pod, Some(port.port)));
                }
                targets.push(target);
            }
        }
    }
    targets.extend(seen.others());
    around.built(format!("endpoints/{namespace}/{name}"), labels, targets)
}

pub(super) fn endpoint_slice(slice: &EndpointSlice, view: &View) -> Built {
    let mut around = Around::new(view);
    let (namespace, name) = (&slice.metadata.namespace, &slice.metadata.name);
    let mut labels = vec![
        meta("namespace", namespace),
        meta("endpointslice_address_type", &slice.address_type),
    ];
    labels.extend(named_meta_labels(&slice.metadata, Role::EndpointSlice));
    let own = slice.metadata.labels.as_ref();
    if let Some(service) = own.and_then(|labels| labels.get(SERVICE_NAME)) {
        labels.extend(around.service(namespace, service));
    }
    labels.extend(around.namespace(namespace));
    let mut seen = SeenPods::default();
    let mut targets = Vec::new();
    for endpoint in slice.endpoints.iter().flatten() {
        for port in slice.ports.iter().flatten() {
            for host in endpoint.addresses.iter().flatten() {
                let mut target = slice_target(host, endpoint, port);
                let reference = endpoint.target_ref.as_ref();
                let of_node = reference.filter(|reference| reference.kind == "Node");
                let node = of_node.map(|reference| reference.name.as_str());
                target.extend(around.node(node.or(endpoint.node_name.as_deref())));
                if let Some(pod) = around.pod(reference) {
                    target.extend(seen.see(pod, port.port));
                }
                targets.push(target);
            }
        }
    }
    targets.extend(seen.others());
    around.built(format!("endpointslice/{namespace}/{name}"), labels, targets)
}

fn slice_target(host: &str, endpoint: &Endpoint, port: &SlicePort) -> Pairs {
    let number = port.port.map(|port| port.to_string());
    let at = match port.port {
        Some(port) => join_host_port(host, port),
        None => host.to_owned(),
    };
    let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    let conditions = &endpoint.conditions;
    let reference = endpoint.target_ref.as_ref();
    let mut target = vec![address(at)];
    for (name, value) in [
        ("port_name", port.name.clone()),
        ("port_protocol", port.protocol.clone()),
        ("port", number),
        ("port_app_protocol", port.app_protocol.clone()),
        ("endpoint_conditions_ready", flag(conditions.ready)),
        ("endpoint_conditions_serving", flag(conditions.serving)),
        (
            "endpoint_conditions_terminating",
            flag(conditions.terminating),
        ),
        ("endpoint_hostname", endpoint.hostname.clone()),
        ("address_target_kind", reference.map(|r| r.kind.clone())),
        ("address_target_name", reference.map(|r| r.name.clone())),
        ("endpoint_node_name", endpoint.node_name.clone()),
        ("endpoint_zone", endpoint.zone.clone()),
    ] {
        if let Some(value) = value {
            target.push(meta(&format!("endpointslice_{name}"), value));
        }
    }
    for (name, value) in endpoint.deprecated_topology.iter().flatten() {
        let name = sanitized(name);
        let prefix = "endpointslice_endpoint_topology";
        target.push(meta(&format!("{prefix}_{name}"), value));
        target.push(meta(&format!("{prefix}_present_{name}"), "true"));
    }
    target
}

/// The empty label set, for groups of what is gone.
pub(super) fn gone(source: String) -> TargetGroup {
    TargetGroup {
        source,
        targets: Vec::new(),
        labels: Labels::empty(),
    }
}
