//! What a target's series are called in the store.
//!
//! The key of a series is a hash of its bytes on the page, as they are spelled there. Neither the bytes
//! nor the labels are kept: 24 bytes are all a series costs here.
//!
//! The series stand in the order of the page, because most pages list the same series in the same order
//! every time: a line is then found where the one before it ended, without a search. Only for a page
//! that differs from the last one there is an index, until pages have been alike for a while.

use hashbrown::HashTable;
use storage::SeriesRef;
use xxhash_rust::xxh3::xxh3_128;

/// The index goes after so many scrapes that did not need it.
const CALM_SCRAPES: u8 = 3;

/// The store is told so many lines at a time what comes next.
pub const RUN: usize = 64;

/// The series of one target.
#[derive(Debug, Default)]
pub struct SeriesCache {
    /// Those on the page so far, in its order; then those that may come yet.
    entries: Vec<Entry>,
    /// How many of the entries were on this page.
    seen: usize,
    /// Where entries stand; there is one while pages change.
    index: Option<HashTable<u32>>,
    /// Scrapes since the index was needed.
    calm: u8,
    needed: bool,
    /// Whether the number of the scrape is odd.
    odd: bool,
    /// Entries that are watched for going away, as of the last scrape and of this one.
    tracked_before: usize,
    tracked_now: usize,
    /// Those among `tracked_now` that were tracked in the last scrape too.
    carried: usize,
    /// How many entries there were at the end of the last scrape that succeeded.
    successful: usize,
    /// Whether entries were added in this scrape: if it fails, they are taken back.
    added: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    /// More of the hash, and below [`FLAGS`] what is known of the series.
    rest: u64,
    reference: SeriesRef,
}

/// Tracked in the last scrape with an even and with an odd number.
const TRACKED: [u64; 2] = [1, 2];
const ADDED: u64 = 4;
const FLAGS: u64 = TRACKED[0] | TRACKED[1] | ADDED;

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

/// Where a known series stands; valid until the next one is seen or added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

/// 125 bits of a hash.
type Key = (u64, u64);

#[inline]
fn key_of(series: &[u8]) -> Key {
    let hash = xxh3_128(series);
    (hash as u64, (hash >> 64) as u64 & !FLAGS)
}

impl Entry {
    #[inline]
    fn is(&self, key: Key) -> bool {
        self.hash == key.0 && self.rest & !FLAGS == key.1
    }
}

impl SeriesCache {
    /// Looks a series up by its bytes.
    #[inline]
    pub fn find(&mut self, series: &[u8]) -> Option<Slot> {
        let key = key_of(series);
        match self.entries.get(self.seen) {
            Some(next) if next.is(key) => Some(Slot(self.seen)),
            _ => self.search(key).map(Slot),
        }
    }

    #[cold]
    fn search(&mut self, key: Key) -> Option<usize> {
        // One line less than the last time is no reason for an index.
        if self.index.is_none() && self.entries.get(self.seen + 1).is_some_and(|e| e.is(key)) {
            return Some(self.seen + 1);
        }
        self.needed = true;
        let entries = &self.entries;
        let index = self.index.get_or_insert_with(|| index_of(entries));
        let found = index.find(key.0, |at| entries[*at as usize].is(key));
        found.map(|at| *at as usize)
    }

    /// Notes that a series is on the page, and says what is known of it and where it stands now.
    #[inline]
    pub fn see(&mut self, slot: Slot) -> (Slot, Known) {
        let again = slot.0 < self.seen;
        let mut slot = slot;
        if !again {
            if slot.0 > self.seen {
                self.swap(self.seen, slot.0);
                slot = Slot(self.seen);
            }
            self.seen += 1;
            // From the scrape before the last one.
            self.entries[slot.0].rest &= !TRACKED[usize::from(self.odd)];
        }
        let known = match self.entries[slot.0].reference {
            DROPPED => Known::Dropped,
            reference => Known::Series { reference, again },
        };
        (slot, known)
    }

    /// Exchanges the places of two entries.
    fn swap(&mut self, a: usize, b: usize) {
        if let Some(index) = &mut self.index {
            let [old_a, old_b] = [a, b].map(|at| (self.entries[at].hash, at as u32));
            for ((hash, from), to) in [
                (old_a, u32::MAX),
                (old_b, a as u32),
                ((old_a.0, u32::MAX), b as u32),
            ] {
                if let Some(at) = index.find_mut(hash, |at| *at == from) {
                    *at = to;
                }
            }
        }
        self.entries.swap(a, b);
    }

    /// What the store calls a series and those that probably follow it, if it is the first of a run of
    /// [`RUN`] lines; where there is no such series, 0.
    #[inline]
    pub fn coming(&self, slot: Slot) -> Option<[SeriesRef; RUN]> {
        if !slot.0.is_multiple_of(RUN) {
            return None;
        }
        let mut references = [0; RUN];
        for (reference, entry) in references.iter_mut().zip(self.entries.get(slot.0..)?) {
            if entry.reference != DROPPED {
                *reference = entry.reference;
            }
        }
        Some(references)
    }

    /// Watches a known series for going away.
    #[inline]
    pub fn track(&mut self, slot: Slot) {
        let (now, before) = self.tracked_bits();
        let Some(entry) = self.entries.get_mut(slot.0) else {
            return;
        };
        if entry.rest & now == 0 {
            entry.rest |= now;
            self.tracked_now += 1;
            self.carried += usize::from(entry.rest & before != 0);
        }
    }

    /// The flags of this scrape and of the last one.
    #[inline]
    fn tracked_bits(&self) -> (u64, u64) {
        let odd = usize::from(self.odd);
        (TRACKED[odd], TRACKED[1 - odd])
    }

    /// Notes that the store calls a known series otherwise now.
    pub fn rename(&mut self, slot: Slot, reference: SeriesRef) {
        if let Some(entry) = self.entries.get_mut(slot.0) {
            entry.reference = reference;
        }
    }

    /// Adds a series by its bytes, watched for going away if `track` says so.
    pub fn add(&mut self, series: &[u8], reference: SeriesRef, track: bool) {
        let now = if track { self.tracked_bits().0 } else { 0 };
        self.tracked_now += usize::from(track);
        self.added = true;
        self.insert(series, reference, now | ADDED);
    }

    /// Adds a series that relabelling drops.
    pub fn add_dropped(&mut self, series: &[u8]) {
        self.insert(series, DROPPED, 0);
    }

    fn insert(&mut self, series: &[u8], reference: SeriesRef, flags: u64) {
        let (hash, rest) = key_of(series);
        let last = self.entries.len();
        self.entries.push(Entry {
            hash,
            rest: rest | flags,
            reference,
        });
        if let Some(index) = &mut self.index {
            let entries = &self.entries;
            index.insert_unique(hash, last as u32, |at| entries[*at as usize].hash);
        }
        // Its place is behind the line before it.
        if last > self.seen {
            self.swap(self.seen, last);
        }
        self.seen += 1;
    }

    /// The series that were tracked in the last scrape and not in this one.
    pub fn vanished(&self) -> Vec<SeriesRef> {
        if self.carried == self.tracked_before {
            return Vec::new();
        }
        let (now, before) = self.tracked_bits();
        let (seen, others) = self.entries.split_at(self.seen);
        let is_gone = |entry: &&Entry| entry.rest & (now | before) == before;
        let unseen = others.iter().filter(|entry| entry.rest & before != 0);
        let mut gone = references(seen.iter().filter(is_gone).chain(unseen));
        // The same series in two spellings is gone only once neither is there.
        for entry in seen.iter().filter(|entry| entry.rest & now != 0) {
            if let Ok(at) = gone.binary_search(&entry.reference) {
                gone.remove(at);
            }
        }
        gone
    }

    /// Takes this scrape back, because it failed: its new series are forgotten, and all series of the
    /// scrape before it have vanished.
    pub fn all_vanished(&mut self) -> Vec<SeriesRef> {
        if std::mem::take(&mut self.added) {
            let seen = &self.entries[..self.seen];
            let kept = seen.iter().filter(|entry| entry.rest & ADDED == 0).count();
            self.entries.retain(|entry| entry.rest & ADDED == 0);
            self.seen = kept;
            self.index = None;
        }
        let (now, before) = self.tracked_bits();
        let mut gone = Vec::new();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            let tracked = if at < self.seen { now | before } else { before };
            if entry.rest & tracked != 0 {
                gone.push(entry.reference);
            }
            entry.rest &= !FLAGS;
        }
        (self.tracked_now, self.tracked_before, self.carried) = (0, 0, 0);
        gone.sort_unstable();
        gone.dedup();
        gone
    }

    /// The series of the last scrape, for when there is none any more.
    pub fn last_tracked(&self) -> Vec<SeriesRef> {
        let (_, before) = self.tracked_bits();
        references(self.entries.iter().filter(|entry| entry.rest & before != 0))
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
        if flush && self.seen < self.entries.len() {
            self.entries.truncate(self.seen);
            self.index = None;
        }
        self.calm = match self.needed {
            true => 0,
            false => self.calm.saturating_add(1),
        };
        if self.calm >= CALM_SCRAPES {
            self.index = None;
            if self.entries.capacity() > self.entries.len() + self.entries.len() / 8 {
                self.entries.shrink_to_fit();
            }
        }
        if std::mem::take(&mut self.added) {
            for entry in &mut self.entries {
                entry.rest &= !ADDED;
            }
        }
        self.needed = false;
        self.seen = 0;
        self.odd = !self.odd;
        self.tracked_before = std::mem::take(&mut self.tracked_now);
        self.carried = 0;
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

fn index_of(entries: &[Entry]) -> HashTable<u32> {
    let mut index = HashTable::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        index.insert_unique(entry.hash, at as u32, |at| entries[*at as usize].hash);
    }
    index
}

/// What the store calls these, each once, sorted.
fn references<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<SeriesRef> {
    let mut references: Vec<SeriesRef> = entries.map(|entry| entry.reference).collect();
    references.sort_unstable();
    references.dedup();
    references
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One scrape: the series on the page, and what vanished.
    fn scrape(cache: &mut SeriesCache, page: &[(&str, SeriesRef)]) -> Vec<SeriesRef> {
        for (series, reference) in page {
            match cache.find(series.as_bytes()) {
                Some(slot) => {
                    let (slot, _) = cache.see(slot);
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
        assert_eq!(size_of::<Entry>(), 24);
    }

    #[test]
    fn what_comes_is_told_once_a_run() {
        let mut cache = SeriesCache::default();
        let names: Vec<String> = (0..RUN + 2).map(|i| format!("series_{i}")).collect();
        for (i, name) in names.iter().enumerate() {
            match i {
                1 => cache.add_dropped(name.as_bytes()),
                _ => cache.add(name.as_bytes(), i as u64 + 1, true),
            }
        }
        let first = cache.coming(Slot(0)).unwrap();
        assert_eq!(first[..3], [1, 0, 3]);
        assert_eq!(first[RUN - 1], RUN as u64);
        let second = cache.coming(Slot(RUN)).unwrap();
        assert_eq!(second[..3], [RUN as u64 + 1, RUN as u64 + 2, 0]);
        assert!((1..RUN).all(|at| cache.coming(Slot(at)).is_none()));
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
        let known = |again| Known::Series {
            reference: 7,
            again,
        };
        assert_eq!(cache.see(slot).1, known(false));
        assert_eq!(cache.see(slot).1, known(true));
        let dropped = cache.find(b"b").unwrap();
        assert_eq!(cache.see(dropped).1, Known::Dropped);
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
        let (slot, _) = cache.see(slot);
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

    /// Pages in any order, with series that come, go, stand twice or have timestamps, and that fail: as a
    /// plain map says.
    #[test]
    fn any_pages() {
        use std::collections::{BTreeMap, BTreeSet};
        let mut random = 1u64;
        let mut below = |n: u64| {
            random = random
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (random >> 33) % n
        };
        let mut cache = SeriesCache::default();
        let mut known: BTreeMap<u64, SeriesRef> = BTreeMap::new();
        let mut tracked: BTreeSet<SeriesRef> = BTreeSet::new();
        let mut page: Vec<u64> = (0..40).collect();
        let mut next_reference = 1;
        for scrape in 0..3000 {
            match below(6) {
                0 => {
                    let at = below(page.len() as u64) as usize;
                    page.remove(at);
                }
                1 => page.insert(below(page.len() as u64 + 1) as usize, below(100)),
                2 => page.reverse(),
                3 => page.rotate_left(5),
                _ => {}
            }
            if page.len() < 20 {
                page.extend(100..130);
            }
            let fails = below(10) == 0;
            let mut seen = BTreeSet::new();
            let mut added = BTreeSet::new();
            let mut now = BTreeSet::new();
            for series in &page {
                let bytes = format!("series_{series}");
                let track = (series + scrape / 50) % 7 != 0;
                let slot = cache.find(bytes.as_bytes());
                assert_eq!(
                    slot.is_some(),
                    known.contains_key(series),
                    "{scrape} {series}"
                );
                match slot {
                    Some(slot) => {
                        let (slot, found) = cache.see(slot);
                        let reference = known[series];
                        let again = !seen.insert(*series);
                        assert_eq!(
                            found,
                            Known::Series { reference, again },
                            "{scrape} {series}"
                        );
                        if track {
                            cache.track(slot);
                        }
                    }
                    None => {
                        cache.add(bytes.as_bytes(), next_reference, track);
                        known.insert(*series, next_reference);
                        seen.insert(*series);
                        added.insert(*series);
                        next_reference += 1;
                    }
                }
                if track {
                    now.insert(known[series]);
                }
            }
            if fails {
                let gone: BTreeSet<_> = tracked.union(&now).copied().collect();
                let expected: Vec<_> = gone
                    .into_iter()
                    .filter(|r| known.iter().all(|(s, k)| k != r || !added.contains(s)))
                    .collect();
                assert_eq!(cache.all_vanished(), expected, "{scrape}");
                known.retain(|series, _| !added.contains(series));
                tracked.clear();
                cache.end_scrape(false);
            } else {
                let expected: Vec<_> = tracked.difference(&now).copied().collect();
                assert_eq!(cache.vanished(), expected, "{scrape}");
                known.retain(|series, _| seen.contains(series));
                tracked = now;
                cache.end_scrape(true);
                assert_eq!(
                    cache.last_tracked(),
                    tracked.iter().copied().collect::<Vec<_>>()
                );
            }
            assert_eq!(cache.len(), known.len(), "{scrape}");
        }
    }

    #[test]
    fn like_pages_need_no_index() {
        let mut cache = SeriesCache::default();
        let all: Vec<String> = (0..500).map(|i| format!("s{i}")).collect();
        let page: Vec<(&str, SeriesRef)> = all.iter().zip(1..).map(|(s, r)| (&**s, r)).collect();
        for _ in 0..5 {
            scrape(&mut cache, &page);
        }
        assert!(cache.index.is_none() && cache.entries.capacity() <= 512);
        // One less, and the rest in order as before.
        let less: Vec<_> = page.iter().copied().filter(|(_, r)| *r != 100).collect();
        assert_eq!(scrape(&mut cache, &less), [100]);
        assert!(cache.index.is_none());
        // One more in the middle.
        scrape(&mut cache, &page);
        assert!(cache.index.is_some());
        for _ in 0..5 {
            scrape(&mut cache, &page);
        }
        assert!(cache.index.is_none());
        assert_eq!(cache.entries[99].reference, 100);
    }
}
