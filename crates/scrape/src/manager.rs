//! All jobs of a server (prometheus/prometheus `scrape/manager.go`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use discovery::TargetSets;
use model::Labels;
use parking_lot::Mutex;
use relabel::Step;
use storage::Appendable;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::ScrapeConfig;
use crate::failure_log::FailureLog;
use crate::metrics::Metrics;
use crate::pool::{Pool, PoolSnapshot, Prepared};
use crate::run::{Shared, Task};

/// What flags and features say about scraping.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The `User-Agent` of scrapes.
    pub user_agent: String,
    /// Spreads the scrapes of servers with the same configuration: a hash of host name and external
    /// labels.
    pub offset_seed: u64,
    /// `extra-scrape-metrics`, for all jobs.
    pub extra_metrics: bool,
    /// `created-timestamp-zero-ingestion`, `st-storage`: start timestamps go to the store.
    pub start_timestamps: bool,
    /// `metadata-wal-records`: metadata go to the store.
    pub store_metadata: bool,
    /// `type-and-unit-labels`.
    pub type_and_unit_labels: bool,
    /// Scrape times this close to their turn are taken for it: regular timestamps take less room
    /// (prometheus/prometheus#7846). `--scrape.timestamp-tolerance`, or zero without `--scrape.adjust-timestamps`.
    pub timestamp_tolerance: Duration,
    /// For tests: loops begin at once instead of at their turn.
    pub at_once: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            user_agent: "Prometheus/3.14.0".to_owned(),
            offset_seed: 0,
            extra_metrics: false,
            start_timestamps: false,
            store_metadata: false,
            type_and_unit_labels: false,
            timestamp_tolerance: Duration::from_millis(2),
            at_once: false,
        }
    }
}

/// Runs jobs: discovers their targets and scrapes them.
pub struct Manager {
    shared: Arc<Shared>,
    options: Options,
    pools: Arc<Mutex<BTreeMap<String, Pool>>>,
    discovery: discovery::Manager,
    logs: BTreeMap<PathBuf, Arc<FailureLog>>,
    /// Loops of jobs that are gone, with stale markers to write.
    ending: Vec<Task>,
    shutdown: CancellationToken,
    follower: JoinHandle<()>,
}

impl Manager {
    /// A manager without jobs. Needs a tokio runtime around it.
    pub fn new(
        appendable: Arc<dyn Appendable>,
        metrics: Metrics,
        discovery_metrics: discovery::Metrics,
        options: Options,
    ) -> Manager {
        let (discovery, published) = discovery::Manager::new("scrape", discovery_metrics);
        let mut shared = Shared::new(
            appendable,
            metrics,
            options.user_agent.clone(),
            options.offset_seed,
        );
        shared.at_once = options.at_once;
        shared.timestamp_tolerance = options.timestamp_tolerance;
        let pools = Arc::new(Mutex::new(BTreeMap::new()));
        Manager {
            shared: Arc::new(shared),
            options,
            follower: tokio::spawn(follow(pools.clone(), published)),
            pools,
            discovery,
            logs: BTreeMap::new(),
            ending: Vec::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Makes these the jobs; they must have passed [`ScrapeConfig::validate`]. What has not changed runs
    /// on undisturbed.
    ///
    /// # Errors
    /// A job that cannot be built (TLS files, log files); then nothing has changed.
    pub fn apply(&mut self, configs: Vec<ScrapeConfig>) -> Result<(), String> {
        let mut pools = self.pools.lock();
        let mut sets = BTreeMap::new();
        let mut changed = Vec::new();
        let mut logs = self.logs.clone();
        for config in configs {
            let name = config.job_name().to_owned();
            sets.insert(name.clone(), config.discovery.clone());
            let old = pools.get(&name);
            if old.is_some_and(|pool| pool.config == config) {
                continue;
            }
            let prepared = Prepared::new(config, old, &self.options, &mut logs);
            match prepared {
                Ok(prepared) => changed.push(prepared),
                Err(error) => {
                    let metrics = &self.shared.metrics;
                    if old.is_some() {
                        metrics.pool_reloads_failed.inc();
                    } else {
                        metrics.pools_failed.inc();
                    }
                    return Err(format!("error creating new scrape pool {name}: {error}"));
                }
            }
        }
        let gone: Vec<String> = pools
            .keys()
            .filter(|name| !sets.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(pool) = pools.remove(&name) {
                self.ending.extend(pool.stop());
            }
        }
        self.ending.retain(|task| !task.is_finished());
        for prepared in changed {
            let name = prepared.config.job_name().to_owned();
            match pools.get_mut(&name) {
                Some(pool) => pool.reload(prepared, &self.options),
                None => {
                    let shutdown = self.shutdown.clone();
                    let pool = Pool::new(self.shared.clone(), shutdown, prepared, &self.options);
                    pools.insert(name, pool);
                }
            }
        }
        let used: Vec<PathBuf> = pools
            .values()
            .map(|pool| pool.config.section.scrape_failure_log_file.clone())
            .collect();
        logs.retain(|_, log| used.iter().any(|path| path == log.path()));
        self.logs = logs;
        drop(pools);
        self.discovery.apply(&sets);
        Ok(())
    }

    /// All jobs' targets, by the jobs' names.
    pub fn targets(&self) -> Vec<PoolSnapshot> {
        self.pools.lock().values().map(Pool::snapshot).collect()
    }

    /// The jobs' names, sorted.
    pub fn pools(&self) -> Vec<String> {
        self.pools.lock().keys().cloned().collect()
    }

    /// Discoveries that cannot look at the moment, by the jobs' names; what they found last holds.
    pub fn discovery_problems(&self) -> BTreeMap<String, Vec<discovery::Problem>> {
        self.discovery.problems()
    }

    /// A job's configuration.
    pub fn pool_config(&self, name: &str) -> Option<ScrapeConfig> {
        self.pools.lock().get(name).map(|pool| pool.config.clone())
    }

    /// What a job's rules make of labels, step by step; `None` if there is no such job.
    pub fn relabel_steps(&self, name: &str, labels: &Labels) -> Option<Vec<Step>> {
        let rules = self.pools.lock().get(name)?.rules.clone();
        Some(relabel::steps(labels, &rules))
    }

    /// Ends all loops and waits for what they are writing. No stale markers are written: the server is
    /// thought to come back.
    pub async fn shutdown(&mut self) {
        self.follower.abort();
        self.shutdown.cancel();
        let pools = std::mem::take(&mut *self.pools.lock());
        let tasks = pools.into_values().flat_map(Pool::tasks);
        for task in tasks.chain(self.ending.drain(..)) {
            // A loop that panicked has nothing to wait for.
            let _ = task.await;
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.follower.abort();
        self.shutdown.cancel();
    }
}

/// Hands what discovery publishes to the pools.
async fn follow(
    pools: Arc<Mutex<BTreeMap<String, Pool>>>,
    mut published: watch::Receiver<TargetSets>,
) {
    let mut gauges = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            changed = published.changed() => {
                if changed.is_err() {
                    return;
                }
                let sets = published.borrow_and_update().clone();
                let mut pools = pools.lock();
                for (name, groups) in sets {
                    // A job that has just been added may not be published yet, one that went away still.
                    if let Some(pool) = pools.get_mut(&name) {
                        pool.sync(groups);
                    }
                }
            }
            _ = gauges.tick() => {
                for pool in pools.lock().values() {
                    pool.show_metadata_size();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
