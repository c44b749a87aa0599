//! Reading segments from the first record to the last good one, and cutting off what is damaged.

use std::io;
use std::path::Path;

use tsdb_format::FormatError;
use tsdb_format::wal::page::SegmentReader;

use super::{Segment, segments};
use crate::fs::FileSystem;

/// A segment that cannot be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is before is good.
    pub valid_to: u64,
    pub error: FormatError,
}

/// Hands the records of a segment to `take`, in order, with the position behind each. Damage, or a
/// record that `take` refuses, ends the reading.
///
/// # Errors
/// A file that cannot be mapped; damage is the result's inner error.
pub fn read_segment(
    fs: &dyn FileSystem,
    path: &Path,
    take: impl FnMut(&[u8]) -> Result<(), FormatError>,
) -> io::Result<Result<(), Damage>> {
    read_segment_from(fs, path, 0, take)
}

/// [`read_segment`] from `position` on, where a record starts.
///
/// # Errors
/// As there.
pub fn read_segment_from(
    fs: &dyn FileSystem,
    path: &Path,
    position: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), FormatError>,
) -> io::Result<Result<(), Damage>> {
    let data = fs.map(path)?;
    let mut reader = SegmentReader::at(&data, position as usize);
    loop {
        let valid_to = reader.valid_to() as u64;
        match reader.next_record() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(record)) => {
                if let Err(error) = take(record) {
                    return Ok(Err(Damage { valid_to, error }));
                }
            }
            Err(error) => {
                let valid_to = reader.valid_to() as u64;
                return Ok(Err(Damage { valid_to, error }));
            }
        }
    }
}

/// Cuts a damaged log: the segment at what is good, and every segment behind it goes. Segments from
/// `keep` on stay, as they are being written; those between are emptied then, because Prometheus
/// wants their numbers without a gap.
///
/// # Errors
/// A file that cannot be cut or removed.
pub fn repair(
    fs: &dyn FileSystem,
    dir: &Path,
    segment: &Segment,
    damage: &Damage,
    keep: Option<u64>,
) -> io::Result<()> {
    // Last first: an interrupted repair must not leave a gap behind the damage.
    for later in segments(fs, dir)?.iter().rev() {
        if later.number > segment.number && keep.is_none_or(|keep| later.number < keep) {
            tracing::warn!(
                segment = later.number,
                "deleting all segments newer than corrupted segment"
            );
            match keep {
                None => fs.remove_file(&later.path)?,
                Some(_) => fs.open(&later.path)?.set_len(0)?,
            }
        }
    }
    tracing::warn!(
        segment = segment.number,
        offset = damage.valid_to,
        dropped_bytes = segment.bytes.saturating_sub(damage.valid_to),
        "rewrite corrupted segment"
    );
    let file = fs.open(&segment.path)?;
    file.set_len(damage.valid_to)?;
    file.sync()?;
    fs.sync_dir(dir)
}
