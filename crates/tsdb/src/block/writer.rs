//! Writing a block: chunk segments and index side by side in a folder of another name, which is
//! renamed when everything is on the disk.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use model::Labels;
use tsdb_format::chunk::{self, Encoding};
use tsdb_format::index::{self, ChunkMeta, IndexWriter, WriteError};
use tsdb_format::meta::{self, BlockMeta, BlockStats};
use tsdb_format::segment;
use tsdb_format::tombstones::{self, Tombstones};

use super::{CHUNKS_DIR, CREATION_SUFFIX};
use crate::Error;
use crate::fs::{File, FileSystem};

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// A chunk that goes into a block.
#[derive(Clone, Debug)]
pub struct BlockChunk<'a> {
    pub encoding: Encoding,
    pub min_ms: i64,
    pub max_ms: i64,
    /// The payload.
    pub data: Cow<'a, [u8]>,
}

/// Writes a block in one go: `meta` says name, times and origin, `symbols` are all label names and
/// values of the series (more do no harm), sorted and distinct, `series` come sorted by labels, each
/// with its chunks in order of time. Series without chunks are left out. `Ok(None)`: there was no
/// sample, and there is no block.
///
/// # Errors
/// The first thing that fails; nothing of the block stays.
pub fn write_block<'a, S: AsRef<str>>(
    fs: &dyn FileSystem,
    dir: &Path,
    meta: BlockMeta,
    symbols: impl IntoIterator<Item = S>,
    series: impl IntoIterator<Item = Result<(Labels, Vec<BlockChunk<'a>>), Error>>,
) -> Result<Option<BlockMeta>, Error> {
    write_block_in(fs, dir, segment::SEGMENT_BYTES, meta, symbols, series)
}

/// [`write_block`] with chunk files of at most `segment_bytes`, as far as single chunks allow.
///
/// # Errors
/// As there.
pub fn write_block_in<'a, S: AsRef<str>>(
    fs: &dyn FileSystem,
    dir: &Path,
    segment_bytes: u64,
    meta: BlockMeta,
    symbols: impl IntoIterator<Item = S>,
    series: impl IntoIterator<Item = Result<(Labels, Vec<BlockChunk<'a>>), Error>>,
) -> Result<Option<BlockMeta>, Error> {
    let mut writer = BlockWriter::create(fs, dir, meta, symbols)?;
    writer.limit_segments(segment_bytes);
    for series in series {
        let (labels, chunks) = series?;
        writer.add_series(&labels, &chunks)?;
    }
    writer.finish()
}

/// A block that is being written; dropped before [`BlockWriter::finish`], it is removed.
pub struct BlockWriter<'fs> {
    fs: &'fs dyn FileSystem,
    dir: PathBuf,
    tmp: PathBuf,
    meta: BlockMeta,
    index: Option<IndexWriter>,
    index_file: Output,
    segments: Segments<'fs>,
    chunks: Vec<ChunkMeta>,
    done: bool,
}

impl<'fs> BlockWriter<'fs> {
    /// Starts a block in the data folder `dir`; see [`write_block`] for `meta` and `symbols`.
    ///
    /// # Errors
    /// A file that cannot be created, or symbols out of order.
    pub fn create<S: AsRef<str>>(
        fs: &'fs dyn FileSystem,
        dir: &Path,
        meta: BlockMeta,
        symbols: impl IntoIterator<Item = S>,
    ) -> Result<BlockWriter<'fs>, Error> {
        let tmp = dir.join(format!("{}{CREATION_SUFFIX}", meta.ulid));
        if fs.exists(&tmp) {
            fs.remove_dir_all(&tmp).map_err(Error::io(&tmp))?;
        }
        let segments = Segments::create(fs, tmp.join(CHUNKS_DIR))?;
        let index_file = Output::create(fs, tmp.join(index::FILE_NAME))?;
        let mut writer = BlockWriter {
            fs,
            dir: dir.to_owned(),
            tmp,
            meta: BlockMeta {
                stats: BlockStats::default(),
                ..meta
            },
            index: None,
            index_file,
            segments,
            chunks: Vec::new(),
            done: false,
        };
        let index = IndexWriter::new(symbols, &mut writer.index_file.buffer);
        writer.index = Some(index.map_err(|error| writer.refused(&error))?);
        Ok(writer)
    }

    /// Chunk files from here on are of at most `bytes`, as far as single chunks allow.
    pub fn limit_segments(&mut self, bytes: u64) {
        self.segments.most_bytes = bytes;
    }

    fn refused(&self, error: &WriteError) -> Error {
        Error::Invalid(format!("{}: {error}", self.index_file.path.display()))
    }

    /// Adds a series; see [`write_block`].
    ///
    /// # Errors
    /// A file that cannot be written, or something out of order.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[BlockChunk<'_>]) -> Result<(), Error> {
        if chunks.is_empty() {
            return Ok(());
        }
        let stats = &mut self.meta.stats;
        self.chunks.clear();
        for chunk in chunks {
            let samples = chunk::samples(chunk.encoding, &chunk.data)
                .map_err(|error| Error::Invalid(format!("{labels}: {error}")))?;
            stats.num_samples += u64::from(samples);
            if chunk.encoding.is_float() {
                stats.num_float_samples += u64::from(samples);
            } else {
                stats.num_histogram_samples += u64::from(samples);
            }
            self.chunks.push(ChunkMeta {
                reference: self.segments.write(chunk)?,
                min_ms: chunk.min_ms,
                max_ms: chunk.max_ms,
            });
        }
        stats.num_chunks += chunks.len() as u64;
        stats.num_series += 1;
        let index = self
            .index
            .as_mut()
            .expect("create and finish alone lack the index");
        let added = index.add_series(labels, &self.chunks, &mut self.index_file.buffer);
        added.map_err(|error| self.refused(&error))?;
        self.index_file.drain(BUFFER_BYTES)
    }

    /// Completes the block and gives it its name. `Ok(None)`: there was no sample, and there is no
    /// block.
    ///
    /// # Errors
    /// A file that cannot be written, synced or renamed; nothing of the block stays.
    pub fn finish(mut self) -> Result<Option<BlockMeta>, Error> {
        if self.meta.stats.num_samples == 0 {
            return Ok(None);
        }
        let index = self
            .index
            .take()
            .expect("create and finish alone lack the index");
        let file = &mut self.index_file;
        let mut buffer = std::mem::take(&mut file.buffer);
        index
            .finish::<FinishError>(&mut buffer, |out| {
                file.buffer.append(out);
                file.drain(BUFFER_BYTES).map_err(FinishError::Disk)
            })
            .map_err(|error| match error {
                FinishError::Disk(error) => error,
                FinishError::Index(error) => {
                    Error::Invalid(format!("{}: {error}", self.tmp.display()))
                }
            })?;
        self.index_file.buffer.append(&mut buffer);
        self.index_file.close()?;
        self.segments.close()?;
        self.meta.version = 1;
        self.put_file(meta::FILE_NAME, &self.meta.encode())?;
        self.put_file(tombstones::FILE_NAME, &Tombstones::new().encode())?;
        let chunks = self.tmp.join(CHUNKS_DIR);
        for dir in [&chunks, &self.tmp] {
            self.fs.sync_dir(dir).map_err(Error::io(dir))?;
        }
        let path = self.dir.join(self.meta.ulid.to_string());
        self.fs.rename(&self.tmp, &path).map_err(Error::io(&path))?;
        self.done = true;
        self.fs.sync_dir(&self.dir).map_err(Error::io(&self.dir))?;
        Ok(Some(self.meta.clone()))
    }

    fn put_file(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut file = Output::create(self.fs, self.tmp.join(name))?;
        file.buffer.extend_from_slice(bytes);
        file.close()
    }
}

impl Drop for BlockWriter<'_> {
    fn drop(&mut self) {
        if !self.done && self.fs.exists(&self.tmp) {
            // Best effort: opening the database removes what stays.
            let _ = self.fs.remove_dir_all(&self.tmp);
        }
    }
}

/// Either side of finishing an index.
enum FinishError {
    Index(WriteError),
    Disk(Error),
}

impl From<WriteError> for FinishError {
    fn from(error: WriteError) -> FinishError {
        FinishError::Index(error)
    }
}

/// A file that is written from its start to its end.
struct Output {
    path: PathBuf,
    file: Box<dyn File>,
    written: u64,
    buffer: Vec<u8>,
}

impl Output {
    fn create(fs: &dyn FileSystem, path: PathBuf) -> Result<Output, Error> {
        let file = fs.create(&path).map_err(Error::io(&path))?;
        Ok(Output {
            path,
            file,
            written: 0,
            buffer: Vec::new(),
        })
    }

    fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Writes the buffer if it has at least `least` bytes.
    fn drain(&mut self, least: usize) -> Result<(), Error> {
        if self.buffer.len() < least.max(1) {
            return Ok(());
        }
        self.file
            .write_at(self.written, &self.buffer)
            .map_err(Error::io(&self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.drain(0)?;
        self.file.sync().map_err(Error::io(&self.path))
    }
}

/// The chunk segments of a block.
struct Segments<'fs> {
    fs: &'fs dyn FileSystem,
    dir: PathBuf,
    number: u32,
    most_bytes: u64,
    current: Option<Output>,
}

impl<'fs> Segments<'fs> {
    fn create(fs: &'fs dyn FileSystem, dir: PathBuf) -> Result<Segments<'fs>, Error> {
        fs.create_dir_all(&dir).map_err(Error::io(&dir))?;
        Ok(Segments {
            fs,
            dir,
            number: 0,
            most_bytes: segment::SEGMENT_BYTES,
            current: None,
        })
    }

    /// Writes a chunk and returns its reference.
    fn write(&mut self, chunk: &BlockChunk<'_>) -> Result<u64, Error> {
        let needed = segment::stored_bytes(&chunk.data) as u64;
        let most = self.most_bytes;
        let full = |output: &Output| output.position() + needed > most;
        if self.current.as_ref().is_some_and(full) {
            self.close()?;
            self.number += 1;
        }
        let output = match &mut self.current {
            Some(output) => output,
            none => {
                let path = self.dir.join(segment::file_name(self.number));
                let mut output = Output::create(self.fs, path)?;
                output.buffer.extend_from_slice(&segment::header());
                none.insert(output)
            }
        };
        let offset = u32::try_from(output.position())
            .map_err(|_| Error::Invalid(format!("{}: too large", output.path.display())))?;
        segment::put_chunk(&mut output.buffer, chunk.encoding, &chunk.data);
        output.drain(BUFFER_BYTES)?;
        Ok(segment::reference(self.number, offset))
    }

    fn close(&mut self) -> Result<(), Error> {
        match self.current.take() {
            Some(mut output) => output.close(),
            None => Ok(()),
        }
    }
}
