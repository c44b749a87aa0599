//! Following a log while it is written: what remote write sends from.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tsdb_format::FormatError;
use tsdb_format::wal::page::SegmentReader;

use super::{segment_path, segments};
use crate::Error;
use crate::fs::FileSystem;

/// Where a record ends: nothing else in the log ends there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub segment: u64,
    pub offset: u64,
}

/// Reads records as they arrive, segment after segment.
pub struct LiveReader {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    segment: u64,
    position: u64,
}

impl LiveReader {
    /// A reader of the log in `dir` from the start of `segment` on.
    pub fn new(fs: Arc<dyn FileSystem>, dir: impl Into<PathBuf>, segment: u64) -> LiveReader {
        LiveReader {
            fs,
            dir: dir.into(),
            segment,
            position: 0,
        }
    }

    /// The segment being read.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// Hands the records that have arrived since the last call to `take`, with the place where each
    /// ends, until it breaks off, and says how many they were. A record that is not complete yet waits
    /// for the next call.
    ///
    /// # Errors
    /// A file that cannot be read. Damage in a segment that is followed by another is an error too;
    /// the next call goes on with that other one.
    pub fn poll(
        &mut self,
        mut take: impl FnMut(Place, &[u8]) -> ControlFlow<()>,
    ) -> Result<usize, Error> {
        let mut count = 0;
        loop {
            // Whether there is a later segment has to be known before this one is read: what is
            // read then is all of it.
            let next = self.next_segment()?;
            let path = segment_path(&self.dir, self.segment);
            let drained = match self.fs.exists(&path) {
                true => self.drain(&path, &mut count, &mut take)?,
                false => ControlFlow::Continue(None),
            };
            let (ControlFlow::Continue(damage), Some(next)) = (drained, next) else {
                return Ok(count);
            };
            self.segment = next;
            self.position = 0;
            if let Some(error) = damage {
                return Err(Error::format(&path)(error));
            }
        }
    }

    fn next_segment(&self) -> Result<Option<u64>, Error> {
        let all = segments(&*self.fs, &self.dir).map_err(Error::io(&self.dir))?;
        Ok(all
            .iter()
            .map(|segment| segment.number)
            .find(|number| *number > self.segment))
    }

    /// Breaks where `take` does; the other answer is the damage that ended the reading.
    fn drain(
        &mut self,
        path: &Path,
        count: &mut usize,
        take: &mut impl FnMut(Place, &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<(), Option<FormatError>>, Error> {
        let data = self.fs.map(path).map_err(Error::io(path))?;
        if data.len() as u64 <= self.position {
            return Ok(ControlFlow::Continue(None));
        }
        let mut reader = SegmentReader::at(&data, self.position as usize);
        let segment = self.segment;
        loop {
            let end = match reader.next_with_end() {
                Ok(Some((record, end))) => {
                    let offset = end as u64;
                    *count += 1;
                    let flow = take(Place { segment, offset }, record);
                    if flow.is_continue() {
                        continue;
                    }
                    ControlFlow::Break(())
                }
                Ok(None) => ControlFlow::Continue(None),
                Err(error) => ControlFlow::Continue(Some(error)),
            };
            self.position = reader.valid_to() as u64;
            return Ok(end);
        }
    }
}
