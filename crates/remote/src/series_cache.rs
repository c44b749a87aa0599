//! From the label bytes of a request to the series they name.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use storage::SeriesRef;
use xxhash_rust::xxh3::xxh3_128;

const SHARDS: usize = 16;
/// Entries that a shard's young half may always take before it turns old.
const ROTATE_AT_LEAST: usize = 4096;

/// A cache in two halves: what is found in the old half moves to the young one, and when the young
/// half is full it becomes the old one. Series that nobody sends any more are forgotten that way.
///
/// Keys are 128-bit hashes: among 10^9 series, the chance that two share one is below 10^-20.
pub(crate) struct SeriesCache {
    shards: [Mutex<Halves>; SHARDS],
}

#[derive(Default)]
struct Halves {
    young: HashMap<u128, SeriesRef, FixedState>,
    old: HashMap<u128, SeriesRef, FixedState>,
}

/// The key of a label set's bytes.
pub(crate) fn key(label_bytes: &[u8]) -> u128 {
    xxh3_128(label_bytes)
}

impl SeriesCache {
    pub(crate) fn new() -> SeriesCache {
        SeriesCache {
            shards: std::array::from_fn(|_| Mutex::new(Halves::default())),
        }
    }

    fn shard(&self, key: u128) -> &Mutex<Halves> {
        &self.shards[(key >> 64) as usize % SHARDS]
    }

    /// The series of a key, if known.
    pub(crate) fn get(&self, key: u128) -> Option<SeriesRef> {
        let mut halves = self.shard(key).lock();
        if let Some(reference) = halves.young.get(&key) {
            return Some(*reference);
        }
        let reference = halves.old.remove(&key)?;
        halves.young.insert(key, reference);
        Some(reference)
    }

    /// Notes the series of a key.
    pub(crate) fn put(&self, key: u128, reference: SeriesRef) {
        let mut halves = self.shard(key).lock();
        halves.young.insert(key, reference);
        let limit = ROTATE_AT_LEAST.max(2 * halves.old.len());
        if halves.young.len() > limit {
            halves.old = std::mem::take(&mut halves.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_what_is_asked_for_and_forgets_the_rest() {
        let cache = SeriesCache::new();
        let keep = key(b"keep");
        cache.put(keep, 7);
        for round in 0..100_u64 {
            for i in 0..10_000_u64 {
                cache.put(key(&(round * 10_000 + i).to_le_bytes()), i);
            }
            assert_eq!(cache.get(keep), Some(7), "round {round}");
        }
        let size = |shard: &Mutex<Halves>| {
            let halves = shard.lock();
            halves.young.len() + halves.old.len()
        };
        let held: usize = cache.shards.iter().map(size).sum();
        assert!(held < 1_000_000, "{held} entries are held");
        assert_eq!(cache.get(key(&0_u64.to_le_bytes())), None);
    }
}
