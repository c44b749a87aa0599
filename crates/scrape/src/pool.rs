//! A job's targets and their loops (prometheus/prometheus `scrape/scrape.go`, `scrapePool`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use discovery::TargetGroup;
use exposition::MediaType;
use http_client::{Client, ClientOptions};
use model::Labels;
use parking_lot::RwLock;
use relabel::Rule;
use tokio_util::sync::CancellationToken;

use crate::append::{SampleRules, max_schema};
use crate::config::ScrapeConfig;
use crate::failure_log::FailureLog;
use crate::manager::Options;
use crate::metadata::MetadataStore;
use crate::protocol::{ScrapeProtocol, accept_header};
use crate::run::{Control, JobSettings, JobState, Loop, Shared, Task};
use crate::target::{Populated, Target, TargetSnapshot, targets_of};

/// A target that relabelling dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedTarget {
    pub discovered_labels: Labels,
    pub scrape_pool: String,
}

/// What the API shows of a job.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    pub name: String,
    pub active: Vec<TargetSnapshot>,
    /// At most `keep_dropped_targets` of them.
    pub dropped: Vec<DroppedTarget>,
    pub dropped_count: usize,
}

/// A job's configuration, ready for use: everything that can fail has not.
pub(crate) struct Prepared {
    pub(crate) config: ScrapeConfig,
    rules: Vec<Rule>,
    sample_rules: SampleRules,
    client: Client,
    failure_log: Option<Arc<FailureLog>>,
}

impl Prepared {
    /// Compiles the rules and builds the client, or takes the old one if its section has not changed.
    ///
    /// # Errors
    /// What cannot be built.
    pub(crate) fn new(
        config: ScrapeConfig,
        old: Option<&Pool>,
        options: &Options,
        logs: &mut BTreeMap<std::path::PathBuf, Arc<FailureLog>>,
    ) -> Result<Prepared, String> {
        let scheme = config.name_scheme();
        let compile = |configs: &[Option<relabel::Config>]| {
            let configs: Vec<_> = configs.iter().flatten().cloned().collect();
            relabel::compile_all(&configs, scheme).map_err(|error| error.to_string())
        };
        let rules = compile(&config.relabel.relabel_configs)?;
        let section = &config.section;
        let sample_rules = SampleRules {
            honor_labels: section.honor_labels,
            honor_timestamps: section.honor_timestamps,
            track_timestamps_staleness: section.track_timestamps_staleness,
            metric_relabel: compile(&config.relabel.metric_relabel_configs)?,
            scheme,
            sample_limit: section.sample_limit,
            label_limit: section.label_limit,
            label_name_length_limit: section.label_name_length_limit,
            label_value_length_limit: section.label_value_length_limit,
            bucket_limit: section.native_histogram_bucket_limit,
            max_schema: max_schema(section.native_histogram_min_bucket_factor),
            start_timestamps: options.start_timestamps,
            store_metadata: options.store_metadata,
            type_and_unit_labels: options.type_and_unit_labels,
        };
        let client = match old.filter(|pool| pool.config.http == config.http) {
            Some(pool) => pool.job.settings.read().client.clone(),
            None => Client::new(&config.http, ClientOptions::default())
                .map_err(|error| error.to_string())?,
        };
        let path = &section.scrape_failure_log_file;
        let failure_log = if path.as_os_str().is_empty() {
            None
        } else if let Some(log) = logs.get(path) {
            Some(log.clone())
        } else {
            let log = Arc::new(FailureLog::open(path)?);
            logs.insert(path.clone(), log.clone());
            Some(log)
        };
        Ok(Prepared {
            config,
            rules,
            sample_rules,
            client,
            failure_log,
        })
    }

    fn settings(
        self,
        options: &Options,
        cache_version: u64,
    ) -> (ScrapeConfig, Vec<Rule>, JobSettings) {
        let section = &self.config.section;
        let fallback: Option<MediaType> = ScrapeProtocol::parse(&section.fallback_scrape_protocol)
            .ok()
            .map(ScrapeProtocol::media_type);
        let settings = JobSettings {
            client: self.client,
            accept: accept_header(&self.config.protocols(), self.config.escaping()),
            compression: section.enable_compression,
            body_limit: section.body_size_limit.bytes(),
            fallback,
            rules: self.sample_rules,
            extra_metrics: options.extra_metrics || section.extra_scrape_metrics.unwrap_or(false),
            failure_log: self.failure_log,
            cache_version,
        };
        (self.config, self.rules, settings)
    }
}

/// A job that runs.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    job: Arc<JobState>,
    shutdown: CancellationToken,
    pub(crate) config: ScrapeConfig,
    pub(crate) rules: Vec<Rule>,
    active: HashMap<u64, Running>,
    /// Loops that are told to end and may have stale markers to write yet.
    ending: Vec<Running>,
    dropped: Vec<DroppedTarget>,
    dropped_count: usize,
    /// What was synchronized last; `None` before the first time.
    groups: Option<Vec<Arc<TargetGroup>>>,
}

struct Running {
    target: Arc<Target>,
    control: Control,
    task: Task,
}

impl Pool {
    pub(crate) fn new(
        shared: Arc<Shared>,
        shutdown: CancellationToken,
        prepared: Prepared,
        options: &Options,
    ) -> Pool {
        shared.metrics.pools.inc();
        let (config, rules, settings) = prepared.settings(options, 1);
        let job = Arc::new(JobState {
            name: config.job_name().to_owned(),
            settings: RwLock::new(Arc::new(settings)),
            forced_error: RwLock::new(None),
        });
        let pool = Pool {
            shared,
            job,
            shutdown,
            config,
            rules,
            active: HashMap::new(),
            ending: Vec::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            groups: None,
        };
        pool.show_limit();
        pool
    }

    fn show_limit(&self) {
        let limit = self.shared.metrics.target_limit.with(&[&self.job.name]);
        limit.set(self.config.section.target_limit as f64);
    }

    /// Takes a changed configuration. Loops of targets that stay what they are run on: they take the new
    /// settings at their next turn, and keep their series unless these may have other labels now.
    pub(crate) fn reload(&mut self, prepared: Prepared, options: &Options) {
        let begin = Instant::now();
        self.shared.metrics.pool_reloads.inc();
        let old = self.job.settings.read().clone();
        let same_series = old.rules == prepared.sample_rules
            && self.config.escaping() == prepared.config.escaping()
            && self.config.protocols() == prepared.config.protocols();
        let version = old.cache_version + u64::from(!same_series);
        let (config, rules, settings) = prepared.settings(options, version);
        (self.config, self.rules) = (config, rules);
        *self.job.settings.write() = Arc::new(settings);
        self.show_limit();
        if let Some(groups) = self.groups.take() {
            self.sync(groups);
        }
        let interval =
            golang::time::format_duration(self.config.section.scrape_interval.as_nanos() as i64);
        let length = self.shared.metrics.reload_length.with(&[&interval]);
        length.observe_duration(begin.elapsed());
    }

    /// Makes these groups' targets the active ones.
    pub(crate) fn sync(&mut self, groups: Vec<Arc<TargetGroup>>) {
        let same = |known: &Vec<Arc<TargetGroup>>| {
            known.len() == groups.len() && known.iter().zip(&groups).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        if self.groups.as_ref().is_some_and(same) {
            return;
        }
        let begin = Instant::now();
        let job = self.job.name.clone();
        self.dropped.clear();
        self.dropped_count = 0;
        let mut targets: HashMap<u64, Target> = HashMap::new();
        let mut failed = 0;
        for group in &groups {
            let (populated, failures) = targets_of(group, &self.config, &self.rules);
            for error in &failures {
                tracing::error!(scrape_pool = job, err = error, "Creating target failed");
            }
            failed += failures.len();
            for target in populated {
                match target {
                    Populated::Target(target) => {
                        targets.insert(target.hash, *target);
                    }
                    Populated::Dropped(labels) => self.note_dropped(labels),
                }
            }
        }
        self.groups = Some(groups);
        self.replace(targets);
        self.check_limit();
        let metrics = &self.shared.metrics;
        metrics.sync_failed.with(&[&job]).add(failed as u64);
        metrics
            .pool_targets
            .with(&[&job])
            .set(self.active.len() as f64);
        metrics
            .sync_length
            .with(&[&job])
            .observe_duration(begin.elapsed());
        metrics
            .sync_length_histogram
            .with(&[&job])
            .observe_duration(begin.elapsed());
        metrics.syncs.with(&[&job]).inc();
    }

    fn note_dropped(&mut self, labels: Labels) {
        let keep = self.config.section.keep_dropped_targets;
        if keep == 0 || (self.dropped.len() as u64) < keep {
            self.dropped.push(DroppedTarget {
                discovered_labels: labels,
                scrape_pool: self.job.name.clone(),
            });
        }
        self.dropped_count += 1;
    }

    fn replace(&mut self, mut targets: HashMap<u64, Target>) {
        self.ending.retain(|running| !running.task.is_finished());
        let gone: Vec<u64> = self
            .active
            .keys()
            .filter(|hash| !targets.contains_key(*hash))
            .copied()
            .collect();
        for hash in gone {
            if let Some(running) = self.active.remove(&hash) {
                running.control.stop.cancel();
                self.ending.push(running);
            }
        }
        for (hash, running) in &self.active {
            if let Some(target) = targets.remove(hash) {
                // Only its labels before relabelling may have changed.
                running.target.set_discovered(target.discovered());
            }
        }
        for (hash, target) in targets {
            let running = self.start(target);
            self.active.insert(hash, running);
        }
    }

    fn start(&mut self, mut target: Target) -> Running {
        target.metadata = Arc::new(MetadataStore::sharing(&self.shared.descriptions));
        let target = Arc::new(target);
        // The series of a target that has other settings now, or is back again, go on.
        let before = self
            .ending
            .iter()
            .position(|running| running.target.public == target.public)
            .map(|at| self.ending.swap_remove(at));
        let before = before.map(|running| {
            running.control.handover.cancel();
            running.task
        });
        let control = Control {
            stop: CancellationToken::new(),
            shutdown: self.shutdown.clone(),
            handover: CancellationToken::new(),
        };
        let new = Loop::new(
            self.shared.clone(),
            self.job.clone(),
            target.clone(),
            control.clone(),
        );
        Running {
            target,
            control,
            task: tokio::spawn(new.run(before)),
        }
    }

    fn check_limit(&self) {
        let (count, limit) = (self.active.len(), self.config.section.target_limit);
        let error = (limit > 0 && count as u64 > limit).then(|| {
            self.shared.metrics.exceeded_target_limit.inc();
            format!("target_limit exceeded (number of targets: {count}, limit: {limit})")
        });
        *self.job.forced_error.write() = error;
    }

    /// Ends the job: its targets are gone.
    pub(crate) fn stop(self) -> Vec<Task> {
        for running in self.active.values() {
            running.control.stop.cancel();
        }
        self.shared.metrics.remove_job(&self.job.name);
        self.tasks()
    }

    /// All loops, for who has to wait for them.
    pub(crate) fn tasks(self) -> Vec<Task> {
        let active = self.active.into_values();
        active
            .chain(self.ending)
            .map(|running| running.task)
            .collect()
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let mut active: Vec<TargetSnapshot> = self
            .active
            .values()
            .map(|running| running.target.snapshot(&self.job.name))
            .collect();
        active.sort_by(|a, b| {
            a.scrape_url
                .cmp(&b.scrape_url)
                .then_with(|| a.labels.cmp(&b.labels))
        });
        PoolSnapshot {
            name: self.job.name.clone(),
            active,
            dropped: self.dropped.clone(),
            dropped_count: self.dropped_count,
        }
    }

    pub(crate) fn show_metadata_size(&self) {
        let (mut entries, mut bytes) = (0, 0);
        for running in self.active.values() {
            entries += running.target.metadata.len();
            bytes += running.target.metadata.size_bytes();
        }
        let metrics = &self.shared.metrics;
        metrics
            .metadata_entries
            .with(&[&self.job.name])
            .set(entries as f64);
        metrics
            .metadata_bytes
            .with(&[&self.job.name])
            .set(bytes as f64);
    }
}
