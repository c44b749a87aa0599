//! Reading the small files of a cgroup.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use crate::info::Psi;

/// The files of one directory, which stays open: looking up twenty files of a cgroup by their whole
/// paths costs more than reading them.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    directory: Option<OwnedFd>,
}

impl Files {
    /// The files of this directory, whether it is there or not.
    pub fn new(path: PathBuf) -> Files {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Files {
            directory: rustix::fs::open(&path, flags, Mode::empty()).ok(),
            path,
        }
    }

    /// Whether the directory is there.
    pub fn exist(&self) -> bool {
        self.directory.is_some()
    }

    /// A file's complete lines. The kernel ends every line: what does not end was cut off, and a
    /// number in it may be any part of the real one.
    pub fn text(&self, file: &str) -> Option<String> {
        let directory = self.directory.as_ref()?;
        let mut text = read_text(directory.as_fd(), Path::new(file))?;
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
        let entries = std::fs::read_dir(&self.path)
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
        let directory = self.directory.as_ref()?;
        let stat = rustix::fs::statat(directory, file, AtFlags::EMPTY_PATH).ok()?;
        let millis = i64::try_from(stat.st_mtime_nsec).ok()? / 1_000_000;
        stat.st_mtime.checked_mul(1000)?.checked_add(millis)
    }
}

/// A whole text file of the kernel's; `None` where it is not there, or none.
pub fn read_file(path: &Path) -> Option<String> {
    read_text(CWD, path)
}

/// The kernel fills a page (4 KiB) with whole lines before it hands anything out: less than this, and
/// the next line would have fitted too, had there been one.
const SURELY_WHOLE: usize = 3 * 1024;

/// Reads with as few calls as can be: mostly one, and none to find the end.
fn read_text(directory: BorrowedFd<'_>, path: &Path) -> Option<String> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 16 * 1024]);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, path, flags, Mode::empty()).ok()?;
    BUFFER.with_borrow_mut(|buffer| {
        let mut length = 0;
        loop {
            let read = match rustix::io::read(&file, &mut buffer[length..]) {
                Ok(read) => read,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return None,
            };
            length += read;
            if read == 0 || (length < SURELY_WHOLE && buffer[..length].ends_with(b"\n")) {
                break;
            }
            if length == buffer.len() {
                buffer.resize(2 * length, 0);
            }
        }
        let text = std::str::from_utf8(&buffer[..length]).ok()?;
        Some(text.to_owned())
    })
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
