//! A shard of the head's series: their labels, open chunks and places of full chunks, packed.
//!
//! A series takes 72 bytes here, four bytes a label, eight bytes a full chunk and its open chunk's
//! bytes; rare things (histograms, late samples, metadata) are behind one pointer.

use model::{FloatHistogram, Histogram, Metadata};
use storage::{AppendError, Overridden};
use tsdb_format::FormatError;
use tsdb_format::bytes::Reader;
use tsdb_format::chunk::{Encoding, XorState};
use tsdb_format::head_chunks::HeadChunk;

use super::chunk_files::ChunkFiles;
use super::isolation::Pins;
use super::open_histogram::OpenHistogram;
use super::out_of_order::{OutOfOrder, OwnedValue};
use super::prefetch::prefetch;
use super::slab::{Handle, Slab};

/// Ids are dealt to shards in runs, so that the series of one target share shards.
const RUN_BITS: u32 = 6;
const SHARD_BITS: u32 = 4;
/// How many shards there are.
pub const SHARDS: usize = 1 << SHARD_BITS;
const PAGE: usize = 64;
const NO_SLOT: u32 = u32::MAX;
/// Behind the last of a series' labels, where their run has room for more.
const NO_PAIR: u32 = u32::MAX;
/// Bits of [`Series::usage`]: whether the log has the labels, and how many batches have samples.
const LOGGED: u16 = 1 << 15;
const PINNED: u16 = LOGGED - 1;
/// Upstream's bound of an XOR chunk's bytes, less the largest sample.
const MAX_XOR_BYTES: usize = 1024 - 19;
const TARGET_HISTOGRAM_BYTES: usize = 1024;
const MIN_HISTOGRAM_SAMPLES: u16 = 10;

/// The shard of a series.
#[inline]
pub fn shard_of(id: u32) -> usize {
    (id >> RUN_BITS) as usize & (SHARDS - 1)
}

/// A sample's value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Float(f64),
    Histogram(&'a Histogram),
    FloatHistogram(&'a FloatHistogram),
}

impl Value<'_> {
    /// A copy.
    pub fn to_owned(self) -> OwnedValue {
        match self {
            Value::Float(v) => OwnedValue::Float(v),
            Value::Histogram(h) => OwnedValue::Histogram(h.clone().into()),
            Value::FloatHistogram(h) => OwnedValue::FloatHistogram(h.clone().into()),
        }
    }
}

/// What few series have.
#[derive(Default)]
pub struct Extra {
    /// The open chunk, its first timestamp, and whether its end has been predicted.
    pub histogram: Option<(OpenHistogram, i64, bool)>,
    pub late: OutOfOrder,
    pub metadata: Option<Metadata>,
    /// Deleted ranges, both ends inclusive.
    pub deleted: Vec<(i64, i64)>,
}

/// A series of the head.
pub struct Series {
    xor: XorState,
    next_at_ms: i64,
    extra: Option<Box<Extra>>,
    labels: Handle,
    open: Handle,
    full: Handle,
    /// 0 for a slot without series.
    pub id: u32,
    /// The lower half of the hash of its labels.
    pub hash: u32,
    full_count: u16,
    usage: u16,
}

impl Series {
    fn vacant() -> Series {
        Series {
            xor: XorState::new(),
            next_at_ms: 0,
            extra: None,
            labels: Handle::none(),
            open: Handle::none(),
            full: Handle::none(),
            id: 0,
            hash: 0,
            full_count: 0,
            usage: 0,
        }
    }

    /// What few series have, if this one does.
    pub fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    /// Likewise, for changing; it is created.
    pub fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    fn open_histogram(&self) -> Option<&(OpenHistogram, i64, bool)> {
        self.extra.as_ref()?.histogram.as_ref()
    }

    /// Whether there is an open chunk.
    pub fn has_open(&self) -> bool {
        self.xor.samples() > 0 || self.open_histogram().is_some()
    }

    /// Time and value of the open chunk's last sample, if those are floats.
    #[inline]
    pub fn last_open_float(&self) -> Option<(i64, f64)> {
        (self.xor.samples() > 0).then(|| (self.xor.last_t_ms(), self.xor.last_value()))
    }

    /// Whether the log has its labels.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.usage & LOGGED != 0
    }

    /// Notes whether the log has its labels.
    pub fn set_logged(&mut self, logged: bool) {
        self.usage = self.usage & PINNED | if logged { LOGGED } else { 0 };
    }

    /// Whether a batch has samples for it: it must not be collected.
    #[inline]
    pub fn is_pinned(&self) -> bool {
        self.usage & PINNED != 0
    }

    /// Keeps it for a sample of a batch.
    #[inline]
    pub fn pin(&mut self) {
        if self.usage & PINNED != PINNED {
            self.usage += 1;
        }
    }

    /// Lets it go again. A count that was full stays full: better a series too many.
    #[inline]
    pub fn unpin(&mut self) {
        if !matches!(self.usage & PINNED, 0 | PINNED) {
            self.usage -= 1;
        }
    }

    /// How many full chunks there are.
    pub fn full_count(&self) -> usize {
        usize::from(self.full_count)
    }
}

/// How chunks are cut, and where full ones go.
pub struct ChunkPolicy<'a> {
    pub files: &'a ChunkFiles,
    pub range_ms: i64,
    pub samples_per_chunk: u16,
}

/// What an append changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sample is in the open chunk.
    Appended,
    /// It is in a new chunk.
    NewChunk,
    /// It was there already.
    Duplicate,
}

/// Where a sample may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    InOrder,
    Late,
}

/// The bounds that decide about late samples.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub head_max_ms: i64,
    pub min_valid_ms: i64,
    pub window_ms: i64,
}

/// A shard; see the module.
#[derive(Default)]
pub struct Shard {
    slots: Vec<Option<Box<[u32; PAGE]>>>,
    pages: Vec<Vec<Series>>,
    free: Vec<u32>,
    pub slab: Slab,
    pub pins: Pins,
    count: usize,
}

/// A copy of a series' open chunk.
pub struct OpenChunk {
    pub encoding: Encoding,
    pub min_ms: i64,
    pub max_ms: i64,
    pub data: Vec<u8>,
}

/// An open chunk, and when it was to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenState<'a> {
    pub encoding: Encoding,
    /// The time of its first sample.
    pub min_ms: i64,
    /// A sample of this time or later begins the next chunk.
    pub next_at_ms: i64,
    /// Whether that was set by what the chunk holds; histograms only.
    pub predicted: bool,
    pub data: &'a [u8],
}

impl Shard {
    /// How many series there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the series and of the table that finds them, without their runs.
    pub fn bytes(&self) -> usize {
        let slots = self.slots.iter().flatten().count() * PAGE * 4 + self.slots.capacity() * 8;
        self.pages.len() * PAGE * size_of::<Series>() + slots
    }

    #[inline]
    fn slot(&self, id: u32) -> Option<u32> {
        let page = self.slots.get((id >> (RUN_BITS + SHARD_BITS)) as usize)?;
        match page.as_ref()?[id as usize & (PAGE - 1)] {
            NO_SLOT => None,
            slot => Some(slot),
        }
    }

    /// A series by its id.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&Series> {
        let slot = self.slot(id)? as usize;
        Some(&self.pages[slot / PAGE][slot % PAGE])
    }

    /// The ids as they are, to be looked up one by one. Ahead of each block of them what such a look
    /// needs is read once: then the memory's answers overlap, where one series after the other waits
    /// for each of its own, which is most of the cost of a long list.
    pub fn warmed<'a>(&'a self, ids: &'a [u32]) -> impl Iterator<Item = &'a u32> {
        /// Of so many series all lines stay in the nearest cache.
        const BLOCK: usize = 64;
        ids.chunks(BLOCK).flat_map(|block| {
            let mut read = 0;
            for series in block.iter().filter_map(|id| self.get(*id)) {
                read ^= series.xor.samples() as usize ^ usize::from(series.extra.is_some());
            }
            for series in block.iter().filter_map(|id| self.get(*id)) {
                read ^= usize::from(self.slab.get(&series.labels).first().copied().unwrap_or(0));
            }
            std::hint::black_box(read);
            block
        })
    }

    /// Has the series' open chunk and the places of its full ones fetched from memory.
    pub fn prefetch(&self, series: &Series) {
        let open = self.slab.get(&series.open);
        prefetch(&open[..series.xor.len().min(open.len())]);
        let full = self.slab.get(&series.full);
        let used = (series.full_count() * size_of::<u64>()).min(full.len());
        // The newest are looked at first, and further back one by one.
        prefetch(&full[used.saturating_sub(128)..used]);
    }

    /// Has a series fetched that is about to be looked at.
    #[inline]
    pub fn fetch(&self, id: u32) {
        if let Some(series) = self.get(id) {
            prefetch(std::slice::from_ref(series));
        }
    }

    /// Has what appending a float to a series needs beside it fetched.
    #[inline]
    pub fn fetch_open(&self, id: u32) {
        if let Some(series) = self.get(id) {
            self.slab.fetch_end(&series.open, series.xor.len());
        }
    }

    /// A series for changing.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Series> {
        let slot = self.slot(id)? as usize;
        Some(&mut self.pages[slot / PAGE][slot % PAGE])
    }

    /// The series, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Series> {
        self.pages.iter().flatten().filter(|series| series.id != 0)
    }

    /// Enters a series. `pairs` are the numbers of its labels.
    pub fn insert(&mut self, id: u32, hash: u32, pairs: &[u32]) {
        let labels = self.slab.take(pairs.len() * 4);
        let bytes = self.slab.get_mut(&labels);
        let pairs = pairs.iter().chain(std::iter::repeat(&NO_PAIR));
        for (bytes, pair) in bytes.chunks_exact_mut(4).zip(pairs) {
            bytes.copy_from_slice(&pair.to_le_bytes());
        }
        let series = Series {
            id,
            hash,
            labels,
            ..Series::vacant()
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.pages[slot as usize / PAGE][slot as usize % PAGE] = series;
                slot
            }
            None => {
                if self.pages.last().is_none_or(|page| page.len() == PAGE) {
                    self.pages.push(Vec::with_capacity(PAGE));
                }
                let last = self.pages.len() - 1;
                self.pages[last].push(series);
                (last * PAGE + self.pages[last].len() - 1) as u32
            }
        };
        let page = (id >> (RUN_BITS + SHARD_BITS)) as usize;
        if self.slots.len() <= page {
            self.slots.resize_with(page + 1, || None);
        }
        let page = self.slots[page].get_or_insert_with(|| Box::new([NO_SLOT; PAGE]));
        page[id as usize & (PAGE - 1)] = slot;
        self.count += 1;
    }

    /// Removes a series and frees what it has; says how many chunks that were.
    pub fn remove(&mut self, id: u32) -> usize {
        let Some(slot) = self.slot(id) else { return 0 };
        let at = (slot as usize / PAGE, slot as usize % PAGE);
        let series = std::mem::replace(&mut self.pages[at.0][at.1], Series::vacant());
        let chunks = series.full_count() + usize::from(series.has_open());
        self.slab.give(series.labels);
        self.slab.give(series.open);
        self.slab.give(series.full);
        self.free.push(slot);
        self.pins.remove(id);
        let page = &mut self.slots[(id >> (RUN_BITS + SHARD_BITS)) as usize];
        if let Some(slots) = page {
            slots[id as usize & (PAGE - 1)] = NO_SLOT;
            if slots.iter().all(|slot| *slot == NO_SLOT) {
                *page = None;
            }
        }
        self.count -= 1;
        chunks
    }

    /// The pair numbers of a series' labels, in the order of the names.
    pub fn pairs<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = u32> + 'a {
        self.slab
            .get(&series.labels)
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .take_while(|pair| *pair != NO_PAIR)
    }

    /// References of the full chunks in order of time.
    pub fn full_chunks<'a>(
        &'a self,
        series: &'a Series,
    ) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + 'a {
        self.slab
            .get(&series.full)
            .as_chunks::<8>()
            .0
            .get(..series.full_count())
            .unwrap_or(&[])
            .iter()
            .map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Enters the reference of a full chunk.
    pub fn push_full(&mut self, id: u32, reference: u64) {
        let Some(slot) = self.slot(id) else { return };
        let series = &mut self.pages[slot as usize / PAGE][slot as usize % PAGE];
        push_full(&mut self.slab, series, reference);
    }

    /// Replaces the references of the full chunks.
    pub fn set_full(&mut self, id: u32, references: &[u64]) {
        let Some(slot) = self.slot(id) else { return };
        let series = &mut self.pages[slot as usize / PAGE][slot as usize % PAGE];
        self.slab
            .give(std::mem::replace(&mut series.full, Handle::none()));
        series.full_count = 0;
        for reference in references {
            push_full(&mut self.slab, series, *reference);
        }
    }

    /// Drops the open chunk.
    pub fn drop_open(&mut self, id: u32) {
        let Some(slot) = self.slot(id) else { return };
        let series = &mut self.pages[slot as usize / PAGE][slot as usize % PAGE];
        self.slab
            .give(std::mem::replace(&mut series.open, Handle::none()));
        series.xor = XorState::new();
        if let Some(extra) = &mut series.extra {
            extra.histogram = None;
        }
    }

    /// A copy of the open chunk.
    pub fn open_chunk(&self, series: &Series) -> Option<OpenChunk> {
        if let Some((open, min_ms, _)) = series.open_histogram() {
            return Some(OpenChunk {
                encoding: open.encoding(),
                min_ms: *min_ms,
                max_ms: open.last_t_ms(),
                data: open.bytes().to_vec(),
            });
        }
        if series.xor.samples() == 0 {
            return None;
        }
        let mut data = self.slab.get(&series.open)[..series.xor.len()].to_vec();
        series.xor.write_header(&mut data);
        Some(OpenChunk {
            encoding: Encoding::Xor,
            min_ms: first_t_ms(&data),
            max_ms: series.xor.last_t_ms(),
            data,
        })
    }

    /// Gives a series without open chunk the one that [`Shard::open_states`] had, as if its samples had
    /// been appended; answers the time of its last sample, `None` where there is no such series or it has
    /// an open chunk.
    ///
    /// # Errors
    /// Bytes that are no such chunk.
    pub fn restore_open(
        &mut self,
        id: u32,
        open: &OpenState<'_>,
    ) -> Result<Option<i64>, FormatError> {
        let Some(slot) = self.slot(id) else {
            return Ok(None);
        };
        let series = &mut self.pages[slot as usize / PAGE][slot as usize % PAGE];
        if series.has_open() {
            return Ok(None);
        }
        let last_ms = if open.encoding == Encoding::Xor {
            let xor = XorState::resume(open.data)?;
            self.slab
                .give(std::mem::replace(&mut series.open, Handle::none()));
            self.slab.grow(&mut series.open, xor.len(), 0);
            self.slab.get_mut(&series.open)[..xor.len()].copy_from_slice(&open.data[..xor.len()]);
            series.xor = xor;
            series.xor.last_t_ms()
        } else {
            let chunk = OpenHistogram::resume(open.encoding, open.data)?;
            let last_ms = chunk.last_t_ms();
            series.extra_mut().histogram = Some((chunk, open.min_ms, open.predicted));
            last_ms
        };
        series.next_at_ms = open.next_at_ms;
        Ok(Some(last_ms))
    }

    /// How many pages of series there are; see [`Shard::open_states`].
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The open chunks of a page's series as they are, for [`Shard::restore_open`]: those of a few of all
    /// series, in no order, none of which ever moves to another page.
    pub fn open_states(&mut self, page: usize) -> impl Iterator<Item = (u32, OpenState<'_>)> {
        let Shard { pages, slab, .. } = self;
        let page = pages.get(page).map_or(&[][..], Vec::as_slice);
        for series in page.iter().filter(|series| series.xor.samples() > 0) {
            series.xor.write_header(slab.get_mut(&series.open));
        }
        let slab = &*slab;
        let open = |series| Some((series, open_state(slab, series)?));
        page.iter()
            .filter_map(open)
            .map(|(series, open)| (series.id, open))
    }

    /// First and last time of the open chunk.
    pub fn open_range(&self, series: &Series) -> Option<(i64, i64)> {
        if let Some((open, min_ms, _)) = series.open_histogram() {
            return Some((*min_ms, open.last_t_ms()));
        }
        let samples = series.xor.samples() > 0;
        samples.then(|| {
            let data = self.slab.get(&series.open);
            (first_t_ms(data), series.xor.last_t_ms())
        })
    }

    /// The last in-order timestamp.
    pub fn last_t_ms(&self, series: &Series, files: &ChunkFiles) -> Option<i64> {
        if series.xor.samples() > 0 {
            return Some(series.xor.last_t_ms());
        }
        if let Some((open, ..)) = series.open_histogram() {
            return Some(open.last_t_ms());
        }
        let last = self.full_chunks(series).next_back()?;
        // A chunk that cannot be read has no samples to be in order with.
        files.read(last).ok().map(|chunk| chunk.max_ms)
    }

    /// First in-order timestamp.
    pub fn first_t_ms(&self, series: &Series, files: &ChunkFiles) -> Option<i64> {
        match self.full_chunks(series).next() {
            Some(first) => files.read(first).ok().map(|chunk| chunk.min_ms),
            None => self.open_range(series).map(|(min, _)| min),
        }
    }

    /// Whether the last sample, if it is in the open chunk, is a stale marker.
    pub fn is_stale(&self, series: &Series) -> bool {
        match series.open_histogram() {
            Some((open, ..)) => open.is_stale(),
            None => series.xor.samples() > 0 && model::is_stale(series.xor.last_value()),
        }
    }

    /// Whether a stale float has to be stored as a stale histogram, and of which kind.
    pub fn stale_as(&self, series: &Series) -> Option<Encoding> {
        series.open_histogram().map(|(open, ..)| open.encoding())
    }

    /// Where a sample may go (prometheus/prometheus `tsdb/head_append.go`, `appendable*`).
    ///
    /// # Errors
    /// Why nowhere.
    #[inline]
    pub fn place(
        &self,
        series: &Series,
        t_ms: i64,
        value: Value<'_>,
        bounds: Bounds,
        files: &ChunkFiles,
    ) -> Result<Place, AppendError> {
        if t_ms >= bounds.min_valid_ms {
            let last = match series.xor.samples() {
                0 => match self.last_t_ms(series, files) {
                    None => return Ok(Place::InOrder),
                    Some(last) => last,
                },
                _ => series.xor.last_t_ms(),
            };
            if t_ms > last {
                return Ok(Place::InOrder);
            }
            if t_ms == last {
                return match self.is_last_value(series, value) {
                    true => Ok(Place::InOrder),
                    false => Err(AppendError::Duplicate(overridden(series, t_ms, value))),
                };
            }
        }
        if bounds.window_ms > 0 {
            return if t_ms >= bounds.head_max_ms.saturating_sub(bounds.window_ms) {
                Ok(Place::Late)
            } else {
                Err(AppendError::TooOld)
            };
        }
        Err(if t_ms < bounds.min_valid_ms {
            AppendError::OutOfBounds
        } else {
            AppendError::OutOfOrder
        })
    }

    fn is_last_value(&self, series: &Series, value: Value<'_>) -> bool {
        match (series.open_histogram(), value) {
            (None, Value::Float(v)) if series.xor.samples() > 0 => {
                series.xor.last_value().to_bits() == v.to_bits()
            }
            (Some((open, ..)), value) => open.is_last(value),
            // Only full chunks, after a restart: what is in the log again is the same sample.
            (None, _) => series.xor.samples() == 0,
        }
    }

    /// Appends a sample to the open chunk, cutting it where it is full. Samples that are not newer
    /// than the last one are left out.
    ///
    /// # Errors
    /// A histogram whose parts contradict each other.
    pub fn append(
        &mut self,
        id: u32,
        t_ms: i64,
        value: Value<'_>,
        policy: &ChunkPolicy<'_>,
    ) -> Result<Outcome, AppendError> {
        let Some(slot) = self.slot(id) else {
            return Ok(Outcome::Duplicate);
        };
        let at = (slot as usize / PAGE, slot as usize % PAGE);
        if !self.pages[at.0][at.1].has_open() {
            let series = &self.pages[at.0][at.1];
            let last = self.last_t_ms(series, policy.files);
            if last.is_some_and(|last| last >= t_ms) {
                return Ok(Outcome::Duplicate);
            }
        }
        let series = &mut self.pages[at.0][at.1];
        match value {
            Value::Float(v) => Ok(append_float(series, &mut self.slab, t_ms, v, policy)),
            _ => append_histogram(series, &mut self.slab, t_ms, value, policy),
        }
    }
}

/// The open chunk as it is; an XOR chunk's header must have been written.
fn open_state<'a>(slab: &'a Slab, series: &'a Series) -> Option<OpenState<'a>> {
    let next_at_ms = series.next_at_ms;
    if let Some((open, min_ms, predicted)) = series.open_histogram() {
        return Some(OpenState {
            encoding: open.encoding(),
            min_ms: *min_ms,
            next_at_ms,
            predicted: *predicted,
            data: open.bytes(),
        });
    }
    if series.xor.samples() == 0 {
        return None;
    }
    let data = &slab.get(&series.open)[..series.xor.len()];
    Some(OpenState {
        encoding: Encoding::Xor,
        min_ms: first_t_ms(data),
        next_at_ms,
        predicted: false,
        data,
    })
}

/// What a refused float would have replaced.
#[cold]
fn overridden(series: &Series, t_ms: i64, value: Value<'_>) -> Option<Overridden> {
    let Value::Float(new) = value else {
        return None;
    };
    let existing = match series.open_histogram() {
        Some(_) => None,
        None => Some(series.xor.last_value()),
    };
    Some(Overridden {
        t_ms,
        existing,
        new,
    })
}

/// The first timestamp of an XOR chunk with samples.
fn first_t_ms(data: &[u8]) -> i64 {
    data.get(2..)
        .and_then(|bytes| Reader::new("XOR chunk", bytes).varint().ok())
        .unwrap_or(i64::MIN)
}

fn push_full(slab: &mut Slab, series: &mut Series, reference: u64) {
    let used = series.full_count() * 8;
    if slab.capacity(&series.full) < used + 8 {
        slab.grow(&mut series.full, used + 8, used);
    }
    slab.get_mut(&series.full)[used..used + 8].copy_from_slice(&reference.to_le_bytes());
    // With so many chunks the oldest are long in blocks: the count stays where it is.
    series.full_count = series.full_count.saturating_add(1);
}

/// The end of the block that `t_ms` falls into.
fn range_end(t_ms: i64, width_ms: i64) -> i64 {
    (t_ms / width_ms)
        .saturating_mul(width_ms)
        .saturating_add(width_ms)
}

/// Where a chunk should end so that the chunks up to `max_ms` are of about equal length.
fn chunk_end(start_ms: i64, now_ms: i64, max_ms: i64, ratio_to_full: f64) -> i64 {
    let n = (max_ms - start_ms) as f64 / ((now_ms - start_ms + 1) as f64 * ratio_to_full);
    if n <= 1.0 {
        return max_ms;
    }
    (start_ms as f64 + (max_ms - start_ms) as f64 / n.floor()) as i64
}

/// Writes a chunk of histograms to the files.
fn write_histograms(id: u32, open: &OpenHistogram, min_ms: i64, files: &ChunkFiles) -> u64 {
    files.write(&HeadChunk {
        series: u64::from(id),
        min_ms,
        max_ms: open.last_t_ms(),
        encoding: open.encoding(),
        out_of_order: false,
        data: open.bytes(),
    })
}

/// Writes the open chunk, of either kind, to the files.
fn write_open(series: &mut Series, slab: &mut Slab, files: &ChunkFiles) {
    let histogram = series.extra.as_mut().and_then(|e| e.histogram.take());
    let reference = if let Some((open, min_ms, _)) = histogram {
        write_histograms(series.id, &open, min_ms, files)
    } else if series.xor.samples() > 0 {
        let data = &mut slab.get_mut(&series.open)[..series.xor.len()];
        series.xor.write_header(data);
        files.write(&HeadChunk {
            series: u64::from(series.id),
            min_ms: first_t_ms(data),
            max_ms: series.xor.last_t_ms(),
            encoding: Encoding::Xor,
            out_of_order: false,
            data,
        })
    } else {
        return;
    };
    series.xor = XorState::new();
    push_full(slab, series, reference);
}

#[inline]
fn append_float(
    series: &mut Series,
    slab: &mut Slab,
    t_ms: i64,
    value: f64,
    policy: &ChunkPolicy<'_>,
) -> Outcome {
    let samples = series.xor.samples();
    let mut outcome = Outcome::Appended;
    if samples == 0 {
        if let Some((open, ..)) = series.open_histogram() {
            if open.last_t_ms() >= t_ms {
                return Outcome::Duplicate;
            }
            write_open(series, slab, policy.files);
        }
        outcome = Outcome::NewChunk;
        series.next_at_ms = range_end(t_ms, policy.range_ms);
    } else {
        if series.xor.last_t_ms() >= t_ms {
            return Outcome::Duplicate;
        }
        if samples == policy.samples_per_chunk / 4 {
            let first = first_t_ms(slab.get(&series.open));
            let last = series.xor.last_t_ms();
            series.next_at_ms = chunk_end(first, last, series.next_at_ms, 4.0);
        }
        if t_ms >= series.next_at_ms
            || samples >= policy.samples_per_chunk.saturating_mul(2)
            || series.xor.len() > MAX_XOR_BYTES
        {
            write_open(series, slab, policy.files);
            outcome = Outcome::NewChunk;
            series.next_at_ms = range_end(t_ms, policy.range_ms);
        }
    }
    if outcome == Outcome::NewChunk {
        // The chunk before grew; this one begins small again.
        slab.give(std::mem::replace(&mut series.open, Handle::none()));
    }
    let open = slab.get_mut(&series.open);
    if open.len() >= series.xor.len() + XorState::ROOM {
        series.xor.append(open, t_ms, value);
    } else {
        append_tight(series, slab, t_ms, value);
    }
    outcome
}

/// Appends where the encoder has no room to write beyond the sample's end: only what the sample
/// needs in the end is taken.
fn append_tight(series: &mut Series, slab: &mut Slab, t_ms: i64, value: f64) {
    let before = series.xor.len().min(slab.capacity(&series.open));
    let tail = series.xor.append_apart(slab.get(&series.open), t_ms, value);
    let need = series.xor.len();
    if slab.capacity(&series.open) < need {
        slab.grow(&mut series.open, need, before);
    }
    tail.write(slab.get_mut(&series.open));
}

fn append_histogram(
    series: &mut Series,
    slab: &mut Slab,
    t_ms: i64,
    value: Value<'_>,
    policy: &ChunkPolicy<'_>,
) -> Result<Outcome, AppendError> {
    // Its header tells whether the next chunk goes on counting.
    let mut previous = None;
    let mut outcome = Outcome::Appended;
    if series.xor.samples() > 0 {
        if series.xor.last_t_ms() >= t_ms {
            return Ok(Outcome::Duplicate);
        }
        write_open(series, slab, policy.files);
    }
    if let Some((open, min_ms, predicted)) = &mut series.extra_mut().histogram {
        if open.last_t_ms() >= t_ms {
            return Ok(Outcome::Duplicate);
        }
        let bytes = open.bytes().len();
        let range_end = range_end(*min_ms, policy.range_ms);
        let (min_ms, samples, last) = (*min_ms, open.samples(), open.last_t_ms());
        let other = !open.takes(value);
        let predict = !*predicted && bytes >= TARGET_HISTOGRAM_BYTES / 4;
        *predicted |= predict;
        if predict {
            let ratio = TARGET_HISTOGRAM_BYTES as f64 / bytes as f64;
            series.next_at_ms = chunk_end(min_ms, last, series.next_at_ms, ratio);
        }
        let full = (t_ms >= series.next_at_ms || bytes >= TARGET_HISTOGRAM_BYTES * 2)
            && (samples >= MIN_HISTOGRAM_SAMPLES || t_ms >= range_end);
        if other || full || t_ms >= range_end {
            previous = series.extra_mut().histogram.take();
        }
    }
    if let Some((open, min_ms, _)) = &previous {
        let reference = write_histograms(series.id, open, *min_ms, policy.files);
        push_full(slab, series, reference);
    }
    slab.give(std::mem::replace(&mut series.open, Handle::none()));
    if series.open_histogram().is_none() {
        outcome = Outcome::NewChunk;
        series.next_at_ms = range_end(t_ms, policy.range_ms);
        let Some(open) = OpenHistogram::for_value(value) else {
            return Ok(Outcome::Duplicate);
        };
        series.extra_mut().histogram = Some((open, t_ms, false));
    }
    let previous = previous.map(|(open, ..)| open);
    let id = series.id;
    let Some((open, min_ms, predicted)) = &mut series.extra_mut().histogram else {
        return Ok(Outcome::Duplicate);
    };
    let next = open.append(previous.as_ref(), t_ms, value);
    match next {
        Ok(None) => Ok(outcome),
        Ok(Some(next)) => {
            let before = std::mem::replace(open, next);
            let reference = write_histograms(id, &before, *min_ms, policy.files);
            (*min_ms, *predicted) = (t_ms, false);
            series.next_at_ms = range_end(t_ms, policy.range_ms);
            push_full(slab, series, reference);
            Ok(Outcome::NewChunk)
        }
        Err(error) => {
            if open.samples() == 0 {
                series.extra_mut().histogram = None;
            }
            Err(AppendError::InvalidHistogram(error.to_string()))
        }
    }
}
