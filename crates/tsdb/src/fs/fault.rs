//! A file system that fails on command.

use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Entry, File, FileSystem, Mapping, RealFs, Space};

/// How an operation that changes the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the operation: it and all that follow do nothing.
    Crash,
    /// The process dies inside a write: this many bytes of it arrive, nothing follows.
    CrashInWrite(usize),
    /// The disk is full from here on, until [`FaultFs::heal`]; half of a write still fits.
    Full,
    /// This one operation fails with an input/output error.
    Io,
    /// One bit of this write is flipped silently.
    FlipBit,
}

#[derive(Default)]
struct State {
    /// Operations that changed or would have changed the disk, so far.
    operations: u64,
    plan: Option<(u64, Fault)>,
    dead: bool,
    full: bool,
}

/// The real files with a fault at a chosen operation. Only operations that change the disk count:
/// creating, writing, cutting, syncing, renaming, linking, removing.
#[derive(Clone, Default)]
pub struct FaultFs {
    state: Arc<Mutex<State>>,
}

/// What becomes of one operation.
enum Verdict {
    Go,
    Partly(usize, io::Error),
    Flip,
    Fail(io::Error),
}

impl FaultFs {
    /// A file system that works until it is told otherwise.
    pub fn new() -> FaultFs {
        FaultFs::default()
    }

    /// Fails operation number `at` (the first one from now is 0) as `fault` says.
    pub fn plan(&self, at: u64, fault: Fault) {
        let mut state = self.state.lock();
        state.plan = Some((state.operations + at, fault));
    }

    /// Space is there again, and no fault is planned. A crash stays a crash.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.full = false;
        state.plan = None;
    }

    /// How many operations have been seen.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Whether the planned crash has happened.
    pub fn crashed(&self) -> bool {
        self.state.lock().dead
    }

    fn verdict(&self, write: usize, needs_space: bool) -> Verdict {
        let full = || io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let mut state = self.state.lock();
        let number = state.operations;
        state.operations += 1;
        if state.dead {
            return Verdict::Fail(dead());
        }
        let fault = match state.plan {
            Some((at, fault)) if at == number => Some(fault),
            _ => None,
        };
        match fault {
            Some(Fault::Crash) => {
                state.dead = true;
                Verdict::Fail(dead())
            }
            Some(Fault::CrashInWrite(bytes)) => {
                state.dead = true;
                Verdict::Partly(bytes.min(write), dead())
            }
            Some(Fault::Full) => {
                state.full = true;
                Verdict::Partly(write / 2, full())
            }
            Some(Fault::Io) => Verdict::Fail(io::Error::from_raw_os_error(
                rustix::io::Errno::IO.raw_os_error(),
            )),
            Some(Fault::FlipBit) => Verdict::Flip,
            None if state.full && needs_space => Verdict::Fail(full()),
            None => Verdict::Go,
        }
    }

    fn step(&self, needs_space: bool) -> io::Result<()> {
        match self.verdict(0, needs_space) {
            Verdict::Go | Verdict::Flip => Ok(()),
            Verdict::Partly(_, error) | Verdict::Fail(error) => Err(error),
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead (planned crash)")
}

struct FaultFile {
    inner: Box<dyn File>,
    fs: FaultFs,
}

impl File for FaultFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.fs.verdict(bytes.len(), true) {
            Verdict::Go => self.inner.write_at(offset, bytes),
            Verdict::Partly(len, error) => {
                self.inner.write_at(offset, &bytes[..len])?;
                Err(error)
            }
            Verdict::Flip => {
                let mut copy = bytes.to_vec();
                let middle = copy.len() / 2;
                if let Some(byte) = copy.get_mut(middle) {
                    *byte ^= 0x10;
                }
                self.inner.write_at(offset, &copy)
            }
            Verdict::Fail(error) => Err(error),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        // Cutting a file needs no space.
        self.fs.step(false)?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.fs.step(false)?;
        self.inner.sync()
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        self.inner.map(len)
    }
}

impl FileSystem for FaultFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.step(true)?;
        let inner = RealFs.create(path)?;
        Ok(Box::new(FaultFile {
            inner,
            fs: self.clone(),
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let inner = RealFs.open(path)?;
        Ok(Box::new(FaultFile {
            inner,
            fs: self.clone(),
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealFs.read(path)
    }

    fn map(&self, path: &Path) -> io::Result<Mapping> {
        FileSystem::map(&RealFs, path)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        RealFs.len(path)
    }

    fn exists(&self, path: &Path) -> bool {
        RealFs.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        RealFs.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.step(true)?;
        RealFs.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(false)?;
        RealFs.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(true)?;
        RealFs.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(false)?;
        RealFs.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.step(false)?;
        RealFs.remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(false)?;
        RealFs.sync_dir(dir)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        RealFs.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealFs.lock(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_strike_where_planned() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for (fault, written, then_ok) in [
            (Fault::Crash, "", false),
            (Fault::CrashInWrite(2), "ab", false),
            (Fault::Full, "ab", false),
            (Fault::Io, "", true),
        ] {
            let fs = FaultFs::new();
            let file = fs.create(&path).unwrap();
            fs.plan(0, fault);
            assert!(file.write_at(0, b"abcd").is_err(), "{fault:?}");
            assert_eq!(fs.read(&path).unwrap(), written.as_bytes(), "{fault:?}");
            assert_eq!(file.write_at(0, b"x").is_ok(), then_ok, "{fault:?}");
        }
        let fs = FaultFs::new();
        let file = fs.create(&path).unwrap();
        fs.plan(0, Fault::FlipBit);
        file.write_at(0, b"abcd").unwrap();
        assert_ne!(fs.read(&path).unwrap(), b"abcd");
    }
}
