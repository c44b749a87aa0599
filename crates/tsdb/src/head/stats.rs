//! Statistics of the head for `status/tsdb`.

use super::Head;
use super::series::shard_of;
use crate::db::{Count, HeadStats};

/// The `limit` largest, larger first, then by name.
fn top(mut counts: Vec<Count>, limit: usize) -> Vec<Count> {
    counts.retain(|count| count.value > 0);
    counts.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(limit);
    counts
}

impl Head {
    /// Statistics with at most `limit` entries a list.
    pub fn stats(&self, limit: usize) -> HeadStats {
        let (min_ms, max_ms) = self.times();
        let index = self.index.read();
        let mut stats = HeadStats {
            series: index.all().len() as u64,
            label_pairs: index.pair_count() as u64,
            chunks: self.metrics.chunks.get().max(0.0) as u64,
            min_ms,
            max_ms,
            ..HeadStats::default()
        };
        let mut by_metric = Vec::new();
        let mut values = Vec::new();
        let mut memory = Vec::new();
        let mut by_pair = Vec::new();
        // A list of all pairs would be as large as the index: keep the largest only.
        let mut least = 0;
        for name in index.names() {
            let bytes: usize = name
                .pairs
                .iter()
                .map(|pair| {
                    let pair = index.pair(*pair);
                    packed_len(&name.text, &pair.value) * pair.series.as_slice().len()
                })
                .sum();
            values.push(Count {
                name: name.text.to_string(),
                value: name.pairs.len() as u64,
            });
            memory.push(Count {
                name: name.text.to_string(),
                value: bytes as u64,
            });
            for pair in &name.pairs {
                let pair = index.pair(*pair);
                let value = pair.series.as_slice().len() as u64;
                if *name.text == *model::labels::METRIC_NAME {
                    by_metric.push(Count {
                        name: pair.value.to_string(),
                        value,
                    });
                }
                if value >= least {
                    by_pair.push(Count {
                        name: format!("{}={}", name.text, pair.value),
                        value,
                    });
                }
                if by_pair.len() > limit.max(16) * 64 {
                    by_pair = top(std::mem::take(&mut by_pair), limit);
                    least = by_pair.last().map_or(0, |count| count.value);
                }
            }
        }
        stats.series_by_metric_name = top(by_metric, limit);
        stats.values_by_label_name = top(values, limit);
        stats.memory_by_label_name = top(memory, limit);
        stats.series_by_label_pair = top(by_pair, limit);
        stats
    }

    /// Where the head's memory goes: bytes by what they are for.
    pub fn memory(&self) -> Vec<(&'static str, usize)> {
        let mut runs = 0;
        let mut series = 0;
        for shard in &self.shards {
            let shard = shard.lock();
            runs += shard.slab.bytes();
            series += shard.bytes();
        }
        let hashes = self
            .by_hash
            .iter()
            .map(|table| table.lock().allocation_size());
        let (pairs, postings) = self.index.read().bytes();
        vec![
            ("open chunks, labels, chunk lists", runs),
            ("series", series),
            ("label hashes", hashes.sum()),
            ("label pairs", pairs),
            ("postings", postings),
        ]
    }

    /// The metadata last noted for a series.
    pub fn metadata(&self, labels: &model::Labels) -> Option<model::Metadata> {
        let id = self.find(labels)?;
        let shard = self.shards[shard_of(id)].lock();
        shard.get(id)?.extra()?.metadata.clone()
    }
}

/// Bytes of a pair in upstream's packed label sets, by which users compare: each text behind its
/// length, of one byte or four.
fn packed_len(name: &str, value: &str) -> usize {
    let text = |len: usize| len + if len < 255 { 1 } else { 4 };
    text(name.len()) + text(value.len())
}
