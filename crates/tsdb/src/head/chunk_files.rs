//! `chunks_head/`: full chunks of the head, written once, read through memory maps
//! (prometheus/prometheus `tsdb/docs/format/head_chunks.md`, `tsdb/chunks/head_chunks.go`).
//!
//! ```text
//! file:  magic 0x0130BC91 <4> | version 1 <1> | padding <3> | chunk...
//! chunk: series <8> | min <8> | max <8> | encoding <1> | len <uvarint> | data | crc32c of all <4>
//! ```
//!
//! Chunks are buffered before they are written, and read from the buffer till then: losing the
//! buffer loses nothing, since the write-ahead log has the samples. For that reason, too, a write
//! that fails is only tried again later. A reference is the file's number (upper half) and the
//! chunk's offset (lower half).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use storage::StorageError;
use tsdb_format::bytes::{Reader, crc32, put_be32, put_be64, put_uvarint};
use tsdb_format::{Cause, FormatError};

use crate::fs::{File, FileSystem, Mapping};

const MAGIC: u32 = 0x0130_BC91;
const VERSION: u8 = 1;
const FILE_HEADER: usize = 8;
/// Series, two times, encoding.
const CHUNK_HEADER: usize = 25;
const MAX_FILE: u64 = 128 * 1024 * 1024;
const BUFFER: usize = 256 * 1024;
/// Set in the encoding of chunks whose samples arrived out of order.
const OUT_OF_ORDER: u8 = 0x80;
const WHAT: &str = "head chunk";

/// A chunk of the files.
pub struct StoredChunk {
    pub series: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    /// The type byte without the out-of-order mark.
    pub encoding: u8,
    pub out_of_order: bool,
    bytes: Source,
    data: Range<usize>,
}

enum Source {
    Mapped(Mapping),
    Buffered(Vec<u8>),
}

impl StoredChunk {
    /// The encoded samples.
    pub fn data(&self) -> &[u8] {
        match &self.bytes {
            Source::Mapped(map) => &map[self.data.clone()],
            Source::Buffered(bytes) => &bytes[self.data.clone()],
        }
    }

    /// How many samples there are.
    pub fn samples(&self) -> u64 {
        tsdb_format::chunk::sample_count(WHAT, self.data()).map_or(0, u64::from)
    }
}

/// What [`ChunkFiles::load`] hands on: where a chunk is, and what its header says.
pub struct LoadedChunk {
    pub reference: u64,
    pub series: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    pub out_of_order: bool,
    pub samples: u16,
}

struct Current {
    number: u32,
    /// Missing as long as it could not be created.
    file: Option<Box<dyn File>>,
    flushed: u64,
    buffer: Vec<u8>,
    /// Length of the buffer at which the next flush is tried.
    flush_at: usize,
}

struct Mapped {
    map: Mapping,
    /// What of the map is written.
    len: AtomicU64,
}

/// The files.
pub struct ChunkFiles {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    /// The files being written: the last one takes chunks, those before could not be written out.
    writing: Mutex<Vec<Current>>,
    maps: RwLock<BTreeMap<u32, Arc<Mapped>>>,
    next_number: AtomicU64,
    /// How many chunks were written.
    written: telemetry::Counter,
}

impl ChunkFiles {
    /// Opens the folder, creating it, and hands every chunk to `take`. At the first damage the file
    /// is cut and the files behind it are removed: what they held is replayed from the log.
    ///
    /// # Errors
    /// A folder or file that cannot be read or cut. The damage that was found is the second result.
    pub fn load(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        written: telemetry::Counter,
        mut take: impl FnMut(LoadedChunk),
    ) -> io::Result<(ChunkFiles, Option<FormatError>)> {
        fs.create_dir_all(dir)?;
        let mut numbers: Vec<u32> = fs
            .list(dir)?
            .iter()
            .filter(|entry| !entry.is_dir && entry.name.bytes().all(|b| b.is_ascii_digit()))
            .filter_map(|entry| entry.name.parse().ok())
            .collect();
        numbers.sort_unstable();
        let files = ChunkFiles {
            fs,
            dir: dir.to_owned(),
            writing: Mutex::new(Vec::new()),
            maps: RwLock::new(BTreeMap::new()),
            next_number: AtomicU64::new(1),
            written,
        };
        let mut damage = None;
        for (i, number) in numbers.iter().copied().enumerate() {
            let gap = i > 0 && numbers[i - 1] + 1 != number;
            if gap && damage.is_none() {
                damage = Some(FormatError::invalid(WHAT, 0, "files are missing"));
            }
            let path = files.path(number);
            if damage.is_some() {
                files.fs.remove_file(&path)?;
                continue;
            }
            let map = files.fs.map(&path)?;
            let last = i + 1 == numbers.len();
            match scan(number, &map, &mut take) {
                Ok(()) => {}
                // The file was created and never written: nothing is lost.
                Err((0, _)) if last && map.iter().all(|byte| *byte == 0) => {
                    files.fs.remove_file(&path)?;
                    continue;
                }
                Err((valid, error)) => {
                    drop(map);
                    if valid <= FILE_HEADER {
                        files.fs.remove_file(&path)?;
                    } else {
                        files.fs.open(&path)?.set_len(valid as u64)?;
                        files.insert_map(number, files.fs.map(&path)?);
                    }
                    damage = Some(error);
                    continue;
                }
            }
            files.insert_map(number, map);
        }
        let next = files
            .maps
            .read()
            .last_key_value()
            .map_or(1, |(n, _)| u64::from(*n) + 1);
        files.next_number.store(next, Ordering::Relaxed);
        Ok((files, damage))
    }

    fn insert_map(&self, number: u32, map: Mapping) {
        let len = AtomicU64::new(map.len() as u64);
        self.maps
            .write()
            .insert(number, Arc::new(Mapped { map, len }));
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}"))
    }

    /// Stores a chunk and says where.
    pub fn write(
        &self,
        series: u64,
        (min_ms, max_ms): (i64, i64),
        encoding: u8,
        out_of_order: bool,
        data: &[u8],
    ) -> u64 {
        self.written.inc();
        let mut writing = self.writing.lock();
        let most = CHUNK_HEADER + 10 + data.len() + 4;
        let full = writing
            .last()
            .is_none_or(|c| c.flushed + (c.buffer.len() + most) as u64 > MAX_FILE);
        if full {
            self.flush_all(&mut writing, true);
            let number = self.next_number.fetch_add(1, Ordering::Relaxed) as u32;
            let mut buffer = Vec::with_capacity(BUFFER + 4096);
            put_be32(&mut buffer, MAGIC);
            buffer.extend_from_slice(&[VERSION, 0, 0, 0]);
            writing.push(Current {
                number,
                file: None,
                flushed: 0,
                buffer,
                flush_at: BUFFER,
            });
        }
        let current = writing.last_mut().expect("one was just pushed");
        let offset = current.flushed + current.buffer.len() as u64;
        let start = current.buffer.len();
        let out = &mut current.buffer;
        put_be64(out, series);
        put_be64(out, min_ms as u64);
        put_be64(out, max_ms as u64);
        out.push(encoding | if out_of_order { OUT_OF_ORDER } else { 0 });
        put_uvarint(out, data.len() as u64);
        out.extend_from_slice(data);
        let crc = crc32(&out[start..]);
        put_be32(out, crc);
        let reference = u64::from(current.number) << 32 | offset;
        if current.buffer.len() >= current.flush_at {
            self.flush_all(&mut writing, false);
        }
        reference
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The first write that failed; it is tried again later.
    pub fn flush(&self) -> io::Result<()> {
        match self.flush_all(&mut self.writing.lock(), false) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn flush_all(&self, writing: &mut Vec<Current>, finish: bool) -> Option<io::Error> {
        let mut failure = None;
        for current in writing.iter_mut() {
            if let Err(error) = self.flush_one(current) {
                current.flush_at = current.buffer.len() + BUFFER;
                tracing::warn!(%error, file = current.number, "writing head chunks failed, will be tried again");
                failure.get_or_insert(error);
            }
        }
        let last = writing.len().saturating_sub(1);
        let mut i = 0;
        writing.retain(|current| {
            i += 1;
            !current.buffer.is_empty() || (i > last && !finish)
        });
        failure
    }

    fn flush_one(&self, current: &mut Current) -> io::Result<()> {
        if current.buffer.is_empty() {
            return Ok(());
        }
        let file = match &current.file {
            Some(file) => file,
            None => {
                let file = self.fs.create(&self.path(current.number))?;
                // Mapped once at its greatest length; it grows into the map.
                let map = file.map(MAX_FILE as usize)?;
                let len = AtomicU64::new(0);
                self.maps
                    .write()
                    .insert(current.number, Arc::new(Mapped { map, len }));
                current.file.insert(file)
            }
        };
        file.write_at(current.flushed, &current.buffer)?;
        current.flushed += current.buffer.len() as u64;
        current.buffer.clear();
        current.flush_at = BUFFER;
        if let Some(mapped) = self.maps.read().get(&current.number) {
            mapped.len.store(current.flushed, Ordering::Release);
        }
        Ok(())
    }

    /// Forces all files to the disk.
    ///
    /// # Errors
    /// The first failure.
    pub fn sync(&self) -> io::Result<()> {
        self.flush()?;
        for current in self.writing.lock().iter() {
            if let Some(file) = &current.file {
                file.sync()?;
            }
        }
        Ok(())
    }

    /// A chunk by its reference.
    ///
    /// # Errors
    /// A reference that leads nowhere, or damage.
    pub fn read(&self, reference: u64) -> Result<StoredChunk, StorageError> {
        self.find(reference).map_err(|error| {
            let path = self.path((reference >> 32) as u32);
            StorageError::Corrupt(format!("{}: {error}", path.display()))
        })
    }

    fn find(&self, reference: u64) -> Result<StoredChunk, FormatError> {
        let number = (reference >> 32) as u32;
        let offset = reference & 0xffff_ffff;
        loop {
            let mapped = self.maps.read().get(&number).cloned();
            if let Some(mapped) = &mapped {
                let len = mapped.len.load(Ordering::Acquire);
                if offset < len {
                    let bytes = &mapped.map[offset as usize..len as usize];
                    let header = parse(bytes, offset)?;
                    let at = offset as usize;
                    let data = at + header.data.start..at + header.data.end;
                    return Ok(header.stored(Source::Mapped(mapped.map.clone()), data));
                }
            }
            let writing = self.writing.lock();
            let Some(current) = writing.iter().find(|c| c.number == number) else {
                return Err(FormatError::invalid(WHAT, offset, "no such head chunk"));
            };
            if offset < current.flushed {
                continue; // It was written out meanwhile.
            }
            let at = (offset - current.flushed) as usize;
            let Some(bytes) = current.buffer.get(at..) else {
                return Err(FormatError::invalid(WHAT, offset, "no such head chunk"));
            };
            let header = parse(bytes, offset)?;
            let copy = bytes[header.data.clone()].to_vec();
            let all = 0..copy.len();
            return Ok(header.stored(Source::Buffered(copy), all));
        }
    }

    /// Removes the files before the one that `first` names, oldest first. Those being written stay.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove_before(&self, first: u32) -> io::Result<()> {
        let writing: Vec<u32> = self.writing.lock().iter().map(|c| c.number).collect();
        loop {
            let number = match self.maps.read().first_key_value() {
                Some((number, _)) if *number < first && !writing.contains(number) => *number,
                _ => return Ok(()),
            };
            self.fs.remove_file(&self.path(number))?;
            self.maps.write().remove(&number);
        }
    }

    /// The number that the next chunk's file has, or more.
    pub fn current_number(&self) -> u32 {
        let writing = self.writing.lock();
        writing.last().map_or_else(
            || self.next_number.load(Ordering::Relaxed) as u32,
            |current| current.number,
        )
    }

    /// A reference greater than those of all chunks so far.
    pub fn next_reference(&self) -> u64 {
        let writing = self.writing.lock();
        match writing.last() {
            Some(current) => {
                let offset = current.flushed + current.buffer.len() as u64;
                u64::from(current.number) << 32 | offset
            }
            None => self.next_number.load(Ordering::Relaxed) << 32,
        }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let maps = self.maps.read();
        maps.values().map(|m| m.len.load(Ordering::Relaxed)).sum()
    }
}

struct Header {
    series: u64,
    min_ms: i64,
    max_ms: i64,
    encoding: u8,
    data: Range<usize>,
}

impl Header {
    fn stored(self, bytes: Source, data: Range<usize>) -> StoredChunk {
        StoredChunk {
            series: self.series,
            min_ms: self.min_ms,
            max_ms: self.max_ms,
            encoding: self.encoding & !OUT_OF_ORDER,
            out_of_order: self.encoding & OUT_OF_ORDER != 0,
            bytes,
            data,
        }
    }
}

fn parse(bytes: &[u8], offset: u64) -> Result<Header, FormatError> {
    let mut reader = Reader::at(WHAT, bytes, offset);
    let series = reader.be64()?;
    let min_ms = reader.be64()? as i64;
    let max_ms = reader.be64()? as i64;
    let encoding = reader.u8()?;
    let data = reader.uvarint_bytes()?;
    let end = reader.position();
    let data = end - data.len()..end;
    reader.expect_crc(crc32(&bytes[..end]))?;
    Ok(Header {
        series,
        min_ms,
        max_ms,
        encoding,
        data,
    })
}

/// Hands every chunk of a file to `take`; damage comes with the length that is good.
fn scan(
    number: u32,
    bytes: &[u8],
    take: &mut impl FnMut(LoadedChunk),
) -> Result<(), (usize, FormatError)> {
    let mut reader = Reader::new("head chunk file", bytes);
    let header = reader.be32().and_then(|magic| Ok((magic, reader.be32()?)));
    match header {
        Ok((MAGIC, version)) if version >> 24 == u32::from(VERSION) => {}
        Ok((MAGIC, version)) => {
            let cause = Cause::Version((version >> 24) as u8);
            return Err((0, FormatError::new("head chunk file", 4, cause)));
        }
        Ok((found, _)) => {
            let expected = MAGIC;
            let cause = Cause::Magic { expected, found };
            return Err((0, FormatError::new("head chunk file", 0, cause)));
        }
        Err(error) => return Err((0, error)),
    }
    let mut at = FILE_HEADER;
    while at < bytes.len() {
        // Upstream allocates ahead: a header of zeros is the end.
        let rest = &bytes[at..];
        if rest.iter().take(CHUNK_HEADER + 1).all(|byte| *byte == 0) {
            return match rest.iter().position(|byte| *byte != 0) {
                None => Ok(()),
                Some(i) => {
                    let text = "non-zero bytes behind the last chunk";
                    Err((at, FormatError::invalid(WHAT, (at + i) as u64, text)))
                }
            };
        }
        let header = parse(rest, at as u64).map_err(|error| (at, error))?;
        let samples = tsdb_format::chunk::sample_count(WHAT, &rest[header.data.clone()])
            .map_err(|error| (at, error))?;
        take(LoadedChunk {
            reference: u64::from(number) << 32 | at as u64,
            series: header.series,
            min_ms: header.min_ms,
            max_ms: header.max_ms,
            out_of_order: header.encoding & OUT_OF_ORDER != 0,
            samples,
        });
        at += header.data.end + 4;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fault, FaultFs, RealFs};

    fn load(dir: &Path) -> (ChunkFiles, Vec<(u64, u64)>, Option<FormatError>) {
        let mut found = Vec::new();
        let (files, damage) =
            ChunkFiles::load(Arc::new(RealFs), dir, Default::default(), |chunk| {
                found.push((chunk.reference, chunk.series));
            })
            .unwrap();
        (files, found, damage)
    }

    fn data(i: u64) -> Vec<u8> {
        let mut data = vec![0, (i % 200) as u8 + 1];
        data.extend(vec![i as u8; 100 * (i as usize % 50) + 3]);
        data
    }

    #[test]
    fn chunks_are_read_before_and_after_they_are_written_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut refs = Vec::new();
        {
            let (files, ..) = load(dir.path());
            for i in 0..400u64 {
                let reference = files.write(i, (i as i64, i as i64 + 5), 1, i % 7 == 0, &data(i));
                refs.push((reference, i));
            }
            for (reference, i) in &refs {
                let chunk = files.read(*reference).unwrap();
                assert_eq!((chunk.series, chunk.out_of_order), (*i, i % 7 == 0));
                assert!(chunk.data() == data(*i));
            }
            files.flush().unwrap();
        }
        let (files, found, damage) = load(dir.path());
        assert_eq!((found, damage), (refs.clone(), None));
        assert!(files.read(refs[399].0).unwrap().data() == data(399));
        // New chunks go to a new file.
        assert_eq!(files.write(9, (0, 0), 1, false, &data(9)) >> 32, 2);
        assert!(files.read(5 << 32).is_err());
    }

    #[test]
    fn damage_is_cut_off_and_what_is_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let refs: Vec<u64> = {
            let (files, ..) = load(dir.path());
            let refs = (0..10)
                .map(|i| files.write(i, (0, 1), 1, false, &data(i)))
                .collect();
            files.flush().unwrap();
            refs
        };
        let path = dir.path().join("000001");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[(refs[6] & 0xffff_ffff) as usize + 30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        std::fs::write(dir.path().join("000002"), b"").unwrap();
        let (_, found, damage) = load(dir.path());
        assert_eq!(found.len(), 6);
        assert!(damage.is_some());
        let (_, found, damage) = load(dir.path());
        assert_eq!((found.len(), damage), (6, None));
    }

    #[test]
    fn a_full_disk_keeps_chunks_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let fs = FaultFs::new();
        let (files, _) =
            ChunkFiles::load(Arc::new(fs.clone()), dir.path(), Default::default(), |_| {}).unwrap();
        fs.plan(0, Fault::Full);
        let refs: Vec<u64> = (0..200)
            .map(|i| files.write(i, (0, 1), 1, false, &data(i)))
            .collect();
        assert!(files.flush().is_err());
        assert!(files.read(refs[150]).unwrap().data() == data(150));
        fs.heal();
        files.flush().unwrap();
        assert!(files.read(refs[150]).unwrap().data() == data(150));
        let (_, found, damage) = load(dir.path());
        assert_eq!((found.len(), damage), (200, None));
    }
}
