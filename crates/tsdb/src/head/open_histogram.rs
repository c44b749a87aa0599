//! A chunk that takes histograms, whichever of the two kinds.

use model::CounterResetHint;
use tsdb_format::FormatError;
use tsdb_format::chunk::{Appended, Encoding, FloatHistogramChunk, HistogramChunk};
use tsdb_format::wal::record::{encode_float_histogram, encode_histogram};

use super::series::Value;

/// The open chunk of a series whose last sample is a histogram.
pub enum OpenHistogram {
    Integer(Box<HistogramChunk>),
    Float(Box<FloatHistogramChunk>),
}

impl OpenHistogram {
    /// An empty chunk for samples like `value`; `None` for floats.
    pub fn for_value(value: Value<'_>) -> Option<OpenHistogram> {
        match value {
            Value::Float(_) => None,
            Value::Histogram(_) => Some(OpenHistogram::Integer(Box::default())),
            Value::FloatHistogram(_) => Some(OpenHistogram::Float(Box::default())),
        }
    }

    /// Goes on with an encoded chunk.
    ///
    /// # Errors
    /// Bytes that are no such chunk, and encodings that no open chunk has.
    pub fn resume(encoding: Encoding, data: &[u8]) -> Result<OpenHistogram, FormatError> {
        match encoding {
            Encoding::Histogram => {
                let chunk = HistogramChunk::resume(data, false)?;
                Ok(OpenHistogram::Integer(Box::new(chunk)))
            }
            Encoding::FloatHistogram => {
                let chunk = FloatHistogramChunk::resume(data, false)?;
                Ok(OpenHistogram::Float(Box::new(chunk)))
            }
            _ => Err(FormatError::invalid("open chunk", 0, "no histograms")),
        }
    }

    /// Whether samples like `value` go into this kind of chunk.
    pub fn takes(&self, value: Value<'_>) -> bool {
        matches!(
            (self, value),
            (OpenHistogram::Integer(_), Value::Histogram(_))
                | (OpenHistogram::Float(_), Value::FloatHistogram(_))
        )
    }

    /// Appends a sample that the chunk [`takes`](OpenHistogram::takes). The answer is the chunk that
    /// comes next where the sample does not fit this one: it begins with the sample. `previous` is
    /// the chunk before an empty one, by which its header tells whether counters were reset.
    ///
    /// # Errors
    /// A histogram whose parts contradict each other.
    pub fn append(
        &mut self,
        previous: Option<&OpenHistogram>,
        t_ms: i64,
        value: Value<'_>,
    ) -> Result<Option<OpenHistogram>, FormatError> {
        match (self, value) {
            (OpenHistogram::Integer(chunk), Value::Histogram(h)) => {
                let previous = previous.and_then(|before| match before {
                    OpenHistogram::Integer(before) => Some(&**before),
                    OpenHistogram::Float(_) => None,
                });
                Ok(match chunk.append(previous, 0, t_ms, h)? {
                    Appended::Next(next) => Some(OpenHistogram::Integer(next)),
                    _ => None,
                })
            }
            (OpenHistogram::Float(chunk), Value::FloatHistogram(h)) => {
                let previous = previous.and_then(|before| match before {
                    OpenHistogram::Float(before) => Some(&**before),
                    OpenHistogram::Integer(_) => None,
                });
                Ok(match chunk.append(previous, 0, t_ms, h)? {
                    Appended::Next(next) => Some(OpenHistogram::Float(next)),
                    _ => None,
                })
            }
            _ => Ok(None),
        }
    }

    /// Whether the last sample is `value`, but for the hint about counter resets.
    pub fn is_last(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (OpenHistogram::Integer(chunk), Value::Histogram(h)) => {
                chunk.last_sample().is_some_and(|last| {
                    let bytes = |mut h: model::Histogram| {
                        h.counter_reset_hint = CounterResetHint::Unknown;
                        let mut out = Vec::new();
                        encode_histogram(&mut out, &h);
                        out
                    };
                    h.is_stale() && last.is_stale() || bytes(last) == bytes(h.clone())
                })
            }
            (OpenHistogram::Float(chunk), Value::FloatHistogram(h)) => {
                chunk.last_sample().is_some_and(|last| {
                    let bytes = |mut h: model::FloatHistogram| {
                        h.counter_reset_hint = CounterResetHint::Unknown;
                        let mut out = Vec::new();
                        encode_float_histogram(&mut out, &h);
                        out
                    };
                    h.is_stale() && last.is_stale() || bytes(last) == bytes(h.clone())
                })
            }
            _ => false,
        }
    }

    /// Whether the last sample is a stale marker.
    pub fn is_stale(&self) -> bool {
        match self {
            OpenHistogram::Integer(chunk) => chunk.last_sample().is_some_and(|h| h.is_stale()),
            OpenHistogram::Float(chunk) => chunk.last_sample().is_some_and(|h| h.is_stale()),
        }
    }

    /// The time of the last sample.
    pub fn last_t_ms(&self) -> i64 {
        match self {
            OpenHistogram::Integer(chunk) => chunk.last_t_ms(),
            OpenHistogram::Float(chunk) => chunk.last_t_ms(),
        }
    }

    /// The encoded chunk.
    pub fn bytes(&self) -> &[u8] {
        match self {
            OpenHistogram::Integer(chunk) => chunk.bytes(),
            OpenHistogram::Float(chunk) => chunk.bytes(),
        }
    }

    /// How many samples there are.
    pub fn samples(&self) -> u16 {
        match self {
            OpenHistogram::Integer(chunk) => chunk.samples(),
            OpenHistogram::Float(chunk) => chunk.samples(),
        }
    }

    /// How it is encoded.
    pub fn encoding(&self) -> Encoding {
        match self {
            OpenHistogram::Integer(_) => Encoding::Histogram,
            OpenHistogram::Float(_) => Encoding::FloatHistogram,
        }
    }
}
