//! Scraping: targets, loops, limits, staleness (prometheus/prometheus `scrape/`).
//!
//! [`ScrapeConfig`] is the section of a job; [`Manager::apply`] makes the jobs run and, called again,
//! changes only what changed: a target that is still there keeps its schedule and its series.
//!
//! From a page to the store a known line costs one hash: every target keeps the hashes of its lines'
//! series parts and the store's references in the order of the page ([`cache`]); labels are made for new
//! lines only ([`append`]), and metadata are read where they differ from the page before.
//!
//! Nothing here decides where samples go: they are written through [`storage::Appendable`].

pub mod append;
pub mod cache;
mod config;
mod failure_log;
mod fetch;
mod manager;
mod metadata;
mod metrics;
mod pool;
mod protocol;
mod report;
mod run;
mod target;
#[cfg(test)]
mod test_store;

pub use config::{Defaults, RelabelSection, ScrapeConfig, Section};
pub use manager::{Manager, Options};
pub use metadata::{MetadataEntry, MetadataStore};
pub use metrics::Metrics;
pub use pool::{DroppedTarget, PoolSnapshot};
pub use protocol::{ScrapeProtocol, check_protocols};
pub use target::{Health, TargetSnapshot};
