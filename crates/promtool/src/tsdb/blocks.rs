//! Writing blocks of samples from elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use model::Labels;
use tsdb::block::encode::{Sample, Value, encode_samples};
use tsdb::block::{Block, new_ulid, write_block};
use tsdb::db::DEFAULT_BLOCK_DURATION_MS;
use tsdb::fs::{FileSystem, RealFs};
use tsdb_format::meta::{BlockMeta, Compaction};

use crate::time;

/// The span of blocks for `--max-block-duration`: two hours, times three as often as it fits, as
/// compaction has it.
pub fn block_duration_ms(max_ms: i64) -> i64 {
    let mut duration_ms = DEFAULT_BLOCK_DURATION_MS;
    // Ten ranges: upstream's steps of block sizes.
    for _ in 0..9 {
        if duration_ms * 3 > max_ms {
            break;
        }
        duration_ms *= 3;
    }
    duration_ms
}

/// Gathers samples of one block.
#[derive(Default)]
pub struct Gathered(BTreeMap<Labels, Vec<(i64, f64)>>);

impl Gathered {
    /// Adds a sample; those of a series need no order.
    pub fn add(&mut self, labels: Labels, t_ms: i64, v: f64) {
        self.0.entry(labels).or_default().push((t_ms, v));
    }

    /// Writes the block into a data folder; `None` where there was no sample. Of samples of one time
    /// the first counts.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(self, dir: &Path) -> Result<Option<Arc<Block>>, String> {
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        fs.create_dir_all(dir)
            .map_err(|e| format!("{}: {e}", dir.display()))?;
        let times = || self.0.values().flatten().map(|(t_ms, _)| *t_ms);
        let (Some(min_ms), Some(max_ms)) = (times().min(), times().max()) else {
            return Ok(None);
        };
        let ulid = new_ulid(time::now_ms());
        let meta = BlockMeta {
            ulid,
            min_time: min_ms,
            max_time: max_ms + 1,
            compaction: Compaction {
                level: 1,
                sources: vec![ulid],
                ..Compaction::default()
            },
            version: 1,
            ..BlockMeta::default()
        };
        let symbols: BTreeSet<String> = self
            .0
            .keys()
            .flat_map(|labels| {
                labels
                    .iter()
                    .flat_map(|(n, v)| [n.to_owned(), v.to_owned()])
            })
            .collect();
        let series = self.0.into_iter().map(|(labels, mut samples)| {
            samples.sort_by_key(|(t_ms, _)| *t_ms);
            samples.dedup_by_key(|(t_ms, _)| *t_ms);
            let samples: Vec<Sample> = samples
                .into_iter()
                .map(|(t_ms, v)| Sample {
                    t_ms,
                    start_ms: 0,
                    value: Value::Float(v),
                })
                .collect();
            let chunks = encode_samples(&samples)
                .map_err(|e| tsdb::Error::Invalid(format!("{labels}: {e}")))?;
            Ok((labels, chunks))
        });
        let text = |e: tsdb::Error| e.to_string();
        let written = write_block(&*fs, dir, meta, symbols, series).map_err(text)?;
        match written {
            None => Ok(None),
            Some(meta) => {
                let block = Block::open(fs, &dir.join(meta.ulid.to_string())).map_err(text)?;
                Ok(Some(Arc::new(block)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::block_duration_ms;

    #[test]
    fn durations_go_up_by_threes() {
        let hour = 3_600_000;
        for (max, expected) in [(0, 2), (2, 2), (5, 2), (6, 6), (17, 6), (18, 18), (100, 54)] {
            assert_eq!(block_duration_ms(max * hour), expected * hour, "{max} h");
        }
    }
}
