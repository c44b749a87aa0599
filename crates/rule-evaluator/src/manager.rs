//! Groups on time: one task a group, a reload that touches only what changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http_api::rules::RuleGroup;
use parking_lot::RwLock;
use rules::{AlertContext, Evaluation, Group, Outcome, RestoreLimits};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::metrics::RuleMetrics;
use crate::notify::Notifier;
use crate::query::{self, Source};
use crate::restore::restore_group;
use crate::write::{self, Sink};

/// What all groups share.
pub struct Shared {
    pub source: Box<dyn Source>,
    pub sink: Box<dyn Sink>,
    pub notifier: Arc<Notifier>,
    pub context: ArcSwap<AlertContext>,
    pub metrics: RuleMetrics,
    pub limits: RestoreLimits,
    pub resend_delay_ms: i64,
    pub concurrency: usize,
}

/// File and name of a group.
type Key = (String, String);
/// A group as the API shows it, exchanged after each evaluation.
type View = ArcSwap<RuleGroup>;

/// Runs groups.
pub struct Manager {
    shared: Arc<Shared>,
    /// By file and name. The async lock makes reloads follow each other.
    running: Mutex<BTreeMap<Key, Running>>,
    /// What the API shows, in order of file and name.
    views: RwLock<BTreeMap<Key, Arc<View>>>,
}

struct Running {
    definition: Group,
    stop: CancellationToken,
    /// Gives the group back with its state.
    task: JoinHandle<Group>,
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

impl Manager {
    /// A manager without groups.
    pub fn new(shared: Arc<Shared>) -> Manager {
        Manager {
            shared,
            running: Mutex::new(BTreeMap::new()),
            views: RwLock::new(BTreeMap::new()),
        }
    }

    /// Makes `groups` the ones that run. Unchanged groups go on undisturbed; changed ones hand their
    /// state to their successors; the series of those that are gone are marked stale.
    pub async fn apply(&self, groups: Vec<Group>, context: AlertContext) {
        let same_context = **self.shared.context.load() == context;
        self.shared.context.store(Arc::new(context));
        let mut running = self.running.lock().await;
        let mut old = std::mem::take(&mut *running);
        for group in groups {
            let key = (group.file.clone(), group.name.clone());
            let next = match old.remove(&key) {
                Some(task) if same_context && task.definition.same_definition(&group) => task,
                Some(task) => {
                    task.stop.cancel();
                    let mut group = group;
                    let first_run = match task.task.await {
                        Ok(state) => {
                            let first_run = state.last_evaluation_ms.is_none();
                            group.take_state(state);
                            first_run
                        }
                        Err(_) => true,
                    };
                    self.start(group, first_run)
                }
                None => self.start(group, true),
            };
            running.insert(key, next);
        }
        for (key, gone) in old {
            gone.stop.cancel();
            self.views.write().remove(&key);
            self.shared.metrics.forget(&group_label(&key.0, &key.1));
            let Ok(mut group) = gone.task.await else {
                continue;
            };
            let stale = group.retire(now_ms());
            if !stale.is_empty()
                && let Err(error) = self.shared.sink.send(stale).await
            {
                tracing::warn!(
                    group = key.1,
                    file = key.0,
                    err = error,
                    "stale markers of a removed group were not stored"
                );
            }
        }
    }

    fn start(&self, group: Group, restore: bool) -> Running {
        let key = (group.file.clone(), group.name.clone());
        let view = Arc::new(ArcSwap::from_pointee(http_api::rules::view(&group)));
        self.views.write().insert(key, Arc::clone(&view));
        let stop = CancellationToken::new();
        let definition = group.clone();
        let work = run(Arc::clone(&self.shared), group, view, stop.clone(), restore);
        Running {
            definition,
            stop,
            task: tokio::spawn(work),
        }
    }

    /// All groups as they are now, in order of file and name.
    pub fn groups(&self) -> Vec<RuleGroup> {
        self.views
            .read()
            .values()
            .map(|view| RuleGroup::clone(&view.load()))
            .collect()
    }

    /// Stops all groups; evaluations under way end first.
    pub async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        for task in running.values() {
            task.stop.cancel();
        }
        for task in running.into_values() {
            // A panic in the task has been logged; there is no state to keep.
            let _ = task.task.await;
        }
    }
}

pub(crate) fn group_label(file: &str, name: &str) -> String {
    format!("{file};{name}")
}

/// The life of a group.
async fn run(
    shared: Arc<Shared>,
    mut group: Group,
    view: Arc<View>,
    stop: CancellationToken,
    mut restore: bool,
) -> Group {
    let label = group_label(&group.file, &group.name);
    shared
        .metrics
        .started(&label, group.interval_ms, group.entries.len());
    let mut due_ms = group.due_at_or_before(now_ms()) + group.interval_ms;
    let mut evaluations = 0u32;
    loop {
        let wait = Duration::from_millis((due_ms - now_ms()).max(0) as u64);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return group,
        }
        let late_ms = now_ms() - due_ms;
        let missed = late_ms.max(0) / group.interval_ms;
        if missed > 0 {
            shared.metrics.missed(&label, missed as u64);
            due_ms += missed * group.interval_ms;
        }
        group = evaluate(&shared, group, due_ms).await;
        evaluations += 1;
        // The first evaluation may have found a store that has just started; the second one shows
        // which alerts are active, and those get their history back.
        if restore && evaluations >= 2 {
            let clock = Instant::now();
            restore = !restore_group(&shared, &mut group).await;
            let seconds = clock.elapsed().as_secs_f64();
            shared.metrics.restored(&label, seconds);
        }
        view.store(Arc::new(http_api::rules::view(&group)));
        due_ms += group.interval_ms;
    }
}

/// Evaluates a group on a thread that may block; the group moves there and back.
async fn evaluate(shared: &Arc<Shared>, mut group: Group, t_ms: i64) -> Group {
    let work = Arc::clone(shared);
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || {
        let clock = Instant::now();
        let context = work.context.load_full();
        let source = query::Blocking {
            source: &*work.source,
            partial: group.partial_response,
            runtime: &runtime,
        };
        let sink = write::Blocking {
            sink: &*work.sink,
            runtime: &runtime,
        };
        let outcome = group.evaluate(
            t_ms,
            &Evaluation {
                source: &source,
                sink: &sink,
                context: &context,
                concurrency: work.concurrency,
                stopwatch: &|| clock.elapsed().as_secs_f64(),
                resend_delay_ms: work.resend_delay_ms,
                outage_tolerance_ms: work.limits.outage_tolerance_ms,
            },
        );
        (group, outcome)
    })
    .await;
    // Panics of rules are theirs: the core turns them into errors.
    let (group, outcome) = done.expect("evaluating a group keeps its rules' panics");
    report(shared, &group, outcome);
    group
}

/// What came of an evaluation: alerts to the notifier, the rest to metrics and log.
fn report(shared: &Shared, group: &Group, outcome: Outcome) {
    let label = group_label(&group.file, &group.name);
    shared.metrics.evaluated(&label, group, &outcome);
    for (index, error) in &outcome.failures {
        tracing::warn!(
            group = group.name,
            file = group.file,
            rule = group.entries[*index].rule.name(),
            err = error,
            "Evaluating rule failed"
        );
    }
    for error in &outcome.write_errors {
        tracing::warn!(
            group = group.name,
            file = group.file,
            err = error,
            "Rule evaluation result not stored"
        );
    }
    if !outcome.alerts.is_empty() {
        shared.notifier.send(outcome.alerts);
    }
}

#[cfg(test)]
mod tests;
