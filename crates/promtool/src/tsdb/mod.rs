//! `tsdb ...`: what is in a data folder, and blocks made outside of the server.

pub mod analyze;
pub mod backfill;
mod blocks;
pub mod dump;
pub mod import;
pub mod list;

use std::path::Path;

use tsdb::ReadOnlyDb;

use crate::output::os_words;

/// Opens the blocks of a data folder.
///
/// # Errors
/// Upstream's text.
fn open_blocks(dir: &str) -> Result<ReadOnlyDb, String> {
    exists(dir)?;
    ReadOnlyDb::open_blocks(Path::new(dir)).map_err(|e| e.to_string())
}

fn exists(dir: &str) -> Result<(), String> {
    match std::fs::metadata(dir) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "opening the db dir: stat {dir}: {}",
            os_words(&error)
        )),
    }
}
