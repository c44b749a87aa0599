//! Writing: appenders.

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata};

/// A store's handle for a series, for appending without looking up labels again; 0 is no handle.
/// It stays valid until the series is collected; a store takes a stale handle for unknown.
pub type SeriesRef = u64;

/// Why a sample was refused. The texts are upstream's (prometheus/prometheus `storage/interface.go`).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AppendError {
    #[error("out of order sample")]
    OutOfOrder,
    #[error("out of bounds")]
    OutOfBounds,
    #[error("too old sample")]
    TooOld,
    #[error("duplicate sample for timestamp")]
    Duplicate,
    #[error("out of order exemplar")]
    OutOfOrderExemplar,
    #[error("duplicate exemplar")]
    DuplicateExemplar,
    #[error("exemplar label length exceeds maximum of 128 UTF-8 characters")]
    ExemplarLabelLength,
    #[error("start timestamp out of order, ignoring")]
    OutOfOrderStart,
    /// A label set without labels, or a label name given twice.
    #[error("{0}")]
    InvalidLabels(String),
    /// A histogram whose parts contradict each other.
    #[error("{0}")]
    InvalidHistogram(String),
    /// The store takes no writes now (disk full, closing): nothing of this commit is stored.
    #[error("{0}")]
    Unavailable(String),
    /// Writing failed below us: nothing of this commit may be taken for stored.
    #[error("{0}")]
    Io(String),
}

/// A destination of samples.
pub trait Appendable: Send + Sync {
    /// A new batch; dropped without commit, it is rolled back.
    fn appender(&self) -> Box<dyn Appender>;
}

/// A batch of samples that becomes visible, and durable against kill -9, at commit, as a whole.
pub trait Appender: Send {
    /// Adds a float sample to the series of `reference`, or of `labels` where the reference is 0 or
    /// no longer known. `start_ms` is the start timestamp, 0 if unknown. Returns the reference for
    /// the next time. An error concerns this sample alone.
    fn append(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError>;

    /// Likewise for a histogram with integer counts.
    fn append_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError>;

    /// Likewise for a histogram with float counts.
    fn append_float_histogram(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        start_ms: i64,
        t_ms: i64,
        histogram: &FloatHistogram,
    ) -> Result<SeriesRef, AppendError>;

    /// Adds an exemplar to a series that this or an earlier batch created.
    fn append_exemplar(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        exemplar: &Exemplar,
    ) -> Result<SeriesRef, AppendError>;

    /// Notes a series' metadata.
    fn update_metadata(
        &mut self,
        reference: SeriesRef,
        labels: &Labels,
        metadata: &Metadata,
    ) -> Result<SeriesRef, AppendError>;

    /// Makes the batch durable and visible.
    fn commit(self: Box<Self>) -> Result<(), AppendError>;

    /// Forgets the batch.
    fn rollback(self: Box<Self>);
}
