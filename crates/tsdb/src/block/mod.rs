//! Blocks: immutable folders of chunks and an index, named by ULID.
//!
//! [`writer::BlockWriter`] writes one, [`Block`] opens one, [`BlockQuerier`] answers questions from
//! it. `repair` mends what an old revision wrote.

pub mod encode;
mod matching;
mod querier;
mod reader;
pub mod repair;
pub mod writer;

#[cfg(test)]
mod tests;

pub use querier::BlockQuerier;
pub use reader::{Block, SeriesHandle};
pub use writer::{BlockChunk, BlockWriter, write_block, write_block_in};

use std::path::Path;

use tsdb_format::Ulid;

use crate::Error;
use crate::fs::FileSystem;

/// The folder of a block's chunk segments.
pub const CHUNKS_DIR: &str = "chunks";
/// What a block's folder is called while it is written.
pub const CREATION_SUFFIX: &str = ".tmp-for-creation";
/// What a block's folder is called while it is removed.
pub const DELETION_SUFFIX: &str = ".tmp-for-deletion";

/// A name for a block made at `t_ms`, with randomness of the operating system's.
pub fn new_ulid(t_ms: i64) -> Ulid {
    use std::hash::BuildHasher as _;
    // Seeded anew at each call.
    let state = std::collections::hash_map::RandomState::new();
    let random = u128::from(state.hash_one(0u64)) << 64 | u128::from(state.hash_one(1u64));
    Ulid::new(t_ms.max(0) as u64, random)
}

/// The blocks of a data folder, by name: folders that are called by a ULID and have a meta.json.
///
/// # Errors
/// A folder that cannot be listed.
pub fn block_folders(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Ulid>, Error> {
    let entries = fs.list(dir).map_err(Error::io(dir))?;
    Ok(entries
        .iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| entry.name.parse().ok())
        .collect())
}

/// Removes what an interrupted creation or deletion of blocks left behind, upstream's suffixes
/// included; returns what was removed.
///
/// # Errors
/// A folder that cannot be listed or removed.
pub fn remove_leftovers(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<String>, Error> {
    let entries = fs.list(dir).map_err(Error::io(dir))?;
    let mut removed = Vec::new();
    for entry in entries {
        let leftover = [CREATION_SUFFIX, DELETION_SUFFIX, ".tmp"]
            .iter()
            .filter_map(|suffix| entry.name.strip_suffix(suffix))
            .any(|name| name.parse::<Ulid>().is_ok());
        if entry.is_dir && leftover {
            let path = dir.join(&entry.name);
            fs.remove_dir_all(&path).map_err(Error::io(&path))?;
            removed.push(entry.name);
        }
    }
    Ok(removed)
}

/// Removes a block in two steps, so that a crash leaves no half block under its name.
///
/// # Errors
/// A step that fails.
pub fn remove_block(fs: &dyn FileSystem, dir: &Path, ulid: Ulid) -> Result<(), Error> {
    let from = dir.join(ulid.to_string());
    let to = dir.join(format!("{ulid}{DELETION_SUFFIX}"));
    if fs.exists(&to) {
        fs.remove_dir_all(&to).map_err(Error::io(&to))?;
    }
    fs.rename(&from, &to).map_err(Error::io(&from))?;
    fs.remove_dir_all(&to).map_err(Error::io(&to))
}
