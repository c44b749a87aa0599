//! What a target says about its metrics: type, help, unit.

use std::collections::HashMap;

use model::{Metadata, MetricType};
use parking_lot::Mutex;

/// Metadata are kept for so many scrapes after their metric went away.
const KEPT_SCRAPES: u64 = 10;

/// A target's metadata by metric family; written by its scrapes and read by the API.
#[derive(Debug, Default)]
pub struct MetadataStore(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    scrape: u64,
    families: HashMap<Box<str>, Family>,
}

#[derive(Debug)]
struct Family {
    kind: MetricType,
    help: Box<str>,
    unit: Box<str>,
    seen: u64,
    changed: u64,
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

impl MetadataStore {
    /// Notes what a page says of a family.
    pub(crate) fn set(&self, family: &str, part: Part<'_>) {
        let mut inner = self.0.lock();
        let scrape = inner.scrape;
        if !inner.families.contains_key(family) {
            let new = Family {
                kind: MetricType::Unknown,
                help: "".into(),
                unit: "".into(),
                seen: scrape,
                changed: scrape,
            };
            inner.families.insert(family.into(), new);
        }
        let Some(known) = inner.families.get_mut(family) else {
            return;
        };
        known.seen = scrape;
        let changed = match part {
            Part::Type(kind) => std::mem::replace(&mut known.kind, kind) != kind,
            Part::Help(text) => replace(&mut known.help, text),
            Part::Unit(text) => replace(&mut known.unit, text),
        };
        if changed {
            known.changed = scrape;
        }
    }

    /// Ends a scrape with a page.
    pub(crate) fn end_scrape(&self) {
        let mut inner = self.0.lock();
        let scrape = inner.scrape;
        inner
            .families
            .retain(|_, family| scrape - family.seen <= KEPT_SCRAPES);
        inner.scrape += 1;
    }

    /// A family's metadata, and whether they changed with this scrape.
    pub(crate) fn current(&self, family: &str) -> Option<(Metadata, bool)> {
        let inner = self.0.lock();
        let known = inner.families.get(family)?;
        Some((known.metadata(), known.changed == inner.scrape))
    }

    /// A family's metadata.
    pub fn get(&self, family: &str) -> Option<Metadata> {
        self.0.lock().families.get(family).map(Family::metadata)
    }

    /// All families, in no order.
    pub fn list(&self) -> Vec<MetadataEntry> {
        let inner = self.0.lock();
        let entries = inner.families.iter().map(|(metric, family)| MetadataEntry {
            metric: metric.to_string(),
            metadata: family.metadata(),
        });
        entries.collect()
    }

    /// How many families there are.
    pub fn len(&self) -> usize {
        self.0.lock().families.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all texts.
    pub fn size_bytes(&self) -> usize {
        let inner = self.0.lock();
        let size =
            |family: &Family| family.help.len() + family.unit.len() + family.kind.as_str().len();
        inner.families.values().map(size).sum()
    }
}

impl Family {
    fn metadata(&self) -> Metadata {
        Metadata {
            metric_type: self.kind,
            unit: self.unit.to_string(),
            help: self.help.to_string(),
        }
    }
}

fn replace(text: &mut Box<str>, new: &str) -> bool {
    if **text == *new {
        return false;
    }
    *text = new.into();
    true
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
}
