//! Blocks that a broken revision of upstream wrote: meta.json says version 2, the index version 1
//! though its series references are those of version 2 (prometheus/prometheus `tsdb/repair.go`).

use std::path::Path;

use tsdb_format::meta::{self, BlockMeta};
use tsdb_format::{Ulid, index};

use super::block_folders;
use super::reader::broken_meta;
use crate::Error;
use crate::fs::{self, FileSystem};

/// Where the version stands in an index.
const VERSION_OFFSET: usize = 4;

/// Mends such blocks of a data folder; returns which. A folder without a readable meta.json is left
/// to be reported when it is opened.
///
/// # Errors
/// A file that cannot be read or written.
pub fn repair_index_versions(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Ulid>, Error> {
    let mut repaired = Vec::new();
    for ulid in block_folders(fs, dir)? {
        let block = dir.join(ulid.to_string());
        let path = block.join(meta::FILE_NAME);
        let Ok(bytes) = fs.read(&path) else { continue };
        let Ok(meta) = BlockMeta::decode_any_version(&bytes) else {
            continue;
        };
        match meta.version {
            1 => continue,
            2 => repair(fs, &block, &meta)?,
            version => {
                let error = meta::MetaError::Version(version);
                return Err(broken_meta(&path, &error));
            }
        }
        repaired.push(ulid);
    }
    Ok(repaired)
}

fn repair(fs: &dyn FileSystem, block: &Path, meta: &BlockMeta) -> Result<(), Error> {
    let path = block.join(index::FILE_NAME);
    let mut bytes = fs.read(&path).map_err(Error::io(&path))?;
    if let Some(version) = bytes.get_mut(VERSION_OFFSET) {
        *version = 2;
    }
    // The index first: repeated after a crash, this changes nothing more.
    fs::write_atomic(fs, &path, &bytes).map_err(Error::io(&path))?;
    let path = block.join(meta::FILE_NAME);
    fs::write_atomic(fs, &path, &meta.encode()).map_err(Error::io(&path))
}
