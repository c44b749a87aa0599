//! How far a queue has come in the log, and the file that keeps it over restarts.
//!
//! ```text
//! remote_write/<queue>.position        all numbers big-endian
//!        0  slot     the slots are written in turn: one of them is always whole
//!    16384  slot
//!
//! slot       magic "FWRP0001" | sequence u64 | shards u32 | shard* | CRC-32C u32 of all before
//! shard      taken position | sending position
//! position   segment u64 | offset u64 | index u32
//! ```
//!
//! Both positions are written before a request is sent, and again when it was taken. After a kill, what
//! lies between them may have been taken or not: it is sent once more as a request of its own, for a
//! receiver that has it refuses all of the request it is in.
//!
//! Nothing is forced to the disk: the file is for the death of the process. After the death of the
//! machine it may be some seconds old, as the log may be, and samples are sent twice.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tsdb::wal::Place;

const MAGIC: &[u8; 8] = b"FWRP0001";
const SLOT_BYTES: u64 = 16 << 10;
const HEAD_BYTES: usize = 20;
const POSITION_BYTES: usize = 20;
const SHARD_BYTES: usize = 2 * POSITION_BYTES;

/// The most shards whose positions fit a slot.
pub(crate) const MAX_SHARDS: usize =
    (SLOT_BYTES as usize - HEAD_BYTES - size_of::<u32>()) / SHARD_BYTES;

/// Everything in the log before a record, and the first entries of that record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub segment: u64,
    /// Where the record ends.
    pub offset: u64,
    /// How many of the record's entries.
    pub index: u32,
}

impl Position {
    /// Behind the record that ends at `place`.
    pub fn behind(place: Place) -> Position {
        Position::within(place, u32::MAX)
    }

    /// Behind the first `index` entries of the record that ends at `place`.
    pub fn within(place: Place, index: u32) -> Position {
        Position {
            segment: place.segment,
            offset: place.offset,
            index,
        }
    }
}

/// How far a shard has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Everything of the shard up to here was taken, or refused for good.
    pub taken: Position,
    /// Up to here a request was under way.
    pub sending: Position,
}

impl Progress {
    /// Nothing is under way.
    pub fn at(taken: Position) -> Progress {
        Progress {
            taken,
            sending: taken,
        }
    }
}

/// The file of a queue.
pub(crate) struct PositionFile {
    path: PathBuf,
    file: File,
    sequence: u64,
    last: Vec<Progress>,
    buffer: Vec<u8>,
}

impl PositionFile {
    /// Opens or creates the file; what it says is in [`PositionFile::last`]: one a shard, none
    /// where there is nothing to be read.
    ///
    /// # Errors
    /// A folder or file that cannot be created or read.
    pub fn open(path: &Path) -> io::Result<PositionFile> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file.open(path)?;
        let bytes = std::fs::read(path)?;
        let slots = [0, SLOT_BYTES as usize].map(|at| bytes.get(at..).and_then(decode));
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.0);
        let (sequence, last) = newest.unwrap_or_default();
        Ok(PositionFile {
            path: path.to_owned(),
            file,
            sequence,
            last,
            buffer: Vec::new(),
        })
    }

    /// What was saved last.
    pub fn last(&self) -> &[Progress] {
        &self.last
    }

    /// Saves how far all shards have come, unless that is what is there.
    ///
    /// # Errors
    /// A write that failed; the older positions stay.
    pub fn save(&mut self, shards: &[Progress]) -> io::Result<()> {
        if self.last == shards {
            return Ok(());
        }
        let sequence = self.sequence + 1;
        encode(sequence, shards, &mut self.buffer);
        let at = (sequence % 2) * SLOT_BYTES;
        self.file
            .write_all_at(&self.buffer, at)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))?;
        self.sequence = sequence;
        self.last.clear();
        self.last.extend_from_slice(shards);
        Ok(())
    }
}

fn encode(sequence: u64, shards: &[Progress], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&(shards.len() as u32).to_be_bytes());
    for position in shards.iter().flat_map(|shard| [shard.taken, shard.sending]) {
        out.extend_from_slice(&position.segment.to_be_bytes());
        out.extend_from_slice(&position.offset.to_be_bytes());
        out.extend_from_slice(&position.index.to_be_bytes());
    }
    out.extend_from_slice(&crc32c::crc32c(out).to_be_bytes());
}

/// The sequence number and shards of a slot, if it is whole.
fn decode(slot: &[u8]) -> Option<(u64, Vec<Progress>)> {
    let number32 = |at: usize| Some(u32::from_be_bytes(slot.get(at..at + 4)?.try_into().ok()?));
    let number64 = |at: usize| Some(u64::from_be_bytes(slot.get(at..at + 8)?.try_into().ok()?));
    if slot.get(..8)? != MAGIC {
        return None;
    }
    let count = number32(16)? as usize;
    if count > MAX_SHARDS {
        return None;
    }
    let end = HEAD_BYTES + count * SHARD_BYTES;
    if crc32c::crc32c(slot.get(..end)?) != number32(end)? {
        return None;
    }
    let position = |at: usize| {
        Some(Position {
            segment: number64(at)?,
            offset: number64(at + 8)?,
            index: number32(at + 16)?,
        })
    };
    let shards = (HEAD_BYTES..end).step_by(SHARD_BYTES).map(|at| {
        Some(Progress {
            taken: position(at)?,
            sending: position(at + POSITION_BYTES)?,
        })
    });
    Some((number64(8)?, shards.collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(n: usize, segment: u64) -> Vec<Progress> {
        (0..n)
            .map(|i| Progress {
                taken: Position {
                    segment,
                    offset: i as u64 * 7,
                    index: i as u32,
                },
                sending: Position {
                    segment: segment + 1,
                    ..Position::default()
                },
            })
            .collect()
    }

    #[test]
    fn the_last_whole_slot_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("remote_write/a.position");
        let mut file = PositionFile::open(&path).unwrap();
        assert_eq!(file.last(), []);
        for segment in 1..4 {
            file.save(&positions(MAX_SHARDS, segment)).unwrap();
        }
        file.save(&positions(3, 4)).unwrap();
        let again = PositionFile::open(&path).unwrap();
        assert_eq!(again.last(), positions(3, 4));
        // The newest slot is torn: the one before it is still there.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let again = PositionFile::open(&path).unwrap();
        assert_eq!(again.last(), positions(MAX_SHARDS, 3));
    }

    #[test]
    fn garbage_is_no_position() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for bytes in [&b"FWRP0001"[..], &[0xff; 40_000], b""] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(PositionFile::open(&path).unwrap().last(), []);
        }
    }
}
