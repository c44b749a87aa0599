//! Reading /proc and /sys below their root paths, through one buffer that is used again.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::collectors::CollectError;

/// Where the host's trees are (`--path.*`).
#[derive(Debug, Clone)]
pub struct Paths {
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
    /// The root of the host's file systems.
    pub root: PathBuf,
    /// udev's database.
    pub udev: PathBuf,
}

/// A reader of small files.
#[derive(Debug)]
pub struct Files {
    /// The roots.
    pub paths: Paths,
    buffer: Vec<u8>,
}

/// Longest file that is read: what is longer is no table of the kernel's.
const MOST_BYTES: u64 = 64 << 20;

impl Files {
    /// A reader below these roots.
    pub fn new(paths: Paths) -> Files {
        Files {
            paths,
            buffer: Vec::new(),
        }
    }

    /// A file below procfs. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn proc(&mut self, name: &str) -> Result<&str, CollectError> {
        let path = self.paths.proc.join(name);
        self.read(&path)
    }

    /// Any file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self, path: &Path) -> Result<&str, CollectError> {
        self.buffer.clear();
        let read =
            File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut self.buffer));
        if let Err(source) = read {
            return Err(CollectError::Io {
                path: path.to_owned(),
                source,
            });
        }
        if std::str::from_utf8(&self.buffer).is_err() {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            self.buffer = text.into_bytes();
        }
        Ok(std::str::from_utf8(&self.buffer).unwrap_or_default())
    }

    /// A file's text without blanks around it; `None` if it cannot be read.
    pub fn value(&mut self, path: &Path) -> Option<&str> {
        self.read(path).ok().map(str::trim)
    }

    /// A file that holds one number.
    pub fn number(&mut self, path: &Path) -> Option<f64> {
        number(self.value(path)?)
    }
}

/// A number of the kernel's: decimal, or hexadecimal after `0x`.
pub fn number(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|n| n as f64),
        None => text.parse().ok(),
    }
}

/// The names in a directory, sorted.
///
/// # Errors
/// The directory cannot be read.
pub fn list(dir: &Path) -> Result<Vec<String>, CollectError> {
    let names = || -> io::Result<Vec<String>> {
        std::fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    let mut names = names().map_err(|source| CollectError::Io {
        path: dir.to_owned(),
        source,
    })?;
    names.sort_unstable();
    Ok(names)
}
