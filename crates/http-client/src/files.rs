//! Files that are read again when they change.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;
use yaml_config::Secret;

use crate::error::go_file_error;

/// What a file looked like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

/// The stamp of a file; `None` if it cannot be had.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        len: metadata.len(),
        inode: metadata.ino(),
    })
}

/// A secret that is written down or kept in a file.
#[derive(Debug)]
pub(crate) enum Source {
    Inline(Secret),
    File(FileSecret),
}

/// A file whose trimmed text is a secret. One `stat` per use, read again if that differs.
#[derive(Debug)]
pub(crate) struct FileSecret {
    path: PathBuf,
    known: Mutex<Option<(Stamp, Secret)>>,
}

impl Source {
    /// One of the alternatives of a section; nothing given is the empty secret.
    pub fn new(text: Secret, file: &Path, reference: &str) -> Result<Source, String> {
        if !reference.is_empty() {
            return Err("cannot use secret ref without manager".to_owned());
        }
        if file.as_os_str().is_empty() {
            return Ok(Source::Inline(text));
        }
        Ok(Source::File(FileSecret {
            path: file.to_owned(),
            known: Mutex::new(None),
        }))
    }

    /// The secret as it is now.
    pub fn get(&self) -> Result<Secret, String> {
        match self {
            Source::Inline(secret) => Ok(secret.clone()),
            Source::File(file) => file.get(),
        }
    }

    /// Whether it can never change.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Source::Inline(_))
    }
}

impl FileSecret {
    fn get(&self) -> Result<Secret, String> {
        let now = stamp(&self.path);
        let mut known = self.known.lock();
        if let (Some(now), Some((then, secret))) = (now, &*known)
            && now == *then
        {
            return Ok(secret.clone());
        }
        let text = std::fs::read_to_string(&self.path).map_err(|error| {
            format!(
                "unable to read file {}: {}",
                self.path.display(),
                go_file_error("open", &self.path, &error)
            )
        })?;
        let secret = Secret::new(text.trim());
        *known = now.map(|stamp| (stamp, secret.clone()));
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let source = Source::new(Secret::default(), &path, "").unwrap();
        assert!(
            source
                .get()
                .unwrap_err()
                .starts_with("unable to read file ")
        );
        std::fs::write(&path, " one\n").unwrap();
        assert_eq!(source.get().unwrap().reveal(), "one");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(source.get().unwrap().reveal(), "second");
        std::fs::remove_file(&path).unwrap();
        assert!(source.get().is_err());
    }
}
