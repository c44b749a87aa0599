//! What the start finds out of the log before it reads its samples: the series, their full chunks, and up
//! to where those go.

use hashbrown::HashMap;
use tsdb_format::FormatError;
use tsdb_format::wal::page::SegmentReader;
use tsdb_format::wal::record::{RecordType, RefSeries};

use super::super::Head;
use super::super::chunk_files::LoadedChunk;
use super::super::series::shard_of;
use super::super::shortcut::Shortcut;
use super::read::{Decoded, decode};
use crate::Error;
use crate::fs::FileSystem;
use crate::wal::{KnownSegment, KnownSegments, PageMarks, Segment};

const WANTED: [u8; 2] = [RecordType::Series as u8, RecordType::Tombstones as u8];
const FLOOR_PAGE: usize = 1024;

/// The time up to which a series' samples of the log are not wanted, by id. Ids without series want
/// none.
#[derive(Default)]
pub(super) struct Floors {
    /// Ids are dense as a rule, but a log may have any.
    pages: Vec<Option<Box<[i64; FLOOR_PAGE]>>>,
}

impl Floors {
    pub(super) const UNKNOWN: i64 = i64::MAX;
    const CLOSED: i64 = i64::MAX - 1;

    #[inline]
    pub(super) fn get(&self, id: u64) -> i64 {
        let place = usize::try_from(id).unwrap_or(usize::MAX);
        match self.pages.get(place / FLOOR_PAGE) {
            Some(Some(page)) => page[place % FLOOR_PAGE],
            _ => Floors::UNKNOWN,
        }
    }

    fn raise(&mut self, id: u32, to: i64) {
        let place = id as usize;
        if self.pages.len() <= place / FLOOR_PAGE {
            self.pages.resize_with(place / FLOOR_PAGE + 1, || None);
        }
        let page = self.pages[place / FLOOR_PAGE]
            .get_or_insert_with(|| Box::new([Floors::UNKNOWN; FLOOR_PAGE]));
        let floor = &mut page[place % FLOOR_PAGE];
        *floor = if *floor == Floors::UNKNOWN {
            to
        } else {
            to.max(*floor)
        };
    }

    /// No sample of the series is wanted.
    fn close(&mut self, id: u32) {
        self.raise(id, Floors::CLOSED);
    }
}

/// What is known of the log's series.
pub(super) struct Known<'a> {
    pub head: &'a Head,
    pub min_valid_ms: i64,
    pub chunks: HashMap<u64, Vec<LoadedChunk>>,
    pub floors: Floors,
    pub last_segment: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    /// Which pages of the log have to be read at every start.
    pub segments: KnownSegments,
}

impl Known<'_> {
    /// Finds the series of the log's segments, or of a checkpoint's, up to the first damage: that is for the
    /// replay itself to report and to repair. The first segment is read from `position` on.
    pub fn folder(
        &mut self,
        fs: &dyn FileSystem,
        list: &[Segment],
        mut position: u64,
    ) -> Result<(), Error> {
        for segment in list {
            let data = fs.map(&segment.path).map_err(Error::io(&segment.path))?;
            let whole = self.segment(segment.number, &data, std::mem::take(&mut position));
            if !whole {
                break;
            }
        }
        Ok(())
    }

    /// Finds the series of a segment; says whether it could be read to its end.
    fn segment(&mut self, number: u64, data: &[u8], position: u64) -> bool {
        let mut reader = SegmentReader::at(data, position as usize);
        // What is before the position is known already.
        let mut marks = match position {
            0 => PageMarks::default(),
            _ => self.segments.remove(&number).unwrap_or_default().marks,
        };
        let whole = loop {
            match reader.step() {
                Ok(None) => break true,
                Ok(Some(step)) => {
                    marks.note(step.first, step.start as u64, step.end as u64);
                    if step.first.is_none_or(|first| !WANTED.contains(&first)) {
                        continue;
                    }
                    let taken = match reader.record_at(step.start) {
                        Ok(Some(record)) => self.take(record),
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    };
                    if taken.is_err() {
                        break false;
                    }
                }
                Err(_) => break false,
            }
        };
        // Where damage follows, the segment is cut to this length: only then it is known.
        let bytes = reader.valid_to() as u64;
        self.segments.insert(number, KnownSegment { bytes, marks });
        whole
    }

    /// Finds the series that are before [`Shortcut::from`].
    pub fn shortcut(&mut self, shortcut: &Shortcut) {
        // Damage is for the replay itself, as above.
        let _ = shortcut.records(&WANTED, |_| {}, |record| self.take(record));
        self.segments.extend(shortcut.known());
    }

    fn take(&mut self, record: &[u8]) -> Result<(), FormatError> {
        match decode(record)? {
            Some(Decoded::Series(series)) => {
                for series in series.iter().filter(|series| !series.labels.is_empty()) {
                    self.series(series);
                }
            }
            // Before their labels come again under another number.
            Some(Decoded::Tombstones(stones)) => {
                for stone in stones.iter().filter(|stone| stone.is_eviction()) {
                    if let Some(id) = self.head.resolve(stone.reference) {
                        self.head.replay_eviction(id, self.last_segment);
                        self.floors.close(id);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn series(&mut self, series: &RefSeries) {
        let Some(id) = self.head.replay_series(series) else {
            return;
        };
        self.floors.raise(id, self.min_valid_ms.saturating_sub(1));
        if let Some(chunks) = self.chunks.remove(&series.reference) {
            self.attach(id, chunks);
        }
    }

    /// Gives a series the full chunks that were found for it.
    fn attach(&mut self, id: u32, mut chunks: Vec<LoadedChunk>) {
        chunks.retain(|chunk| chunk.max_ms >= self.min_valid_ms);
        if chunks.is_empty() {
            return;
        }
        let head = self.head;
        // The log may have given the series two references: chunks of both, in any order.
        let mut shard = head.shards[shard_of(id)].lock();
        let mut all: Vec<(i64, i64, u64)> = chunks
            .iter()
            .map(|chunk| (chunk.min_ms, chunk.max_ms, chunk.reference))
            .collect();
        let before = shard.get(id).map_or(0, |series| series.full_count());
        if let Some(series) = shard.get(id).filter(|_| before > 0) {
            all.extend(shard.full_chunks(series).filter_map(|reference| {
                let chunk = head.files.read(reference).ok()?;
                Some((chunk.min_ms, chunk.max_ms, reference))
            }));
        }
        all.sort_unstable();
        let mut last = i64::MIN;
        let mut references = Vec::with_capacity(all.len());
        for (min_ms, max_ms, reference) in all {
            // Both may have written the same samples.
            if references.is_empty() || min_ms > last {
                last = max_ms;
                references.push(reference);
                self.min_ms = self.min_ms.min(min_ms);
                self.max_ms = self.max_ms.max(max_ms);
            }
        }
        shard.set_full(id, &references);
        let more = references.len() as f64 - before as f64;
        head.metrics.chunks.add(more);
        self.floors.raise(id, last);
    }
}
