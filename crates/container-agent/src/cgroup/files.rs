//! Reading the small files of a cgroup.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use crate::info::Psi;

/// The files of one directory.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// The files of this directory, whether it is there or not.
    pub fn new(directory: PathBuf) -> Files {
        Files { directory }
    }

    /// Whether the directory is there.
    pub fn exist(&self) -> bool {
        self.directory.is_dir()
    }

    /// A file's complete lines. The kernel ends every line: what does not end was cut off, and a
    /// number in it may be any part of the real one.
    pub fn text(&self, file: &str) -> Option<String> {
        let bytes = std::fs::read(self.directory.join(file)).ok()?;
        let mut text = String::from_utf8(bytes).ok()?;
        text.truncate(text.rfind('\n')? + 1);
        Some(text)
    }

    /// A file with one number; `max` is the largest.
    pub fn number(&self, file: &str) -> Option<u64> {
        number(self.text(file)?.trim())
    }

    /// The number of a key in a file of `key number` lines.
    pub fn value_of(&self, file: &str, key: &str) -> Option<u64> {
        let text = self.text(file)?;
        key_values(&text).find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// A file of pressure stall information.
    pub fn psi(&self, file: &str) -> Psi {
        let mut psi = Psi::default();
        for line in self.text(file).unwrap_or_default().lines() {
            let total = line
                .rsplit_once("total=")
                .and_then(|(_, total)| total.parse().ok());
            match (line.split(' ').next(), total) {
                (Some("some"), Some(total)) => psi.some.total = total,
                (Some("full"), Some(total)) => psi.full.total = total,
                _ => {}
            }
        }
        psi
    }

    /// The names of the files.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// When a file (or with an empty name the directory) was last changed.
    pub fn modified_ms(&self, file: &str) -> Option<i64> {
        let path = match file {
            "" => self.directory.clone(),
            file => self.directory.join(file),
        };
        let time = path.metadata().ok()?.modified().ok()?;
        i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    }
}

/// A number of a cgroup file.
pub fn number(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    }
}

/// The `key number` lines of a text; others are passed over.
pub fn key_values(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, number(value.trim())?))
    })
}
