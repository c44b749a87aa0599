//! What was logged while the log was being read gets its turn.
//!
//! Such a batch was acknowledged when the log had it, before anybody could say which of its samples
//! are late; late samples have to be in the write-behind log, too. Until they are, a file beside the
//! logs names the first segment that may have such: a start that ends before it has caught up leaves
//! that to the next one.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use tsdb_format::FormatError;

use super::super::{Head, HeadAppender};
use super::read::{Decoded, End, decode, read_records};
use super::{Progress, Replay};
use crate::Error;
use crate::fs::{FileSystem, write_atomic};
use crate::wal::{LiveReader, repair};

/// Rounds of catching up before batches have to wait for the last one.
const ROUNDS: usize = 30;
/// Records that are few enough to let batches wait for them.
const FEW: usize = 64;

fn unsettled_path(dir: &Path) -> PathBuf {
    dir.join("wal_unsettled")
}

/// The first segment whose late samples may be missing in the write-behind log.
pub(super) fn unsettled_from(fs: &dyn FileSystem, dir: &Path) -> Option<u64> {
    let path = unsettled_path(dir);
    if !fs.exists(&path) {
        return None;
    }
    let text = fs.read(&path).ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

/// Notes [`unsettled_from`].
pub(super) fn note_unsettled(fs: &dyn FileSystem, dir: &Path, segment: u64) -> Result<(), Error> {
    let path = unsettled_path(dir);
    write_atomic(fs, &path, format!("{segment}\n").as_bytes()).map_err(Error::io(&path))
}

impl Head {
    /// Forgets [`unsettled_from`]; where that fails it is tried again with the next call.
    pub fn forget_unsettled(&self) {
        if self.is_replaying() || !self.unsettled.load(Ordering::Relaxed) {
            return;
        }
        let path = unsettled_path(&self.options.dir);
        let fs = &self.options.fs;
        if fs.exists(&path)
            && let Err(error) = fs.remove_file(&path)
        {
            tracing::warn!(%error, path = %path.display(), "will be removed later");
            return;
        }
        self.unsettled.store(false, Ordering::Relaxed);
    }
}

impl Replay {
    /// Applies what was logged since the start, by an earlier start that did not come this far and
    /// by this one; afterwards batches go the usual way.
    pub(super) fn catch_up(&self, head: &Arc<Head>, progress: &Progress) -> Result<(), Error> {
        let fs = Arc::clone(&head.options.fs);
        let wal = Head::wal_dir(&head.options.dir);
        let mut turn = Turn {
            head,
            min_valid_ms: self.min_valid_ms,
            unknown: HashMap::new(),
        };
        let begin = |number| progress.current.store(number, Ordering::Relaxed);
        let end = read_records(&*fs, (&self.unsettled, 0), &head.closed, begin, |bytes| {
            turn.take(bytes)
        })?;
        if let End::Damaged(segment, damage) = end {
            head.metrics.wal_corruptions.inc();
            tracing::warn!(
                error = %damage.error,
                segment = segment.number,
                "encountered WAL read error, attempting repair"
            );
            repair(&*fs, &wal, &segment, &damage, Some(self.own)).map_err(Error::io(&wal))?;
        }
        if self.early {
            turn.follow(LiveReader::new(fs, wal, self.own))?;
        } else {
            *head.replaying.write() = false;
        }
        head.count_unknown(turn.unknown);
        head.unsettled.store(true, Ordering::Relaxed);
        head.forget_unsettled();
        Ok(())
    }
}

struct Turn<'a> {
    head: &'a Arc<Head>,
    min_valid_ms: i64,
    unknown: HashMap<&'static str, u64>,
}

impl Turn<'_> {
    /// Follows the log until there is nothing left.
    fn follow(&mut self, mut log: LiveReader) -> Result<(), Error> {
        let head = self.head;
        for round in 0.. {
            let mut damage = Ok(());
            let count = log.poll(|_, bytes| {
                damage = self.take(bytes).and(damage.clone());
                ControlFlow::Continue(())
            })?;
            if head.closed.load(Ordering::Acquire) {
                return Err(Error::Closed);
            }
            if count > FEW && round < ROUNDS {
                continue;
            }
            // Nobody writes to the log now.
            let mut replaying = head.replaying.write();
            log.poll(|_, bytes| {
                damage = self.take(bytes).and(damage.clone());
                ControlFlow::Continue(())
            })?;
            *replaying = false;
            if let Err(error) = damage {
                tracing::error!(%error, "a record that was just written does not decode");
            }
            break;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let Some(decoded) = decode(bytes)? else {
            return Ok(());
        };
        let mut batch = HeadAppender::of_log(self.head);
        let mut missing = 0;
        let kind = match decoded {
            Decoded::Series(series) => {
                for series in series.iter().filter(|series| !series.labels.is_empty()) {
                    self.head.replay_series(series);
                }
                return Ok(());
            }
            Decoded::Samples(samples) => {
                for sample in samples {
                    missing += u64::from(!batch.take_float(sample));
                }
                "samples"
            }
            Decoded::Histograms(samples) => {
                for sample in samples {
                    missing += u64::from(!batch.take_histogram(sample));
                }
                "histograms"
            }
            Decoded::FloatHistograms(samples) => {
                for sample in samples {
                    missing += u64::from(!batch.take_float_histogram(sample));
                }
                "histograms"
            }
            other => {
                self.head
                    .replay_other(other, self.min_valid_ms, &mut self.unknown);
                return Ok(());
            }
        };
        if missing > 0 {
            *self.unknown.entry(kind).or_default() += missing;
        }
        if let Err(error) = batch.settle() {
            // They stay with the log's writer, which tries again with the next batch.
            tracing::warn!(%error, "late samples could not be logged yet");
        }
        Ok(())
    }
}
