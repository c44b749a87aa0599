//! Reading: queryables, series sets, columns.

use std::sync::Arc;

use model::{Annotations, FloatHistogram, Labels, Matcher};

/// Why a read failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// Stored bytes that do not decode; names the file or chunk and the place.
    #[error("{0}")]
    Corrupt(String),
    /// The caller gave up.
    #[error("query was canceled")]
    Canceled,
    /// Reading failed below us.
    #[error("{0}")]
    Io(String),
    /// What was asked for is not there yet; says what is missing.
    #[error("not ready: {0}")]
    NotReady(String),
    /// Anything else that a source reports.
    #[error("{0}")]
    Other(String),
}

/// What the reader is going to do with the series, for sources that can use it.
#[derive(Clone, Debug, Default)]
pub struct SelectHints {
    /// First and last timestamp of interest, both inclusive.
    pub start_ms: i64,
    pub end_ms: i64,
    /// Step of the range query, 0 for an instant query.
    pub step_ms: i64,
    /// Window of the matrix selector, 0 without one.
    pub range_ms: i64,
    /// The function or aggregation around the selector.
    pub func: String,
    /// At most this many series, 0 for all.
    pub limit: usize,
    /// Labels only: the reader will not decode samples.
    pub series_only: bool,
    /// The reader looks at these labels only, and takes series that agree in them for different ones: a
    /// source may leave out the others where it does not sort. Sources that are joined by labels need
    /// all of them.
    pub only_labels: Option<Vec<String>>,
}

/// Bounds of a label query.
#[derive(Clone, Copy, Debug, Default)]
pub struct LabelHints {
    /// At most this many results, 0 for all.
    pub limit: usize,
}

/// A source of queriers.
pub trait Queryable: Send + Sync {
    /// A view of the data between the two timestamps, both inclusive. It sees every commit that
    /// finished before this call and none that did not.
    fn querier(&self, min_ms: i64, max_ms: i64) -> Result<Box<dyn Querier>, StorageError>;

    /// No fewer series than satisfy the matchers, where that is known at once and their samples since
    /// `min_ms` are in memory: for finding out whether a query is small.
    fn series_at_most(&self, min_ms: i64, matchers: &[Matcher]) -> Option<usize> {
        let _ = (min_ms, matchers);
        None
    }
}

/// A consistent view of a time range.
pub trait Querier: Send + Sync {
    /// The series that satisfy all matchers and have samples in the range; sorted by labels if
    /// `sorted` is set.
    fn select(
        &self,
        sorted: bool,
        hints: &SelectHints,
        matchers: &[Matcher],
    ) -> Result<SeriesSet, StorageError>;

    /// The values of label `name` among the series that satisfy the matchers, sorted, distinct.
    fn label_values(
        &self,
        name: &str,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError>;

    /// The label names of the series that satisfy the matchers, sorted, distinct.
    fn label_names(
        &self,
        hints: &LabelHints,
        matchers: &[Matcher],
    ) -> Result<(Vec<String>, Annotations), StorageError>;
}

/// The answer to a selection: cheap handles, whose samples are decoded when asked for, on any
/// thread and in any order.
#[derive(Default)]
pub struct SeriesSet {
    pub series: Vec<Arc<dyn Series>>,
    pub annotations: Annotations,
}

/// One series of an answer.
pub trait Series: Send + Sync {
    /// The label set.
    fn labels(&self) -> &Labels;

    /// Appends the samples with `min_ms <= t <= max_ms` to `out`, in order of time, each timestamp
    /// once; stale markers included. `out` is not cleared.
    fn decode(&self, min_ms: i64, max_ms: i64, out: &mut Columns) -> Result<(), StorageError>;

    /// A hint that [`Series::decode`] is about to be called: has what that reads fetched from memory, without
    /// waiting for it.
    fn prefetch(&self, turn: Turn) {
        let _ = turn;
    }

    /// The last sample with `min_ms <= t <= max_ms`, where the series knows it without decoding and it
    /// is a float; a stale marker is one.
    fn last_float(&self, min_ms: i64, max_ms: i64) -> Last {
        let _ = (min_ms, max_ms);
        Last::Unknown
    }

    /// The series' chunks that overlap the range, as encoded bytes, in order of time and not
    /// overlapping: for remote read and StoreAPI.
    fn chunks(&self, min_ms: i64, max_ms: i64) -> Result<Vec<EncodedChunk>, StorageError>;
}

/// When a series is decoded. Some memory can only be asked for when other memory has arrived, which says
/// where it is: of series that are decoded in turn each is asked twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is another one before it.
    AfterNext,
    Next,
}

/// What a series knows of its last sample without decoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Last {
    /// Nothing: it must be decoded.
    Unknown,
    /// There is no sample in the range.
    Nothing,
    /// Time and value.
    Float(i64, f64),
}

/// How a chunk's bytes are encoded; the numbers are those of the chunk files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChunkEncoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    Xor2 = 4,
}

/// A chunk as stored: payload without length, type byte and checksum.
#[derive(Clone, Debug)]
pub struct EncodedChunk {
    pub encoding: ChunkEncoding,
    pub min_ms: i64,
    pub max_ms: i64,
    pub data: Vec<u8>,
}

/// Decoded samples of one series: a column of floats and a column of histograms, each with its own
/// sorted timestamps. A timestamp occurs in one of the two only. Integer histograms arrive as float
/// histograms; a stale histogram marker has a stale `sum`.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    pub float_ms: Vec<i64>,
    pub floats: Vec<f64>,
    /// Start timestamps of the floats: empty, or as long as `float_ms`; 0 where unknown.
    pub float_start_ms: Vec<i64>,
    pub histogram_ms: Vec<i64>,
    pub histograms: Vec<Arc<FloatHistogram>>,
    /// Start timestamps of the histograms: empty, or as long as `histogram_ms`; 0 where unknown.
    pub histogram_start_ms: Vec<i64>,
}

impl Columns {
    /// Empties all columns and keeps their memory.
    pub fn clear(&mut self) {
        self.float_ms.clear();
        self.floats.clear();
        self.float_start_ms.clear();
        self.histogram_ms.clear();
        self.histograms.clear();
        self.histogram_start_ms.clear();
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.float_ms.is_empty() && self.histogram_ms.is_empty()
    }
}
