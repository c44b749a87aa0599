//! A database that another process may have open, read without writing to its folder's files: what
//! promtool looks at.
//!
//! Blocks are opened where they are. The head's files are copied to a sandbox and replayed there,
//! since replaying may repair and write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::{Querier, Queryable, StorageError};

use crate::Error;
use crate::block::{Block, BlockQuerier, block_folders};
use crate::columns::encode_columns;
use crate::db::{Db, Options};
use crate::fs::{FileSystem, RealFs};

/// A data folder, to read from.
pub struct ReadOnlyDb {
    blocks: Vec<Arc<Block>>,
    head: Option<Sandbox>,
}

/// The head, replayed from copies that go when this does.
struct Sandbox {
    db: Option<Db>,
    dir: PathBuf,
}

impl ReadOnlyDb {
    /// Opens the blocks of a data folder, oldest first.
    ///
    /// # Errors
    /// A folder that is not there, a block that is damaged.
    pub fn open_blocks(dir: &Path) -> Result<ReadOnlyDb, Error> {
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let mut blocks = Vec::new();
        for ulid in block_folders(&*fs, dir)? {
            let block = Block::open(Arc::clone(&fs), &dir.join(ulid.to_string()))?;
            blocks.push(Arc::new(block));
        }
        blocks.sort_by_key(|block| (block.range(), block.ulid()));
        Ok(ReadOnlyDb { blocks, head: None })
    }

    /// Opens blocks and head; the head's files are copied to a folder in `sandbox_root`, which goes
    /// again with this value.
    ///
    /// # Errors
    /// As [`ReadOnlyDb::open_blocks`]; files that cannot be copied, logs that cannot be replayed.
    pub fn open(dir: &Path, sandbox_root: &Path) -> Result<ReadOnlyDb, Error> {
        let mut db = ReadOnlyDb::open_blocks(dir)?;
        let sandbox = Sandbox::create(sandbox_root)?;
        for name in ["wal", "wbl", "chunks_head"] {
            let from = dir.join(name);
            if from.is_dir() {
                copy_folder(&from, &sandbox.dir.join(name))?;
            }
        }
        db.head = Some(sandbox.replay()?);
        Ok(db)
    }

    /// The blocks, oldest first.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }
}

impl Sandbox {
    fn create(root: &Path) -> Result<Sandbox, Error> {
        std::fs::create_dir_all(root).map_err(Error::io(root))?;
        let pid = std::process::id();
        let dir = (0..)
            .map(|i| root.join(format!("tmp_dbro_sandbox{pid}_{i}")))
            .find(|dir| !dir.exists())
            .expect("there are more numbers than folders");
        std::fs::create_dir(&dir).map_err(Error::io(&dir))?;
        Ok(Sandbox { db: None, dir })
    }

    fn replay(mut self) -> Result<Sandbox, Error> {
        let db = Db::open(Options {
            background: false,
            no_lockfile: true,
            // What was let in when it was written is read back.
            out_of_order_window_ms: i64::MAX / 4,
            ..Options::new(&self.dir)
        })?;
        self.db = Some(db);
        Ok(self)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.db = None;
        // A folder that stays is seen by the next one who looks; there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir(to).map_err(Error::io(to))?;
    for entry in std::fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &target)?;
            continue;
        }
        match std::fs::copy(&source, &target) {
            Ok(_) => {}
            // Its owner is at work: what it has just removed it has put elsewhere.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(&source)(error)),
        }
    }
    Ok(())
}

impl Queryable for ReadOnlyDb {
    fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError> {
        let mut queriers: Vec<Box<dyn Querier>> = self
            .blocks
            .iter()
            .filter(|block| block.overlaps(min_ms, max_ms))
            .map(|block| {
                Box::new(BlockQuerier::new(Arc::clone(block), min_ms, max_ms)) as Box<dyn Querier>
            })
            .collect();
        if let Some(db) = self.head.as_ref().and_then(|head| head.db.as_ref()) {
            queriers.push(db.querier(min_ms, max_ms)?);
        }
        Ok(storage::merge::merge_queriers(queriers, encode_columns))
    }
}
