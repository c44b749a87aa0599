//! The write-ahead log on disk: numbered segments and checkpoints (prometheus/prometheus
//! `tsdb/wlog`). The bytes within are `tsdb_format::wal`'s; the write-behind log of out-of-order
//! samples (`wbl/`) is a second one of these.

mod checkpoint;
mod live_reader;
mod marks;
mod reader;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use storage::AppendError;

use crate::fs::FileSystem;

pub use checkpoint::{CheckpointStats, checkpoint};
pub use live_reader::{LiveReader, Place};
pub use marks::{KnownSegment, KnownSegments, PageMarks};
pub use reader::{Damage, read_segment, read_segment_from, repair};
pub use writer::{Writer, WriterMetrics};

/// A segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub bytes: u64,
}

/// The segments of a folder in order; nothing where there is no folder.
///
/// # Errors
/// A folder that cannot be listed.
pub fn segments(fs: &dyn FileSystem, dir: &Path) -> io::Result<Vec<Segment>> {
    if !fs.exists(dir) {
        return Ok(Vec::new());
    }
    let mut segments: Vec<Segment> = fs
        .list(dir)?
        .into_iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| {
            let digits = entry.name.bytes().all(|b| b.is_ascii_digit());
            Some(Segment {
                number: entry.name.parse().ok().filter(|_| digits)?,
                path: dir.join(&entry.name),
                bytes: entry.len,
            })
        })
        .collect();
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

/// The path of a segment.
pub fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}"))
}

/// The checkpoints of a log's folder by the last segment they replace, in order.
///
/// # Errors
/// A folder that cannot be listed.
pub fn checkpoints(fs: &dyn FileSystem, dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    if !fs.exists(dir) {
        return Ok(Vec::new());
    }
    let mut found: Vec<(u64, PathBuf)> = fs
        .list(dir)?
        .into_iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| {
            let number = entry.name.strip_prefix("checkpoint.")?.parse().ok()?;
            Some((number, dir.join(&entry.name)))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Removes what an interrupted checkpoint left.
///
/// # Errors
/// A folder that cannot be listed or removed.
pub fn remove_temporary(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    if !fs.exists(dir) {
        return Ok(());
    }
    for entry in fs.list(dir)? {
        if entry.is_dir && entry.name.starts_with("checkpoint.") && entry.name.ends_with(".tmp") {
            fs.remove_dir_all(&dir.join(&entry.name))?;
        }
    }
    Ok(())
}

/// What becomes of a batch that could not be written to the log of that name. A disk that is full may
/// have room again: the sender shall come back.
pub fn refused(log: &str, error: &io::Error) -> AppendError {
    let text = format!("write to {log}: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::Unavailable(text),
        _ => AppendError::Io(text),
    }
}

/// Removes the segments before `first`, oldest first.
///
/// # Errors
/// A segment that cannot be removed; those before it are gone.
pub fn remove_before(fs: &dyn FileSystem, dir: &Path, first: u64) -> io::Result<()> {
    for segment in segments(fs, dir)? {
        if segment.number < first {
            fs.remove_file(&segment.path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
