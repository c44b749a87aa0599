//! Opening a block and reading from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Labels, Matcher};
use parking_lot::{Mutex, RwLock};
use tsdb_format::chunk::Encoding;
use tsdb_format::index::postings::SortedList as _;
use tsdb_format::index::{self, ChunkMeta, IndexReader, SeriesEntry, SymbolCache};
use tsdb_format::meta::{self, BlockMeta, MetaError};
use tsdb_format::tombstones::{self, Interval, Tombstones, covers};
use tsdb_format::{FormatError, Ulid, segment};

use super::{CHUNKS_DIR, matching};
use crate::Error;
use crate::fs::{self, FileSystem, Mapping};

/// A memory map as the index reader wants it.
#[derive(Debug)]
pub(super) struct Mapped(Mapping);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An opened block. Files are mapped into memory; nothing but tombstones ever changes.
pub struct Block {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    meta: RwLock<BlockMeta>,
    pub(super) index: IndexReader<Mapped>,
    segments: Vec<Mapping>,
    tombstones: RwLock<Arc<Tombstones>>,
    /// Held while tombstones are changed.
    deleting: Mutex<()>,
    size_bytes: u64,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({})", self.dir.display())
    }
}

/// A series of a block: what the index says about it.
#[derive(Clone, Debug)]
pub struct SeriesHandle {
    pub reference: u32,
    pub labels: Labels,
    /// In order of time.
    pub chunks: Vec<ChunkMeta>,
}

/// Reads the meta.json of a block's folder.
///
/// # Errors
/// A file that cannot be read or is none of version 1.
pub(crate) fn read_meta(fs: &dyn FileSystem, dir: &Path) -> Result<BlockMeta, Error> {
    let path = dir.join(meta::FILE_NAME);
    let bytes = fs.read(&path).map_err(Error::io(&path))?;
    BlockMeta::decode(&bytes).map_err(|error| broken_meta(&path, &error))
}

pub(super) fn broken_meta(path: &Path, error: &MetaError) -> Error {
    Error::Invalid(format!("{}: {error}", path.display()))
}

impl Block {
    /// Opens the block in folder `dir`.
    ///
    /// # Errors
    /// A file that is missing or damaged, named.
    pub fn open(fs: Arc<dyn FileSystem>, dir: &Path) -> Result<Block, Error> {
        let meta = read_meta(&*fs, dir)?;
        let path = dir.join(index::FILE_NAME);
        let map = fs.map(&path).map_err(Error::io(&path))?;
        let index = IndexReader::open(Mapped(map)).map_err(Error::format(&path))?;
        let segments = open_segments(&*fs, &dir.join(CHUNKS_DIR))?;
        let path = dir.join(tombstones::FILE_NAME);
        let tombstones = match fs.read(&path) {
            Ok(bytes) => Tombstones::decode(&bytes).map_err(Error::format(&path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Tombstones::new(),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        let size_bytes = fs::dir_size(&*fs, dir);
        Ok(Block {
            fs,
            dir: dir.to_owned(),
            meta: RwLock::new(meta),
            index,
            segments,
            tombstones: RwLock::new(Arc::new(tombstones)),
            deleting: Mutex::new(()),
            size_bytes,
        })
    }

    /// The block's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What meta.json says, deletions since then included.
    pub fn meta(&self) -> BlockMeta {
        self.meta.read().clone()
    }

    /// The block's name.
    pub fn ulid(&self) -> Ulid {
        self.meta.read().ulid
    }

    /// First timestamp, and the one behind the last.
    pub fn range(&self) -> (i64, i64) {
        let meta = self.meta.read();
        (meta.min_time, meta.max_time)
    }

    /// Whether the block has times in `min_ms ..= max_ms`.
    pub fn overlaps(&self, min_ms: i64, max_ms: i64) -> bool {
        let (first, behind) = self.range();
        first <= max_ms && min_ms < behind
    }

    /// Bytes of all files when the block was opened.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The index, for statistics.
    pub fn index(&self) -> &IndexReader<impl AsRef<[u8]> + use<>> {
        &self.index
    }

    /// The deleted ranges.
    pub fn tombstones(&self) -> Arc<Tombstones> {
        self.tombstones.read().clone()
    }

    fn in_index(&self) -> impl FnOnce(FormatError) -> Error + use<> {
        Error::format(&self.dir.join(index::FILE_NAME))
    }

    /// References of the series that satisfy all matchers, in order of labels.
    ///
    /// # Errors
    /// A damaged index.
    pub fn postings(&self, matchers: &[Matcher]) -> Result<Vec<u32>, Error> {
        matching::postings(&self.index, matchers).map_err(self.in_index())
    }

    /// References of all series, in order of labels.
    ///
    /// # Errors
    /// A damaged index.
    pub fn all_postings(&self) -> Result<Vec<u32>, Error> {
        let all = self.index.all_postings().map_err(self.in_index())?;
        Ok(all.to_vec())
    }

    /// Reads a series of [`Block::postings`]; `entry` is memory to work in.
    ///
    /// # Errors
    /// A damaged index.
    pub fn series(&self, reference: u32, entry: &mut SeriesEntry) -> Result<SeriesHandle, Error> {
        self.series_cached(reference, entry, &mut SymbolCache::tiny())
    }

    /// As [`Block::series`], for many series in a row.
    ///
    /// # Errors
    /// A damaged index.
    pub fn series_cached<'a>(
        &'a self,
        reference: u32,
        entry: &mut SeriesEntry,
        symbols: &mut SymbolCache<'a>,
    ) -> Result<SeriesHandle, Error> {
        self.read_series(reference, entry, symbols)
            .map_err(self.in_index())
    }

    fn read_series<'a>(
        &'a self,
        reference: u32,
        entry: &mut SeriesEntry,
        symbols: &mut SymbolCache<'a>,
    ) -> Result<SeriesHandle, FormatError> {
        self.index.series(reference, entry)?;
        Ok(SeriesHandle {
            reference,
            labels: self.index.labels_cached(entry, symbols)?,
            chunks: entry.chunks.clone(),
        })
    }

    /// The chunks of an entry that have times in the range and are not deleted as a whole.
    pub(super) fn live_chunks(
        chunks: &[ChunkMeta],
        deleted: &[Interval],
        min_ms: i64,
        max_ms: i64,
    ) -> impl Iterator<Item = ChunkMeta> {
        chunks.iter().copied().filter(move |chunk| {
            chunk.min_ms <= max_ms
                && chunk.max_ms >= min_ms
                && !covers(deleted, chunk.min_ms, chunk.max_ms)
        })
    }

    /// As [`Block::live_chunks`], for a pair of times.
    pub(crate) fn live_chunks_of(
        chunks: &[ChunkMeta],
        deleted: &[Interval],
        (min_ms, max_ms): (i64, i64),
    ) -> impl Iterator<Item = ChunkMeta> {
        Block::live_chunks(chunks, deleted, min_ms, max_ms)
    }

    /// All label names and values that the index knows, sorted.
    ///
    /// # Errors
    /// A damaged index; each text may be one.
    pub fn symbols(&self) -> Result<Box<dyn Iterator<Item = Result<&str, Error>> + '_>, Error> {
        let path = self.dir.join(index::FILE_NAME);
        let named = move |error| Error::format(&path)(error);
        if self.index.version() == 1 {
            // Version 1 promises no order.
            let all: Result<std::collections::BTreeSet<&str>, _> = self.index.symbols().collect();
            return Ok(Box::new(all.map_err(named)?.into_iter().map(Ok)));
        }
        Ok(Box::new(
            self.index.symbols().map(move |text| text.map_err(&named)),
        ))
    }

    /// Encoding and payload of a chunk.
    ///
    /// # Errors
    /// A reference that there is no chunk at, or damage.
    pub fn chunk(&self, reference: u64) -> Result<(Encoding, &[u8]), Error> {
        let (segment, offset) = segment::split(reference);
        let bytes = self.segments.get(segment as usize).ok_or_else(|| {
            Error::Invalid(format!(
                "{}: segment index {segment} out of range",
                self.dir.join(CHUNKS_DIR).display()
            ))
        })?;
        segment::chunk(bytes, offset).map_err(|error| self.in_segment(segment)(error))
    }

    fn in_segment(&self, number: u32) -> impl FnOnce(FormatError) -> Error + use<> {
        let name = segment::file_name(number);
        Error::format(&self.dir.join(CHUNKS_DIR).join(name))
    }

    /// What went wrong within the payload of a chunk.
    pub(super) fn in_chunk(&self, chunk: &ChunkMeta, error: FormatError) -> Error {
        let (number, offset) = segment::split(chunk.reference);
        let error = error.shifted(u64::from(offset));
        self.in_segment(number)(error)
    }

    /// Deletes `min_ms ..= max_ms` of the series that satisfy the matchers: writes tombstones, then
    /// the new count into meta.json. Samples stay on the disk until the block is compacted.
    ///
    /// # Errors
    /// A damaged index, or a file that cannot be written.
    pub fn delete(&self, min_ms: i64, max_ms: i64, matchers: &[Matcher]) -> Result<(), Error> {
        let _deleting = self.deleting.lock();
        let mut tombstones = Tombstones::clone(&self.tombstones());
        let mut entry = SeriesEntry::default();
        for reference in self.postings(matchers)? {
            self.index
                .series(reference, &mut entry)
                .map_err(self.in_index())?;
            let (Some(first), Some(last)) = (entry.chunks.first(), entry.chunks.last()) else {
                continue;
            };
            let interval = Interval {
                min_ms: min_ms.max(first.min_ms),
                max_ms: max_ms.min(last.max_ms),
            };
            if interval.min_ms <= interval.max_ms {
                tombstones.add(u64::from(reference), interval);
            }
        }
        self.write_tombstones(tombstones)
    }

    fn write_tombstones(&self, tombstones: Tombstones) -> Result<(), Error> {
        let path = self.dir.join(tombstones::FILE_NAME);
        fs::write_atomic(&*self.fs, &path, &tombstones.encode()).map_err(Error::io(&path))?;
        let total = tombstones.total();
        *self.tombstones.write() = Arc::new(tombstones);
        self.change_meta(|meta| meta.stats.num_tombstones = total)
    }

    /// Changes meta.json.
    ///
    /// # Errors
    /// A file that cannot be written; the block's meta is unchanged then.
    pub fn change_meta(&self, change: impl FnOnce(&mut BlockMeta)) -> Result<(), Error> {
        let mut current = self.meta.write();
        let mut meta = current.clone();
        change(&mut meta);
        let path = self.dir.join(meta::FILE_NAME);
        fs::write_atomic(&*self.fs, &path, &meta.encode()).map_err(Error::io(&path))?;
        *current = meta;
        Ok(())
    }

    /// Makes a copy of the block below `dir` out of hard links; tombstones and meta.json, which
    /// may change, are copied.
    ///
    /// # Errors
    /// A file that cannot be linked or written.
    pub fn snapshot(&self, dir: &Path) -> Result<(), Error> {
        let _deleting = self.deleting.lock();
        let name = self.ulid().to_string();
        let to = dir.join(&name);
        let chunks = to.join(CHUNKS_DIR);
        self.fs
            .create_dir_all(&chunks)
            .map_err(Error::io(&chunks))?;
        let from_chunks = self.dir.join(CHUNKS_DIR);
        let segments = self
            .fs
            .list(&from_chunks)
            .map_err(Error::io(&from_chunks))?;
        let mut links = vec![(self.dir.join(index::FILE_NAME), to.join(index::FILE_NAME))];
        for entry in segments.iter().filter(|entry| !entry.is_dir) {
            links.push((from_chunks.join(&entry.name), chunks.join(&entry.name)));
        }
        for (from, to) in links {
            self.fs.hard_link(&from, &to).map_err(Error::io(&to))?;
        }
        for (name, bytes) in [
            (tombstones::FILE_NAME, self.tombstones().encode()),
            (meta::FILE_NAME, self.meta().encode()),
        ] {
            let path = to.join(name);
            fs::write_atomic(&*self.fs, &path, &bytes).map_err(Error::io(&path))?;
        }
        Ok(())
    }
}

fn open_segments(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Mapping>, Error> {
    let entries = fs.list(dir).map_err(Error::io(dir))?;
    let mut segments = Vec::new();
    for entry in entries {
        // Segments are numbered without gaps; anything else in the folder is not ours.
        if entry.is_dir || entry.name != segment::file_name(segments.len() as u32) {
            continue;
        }
        let path = dir.join(&entry.name);
        let map = fs.map(&path).map_err(Error::io(&path))?;
        segment::check_header(&map).map_err(Error::format(&path))?;
        segments.push(map);
    }
    Ok(segments)
}
