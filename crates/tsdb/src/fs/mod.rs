//! The seam to the disk: the few file operations a store needs, the real file system ([`RealFs`])
//! and a twin that fails on command ([`FaultFs`]), so that tests can crash at every single step.
//!
//! Reads through a [`Mapping`] are plain memory accesses and cannot fail on command; everything that
//! changes the disk goes through the traits.

mod fault;
mod real;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use fault::{Fault, FaultFs};
pub use real::RealFs;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name without its folder.
    pub name: String,
    pub is_dir: bool,
    /// Length in bytes; 0 for a folder.
    pub len: u64,
}

/// Size and free space of the file system a path lies on, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total: u64,
    pub available: u64,
}

/// A file held open for writing.
pub trait File: Send + Sync {
    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    ///
    /// # Errors
    /// What the operating system says.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Forces the content to the disk.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync(&self) -> io::Result<()>;

    /// Maps the first `len` bytes for reading. `len` may exceed the file's length: what lies beyond
    /// must not be touched before it has been written.
    ///
    /// # Errors
    /// What the operating system says.
    fn map(&self, len: usize) -> io::Result<Mapping>;
}

/// The operations on paths.
pub trait FileSystem: Send + Sync {
    /// Creates a file, or empties the one there is.
    ///
    /// # Errors
    /// What the operating system says, here and below.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens a file that exists, for writing; its content stays.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// The whole content.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Maps a whole file for reading.
    fn map(&self, path: &Path) -> io::Result<Mapping>;
    /// Length of a file in bytes.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Whether there is anything at the path.
    fn exists(&self, path: &Path) -> bool;
    /// The entries of a folder, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Creates a folder and those above it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file or folder; an existing file is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with everything in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Forces a folder's entries to the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Size and free space of the file system `path` is on.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Takes the lock of a data folder, without waiting; it is held until the answer is dropped.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// Writes a file in one go: beside its final name first, synced, then renamed.
///
/// # Errors
/// The first operation that fails; the temporary file may stay.
pub fn write_atomic(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    let file = fs.create(&tmp)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    drop(file);
    fs.rename(&tmp, path)?;
    match path.parent() {
        Some(dir) => fs.sync_dir(dir),
        None => Ok(()),
    }
}

/// The sum of the lengths of all files below `dir`; what vanishes meanwhile counts nothing.
pub fn dir_size(fs: &dyn FileSystem, dir: &Path) -> u64 {
    let Ok(entries) = fs.list(dir) else { return 0 };
    entries
        .iter()
        .map(|entry| match entry.is_dir {
            true => dir_size(fs, &dir.join(&entry.name)),
            false => entry.len,
        })
        .sum()
}

/// A file mapped for reading; a clone shares the mapping.
#[derive(Clone)]
pub struct Mapping(Arc<Bytes>);

enum Bytes {
    Empty,
    Mapped(memmap2::Mmap),
}

impl Mapping {
    /// A mapping of no bytes, which the operating system does not offer.
    pub fn empty() -> Mapping {
        Mapping(Arc::new(Bytes::Empty))
    }

    pub(crate) fn of_file(file: &std::fs::File, len: usize) -> io::Result<Mapping> {
        if len == 0 {
            return Ok(Mapping::empty());
        }
        // SAFETY: the store's files are only appended to or replaced as a whole, and the data
        // folder is locked against other writers; a file that somebody else cuts short under us
        // ends the process, as it does upstream.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file)? };
        Ok(Mapping(Arc::new(Bytes::Mapped(map))))
    }
}

impl std::ops::Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Bytes::Empty => &[],
            Bytes::Mapped(map) => map,
        }
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapping({} bytes)", self.len())
    }
}
