//! What targets say about their metrics: type, help, unit.
//!
//! Pages say the same about their metrics every time, and the targets of a job say the same as each
//! other. So a target holds a table that it shares with those which say the same ([`Descriptions`]), and
//! a page is compared with it line by line: only where a line differs are the rest of the page's metadata
//! read, and a new table made.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use exposition::MediaType;
use hashbrown::{DefaultHashBuilder, HashTable};
use model::{Metadata, MetricType};
use parking_lot::Mutex;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Metadata are kept for so many scrapes after their metric went away.
const KEPT_SCRAPES: u64 = 10;

/// Things are looked through for those that nobody has any more once there are so many.
const FIRST_SWEEP: usize = 1024;

/// What the targets of a server say about their metrics, each text and each table once: a fleet of equal
/// programs says the same five hundred times.
#[derive(Debug, Default)]
pub(crate) struct Descriptions {
    families: Once<Description>,
    tables: Once<Table>,
}

/// Things of a kind, each once.
#[derive(Debug)]
struct Once<T> {
    hasher: DefaultHashBuilder,
    known: Mutex<Known<T>>,
}

#[derive(Debug)]
struct Known<T> {
    table: HashTable<Arc<T>>,
    /// How many there were after the last sweep.
    swept: usize,
}

impl<T> Default for Once<T> {
    fn default() -> Once<T> {
        let known = Known {
            table: HashTable::new(),
            swept: 0,
        };
        Once {
            hasher: DefaultHashBuilder::default(),
            known: Mutex::new(known),
        }
    }
}

impl<T: Eq + Hash> Once<T> {
    /// The one that is equal to this.
    fn intern(&self, new: T) -> Arc<T> {
        let hash = self.hasher.hash_one(&new);
        let mut known = self.known.lock();
        let known = &mut *known;
        if let Some(same) = known.table.find(hash, |other| **other == new) {
            return Arc::clone(same);
        }
        let hasher = |other: &Arc<T>| self.hasher.hash_one(&**other);
        if known.table.len() >= (known.swept * 2).max(FIRST_SWEEP) {
            known.table.retain(|other| Arc::strong_count(other) > 1);
            known.table.shrink_to_fit(hasher);
            known.swept = known.table.len();
        }
        let new = Arc::new(new);
        known.table.insert_unique(hash, Arc::clone(&new), hasher);
        new
    }
}

/// What a page says of a family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Description {
    family: Box<str>,
    kind: MetricType,
    help: Box<str>,
    unit: Box<str>,
}

/// What a page says.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Table {
    /// Hashes of the lines with metadata.
    lines: Box<[u64]>,
    /// Sorted by name.
    families: Box<[Family]>,
}

/// A family of a page: 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Family {
    description: Arc<Description>,
    /// The first of the page's lines that speaks of it.
    line: u32,
}

/// A target's metadata by metric family; written by its scrapes and read by the API.
#[derive(Debug, Default)]
pub struct MetadataStore {
    descriptions: Arc<Descriptions>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    scrape: u64,
    /// What the last page said.
    table: Arc<Table>,
    /// What pages before it said, by name, and when they did so last.
    old: BTreeMap<Box<str>, (Arc<Description>, u64)>,
}

/// One family's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataEntry {
    pub metric: String,
    pub metadata: Metadata,
}

/// A part of the metadata, as a page says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Type(MetricType),
    Help(&'a str),
    Unit(&'a str),
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

    /// Takes a part; says whether that changes anything.
    fn set(&mut self, part: Part<'_>) -> bool {
        match part {
            Part::Type(kind) => std::mem::replace(&mut self.kind, kind) != kind,
            Part::Help(text) => replace(&mut self.help, text),
            Part::Unit(text) => replace(&mut self.unit, text),
        }
    }

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

impl Table {
    fn get(&self, name: &str) -> Option<&Arc<Description>> {
        let by_name = |known: &Family| (*known.description.family).cmp(name);
        let found = self.families.binary_search_by(by_name);
        found.ok().map(|at| &self.families[at].description)
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

    /// Begins to read a page.
    pub(crate) fn page(&self, media_type: MediaType) -> MetadataPage<'_> {
        MetadataPage {
            store: self,
            table: self.inner.lock().table.clone(),
            seed: media_type as u64,
            same: 0,
            new: None,
        }
    }

    /// A family's metadata.
    pub fn get(&self, family: &str) -> Option<Metadata> {
        let inner = self.inner.lock();
        inner.find(family).map(Description::metadata)
    }

    /// All families, in no order.
    pub fn list(&self) -> Vec<MetadataEntry> {
        let inner = self.inner.lock();
        let entries = inner.families().map(|known| MetadataEntry {
            metric: known.family.to_string(),
            metadata: known.metadata(),
        });
        entries.collect()
    }

    /// How many families there are.
    pub fn len(&self) -> usize {
        let inner = self.inner.lock();
        inner.table.families.len() + inner.old.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all texts, as if no other target had them.
    pub fn size_bytes(&self) -> usize {
        let inner = self.inner.lock();
        let size =
            |said: &Description| said.help.len() + said.unit.len() + said.kind.as_str().len();
        inner.families().map(size).sum()
    }
}

impl Inner {
    fn find(&self, name: &str) -> Option<&Description> {
        let old = || self.old.get(name).map(|(description, _)| description);
        self.table.get(name).or_else(old).map(|known| &**known)
    }

    fn families(&self) -> impl Iterator<Item = &Description> {
        let table = self.table.families.iter().map(|known| &*known.description);
        table.chain(self.old.values().map(|(description, _)| &**description))
    }

    /// Replaces the table by what a page said.
    fn replace(&mut self, new: NewTable, descriptions: &Descriptions) {
        let last = self.scrape.saturating_sub(1);
        for Family { description, .. } in &self.table.families {
            if !new.families.contains_key(&description.family) {
                let name = description.family.clone();
                self.old.insert(name, (Arc::clone(description), last));
            }
        }
        self.old.retain(|name, _| !new.families.contains_key(name));
        let families = new.families.into_values().map(|new| Family {
            description: descriptions.families.intern(new.description),
            line: new.line,
        });
        self.table = descriptions.tables.intern(Table {
            families: families.collect(),
            lines: new.lines.into(),
        });
    }
}

/// The metadata of a page that is being read. Nothing of it reaches the store before
/// [`MetadataPage::end`].
pub(crate) struct MetadataPage<'a> {
    store: &'a MetadataStore,
    /// What the page before said.
    table: Arc<Table>,
    /// The same line means something else in another format.
    seed: u64,
    /// How many lines were the same as there, while all were.
    same: usize,
    new: Option<NewTable>,
}

/// What a page says that differs from the one before.
#[derive(Default)]
struct NewTable {
    lines: Vec<u64>,
    families: BTreeMap<Box<str>, NewFamily>,
}

struct NewFamily {
    description: Description,
    line: u32,
    /// Whether the page says something new of it.
    changed: bool,
}

impl MetadataPage<'_> {
    /// Whether the next line is what it was on the page before. Then it is done with.
    #[inline]
    pub(crate) fn is_known(&mut self, line: &[u8]) -> bool {
        self.new.is_none() && self.is_next(xxh3_64_with_seed(line, self.seed))
    }

    #[inline]
    fn is_next(&mut self, hash: u64) -> bool {
        let same = self.table.lines.get(self.same) == Some(&hash);
        self.same += usize::from(same);
        same
    }

    /// Notes what a line says of a family. Metadata that are no lines (protobuf) are their own.
    pub(crate) fn note(&mut self, line: Option<&[u8]>, name: &str, part: Part<'_>) {
        let hash = match (line, part) {
            (Some(line), _) => xxh3_64_with_seed(line, self.seed),
            (None, Part::Type(kind)) => self.hash_of(name, "type", kind.as_str()),
            (None, Part::Help(text)) => self.hash_of(name, "help", text),
            (None, Part::Unit(text)) => self.hash_of(name, "unit", text),
        };
        let store = self.store;
        let Some(new) = self.differs(hash) else {
            return;
        };
        if let Some(family) = new.families.get_mut(name) {
            family.changed |= family.description.set(part);
            return;
        }
        let line = new.lines.len() as u32 - 1;
        let known = store.inner.lock().find(name).cloned();
        let is_new = known.is_none();
        let mut description = known.unwrap_or_else(|| Description::of(name));
        let family = NewFamily {
            changed: description.set(part) || is_new,
            description,
            line,
        };
        new.families.insert(name.into(), family);
    }

    /// Notes a comment.
    pub(crate) fn note_comment(&mut self, line: Option<&[u8]>) {
        if let Some(line) = line {
            self.differs(xxh3_64_with_seed(line, self.seed));
        }
    }

    fn hash_of(&self, name: &str, what: &str, text: &str) -> u64 {
        let mut hasher = Xxh3::with_seed(self.seed);
        for text in [name, what, text] {
            hasher.update(text.as_bytes());
            hasher.update(&[0xff]);
        }
        hasher.digest()
    }

    /// Notes a line; the new table, unless all lines so far are the same as on the page before.
    fn differs(&mut self, line: u64) -> Option<&mut NewTable> {
        if self.new.is_none() && self.is_next(line) {
            return None;
        }
        let new = self
            .new
            .get_or_insert_with(|| NewTable::beginning(&self.table, self.same));
        new.lines.push(line);
        Some(new)
    }

    /// A family's metadata, and whether they changed with this page.
    pub(crate) fn current(&self, family: &str) -> Option<(Metadata, bool)> {
        let found = self.new.as_ref().and_then(|new| new.families.get(family));
        if let Some(found) = found {
            return Some((found.description.metadata(), found.changed));
        }
        Some((self.table.get(family)?.metadata(), false))
    }

    /// Gives the store what the page said. With `whole` it has been read to its end, and metadata grow
    /// old that were not on it.
    pub(crate) fn end(mut self, whole: bool) {
        if whole && self.new.is_none() && self.same < self.table.lines.len() {
            // The last lines are gone.
            self.new = Some(NewTable::beginning(&self.table, self.same));
        }
        let mut inner = self.store.inner.lock();
        if let Some(new) = self.new {
            inner.replace(new, &self.store.descriptions);
        }
        if whole {
            let scrape = inner.scrape;
            inner
                .old
                .retain(|_, (_, seen)| scrape - *seen <= KEPT_SCRAPES);
            inner.scrape += 1;
        }
    }
}

impl NewTable {
    /// What the first lines of a table say.
    fn beginning(table: &Table, lines: usize) -> NewTable {
        let said = |known: &&Family| (known.line as usize) < lines;
        let families = table.families.iter().filter(said).map(|known| {
            let family = NewFamily {
                description: Description::clone(&known.description),
                line: known.line,
                changed: false,
            };
            (known.description.family.clone(), family)
        });
        NewTable {
            lines: table.lines[..lines].to_vec(),
            families: families.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of `family type` pairs.
    fn page(store: &MetadataStore, families: &[(&str, MetricType)]) -> usize {
        let mut page = store.page(MediaType::Text);
        let mut read = 0;
        for (name, kind) in families {
            let line = format!("# TYPE {name} {kind}");
            if !page.is_known(line.as_bytes()) {
                page.note(Some(line.as_bytes()), name, Part::Type(*kind));
                read += 1;
            }
        }
        page.end(true);
        read
    }

    const A: (&str, MetricType) = ("a", MetricType::Counter);
    const B: (&str, MetricType) = ("b", MetricType::Gauge);
    const C: (&str, MetricType) = ("c", MetricType::Summary);

    #[test]
    fn kept_for_a_while() {
        let store = MetadataStore::default();
        page(&store, &[A, B]);
        assert_eq!((store.len(), store.size_bytes()), (2, "countergauge".len()));
        // The last page with `a` was the first one.
        for _ in 0..KEPT_SCRAPES {
            page(&store, &[B]);
            assert_eq!(store.get("a").unwrap().metric_type, MetricType::Counter);
        }
        page(&store, &[B]);
        assert_eq!(store.get("a"), None);
        assert_eq!(store.len(), 1);
        // One that comes back is as new again.
        page(&store, &[A, B]);
        page(&store, &[B]);
        page(&store, &[A, B]);
        for _ in 0..3 * KEPT_SCRAPES {
            assert_eq!(page(&store, &[A, B]), 0);
        }
        assert_eq!(store.len(), 2);
    }

    #[test]
    fn only_what_differs_is_read() {
        let store = MetadataStore::default();
        assert_eq!(page(&store, &[A, B, C]), 3);
        assert_eq!(page(&store, &[A, B, C]), 0);
        assert_eq!(page(&store, &[A, C]), 1, "c stands elsewhere");
        assert_eq!(page(&store, &[A, C]), 0);
        assert_eq!(page(&store, &[A]), 0, "c is gone");
        assert_eq!(store.list().len(), 3);
        let other = ("a", MetricType::Gauge);
        assert_eq!(page(&store, &[other, B, C]), 3);
        assert_eq!(store.get("a").unwrap().metric_type, MetricType::Gauge);
        assert_eq!(store.len(), 3);
    }

    #[test]
    fn what_a_page_says_on_top_of_what_is_known() {
        let store = MetadataStore::default();
        let mut first = store.page(MediaType::Text);
        first.note(Some(b"# HELP a h"), "a", Part::Help("h"));
        first.note_comment(Some(b"# x"));
        assert!(first.current("a").unwrap().1);
        // The page fails: what it said is known all the same.
        first.end(false);
        assert_eq!(store.get("a").unwrap().help, "h");
        let mut second = store.page(MediaType::Text);
        assert!(second.is_known(b"# HELP a h") && second.is_known(b"# x"));
        assert!(!second.current("a").unwrap().1);
        second.note(Some(b"# TYPE a gauge"), "a", Part::Type(MetricType::Gauge));
        let (metadata, changed) = second.current("a").unwrap();
        assert_eq!(
            (&*metadata.help, metadata.metric_type, changed),
            ("h", MetricType::Gauge, true)
        );
        second.end(true);
        // In another format nothing is known.
        assert!(!store.page(MediaType::OpenMetrics).is_known(b"# HELP a h"));
    }

    #[test]
    fn targets_share_what_they_say() {
        let all = Arc::new(Descriptions::default());
        let stores = [0, 1, 2].map(|_| MetadataStore::sharing(&all));
        page(&stores[0], &[A, B]);
        page(&stores[1], &[A, B]);
        page(&stores[2], &[A, B, C]);
        let tables = stores
            .each_ref()
            .map(|store| store.inner.lock().table.clone());
        assert!(Arc::ptr_eq(&tables[0], &tables[1]));
        let first = |table: &Table| Arc::clone(&table.families[0].description);
        assert!(Arc::ptr_eq(&first(&tables[0]), &first(&tables[2])));
        page(&stores[1], &[("a", MetricType::Gauge), B]);
        assert_eq!(stores[0].get("a").unwrap().metric_type, MetricType::Counter);
        assert_eq!(stores[1].get("a").unwrap().metric_type, MetricType::Gauge);
    }

    #[test]
    fn what_nobody_has_is_forgotten() {
        let all = Arc::new(Descriptions::default());
        let store = MetadataStore::sharing(&all);
        for i in 0..FIRST_SWEEP * 5 {
            let mut page = store.page(MediaType::Text);
            page.note(None, "a", Part::Help(&i.to_string()));
            page.end(true);
        }
        assert!(all.tables.known.lock().table.len() <= FIRST_SWEEP);
        // Those of tables that wait for their sweep wait too.
        assert!(all.families.known.lock().table.len() <= 3 * FIRST_SWEEP);
        let last = (FIRST_SWEEP * 5 - 1).to_string();
        assert_eq!(store.get("a").unwrap().help, last);
    }

    #[test]
    fn metadata_that_are_no_lines() {
        let store = MetadataStore::default();
        for _ in 0..2 {
            let mut page = store.page(MediaType::Protobuf);
            page.note(None, "a", Part::Help("h"));
            page.note(None, "a", Part::Type(MetricType::Gauge));
            page.end(true);
        }
        let first = store.inner.lock().table.clone();
        assert_eq!(first.lines.len(), 2);
        let mut page = store.page(MediaType::Protobuf);
        page.note(None, "a", Part::Help("h"));
        assert!(page.new.is_none());
        page.note(None, "a", Part::Help("other"));
        page.end(true);
        assert_eq!(store.get("a").unwrap().help, "other");
    }
}
