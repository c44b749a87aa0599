//! What is known of metrics by name: whether a series may be added.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use exposition::Family;
use foldhash::fast::RandomState;

use super::{Kind, Limits, Outcome, Update};

pub(super) struct Families {
    by_name: HashMap<Box<str>, Entry, RandomState>,
    reserved: HashSet<String>,
    series: usize,
    hasher: RandomState,
}

struct Entry {
    kind: Kind,
    help: Box<str>,
    series: usize,
    /// When it came to be.
    generation: u64,
    /// How many series have which label names (a hash of them).
    vectors: HashMap<u64, usize>,
}

impl Families {
    pub(super) fn new(reserved: impl IntoIterator<Item = String>) -> Families {
        Families {
            by_name: HashMap::default(),
            reserved: reserved.into_iter().collect(),
            series: 0,
            hasher: RandomState::default(),
        }
    }

    /// Counts a new series, if it may be.
    pub(super) fn admit(&mut self, update: &Update<'_>, kind: Kind, limits: &Limits) -> Outcome {
        if self.conflicts(update, kind) {
            return Outcome::Conflict;
        }
        let of_name = self
            .by_name
            .get(update.name)
            .map_or(0, |entry| entry.series);
        let full = |count: usize, limit: usize| limit > 0 && count >= limit;
        if full(of_name, limits.per_metric) || full(self.series, limits.total) {
            return Outcome::Limited;
        }
        let names = hash_names(&self.hasher, update.labels.iter().map(|(name, _)| *name));
        if of_name == 0 {
            let entry = Entry {
                kind,
                help: update.help.into(),
                series: 0,
                generation: update.generation,
                vectors: HashMap::new(),
            };
            self.by_name.insert(update.name.into(), entry);
        }
        if let Some(entry) = self.by_name.get_mut(update.name) {
            entry.series += 1;
            *entry.vectors.entry(names).or_default() += 1;
        }
        self.series += 1;
        Outcome::Applied
    }

    fn conflicts(&self, update: &Update<'_>, kind: Kind) -> bool {
        let name = update.name;
        if let Some(entry) = self.by_name.get(name) {
            if entry.kind != kind {
                return true;
            }
        } else if name.is_empty()
            || self.reserved.contains(name)
            || name.starts_with("statsd_exporter_")
            || self.collides(name, kind)
        {
            return true;
        }
        let own = match kind {
            Kind::Summary => "quantile",
            Kind::Histogram => "le",
            Kind::Counter | Kind::Gauge | Kind::Set => "",
        };
        let refused = |label: &str| label.starts_with("__") || label == own;
        update.labels.iter().any(|(label, _)| refused(label))
    }

    /// Whether lines of the metric would look like another's `_sum`, `_count` or `_bucket`.
    fn collides(&self, name: &str, kind: Kind) -> bool {
        let parts: &[&str] = match kind {
            Kind::Summary => &["_sum", "_count"],
            Kind::Histogram => &["_sum", "_count", "_bucket"],
            Kind::Counter | Kind::Gauge | Kind::Set => &[],
        };
        let mut full = String::new();
        let taken = parts.iter().any(|part| {
            full.clear();
            full.push_str(name);
            full.push_str(part);
            self.by_name.contains_key(full.as_str())
        });
        let part_of = |suffix: &str, histograms_only: bool| {
            let base = name
                .strip_suffix(suffix)
                .and_then(|base| self.by_name.get(base));
            base.is_some_and(|entry| match entry.kind {
                Kind::Histogram => true,
                Kind::Summary => !histograms_only,
                Kind::Counter | Kind::Gauge | Kind::Set => false,
            })
        };
        taken || part_of("_sum", false) || part_of("_count", false) || part_of("_bucket", true)
    }

    /// Whether there is a metric of this name and kind that is older than a reload.
    pub(super) fn is_older(&self, name: &str, kind: Kind, generation: u64) -> bool {
        let entry = self.by_name.get(name);
        entry.is_some_and(|entry| entry.kind == kind && entry.generation < generation)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Counts a series as gone, and with the last one the metric.
    pub(super) fn release<'a>(&mut self, name: &str, labels: impl Iterator<Item = &'a str>) {
        let Some(entry) = self.by_name.get_mut(name) else {
            return;
        };
        self.series -= 1;
        entry.series -= 1;
        if entry.series == 0 {
            self.by_name.remove(name);
            return;
        }
        let names = hash_names(&self.hasher, labels);
        if let Some(count) = entry.vectors.get_mut(&names) {
            *count -= 1;
            if *count == 0 {
                entry.vectors.remove(&names);
            }
        }
    }

    pub(super) fn series(&self) -> usize {
        self.series
    }

    pub(super) fn vectors(&self, kind: Kind) -> usize {
        let entries = self.by_name.values().filter(|entry| entry.kind == kind);
        entries.map(|entry| entry.vectors.len()).sum()
    }

    /// The families without their metrics.
    pub(super) fn empty(&self) -> BTreeMap<Box<str>, Family> {
        let mut families = BTreeMap::new();
        for (name, entry) in &self.by_name {
            let empty = Family::new(&**name, &*entry.help, entry.kind.metric_type());
            families.insert(name.clone(), empty);
        }
        families
    }
}

fn hash_names<'a>(hasher: &RandomState, names: impl Iterator<Item = &'a str>) -> u64 {
    let mut hash = 0;
    for name in names {
        hash = hasher.hash_one((hash, name));
    }
    hash
}
