//! The discovery part of a section: `static_configs` and `*_sd_configs`.

use std::path::Path;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::group::GroupSection;
use crate::mechanism::dns::DnsConfig;
use crate::mechanism::docker::DockerConfig;
use crate::mechanism::file::FileConfig;
use crate::mechanism::http::HttpConfig;

/// Sections of a mechanism we do not have, kept as they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unsupported(pub Vec<serde_json::Value>);

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unsupported, D::Error> {
        Option::<Vec<serde_json::Value>>::deserialize(deserializer)
            .map(|sections| Unsupported(sections.unwrap_or_default()))
    }
}

/// Printed as written, but for what might be a secret.
impl Serialize for Unsupported {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(masked))
    }
}

fn masked(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    const SECRETS: [&str; 6] = [
        "password",
        "secret",
        "token",
        "credentials",
        "_key",
        "passcode",
    ];
    let is_secret =
        |name: &str| SECRETS.iter().any(|s| name.contains(s)) && !name.ends_with("_file");
    match value {
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::String(_) if is_secret(name) => (name.clone(), Value::from("<secret>")),
                value => (name.clone(), masked(value)),
            })
            .collect(),
        value => value.clone(),
    }
}

macro_rules! configs {
    (
        supported { $($(#[$doc:meta])* $key:ident: $type:ty,)* }
        unsupported { $($other:ident,)* }
    ) => {
        /// Where a section's targets come from. Embedded by the sections that have targets
        /// (`yaml_config::Inline`).
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        #[serde(default)]
        pub struct Configs {
            $($(#[$doc])* pub $key: Vec<$type>,)*
            $(#[doc = concat!("Recognised and refused: `", stringify!($other), "`.")] pub $other: Unsupported,)*
        }

        impl Configs {
            /// The keys of mechanisms that are configured and that we do not have.
            pub fn refused(&self) -> Vec<&'static str> {
                let mut refused = Vec::new();
                $(if !self.$other.0.is_empty() {
                    refused.push(stringify!($other));
                })*
                refused
            }

            /// Whether nothing is configured.
            pub fn is_empty(&self) -> bool {
                true $(&& self.$key.is_empty())* $(&& self.$other.0.is_empty())*
            }
        }

        /// Keys in alphabetical order, as upstream prints them; those without sections not at all.
        impl Serialize for Configs {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                let mut keys = vec![$(stringify!($key),)* $(stringify!($other),)*];
                keys.sort_unstable();
                for key in keys {
                    match key {
                        $(stringify!($key) if !self.$key.is_empty() => {
                            map.serialize_entry(key, &self.$key)?;
                        })*
                        $(stringify!($other) if !self.$other.0.is_empty() => {
                            map.serialize_entry(key, &self.$other)?;
                        })*
                        _ => {}
                    }
                }
                map.end()
            }
        }
    };
}

configs! {
    supported {
        /// Targets written down.
        static_configs: Option<GroupSection>,
        /// Targets in files.
        file_sd_configs: FileConfig,
        /// Targets from an HTTP endpoint.
        http_sd_configs: HttpConfig,
        /// Targets from DNS.
        dns_sd_configs: DnsConfig,
        /// The containers of a Docker engine.
        docker_sd_configs: DockerConfig,
    }
    unsupported {
        aws_sd_configs,
        azure_sd_configs,
        consul_sd_configs,
        digitalocean_sd_configs,
        dockerswarm_sd_configs,
        ec2_sd_configs,
        ecs_sd_configs,
        elasticache_sd_configs,
        eureka_sd_configs,
        gce_sd_configs,
        hetzner_sd_configs,
        ionos_sd_configs,
        kubernetes_sd_configs,
        kuma_sd_configs,
        lightsail_sd_configs,
        linode_sd_configs,
        marathon_sd_configs,
        msk_sd_configs,
        nerve_sd_configs,
        nomad_sd_configs,
        oci_sd_configs,
        openstack_sd_configs,
        outscale_sd_configs,
        ovhcloud_sd_configs,
        puppetdb_sd_configs,
        rds_sd_configs,
        scaleway_sd_configs,
        serverset_sd_configs,
        stackit_sd_configs,
        triton_sd_configs,
        uyuni_sd_configs,
        vultr_sd_configs,
    }
}

impl Configs {
    /// Checks what no single field shows: every static group is there, and its addresses are hosts.
    ///
    /// # Errors
    /// Upstream's texts.
    pub fn validate(&self) -> Result<(), String> {
        for group in &self.static_configs {
            let Some(group) = group else {
                return Err("empty or null section in static_configs".to_owned());
            };
            for address in &group.targets {
                check_address(address)?;
            }
        }
        Ok(())
    }

    /// Makes relative paths relative to the configuration's folder.
    pub fn resolve_paths(&mut self, dir: &Path) {
        for file in &mut self.file_sd_configs {
            file.resolve_paths(dir);
        }
        for http in &mut self.http_sd_configs {
            http.resolve_paths(dir);
        }
        for docker in &mut self.docker_sd_configs {
            docker.resolve_paths(dir);
        }
    }
}

/// Whether an address can be a target's: a host and a port, no URL.
///
/// # Errors
/// Upstream's text.
pub(crate) fn check_address(address: &str) -> Result<(), String> {
    if address.contains('/') {
        return Err(format!(
            "{} is not a valid hostname",
            golang::strconv::quote(address)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_by_name_and_prints_no_secrets() {
        let text = "static_configs:\n- targets: ['a:1']\nec2_sd_configs:\n- {region: eu, secret_key: x, access_key: y, token_file: f}\n";
        let configs: Configs = yaml_config::from_str(text).unwrap();
        assert_eq!(configs.refused(), ["ec2_sd_configs"]);
        assert!(!configs.is_empty());
        let printed = yaml_config::to_string(&configs).unwrap();
        assert!(printed.contains("secret_key: <secret>\n"), "{printed}");
        assert!(printed.contains("token_file: f\n"), "{printed}");
        assert!(printed.find("ec2_sd_configs") < printed.find("static_configs"));
        assert!(yaml_config::from_str::<Configs>("wonder_sd_configs: []\n").is_err());
    }

    #[test]
    fn checks_static_groups() {
        let check = |text: &str| yaml_config::from_str::<Configs>(text).unwrap().validate();
        assert_eq!(check("static_configs: [{targets: ['a:1']}]\n"), Ok(()));
        assert_eq!(
            check("static_configs: [null]\n"),
            Err("empty or null section in static_configs".to_owned())
        );
        assert_eq!(
            check("static_configs: [{targets: ['http://bad']}]\n"),
            Err("\"http://bad\" is not a valid hostname".to_owned())
        );
    }
}
