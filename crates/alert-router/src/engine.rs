//! The shell around [`Router`]: it keeps the time, writes the log, and sends what is due.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alert;
use crate::clock::Clock;
use crate::cluster::{self, Cluster};
use crate::config::Config;
use crate::group::{self, Flush, Flushed};
use crate::metrics::Metrics;
use crate::nflog::{self, Reason};
use crate::notify::{Backoff, Failure, FailureReason, Integration, Memory, Notification};
use crate::router::Router;
use crate::store::record::Record;
use crate::store::wal;
use crate::store::writer::{Done, Writer};

/// A running router; a cheap handle.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    clock: Clock,
    metrics: Metrics,
    router: Mutex<Router>,
    writer: Writer,
    /// The log is written anew once it is longer than this.
    rotate_at: AtomicU64,
    live: ArcSwap<Live>,
    /// The other routers, if there may be any.
    cluster: OnceLock<Cluster>,
    /// The earliest timer may have changed.
    wake: Notify,
    stop: CancellationToken,
}

/// What a configuration brings to life.
pub struct Live {
    /// The configuration.
    pub config: Config,
    /// The integrations of each receiver.
    pub receivers: HashMap<Arc<str>, Vec<Integration>>,
    /// No more attempts once it is cancelled.
    cancel: CancellationToken,
    flushes: TaskTracker,
}

impl Live {
    /// A configuration with its integrations.
    pub fn new(config: Config, receivers: HashMap<Arc<str>, Vec<Integration>>) -> Live {
        Live {
            config,
            receivers,
            cancel: CancellationToken::new(),
            flushes: TaskTracker::new(),
        }
    }
}

/// How often things are tidied up.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// `--dispatch.maintenance-interval`.
    pub groups: Duration,
    /// `--alerts.gc-interval`.
    pub alerts: Duration,
    /// `--data.maintenance-interval`.
    pub data: Duration,
}

/// The log is not written anew below this size.
const SMALLEST_ROTATION: u64 = 16 << 20;
/// How often the log is told that the router lives.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long dispatching rests while the configuration is being exchanged.
const EXCHANGE_PAUSE: Duration = Duration::from_millis(20);
/// How long a reload or stop waits for requests that are under way.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

impl Engine {
    /// An engine at rest; [`Engine::run`] starts it. The router has been resumed.
    pub fn new(
        router: Router,
        writer: Writer,
        live: Live,
        clock: Clock,
        metrics: Metrics,
    ) -> Engine {
        let engine = Engine(Arc::new(Shared {
            clock,
            metrics,
            router: Mutex::new(router),
            writer,
            rotate_at: AtomicU64::new(SMALLEST_ROTATION),
            wake: Notify::new(),
            stop: CancellationToken::new(),
            live: ArcSwap::from_pointee(live),
            cluster: OnceLock::new(),
        }));
        engine.count_live();
        engine
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// What is configured.
    pub fn live(&self) -> Arc<Live> {
        self.0.live.load_full()
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Becomes a member of a cluster, once, before [`Engine::run`].
    pub fn set_cluster(&self, cluster: Cluster) {
        // There is one caller, the start.
        let _ = self.0.cluster.set(cluster);
    }

    /// The other routers, if there may be any.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.0.cluster.get()
    }

    /// Looks at the state, or changes it in ways that need no record.
    pub fn with<T>(&self, f: impl FnOnce(&mut Router) -> T) -> T {
        f(&mut self.0.router.lock())
    }

    /// Changes the state. The records reach the log in the order of the changes; the result is for
    /// others once [`Commit::durable`] has said so.
    pub fn change<T>(
        &self,
        f: impl FnOnce(&mut Router, Timestamp, &mut Vec<Record>) -> T,
    ) -> (T, Commit) {
        let now = self.now();
        let mut records = Vec::new();
        let mut router = self.0.router.lock();
        let result = f(&mut router, now, &mut records);
        let commit = if records.is_empty() {
            None
        } else {
            Some(self.0.writer.append(&framed(&records)))
        };
        drop(router);
        if let Some(cluster) = self.cluster() {
            records.iter().for_each(|record| cluster.publish(record));
        }
        self.0.wake.notify_one();
        (result, Commit(commit))
    }

    /// Notes that a change did not reach the disk.
    fn log_failed(&self, error: &str) {
        self.0.metrics.log_failures.inc();
        tracing::error!(err = error, "state could not be written to disk");
    }

    /// Waits until a change is on disk.
    ///
    /// # Errors
    /// What the disk said; the change is in memory, but a restart may forget it.
    pub async fn durable(&self, commit: Commit) -> Result<(), String> {
        let Some(done) = commit.0 else {
            return Ok(());
        };
        let result = match done.await {
            Ok(result) => result.map_err(|e| e.to_string()),
            Err(_) => Err("the state log has been closed".to_owned()),
        };
        if let Err(error) = &result {
            self.log_failed(error);
        }
        if self.0.writer.bytes() > self.0.rotate_at.load(Ordering::Relaxed) {
            self.rotate().await;
        }
        result
    }

    /// Writes the log anew.
    async fn rotate(&self) {
        let begin = Instant::now();
        // Not again before this one is done and has a size.
        self.0.rotate_at.store(u64::MAX, Ordering::Relaxed);
        let done = {
            let router = self.0.router.lock();
            let records = router.snapshot(self.now());
            let size_of = |wanted: fn(&Record) -> bool| {
                framed(records.iter().filter(|record| wanted(record))).len() as f64
            };
            let metrics = &self.0.metrics;
            let silences = size_of(|record| matches!(record, Record::Silence(_)));
            let nflog = size_of(|record| matches!(record, Record::Notified(..)));
            metrics.silences.snapshot_size.set(silences);
            metrics.nflog.snapshot_size.set(nflog);
            self.0.writer.rotate(records)
        };
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.log_failed(&error),
            Err(_) => self.log_failed("the state log has been closed"),
        }
        let size = self.0.writer.bytes();
        self.0
            .rotate_at
            .store((size * 4).max(SMALLEST_ROTATION), Ordering::Relaxed);
        for kept in [&self.0.metrics.silences, &self.0.metrics.nflog] {
            kept.snapshot_duration.observe_duration(begin.elapsed());
        }
    }

    /// Puts another configuration in place. Requests under way may end first.
    pub async fn reload(&self, live: Live) {
        let old = self.live();
        old.cancel.cancel();
        old.flushes.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, old.flushes.wait())
            .await
            .is_err()
        {
            tracing::warn!("notifications under way outlast the reload; they may be sent again");
        }
        let now = self.now();
        // Receivers and groups change together: see `due`.
        self.with(|router| {
            router.reconfigure(&live.config, now);
            self.0.live.store(Arc::new(live));
        });
        self.count_live();
        self.0.wake.notify_one();
    }

    /// What is to be sent now, and by which configuration; nothing while that is being exchanged.
    fn due(&self) -> Option<(Arc<Live>, Vec<Flush>)> {
        let now = self.now();
        self.with(|router| {
            let live = self.live();
            if live.cancel.is_cancelled() {
                return None;
            }
            Some((live, router.due(now)))
        })
    }

    fn count_live(&self) {
        let live = self.live();
        let metrics = &self.0.metrics;
        let integrations = live.receivers.values().map(Vec::len).sum::<usize>();
        metrics.integrations.set(integrations as f64);
        metrics.receivers.set(live.receivers.len() as f64);
        metrics.config_hash.set(live.config.hash);
        metrics.expect(live.receivers.iter().flat_map(|(receiver, integrations)| {
            integrations
                .iter()
                .map(|integration| (integration.name, Arc::clone(receiver)))
        }));
    }

    /// Dispatches until [`Engine::stop`].
    pub async fn run(&self, intervals: Intervals) {
        tokio::join!(self.dispatch(), self.maintain(intervals));
    }

    /// Ends [`Engine::run`]; notifications under way may end first, what is left is sent after the
    /// next start. The log is complete afterwards.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        let live = self.live();
        live.cancel.cancel();
        live.flushes.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, live.flushes.wait())
            .await
            .is_err()
        {
            tracing::warn!("notifications under way outlast the stop; they may be sent again");
        }
        self.rotate().await;
    }

    async fn dispatch(&self) {
        loop {
            let next = self.with(Router::next_tick);
            let timer = async {
                match next {
                    Some(at) => self.0.clock.sleep_towards(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = self.0.wake.notified() => {}
                () = self.0.stop.cancelled() => return,
            }
            let Some((live, flushes)) = self.due() else {
                // What is due now is due after the exchange too.
                tokio::time::sleep(EXCHANGE_PAUSE).await;
                continue;
            };
            for flush in flushes {
                let (engine, live) = (self.clone(), Arc::clone(&live));
                let tracker = live.flushes.clone();
                tracker.spawn(async move { engine.flush(&live, flush).await });
            }
        }
    }

    async fn maintain(&self, intervals: Intervals) {
        let ticker = |period: Duration| {
            let period = period.max(Duration::from_millis(1));
            let mut ticker = tokio::time::interval_at(Instant::now() + period, period);
            ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            ticker
        };
        let mut groups = ticker(intervals.groups);
        let mut alerts = ticker(intervals.alerts);
        let mut data = ticker(intervals.data);
        let mut alive = ticker(ALIVE_INTERVAL);
        loop {
            tokio::select! {
                _ = groups.tick() => self.with(Router::remove_empty_groups),
                _ = alerts.tick() => {
                    let ((), commit) = self.change(|router, now, log| router.collect_alerts(now, log));
                    // A failure is in the log and the metric; the alerts are collected again.
                    let _ = self.durable(commit).await;
                }
                _ = data.tick() => {
                    let (now, begin) = (self.now(), Instant::now());
                    self.with(|router| router.collect_data(now));
                    let failures = self.0.metrics.log_failures.get();
                    for kept in [&self.0.metrics.silences, &self.0.metrics.nflog] {
                        kept.gc_duration.observe_duration(begin.elapsed());
                        kept.maintenance.inc();
                    }
                    self.rotate().await;
                    if self.0.metrics.log_failures.get() > failures {
                        self.0.metrics.silences.maintenance_errors.inc();
                        self.0.metrics.nflog.maintenance_errors.inc();
                    }
                }
                _ = alive.tick() => {
                    let alive = framed(&[Record::Alive(self.now())]);
                    if let Err(error) = self.0.writer.append_lazily(&alive) {
                        self.log_failed(&error);
                    }
                }
                () = self.0.stop.cancelled() => return,
            }
        }
    }

    /// Sends one group through the pipeline.
    async fn flush(&self, live: &Arc<Live>, mut flush: Flush) {
        let patience = self.cluster().map(Cluster::wait).unwrap_or_default();
        let deadline =
            Instant::now() + group::flush_timeout(flush.options.group_interval) + patience;
        if !self.settled(live, deadline).await {
            self.with(|router| router.finished(&flush, false, self.now()));
            self.0.wake.notify_one();
            return;
        }
        let now = self.now();
        let begin = Instant::now();
        let passed = self.with(|router| router.pass(&flush, now));
        let asked = &self.0.metrics.silences;
        asked.queries.add(flush.alerts.len() as u64);
        asked.query_duration.observe_duration(begin.elapsed());
        for (reason, count) in &passed.suppressed {
            self.0.metrics.suppressed.with(&[reason]).add(*count as u64);
        }
        let mut sent = true;
        if !passed.alerts.is_empty() && !self.others_had_time(live, deadline).await {
            sent = false;
        } else if !passed.alerts.is_empty() {
            let integrations = live.receivers.get(&flush.options.receiver);
            let mut passing = flush.clone();
            passing.alerts = passed.alerts;
            // Of the others `finished` asks only for those that have ended.
            flush.alerts.retain(|flushed| flushed.resolved);
            flush.alerts.shrink_to_fit();
            let sending = integrations
                .into_iter()
                .flatten()
                .map(|integration| self.notify(live, integration, &passing, deadline));
            sent = join_all(sending).await.into_iter().all(|sent| sent);
        }
        let now = self.now();
        self.with(|router| router.finished(&flush, sent, now));
        self.0.wake.notify_one();
    }

    /// Waits until the other routers have been found, or it is clear that there are none; says
    /// whether that was in time.
    async fn settled(&self, live: &Live, deadline: Instant) -> bool {
        let Some(cluster) = self.cluster().filter(|cluster| !cluster.is_ready()) else {
            return true;
        };
        tokio::select! {
            () = cluster.ready() => true,
            () = live.cancel.cancelled() => false,
            () = tokio::time::sleep_until(deadline) => false,
        }
    }

    /// Leaves the routers before this one time to send the group; says whether it may go on.
    async fn others_had_time(&self, live: &Live, deadline: Instant) -> bool {
        let wait = self.cluster().map(Cluster::wait).unwrap_or_default();
        if wait.is_zero() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = live.cancel.cancelled() => false,
            () = tokio::time::sleep_until(deadline) => false,
        }
    }

    /// Notifies through one integration, unless the log says that there is nothing to say.
    async fn notify(
        &self,
        live: &Live,
        integration: &Integration,
        flush: &Flush,
        deadline: Instant,
    ) -> bool {
        let key = nflog::Key {
            group_key: Arc::clone(&flush.key),
            receiver: nflog::Receiver {
                group_name: Arc::clone(&flush.options.receiver),
                integration: Arc::from(integration.name),
                index: integration.index,
            },
        };
        let (firing, resolved) = hashes(flush);
        let repeat = flush.options.repeat_interval;
        let begin = Instant::now();
        let decided = self.with(|router| {
            let entry = router.nflog().get(&key);
            let send_resolved = integration.send_resolved;
            let reason =
                nflog::decide(entry, &firing, &resolved, send_resolved, repeat, flush.now)?;
            let memory = match reason {
                Reason::FirstNotification => Memory::new(),
                _ => entry.map(|entry| entry.data.clone()).unwrap_or_default(),
            };
            Some((reason, memory))
        });
        let asked = &self.0.metrics.nflog;
        asked.queries.inc();
        asked.query_duration.observe_duration(begin.elapsed());
        let Some((reason, memory)) = decided else {
            return true;
        };
        let labels = self
            .0
            .metrics
            .labels(integration.name, &flush.options.receiver);
        self.0.metrics.notifications.with(&labels).inc();
        let mut memory = memory;
        if integration.send_resolved || !firing.is_empty() {
            let notification = notification(flush, integration, reason, memory);
            match self
                .deliver(live, integration, &notification, deadline)
                .await
            {
                Ok(remembered) => memory = remembered,
                Err(failure) => {
                    let labels: Vec<&str> = labels
                        .iter()
                        .copied()
                        .chain([failure.reason.as_str()])
                        .collect();
                    self.0.metrics.notifications_failed.with(&labels).inc();
                    if failure.reason == FailureReason::ContextCanceled {
                        tracing::debug!(component = "dispatcher", err = %failure, "Notify for alerts failed");
                    } else {
                        tracing::error!(
                            component = "dispatcher",
                            num_alerts = flush.alerts.len(),
                            err = %failure,
                            "Notify for alerts failed"
                        );
                    }
                    return false;
                }
            }
        }
        let ((), commit) = self.change(|router, now, log| {
            let entry = nflog::Entry {
                timestamp: now,
                firing,
                resolved,
                data: memory,
                expires_at: router.notified_until(repeat, now),
            };
            router.notified(key, entry, log);
        });
        // It was sent: a disk that fails is reported, but does not make it unsent.
        let _ = self.durable(commit).await;
        true
    }

    /// Attempts until one succeeds, one fails for good, or time is up.
    async fn deliver(
        &self,
        live: &Live,
        integration: &Integration,
        notification: &Notification,
        deadline: Instant,
    ) -> Result<Memory, Failure> {
        let metrics = &self.0.metrics;
        let who = format!(
            "{}/{}[{}]",
            notification.receiver, integration.name, integration.index
        );
        let labels = metrics.labels(integration.name, &notification.receiver);
        let mut backoff = Backoff::new(matches!(self.0.clock, Clock::System));
        let mut last: Option<Failure> = None;
        let mut attempts = 0u32;
        let given_up = |attempts: u32, last: Option<Failure>, why: FailureReason| {
            let failure = last.unwrap_or_else(|| {
                let text = match why {
                    FailureReason::ContextCanceled => "context canceled",
                    _ => "context deadline exceeded",
                };
                Failure::passing(text).because(why)
            });
            let message =
                format!("{who}: notify retry canceled after {attempts} attempts: {failure}");
            Failure { message, ..failure }
        };
        loop {
            let place = tokio::select! {
                place = integration.pace.place() => place,
                () = live.cancel.cancelled() => {
                    return Err(given_up(attempts, last, FailureReason::ContextCanceled));
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(given_up(attempts, last, FailureReason::ContextDeadlineExceeded));
                }
            };
            attempts += 1;
            let begin = Instant::now();
            // A request that has begun may end even if the configuration changes meanwhile: it may
            // have been delivered already.
            let attempt = integration.notifier.notify(notification);
            let result = tokio::time::timeout_at(deadline, place.hold(attempt)).await;
            metrics
                .latency
                .with(&labels)
                .observe_duration(begin.elapsed());
            metrics.requests.with(&labels).inc();
            match result {
                Ok(Ok(memory)) => {
                    if attempts > 1 {
                        tracing::info!(
                            component = "dispatcher", receiver = %notification.receiver,
                            integration = %who, aggr_group = %notification.group_key,
                            attempts, duration = ?begin.elapsed(), "Notify success"
                        );
                    } else {
                        tracing::debug!(
                            component = "dispatcher", receiver = %notification.receiver,
                            integration = %who, aggr_group = %notification.group_key,
                            attempts, duration = ?begin.elapsed(), "Notify success"
                        );
                    }
                    return Ok(memory);
                }
                Ok(Err(failure)) => {
                    metrics.requests_failed.with(&labels).inc();
                    if !failure.retry {
                        let message = format!(
                            "{who}: notify retry canceled due to unrecoverable error after {attempts} attempts: {failure}"
                        );
                        return Err(Failure { message, ..failure });
                    }
                    if last.as_ref() != Some(&failure) {
                        tracing::warn!(
                            component = "dispatcher", receiver = %notification.receiver,
                            integration = %who, aggr_group = %notification.group_key,
                            attempts, err = %failure, "Notify attempt failed, will retry later"
                        );
                    }
                    last = Some(failure);
                }
                Err(_) => {
                    metrics.requests_failed.with(&labels).inc();
                    return Err(given_up(
                        attempts,
                        last,
                        FailureReason::ContextDeadlineExceeded,
                    ));
                }
            }
            let wait = tokio::time::sleep(backoff.wait());
            tokio::select! {
                () = wait => {}
                () = live.cancel.cancelled() => {
                    return Err(given_up(attempts, last, FailureReason::ContextCanceled));
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(given_up(attempts, last, FailureReason::ContextDeadlineExceeded));
                }
            }
        }
    }
}

impl cluster::State for Engine {
    /// What is news is kept, but nobody waits for the disk: whoever made the change has it on disk.
    fn merge(&self, records: Vec<Record>) -> usize {
        let now = self.now();
        let mut log = Vec::new();
        let mut router = self.0.router.lock();
        router.merge(records, now, &mut log);
        if log.is_empty() {
            return 0;
        }
        let written = self.0.writer.append_lazily(&framed(&log));
        drop(router);
        if let Err(error) = written {
            self.log_failed(&error);
        }
        log.len()
    }

    fn all(&self) -> Vec<u8> {
        self.with(|router| framed(&router.shared().collect::<Vec<Record>>()))
    }
}

fn framed<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<u8> {
    let mut framed = Vec::new();
    for record in records {
        wal::frame(record, &mut framed);
    }
    framed
}

/// A change on its way to the disk; see [`Engine::durable`].
#[must_use = "a change is not safe before `Engine::durable` says so"]
pub struct Commit(Option<Done>);

/// The hashes by which the log knows alerts (xxHash64 of their labels, as upstream has them),
/// firing and resolved, sorted.
fn hashes(flush: &Flush) -> (Vec<u64>, Vec<u64>) {
    let (mut firing, mut resolved) = (Vec::new(), Vec::new());
    for flushed in &flush.alerts {
        let hashes = if flushed.resolved {
            &mut resolved
        } else {
            &mut firing
        };
        hashes.push(flushed.alert.labels.xxh64());
    }
    firing.sort_unstable();
    resolved.sort_unstable();
    (firing, resolved)
}

fn notification(
    flush: &Flush,
    integration: &Integration,
    reason: Reason,
    memory: Memory,
) -> Notification {
    let wanted = flush.alerts.iter();
    let wanted = wanted.filter(|flushed| integration.send_resolved || !flushed.resolved);
    let mut alerts: Vec<Flushed> = wanted.cloned().collect();
    alerts.sort_by(|a, b| alert::notification_order(&a.alert.labels, &b.alert.labels));
    Notification {
        receiver: Arc::clone(&flush.options.receiver),
        group_key: Arc::clone(&flush.key),
        group_labels: flush.labels.clone(),
        route_labels: BTreeMap::clone(&flush.options.labels),
        alerts,
        reason,
        memory,
        now: flush.now,
    }
}
