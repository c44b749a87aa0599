//! Chunks of native histograms, with integer and with float counts, with and without start
//! timestamps (prometheus/prometheus `tsdb/docs/format/chunks.md`,
//! `tsdb/chunkenc/{histogram,float_histogram,histogram_st,float_histogram_st}.go`).
//!
//! All samples of a chunk have one bucket layout. A counter that gains buckets has its chunk written
//! anew with them; one that loses buckets in use, or counts, was reset and starts a new chunk.

use model::{CounterResetHint, FloatHistogram, Histogram, Span};

use super::bits::{BitReader, BitVec};
use super::codec::{Codec, Sample, SampleLayout};

pub use super::codec::{Codec as Counts, FloatCodec, IntCodec};
use super::layout::{Layout, Union, count};
use super::start::Starts;
use crate::error::{Cause, FormatError, Result};

const HEADER: usize = 3;

/// What a chunk's header says about the samples before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ResetHeader {
    Unknown = 0,
    NotReset = 0b0100_0000,
    Reset = 0b1000_0000,
    Gauge = 0b1100_0000,
}

impl ResetHeader {
    const fn from_byte(byte: u8) -> ResetHeader {
        match byte >> 6 {
            0b00 => ResetHeader::Unknown,
            0b01 => ResetHeader::NotReset,
            0b10 => ResetHeader::Reset,
            _ => ResetHeader::Gauge,
        }
    }
}

/// A chunk of histograms that is being written; see [`HistogramChunk`] and [`FloatHistogramChunk`].
#[derive(Clone, Debug)]
pub struct Chunk<C> {
    bits: BitVec,
    header: ResetHeader,
    /// `None` in chunks that have no start timestamps.
    starts: Option<Starts>,
    layout: Layout,
    codec: C,
    samples: u16,
    t_ms: i64,
    delta: i64,
}

/// A chunk of histograms with integer counts.
pub type HistogramChunk = Chunk<IntCodec>;
/// A chunk of histograms with float counts.
pub type FloatHistogramChunk = Chunk<FloatCodec>;

/// What became of a sample that was appended.
#[derive(Debug)]
pub enum Appended<C> {
    /// It is in the chunk.
    InPlace,
    /// It is in the chunk, whose earlier bytes were written anew for its buckets.
    Recoded,
    /// It did not fit the chunk, which is complete: it is the first of this one.
    Next(Box<Chunk<C>>),
}

/// Why a sample does or does not continue a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continuity {
    Continues,
    /// Counts went down, or the sample says so.
    Reset,
    /// Not to be compared: other schema or zero bucket, or the series was stale.
    Unknown,
    /// A gauge is followed by a counter.
    Gauge,
}

impl<C: Codec> Chunk<C> {
    /// A chunk without samples.
    pub fn new() -> Chunk<C> {
        Chunk::with(None)
    }

    /// A chunk without samples that will have start timestamps.
    pub fn with_starts() -> Chunk<C> {
        Chunk::with(Some(Starts::default()))
    }

    fn with(starts: Option<Starts>) -> Chunk<C> {
        Chunk {
            bits: BitVec::new(HEADER),
            header: ResetHeader::Unknown,
            starts,
            layout: Layout::default(),
            codec: C::default(),
            samples: 0,
            t_ms: 0,
            delta: 0,
        }
    }

    /// Continues an encoded chunk; `with_starts` as its encoding says.
    ///
    /// # Errors
    /// Bytes that are no such chunk.
    pub fn resume(data: &[u8], with_starts: bool) -> Result<Chunk<C>> {
        let mut iter = Iter::<C>::new(data, with_starts)?;
        while iter.advance()? {}
        Ok(Chunk {
            bits: BitVec::resume(data, iter.bits.position() as u32),
            header: iter.header,
            starts: iter.starts,
            layout: iter.layout,
            codec: iter.codec,
            samples: iter.total,
            t_ms: iter.t_ms,
            delta: iter.delta,
        })
    }

    /// How many samples the chunk holds.
    pub fn samples(&self) -> u16 {
        self.samples
    }

    /// What the header says about the samples before.
    pub fn reset_header(&self) -> ResetHeader {
        self.header
    }

    /// The last timestamp; 0 without samples.
    pub fn last_t_ms(&self) -> i64 {
        self.t_ms
    }

    /// The encoded chunk.
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// The last sample, if there is one.
    pub fn last_sample(&self) -> Option<C::Sample> {
        (self.samples > 0).then(|| self.codec.sample(&self.layout, self.hint(self.samples)))
    }

    fn hint(&self, read: u16) -> CounterResetHint {
        hint(self.header, read)
    }

    /// Whether a sample continues this chunk's counters, or why not.
    fn continuity(&self, sample: &C::Sample) -> Continuity {
        if self.samples > 0 && self.header == ResetHeader::Gauge {
            Continuity::Gauge
        } else if sample.hint() == CounterResetHint::CounterReset {
            Continuity::Reset
        } else if sample.is_stale() {
            Continuity::Continues
        } else if self.codec.is_stale() {
            Continuity::Unknown
        } else if self.codec.count_shrinks(sample) {
            Continuity::Reset
        } else if !self.same_scale(sample) {
            Continuity::Unknown
        } else if sample.custom_values() != self.layout.custom_values
            || self.codec.zero_count_shrinks(sample)
        {
            Continuity::Reset
        } else {
            let (positive, negative) = self.unions(sample);
            let (own, new) = (self.codec.counts(), C::counts_of(sample));
            if positive.shrinks(&own.0, &new.0) || negative.shrinks(&own.1, &new.1) {
                Continuity::Reset
            } else {
                Continuity::Continues
            }
        }
    }

    fn same_scale(&self, sample: &C::Sample) -> bool {
        sample.schema() == self.layout.schema
            && sample.zero_threshold() == self.layout.zero_threshold
    }

    fn unions(&self, sample: &C::Sample) -> (Union, Union) {
        (
            Union::of(&self.layout.positive_spans, sample.spans().0),
            Union::of(&self.layout.negative_spans, sample.spans().1),
        )
    }

    /// Appends a sample; a start of 0 is none. `previous` is the chunk before, where this one is
    /// still empty: whether it is continued goes into the header.
    ///
    /// # Errors
    /// A histogram whose spans and buckets do not fit each other.
    pub fn append(
        &mut self,
        previous: Option<&Chunk<C>>,
        start_ms: i64,
        t_ms: i64,
        sample: &C::Sample,
    ) -> Result<Appended<C>> {
        check_shape::<C>(sample)?;
        let gauge = sample.hint() == CounterResetHint::Gauge;
        if self.samples == 0 {
            self.header = if gauge {
                ResetHeader::Gauge
            } else if sample.hint() == CounterResetHint::CounterReset {
                ResetHeader::Reset
            } else {
                previous.map_or(self.header, |previous| {
                    C::header_after(previous.continuity(sample) == Continuity::Reset, || {
                        previous.continuity(sample) == Continuity::Unknown
                    })
                })
            };
            self.put(start_ms, t_ms, sample);
            return Ok(Appended::InPlace);
        }
        let refused = if gauge {
            (!self.continues_gauge(sample)).then_some(ResetHeader::Gauge)
        } else {
            match self.continuity(sample) {
                Continuity::Continues => None,
                Continuity::Reset => Some(ResetHeader::Reset),
                Continuity::Unknown => Some(ResetHeader::Unknown),
                Continuity::Gauge => Some(C::HEADER_AFTER_GAUGE),
            }
        };
        let full = self.samples == self.most_samples();
        if let Some(header) = refused.or(full.then_some(ResetHeader::NotReset)) {
            let mut next = Chunk::with(self.starts.map(|_| Starts::default()));
            next.header = if gauge { ResetHeader::Gauge } else { header };
            next.put(start_ms, t_ms, sample);
            return Ok(Appended::Next(Box::new(next)));
        }
        self.append_with_buckets(start_ms, t_ms, sample)
    }

    const fn most_samples(&self) -> u16 {
        match self.starts {
            Some(_) => 0x3fff,
            None => u16::MAX,
        }
    }

    fn continues_gauge(&self, sample: &C::Sample) -> bool {
        self.header == ResetHeader::Gauge
            && (sample.is_stale()
                || !self.codec.is_stale()
                    && self.same_scale(sample)
                    && sample.custom_values() == self.layout.custom_values)
    }

    /// Brings the buckets of chunk and sample together and appends.
    fn append_with_buckets(
        &mut self,
        start_ms: i64,
        t_ms: i64,
        sample: &C::Sample,
    ) -> Result<Appended<C>> {
        if sample.is_stale() {
            self.put(start_ms, t_ms, sample);
            return Ok(Appended::InPlace);
        }
        let (positive, negative) = self.unions(sample);
        let lacks = positive.lacks() || negative.lacks();
        let grows = positive.grows() || negative.grows();
        if !lacks && !grows {
            self.put(start_ms, t_ms, sample);
            return Ok(Appended::InPlace);
        }
        let mut sample = sample.clone();
        if lacks {
            let counts = C::counts_of(&sample);
            C::set_counts(
                &mut sample,
                positive.spread_second(&counts.0),
                negative.spread_second(&counts.1),
            );
            if grows {
                sample.set_spans(positive.spans.clone(), negative.spans.clone());
            } else {
                sample.set_spans(
                    self.layout.positive_spans.clone(),
                    self.layout.negative_spans.clone(),
                );
            }
        }
        if !grows {
            self.put(start_ms, t_ms, &sample);
            return Ok(Appended::InPlace);
        }
        self.recode(&positive, &negative, sample.spans())?;
        self.put(start_ms, t_ms, &sample);
        Ok(Appended::Recoded)
    }

    /// Writes the chunk anew with more buckets.
    fn recode(
        &mut self,
        positive: &Union,
        negative: &Union,
        spans: (&[Span], &[Span]),
    ) -> Result<()> {
        let mut recoded = Chunk::<C>::with(self.starts.map(|_| Starts::default()));
        recoded.header = self.header;
        let mut iter = Iter::<C>::new(self.bits.bytes(), self.starts.is_some())?;
        while iter.advance()? {
            let mut sample = iter.sample();
            if !sample.is_stale() {
                let counts = C::counts_of(&sample);
                C::set_counts(
                    &mut sample,
                    positive.spread_first(&counts.0),
                    negative.spread_first(&counts.1),
                );
                sample.set_spans(spans.0.to_vec(), spans.1.to_vec());
            }
            recoded.put(iter.start_ms(), iter.t_ms, &sample);
        }
        *self = recoded;
        Ok(())
    }

    /// Writes a sample whose buckets are the chunk's.
    fn put(&mut self, start_ms: i64, t_ms: i64, sample: &C::Sample) {
        let marker;
        let sample = if sample.is_stale() {
            // Of a stale marker only the sum is stored.
            marker = C::Sample::stale_marker(sample.sum());
            &marker
        } else {
            sample
        };
        let previous_t_ms = self.t_ms;
        if self.samples == 0 {
            self.layout = sample.layout();
            self.layout.put(&mut self.bits);
            self.bits.put_varbit_int(t_ms);
            self.codec.put_first(&mut self.bits, sample);
        } else {
            let delta = t_ms.wrapping_sub(self.t_ms);
            self.bits.put_varbit_int(delta.wrapping_sub(self.delta));
            self.delta = delta;
            self.codec.put_next(&mut self.bits, sample);
        }
        if let Some(starts) = &mut self.starts {
            starts.put(&mut self.bits, self.samples, t_ms, previous_t_ms, start_ms);
        }
        self.t_ms = t_ms;
        self.samples += 1;
        let [high, low] = self.samples.to_be_bytes();
        let header = match &self.starts {
            None => [high, low, self.header as u8],
            Some(starts) => [high | self.header as u8, low, starts.header()],
        };
        self.bits.header()[..HEADER].copy_from_slice(&header);
    }
}

impl<C: Codec> Default for Chunk<C> {
    fn default() -> Chunk<C> {
        Chunk::new()
    }
}

fn check_shape<C: Codec>(sample: &C::Sample) -> Result<()> {
    let (positive, negative) = sample.spans();
    let buckets = sample.bucket_counts();
    if sample.is_stale() || (count(positive), count(negative)) == buckets {
        return Ok(());
    }
    Err(FormatError::invalid(
        C::WHAT,
        0,
        format!(
            "spans need {} and {} buckets, have {} and {} buckets",
            count(positive),
            count(negative),
            buckets.0,
            buckets.1
        ),
    ))
}

/// What is known of a counter reset before the `read`th sample (from 1) of a chunk.
const fn hint(header: ResetHeader, read: u16) -> CounterResetHint {
    match header {
        ResetHeader::Gauge => CounterResetHint::Gauge,
        _ if read > 1 => CounterResetHint::NotCounterReset,
        // The chunk before may be gone by now, or another one have come between: as upstream, neither
        // "reset" nor "not reset" is relied on.
        ResetHeader::Reset | ResetHeader::Unknown | ResetHeader::NotReset => {
            CounterResetHint::Unknown
        }
    }
}

/// The samples of a chunk of histograms one by one.
#[derive(Clone, Debug)]
pub struct Iter<'a, C> {
    bits: BitReader<'a>,
    size_bits: usize,
    header: ResetHeader,
    starts: Option<Starts>,
    layout: Layout,
    codec: C,
    total: u16,
    read: u16,
    t_ms: i64,
    delta: i64,
}

/// The samples of a chunk with integer counts.
pub type HistogramIter<'a> = Iter<'a, IntCodec>;
/// The samples of a chunk with float counts.
pub type FloatHistogramIter<'a> = Iter<'a, FloatCodec>;

impl<'a, C: Codec> Iter<'a, C> {
    /// An iterator over an encoded chunk; `with_starts` as its encoding says.
    ///
    /// # Errors
    /// Fewer bytes than a header.
    pub fn new(data: &'a [u8], with_starts: bool) -> Result<Iter<'a, C>> {
        let &[high, low, flags, ..] = data else {
            return Err(FormatError::new(
                C::WHAT,
                0,
                Cause::UnexpectedEnd {
                    needed: HEADER as u64,
                    left: data.len() as u64,
                },
            ));
        };
        let (total, header, starts) = if with_starts {
            let total = u16::from_be_bytes([high & 0x3f, low]);
            (total, high, Some(Starts::from_header(flags)))
        } else {
            (u16::from_be_bytes([high, low]), flags, None)
        };
        Ok(Iter {
            bits: BitReader::new(data, HEADER),
            size_bits: data.len() * 8,
            header: ResetHeader::from_byte(header),
            starts,
            layout: Layout::default(),
            codec: C::default(),
            total,
            read: 0,
            t_ms: 0,
            delta: 0,
        })
    }

    /// How many samples the chunk says to hold.
    pub fn total(&self) -> u16 {
        self.total
    }

    /// What the header says about the samples before.
    pub fn reset_header(&self) -> ResetHeader {
        self.header
    }

    /// Whether the chunk has start timestamps.
    pub fn has_starts(&self) -> bool {
        self.starts.is_some_and(|starts| starts.header() != 0)
    }

    /// Moves to the next sample; false behind the last.
    ///
    /// # Errors
    /// Bits that encode no sample, or too few of them.
    pub fn advance(&mut self) -> Result<bool> {
        if self.read == self.total {
            return Ok(false);
        }
        let previous_t_ms = self.t_ms;
        if self.read == 0 {
            self.layout = Layout::read(&mut self.bits, self.size_bits)
                .map_err(|text| FormatError::invalid(C::WHAT, self.bits.byte_offset(), text))?;
            self.t_ms = self.bits.varbit_int();
            let buckets = self.layout.buckets();
            self.codec.read_first(&mut self.bits, buckets);
        } else {
            self.delta = self.delta.wrapping_add(self.bits.varbit_int());
            self.t_ms = self.t_ms.wrapping_add(self.delta);
            self.codec
                .read_next(&mut self.bits)
                .ok_or_else(|| self.bits_error())?;
        }
        if let Some(starts) = &mut self.starts {
            let read = starts.read(&mut self.bits, self.read, self.t_ms, previous_t_ms);
            read.ok_or_else(|| self.bits_error())?;
        }
        if self.bits.overrun() {
            return Err(super::overrun(C::WHAT, &self.bits, self.read, self.total));
        }
        self.read += 1;
        Ok(true)
    }

    #[cold]
    fn bits_error(&self) -> FormatError {
        FormatError::invalid(
            C::WHAT,
            self.bits.byte_offset(),
            format!("impossible bits in sample {}", self.read),
        )
    }

    /// The current timestamp.
    pub fn t_ms(&self) -> i64 {
        self.t_ms
    }

    /// The current start timestamp, 0 for none.
    pub fn start_ms(&self) -> i64 {
        self.starts.map_or(0, |starts| starts.start_ms)
    }

    /// The current sample.
    pub fn sample(&self) -> C::Sample {
        self.codec
            .sample(&self.layout, hint(self.header, self.read))
    }
}

impl HistogramIter<'_> {
    /// The current sample with float counts.
    pub fn float_sample(&self) -> FloatHistogram {
        self.sample().to_float()
    }
}

/// Calls `take` with timestamp, start and sample of each sample of an encoded chunk of integer
/// histograms with `min_ms <= t <= max_ms`.
///
/// # Errors
/// Bytes that are no such chunk; what was decoded before the fault has been taken.
pub fn decode_integer(
    data: &[u8],
    with_starts: bool,
    min_ms: i64,
    max_ms: i64,
    mut take: impl FnMut(i64, i64, Histogram),
) -> Result<()> {
    each::<IntCodec>(data, with_starts, min_ms, max_ms, |iter| {
        take(iter.t_ms, iter.start_ms(), iter.sample());
    })
}

/// As [`decode_integer`], for float histograms and for integer ones as such: `float` says which
/// the chunk has.
///
/// # Errors
/// Bytes that are no such chunk; what was decoded before the fault has been taken.
pub fn decode_float(
    data: &[u8],
    float: bool,
    with_starts: bool,
    min_ms: i64,
    max_ms: i64,
    mut take: impl FnMut(i64, i64, FloatHistogram),
) -> Result<()> {
    if float {
        each::<FloatCodec>(data, with_starts, min_ms, max_ms, |iter| {
            take(iter.t_ms, iter.start_ms(), iter.sample());
        })
    } else {
        each::<IntCodec>(data, with_starts, min_ms, max_ms, |iter| {
            take(iter.t_ms, iter.start_ms(), iter.float_sample());
        })
    }
}

fn each<C: Codec>(
    data: &[u8],
    with_starts: bool,
    min_ms: i64,
    max_ms: i64,
    mut take: impl FnMut(&Iter<'_, C>),
) -> Result<()> {
    let mut iter = Iter::<C>::new(data, with_starts)?;
    while iter.advance()? {
        if iter.t_ms > max_ms {
            break;
        }
        if iter.t_ms >= min_ms {
            take(&iter);
        }
    }
    Ok(())
}
