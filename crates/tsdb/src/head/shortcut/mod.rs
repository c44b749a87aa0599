//! The file `wal_shortcut` in the data folder: what a start need not read of the log.
//!
//! A start has use for few of the log's samples. Those in full chunks are in `chunks_head/` as well, and
//! thrown away after they were read; the others are the open chunks, which fit a file a fraction of the
//! log's size. So from time to time the head writes down, for a place in its log: the open chunks; which
//! pages before the place have other records than samples; and what the files look like that this is
//! only true of. A start that finds all of it as it was takes the open chunks from there, reads those
//! pages, and the log from the place on. Any doubt, and it reads the whole log: the log has everything
//! that the file has, and nobody else needs the file.
//!
//! Whether the file is on the disk, or up to date, does not matter for that: it is not synced.

mod accept;
mod file;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::Head;
use crate::Error;
use crate::fs::FileSystem;
use crate::wal::{Place, checkpoints, segment_path, segments};

pub use accept::{Found, Shortcut};
use file::{Facts, SegmentFacts, Sink, sum_of_tail};

/// The file grows with the number of open chunks: it is written when the log has grown by so many times
/// its size since the last time.
const TIMES_FILE: u64 = 3;
/// Series are looked through one by one: so much log each, before that is done again.
const BYTES_A_SERIES: u64 = 256;

fn path_in(dir: &Path) -> PathBuf {
    dir.join("wal_shortcut")
}

fn temporary_in(dir: &Path) -> PathBuf {
    dir.join("wal_shortcut.tmp")
}

/// What the last file, or the one to come, is measured by.
#[derive(Debug, Default)]
pub struct Noted {
    place: Place,
    bytes: u64,
    /// Files that it relies on are gone.
    stale: bool,
}

impl Head {
    /// What is noted: the log up to `place`, in a file of so many bytes.
    pub(super) fn set_noted(&self, place: Place, bytes: u64) {
        *self.noted.lock() = Noted {
            place,
            bytes,
            stale: false,
        };
    }

    /// Files that the shortcut relies on were removed: the next one is due.
    pub(super) fn shortcut_is_stale(&self) {
        self.noted.lock().stale = true;
    }

    /// Whether it is worth to call [`Head::note_shortcut`].
    pub fn shortcut_is_due(&self) -> bool {
        let Some(least) = self.options.shortcut_log_bytes else {
            return false;
        };
        if self.is_replaying() || self.unsettled.load(Ordering::Relaxed) {
            return false;
        }
        let (segment, offset) = self.wal_position();
        let noted = self.noted.lock();
        if least == 0 || noted.stale {
            return true;
        }
        let full = segment.saturating_sub(noted.place.segment);
        let grown = (full.saturating_mul(self.options.wal_segment_bytes))
            .saturating_add(offset)
            .saturating_sub(noted.place.offset);
        let enough = grown >= least.max(TIMES_FILE * noted.bytes);
        drop(noted);
        enough && grown >= self.series_count() as u64 * BYTES_A_SERIES
    }

    /// Writes the file anew. Nobody may remove chunks, series or segments meanwhile.
    ///
    /// # Errors
    /// A file that cannot be written. The one that is there stays, and stays true.
    pub fn note_shortcut(&self) -> Result<(), Error> {
        if self.options.shortcut_log_bytes.is_none()
            || self.is_replaying()
            || self.unsettled.load(Ordering::Relaxed)
        {
            return Ok(());
        }
        let path = path_in(&self.options.dir);
        let temporary = temporary_in(&self.options.dir);
        let fs = &self.options.fs;
        let (segment, offset) = self.wal_position();
        // Also where it fails: not again before the log has grown.
        let before = self.noted.lock().bytes;
        self.set_noted(Place { segment, offset }, before);
        let written = self.write_shortcut(&temporary);
        match written {
            Ok(Some(bytes)) => {
                fs.rename(&temporary, &path).map_err(Error::io(&path))?;
                self.set_noted(Place { segment, offset }, bytes);
                Ok(())
            }
            Ok(None) => remove(&**fs, &temporary),
            Err(error) => {
                // It takes space that may be what is missing.
                let _ = fs.remove_file(&temporary);
                Err(error)
            }
        }
    }

    /// Writes the file under a temporary name and answers its size; `None` where there is nothing to be
    /// said, because not all of the log is known.
    fn write_shortcut(&self, path: &Path) -> Result<Option<u64>, Error> {
        let fs = &*self.options.fs;
        let wal = Head::wal_dir(&self.options.dir);
        // From here on: what the log has is applied, but for what comes behind.
        let (from, mut known) = {
            let _alone = self.committing.write();
            let log = self.wal.lock();
            let Some(log) = &*log else { return Ok(None) };
            let from = Place {
                segment: log.segment(),
                offset: log.position(),
            };
            (from, log.known())
        };
        let min_valid_ms = self.min_valid_ms();
        let mut sink = Sink::create(fs, path).map_err(Error::io(path))?;
        for shard in &self.shards {
            // A lock a page: nobody waits for long.
            for page in 0.. {
                let mut shard = shard.lock();
                if page >= shard.pages() {
                    break;
                }
                for (id, open) in shard.open_states(page) {
                    sink.open_chunk(id, &open);
                }
                drop(shard);
                sink.write_out().map_err(Error::io(path))?;
            }
        }
        // The chunks that became full before they were looked at.
        let chunks_dir = self.options.dir.join("chunks_head");
        self.files.flush().map_err(Error::io(&chunks_dir))?;
        let chunk_files = self.files.extents(sum_of_tail);

        // What was looked at is in the log up to here.
        let (last, end) = self.wal_position();
        let checkpoint = checkpoints(fs, &wal).map_err(Error::io(&wal))?.pop();
        let checkpoint = checkpoint.map(|(number, _)| number);
        let list = segments(fs, &wal).map_err(Error::io(&wal))?;
        let after = checkpoint.map_or(0, |number| number + 1);
        let mut facts = Vec::new();
        for segment in list.iter().filter(|s| (after..=last).contains(&s.number)) {
            let bytes = if segment.number == last {
                end
            } else {
                segment.bytes
            };
            let known = known.remove(&segment.number);
            let marks = if segment.number > from.segment || segment.bytes == 0 {
                Default::default()
            } else {
                match known {
                    Some(known) if segment.number == from.segment => known.marks,
                    Some(known) if known.bytes == segment.bytes => known.marks,
                    // It was damaged when it was read, and cut.
                    _ => return Ok(None),
                }
            };
            let data = fs
                .map(&segment_path(&wal, segment.number))
                .map_err(Error::io(&wal))?;
            let Some(data) = data.get(..bytes as usize) else {
                return Ok(None);
            };
            facts.push(SegmentFacts {
                number: segment.number,
                bytes,
                sum: sum_of_tail(data),
                marks,
            });
        }
        let facts = Facts {
            min_valid_ms,
            checkpoint,
            from,
            segments: facts,
            chunk_files,
        };
        sink.finish(&facts).map(Some).map_err(Error::io(path))
    }

    /// Bytes of the file.
    pub(super) fn shortcut_bytes(&self) -> u64 {
        let path = path_in(&self.options.dir);
        self.options.fs.len(&path).unwrap_or(0)
    }
}

/// Removes the file: what it says is not to be relied upon any more.
///
/// # Errors
/// A file that cannot be removed.
pub fn forget(fs: &dyn FileSystem, dir: &Path) -> Result<(), Error> {
    remove(fs, &path_in(dir))
}

/// Removes what an interrupted [`Head::note_shortcut`] left.
///
/// # Errors
/// As [`forget`].
pub fn remove_temporary(fs: &dyn FileSystem, dir: &Path) -> Result<(), Error> {
    remove(fs, &temporary_in(dir))
}

fn remove(fs: &dyn FileSystem, path: &Path) -> Result<(), Error> {
    match fs.exists(path) {
        true => fs.remove_file(path).map_err(Error::io(path)),
        false => Ok(()),
    }
}
