//! What a target says about its metrics: type, help, unit.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::{Metadata, MetricType};
use parking_lot::Mutex;

/// Metadata are kept for so many scrapes after their metric went away.
const KEPT_SCRAPES: u32 = 10;

/// Descriptions are looked through for those that nobody has any more once there are so many.
const FIRST_SWEEP: usize = 1024;

/// What the targets of a server say about their metrics, each text once: a fleet of equal programs
/// says the same five hundred times.
#[derive(Debug, Default)]
pub(crate) struct Descriptions {
    hasher: DefaultHashBuilder,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    table: HashTable<Arc<Description>>,
    /// How many there were after the last sweep.
    swept: usize,
}

/// What a page says of a family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Description {
    family: Box<str>,
    kind: MetricType,
    help: Box<str>,
    unit: Box<str>,
}

/// A target's metadata by metric family; written by its scrapes and read by the API.
#[derive(Debug, Default)]
pub struct MetadataStore {
    descriptions: Arc<Descriptions>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    scrape: u32,
    families: HashTable<Family>,
}

/// A family of the target: 16 bytes and a byte of the table.
#[derive(Debug)]
struct Family {
    description: Arc<Description>,
    /// The scrapes in which it was seen and in which it changed last.
    seen: u32,
    changed: u32,
}

/// One family's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataEntry {
    pub metric: String,
    pub metadata: Metadata,
}

/// A part of the metadata, as a page says it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    Type(MetricType),
    Help(&'a str),
    Unit(&'a str),
}

impl Descriptions {
    /// The one description that says this.
    fn intern(&self, description: Description) -> Arc<Description> {
        let hash = self.hasher.hash_one(&description);
        let mut known = self.known.lock();
        let known = &mut *known;
        if let Some(same) = known.table.find(hash, |other| **other == description) {
            return Arc::clone(same);
        }
        if known.table.len() >= (known.swept * 2).max(FIRST_SWEEP) {
            known.table.retain(|other| Arc::strong_count(other) > 1);
            known
                .table
                .shrink_to_fit(|other| self.hasher.hash_one(&**other));
            known.swept = known.table.len();
        }
        let description = Arc::new(description);
        let hasher = |other: &Arc<Description>| self.hasher.hash_one(&**other);
        known
            .table
            .insert_unique(hash, Arc::clone(&description), hasher);
        description
    }
}

impl Description {
    fn of(family: &str) -> Description {
        Description {
            family: family.into(),
            kind: MetricType::Unknown,
            help: Box::default(),
            unit: Box::default(),
        }
    }

    fn says(&self, part: Part<'_>) -> bool {
        match part {
            Part::Type(kind) => self.kind == kind,
            Part::Help(text) => *self.help == *text,
            Part::Unit(text) => *self.unit == *text,
        }
    }

    fn with(mut self, part: Part<'_>) -> Description {
        match part {
            Part::Type(kind) => self.kind = kind,
            Part::Help(text) => self.help = text.into(),
            Part::Unit(text) => self.unit = text.into(),
        }
        self
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            metric_type: self.kind,
            unit: self.unit.to_string(),
            help: self.help.to_string(),
        }
    }
}

impl MetadataStore {
    /// An empty one that has its texts in common with others.
    pub(crate) fn sharing(descriptions: &Arc<Descriptions>) -> MetadataStore {
        MetadataStore {
            descriptions: Arc::clone(descriptions),
            inner: Mutex::default(),
        }
    }

    fn hash(&self, family: &str) -> u64 {
        self.descriptions.hasher.hash_one(family)
    }

    /// Notes what a page says of a family.
    pub(crate) fn set(&self, family: &str, part: Part<'_>) {
        let hash = self.hash(family);
        let mut inner = self.inner.lock();
        let scrape = inner.scrape;
        let is_it = |known: &Family| *known.description.family == *family;
        match inner.families.find_mut(hash, is_it) {
            Some(known) => {
                known.seen = scrape;
                if !known.description.says(part) {
                    let new = Description::clone(&known.description).with(part);
                    known.description = self.descriptions.intern(new);
                    known.changed = scrape;
                }
            }
            None => {
                let new = Family {
                    description: self.descriptions.intern(Description::of(family).with(part)),
                    seen: scrape,
                    changed: scrape,
                };
                let hasher = |known: &Family| self.hash(&known.description.family);
                inner.families.insert_unique(hash, new, hasher);
            }
        }
    }

    /// Ends a scrape with a page.
    pub(crate) fn end_scrape(&self) {
        let mut inner = self.inner.lock();
        let scrape = inner.scrape;
        inner
            .families
            .retain(|family| scrape.wrapping_sub(family.seen) <= KEPT_SCRAPES);
        inner.scrape = scrape.wrapping_add(1);
    }

    /// A family's metadata, and whether they changed with this scrape.
    pub(crate) fn current(&self, family: &str) -> Option<(Metadata, bool)> {
        let hash = self.hash(family);
        let inner = self.inner.lock();
        let is_it = |known: &Family| *known.description.family == *family;
        let known = inner.families.find(hash, is_it)?;
        Some((known.description.metadata(), known.changed == inner.scrape))
    }

    /// A family's metadata.
    pub fn get(&self, family: &str) -> Option<Metadata> {
        self.current(family).map(|(metadata, _)| metadata)
    }

    /// All families, in no order.
    pub fn list(&self) -> Vec<MetadataEntry> {
        let inner = self.inner.lock();
        let entries = inner.families.iter().map(|known| MetadataEntry {
            metric: known.description.family.to_string(),
            metadata: known.description.metadata(),
        });
        entries.collect()
    }

    /// How many families there are.
    pub fn len(&self) -> usize {
        self.inner.lock().families.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all texts, as if no other target had them.
    pub fn size_bytes(&self) -> usize {
        let inner = self.inner.lock();
        let size = |known: &Family| {
            let said = &known.description;
            said.help.len() + said.unit.len() + said.kind.as_str().len()
        };
        inner.families.iter().map(size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_for_a_while() {
        let store = MetadataStore::default();
        store.set("a", Part::Type(MetricType::Counter));
        store.set("a", Part::Help("h"));
        assert_eq!(store.get("a").unwrap().help, "h");
        assert!(store.current("a").unwrap().1);
        store.end_scrape();
        store.set("a", Part::Type(MetricType::Counter));
        assert!(!store.current("a").unwrap().1);
        assert_eq!((store.len(), store.size_bytes()), (1, 1 + "counter".len()));
        for _ in 0..=KEPT_SCRAPES {
            store.end_scrape();
        }
        assert_eq!(store.len(), 1);
        store.end_scrape();
        assert!(store.is_empty());
    }

    #[test]
    fn targets_share_what_they_say() {
        let all = Arc::new(Descriptions::default());
        let stores = [0, 1, 2].map(|_| MetadataStore::sharing(&all));
        for store in &stores {
            store.set("a", Part::Help("h"));
            store.set("a", Part::Type(MetricType::Gauge));
        }
        let held = |store: &MetadataStore| {
            let inner = store.inner.lock();
            Arc::as_ptr(&inner.families.iter().next().unwrap().description)
        };
        assert_eq!(held(&stores[0]), held(&stores[1]));
        stores[1].set("a", Part::Help("another"));
        assert_ne!(held(&stores[0]), held(&stores[1]));
        assert_eq!(stores[0].get("a").unwrap().help, "h");
        assert_eq!(stores[1].get("a").unwrap().help, "another");
        assert_eq!(stores[1].get("a").unwrap().metric_type, MetricType::Gauge);
        assert_eq!(stores[2].list().len(), 1);
    }

    #[test]
    fn texts_that_nobody_has_are_forgotten() {
        let all = Arc::new(Descriptions::default());
        let store = MetadataStore::sharing(&all);
        for i in 0..FIRST_SWEEP * 20 {
            store.set("a", Part::Help(&i.to_string()));
        }
        assert!(all.known.lock().table.len() <= FIRST_SWEEP);
        assert_eq!(
            store.get("a").unwrap().help,
            (FIRST_SWEEP * 20 - 1).to_string()
        );
    }
}
