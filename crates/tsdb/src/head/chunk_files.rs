//! `chunks_head/`: full chunks of the head, written once, read through memory maps
//! (prometheus/prometheus `tsdb/docs/format/head_chunks.md`, `tsdb/chunks/head_chunks.go`).
//!
//! The bytes are [`tsdb_format::head_chunks`]'.
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
use tsdb_format::FormatError;
use tsdb_format::chunk::Encoding;
use tsdb_format::head_chunks::{self, FILE_BYTES, HEADER_BYTES, HeadChunk};

use super::checked::Checked;
use super::prefetch::prefetch;
use crate::fs::{File, FileSystem, Mapping};

const BUFFER: usize = 256 * 1024;
const WHAT: &str = "head chunk";

/// A chunk of the files.
pub struct StoredChunk {
    pub series: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    pub encoding: Encoding,
    pub out_of_order: bool,
    bytes: Source,
    data: Range<usize>,
}

enum Source {
    Mapped(Arc<Mapped>),
    Buffered(Vec<u8>),
}

impl StoredChunk {
    /// Has the encoded samples fetched from memory, without waiting for them: that takes as long as decoding
    /// where they have not been looked at for a while.
    pub fn prefetch(&self) {
        prefetch(self.data());
    }

    /// The encoded samples.
    pub fn data(&self) -> &[u8] {
        match &self.bytes {
            Source::Mapped(mapped) => &mapped.map[self.data.clone()],
            Source::Buffered(bytes) => &bytes[self.data.clone()],
        }
    }

    /// How many bytes it takes, header and checksum included.
    pub fn bytes(&self) -> usize {
        head_chunks::stored_bytes(self.data())
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
    checked: Checked,
}

impl Mapped {
    /// `len`: what of the map is written.
    fn new(map: Mapping, len: usize) -> Arc<Mapped> {
        Arc::new(Mapped {
            checked: Checked::new(map.len()),
            map,
            len: AtomicU64::new(len as u64),
        })
    }

    /// The chunk at `offset`, and where it ends.
    fn chunk(&self, offset: u64, len: u64) -> Result<(HeadChunk<'_>, u32), FormatError> {
        let (file, offset) = (&self.map[..len as usize], offset as u32);
        if self.checked.has(offset as usize) {
            return head_chunks::good_chunk(file, offset);
        }
        let chunk = head_chunks::chunk(file, offset)?;
        self.checked.note(offset as usize);
        Ok(chunk)
    }
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
                    if valid <= HEADER_BYTES {
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
        let len = map.len();
        self.maps.write().insert(number, Mapped::new(map, len));
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}"))
    }

    /// Stores a chunk and says where.
    pub fn write(&self, chunk: &HeadChunk<'_>) -> u64 {
        self.written.inc();
        let mut writing = self.writing.lock();
        let most = head_chunks::stored_bytes(chunk.data);
        let full = writing
            .last()
            .is_none_or(|c| c.flushed + (c.buffer.len() + most) as u64 > FILE_BYTES);
        if full {
            self.flush_all(&mut writing, true);
            let number = self.next_number.fetch_add(1, Ordering::Relaxed) as u32;
            let mut buffer = Vec::with_capacity(BUFFER + 4096);
            buffer.extend_from_slice(&head_chunks::header());
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
        head_chunks::put_chunk(&mut current.buffer, chunk);
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
                let map = file.map(FILE_BYTES as usize)?;
                let mapped = Mapped::new(map, 0);
                self.maps.write().insert(current.number, mapped);
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

    /// As many chunks are fetched ahead of being read: more would push out each other.
    pub const MOST_AHEAD: usize = 16;

    /// Has chunks that are about to be read one by one fetched from memory at once: of each so many bytes,
    /// header included.
    pub fn prefetch(&self, references: impl Iterator<Item = u64>, bytes: usize) {
        /// The longest that XOR chunks are.
        const MOST_BYTES: usize = 1024;
        let bytes = bytes.min(MOST_BYTES);
        let maps = self.maps.read();
        let mut file: Option<(u32, &Mapped)> = None;
        for reference in references.take(Self::MOST_AHEAD) {
            let (number, offset) = ((reference >> 32) as u32, reference & 0xffff_ffff);
            if file.is_none_or(|(known, _)| known != number) {
                file = maps.get(&number).map(|mapped| (number, &**mapped));
            }
            if let Some((_, mapped)) = file
                && offset < mapped.len.load(Ordering::Acquire)
            {
                let rest = &mapped.map[offset as usize..];
                prefetch(&rest[..rest.len().min(bytes)]);
                mapped.checked.prefetch(offset as usize);
            }
        }
    }

    fn find(&self, reference: u64) -> Result<StoredChunk, FormatError> {
        let number = (reference >> 32) as u32;
        let offset = reference & 0xffff_ffff;
        loop {
            let mapped = self.maps.read().get(&number).cloned();
            if let Some(mapped) = mapped {
                let len = mapped.len.load(Ordering::Acquire);
                if offset < len {
                    let (chunk, next) = mapped.chunk(offset, len)?;
                    // The data lies before the checksum.
                    let end = next as usize - 4;
                    let header = Header::of(&chunk);
                    let data = end - chunk.data.len()..end;
                    return Ok(header.stored(Source::Mapped(mapped), data));
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
            let (chunk, _) = head_chunks::chunk(&current.buffer, at as u32)?;
            let source = Source::Buffered(chunk.data.to_vec());
            return Ok(Header::of(&chunk).stored(source, 0..chunk.data.len()));
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

    /// The files as they are written out, in order: number, length, and what `sum` makes of those bytes.
    pub fn extents(&self, sum: impl Fn(&[u8]) -> u32) -> Vec<(u32, u64, u32)> {
        let maps = self.maps.read();
        maps.iter()
            .map(|(number, mapped)| {
                let len = mapped.len.load(Ordering::Acquire);
                (*number, len, sum(&mapped.map[..len as usize]))
            })
            .collect()
    }

    /// The number of the oldest file.
    pub fn first_number(&self) -> Option<u32> {
        self.maps
            .read()
            .first_key_value()
            .map(|(number, _)| *number)
    }

    /// The first `len` bytes of a file, if it has as many.
    pub fn with_file<T>(&self, number: u32, len: u64, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mapped = self.maps.read().get(&number).cloned()?;
        let written = mapped.len.load(Ordering::Acquire);
        (len <= written).then(|| look(&mapped.map[..len as usize]))
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        let maps = self.maps.read();
        maps.values().map(|m| m.len.load(Ordering::Relaxed)).sum()
    }
}

/// What a chunk's header says.
struct Header {
    series: u64,
    min_ms: i64,
    max_ms: i64,
    encoding: Encoding,
    out_of_order: bool,
}

impl Header {
    fn of(chunk: &HeadChunk<'_>) -> Header {
        Header {
            series: chunk.series,
            min_ms: chunk.min_ms,
            max_ms: chunk.max_ms,
            encoding: chunk.encoding,
            out_of_order: chunk.out_of_order,
        }
    }

    fn stored(self, bytes: Source, data: Range<usize>) -> StoredChunk {
        StoredChunk {
            series: self.series,
            min_ms: self.min_ms,
            max_ms: self.max_ms,
            encoding: self.encoding,
            out_of_order: self.out_of_order,
            bytes,
            data,
        }
    }
}

/// Hands every chunk of a file to `take`; damage comes with the length that is good.
fn scan(
    number: u32,
    bytes: &[u8],
    take: &mut impl FnMut(LoadedChunk),
) -> Result<(), (usize, FormatError)> {
    head_chunks::check_header(bytes).map_err(|error| (0, error))?;
    let mut valid = HEADER_BYTES;
    for chunk in head_chunks::chunks(bytes) {
        let (offset, chunk) = chunk.map_err(|error| (valid, error))?;
        let samples =
            tsdb_format::chunk::sample_count(WHAT, chunk.data).map_err(|error| (valid, error))?;
        take(LoadedChunk {
            reference: u64::from(number) << 32 | u64::from(offset),
            series: chunk.series,
            min_ms: chunk.min_ms,
            max_ms: chunk.max_ms,
            out_of_order: chunk.out_of_order,
            samples,
        });
        valid = offset as usize + head_chunks::stored_bytes(chunk.data);
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

    fn chunk(
        series: u64,
        (min_ms, max_ms): (i64, i64),
        out_of_order: bool,
        data: &[u8],
    ) -> HeadChunk<'_> {
        HeadChunk {
            series,
            min_ms,
            max_ms,
            encoding: Encoding::Xor,
            out_of_order,
            data,
        }
    }

    #[test]
    fn chunks_are_read_before_and_after_they_are_written_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut refs = Vec::new();
        {
            let (files, ..) = load(dir.path());
            for i in 0..400u64 {
                let reference =
                    files.write(&chunk(i, (i as i64, i as i64 + 5), i % 7 == 0, &data(i)));
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
        assert_eq!(files.write(&chunk(9, (0, 0), false, &data(9))) >> 32, 2);
        assert!(files.read(5 << 32).is_err());
    }

    #[test]
    fn damage_is_cut_off_and_what_is_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let refs: Vec<u64> = {
            let (files, ..) = load(dir.path());
            let refs = (0..10)
                .map(|i| files.write(&chunk(i, (0, 1), false, &data(i))))
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
            .map(|i| files.write(&chunk(i, (0, 1), false, &data(i))))
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
