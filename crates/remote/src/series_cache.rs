//! From the label bytes of a request to the series they name.

use hashbrown::HashTable;
use parking_lot::RwLock;
use storage::SeriesRef;
use xxhash_rust::xxh3::xxh3_128;

/// Tables of a half: a table that grows is copied while nobody can look anything up, so none is to
/// be very large.
const TABLES: usize = 16;
const PAGE: usize = 256;
/// So many entries a young half may always take before it turns old.
const ROTATE_AT_LEAST: usize = 1 << 16;

/// The key of a label set's bytes: a 128-bit hash. Among 10^9 series, the chance that two share one is
/// below 10^-20.
pub(crate) fn key(label_bytes: &[u8]) -> u128 {
    xxh3_128(label_bytes)
}

/// A cache in two halves: what is found in the old half moves to the young one, and when the young
/// half is full it becomes the old one. Series that nobody sends any more are forgotten that way.
///
/// Entries lie in the order in which they came. A sender's requests name its series in the same order
/// each time, so the next one is looked for behind the last one: among millions of series that is in the
/// processor's cache, where the table by key is not.
pub(crate) struct SeriesCache {
    halves: RwLock<Halves>,
}

#[derive(Default)]
struct Halves {
    young: Half,
    old: Half,
}

/// Where in the cache the next series is expected.
#[derive(Debug)]
pub(crate) struct Cursor(u32);

impl Default for Cursor {
    /// Nowhere.
    fn default() -> Cursor {
        Cursor(u32::MAX)
    }
}

struct Entry {
    key: [u64; 2],
    reference: SeriesRef,
}

/// Entries in pages, which do not move, and tables of their numbers.
#[derive(Default)]
struct Half {
    pages: Vec<Vec<Entry>>,
    tables: [HashTable<u32>; TABLES],
    /// Entries that are in a table.
    held: usize,
}

fn halved(key: u128) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}

impl Half {
    fn entry(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        self.pages.get(number / PAGE)?.get(number % PAGE)
    }

    fn has_key(&self, number: u32, key: [u64; 2]) -> bool {
        self.entry(number).is_some_and(|entry| entry.key == key)
    }

    fn number(&self, key: [u64; 2]) -> Option<u32> {
        self.tables[key[1] as usize % TABLES]
            .find(key[0], |number| self.has_key(*number, key))
            .copied()
    }

    /// Enters what is not there yet. Says the number, `None` once there are no more numbers.
    fn push(&mut self, key: [u64; 2], reference: SeriesRef) -> Option<u32> {
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let last = self.pages.len() - 1;
        let number = u32::try_from(last * PAGE + self.pages[last].len()).ok()?;
        self.pages[last].push(Entry { key, reference });
        let pages = &self.pages;
        self.tables[key[1] as usize % TABLES].insert_unique(key[0], number, |number| {
            let number = *number as usize;
            pages[number / PAGE][number % PAGE].key[0]
        });
        self.held += 1;
        Some(number)
    }

    /// Takes an entry out of its table.
    fn take(&mut self, key: [u64; 2]) -> Option<SeriesRef> {
        let pages = &self.pages;
        let found = self.tables[key[1] as usize % TABLES].find_entry(key[0], |number| {
            let number = *number as usize;
            pages[number / PAGE][number % PAGE].key == key
        });
        let (number, _) = found.ok()?.remove();
        self.held -= 1;
        self.entry(number).map(|entry| entry.reference)
    }
}

impl SeriesCache {
    pub(crate) fn new() -> SeriesCache {
        SeriesCache {
            halves: RwLock::new(Halves::default()),
        }
    }

    /// Looks series up that follow each other in a request, 0 for those that are not known. The
    /// cursor is the request's.
    pub(crate) fn find(&self, keys: &[u128], cursor: &mut Cursor, found: &mut Vec<SeriesRef>) {
        found.clear();
        let halves = self.halves.read();
        let young = &halves.young;
        for key in keys.iter().map(|key| halved(*key)) {
            let number = if young.has_key(cursor.0, key) {
                Some(cursor.0)
            } else {
                young.number(key)
            };
            let entry = number.and_then(|number| young.entry(number));
            found.push(entry.map_or(0, |entry| entry.reference));
            if let Some(number) = number {
                cursor.0 = number.saturating_add(1);
            }
        }
        let in_old = halves.old.held > 0 && found.contains(&0);
        drop(halves);
        if in_old {
            self.rejuvenate(keys, cursor, found);
        }
    }

    /// Moves to the young half what of the keys is in the old one.
    fn rejuvenate(&self, keys: &[u128], cursor: &mut Cursor, found: &mut [SeriesRef]) {
        let mut halves = self.halves.write();
        let Halves { young, old } = &mut *halves;
        let missing = found.iter_mut().zip(keys).filter(|(found, _)| **found == 0);
        for (found, key) in missing {
            let key = halved(*key);
            if let Some(reference) = old.take(key) {
                *found = reference;
                cursor.0 = young
                    .push(key, reference)
                    .map_or(u32::MAX, |number| number.saturating_add(1));
            }
        }
        if old.held == 0 {
            *old = Half::default();
        }
    }

    /// Notes series and their keys, in the order in which they came. `stored` is how many series the
    /// store has: of what is noted for many more, most are gone.
    pub(crate) fn put(&self, series: &[(u128, SeriesRef)], stored: Option<usize>) {
        let mut halves = self.halves.write();
        for (key, reference) in series {
            let (key, reference) = (halved(*key), *reference);
            match halves.young.number(key) {
                Some(number) => {
                    let number = number as usize;
                    halves.young.pages[number / PAGE][number % PAGE].reference = reference;
                }
                None => {
                    halves.old.take(key);
                    if halves.young.push(key, reference).is_none() {
                        halves.young = Half::default();
                    }
                }
            }
        }
        let many = stored.map_or(2 * halves.old.held, |stored| stored + stored / 2);
        if halves.young.held > many.max(ROTATE_AT_LEAST) {
            halves.old = std::mem::take(&mut halves.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(i: u64) -> u128 {
        key(&i.to_le_bytes())
    }

    fn get(cache: &SeriesCache, key: u128) -> SeriesRef {
        let mut found = Vec::new();
        cache.find(&[key], &mut Cursor::default(), &mut found);
        found[0]
    }

    fn held(cache: &SeriesCache) -> usize {
        let halves = cache.halves.read();
        halves.young.held + halves.old.held
    }

    #[test]
    fn remembers_what_is_asked_for_and_forgets_the_rest() {
        for stored in [None, Some(20_000)] {
            let cache = SeriesCache::new();
            let keep = key(b"keep");
            cache.put(&[(keep, 7)], stored);
            for round in 0..100_u64 {
                let series: Vec<_> = (round * 10_000..(round + 1) * 10_000)
                    .map(|i| (number(i), i + 1))
                    .collect();
                cache.put(&series, stored);
                assert_eq!(get(&cache, keep), 7, "round {round}");
            }
            let held = held(&cache);
            assert!(held < 1_000_000, "{held} entries are held");
            assert!(stored.is_none() || held <= 2 * (ROTATE_AT_LEAST + 10_000));
            assert_eq!(get(&cache, number(0)), 0);
        }
    }

    #[test]
    fn all_series_of_the_store_are_kept() {
        let cache = SeriesCache::new();
        for i in 0..2 * ROTATE_AT_LEAST as u64 {
            cache.put(&[(number(i), i + 1)], Some(i as usize + 1));
        }
        assert_eq!(held(&cache), 2 * ROTATE_AT_LEAST);
        assert_eq!(get(&cache, number(0)), 1);
    }

    #[test]
    fn any_order_is_found() {
        let cache = SeriesCache::new();
        let series: Vec<_> = (0..1000).map(|i| (number(i), i + 1)).collect();
        cache.put(&series, Some(1000));
        let orders: [&dyn Fn(u64) -> u64; 3] = [&|i| i, &|i| 999 - i, &|i| i * 7 % 1000];
        for order in orders {
            let keys: Vec<u128> = (0..1000).map(|i| number(order(i))).collect();
            let mut found = Vec::new();
            cache.find(&keys, &mut Cursor::default(), &mut found);
            let expected: Vec<SeriesRef> = (0..1000).map(|i| order(i) + 1).collect();
            assert_eq!(found, expected);
        }
        // Another reference takes the place of the first, and nobody knows what was never there.
        cache.put(&[(number(5), 77)], Some(1000));
        assert_eq!(get(&cache, number(5)), 77);
        assert_eq!(get(&cache, number(1000)), 0);
        assert_eq!(held(&cache), 1000);
    }
}
