//! Other stores: what the configuration says of them, as crate `remote` takes it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use model::Labels;
use parking_lot::Mutex;
use prometheus_config::{Config, RemoteReadConfig, RemoteWriteConfig};
use remote::otlp::{LabelNaming, OtlpSettings, Promote, Strategy};
use remote::push::Protocol;
use remote::read::{AskMetrics, RemoteStore, RemoteStoreConfig};
use remote::write::{Endpoint, StorageOptions, WriteStorage};

use storage::{Querier, Queryable, StorageError};

use crate::features::ServerFeatures;
use crate::local::{Local, duration_or};
use crate::now_ms;

/// What an agent answers to questions, in upstream's words.
pub const UNAVAILABLE: &str = "unavailable with Prometheus Agent";

/// What receivers are told who we are: upstream's name, which some of them look at.
const USER_AGENT: &str = "Prometheus/3.14.0";

/// The queues of remote write, none of them running yet.
pub fn write_storage(
    boot: &service::Boot,
    local: &Local,
    scrapes: &Arc<Mutex<scrape::Manager>>,
) -> WriteStorage {
    let scrapes = Arc::clone(scrapes);
    let metadata = move || {
        let pools = scrapes.lock().targets();
        let mut metrics = BTreeMap::new();
        for target in pools.into_iter().flat_map(|pool| pool.active) {
            for found in target.metadata.list() {
                metrics.entry(found.metric).or_insert(found.metadata);
            }
        }
        metrics.into_iter().collect()
    };
    let args = &boot.args;
    let (dir, keep) = match local {
        Local::Server(_) => (
            "storage.tsdb.path",
            args.duration("storage.remote.log-retention"),
        ),
        Local::Agent(_) => (
            "storage.agent.path",
            duration_or(args, "storage.agent.retention.max-time", 4 * 3600),
        ),
    };
    let options = StorageOptions {
        dir: PathBuf::from(args.str(dir)).join("remote_write"),
        registry: boot.metrics.clone(),
        clock: Arc::new(now_ms),
        metadata: Arc::new(metadata),
        user_agent: USER_AGENT.to_owned(),
        flush_deadline: args.duration("storage.remote.flush-deadline"),
        keep,
    };
    WriteStorage::new(options, local.log())
}

/// The endpoints of `remote_write`.
pub fn write_endpoints(config: &Config) -> Vec<Endpoint> {
    let scheme = config.global.name_scheme();
    let endpoint = |one: &RemoteWriteConfig| {
        let (section, queue) = (&one.section, &one.sending.queue_config);
        let metadata = &one.sending.metadata_config;
        let per_send = usize::try_from(metadata.max_samples_per_send).unwrap_or(1);
        Endpoint {
            name: section.name.clone(),
            url: section.url.as_str().to_owned(),
            shown_url: section.url.redacted(),
            http: one.http.clone(),
            headers: pairs(&section.headers),
            round_robin_dns: section.round_robin_dns,
            remote_timeout: std_duration(section.remote_timeout),
            protocol: Protocol::of_message(&section.protobuf_message).unwrap_or(Protocol::V1),
            write_relabel: section
                .write_relabel_configs
                .iter()
                .flatten()
                .cloned()
                .collect(),
            name_scheme: scheme,
            send_exemplars: section.send_exemplars,
            send_native_histograms: section.send_native_histograms,
            capacity: queue.capacity,
            min_shards: queue.min_shards,
            max_shards: queue.max_shards,
            max_samples_per_send: queue.max_samples_per_send,
            batch_send_deadline: std_duration(queue.batch_send_deadline),
            min_backoff: std_duration(queue.min_backoff),
            max_backoff: std_duration(queue.max_backoff),
            retry_on_http_429: queue.retry_on_http_429,
            sample_age_limit: std_duration(queue.sample_age_limit),
            metadata: metadata
                .send
                .then(|| (std_duration(metadata.send_interval), per_send)),
        }
    };
    config.remote_write.iter().flatten().map(endpoint).collect()
}

/// The section `otlp`; an absent one is the default.
pub fn otlp_settings(config: &Config, lookback_ms: i64, features: ServerFeatures) -> OtlpSettings {
    let section = config.otlp.clone().unwrap_or_default();
    let strategy = Strategy::of_name(&section.translation_strategy);
    OtlpSettings {
        promote: match section.promote_all_resource_attributes {
            true => Promote::AllBut(section.ignore_resource_attributes),
            false => Promote::These(section.promote_resource_attributes),
        },
        strategy,
        keep_identifying_resource_attributes: section.keep_identifying_resource_attributes,
        convert_histograms_to_nhcb: section.convert_histograms_to_nhcb,
        promote_scope_metadata: section.promote_scope_metadata,
        native_deltas: features.otlp_native_deltas,
        type_and_unit_labels: features.type_and_unit_labels,
        label_naming: LabelNaming {
            escape: strategy.escape,
            underscore_sanitization: section.label_name_underscore_sanitization,
            preserve_multiple_underscores: section.label_name_preserve_multiple_underscores,
        },
        lookback_ms,
    }
}

/// Our own samples, and those of the stores of `remote_read`.
pub struct Stores {
    /// An agent has none.
    db: Option<Arc<tsdb::Db>>,
    metrics: AskMetrics,
    remote: ArcSwap<Vec<Arc<RemoteStore>>>,
}

impl Stores {
    /// Our own samples alone.
    pub fn new(db: Option<Arc<tsdb::Db>>, registry: &telemetry::Registry) -> Stores {
        Stores {
            db,
            metrics: remote::read::ask_metrics(registry),
            remote: ArcSwap::default(),
        }
    }

    /// Builds the stores that a configuration names.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub fn check(&self, config: &Config) -> Result<CheckedStores, String> {
        let build = |one: &RemoteReadConfig| {
            let db = self.db.clone();
            let start = move || db.as_ref().map_or(i64::MAX, |db| db.start_time_ms());
            let local_start = Arc::new(start);
            let external = config.global.external_labels();
            let metrics = self.metrics.clone();
            RemoteStore::new(read_config(one), external, local_start, metrics).map(Arc::new)
        };
        let stores = config.remote_read.iter().flatten().map(build);
        stores
            .collect::<Result<Vec<_>, String>>()
            .map(CheckedStores)
    }

    /// Whether queries ask other stores.
    pub fn has_remote(&self) -> bool {
        !self.remote.load().is_empty()
    }

    /// Puts them in force.
    pub fn apply(&self, stores: CheckedStores) {
        self.remote.store(Arc::new(stores.0));
    }
}

/// Stores of `remote_read` that can be asked.
pub struct CheckedStores(Vec<Arc<RemoteStore>>);

impl Queryable for Stores {
    fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        let Some(db) = &self.db else {
            return Err(StorageError::Other(UNAVAILABLE.to_owned()));
        };
        let mut queriers = vec![db.querier(min_ms, max_ms)?];
        for store in self.remote.load().iter() {
            queriers.push(store.querier(min_ms, max_ms)?);
        }
        let encode = tsdb::columns::encode_columns;
        Ok(storage::merge::merge_queriers(queriers, encode))
    }

    fn series_at_most(&self, min_ms: i64, matchers: &[model::Matcher]) -> Option<usize> {
        // What other stores have nobody knows before they are asked.
        let db = self.db.as_ref().filter(|_| !self.has_remote())?;
        db.series_at_most(min_ms, matchers)
    }
}

fn read_config(one: &RemoteReadConfig) -> RemoteStoreConfig {
    let (section, selection) = (&one.section, &one.selection);
    let shown_url = section.url.redacted();
    RemoteStoreConfig {
        name: match section.name.as_str() {
            "" => format!("{:06x}", labels_hash(&shown_url) & 0xff_ffff),
            name => name.to_owned(),
        },
        url: section.url.as_str().to_owned(),
        shown_url,
        http: one.http.clone(),
        headers: pairs(&section.headers),
        timeout: std_duration(section.remote_timeout),
        chunked_read_limit: section.chunked_read_limit,
        required_matchers: pairs(&selection.required_matchers),
        read_recent: section.read_recent,
        filter_external_labels: selection.filter_external_labels,
        user_agent: USER_AGENT.to_owned(),
    }
}

/// A name for what has none.
fn labels_hash(url: &str) -> u64 {
    Labels::from([("url", url)]).xxh64()
}

fn pairs(headers: &BTreeMap<String, String>) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

fn std_duration(duration: yaml_config::Duration) -> Duration {
    Duration::from_millis(duration.as_ms().max(0) as u64)
}
