//! Answers remembered for names seen lately (statsd_exporter `pkg/mappercache`).

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::EventType;

/// What gives way once the cache is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// What was asked for the longest time ago.
    Lru,
    /// Anything: cheaper to keep.
    Random,
}

/// A bounded map from a name and a type to an answer.
pub(crate) struct Cache<V> {
    capacity: usize,
    eviction: Eviction,
    hasher: FixedState,
    /// Numbers of slots.
    table: HashTable<usize>,
    slots: Vec<Slot<V>>,
    /// Ends of the list by age, for LRU.
    newest: usize,
    oldest: usize,
    random: u64,
}

struct Slot<V> {
    name: Box<str>,
    event_type: EventType,
    answer: Arc<V>,
    newer: usize,
    older: usize,
}

const NONE: usize = usize::MAX;

impl<V> Cache<V> {
    /// A cache for so many answers; 0 remembers nothing.
    pub(crate) fn new(capacity: usize, eviction: Eviction) -> Cache<V> {
        Cache {
            capacity,
            eviction,
            hasher: FixedState::with_seed(0x5747_5344),
            table: HashTable::new(),
            slots: Vec::new(),
            newest: NONE,
            oldest: NONE,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.slots.clear();
        (self.newest, self.oldest) = (NONE, NONE);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Where the answer is, for [`Cache::at`]; good until the next change.
    pub(crate) fn find(&mut self, name: &str, event_type: EventType) -> Option<usize> {
        let hash = self.hasher.hash_one((name, event_type as u8));
        let slots = &self.slots;
        let found = self.table.find(hash, |at| {
            slots[*at].event_type == event_type && *slots[*at].name == *name
        });
        let at = *found?;
        if self.eviction == Eviction::Lru && at != self.newest {
            self.unlink(at);
            self.link(at);
        }
        Some(at)
    }

    pub(crate) fn at(&self, at: usize) -> &V {
        &self.slots[at].answer
    }

    /// Remembers an answer to a name that is not in the cache.
    pub(crate) fn insert(&mut self, name: &str, event_type: EventType, answer: Arc<V>) {
        if self.capacity == 0 {
            return;
        }
        let slot = Slot {
            name: name.into(),
            event_type,
            answer,
            newer: NONE,
            older: NONE,
        };
        let at = if self.slots.len() < self.capacity {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let at = self.victim();
            self.unlink(at);
            let old = &self.slots[at];
            let hash = self.hasher.hash_one((&*old.name, old.event_type as u8));
            if let Ok(entry) = self.table.find_entry(hash, |other| *other == at) {
                entry.remove();
            }
            self.slots[at] = slot;
            at
        };
        self.link(at);
        let (hasher, slots) = (&self.hasher, &self.slots);
        let hash = |at: &usize| hasher.hash_one((&*slots[*at].name, slots[*at].event_type as u8));
        self.table.insert_unique(hash(&at), at, hash);
    }

    fn victim(&mut self) -> usize {
        match self.eviction {
            Eviction::Lru => self.oldest,
            Eviction::Random => {
                // xorshift: nobody's secret depends on it.
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                (self.random % self.slots.len() as u64) as usize
            }
        }
    }

    fn unlink(&mut self, at: usize) {
        let (newer, older) = (self.slots[at].newer, self.slots[at].older);
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older].newer = newer,
        }
    }

    fn link(&mut self, at: usize) {
        self.slots[at].newer = NONE;
        self.slots[at].older = self.newest;
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest].newer = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'c, V>(cache: &'c mut Cache<V>, name: &str, event_type: EventType) -> Option<&'c V> {
        let at = cache.find(name, event_type)?;
        Some(cache.at(at))
    }

    #[test]
    fn the_least_recently_used_gives_way() {
        let mut cache = Cache::new(2, Eviction::Lru);
        cache.insert("a", EventType::Counter, Arc::new(1));
        cache.insert("a", EventType::Gauge, Arc::new(2));
        assert_eq!(get(&mut cache, "a", EventType::Counter), Some(&1));
        cache.insert("b", EventType::Counter, Arc::new(3));
        assert!(get(&mut cache, "a", EventType::Gauge).is_none());
        assert_eq!(get(&mut cache, "a", EventType::Counter), Some(&1));
        assert_eq!(get(&mut cache, "b", EventType::Counter), Some(&3));
        assert_eq!(cache.len(), 2);
        cache.clear();
        assert!(get(&mut cache, "b", EventType::Counter).is_none());
    }

    #[test]
    fn bounded_and_right_under_many_names() {
        for eviction in [Eviction::Lru, Eviction::Random] {
            let mut cache = Cache::new(50, eviction);
            for i in 0..10_000_u32 {
                let name = format!("n{}", (i * 7919) % 120);
                match get(&mut cache, &name, EventType::Gauge) {
                    Some(answer) => assert_eq!(*answer, name),
                    None => cache.insert(&name, EventType::Gauge, Arc::new(name.clone())),
                }
            }
            assert_eq!(cache.len(), 50);
        }
        let mut none = Cache::new(0, Eviction::Lru);
        none.insert("a", EventType::Gauge, Arc::new(1));
        assert!(get(&mut none, "a", EventType::Gauge).is_none());
    }
}
