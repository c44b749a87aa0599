//! The objects, as much of them as becomes labels.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

type Texts = Option<BTreeMap<String, String>>;

/// Something the API server keeps.
pub(super) trait Object: DeserializeOwned + Send + Sync + 'static {
    fn meta(&self) -> &Meta;
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            pub metadata: Meta,
            $(pub $field: $type,)*
        }

        impl Object for $name {
            fn meta(&self) -> &Meta {
                &self.metadata
            }
        }
    )*};
}

macro_rules! parts {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name {
            $($(#[$attribute])* pub $field: $type,)*
        }
    )*};
}

objects! {
    Namespace {}
    Node { spec: NodeSpec, status: NodeStatus, }
    Pod { spec: PodSpec, status: PodStatus, }
    Service { spec: ServiceSpec, }
    /// The old list of a service's addresses.
    Endpoints { subsets: Option<Vec<Subset>>, }
    EndpointSlice {
        address_type: String,
        endpoints: Option<Vec<Endpoint>>,
        ports: Option<Vec<SlicePort>>,
    }
    Ingress { spec: IngressSpec, }
}

parts! {
    Meta {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
        labels: Texts,
        annotations: Texts,
        owner_references: Option<Vec<Owner>>,
    }
    Owner { kind: String, name: String, controller: bool, }

    NodeSpec {
        #[serde(rename = "providerID")]
        provider_id: String,
    }
    NodeStatus { addresses: Option<Vec<NodeAddress>>, daemon_endpoints: DaemonEndpoints, }
    NodeAddress {
        #[serde(rename = "type")]
        kind: String,
        address: String,
    }
    DaemonEndpoints { kubelet_endpoint: Kubelet, }
    Kubelet {
        #[serde(rename = "Port")]
        port: i32,
    }

    PodSpec {
        node_name: String,
        containers: Option<Vec<Container>>,
        init_containers: Option<Vec<Container>>,
    }
    Container { name: String, image: String, ports: Option<Vec<ContainerPort>>, }
    ContainerPort { name: String, container_port: i32, protocol: String, }
    PodStatus {
        phase: String,
        #[serde(rename = "podIP")]
        pod_ip: String,
        #[serde(rename = "hostIP")]
        host_ip: String,
        conditions: Option<Vec<Condition>>,
        container_statuses: Option<Vec<ContainerStatus>>,
        init_container_statuses: Option<Vec<ContainerStatus>>,
    }
    Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
    }
    ContainerStatus {
        name: String,
        #[serde(rename = "containerID")]
        container_id: String,
    }

    ServiceSpec {
        #[serde(rename = "type")]
        kind: String,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        external_name: String,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: String,
        ports: Option<Vec<ServicePort>>,
    }
    ServicePort { name: String, protocol: String, port: i32, }

    Subset {
        addresses: Option<Vec<Address>>,
        not_ready_addresses: Option<Vec<Address>>,
        ports: Option<Vec<EndpointPort>>,
    }
    Address {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<Reference>,
    }
    EndpointPort { name: String, port: i32, protocol: String, }
    Reference { kind: String, namespace: String, name: String, }

    Endpoint {
        addresses: Option<Vec<String>>,
        conditions: Conditions,
        hostname: Option<String>,
        target_ref: Option<Reference>,
        node_name: Option<String>,
        zone: Option<String>,
        deprecated_topology: Texts,
    }
    Conditions { ready: Option<bool>, serving: Option<bool>, terminating: Option<bool>, }
    SlicePort {
        name: Option<String>,
        protocol: Option<String>,
        port: Option<i32>,
        app_protocol: Option<String>,
    }

    IngressSpec {
        ingress_class_name: Option<String>,
        tls: Option<Vec<IngressTls>>,
        rules: Option<Vec<IngressRule>>,
    }
    IngressTls { hosts: Option<Vec<String>>, }
    IngressRule { host: String, http: Option<IngressHttp>, }
    IngressHttp { paths: Option<Vec<IngressPath>>, }
    IngressPath { path: String, }
}

impl Meta {
    /// `namespace/name`, or the name of what is in no namespace.
    pub fn key(&self) -> String {
        key(&self.namespace, &self.name)
    }
}

/// How objects are told apart.
pub(super) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}
