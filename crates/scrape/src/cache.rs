//! What a target's series are called in the store.
//!
//! The key of a series is a 128-bit hash of its bytes on the page, as they are spelled there. Neither
//! the bytes nor the labels are kept: 32 bytes and a byte of the table are all a series costs here. A
//! generation, counted up with every scrape, tells what was seen when.

use hashbrown::HashTable;
use storage::SeriesRef;
use xxhash_rust::xxh3::xxh3_128;

/// The series of one target.
#[derive(Debug)]
pub struct SeriesCache {
    entries: HashTable<Entry>,
    generation: u32,
    /// Entries that are watched for going away, as of the last generation and of this one.
    tracked_before: usize,
    tracked_now: usize,
    /// Those among `tracked_now` that were tracked in the last generation too.
    carried: usize,
    /// How many entries there were at the end of the last scrape that succeeded.
    successful: usize,
    /// Keys added in this scrape: if it fails, they are taken back.
    added: Vec<u128>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u128,
    reference: SeriesRef,
    /// The generation in which it was seen last, and the one in which it was tracked last; 0 is never.
    seen: u32,
    tracked: u32,
}

/// The reference of series that relabelling drops.
const DROPPED: SeriesRef = SeriesRef::MAX;

/// What is known of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Relabelling drops it.
    Dropped,
    /// The store calls it so.
    Series {
        reference: SeriesRef,
        /// It was on this page before.
        again: bool,
    },
}

/// Where a known series stands; valid until the next one is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

impl Default for SeriesCache {
    fn default() -> SeriesCache {
        SeriesCache {
            entries: HashTable::new(),
            // Vanished series are those of the generation before; 0 is for never.
            generation: 2,
            tracked_before: 0,
            tracked_now: 0,
            carried: 0,
            successful: 0,
            added: Vec::new(),
        }
    }
}

impl SeriesCache {
    /// Looks a series up by its bytes.
    #[inline]
    pub fn find(&self, series: &[u8]) -> Option<Slot> {
        let key = xxh3_128(series);
        let slot = self
            .entries
            .find_bucket_index(key as u64, |entry| entry.key == key);
        slot.map(Slot)
    }

    /// Notes that a series is on the page, and says what is known of it.
    #[inline]
    pub fn see(&mut self, slot: Slot) -> Option<Known> {
        let generation = self.generation;
        let entry = self.entries.get_bucket_mut(slot.0)?;
        let again = std::mem::replace(&mut entry.seen, generation) == generation;
        Some(match entry.reference {
            DROPPED => Known::Dropped,
            reference => Known::Series { reference, again },
        })
    }

    /// Watches a known series for going away.
    #[inline]
    pub fn track(&mut self, slot: Slot) {
        let generation = self.generation;
        let Some(entry) = self.entries.get_bucket_mut(slot.0) else {
            return;
        };
        let before = std::mem::replace(&mut entry.tracked, generation);
        if before != generation {
            self.tracked_now += 1;
            self.carried += usize::from(before == generation - 1);
        }
    }

    /// Notes that the store calls a known series otherwise now.
    pub fn rename(&mut self, slot: Slot, reference: SeriesRef) {
        if let Some(entry) = self.entries.get_bucket_mut(slot.0) {
            entry.reference = reference;
        }
    }

    /// Adds a series by its bytes, watched for going away if `track` says so.
    pub fn add(&mut self, series: &[u8], reference: SeriesRef, track: bool) {
        let tracked = if track { self.generation } else { 0 };
        self.tracked_now += usize::from(track);
        let key = self.insert(series, reference, tracked);
        self.added.push(key);
    }

    /// Adds a series that relabelling drops.
    pub fn add_dropped(&mut self, series: &[u8]) {
        self.insert(series, DROPPED, 0);
    }

    fn insert(&mut self, series: &[u8], reference: SeriesRef, tracked: u32) -> u128 {
        let key = xxh3_128(series);
        let entry = Entry {
            key,
            reference,
            seen: self.generation,
            tracked,
        };
        self.entries
            .insert_unique(key as u64, entry, |entry| entry.key as u64);
        key
    }

    /// The series that were tracked in the last scrape and not in this one.
    pub fn vanished(&self) -> Vec<SeriesRef> {
        if self.carried == self.tracked_before {
            return Vec::new();
        }
        let is_gone = |entry: &&Entry| entry.tracked == self.generation - 1;
        let mut gone: Vec<SeriesRef> = self
            .entries
            .iter()
            .filter(is_gone)
            .map(|entry| entry.reference)
            .collect();
        // The same series in two spellings is gone only once neither is there.
        gone.sort_unstable();
        gone.dedup();
        for entry in self
            .entries
            .iter()
            .filter(|entry| entry.tracked == self.generation)
        {
            if let Ok(at) = gone.binary_search(&entry.reference) {
                gone.remove(at);
            }
        }
        gone
    }

    /// Takes this scrape back, because it failed: its new series are forgotten, and all series of the
    /// scrape before it have vanished.
    pub fn all_vanished(&mut self) -> Vec<SeriesRef> {
        for key in std::mem::take(&mut self.added) {
            if let Ok(entry) = self
                .entries
                .find_entry(key as u64, |entry| entry.key == key)
            {
                entry.remove();
            }
        }
        let generation = self.generation;
        let mut gone = Vec::new();
        for entry in self.entries.iter_mut() {
            if entry.tracked >= generation - 1 {
                entry.tracked = 0;
                gone.push(entry.reference);
            }
        }
        (self.tracked_now, self.tracked_before, self.carried) = (0, 0, 0);
        gone.sort_unstable();
        gone.dedup();
        gone
    }

    /// The series of the last scrape, for when there is none any more.
    pub fn last_tracked(&self) -> Vec<SeriesRef> {
        let is_last = |entry: &&Entry| entry.tracked == self.generation - 1;
        let mut last: Vec<SeriesRef> = self
            .entries
            .iter()
            .filter(is_last)
            .map(|entry| entry.reference)
            .collect();
        last.sort_unstable();
        last.dedup();
        last
    }

    /// Ends a scrape. After one with a page (`flush`) what was not on it is forgotten; after others only
    /// if the cache has grown beyond measure, which is then reported by `true`.
    pub fn end_scrape(&mut self, flush: bool) -> bool {
        let mut flush = flush;
        let mut forced = false;
        if flush {
            self.successful = self.entries.len();
        } else if self.entries.len() > self.successful * 2 + 1000 {
            // A target whose labels vary in pages that fail would grow the cache for ever.
            flush = true;
            forced = true;
        }
        if flush {
            let generation = self.generation;
            self.entries.retain(|entry| entry.seen == generation);
            if self.entries.len() < self.entries.capacity() / 4 {
                self.entries.shrink_to_fit(|entry| entry.key as u64);
            }
        }
        self.generation = self.generation.wrapping_add(1).max(2);
        if self.generation == 2 {
            // After four billion scrapes: numbers of old generations must not come to life again.
            for entry in self.entries.iter_mut() {
                entry.seen = 0;
                entry.tracked = u32::from(entry.tracked == u32::MAX);
            }
        }
        self.tracked_before = std::mem::take(&mut self.tracked_now);
        self.carried = 0;
        self.added.clear();
        self.added.shrink_to(64);
        forced
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One scrape: the series on the page, and what vanished.
    fn scrape(cache: &mut SeriesCache, page: &[(&str, SeriesRef)]) -> Vec<SeriesRef> {
        for (series, reference) in page {
            match cache.find(series.as_bytes()) {
                Some(slot) => {
                    cache.see(slot);
                    cache.track(slot);
                }
                None => cache.add(series.as_bytes(), *reference, true),
            }
        }
        let gone = cache.vanished();
        cache.end_scrape(true);
        gone
    }

    #[test]
    fn entries_are_small() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    #[test]
    fn series_vanish_once() {
        let mut cache = SeriesCache::default();
        assert!(scrape(&mut cache, &[("a", 1), ("b", 2), ("c", 3)]).is_empty());
        assert!(scrape(&mut cache, &[("a", 1), ("b", 2), ("c", 3)]).is_empty());
        assert_eq!(scrape(&mut cache, &[("a", 1)]), [2, 3]);
        assert_eq!(cache.len(), 1);
        assert!(scrape(&mut cache, &[("a", 1), ("d", 4)]).is_empty());
        assert_eq!(scrape(&mut cache, &[]), [1, 4]);
        assert!(scrape(&mut cache, &[]).is_empty());
    }

    #[test]
    fn a_series_twice_on_a_page_is_told() {
        let mut cache = SeriesCache::default();
        cache.add(b"a", 7, true);
        cache.add_dropped(b"b");
        cache.end_scrape(true);
        let slot = cache.find(b"a").unwrap();
        let known = |again| {
            Some(Known::Series {
                reference: 7,
                again,
            })
        };
        assert_eq!(cache.see(slot), known(false));
        assert_eq!(cache.see(slot), known(true));
        let dropped = cache.find(b"b").unwrap();
        assert_eq!(cache.see(dropped), Some(Known::Dropped));
        assert_eq!(cache.find(b"c"), None);
        // Seen, but with a timestamp of its own: not tracked, so it is gone as a series to be watched.
        assert_eq!(cache.vanished(), [7]);
    }

    #[test]
    fn another_spelling_is_the_same_series() {
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &[("a{b=\"c\"}", 1)]);
        assert!(scrape(&mut cache, &[("a{b=\"c\",}", 1)]).is_empty());
        assert_eq!(scrape(&mut cache, &[]), [1]);
    }

    #[test]
    fn a_scrape_that_fails_is_taken_back() {
        let mut cache = SeriesCache::default();
        scrape(&mut cache, &[("a", 1), ("b", 2)]);
        let slot = cache.find(b"a").unwrap();
        cache.see(slot);
        cache.track(slot);
        cache.add(b"new", 3, true);
        assert_eq!(cache.all_vanished(), [1, 2]);
        cache.end_scrape(false);
        assert_eq!(cache.find(b"new"), None);
        assert!(cache.find(b"b").is_some(), "references are kept");
        assert!(
            scrape(&mut cache, &[("a", 1)]).is_empty(),
            "markers are written once"
        );
        assert_eq!(cache.last_tracked(), [1]);
    }

    #[test]
    fn failing_scrapes_do_not_grow_it_for_ever() {
        let mut cache = SeriesCache::default();
        let mut forced = 0;
        for i in 0..5000u64 {
            cache.add(i.to_string().as_bytes(), i + 1, false);
            forced += usize::from(cache.end_scrape(false));
        }
        assert!(forced > 0 && cache.len() <= 1001, "{}", cache.len());
    }
}
