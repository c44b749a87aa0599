//! The section as it is written, and its checks.

use std::path::Path;

use http_client::HttpClientConfig;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use yaml_config::{Inline, Url};

/// A section of `kubernetes_sd_configs`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct KubernetesConfig(pub(super) Inline<KubernetesSection, HttpClientConfig>);

/// The section's own fields.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "kubernetes.plain")]
pub struct KubernetesSection {
    /// That of the cluster we run in, if empty.
    #[serde(skip_serializing_if = "Url::is_empty")]
    pub api_server: Url,
    pub role: Option<Role>,
    /// How `kubectl` reaches a cluster.
    pub kubeconfig_file: String,
    #[serde(skip_serializing_if = "Namespaces::is_default")]
    pub namespaces: Namespaces,
    /// At most one for every kind of object that the role looks at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<Selector>,
    #[serde(skip_serializing_if = "AttachMetadata::is_default")]
    pub attach_metadata: AttachMetadata,
}

/// What becomes a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Node,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
}

impl Role {
    /// Its name in configurations and labels.
    pub fn name(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::Pod => "pod",
            Role::Service => "service",
            Role::Endpoints => "endpoints",
            Role::EndpointSlice => "endpointslice",
            Role::Ingress => "ingress",
        }
    }

    /// The roles whose objects it looks at and whose selectors it may have.
    fn selectable(self) -> &'static [Role] {
        match self {
            Role::Node => &[Role::Node],
            Role::Pod => &[Role::Pod, Role::Node],
            Role::Service => &[Role::Service],
            Role::Endpoints => &[Role::Pod, Role::Service, Role::Endpoints],
            Role::EndpointSlice => &[Role::Pod, Role::Service, Role::EndpointSlice],
            Role::Ingress => &[Role::Ingress],
        }
    }
}

const ROLES: [Role; 6] = [
    Role::Node,
    Role::Pod,
    Role::Service,
    Role::Endpoints,
    Role::EndpointSlice,
    Role::Ingress,
];

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
        let name = String::deserialize(deserializer)?;
        ROLES
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| {
                let name = golang::strconv::quote(&name);
                D::Error::custom(format!("unknown Kubernetes SD role {name}"))
            })
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Where objects are looked for: everywhere, if it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "kubernetes.plain")]
pub struct Namespaces {
    /// That of the pod we run in.
    pub own_namespace: bool,
    pub names: Vec<String>,
}

impl Namespaces {
    fn is_default(&self) -> bool {
        *self == Namespaces::default()
    }
}

/// Which objects of a kind count.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "kubernetes.SelectorConfig")]
pub struct Selector {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// Whose labels and annotations targets get besides their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "kubernetes.AttachMetadataConfig")]
pub struct AttachMetadata {
    pub node: bool,
    pub namespace: bool,
}

impl AttachMetadata {
    fn is_default(&self) -> bool {
        *self == AttachMetadata::default()
    }
}

impl<'de> Deserialize<'de> for KubernetesConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KubernetesConfig, D::Error> {
        let config = KubernetesConfig(Inline::deserialize(deserializer)?);
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

impl KubernetesConfig {
    fn check(&self) -> Result<(), String> {
        let section = &self.0.own;
        let Some(role) = section.role else {
            let roles = "endpoints, endpointslice, ingress, node, pod, service";
            return Err(format!("role missing (one of: {roles})"));
        };
        let has_server = !section.api_server.is_empty();
        let has_file = !section.kubeconfig_file.is_empty();
        let has_http = self.0.inlined != HttpClientConfig::default();
        let own = section.namespaces.own_namespace;
        for (wrong, message) in [
            (
                has_server && has_file,
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
            ),
            (
                has_file && has_http,
                "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
            ),
            (
                !has_server && has_http,
                "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
            ),
            (
                has_server && own,
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
            ),
            (
                has_file && own,
                "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
            ),
        ] {
            if wrong {
                return Err(message.to_owned());
            }
        }
        let mut seen = Vec::new();
        for selector in &section.selectors {
            let Some(of) = selector.role else {
                return Err("unknown Kubernetes SD role \"\"".to_owned());
            };
            if seen.contains(&of) {
                return Err(format!("duplicated selector role: {}", of.name()));
            }
            seen.push(of);
            if !role.selectable().contains(&of) {
                let allowed: Vec<&str> = role.selectable().iter().map(|r| r.name()).collect();
                return Err(format!(
                    "{} role supports only {} selectors",
                    role.name(),
                    allowed.join(", ")
                ));
            }
            check_field_selector(&selector.field)?;
        }
        Ok(())
    }

    pub(super) fn set_directory(&mut self, dir: &Path) {
        self.0.inlined.set_directory(dir);
        let file = &mut self.0.own.kubeconfig_file;
        if !file.is_empty() && Path::new(&*file).is_relative() {
            *file = dir.join(&*file).display().to_string();
        }
    }
}

/// `a=b,c!=d`. What is in a label selector only the API server knows: it is asked.
fn check_field_selector(text: &str) -> Result<(), String> {
    let mut terms = text.split(',').filter(|term| !term.is_empty());
    match terms.find(|term| !term.contains('=')) {
        Some(term) => Err(format!(
            "invalid selector: '{text}'; can't understand '{term}'"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conformance set `prometheus-config` has more of these.
    #[test]
    fn sections_are_checked_in_upstreams_words() {
        for (text, message) in [
            (
                "{}",
                "role missing (one of: endpoints, endpointslice, ingress, node, pod, service)",
            ),
            (
                "{role: vacation}",
                "unknown Kubernetes SD role \"vacation\"",
            ),
            (
                "{role: pod, api_server: 'https://k', kubeconfig_file: f}",
                "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
            ),
            (
                "{role: pod, api_server: 'https://k', namespaces: {own_namespace: true}}",
                "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
            ),
            (
                "{role: pod, selectors: [{role: pod, field: x}]}",
                "invalid selector: 'x'; can't understand 'x'",
            ),
        ] {
            let error = yaml_config::from_str::<KubernetesConfig>(text).unwrap_err();
            assert_eq!(error.message(), message, "{text}");
        }
        let text = "{role: endpointslice, attach_metadata: {node: true}, selectors: [{role: pod, label: 'a in (b,c)'}]}";
        let config: KubernetesConfig = yaml_config::from_str(text).unwrap();
        let printed = yaml_config::to_string(&config).unwrap();
        assert!(printed.starts_with("role: endpointslice\n"), "{printed}");
    }
}
