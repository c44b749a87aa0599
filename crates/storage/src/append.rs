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
    /// There is another value at the timestamp; which one, where that is known.
    #[error("duplicate sample for timestamp{}", Overridden::tail(.0.as_ref()))]
    Duplicate(Option<Overridden>),
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

/// A sample that would have replaced another (prometheus/prometheus `storage/interface.go`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overridden {
    pub t_ms: i64,
    /// The value that is there; `None` for a histogram.
    pub existing: Option<f64>,
    pub new: f64,
}

impl Overridden {
    fn tail(this: Option<&Overridden>) -> String {
        // Upstream takes a timestamp of 0 for none.
        let Some(this) = this.filter(|this| this.t_ms != 0) else {
            return String::new();
        };
        let number = |value| golang::strconv::format_float(value, 'g', -1, 64);
        let existing = match this.existing {
            Some(value) => number(value),
            None => "is a histogram".to_owned(),
        };
        format!(
            " {}; overrides not allowed: existing {existing}, new value {}",
            this.t_ms,
            number(this.new)
        )
    }
}

/// Whether an exemplar's labels are short enough: at most 128 characters together.
///
/// # Errors
/// [`AppendError::ExemplarLabelLength`].
pub fn check_exemplar_length(labels: &Labels) -> Result<(), AppendError> {
    const MAX_CHARS: usize = 128;
    let chars = |(name, value): (&str, &str)| name.chars().count() + value.chars().count();
    if labels.iter().map(chars).sum::<usize>() > MAX_CHARS {
        return Err(AppendError::ExemplarLabelLength);
    }
    Ok(())
}

/// A destination of samples.
pub trait Appendable: Send + Sync {
    /// A new batch; dropped without commit, it is rolled back.
    fn appender(&self) -> Box<dyn Appender>;

    /// How many series it has, if it can tell at once.
    fn series_count(&self) -> Option<usize> {
        None
    }
}

/// A batch of samples that becomes visible, and durable against kill -9, at commit, as a whole.
pub trait Appender: Send {
    /// Says which series the next calls are about, in their order: a store may fetch what it has of
    /// them, so that its waits for memory overlap. Some tens are a good number.
    fn announce(&mut self, references: &[SeriesRef]) {
        let _ = references;
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_name_both_values() {
        let check = |overridden, text: &str| {
            assert_eq!(AppendError::Duplicate(overridden).to_string(), text);
        };
        let some = |t_ms, existing, new| {
            Some(Overridden {
                t_ms,
                existing,
                new,
            })
        };
        check(None, "duplicate sample for timestamp");
        check(some(0, Some(1.0), 2.0), "duplicate sample for timestamp");
        check(
            some(1_784_174_672_807, Some(2.5909e-05), 3e21),
            "duplicate sample for timestamp 1784174672807; overrides not allowed: existing 2.5909e-05, new value 3e+21",
        );
        check(
            some(5, None, f64::NAN),
            "duplicate sample for timestamp 5; overrides not allowed: existing is a histogram, new value NaN",
        );
    }
}
