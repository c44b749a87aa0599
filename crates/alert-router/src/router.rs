//! The router's whole state, pure: alerts, silences, the notification log, inhibition and groups.
//!
//! What changes the state appends [`Record`]s to the caller's list, in order; whoever replays them
//! ([`Router::replay`]) has the same state again. Nothing here waits, reads a clock or sends.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use model::Labels;

use crate::alert::{Alert, InvalidAlert};
use crate::config::Config;
use crate::group::{Dispatcher, Flush, Flushed, Group, GroupId};
use crate::inhibit::{Inhibitor, Sides};
use crate::matcher::Mode;
use crate::moment;
use crate::nflog;
use crate::route::{Options, Tree};
use crate::silence::{self, Limits, Matching, Silence, Silences, State};
use crate::store::record::Record;
use crate::time_interval::TimeInterval;

/// What the command line says of the state.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Notation of matchers and label names.
    pub mode: Mode,
    /// `--data.retention`.
    pub retention: Duration,
    /// `--silences.max-*`.
    pub silence_limits: Limits,
    /// `--alerts.per-alertname-limit`; 0 is none.
    pub per_alertname_limit: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Router {
    settings: Settings,
    alerts: HashMap<u64, Known, RandomState>,
    per_name: HashMap<String, usize>,
    /// Texts that many alerts have in common.
    texts: HashSet<Arc<str>, RandomState>,
    silences: Silences,
    nflog: nflog::Log,
    inhibitor: Inhibitor,
    dispatcher: Dispatcher,
    time_intervals: HashMap<String, Vec<TimeInterval>>,
    last_alive: Option<Timestamp>,
}

/// An alert and what is known of its labels.
#[derive(Debug)]
struct Known {
    alert: Arc<Alert>,
    sides: Sides,
    silences: Matching,
    /// Where it was put last; groups without alerts go.
    groups: Box<[GroupId]>,
}

/// Why an alert was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidAlert),
    /// `--alerts.per-alertname-limit`.
    #[error("alertname limit of {0} reached")]
    Limited(usize),
}

/// Whether an alert is sent, and what keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Ids of silences.
    pub silenced_by: Vec<String>,
    /// Fingerprints of alerts.
    pub inhibited_by: Vec<String>,
}

/// What became of a flush before anyone is notified.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// What is left to send.
    pub alerts: Vec<Flushed>,
    /// How many alerts were held back, by upstream's reason.
    pub suppressed: Vec<(&'static str, usize)>,
}

impl Router {
    /// A router without alerts that follows a configuration.
    pub fn new(settings: Settings, config: &Config, not_before: Timestamp) -> Router {
        Router {
            settings,
            alerts: HashMap::default(),
            per_name: HashMap::new(),
            texts: HashSet::default(),
            silences: Silences::default(),
            nflog: nflog::Log::default(),
            inhibitor: Inhibitor::new(config.inhibit_rules.iter().cloned()),
            dispatcher: Dispatcher::new(Arc::new(Tree::new(&config.route)), not_before),
            time_intervals: config.time_intervals.clone(),
            last_alive: None,
        }
    }

    /// Follows another configuration: every alert is grouped anew, the log remembers what was sent.
    pub fn reconfigure(&mut self, config: &Config, now: Timestamp) {
        self.inhibitor = Inhibitor::new(config.inhibit_rules.iter().cloned());
        self.dispatcher.rebuild(Arc::new(Tree::new(&config.route)));
        self.time_intervals = config.time_intervals.clone();
        self.regroup(now);
    }

    /// Hands every alert to inhibition and grouping.
    fn regroup(&mut self, now: Timestamp) {
        for (&fingerprint, known) in &mut self.alerts {
            let alert = &known.alert;
            known.sides = self.inhibitor.sides(&alert.labels);
            self.inhibitor
                .update(&known.sides, fingerprint, alert.ends_at);
            known.groups = self.dispatcher.insert(alert, fingerprint, now);
        }
    }

    /// The routing tree.
    pub fn tree(&self) -> &Arc<Tree> {
        self.dispatcher.tree()
    }

    /// What the command line says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All silences.
    pub fn silences(&self) -> &Silences {
        &self.silences
    }

    /// The notification log.
    pub fn nflog(&self) -> &nflog::Log {
        &self.nflog
    }

    /// How many inhibition rules there are.
    pub fn inhibition_rules(&self) -> usize {
        self.inhibitor.rule_count()
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.dispatcher.len()
    }

    /// Every alert, resolved ones included.
    pub fn alerts(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.values().map(|known| &known.alert)
    }

    /// Every group that has alerts.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.dispatcher.groups()
    }

    /// The one copy of a text that alerts have in common, such as the link to their rule.
    pub fn shared_text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let shared = Arc::from(text);
        self.texts.insert(Arc::clone(&shared));
        shared
    }

    /// Takes an alert in; times that upstream's API leaves open are filled in by the caller.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn put(
        &mut self,
        alert: Alert,
        now: Timestamp,
        log: &mut Vec<Record>,
    ) -> Result<(), Refusal> {
        alert.validate(self.settings.mode)?;
        let fingerprint = alert.fingerprint();
        let known = self
            .alerts
            .get(&fingerprint)
            .map(|known| Arc::clone(&known.alert));
        if known.is_none() {
            let limit = self.settings.per_alertname_limit;
            let count = self.per_name.get(alert.name()).copied().unwrap_or(0);
            if limit > 0 && count >= limit {
                return Err(Refusal::Limited(limit));
            }
        }
        let mut alert = match &known {
            Some(old) => alert.merged_over(old, now),
            None => alert,
        };
        let record = match &known {
            Some(old) if only_times_differ(old, &alert) => {
                // The same texts are kept once, where they are.
                alert.labels = old.labels.clone();
                alert.annotations = old.annotations.clone();
                alert.generator_url = Arc::clone(&old.generator_url);
                Record::Refresh {
                    fingerprint,
                    ends_at: alert.ends_at,
                    updated_at: alert.updated_at,
                    timeout: alert.timeout,
                }
            }
            _ => Record::Alert(Arc::new(alert.clone())),
        };
        let alert = match &record {
            Record::Alert(alert) => Arc::clone(alert),
            _ => Arc::new(alert),
        };
        log.push(record);
        drop(known);
        let Router {
            inhibitor,
            dispatcher,
            ..
        } = self;
        let known = store(
            &mut self.alerts,
            &mut self.per_name,
            fingerprint,
            &alert,
            || inhibitor.sides(&alert.labels),
        );
        inhibitor.update(&known.sides, fingerprint, alert.ends_at);
        let renewed = known
            .groups
            .iter()
            .all(|id| dispatcher.renew(*id, &alert, fingerprint, now));
        if known.groups.is_empty() || !renewed {
            known.groups = dispatcher.insert(&alert, fingerprint, now);
        }
        Ok(())
    }

    fn forget(&mut self, fingerprint: u64) {
        let Some(known) = self.alerts.remove(&fingerprint) else {
            return;
        };
        if let Some(count) = self.per_name.get_mut(known.alert.name()) {
            *count -= 1;
            if *count == 0 {
                self.per_name.remove(known.alert.name());
            }
        }
    }

    /// What keeps an alert from being sent now.
    pub fn status(&mut self, labels: &Labels, now: Timestamp) -> Status {
        self.status_of(labels.fingerprint(), labels, now)
    }

    /// [`Router::status`] where the fingerprint of the labels is known.
    pub fn status_of(&mut self, fingerprint: u64, labels: &Labels, now: Timestamp) -> Status {
        let hex = |source: u64| format!("{source:016x}");
        match self.alerts.get_mut(&fingerprint) {
            Some(known) => Status {
                silenced_by: self.silences.muting(labels, &mut known.silences, now),
                inhibited_by: self
                    .inhibitor
                    .inhibited_by(&known.sides, now)
                    .map(hex)
                    .into_iter()
                    .collect(),
            },
            // Collected already, but still in a group.
            None => {
                let sides = self.inhibitor.sides(labels);
                Status {
                    silenced_by: self.silences.muting(labels, &mut Matching::default(), now),
                    inhibited_by: self
                        .inhibitor
                        .inhibited_by(&sides, now)
                        .map(hex)
                        .into_iter()
                        .collect(),
                }
            }
        }
    }

    /// The names of the time intervals that keep a route from sending now.
    pub fn muted_by_time(&self, options: &Options, now: Timestamp) -> (Vec<String>, &'static str) {
        let inside = |name: &&String| {
            self.time_intervals
                .get(*name)
                .is_some_and(|intervals| intervals.iter().any(|i| i.contains(now)))
        };
        let active = &options.active_time_intervals;
        if !active.is_empty() && !active.iter().any(|name| inside(&name)) {
            return (active.clone(), "active_time_interval");
        }
        let mute = options.mute_time_intervals.iter().filter(inside);
        (mute.cloned().collect(), "mute_time_interval")
    }

    /// When a timer has to go off next.
    pub fn next_tick(&mut self) -> Option<Timestamp> {
        self.dispatcher.next_tick()
    }

    /// The groups that are to be sent now; each is to be answered with [`Router::finished`].
    pub fn due(&mut self, now: Timestamp) -> Vec<Flush> {
        self.dispatcher.due(now)
    }

    /// See [`Dispatcher::finished`].
    pub fn finished(&mut self, flush: &Flush, sent: bool, now: Timestamp) {
        self.dispatcher.finished(flush, sent, now);
    }

    /// Holds back what is inhibited, outside of its times, or silenced; in upstream's order.
    pub fn pass(&mut self, flush: &Flush, now: Timestamp) -> Passed {
        let mut passed = Passed::default();
        let mut suppress = |reason, count| {
            if count > 0 {
                passed.suppressed.push((reason, count));
            }
        };
        let statuses: Vec<Status> = flush
            .alerts
            .iter()
            .map(|flushed| self.status_of(flushed.fingerprint, &flushed.alert.labels, now))
            .collect();
        let free: Vec<(&Flushed, &Status)> = flush
            .alerts
            .iter()
            .zip(&statuses)
            .filter(|(_, status)| status.inhibited_by.is_empty())
            .collect();
        suppress("inhibition", flush.alerts.len() - free.len());
        let (muted_by, reason) = self.muted_by_time(&flush.options, now);
        if !muted_by.is_empty() {
            suppress(reason, free.len());
            return passed;
        }
        let count = free.len();
        let alerts: Vec<Flushed> = free
            .into_iter()
            .filter(|(_, status)| status.silenced_by.is_empty())
            .map(|(flushed, _)| flushed.clone())
            .collect();
        suppress("silence", count - alerts.len());
        passed.alerts = alerts;
        passed
    }

    /// Notes a notification.
    pub fn notified(&mut self, key: nflog::Key, entry: nflog::Entry, log: &mut Vec<Record>) {
        log.push(Record::Notified(key.clone(), entry.clone()));
        self.nflog.set(key, entry);
    }

    /// Takes over what other routers know of silences and notifications, where it is newer.
    pub fn merge(&mut self, records: Vec<Record>, now: Timestamp, log: &mut Vec<Record>) {
        for record in records {
            let news = match &record {
                Record::Silence(silence) => {
                    self.silences.is_news(silence, self.settings.retention, now)
                }
                Record::Notified(key, entry) => self.nflog.is_news(key, entry, now),
                _ => false,
            };
            if news {
                log.push(record.clone());
                self.replay(record);
            }
        }
    }

    /// What other routers are to know: all silences and the notification log.
    pub fn shared(&self) -> impl Iterator<Item = Record> + '_ {
        let silences = self.silences.iter().cloned().map(Record::Silence);
        let entries = self.nflog.iter();
        silences.chain(entries.map(|(key, entry)| Record::Notified(key.clone(), entry.clone())))
    }

    /// Creates or changes a silence; answers its id.
    ///
    /// # Errors
    /// [`silence::Error`].
    pub fn set_silence(
        &mut self,
        silence: Silence,
        new_id: impl FnOnce() -> String,
        now: Timestamp,
        log: &mut Vec<Record>,
    ) -> Result<String, silence::Error> {
        let Settings {
            silence_limits,
            mode,
            ..
        } = self.settings;
        let changes = self
            .silences
            .plan_set(silence, new_id, silence_limits, mode, now)?;
        let id = changes
            .last()
            .map(|silence| silence.id.clone())
            .unwrap_or_default();
        for change in changes {
            log.push(Record::Silence(change.clone()));
            self.silences.apply(change);
        }
        Ok(id)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// [`silence::Error::NotFound`].
    pub fn expire_silence(
        &mut self,
        id: &str,
        now: Timestamp,
        log: &mut Vec<Record>,
    ) -> Result<(), silence::Error> {
        if let Some(change) = self.silences.plan_expire(id, now)? {
            log.push(Record::Silence(change.clone()));
            self.silences.apply(change);
        }
        Ok(())
    }

    /// How many silences are in a state.
    pub fn count_silences(&self, state: State, now: Timestamp) -> usize {
        self.silences
            .iter()
            .filter(|s| s.state(now) == state)
            .count()
    }

    /// How many alerts are there, as upstream's metric counts: (active, suppressed).
    pub fn count_alerts(&mut self, now: Timestamp) -> (usize, usize) {
        let firing: Vec<Labels> = self
            .alerts
            .values()
            .filter(|known| !known.alert.resolved_at(now))
            .map(|known| known.alert.labels.clone())
            .collect();
        let total = firing.len();
        let suppressed = firing
            .iter()
            .filter(|labels| {
                let status = self.status(labels, now);
                !status.silenced_by.is_empty() || !status.inhibited_by.is_empty()
            })
            .count();
        (total - suppressed, suppressed)
    }

    /// Drops groups without alerts.
    pub fn remove_empty_groups(&mut self) {
        self.dispatcher.remove_empty();
    }

    /// Forgets alerts that have ended (`--alerts.gc-interval`).
    pub fn collect_alerts(&mut self, now: Timestamp, log: &mut Vec<Record>) {
        let ended: Vec<u64> = self
            .alerts
            .iter()
            .filter(|(_, known)| known.alert.resolved_at(now))
            .map(|(fingerprint, _)| *fingerprint)
            .collect();
        for fingerprint in ended {
            self.forget(fingerprint);
            log.push(Record::Forget(fingerprint));
        }
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.inhibitor.remove_ended(now);
    }

    /// Forgets silences and log entries that are past their retention
    /// (`--data.maintenance-interval`). They leave the log when it is next written anew.
    pub fn collect_data(&mut self, now: Timestamp) {
        self.silences.remove_expired(self.settings.retention, now);
        self.nflog.remove_expired(now);
    }

    /// Until when an entry of the notification log is kept.
    pub fn notified_until(&self, repeat: Duration, now: Timestamp) -> Timestamp {
        nflog::expiry(now, repeat, self.settings.retention)
    }

    /// Applies a record that an earlier run has written. Groups do not see it: see
    /// [`Router::resume`].
    pub fn replay(&mut self, record: Record) {
        match record {
            Record::Alert(mut alert) => {
                let fingerprint = alert.fingerprint();
                let link = self.shared_text(&alert.generator_url);
                Arc::make_mut(&mut alert).generator_url = link;
                // `resume` looks at the rules, once for each alert that is left.
                store(
                    &mut self.alerts,
                    &mut self.per_name,
                    fingerprint,
                    &alert,
                    Sides::default,
                );
            }
            Record::Refresh {
                fingerprint,
                ends_at,
                updated_at,
                timeout,
            } => {
                if let Some(known) = self.alerts.get_mut(&fingerprint) {
                    known.alert = Arc::new(Alert {
                        ends_at,
                        updated_at,
                        timeout,
                        ..(*known.alert).clone()
                    });
                }
            }
            Record::Forget(fingerprint) => self.forget(fingerprint),
            Record::Silence(silence) => self.silences.apply(silence),
            Record::DropSilence(id) => self.silences.remove(&id),
            Record::Notified(key, entry) => self.nflog.set(key, entry),
            Record::Alive(now) => self.last_alive = Some(now),
        }
    }

    /// Starts to work after the replay. Alerts that would have ended only because nobody could send
    /// them while the router was away get as much time again as their sender gave them.
    pub fn resume(&mut self, now: Timestamp) {
        let updates = self.alerts.values().map(|known| known.alert.updated_at);
        let last_seen = self.last_alive.into_iter().chain(updates).max();
        if let Some(last_seen) = last_seen {
            for known in self.alerts.values_mut() {
                let alert = &known.alert;
                let leased = alert.ends_at > alert.updated_at;
                if leased && alert.ends_at > last_seen {
                    let lease = moment::between(alert.updated_at, alert.ends_at);
                    known.alert = Arc::new(Alert {
                        ends_at: alert.ends_at.max(moment::after(now, lease)),
                        updated_at: now,
                        ..(**alert).clone()
                    });
                }
            }
        }
        self.collect_data(now);
        self.regroup(now);
    }

    /// The whole state as records.
    pub fn snapshot(&self, now: Timestamp) -> Vec<Record> {
        let alerts = self.alerts().map(|alert| Record::Alert(Arc::clone(alert)));
        let alive = std::iter::once(Record::Alive(now));
        alerts.chain(self.shared()).chain(alive).collect()
    }
}

/// Keeps an alert, in place of what was known under its fingerprint; `sides` are those of a new one.
fn store<'a>(
    alerts: &'a mut HashMap<u64, Known, RandomState>,
    per_name: &mut HashMap<String, usize>,
    fingerprint: u64,
    alert: &Arc<Alert>,
    sides: impl FnOnce() -> Sides,
) -> &'a mut Known {
    match alerts.entry(fingerprint) {
        Entry::Occupied(known) => {
            let known = known.into_mut();
            known.alert = Arc::clone(alert);
            known
        }
        Entry::Vacant(free) => {
            *per_name.entry(alert.name().to_owned()).or_default() += 1;
            free.insert(Known {
                alert: Arc::clone(alert),
                sides: sides(),
                silences: Matching::default(),
                groups: Box::default(),
            })
        }
    }
}

fn only_times_differ(old: &Alert, new: &Alert) -> bool {
    old.labels == new.labels
        && old.annotations == new.annotations
        && old.starts_at == new.starts_at
        && old.generator_url == new.generator_url
}

#[cfg(test)]
mod tests;
