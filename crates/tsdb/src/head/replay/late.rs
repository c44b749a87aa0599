//! The write-behind log: late samples that are not in blocks yet.

use hashbrown::HashMap;

use super::super::Head;
use super::super::chunk_files::LoadedChunk;
use super::super::out_of_order::{LateChunk, OwnedValue};
use super::super::series::shard_of;
use super::read::{Decoded, End, decode, read_records};
use crate::Error;
use crate::wal::{repair, segments};

/// Chunks of late samples that were found on disk, by series and chunk as the log has them.
pub(super) type LateChunks = HashMap<(u64, u64), LoadedChunk>;

/// What is known of the samples in a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// They are those that the log had so far.
    AllSoFar,
    /// Nothing.
    Unknown,
}

impl Head {
    /// Replays the write-behind log. A chunk of late samples is taken up at its marker in the log:
    /// one without is in a block, or its samples are still in the log.
    pub(super) fn replay_late(&self, mut found: LateChunks) -> Result<(), Error> {
        let fs = &*self.options.fs;
        let dir = Head::wbl_dir(&self.options.dir);
        let list = segments(fs, &dir).map_err(Error::io(&dir))?;
        let mut unknown: HashMap<&'static str, u64> = HashMap::new();
        let end = read_records(
            fs,
            (&list, 0),
            &self.closed,
            |_| {},
            |bytes| {
                if let Some(decoded) = decode(bytes)? {
                    self.take_late(decoded, &mut found, &mut unknown);
                }
                Ok(())
            },
        )?;
        if let End::Damaged(segment, damage) = end {
            self.metrics.wal_corruptions.inc();
            tracing::warn!(error = %damage.error, segment = segment.number, "encountered WBL read error, attempting repair");
            repair(fs, &dir, &segment, &damage, None).map_err(Error::io(&dir))?;
            // Their markers may be in what was cut: better twice than not at all. Or they are in a
            // block and their markers long gone: samples that the log has are not theirs then.
            let mut rest: Vec<LoadedChunk> = found.drain().map(|(_, chunk)| chunk).collect();
            rest.sort_by_key(|chunk| chunk.reference);
            for chunk in rest {
                self.attach_late(&chunk, Holds::Unknown);
            }
        }
        for (kind, count) in unknown {
            self.metrics.late_unknown_refs.with(&[kind]).add(count);
        }
        Ok(())
    }

    fn take_late(
        &self,
        decoded: Decoded,
        found: &mut LateChunks,
        unknown: &mut HashMap<&'static str, u64>,
    ) {
        let mut kind = "samples";
        let mut missing = 0;
        let mut insert = |reference: u64, t_ms: i64, value: OwnedValue| {
            if !self.insert_late(reference, t_ms, value) {
                missing += 1;
            }
        };
        match decoded {
            Decoded::Samples(samples) => {
                for s in samples {
                    insert(s.reference, s.t_ms, OwnedValue::Float(s.value));
                }
            }
            Decoded::Histograms(samples) => {
                kind = "histograms";
                for s in samples {
                    let value = OwnedValue::Histogram(s.histogram.into());
                    insert(s.reference, s.t_ms, value);
                }
            }
            Decoded::FloatHistograms(samples) => {
                kind = "histograms";
                for s in samples {
                    let value = OwnedValue::FloatHistogram(s.histogram.into());
                    insert(s.reference, s.t_ms, value);
                }
            }
            Decoded::Markers(markers) => {
                kind = "mmap_markers";
                for marker in markers {
                    // A chunk that was lost: its samples stay in memory.
                    let Some(chunk) = found.remove(&(marker.reference, marker.chunk)) else {
                        continue;
                    };
                    if !self.attach_late(&chunk, Holds::AllSoFar) {
                        missing += 1;
                    }
                }
            }
            _ => {}
        }
        if missing > 0 {
            *unknown.entry(kind).or_default() += missing;
        }
    }

    /// Gives its series a chunk of late samples; says whether there is the series.
    fn attach_late(&self, chunk: &LoadedChunk, holds: Holds) -> bool {
        let Some(id) = self.resolve(chunk.series) else {
            return false;
        };
        let mut shard = self.shards[shard_of(id)].lock();
        let Some(series) = shard.get_mut(id) else {
            return false;
        };
        let late = &mut series.extra_mut().late;
        if holds == Holds::AllSoFar {
            late.samples.clear();
        }
        late.chunks.push(LateChunk {
            reference: chunk.reference,
            min_ms: chunk.min_ms,
            max_ms: chunk.max_ms,
        });
        drop(shard);
        self.metrics.chunks.inc();
        self.widen_late(chunk.min_ms, chunk.max_ms);
        true
    }

    fn insert_late(&self, reference: u64, t_ms: i64, value: OwnedValue) -> bool {
        let Some(id) = self.resolve(reference) else {
            return false;
        };
        let mut shard = self.shards[shard_of(id)].lock();
        let Some(series) = shard.get_mut(id) else {
            return false;
        };
        let late = &mut series.extra_mut().late;
        if late.samples.len() >= self.options.out_of_order_cap.max(1) * 64 {
            late.write_out(u64::from(id), &self.files);
        }
        late.insert(t_ms, value);
        drop(shard);
        self.widen_late(t_ms, t_ms);
        true
    }
}
