//! The open chunks that a shortcut has, back into memory.

use tsdb_format::FormatError;

use super::super::Head;
use super::super::series::{ChunkPolicy, OpenState, Outcome, shard_of};
use super::super::shortcut::Shortcut;
use super::known::Floors;
use crate::columns::chunk_samples;

impl Head {
    /// Gives series the open chunks of a shortcut: those of the shards that are this worker's, one of
    /// `workers`. Answers the range of their samples.
    pub(super) fn restore_open(
        &self,
        shortcut: &Shortcut,
        floors: &Floors,
        (worker, workers): (usize, usize),
    ) -> (i64, i64) {
        let policy = self.policy();
        let (mut min_ms, mut max_ms) = (i64::MAX, i64::MIN);
        let mut new_chunks = 0;
        let own = |id: u32| shard_of(id) % workers == worker;
        for (id, open) in shortcut.open_chunks().filter(|(id, _)| own(*id)) {
            let floor = floors.get(u64::from(id));
            let restored = match floor < open.min_ms {
                true => self.restore_whole(id, &open),
                // What of it is in full chunks or blocks is not taken.
                false => self.restore_behind(id, &open, floor, &policy),
            };
            match restored {
                Ok(Some((first_ms, last_ms, chunks))) => {
                    min_ms = min_ms.min(first_ms);
                    max_ms = max_ms.max(last_ms);
                    new_chunks += chunks;
                }
                Ok(None) => {}
                // It was encoded here, and its checksum is right.
                Err(error) => tracing::error!(%error, series = id, "open chunk does not decode"),
            }
        }
        self.metrics.chunks.add(f64::from(new_chunks));
        (min_ms, max_ms)
    }

    fn restore_whole(
        &self,
        id: u32,
        open: &OpenState<'_>,
    ) -> Result<Option<(i64, i64, u32)>, FormatError> {
        let mut shard = self.shards[shard_of(id)].lock();
        let last_ms = shard.restore_open(id, open)?;
        Ok(last_ms.map(|last_ms| (open.min_ms, last_ms, 1)))
    }

    fn restore_behind(
        &self,
        id: u32,
        open: &OpenState<'_>,
        floor: i64,
        policy: &ChunkPolicy<'_>,
    ) -> Result<Option<(i64, i64, u32)>, FormatError> {
        if floor == i64::MAX {
            return Ok(None);
        }
        let mut shard = self.shards[shard_of(id)].lock();
        let mut range = None;
        let mut chunks = 0;
        for (t_ms, value) in chunk_samples(open.encoding, open.data, floor + 1, i64::MAX)? {
            match shard.append(id, t_ms, value.borrow(), policy) {
                Ok(Outcome::Duplicate) => continue,
                Ok(Outcome::NewChunk) => chunks += 1,
                Ok(Outcome::Appended) => {}
                Err(error) => {
                    tracing::warn!(%error, series = id, "histogram of an open chunk left out");
                    continue;
                }
            }
            range = Some((range.map_or(t_ms, |(first, _)| first), t_ms));
        }
        Ok(range.map(|(first, last)| (first, last, chunks)))
    }
}
