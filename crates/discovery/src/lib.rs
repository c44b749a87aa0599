//! Service discovery: where targets come from (prometheus/prometheus `discovery/`).
//!
//! A mechanism finds groups of targets and says so whenever they change. It decides what there is, not
//! what is done with it: everything it knows goes into `__meta_*` labels, and relabelling decides.
//! While it cannot look it keeps quiet, so that the last good list holds; its failures are counted.
//!
//! - [`Configs`] is the section's part of a configuration: `static_configs` and all `*_sd_configs`.
//! - [`Manager`] runs mechanisms for named sets of them and publishes the groups of all sets.
//! - A mechanism is a file in `mechanism/`, with its configuration, and a line in [`Configs`].
//!   Mechanisms that upstream has and we have not are recognised and refused by name
//!   ([`Configs::refused`]).

mod config;
#[cfg(test)]
mod fake;
mod fetch;
mod group;
mod labels;
mod manager;
mod mechanism;
mod metrics;
mod refresh;
pub mod refused;

pub use config::Configs;
pub use group::{GroupSection, TargetGroup, parse_groups_json, parse_groups_yaml};
pub use manager::{Manager, TargetSets};
pub use mechanism::consul::{ConsulConfig, ConsulSection};
pub use mechanism::dns::{DnsConfig, RecordType};
pub use mechanism::docker::{DockerConfig, DockerSection};
pub use mechanism::dockerswarm::{DockerSwarmConfig, DockerSwarmSection};
pub use mechanism::ec2::{Ec2Config, Ec2Section};
pub use mechanism::file::FileConfig;
pub use mechanism::http::HttpConfig;
pub use mechanism::kubernetes::{
    AttachMetadata, KubernetesConfig, KubernetesSection, Namespaces, Role, Selector,
};
pub use mechanism::{Mechanism, Problem, Updates};
pub use metrics::Metrics;
