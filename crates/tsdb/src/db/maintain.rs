//! What a database does about itself: compaction, retention, deletions, snapshots.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use model::Matcher;
use tsdb_format::Ulid;
use tsdb_format::meta::{BlockMeta, Compaction, Parent};

use super::store::{Store, note_in_order_end};
use crate::Error;
use crate::block::Block;
use crate::compact::{Merged, block_ranges, compact_blocks, compacted_meta, plan};
use crate::retention::{Candidate, deletable};

const MAX_BLOCK_MS: i64 = 31 * 24 * 3_600_000;

impl Store {
    /// Does what is due.
    ///
    /// # Errors
    /// The first step that failed; the steps after it that do not need it are done.
    pub fn tick(&self, now_ms: i64) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) || self.head.is_replaying() {
            return Ok(());
        }
        self.head.forget_unsettled();
        let every_ms = self.options.block_reload_interval_ms;
        let since_ms = now_ms.saturating_sub(self.rescanned_ms.load(Ordering::Relaxed));
        let mut rescanned = Ok(());
        if every_ms > 0 && since_ms >= every_ms {
            self.rescanned_ms.store(now_ms, Ordering::Relaxed);
            rescanned = self.rescan();
        }
        let flushed = self.head.flush(false).map_err(Error::io(&self.options.dir));
        let compacted = self.compact();
        // What is too old goes even if compaction fails: that may be for want of space.
        let dropped = {
            let _maintaining = self.maintaining.lock();
            self.apply_retention()
        };
        let sized_ms = self.sized_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(sized_ms) >= 60_000 {
            self.sized_ms.store(now_ms, Ordering::Relaxed);
            self.publish_wal_size();
            self.compact_stale()?;
        }
        self.note_shortcut();
        flushed.and(compacted).and(dropped).and(rescanned)
    }

    /// Cuts blocks and compacts them.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn compact(&self) -> Result<(), Error> {
        self.check_complete()?;
        let _maintaining = self.maintaining.lock();
        self.metrics.compactions_triggered.inc();
        if self.cut_head()? {
            self.cut_late()?;
        }
        self.compact_all()
    }

    /// Cuts the series that ended to blocks, if their share of all series is above the threshold.
    fn compact_stale(&self) -> Result<(), Error> {
        let threshold = f64::from_bits(self.stale_threshold.load(Ordering::Relaxed));
        let (stale, all) = (self.head.stale_count(), self.head.series_count());
        if threshold <= 0.0 || all == 0 || (stale as f64) < threshold * all as f64 {
            return Ok(());
        }
        let _maintaining = self.maintaining.lock();
        let start = Instant::now();
        let series = self.cut_stale()?;
        tracing::info!(
            series,
            seconds = start.elapsed().as_secs_f64(),
            "stale series compaction"
        );
        self.head.stale_count();
        Ok(())
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn ranges(&self) -> Vec<i64> {
        let least = self.options.min_block_duration_ms.max(1);
        let most = match self.options.max_block_duration_ms {
            0 => match self.retention.read().duration_ms {
                0 => MAX_BLOCK_MS,
                retention => (retention / 10).min(MAX_BLOCK_MS),
            },
            most => most,
        };
        block_ranges(least, most.max(least))
    }

    /// Compacts until there is nothing to compact.
    fn compact_all(&self) -> Result<(), Error> {
        let ranges = self.ranges();
        while !self.closing() {
            let blocks = self.blocks.read().clone();
            let metas = self.compactable(&blocks);
            let wanted = plan(&metas, &ranges, self.options.overlapping_compaction);
            let parts: Vec<Arc<Block>> = wanted
                .iter()
                .filter_map(|ulid| blocks.iter().find(|block| block.ulid() == *ulid))
                .cloned()
                .collect();
            if parts.is_empty() {
                break;
            }
            let metas: Vec<BlockMeta> = parts.iter().map(|block| block.meta()).collect();
            let meta = compacted_meta(self.new_ulid(), &metas);
            self.merge(meta, &parts)?;
        }
        Ok(())
    }

    /// The blocks that may be compacted. Blocks are made and copied elsewhere from the oldest to the newest: what
    /// comes after one that waits, waits too, or gaps would stay between large blocks.
    fn compactable(&self, blocks: &[Arc<Block>]) -> Vec<BlockMeta> {
        let mut metas: Vec<BlockMeta> = blocks.iter().map(|block| block.meta()).collect();
        if let Some(keep) = &self.options.keep_block {
            metas.sort_by_key(|meta| meta.ulid);
            let free = metas.iter().take_while(|meta| !keep(meta)).count();
            metas.truncate(free);
        }
        metas
    }

    /// Replaces blocks by their union.
    fn merge(&self, mut meta: BlockMeta, parts: &[Arc<Block>]) -> Result<(), Error> {
        let metas: Vec<BlockMeta> = parts.iter().map(|block| block.meta()).collect();
        note_in_order_end(&mut meta, &metas);
        let start = Instant::now();
        let options = &self.options;
        let overlap = parts
            .windows(2)
            .any(|pair| pair[0].range().1 > pair[1].range().0);
        if overlap {
            self.metrics.vertical_compactions.inc();
        }
        self.metrics.populating.set(1.0);
        let result = compact_blocks(
            &*options.fs,
            &options.dir,
            options.block_segment_bytes,
            meta,
            parts,
            &|| self.closing(),
        );
        self.metrics.populating.set(0.0);
        let merged = match result {
            Ok(merged) => merged,
            Err(Error::Closed) => return Ok(()),
            Err(error) => {
                self.metrics.compactions_failed.inc();
                return Err(error);
            }
        };
        self.metrics.compactions.inc();
        self.metrics
            .compaction_seconds
            .observe_duration(start.elapsed());
        let old: Vec<Ulid> = parts.iter().map(|block| block.ulid()).collect();
        match merged {
            Merged::Block(meta) => {
                tracing::info!(ulid = %meta.ulid, blocks = parts.len(), "compact blocks");
                self.replace(&[meta.ulid], &old)
            }
            Merged::Empty => self.replace(&[], &old),
        }
    }

    /// Drops the blocks that the retention does not allow.
    fn apply_retention(&self) -> Result<(), Error> {
        let limits = *self.retention.read();
        let blocks = self.blocks.read().clone();
        let metas: Vec<BlockMeta> = blocks.iter().map(|block| block.meta()).collect();
        let candidates: Vec<Candidate<'_>> = metas
            .iter()
            .zip(&blocks)
            .map(|(meta, block)| Candidate {
                meta,
                size_bytes: block.size_bytes(),
            })
            .collect();
        let disk = match limits.max_percentage > 0.0 {
            true => self.options.fs.space(&self.options.dir),
            false => Ok(crate::fs::Space {
                total: 0,
                available: 0,
            }),
        };
        let disk = disk.map_err(Error::io(&self.options.dir))?;
        let sized = limits.max_bytes > 0 || limits.max_percentage > 0.0;
        let other = if sized { self.head.disk_bytes() } else { 0 };
        let dropped = deletable(&candidates, &limits, disk.total, other);
        if !dropped.by_time.is_empty() {
            self.metrics.time_retentions.inc();
        }
        if !dropped.by_size.is_empty() {
            self.metrics.size_retentions.inc();
        }
        let all: Vec<Ulid> = dropped.all().into_iter().collect();
        if all.is_empty() {
            return Ok(());
        }
        for ulid in &all {
            tracing::info!(%ulid, "deleting obsolete block");
        }
        self.replace(&[], &all)
    }

    /// Marks samples as deleted, in the head and in blocks.
    ///
    /// # Errors
    /// The first log or file that cannot be written.
    pub fn delete(&self, min_ms: i64, max_ms: i64, matchers: &[Matcher]) -> Result<(), Error> {
        self.check_complete()?;
        let _maintaining = self.maintaining.lock();
        let blocks = self.blocks.read().clone();
        for block in blocks.iter().filter(|block| block.overlaps(min_ms, max_ms)) {
            block.delete(min_ms, max_ms, matchers)?;
        }
        self.head.delete(min_ms, max_ms, matchers)
    }

    /// Rewrites the blocks that have tombstones.
    ///
    /// # Errors
    /// The first block that cannot be rewritten.
    pub fn clean_tombstones(&self) -> Result<(), Error> {
        self.check_complete()?;
        let start = Instant::now();
        let _maintaining = self.maintaining.lock();
        let blocks = self.blocks.read().clone();
        for block in blocks {
            if block.tombstones().is_empty() {
                continue;
            }
            let old = block.meta();
            let ulid = self.new_ulid();
            let meta = BlockMeta {
                ulid,
                min_time: old.min_time,
                max_time: old.max_time,
                compaction: Compaction {
                    level: 1,
                    sources: vec![ulid],
                    parents: vec![Parent {
                        ulid: old.ulid,
                        min_time: old.min_time,
                        max_time: old.max_time,
                    }],
                    hints: old.compaction.hints,
                    ..Compaction::default()
                },
                version: 1,
                ..BlockMeta::default()
            };
            self.merge(meta, &[block])?;
        }
        self.metrics
            .tombstone_cleanup_seconds
            .observe_duration(start.elapsed());
        Ok(())
    }

    /// Links all blocks into a folder, with the head as one more block if asked for.
    ///
    /// # Errors
    /// A file that cannot be linked or written.
    pub fn snapshot(&self, dir: &Path, with_head: bool) -> Result<(), Error> {
        self.check_complete()?;
        if dir == self.options.dir {
            return Err(Error::Invalid(
                "cannot snapshot into base directory".to_owned(),
            ));
        }
        let _maintaining = self.maintaining.lock();
        let fs = &self.options.fs;
        fs.create_dir_all(dir).map_err(Error::io(dir))?;
        let blocks = self.blocks.read().clone();
        for block in &blocks {
            block.snapshot(dir)?;
        }
        if with_head {
            self.write_head(dir)?;
        }
        Ok(())
    }
}
