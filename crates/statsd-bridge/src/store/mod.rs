//! The metrics themselves: every series with its value, by name and labels.
//!
//! Series lie in shards behind a lock each, so that several listeners get in each other's way rarely;
//! a series is found by one hash of its key:
//!
//! ```text
//! kind (1 byte)  name  0xff  label  0xff  value  0xff  label  0xff  value ...
//! ```
//!
//! 0xff is in no UTF-8, so keys are unambiguous, and one allocation holds all of a series' names.
//! What is known by name only (type, help, how many series) is looked at when a series is new.
//! Lock order: a shard, then the families.

mod families;
mod histogram;
mod quantiles;

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exposition::{Family, Metric, Value as Exposed};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use model::MetricType;
use parking_lot::Mutex;

use crate::mapper::Observer;
use families::Families;
use histogram::Histogram;
use quantiles::Summary;

const SHARDS: usize = 32;
const SEPARATOR: u8 = 0xff;
const NEVER: u64 = u64::MAX;
/// Distinct values one set remembers.
const MAX_MEMBERS: usize = 100_000;

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Counter,
    Gauge,
    Summary,
    Histogram,
    /// A gauge of the number of distinct values seen lately: ours.
    Set,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 5] = [
        Kind::Counter,
        Kind::Gauge,
        Kind::Summary,
        Kind::Histogram,
        Kind::Set,
    ];

    /// The value of label `type` of `statsd_exporter_metrics_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
            Kind::Histogram => "histogram",
            Kind::Set => "set",
        }
    }

    fn metric_type(self) -> MetricType {
        match self {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge | Kind::Set => MetricType::Gauge,
            Kind::Summary => MetricType::Summary,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

/// How a series changes.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Not negative.
    Count(f64),
    Set(f64),
    Add(f64),
    /// A value, so many times.
    Observe(f64, u64, &'a Arc<Observer>),
    Member(&'a str),
}

impl Change<'_> {
    fn kind(&self) -> Kind {
        match self {
            Change::Count(_) => Kind::Counter,
            Change::Set(_) | Change::Add(_) => Kind::Gauge,
            Change::Observe(_, _, observer) => match ***observer {
                Observer::Summary(_) => Kind::Summary,
                Observer::Histogram(_) => Kind::Histogram,
            },
            Change::Member(_) => Kind::Set,
        }
    }
}

/// A change and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// A valid metric name.
    pub name: &'a str,
    /// Sorted by name, each name once.
    pub labels: &'a [(&'a str, &'a str)],
    pub change: Change<'a>,
    pub help: &'a str,
    /// Without a change for so long the series goes; zero: never.
    pub ttl: Duration,
    /// Grows with every reload: then options of a series may change.
    pub generation: u64,
    /// Since the start.
    pub now: Duration,
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    /// The name belongs to a metric of another type, or to us, or a label is not allowed.
    Conflict,
    /// The series would be one too many.
    Limited,
}

/// How much may be remembered; 0: no limit.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Series of one name.
    pub per_metric: usize,
    /// Series altogether.
    pub total: usize,
    /// How long a set remembers a value.
    pub set_window: Duration,
}

/// Hashes of values, and when each was seen last.
#[derive(Default)]
struct Members(HashMap<u64, Duration, RandomState>);

/// All series.
pub struct Store {
    limits: Limits,
    hasher: RandomState,
    shards: Box<[Shard]>,
    families: Mutex<Families>,
    /// Whether any series ever had a time to live: else nothing is to be swept.
    expires: AtomicBool,
}

/// In a cache line of its own, as several listeners take turns at the locks.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<HashTable<Series>>);

struct Series {
    key: Box<[u8]>,
    value: Value,
    /// Nanoseconds since the start; [`NEVER`] without a time to live.
    expires: u64,
    generation: u64,
}

enum Value {
    Number(f64),
    Summary(Box<Summary>, Arc<Observer>),
    Histogram(Box<Histogram>, Arc<Observer>),
    Set(Box<Members>),
}

impl Store {
    /// An empty store; `reserved` are names that no series may have.
    pub fn new(limits: Limits, reserved: impl IntoIterator<Item = String>) -> Store {
        Store {
            limits,
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            families: Mutex::new(Families::new(reserved)),
            expires: AtomicBool::new(false),
        }
    }

    /// Applies an update; `key` is a buffer to be used again and again.
    pub fn apply(&self, update: &Update<'_>, key: &mut Vec<u8>) -> Outcome {
        let kind = update.change.kind();
        write_key(key, kind, update.name, update.labels);
        let hash = self.hasher.hash_one(key.as_slice());
        match self.apply_at(update, kind, key, hash) {
            Outcome::Conflict if self.replace_observer(update.name, kind, update.generation) => {
                self.apply_at(update, kind, key, hash)
            }
            outcome => outcome,
        }
    }

    fn apply_at(&self, update: &Update<'_>, kind: Kind, key: &[u8], hash: u64) -> Outcome {
        // The tables themselves go by the lowest and the highest bits.
        let mut shard = self.shards[(hash >> 32) as usize % SHARDS].0.lock();
        let rehash = |series: &Series| self.hasher.hash_one(&*series.key);
        let series = match shard.entry(hash, |series| *series.key == *key, rehash) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let outcome = self.families.lock().admit(update, kind, &self.limits);
                if outcome != Outcome::Applied {
                    return outcome;
                }
                let series = Series {
                    key: key.into(),
                    value: Value::new(&update.change, update.now),
                    expires: NEVER,
                    generation: update.generation,
                };
                entry.insert(series).into_mut()
            }
        };
        // Looked at first: a write would take the line away from all other listeners, each time.
        if !update.ttl.is_zero() && !self.expires.load(Ordering::Relaxed) {
            self.expires.store(true, Ordering::Relaxed);
        }
        series.expires = match update.ttl {
            Duration::ZERO => NEVER,
            ttl => nanoseconds(update.now.saturating_add(ttl)),
        };
        // A listener that has not taken the reload over yet must not turn it back.
        if series.generation < update.generation {
            series.generation = update.generation;
            series.value.reconfigure(&update.change, update.now);
        }
        let applied = series
            .value
            .apply(update, &self.hasher, self.limits.set_window);
        match applied {
            true => Outcome::Applied,
            false => Outcome::Limited,
        }
    }

    /// After a reload an observer may be a histogram that was a summary, or the other way round: then
    /// the old series go. Whether they did.
    fn replace_observer(&self, name: &str, kind: Kind, generation: u64) -> bool {
        let other = match kind {
            Kind::Summary => Kind::Histogram,
            Kind::Histogram => Kind::Summary,
            Kind::Counter | Kind::Gauge | Kind::Set => return false,
        };
        if !self.families.lock().is_older(name, other, generation) {
            return false;
        }
        self.remove(|series| {
            let (series_kind, series_name) = head(&series.key);
            series_kind == other && series_name == name && series.generation < generation
        });
        !self.families.lock().has(name)
    }

    /// Removes the series whose time to live is over.
    pub fn sweep(&self, now: Duration) {
        if self.expires.load(Ordering::Relaxed) {
            let now = nanoseconds(now);
            self.remove(|series| series.expires < now);
        }
    }

    fn remove(&self, mut gone: impl FnMut(&Series) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.0.lock();
            let mut families = None;
            shard.retain(|series| {
                if !gone(series) {
                    return true;
                }
                let families = families.get_or_insert_with(|| self.families.lock());
                families.release(head(&series.key).1, names(&series.key));
                false
            });
            if families.is_some() && shard.len() * 4 < shard.capacity() {
                let rehash = |series: &Series| self.hasher.hash_one(&*series.key);
                shard.shrink_to_fit(rehash);
            }
        }
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.families.lock().series()
    }

    /// How many sets of label names the metrics of a kind have: what upstream counts as metrics.
    pub fn metrics(&self, kind: Kind) -> usize {
        self.families.lock().vectors(kind)
    }

    /// Everything, as families to be printed.
    pub fn collect(&self, now: Duration) -> Vec<Family> {
        let mut out: BTreeMap<Box<str>, Family> = self.families.lock().empty();
        for shard in &self.shards {
            for series in shard.0.lock().iter_mut() {
                // The name of a series that is newer than the list of families has to wait.
                if let Some(family) = out.get_mut(head(&series.key).1) {
                    let value = series.value.exposed(head(&series.key).0, now, &self.limits);
                    family.push(Metric::new(labels(&series.key), value));
                }
            }
        }
        out.into_values()
            .filter(|family| !family.metrics.is_empty())
            .collect()
    }
}

/// Enough for 584 years; what is more is the end of time.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

fn write_key(key: &mut Vec<u8>, kind: Kind, name: &str, labels: &[(&str, &str)]) {
    key.clear();
    key.push(kind as u8);
    key.extend_from_slice(name.as_bytes());
    for (label, value) in labels {
        key.push(SEPARATOR);
        key.extend_from_slice(label.as_bytes());
        key.push(SEPARATOR);
        key.extend_from_slice(value.as_bytes());
    }
}

/// The texts of a key: the name, then labels and values in turn.
fn texts(key: &[u8]) -> impl Iterator<Item = &str> {
    let texts = key[1..].split(|byte| *byte == SEPARATOR);
    // Keys are made of strings only.
    texts.map(|text| std::str::from_utf8(text).unwrap_or_default())
}

fn head(key: &[u8]) -> (Kind, &str) {
    let kind = Kind::ALL[usize::from(key[0]) % Kind::ALL.len()];
    (kind, texts(key).next().unwrap_or_default())
}

fn names(key: &[u8]) -> impl Iterator<Item = &str> {
    texts(key).skip(1).step_by(2)
}

fn labels(key: &[u8]) -> Vec<(String, String)> {
    names(key)
        .zip(texts(key).skip(2).step_by(2))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

impl Value {
    fn new(change: &Change<'_>, now: Duration) -> Value {
        match change {
            Change::Count(_) | Change::Set(_) | Change::Add(_) => Value::Number(0.0),
            Change::Member(_) => Value::Set(Box::default()),
            Change::Observe(_, _, observer) => match &***observer {
                Observer::Summary(options) => {
                    Value::Summary(Box::new(Summary::new(options, now)), Arc::clone(observer))
                }
                Observer::Histogram(options) => {
                    Value::Histogram(Box::new(Histogram::new(options)), Arc::clone(observer))
                }
            },
        }
    }

    /// Begins anew if the options are others than before.
    fn reconfigure(&mut self, change: &Change<'_>, now: Duration) {
        let Change::Observe(_, _, new) = change else {
            return;
        };
        match self {
            Value::Summary(_, old) | Value::Histogram(_, old) if **old != ***new => {
                *self = Value::new(change, now);
            }
            // The same, but shared with the mapping in force.
            Value::Summary(_, old) | Value::Histogram(_, old) => *old = Arc::clone(new),
            Value::Number(_) | Value::Set(_) => {}
        }
    }

    /// Whether there was room for it.
    fn apply(&mut self, update: &Update<'_>, hasher: &RandomState, window: Duration) -> bool {
        match (self, &update.change) {
            (Value::Number(number), Change::Count(by) | Change::Add(by)) => *number += by,
            (Value::Number(number), Change::Set(to)) => *number = *to,
            (Value::Summary(summary, observer), Change::Observe(value, times, _)) => {
                if let Observer::Summary(options) = &**observer {
                    summary.observe(options, *value, *times, update.now);
                }
            }
            (Value::Histogram(histogram, observer), Change::Observe(value, times, _)) => {
                if let Observer::Histogram(options) = &**observer {
                    histogram.observe(options, *value, *times);
                }
            }
            (Value::Set(members), Change::Member(text)) => {
                let members = &mut members.0;
                let hash = hasher.hash_one(text);
                if members.len() >= MAX_MEMBERS && !members.contains_key(&hash) {
                    members.retain(|_, seen| *seen + window >= update.now);
                    if members.len() >= MAX_MEMBERS {
                        return false;
                    }
                }
                members.insert(hash, update.now);
            }
            // The kind is part of the key, so value and change go together.
            _ => {}
        }
        true
    }

    fn exposed(&mut self, kind: Kind, now: Duration, limits: &Limits) -> Exposed {
        match self {
            Value::Number(number) if kind == Kind::Counter => Exposed::Counter(*number),
            Value::Number(number) => Exposed::Gauge(*number),
            Value::Set(members) => {
                let members = &mut members.0;
                members.retain(|_, seen| *seen + limits.set_window >= now);
                Exposed::Gauge(members.len() as f64)
            }
            Value::Summary(summary, observer) => {
                let quantiles = match &**observer {
                    Observer::Summary(options) => summary.quantiles(options, now),
                    Observer::Histogram(_) => Vec::new(),
                };
                Exposed::Summary(exposition::Summary {
                    count: summary.count,
                    sum: summary.sum,
                    quantiles,
                })
            }
            Value::Histogram(histogram, observer) => Exposed::Histogram(match &**observer {
                Observer::Histogram(options) => histogram.value(options),
                Observer::Summary(_) => exposition::Histogram::default(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
