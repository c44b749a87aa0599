//! Cutting blocks from the head.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hashbrown::HashMap;
use storage::Columns;
use tsdb_format::Ulid;
use tsdb_format::meta::{BlockMeta, Compaction, HINT_OUT_OF_ORDER, HINT_STALE_SERIES};

use super::store::Store;
use crate::Error;
use crate::block::{BlockChunk, write_block_in};
use crate::head::RangeSeries;
use crate::head::out_of_order::{Encoded, encode};

/// How long readers and batches are waited for before what they may need is let go.
const PATIENCE: Duration = Duration::from_secs(600);

/// Which samples go into a block.
#[derive(Clone, Copy)]
enum What<'a> {
    InOrder,
    Late,
    All,
    /// All of these series.
    Stale(&'a HashMap<u32, i64>),
}

/// The end of the block that `t_ms` falls into.
fn range_end(t_ms: i64, width_ms: i64) -> i64 {
    (t_ms / width_ms) * width_ms + width_ms
}

fn block_chunks(chunks: Vec<Encoded>) -> Vec<BlockChunk<'static>> {
    chunks
        .into_iter()
        .map(|chunk| BlockChunk {
            encoding: chunk.encoding,
            min_ms: chunk.min_ms,
            max_ms: chunk.max_ms,
            data: Cow::Owned(chunk.data),
        })
        .collect()
}

impl Store {
    /// Cuts all full blocks from the head; says whether there was one.
    pub(super) fn cut_head(&self) -> Result<bool, Error> {
        let width = self.options.min_block_duration_ms.max(1);
        let mut cut = false;
        while !self.closing.load(std::sync::atomic::Ordering::Acquire) {
            let (min_ms, max_ms) = self.head.times();
            // Half a block stays for samples that are somewhat late.
            if min_ms == i64::MAX || max_ms.saturating_sub(min_ms) <= width / 2 * 3 {
                break;
            }
            let end_ms = range_end(min_ms, width);
            self.head.close_before(end_ms, PATIENCE);
            let written = self.write(&self.options.dir, min_ms, end_ms, What::InOrder)?;
            if let Some(ulid) = written {
                self.replace(&[ulid], &[])?;
            }
            self.head.wait_for_readers(end_ms, PATIENCE);
            let truncated = self.head.truncate_memory(end_ms);
            truncated.inspect_err(|_| self.head.count_failed_truncation())?;
            cut = true;
            if self.head.times().0 <= min_ms {
                break; // Nothing was let go: do not try for ever.
            }
        }
        if cut {
            self.head.truncate_wal(self.head.all_times().0)?;
        }
        Ok(cut)
    }

    /// Cuts blocks from the late samples.
    pub(super) fn cut_late(&self) -> Result<(), Error> {
        let (min_ms, max_ms) = self.head.late_times();
        if min_ms > max_ms {
            return Ok(());
        }
        let width = self.options.min_block_duration_ms.max(1);
        let segment = self.head.cut_late_log()?;
        let before = self.head.write_out_late();
        let (min_ms, max_ms) = self.head.late_times();
        let mut written = Vec::new();
        let mut start = min_ms.div_euclid(width) * width;
        while start <= max_ms {
            let end = start.saturating_add(width);
            written.extend(self.write(&self.options.dir, start, end, What::Late)?);
            start = end;
        }
        self.replace(&written, &[])?;
        self.head
            .wait_for_readers(max_ms.saturating_add(1), PATIENCE);
        self.head.truncate_late(before)?;
        if let Some(segment) = segment {
            self.head.truncate_late_log(segment)?;
        }
        Ok(())
    }

    /// Cuts blocks of the series that ended, and lets go of those; says how many there were.
    pub(super) fn cut_stale(&self) -> Result<usize, Error> {
        let ended = self.head.ended_series();
        if ended.is_empty() {
            return Ok(0);
        }
        let (min_ms, max_ms) = self.head.times();
        let width = self.options.min_block_duration_ms.max(1);
        let mut written = Vec::new();
        let mut start = min_ms.div_euclid(width).saturating_mul(width);
        while start <= max_ms {
            let end = start.saturating_add(width);
            written.extend(self.write(&self.options.dir, start, end, What::Stale(&ended))?);
            start = end;
        }
        self.replace(&written, &[])?;
        self.head
            .wait_for_readers(max_ms.saturating_add(1), PATIENCE);
        self.head.evict(&ended);
        Ok(ended.len())
    }

    /// Writes the whole head as a block into another folder.
    pub(super) fn write_head(&self, dir: &Path) -> Result<Option<Ulid>, Error> {
        let (min_ms, max_ms) = self.head.all_times();
        if min_ms > max_ms {
            return Ok(None);
        }
        self.write(dir, min_ms, max_ms.saturating_add(1), What::All)
    }

    fn write(
        &self,
        dir: &Path,
        min_ms: i64,
        end_ms: i64,
        what: What<'_>,
    ) -> Result<Option<Ulid>, Error> {
        self.metrics.populating.set(1.0);
        let start = std::time::Instant::now();
        let result = self.write_block(dir, min_ms, end_ms, what);
        self.metrics.populating.set(0.0);
        match &result {
            Ok(Some(_)) => {
                self.metrics.compactions.inc();
                self.metrics
                    .compaction_seconds
                    .observe_duration(start.elapsed());
            }
            Ok(None) => {}
            Err(_) => self.metrics.compactions_failed.inc(),
        }
        result
    }

    fn write_block(
        &self,
        dir: &Path,
        min_ms: i64,
        end_ms: i64,
        what: What<'_>,
    ) -> Result<Option<Ulid>, Error> {
        let ulid = self.new_ulid();
        let meta = BlockMeta {
            ulid,
            min_time: min_ms,
            max_time: end_ms,
            compaction: Compaction {
                level: 1,
                sources: vec![ulid],
                hints: match what {
                    What::Late => vec![HINT_OUT_OF_ORDER.to_owned()],
                    What::Stale(_) => vec![HINT_STALE_SERIES.to_owned()],
                    What::InOrder | What::All => Vec::new(),
                },
                ..Compaction::default()
            },
            version: 1,
            ..BlockMeta::default()
        };
        let querier = self.head.querier(min_ms, end_ms - 1);
        let mut series = querier.series(true, 0, &[], None);
        if let What::Stale(wanted) = what {
            series.retain(|one| wanted.contains_key(&one.id));
        }
        if series.is_empty() {
            return Ok(None);
        }
        let mut symbols = BTreeSet::new();
        for one in &series {
            for (name, value) in &one.labels {
                for text in [name, value] {
                    if !symbols.contains(text) {
                        symbols.insert(text.to_owned());
                    }
                }
            }
        }
        let rows = series.iter().map(|one| {
            let chunks = chunks_of(one, min_ms, end_ms - 1, what)?;
            for chunk in &chunks {
                // The range in ms, whatever the name says: upstream does so.
                let range_ms = chunk.max_ms - chunk.min_ms;
                let samples = tsdb_format::chunk::sample_count("chunk", &chunk.data);
                self.metrics.chunk_seconds.observe(range_ms as f64);
                self.metrics.chunk_bytes.observe(chunk.data.len() as f64);
                self.metrics
                    .chunk_samples
                    .observe(samples.map_or(0.0, f64::from));
            }
            Ok((one.labels.clone(), block_chunks(chunks)))
        });
        let written = write_block_in(
            &*self.options.fs,
            dir,
            self.options.block_segment_bytes,
            meta,
            symbols,
            rows,
        )?;
        if let Some(meta) = &written {
            tracing::info!(
                ulid = %meta.ulid,
                mint = min_ms,
                maxt = end_ms,
                series = meta.stats.num_series,
                samples = meta.stats.num_samples,
                "write block"
            );
        }
        Ok(written.map(|meta| meta.ulid))
    }
}

fn chunks_of(
    series: &RangeSeries,
    min_ms: i64,
    max_ms: i64,
    what: What<'_>,
) -> Result<Vec<Encoded>, Error> {
    let late = match what {
        What::InOrder => Columns::default(),
        What::Late | What::All | What::Stale(_) => series.late(min_ms, max_ms)?,
    };
    if matches!(what, What::Late) {
        return Ok(encode(&crate::columns::samples(&late)));
    }
    if late.is_empty() {
        return Ok(series.in_order_chunks(min_ms, max_ms)?);
    }
    let mut all = Columns::default();
    storage::Series::decode(series, min_ms, max_ms, &mut all)?;
    Ok(encode(&crate::columns::samples(&all)))
}
