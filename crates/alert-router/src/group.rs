//! Aggregation groups and their timers (prometheus/alertmanager `dispatch`), as a state machine:
//! alerts and the clock go in, flushes come out; nothing here waits.
//!
//! ```text
//! insert ──> group ──group_wait──> flush ──group_interval──> flush ──> ...
//!              └── at once, if its first alert is older than group_wait
//! ```
//! A group has one flush under way at most. A tick that falls into a flush is made up for as soon
//! as the flush is finished.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use model::Labels;

use crate::alert::Alert;
use crate::moment;
use crate::route::{Options, RouteIndex, Tree};

/// A group's name within one [`Dispatcher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(u64);

/// All groups of a routing tree.
#[derive(Debug)]
pub struct Dispatcher {
    tree: Arc<Tree>,
    groups: HashMap<GroupId, Group, RandomState>,
    by_labels: HashMap<(RouteIndex, Labels), GroupId>,
    /// When each group is next looked at; entries that no longer agree with the group are stale.
    timers: BinaryHeap<Reverse<(Timestamp, GroupId)>>,
    next_id: u64,
    /// No flush before this instant (`--dispatch.start-delay`).
    not_before: Timestamp,
}

/// The alerts of one route that share their group labels.
#[derive(Debug)]
pub struct Group {
    /// Its route.
    pub route: RouteIndex,
    /// The labels that its alerts share.
    pub labels: Labels,
    /// The group key.
    pub key: Arc<str>,
    alerts: HashMap<u64, Arc<Alert>, RandomState>,
    next: Timestamp,
    flushed: bool,
    busy: bool,
    ticked_while_busy: bool,
}

/// What is to be sent through the pipeline now.
#[derive(Clone, Debug)]
pub struct Flush {
    /// Whom to tell when it is done: [`Dispatcher::finished`].
    pub group: GroupId,
    /// The key of the group.
    pub key: Arc<str>,
    /// The labels of the group.
    pub labels: Labels,
    /// The route.
    pub route: RouteIndex,
    /// The id of the route.
    pub route_id: Arc<str>,
    /// The settings of the route.
    pub options: Arc<Options>,
    /// The alerts, in no particular order: most flushes have nothing to say that is not known.
    pub alerts: Vec<Flushed>,
    /// The time of the tick.
    pub now: Timestamp,
}

/// An alert as it was at the tick: what fires then stays firing however long sending takes.
#[derive(Clone, Debug)]
pub struct Flushed {
    /// The alert.
    pub alert: Arc<Alert>,
    /// Its fingerprint.
    pub fingerprint: u64,
    /// Whether it had ended.
    pub resolved: bool,
}

impl Dispatcher {
    /// A dispatcher without groups.
    pub fn new(tree: Arc<Tree>, not_before: Timestamp) -> Dispatcher {
        Dispatcher {
            tree,
            groups: HashMap::default(),
            by_labels: HashMap::new(),
            timers: BinaryHeap::new(),
            next_id: 0,
            not_before,
        }
    }

    /// Starts over with another tree. Flushes of the old one may still be reported as finished;
    /// they concern nobody any more, as ids of groups are not used again.
    pub fn rebuild(&mut self, tree: Arc<Tree>) {
        self.tree = tree;
        self.groups.clear();
        self.by_labels.clear();
        self.timers.clear();
    }

    /// The routing tree.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Every group that has alerts.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups
            .values()
            .filter(|group| !group.alerts.is_empty())
    }

    /// Sorts an alert into the groups of the routes that match it; answers which.
    pub fn insert(
        &mut self,
        alert: &Arc<Alert>,
        fingerprint: u64,
        now: Timestamp,
    ) -> Box<[GroupId]> {
        let tree = Arc::clone(&self.tree);
        let matching = tree.matching(&alert.labels);
        let ids = matching.into_iter().map(|index| {
            let route = tree.get(index);
            let labels = route.group_labels(&alert.labels);
            let id = match self.by_labels.get(&(index, labels.clone())) {
                Some(id) => *id,
                None => {
                    let key = Arc::from(route.group_key(&labels));
                    let first = moment::after(now, route.options.group_wait);
                    self.create(index, labels, key, first)
                }
            };
            self.renew(id, alert, fingerprint, now);
            id
        });
        ids.collect()
    }

    /// Puts the newer version of an alert into a group that [`Dispatcher::insert`] has named; false
    /// where that group is no more.
    pub fn renew(
        &mut self,
        id: GroupId,
        alert: &Arc<Alert>,
        fingerprint: u64,
        now: Timestamp,
    ) -> bool {
        let Some(group) = self.groups.get_mut(&id) else {
            return false;
        };
        group.alerts.insert(fingerprint, Arc::clone(alert));
        let wait = self.tree.get(group.route).options.group_wait;
        if !group.flushed && moment::after(alert.starts_at, wait) < now {
            self.schedule(id, now);
        }
        true
    }

    fn create(
        &mut self,
        route: RouteIndex,
        labels: Labels,
        key: Arc<str>,
        next: Timestamp,
    ) -> GroupId {
        let id = GroupId(self.next_id);
        self.next_id += 1;
        self.by_labels.insert((route, labels.clone()), id);
        self.groups.insert(
            id,
            Group {
                route,
                labels,
                key,
                alerts: HashMap::default(),
                next,
                flushed: false,
                busy: false,
                ticked_while_busy: false,
            },
        );
        self.schedule(id, next);
        id
    }

    fn schedule(&mut self, id: GroupId, at: Timestamp) {
        let at = at.max(self.not_before);
        if let Some(group) = self.groups.get_mut(&id) {
            group.next = at;
            self.timers.push(Reverse((at, id)));
        }
    }

    /// When [`Dispatcher::due`] has something to do next.
    pub fn next_tick(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if self.groups.get(&id).is_some_and(|group| group.next == at) {
                return Some(at);
            }
            self.timers.pop();
        }
        None
    }

    /// The groups whose time has come; each is to be answered with [`Dispatcher::finished`].
    pub fn due(&mut self, now: Timestamp) -> Vec<Flush> {
        let mut flushes = Vec::new();
        while let Some(at) = self.next_tick()
            && at <= now
        {
            let Some(Reverse((_, id))) = self.timers.pop() else {
                break;
            };
            let Some(group) = self.groups.get_mut(&id) else {
                continue;
            };
            let route = self.tree.get(group.route);
            let interval = route.options.group_interval;
            if group.busy {
                // The timer stands still until the flush is finished.
                group.ticked_while_busy = true;
                group.next = Timestamp::MAX;
                continue;
            }
            group.flushed = true;
            if !group.alerts.is_empty() {
                group.busy = true;
                flushes.push(Flush {
                    group: id,
                    key: Arc::clone(&group.key),
                    labels: group.labels.clone(),
                    route: group.route,
                    route_id: Arc::clone(&route.id),
                    options: Arc::clone(&route.options),
                    alerts: group.snapshot(now),
                    now,
                });
            }
            self.schedule(id, moment::after(now, interval));
        }
        flushes
    }

    /// Takes note that a flush is over. If everything was sent, alerts that were resolved in it
    /// leave the group, unless they have changed since.
    pub fn finished(&mut self, flush: &Flush, sent: bool, now: Timestamp) {
        let Some(group) = self.groups.get_mut(&flush.group) else {
            return;
        };
        group.busy = false;
        if sent {
            for flushed in flush.alerts.iter().filter(|flushed| flushed.resolved) {
                let unchanged = group
                    .alerts
                    .get(&flushed.fingerprint)
                    .is_some_and(|alert| alert.updated_at == flushed.alert.updated_at);
                if unchanged {
                    group.alerts.remove(&flushed.fingerprint);
                }
            }
        }
        if std::mem::take(&mut group.ticked_while_busy) {
            self.schedule(flush.group, now);
        }
    }

    /// Drops groups without alerts; answers which, by route id and group key.
    pub fn remove_empty(&mut self) -> Vec<(RouteIndex, Arc<str>)> {
        let empty: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|(_, group)| group.alerts.is_empty() && !group.busy)
            .map(|(id, _)| *id)
            .collect();
        empty
            .into_iter()
            .filter_map(|id| {
                let group = self.groups.remove(&id)?;
                self.by_labels.remove(&(group.route, group.labels));
                Some((group.route, group.key))
            })
            .collect()
    }
}

impl Group {
    /// When it is looked at next.
    pub fn next_flush(&self) -> Timestamp {
        self.next
    }

    /// The alerts of the group in no particular order.
    pub fn alerts(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.values()
    }

    fn snapshot(&self, now: Timestamp) -> Vec<Flushed> {
        let flushed = self.alerts.iter().map(|(&fingerprint, alert)| Flushed {
            alert: Arc::clone(alert),
            fingerprint,
            resolved: alert.resolved_at(now),
        });
        flushed.collect()
    }
}

/// How long a flush may take, sending and trying again included: the group interval, but at least
/// ten seconds.
pub fn flush_timeout(group_interval: Duration) -> Duration {
    group_interval.max(Duration::from_secs(10))
}
