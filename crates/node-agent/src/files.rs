//! Reading /proc and /sys below their root paths, through one buffer that is used again.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

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
const MOST_BYTES: usize = 64 << 20;
/// An attribute of sysfs fits into a page, and comes whole with one read.
const PAGE_BYTES: usize = 4096;

/// A directory that was found: its files are read without looking for it again.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Dir(OwnedFd);

#[cfg(target_os = "linux")]
impl Dir {
    /// A directory.
    ///
    /// # Errors
    /// It is not there, or is no directory.
    pub fn open(path: &Path) -> Result<Dir, CollectError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened.map(Dir).map_err(|e| failed(path, e))
    }
}

fn failed(path: &Path, error: rustix::io::Errno) -> CollectError {
    CollectError::Io {
        path: path.to_owned(),
        source: error.into(),
    }
}

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
        match self.fill(CWD, path, false) {
            Ok(()) => Ok(self.text()),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// A short file's text without blanks around it; `None` if it cannot be read.
    pub fn value(&mut self, path: &Path) -> Option<&str> {
        self.fill(CWD, path, true).ok()?;
        Some(self.text().trim())
    }

    /// A file that holds one number.
    pub fn number(&mut self, path: &Path) -> Option<f64> {
        number(self.value(path)?)
    }

    /// [`Files::value`] of a file in a directory that is open.
    #[cfg(target_os = "linux")]
    pub fn value_in(&mut self, dir: &Dir, name: &str) -> Option<&str> {
        self.fill(&dir.0, Path::new(name), true).ok()?;
        Some(self.text().trim())
    }

    /// [`Files::number`] of a file in a directory that is open.
    #[cfg(target_os = "linux")]
    pub fn number_in(&mut self, dir: &Dir, name: &str) -> Option<f64> {
        number(self.value_in(dir, name)?)
    }

    /// Reads a file into the buffer. A `short` one is at its end where a read does not fill what there
    /// is room for; of other files of procfs the kernel may give less at a time.
    fn fill(
        &mut self,
        dir: impl std::os::fd::AsFd,
        path: &Path,
        short: bool,
    ) -> rustix::io::Result<()> {
        self.buffer.clear();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, path, flags, Mode::empty())?;
        while self.buffer.len() < MOST_BYTES {
            self.buffer.reserve(PAGE_BYTES);
            let room = self.buffer.capacity() - self.buffer.len();
            let spare = rustix::buffer::spare_capacity(&mut self.buffer);
            let read = match rustix::io::read(&file, spare) {
                Err(rustix::io::Errno::INTR) => continue,
                read => read?,
            };
            if read == 0 || (short && read < room) {
                break;
            }
        }
        Ok(())
    }

    fn text(&mut self) -> &str {
        if std::str::from_utf8(&self.buffer).is_err() {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            self.buffer = text.into_bytes();
        }
        std::str::from_utf8(&self.buffer).unwrap_or_default()
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
