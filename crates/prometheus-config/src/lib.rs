//! `prometheus.yml`: composes the section types of the libraries and checks across them.
//!
//! [`Config::load`] reads a file and everything it names except rule files; what comes out has all
//! defaults filled in. Sections that no service of ours acts on are kept as written and named by
//! [`Config::unavailable`], so that a service can refuse them; nothing is passed over silently.
//! Upstream: prometheus/prometheus `config/config.go`.

mod alerting;
mod expand;
mod global;
mod load;
mod storage;

pub use alerting::{AlertingConfig, AlertmanagerConfig, AlertmanagerSection};
pub use global::GlobalConfig;
pub use load::{Config, Error, LoadOptions};
pub use storage::{ExemplarsConfig, RetentionConfig, StorageConfig, TsdbConfig};
