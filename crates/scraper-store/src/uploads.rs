//! `--storage.tsdb.delay-compact-file.path`: blocks that a shipper (Thanos' sidecar) has not uploaded yet are not
//! compacted.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;
use tsdb::db::KeepBlock;
use tsdb_format::meta::BlockMeta;

/// What was read is good for so long.
const KEEP_FOR: Duration = Duration::from_secs(60);

/// The shipper's notes, as far as they matter here.
#[derive(Deserialize)]
struct Notes {
    #[serde(default)]
    uploaded: HashSet<String>,
}

/// The file, and what was last read of it.
struct Uploads {
    path: PathBuf,
    read: Mutex<Option<(Instant, HashSet<String>)>>,
}

impl Uploads {
    /// Whether a block has to wait. Those of a higher level are not uploaded; without a file that can be read none
    /// waits.
    fn is_pending(&self, meta: &BlockMeta, now: Instant) -> bool {
        if meta.compaction.level > 1 {
            return false;
        }
        let mut read = self.read.lock();
        let fresh = |at: &Instant| now.duration_since(*at) < KEEP_FOR;
        if !read.as_ref().is_some_and(|(at, _)| fresh(at)) {
            match self.notes() {
                Ok(notes) => *read = Some((now, notes.uploaded)),
                Err(error) => {
                    let path = self.path.display();
                    tracing::warn!(%path, err = error, "cannot read TSDB upload meta file");
                    return false;
                }
            }
        }
        let ulid = meta.ulid.to_string();
        (read.as_ref()).is_some_and(|(_, uploaded)| !uploaded.contains(&ulid))
    }

    fn notes(&self) -> Result<Notes, String> {
        let bytes = std::fs::read(&self.path).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|e| e.to_string())
    }
}

/// For [`tsdb::Options`]; nothing where no file is named.
pub fn keep_block(path: &str) -> Option<KeepBlock> {
    if path.is_empty() {
        return None;
    }
    tracing::info!(
        path,
        "Compactions will be delayed for blocks not marked as uploaded in the file tracking uploads"
    );
    let uploads = Uploads {
        path: PathBuf::from(path),
        read: Mutex::new(None),
    };
    Some(Arc::new(move |meta| {
        uploads.is_pending(meta, Instant::now())
    }))
}

#[cfg(test)]
mod tests {
    use tsdb_format::Ulid;

    use super::*;

    #[test]
    fn what_is_noted_need_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thanos.shipper.json");
        let uploads = Uploads {
            path: path.clone(),
            read: Mutex::new(None),
        };
        let mut block = BlockMeta {
            ulid: Ulid(7),
            ..BlockMeta::default()
        };
        block.compaction.level = 1;
        let start = Instant::now();
        let at = |meta: &BlockMeta, seconds| {
            uploads.is_pending(meta, start + Duration::from_secs(seconds))
        };
        // Without a file, and with one that is none, nothing waits, and nothing is remembered.
        assert!(!at(&block, 0));
        std::fs::write(&path, "{").unwrap();
        assert!(!at(&block, 1));
        std::fs::write(&path, r#"{"version": 1}"#).unwrap();
        assert!(at(&block, 2));
        let text = format!(r#"{{"version": 1, "uploaded": ["{}"]}}"#, block.ulid);
        std::fs::write(&path, text).unwrap();
        assert!(at(&block, 61), "what was read is good for a minute");
        assert!(!at(&block, 62));
        block.ulid = Ulid(8);
        assert!(at(&block, 63));
        block.compaction.level = 2;
        assert!(!at(&block, 63));
    }
}
