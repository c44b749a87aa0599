//! The inverted index of the head: label pairs to series.
//!
//! Every `name=value` pair is stored once and has a number; a series is a list of pair numbers, and a
//! pair has the sorted list of its series. Pairs whose series are all gone are freed, their numbers
//! used again.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use model::Labels;
use parking_lot::Mutex;

use super::postings::Postings;

/// A label name and its values.
pub struct Name {
    pub text: Box<str>,
    /// Pairs of this name, in no order.
    pub pairs: Vec<u32>,
    /// The pairs sorted by value, as of a moment when there were this many.
    sorted: Mutex<Option<Arc<[u32]>>>,
}

/// A label name with one of its values.
pub struct Pair {
    pub name: u32,
    pub value: Box<str>,
    pub series: Postings,
}

/// The index; see the module.
#[derive(Default)]
pub struct LabelIndex {
    names: Vec<Name>,
    by_name: HashMap<Box<str>, u32>,
    pairs: Vec<Pair>,
    by_pair: HashTable<u32>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
    all: Vec<u32>,
}

impl LabelIndex {
    /// The number of a name.
    pub fn name_id(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// A name by its number.
    pub fn name(&self, id: u32) -> &Name {
        &self.names[id as usize]
    }

    /// All names, some of which may have no pairs any more.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// A pair by its number.
    #[inline]
    pub fn pair(&self, id: u32) -> &Pair {
        &self.pairs[id as usize]
    }

    /// The text of a pair.
    #[inline]
    pub fn text(&self, id: u32) -> (&str, &str) {
        let pair = self.pair(id);
        (&self.names[pair.name as usize].text, &pair.value)
    }

    /// The number of a pair.
    pub fn pair_id(&self, name: u32, value: &str) -> Option<u32> {
        let hash = self.hasher.hash_one((name, value));
        self.by_pair
            .find(hash, |id| {
                let pair = &self.pairs[*id as usize];
                pair.name == name && *pair.value == *value
            })
            .copied()
    }

    /// How many pairs there are.
    pub fn pair_count(&self) -> usize {
        self.pairs.len() - self.free.len()
    }

    /// Bytes of the pairs and of the postings.
    pub fn bytes(&self) -> (usize, usize) {
        let texts: usize = self.pairs.iter().map(|pair| pair.value.len()).sum();
        let lists: usize = self
            .names
            .iter()
            .map(|name| name.pairs.capacity() * 4)
            .sum();
        let table = self.by_pair.allocation_size();
        let postings: usize = self.pairs.iter().map(|pair| pair.series.bytes()).sum();
        (
            self.pairs.capacity() * size_of::<Pair>() + texts + lists + table,
            postings + self.all.capacity() * 4,
        )
    }

    /// All series, sorted.
    pub fn all(&self) -> &[u32] {
        &self.all
    }

    /// Enters a series and writes the numbers of its pairs, in the order of the labels, to `pairs`.
    pub fn insert(&mut self, series: u32, labels: &Labels, pairs: &mut Vec<u32>) {
        pairs.clear();
        for (name, value) in labels {
            let id = self.intern(name, value);
            self.pairs[id as usize].series.insert(series);
            pairs.push(id);
        }
        match self.all.last() {
            Some(last) if *last >= series => {
                if let Err(at) = self.all.binary_search(&series) {
                    self.all.insert(at, series);
                }
            }
            _ => self.all.push(series),
        }
    }

    fn intern(&mut self, name: &str, value: &str) -> u32 {
        let name_id = match self.by_name.get(name) {
            Some(id) => *id,
            None => {
                let id = self.names.len() as u32;
                self.names.push(Name {
                    text: name.into(),
                    pairs: Vec::new(),
                    sorted: Mutex::new(None),
                });
                self.by_name.insert(name.into(), id);
                id
            }
        };
        if let Some(id) = self.pair_id(name_id, value) {
            return id;
        }
        let pair = Pair {
            name: name_id,
            value: value.into(),
            series: Postings::default(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.pairs[id as usize] = pair;
                id
            }
            None => {
                self.pairs.push(pair);
                self.pairs.len() as u32 - 1
            }
        };
        let hash = self.hasher.hash_one((name_id, value));
        let (pairs, hasher) = (&self.pairs, &self.hasher);
        self.by_pair.insert_unique(hash, id, |id| {
            let pair = &pairs[*id as usize];
            hasher.hash_one((pair.name, &*pair.value))
        });
        self.names[name_id as usize].pairs.push(id);
        id
    }

    /// Takes out series that are gone. `dead` is sorted; `pairs` are the pairs they had.
    pub fn remove(&mut self, dead: &[u32], pairs: &[u32]) {
        let gone = |id: &u32| dead.binary_search(id).is_ok();
        self.all.retain(|id| !gone(id));
        let mut names = Vec::new();
        for id in pairs {
            let pair = &mut self.pairs[*id as usize];
            pair.series.retain(|id| !gone(&id));
            if !pair.series.as_slice().is_empty() {
                continue;
            }
            let hash = self.hasher.hash_one((pair.name, &*pair.value));
            if let Ok(entry) = self.by_pair.find_entry(hash, |other| other == id) {
                entry.remove();
                names.push(pair.name);
                self.free.push(*id);
                pair.value = Box::default();
            }
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            let pairs = &self.pairs;
            let name = &mut self.names[name as usize];
            name.pairs
                .retain(|id| !pairs[*id as usize].series.as_slice().is_empty());
            *name.sorted.lock() = None;
        }
    }

    /// The pairs of a name, sorted by value.
    pub fn sorted(&self, name: &Name) -> Arc<[u32]> {
        let mut cached = name.sorted.lock();
        if let Some(sorted) = &*cached
            && sorted.len() == name.pairs.len()
        {
            return Arc::clone(sorted);
        }
        // Pairs are only added at the end, so what is sorted already stays a run for the sort.
        let mut sorted: Vec<u32> = match &*cached {
            Some(known) => {
                let mut sorted = known.to_vec();
                sorted.extend_from_slice(&name.pairs[known.len()..]);
                sorted
            }
            None => name.pairs.clone(),
        };
        sorted.sort_by(|a, b| self.pair(*a).value.cmp(&self.pair(*b).value));
        let sorted: Arc<[u32]> = sorted.into();
        *cached = Some(Arc::clone(&sorted));
        sorted
    }
}
