//! Series that ended: found by their stale marker, let go of once they are in blocks.

use hashbrown::HashMap;
use tsdb_format::wal::record::{self, RefTombstone};

use super::series::{Series, Shard, shard_of};
use super::{Head, SHARDS};

/// The time of a series' last sample, if that is a stale marker and nothing is about to follow.
fn ended(shard: &Shard, series: &Series) -> Option<i64> {
    let late = series.extra().is_some_and(|extra| !extra.late.is_empty());
    if series.is_pinned() || late || !shard.is_stale(series) {
        return None;
    }
    shard.open_range(series).map(|(_, last_ms)| last_ms)
}

impl Head {
    /// How many series end with a stale marker.
    pub fn stale_count(&self) -> usize {
        let count: usize = (self.shards.iter())
            .map(|shard| {
                let shard = shard.lock();
                shard.iter().filter(|series| shard.is_stale(series)).count()
            })
            .sum();
        self.metrics.stale_series.set(count as f64);
        count
    }

    /// The series that ended, with the times of their last samples. Those with late samples stay.
    pub fn ended_series(&self) -> HashMap<u32, i64> {
        let mut found = HashMap::new();
        for shard in &self.shards {
            let shard = shard.lock();
            found.extend(
                (shard.iter()).filter_map(|series| Some((series.id, ended(&shard, series)?))),
            );
        }
        found
    }

    /// Lets go of series that ended and are in blocks, unless something followed since.
    pub fn evict(&self, ended_ms: &HashMap<u32, i64>) {
        let segment = self.wal_position().0;
        for place in 0..SHARDS {
            let mut gone = Vec::new();
            let mut shard = self.shards[place].lock();
            for (id, last_ms) in ended_ms.iter().filter(|(id, _)| shard_of(**id) == place) {
                let same = shard
                    .get(*id)
                    .is_some_and(|series| ended(&shard, series) == Some(*last_ms));
                if same {
                    self.drop_chunks(&mut shard, *id);
                    gone.push(*id);
                }
            }
            drop(shard);
            self.remove_series(place, gone, segment);
        }
    }

    /// Tells the log of series that are gone: what it has of them up to here is in blocks. Without
    /// that a start could take a late sample, which the log of late samples does not have any more,
    /// for one that came in order.
    pub(super) fn log_evictions(&self, ids: &[u32]) {
        if self.is_replaying() {
            return;
        }
        for some in ids.chunks(10_000) {
            let stones: Vec<RefTombstone> = some
                .iter()
                .map(|id| RefTombstone::eviction(u64::from(*id)))
                .collect();
            let mut out = Vec::new();
            record::encode_tombstones(&stones, &mut out);
            if let Some(wal) = &mut *self.wal.lock()
                && let Err(error) = wal.log([&out[..]])
            {
                // After a restart the series are back, and in the blocks as well.
                tracing::warn!(%error, "the log could not be told of collected series");
                return;
            }
        }
    }

    fn drop_chunks(&self, shard: &mut Shard, id: u32) {
        let Some(series) = shard.get(id) else { return };
        let chunks = series.full_count() + usize::from(series.has_open());
        shard.set_full(id, &[]);
        shard.drop_open(id);
        self.metrics.chunks.add(-(chunks as f64));
        self.metrics.chunks_removed.add(chunks as u64);
    }

    /// Lets go of a series of the log that was let go of before; `segment` is the last one that may
    /// have samples of it.
    pub(super) fn replay_eviction(&self, id: u32, segment: u64) {
        let place = shard_of(id);
        self.drop_chunks(&mut self.shards[place].lock(), id);
        self.remove_series(place, vec![id], segment);
    }
}
