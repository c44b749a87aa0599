//! A file of records.
//!
//! ```text
//! "FWAR" 1            magic and version
//! record:             len u32 LE | crc32c(payload) u32 LE | payload
//! ```
//! A file is named by a number, `00000001.log`; the one with the highest number holds everything.
//! A new one is written whole under `.tmp`, synced and renamed, and only then the old one goes.
//! What follows the last whole record of a file (a torn write) is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::Record;

const MAGIC: &[u8; 5] = b"FWAR\x01";
const HEADER: usize = 8;

/// Why the log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a log of ours.
    #[error("{0}: not an alert-router log")]
    Foreign(PathBuf),
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        path: path.clone(),
        source,
    }
}

/// An open log.
#[derive(Debug)]
pub struct Wal {
    dir: PathBuf,
    number: u64,
    file: Arc<File>,
    bytes: u64,
}

/// A new file that is on disk, but not the current one yet.
#[derive(Debug)]
pub struct Next {
    number: u64,
    temporary: PathBuf,
    file: File,
    bytes: u64,
}

/// What was read at opening.
#[derive(Debug)]
pub struct Replay {
    /// The records in order.
    pub records: Vec<Record>,
    /// Bytes behind the last whole record, now gone.
    pub torn_bytes: u64,
    /// Whole records with the right checksum that this version cannot read.
    pub unreadable: usize,
}

impl Wal {
    /// Opens the log in a directory, which is created where it is missing.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(dir: &Path) -> Result<(Wal, Replay), Error> {
        fs::create_dir_all(dir).map_err(io_error(dir))?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir).map_err(io_error(dir))? {
            let path = entry.map_err(io_error(dir))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
            if name.ends_with(".log.tmp") {
                fs::remove_file(&path).map_err(io_error(&path))?;
            } else if let Some(number) = name.strip_suffix(".log").and_then(|n| n.parse().ok()) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let Some(number) = numbers.pop() else {
            let wal = Wal::adopt(dir, prepare(dir, 1, [])?, &[])?;
            let replay = Replay {
                records: Vec::new(),
                torn_bytes: 0,
                unreadable: 0,
            };
            return Ok((wal, replay));
        };
        // Older files are left over from a rotation that was interrupted after the rename.
        for old in numbers {
            let path = file_path(dir, old);
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
        Wal::resume(dir, number)
    }

    fn resume(dir: &Path, number: u64) -> Result<(Wal, Replay), Error> {
        let path = file_path(dir, number);
        let mut content = Vec::new();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(io_error(&path))?;
        file.read_to_end(&mut content).map_err(io_error(&path))?;
        if !content.starts_with(MAGIC) {
            return Err(Error::Foreign(path));
        }
        let (payloads, end) = whole_records(&content, MAGIC.len());
        let mut replay = Replay {
            records: Vec::with_capacity(payloads.len()),
            torn_bytes: (content.len() - end) as u64,
            unreadable: 0,
        };
        for payload in payloads {
            match Record::decode(payload) {
                Ok(record) => replay.records.push(record),
                Err(_) => replay.unreadable += 1,
            }
        }
        if replay.torn_bytes > 0 {
            file.set_len(end as u64).map_err(io_error(&path))?;
            file.sync_data().map_err(io_error(&path))?;
        }
        let wal = Wal {
            dir: dir.to_owned(),
            number,
            file: Arc::new(file),
            bytes: end as u64,
        };
        Ok((wal, replay))
    }

    /// Makes a prepared file the current one, with what has come since it was prepared.
    fn adopt(dir: &Path, next: Next, since: &[u8]) -> Result<Wal, Error> {
        let path = file_path(dir, next.number);
        let mut file = next.file;
        let synced = if since.is_empty() {
            Ok(())
        } else {
            file.write_all(since).and_then(|()| file.sync_data())
        };
        synced
            .and_then(|()| fs::rename(&next.temporary, &path))
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(io_error(&path))?;
        Ok(Wal {
            dir: dir.to_owned(),
            number: next.number,
            file: Arc::new(file),
            bytes: next.bytes + since.len() as u64,
        })
    }

    /// How long the current file is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The directory and the number of the next file.
    pub fn next(&self) -> (PathBuf, u64) {
        (self.dir.clone(), self.number + 1)
    }

    /// The current file, to be synced without holding the log.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Hands records that [`frame`] has written to the system: they survive the end of the process,
    /// and once [`Wal::file`] is synced that of the machine.
    ///
    /// # Errors
    /// [`Error`]; the file is then cut back to where it was, so that a part of a record does not
    /// hide what is appended later.
    pub fn append(&mut self, framed: &[u8]) -> Result<(), Error> {
        match (&*self.file).write_all(framed) {
            Ok(()) => {
                self.bytes += framed.len() as u64;
                Ok(())
            }
            Err(source) => {
                let path = file_path(&self.dir, self.number);
                self.file.set_len(self.bytes).map_err(io_error(&path))?;
                Err(Error::Io { path, source })
            }
        }
    }

    /// Replaces the file by a prepared one and what has come since.
    ///
    /// # Errors
    /// [`Error`]; the old file stays the current one unless only its removal failed.
    pub fn switch(&mut self, next: Next, since: &[u8]) -> Result<(), Error> {
        let old = file_path(&self.dir, self.number);
        *self = Wal::adopt(&self.dir, next, since)?;
        fs::remove_file(&old).map_err(io_error(&old))
    }

    /// Replaces the file by one that holds `records` only.
    ///
    /// # Errors
    /// As [`Wal::switch`].
    pub fn rotate(&mut self, records: &[Record]) -> Result<(), Error> {
        let (dir, number) = self.next();
        self.switch(prepare(&dir, number, records)?, &[])
    }
}

/// Writes a whole new file under its temporary name, a record at a time.
///
/// # Errors
/// [`Error`].
pub fn prepare<'a>(
    dir: &Path,
    number: u64,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<Next, Error> {
    let temporary = file_path(dir, number).with_extension("log.tmp");
    // A leftover of an attempt that failed; appending needs an empty file.
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(&temporary)(e)),
        _ => {}
    }
    let file = OpenOptions::new()
        .create_new(true)
        .append(true)
        .open(&temporary)
        .map_err(io_error(&temporary))?;
    let mut bytes = MAGIC.len() as u64;
    let write = || {
        let mut out = BufWriter::new(&file);
        out.write_all(MAGIC)?;
        let mut framed = Vec::new();
        for record in records {
            framed.clear();
            frame(record, &mut framed);
            out.write_all(&framed)?;
            bytes += framed.len() as u64;
        }
        out.flush()?;
        drop(out);
        file.sync_all()
    };
    write().map_err(io_error(&temporary))?;
    Ok(Next {
        number,
        temporary,
        file,
        bytes,
    })
}

fn file_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// Appends a record with its length and checksum.
pub fn frame(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    record.encode(out);
    let payload = &out[start + HEADER..];
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let checksum = crc32c::crc32c(payload);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + HEADER].copy_from_slice(&checksum.to_le_bytes());
}

/// The records of a run that [`frame`] has written, up to the first one that is broken; records
/// that this version cannot read are left out.
pub fn unframe(framed: &[u8]) -> Vec<Record> {
    let (payloads, _) = whole_records(framed, 0);
    let records = payloads.into_iter().map(Record::decode);
    records.flatten().collect()
}

/// The payloads of the whole records behind `start`, and where the last of them ends.
fn whole_records(content: &[u8], start: usize) -> (Vec<&[u8]>, usize) {
    let mut payloads = Vec::new();
    let mut end = start;
    while let Some((header, rest)) = content[end..].split_at_checked(HEADER) {
        let word =
            |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        let Some(payload) = usize::try_from(word(0))
            .ok()
            .and_then(|len| rest.get(..len))
        else {
            break;
        };
        if payload.is_empty() || crc32c::crc32c(payload) != word(4) {
            break;
        }
        payloads.push(payload);
        end += HEADER + payload.len();
    }
    (payloads, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(fingerprints: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        for f in fingerprints {
            frame(&Record::Forget(*f), &mut out);
        }
        out
    }

    fn read(dir: &Path) -> (Vec<u64>, u64) {
        let (_, replay) = Wal::open(dir).unwrap();
        let fingerprints = replay
            .records
            .iter()
            .map(|record| match record {
                Record::Forget(f) => *f,
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        (fingerprints, replay.torn_bytes)
    }

    #[test]
    fn appends_survive_and_torn_tails_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, _) = Wal::open(dir.path()).unwrap();
        wal.append(&framed(&[1, 2])).unwrap();
        drop(wal);
        let path = file_path(dir.path(), 1);
        let whole = fs::read(&path).unwrap();
        for cut in 1..17 {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (seen, torn) = read(dir.path());
            assert_eq!(seen, [1], "{cut}");
            assert_eq!(torn, 17 - cut as u64);
            let (mut wal, _) = Wal::open(dir.path()).unwrap();
            wal.append(&framed(&[9])).unwrap();
            assert_eq!(read(dir.path()).0, [1, 9]);
        }
        let mut flipped = whole.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        fs::write(&path, flipped).unwrap();
        assert_eq!(read(dir.path()).0, [1]);
    }

    #[test]
    fn rotation_is_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let (mut wal, _) = Wal::open(dir.path()).unwrap();
        wal.append(&framed(&[1, 2, 3])).unwrap();
        let (folder, number) = wal.next();
        let next = prepare(&folder, number, &[Record::Forget(3)]).unwrap();
        wal.switch(next, &[]).unwrap();
        wal.append(&framed(&[4])).unwrap();
        assert_eq!(read(dir.path()).0, [3, 4]);
        // Crashed while writing the next one: it is ignored.
        fs::write(dir.path().join("00000003.log.tmp"), b"FWAR").unwrap();
        assert_eq!(read(dir.path()).0, [3, 4]);
        // Crashed before the old one was removed.
        fs::copy(file_path(dir.path(), 2), file_path(dir.path(), 1)).unwrap();
        assert_eq!(read(dir.path()).0, [3, 4]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn foreign_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(file_path(dir.path(), 1), b"something else").unwrap();
        assert!(matches!(Wal::open(dir.path()), Err(Error::Foreign(_))));
    }
}
