//! The discovery part of a section: `static_configs` and `*_sd_configs`.

use std::path::Path;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::group::GroupSection;
use crate::mechanism::Mechanism;
use crate::mechanism::consul::ConsulConfig;
use crate::mechanism::dns::DnsConfig;
use crate::mechanism::docker::DockerConfig;
use crate::mechanism::dockerswarm::DockerSwarmConfig;
use crate::mechanism::ec2::Ec2Config;
use crate::mechanism::file::FileConfig;
use crate::mechanism::http::HttpConfig;
use crate::mechanism::kubernetes::KubernetesConfig;
use crate::refused;

/// Writes the struct, what runs of it and how it is printed, from a line a mechanism.
macro_rules! configs {
    (
        runs { $($(#[$doc:meta])* $key:ident: $type:ty,)* }
        refused { $($other:ident: $section:ty,)* }
    ) => {
        /// Where a section's targets come from. Embedded by the sections that have targets
        /// (`yaml_config::Inline`).
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
        #[serde(default)]
        pub struct Configs {
            /// Targets written down.
            pub static_configs: Vec<Option<GroupSection>>,
            $($(#[$doc])* pub $key: Vec<$type>,)*
            $(#[doc = concat!("Checked, and refused when a service loads it: `", stringify!($other), "`.")]
            pub $other: Vec<$section>,)*
        }

        /// A mechanism's configuration: what tells whether a provider can go on after a reload.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(non_camel_case_types, reason = "named by their keys")]
        pub(crate) enum Running {
            $($key(Box<$type>),)*
        }

        impl Running {
            pub(crate) fn mechanism(self) -> Box<dyn Mechanism> {
                match self {
                    $(Running::$key(config) => config,)*
                }
            }
        }

        impl Configs {
            /// The mechanisms that have to run.
            pub(crate) fn running(&self) -> Vec<Running> {
                let mut running = Vec::new();
                $(running.extend(self.$key.iter().cloned().map(|config| Running::$key(Box::new(config))));)*
                running
            }

            /// The keys of mechanisms that are configured and that we do not have.
            pub fn refused(&self) -> Vec<&'static str> {
                let mut refused = Vec::new();
                $(if !self.$other.is_empty() {
                    refused.push(stringify!($other));
                })*
                refused
            }

            /// Whether nothing is configured.
            pub fn is_empty(&self) -> bool {
                self.static_configs.is_empty() $(&& self.$key.is_empty())* $(&& self.$other.is_empty())*
            }

            /// Makes relative paths relative to the configuration's folder.
            pub fn resolve_paths(&mut self, dir: &Path) {
                $(for config in &mut self.$key {
                    config.resolve_paths(dir);
                })*
            }
        }

        /// Keys in alphabetical order, as upstream prints them; those without sections not at all.
        impl Serialize for Configs {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                let mut keys = vec!["static_configs", $(stringify!($key),)* $(stringify!($other),)*];
                keys.sort_unstable();
                for key in keys {
                    match key {
                        "static_configs" if !self.static_configs.is_empty() => {
                            map.serialize_entry(key, &self.static_configs)?;
                        }
                        $(stringify!($key) if !self.$key.is_empty() => {
                            map.serialize_entry(key, &self.$key)?;
                        })*
                        $(stringify!($other) if !self.$other.is_empty() => {
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
    runs {
        /// Targets in files.
        file_sd_configs: FileConfig,
        /// Targets from an HTTP endpoint.
        http_sd_configs: HttpConfig,
        /// Targets from DNS.
        dns_sd_configs: DnsConfig,
        /// The containers of a Docker engine.
        docker_sd_configs: DockerConfig,
        /// The services, tasks or nodes of a Docker swarm.
        dockerswarm_sd_configs: DockerSwarmConfig,
        /// The services that a Consul agent knows.
        consul_sd_configs: ConsulConfig,
        /// The instances of an Amazon account.
        ec2_sd_configs: Ec2Config,
        /// The objects of a Kubernetes cluster.
        kubernetes_sd_configs: KubernetesConfig,
    }
    refused {
        aws_sd_configs: refused::Aws,
        azure_sd_configs: refused::Azure,
        digitalocean_sd_configs: refused::Digitalocean,
        ecs_sd_configs: refused::AwsClusters,
        elasticache_sd_configs: refused::AwsClusters,
        eureka_sd_configs: refused::Eureka,
        gce_sd_configs: refused::Gce,
        hetzner_sd_configs: refused::Hetzner,
        ionos_sd_configs: refused::Ionos,
        kuma_sd_configs: refused::Kuma,
        lightsail_sd_configs: refused::Lightsail,
        linode_sd_configs: refused::Linode,
        marathon_sd_configs: refused::Marathon,
        msk_sd_configs: refused::AwsClusters,
        nerve_sd_configs: refused::Nerve,
        nomad_sd_configs: refused::Nomad,
        oci_sd_configs: refused::Oci,
        openstack_sd_configs: refused::Openstack,
        outscale_sd_configs: refused::Outscale,
        ovhcloud_sd_configs: refused::Ovhcloud,
        puppetdb_sd_configs: refused::Puppetdb,
        rds_sd_configs: refused::AwsClusters,
        scaleway_sd_configs: refused::Scaleway,
        serverset_sd_configs: refused::Serverset,
        stackit_sd_configs: refused::Stackit,
        triton_sd_configs: refused::Triton,
        uyuni_sd_configs: refused::Uyuni,
        vultr_sd_configs: refused::Vultr,
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
        let text = "static_configs:\n- targets: ['a:1']\nlightsail_sd_configs:\n- {region: eu, secret_key: x, access_key: y, bearer_token_file: f}\n";
        let configs: Configs = yaml_config::from_str(text).unwrap();
        assert_eq!(configs.refused(), ["lightsail_sd_configs"]);
        assert!(!configs.is_empty());
        let printed = yaml_config::to_string(&configs).unwrap();
        assert!(printed.contains("secret_key: <secret>\n"), "{printed}");
        assert!(printed.contains("credentials_file: f\n"), "{printed}");
        assert!(printed.find("lightsail_sd_configs") < printed.find("static_configs"));
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
