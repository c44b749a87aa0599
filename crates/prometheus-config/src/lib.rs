//! `prometheus.yml`: composes the section types of the libraries and checks across them.
//!
//! [`Config::load`] reads a file and everything it names except rule files; what comes out has all
//! defaults filled in. Sections that no service of ours acts on are checked all the same and named by
//! [`Config::unavailable`], so that a service can refuse them; nothing is passed over silently.
//! Upstream: prometheus/prometheus `config/config.go`.

mod alerting;
mod checked;
mod expand;
mod global;
mod headers;
mod load;
mod otlp;
mod print;
mod remote_auth;
mod remote_read;
mod remote_write;
mod storage;
mod tracing;

pub use alerting::{AlertingConfig, AlertmanagerConfig, AlertmanagerSection};
pub use global::GlobalConfig;
pub use load::{Config, Error, LoadOptions, RuntimeConfig, fingerprint};
pub use otlp::OtlpConfig;
pub use remote_auth::{AzureAdConfig, AzureIdentity, GoogleIamConfig, SigV4Config};
pub use remote_read::{RemoteReadConfig, RemoteReadSection, RemoteReadSelection};
pub use remote_write::{
    MetadataConfig, QueueConfig, RemoteWriteConfig, RemoteWriteSection, RemoteWriteSending,
};
pub use storage::{
    ChunkEncodingConfig, ExemplarsConfig, RetentionConfig, StorageConfig, TsdbConfig,
};
pub use tracing::TracingConfig;
