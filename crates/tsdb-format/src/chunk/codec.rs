//! What differs between chunks of integer and of float histograms: how counts are stored.

use model::{CounterResetHint, FloatHistogram, Histogram, Span, is_stale};

use super::bits::{BitReader, BitVec, XorFloat};
use super::histogram::ResetHeader;
use super::layout::Layout;

/// A histogram sample as chunks see it.
pub trait Sample: Clone {
    fn hint(&self) -> CounterResetHint;
    fn schema(&self) -> i32;
    fn zero_threshold(&self) -> f64;
    fn sum(&self) -> f64;
    fn custom_values(&self) -> &[f64];
    /// Positive and negative spans.
    fn spans(&self) -> (&[Span], &[Span]);
    fn set_spans(&mut self, positive: Vec<Span>, negative: Vec<Span>);
    /// How many positive and negative buckets there are.
    fn bucket_counts(&self) -> (usize, usize);
    /// A stale marker with this sum.
    fn stale_marker(sum: f64) -> Self;

    fn is_stale(&self) -> bool {
        is_stale(self.sum())
    }
}

pub(super) trait SampleLayout: Sample {
    fn layout(&self) -> Layout {
        let (positive, negative) = self.spans();
        Layout {
            schema: self.schema(),
            zero_threshold: self.zero_threshold(),
            positive_spans: positive.to_vec(),
            negative_spans: negative.to_vec(),
            custom_values: self.custom_values().to_vec(),
        }
    }
}

impl<S: Sample> SampleLayout for S {}

macro_rules! sample {
    ($type:ty) => {
        impl Sample for $type {
            fn hint(&self) -> CounterResetHint {
                self.counter_reset_hint
            }
            fn schema(&self) -> i32 {
                self.schema
            }
            fn zero_threshold(&self) -> f64 {
                self.zero_threshold
            }
            fn sum(&self) -> f64 {
                self.sum
            }
            fn custom_values(&self) -> &[f64] {
                &self.custom_values
            }
            fn spans(&self) -> (&[Span], &[Span]) {
                (&self.positive_spans, &self.negative_spans)
            }
            fn set_spans(&mut self, positive: Vec<Span>, negative: Vec<Span>) {
                self.positive_spans = positive;
                self.negative_spans = negative;
            }
            fn bucket_counts(&self) -> (usize, usize) {
                (self.positive_buckets.len(), self.negative_buckets.len())
            }
            fn stale_marker(sum: f64) -> Self {
                Self {
                    sum,
                    ..Self::default()
                }
            }
        }
    };
}

sample!(Histogram);
sample!(FloatHistogram);

/// How counts are stored, and what is known of those before.
#[allow(private_interfaces)] // Public in name only: the module is private.
pub trait Codec: Default + Clone {
    type Sample: Sample;
    /// An absolute count.
    type Count: Copy + Default + PartialOrd;

    /// The name in errors.
    const WHAT: &'static str;
    /// The header of a chunk of counters that follows one of gauges.
    const HEADER_AFTER_GAUGE: ResetHeader;

    /// The header of a chunk whose first sample was compared with the chunk before.
    fn header_after(reset: bool, unknown: impl FnOnce() -> bool) -> ResetHeader;

    fn put_first(&mut self, bits: &mut BitVec, sample: &Self::Sample);
    fn put_next(&mut self, bits: &mut BitVec, sample: &Self::Sample);
    fn read_first(&mut self, bits: &mut BitReader<'_>, buckets: (usize, usize));
    /// `None` for impossible bits.
    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Option<()>;
    /// The last sample.
    fn sample(&self, layout: &Layout, hint: CounterResetHint) -> Self::Sample;
    /// Whether the last sample was a stale marker.
    fn is_stale(&self) -> bool;
    fn count_shrinks(&self, sample: &Self::Sample) -> bool;
    fn zero_count_shrinks(&self, sample: &Self::Sample) -> bool;
    /// Absolute counts of the last sample's buckets, positive and negative.
    fn counts(&self) -> (Vec<Self::Count>, Vec<Self::Count>);
    /// Absolute counts of a sample's buckets.
    fn counts_of(sample: &Self::Sample) -> (Vec<Self::Count>, Vec<Self::Count>);
    fn set_counts(
        sample: &mut Self::Sample,
        positive: Vec<Self::Count>,
        negative: Vec<Self::Count>,
    );
}

/// Integer counts: deltas of deltas. Buckets are deltas to their neighbours to begin with.
#[derive(Clone, Debug)]
pub struct IntCodec {
    count: Delta,
    zero_count: Delta,
    sum: XorFloat,
    positive: Vec<Delta>,
    negative: Vec<Delta>,
}

impl Default for IntCodec {
    fn default() -> IntCodec {
        IntCodec {
            count: Delta::default(),
            zero_count: Delta::default(),
            sum: XorFloat::new(0.0),
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

/// A number that is stored as the change of its change.
#[derive(Clone, Copy, Debug, Default)]
struct Delta {
    value: i64,
    delta: i64,
}

impl Delta {
    fn put(&mut self, bits: &mut BitVec, value: i64) {
        let delta = value.wrapping_sub(self.value);
        bits.put_varbit_int(delta.wrapping_sub(self.delta));
        *self = Delta { value, delta };
    }

    fn read(&mut self, bits: &mut BitReader<'_>) {
        self.delta = self.delta.wrapping_add(bits.varbit_int());
        self.value = self.value.wrapping_add(self.delta);
    }
}

#[allow(private_interfaces)]
impl Codec for IntCodec {
    type Sample = Histogram;
    type Count = i64;

    const WHAT: &'static str = "histogram chunk";
    const HEADER_AFTER_GAUGE: ResetHeader = ResetHeader::NotReset;

    fn header_after(reset: bool, unknown: impl FnOnce() -> bool) -> ResetHeader {
        if reset {
            ResetHeader::Reset
        } else if unknown() {
            ResetHeader::Unknown
        } else {
            ResetHeader::NotReset
        }
    }

    fn put_first(&mut self, bits: &mut BitVec, sample: &Histogram) {
        let first = |value: i64| Delta { value, delta: 0 };
        bits.put_varbit_uint(sample.count);
        bits.put_varbit_uint(sample.zero_count);
        bits.put(sample.sum.to_bits(), 64);
        self.count = first(sample.count as i64);
        self.zero_count = first(sample.zero_count as i64);
        self.sum = XorFloat::new(sample.sum);
        for (buckets, own) in [
            (&sample.positive_buckets, &mut self.positive),
            (&sample.negative_buckets, &mut self.negative),
        ] {
            *own = buckets.iter().map(|bucket| first(*bucket)).collect();
            buckets
                .iter()
                .for_each(|bucket| bits.put_varbit_int(*bucket));
        }
    }

    fn put_next(&mut self, bits: &mut BitVec, sample: &Histogram) {
        if is_stale(sample.sum) {
            bits.put_varbit_int(0);
            bits.put_varbit_int(0);
            self.sum.put(bits, sample.sum);
            return;
        }
        self.count.put(bits, sample.count as i64);
        self.zero_count.put(bits, sample.zero_count as i64);
        self.sum.put(bits, sample.sum);
        for (own, bucket) in self.positive.iter_mut().zip(&sample.positive_buckets) {
            own.put(bits, *bucket);
        }
        for (own, bucket) in self.negative.iter_mut().zip(&sample.negative_buckets) {
            own.put(bits, *bucket);
        }
    }

    fn read_first(&mut self, bits: &mut BitReader<'_>, buckets: (usize, usize)) {
        let first = |value: i64| Delta { value, delta: 0 };
        self.count = first(bits.varbit_uint() as i64);
        self.zero_count = first(bits.varbit_uint() as i64);
        self.sum = XorFloat::new(f64::from_bits(bits.bits(64)));
        self.positive = (0..buckets.0).map(|_| first(bits.varbit_int())).collect();
        self.negative = (0..buckets.1).map(|_| first(bits.varbit_int())).collect();
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        self.count.read(bits);
        self.zero_count.read(bits);
        self.sum.read(bits)?;
        if !self.is_stale() {
            self.positive.iter_mut().for_each(|own| own.read(bits));
            self.negative.iter_mut().for_each(|own| own.read(bits));
        }
        Some(())
    }

    fn sample(&self, layout: &Layout, hint: CounterResetHint) -> Histogram {
        if self.is_stale() {
            return Histogram {
                counter_reset_hint: hint,
                ..Histogram::stale_marker(self.sum.value())
            };
        }
        Histogram {
            counter_reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count.value as u64,
            count: self.count.value as u64,
            sum: self.sum.value(),
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_buckets: self.positive.iter().map(|own| own.value).collect(),
            negative_buckets: self.negative.iter().map(|own| own.value).collect(),
            custom_values: layout.custom_values.clone(),
        }
    }

    fn is_stale(&self) -> bool {
        is_stale(self.sum.value())
    }

    fn count_shrinks(&self, sample: &Histogram) -> bool {
        sample.count < self.count.value as u64
    }

    fn zero_count_shrinks(&self, sample: &Histogram) -> bool {
        sample.zero_count < self.zero_count.value as u64
    }

    fn counts(&self) -> (Vec<i64>, Vec<i64>) {
        (
            absolute(self.positive.iter().map(|own| own.value)),
            absolute(self.negative.iter().map(|own| own.value)),
        )
    }

    fn counts_of(sample: &Histogram) -> (Vec<i64>, Vec<i64>) {
        (
            absolute(sample.positive_buckets.iter().copied()),
            absolute(sample.negative_buckets.iter().copied()),
        )
    }

    fn set_counts(sample: &mut Histogram, positive: Vec<i64>, negative: Vec<i64>) {
        sample.positive_buckets = deltas(positive);
        sample.negative_buckets = deltas(negative);
    }
}

fn absolute(deltas: impl Iterator<Item = i64>) -> Vec<i64> {
    deltas
        .scan(0i64, |count, delta| {
            *count = count.wrapping_add(delta);
            Some(*count)
        })
        .collect()
}

fn deltas(mut counts: Vec<i64>) -> Vec<i64> {
    let mut previous = 0i64;
    for count in &mut counts {
        let delta = count.wrapping_sub(previous);
        previous = *count;
        *count = delta;
    }
    counts
}

/// Float counts: differences as of XOR chunks. Buckets are absolute.
#[derive(Clone, Debug)]
pub struct FloatCodec {
    count: XorFloat,
    zero_count: XorFloat,
    sum: XorFloat,
    positive: Vec<XorFloat>,
    negative: Vec<XorFloat>,
}

impl Default for FloatCodec {
    fn default() -> FloatCodec {
        FloatCodec {
            count: XorFloat::new(0.0),
            zero_count: XorFloat::new(0.0),
            sum: XorFloat::new(0.0),
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

#[allow(private_interfaces)]
impl Codec for FloatCodec {
    type Sample = FloatHistogram;
    type Count = f64;

    const WHAT: &'static str = "float histogram chunk";
    const HEADER_AFTER_GAUGE: ResetHeader = ResetHeader::Unknown;

    fn header_after(reset: bool, _unknown: impl FnOnce() -> bool) -> ResetHeader {
        if reset {
            ResetHeader::Reset
        } else {
            ResetHeader::NotReset
        }
    }

    fn put_first(&mut self, bits: &mut BitVec, sample: &FloatHistogram) {
        let mut first = |value: f64| {
            bits.put(value.to_bits(), 64);
            XorFloat::new(value)
        };
        self.count = first(sample.count);
        self.zero_count = first(sample.zero_count);
        self.sum = first(sample.sum);
        self.positive = sample.positive_buckets.iter().map(|v| first(*v)).collect();
        self.negative = sample.negative_buckets.iter().map(|v| first(*v)).collect();
    }

    fn put_next(&mut self, bits: &mut BitVec, sample: &FloatHistogram) {
        self.count.put(bits, sample.count);
        self.zero_count.put(bits, sample.zero_count);
        self.sum.put(bits, sample.sum);
        for (own, bucket) in self.positive.iter_mut().zip(&sample.positive_buckets) {
            own.put(bits, *bucket);
        }
        for (own, bucket) in self.negative.iter_mut().zip(&sample.negative_buckets) {
            own.put(bits, *bucket);
        }
    }

    fn read_first(&mut self, bits: &mut BitReader<'_>, buckets: (usize, usize)) {
        let mut first = || XorFloat::new(f64::from_bits(bits.bits(64)));
        self.count = first();
        self.zero_count = first();
        self.sum = first();
        self.positive = (0..buckets.0).map(|_| first()).collect();
        self.negative = (0..buckets.1).map(|_| first()).collect();
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        self.count.read(bits)?;
        self.zero_count.read(bits)?;
        self.sum.read(bits)?;
        if !self.is_stale() {
            self.positive
                .iter_mut()
                .chain(&mut self.negative)
                .try_for_each(|own| own.read(bits))?;
        }
        Some(())
    }

    fn sample(&self, layout: &Layout, hint: CounterResetHint) -> FloatHistogram {
        if self.is_stale() {
            return FloatHistogram {
                counter_reset_hint: hint,
                ..FloatHistogram::stale_marker(self.sum.value())
            };
        }
        FloatHistogram {
            counter_reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_buckets: self.positive.iter().map(XorFloat::value).collect(),
            negative_buckets: self.negative.iter().map(XorFloat::value).collect(),
            custom_values: layout.custom_values.clone(),
        }
    }

    fn is_stale(&self) -> bool {
        is_stale(self.sum.value())
    }

    fn count_shrinks(&self, sample: &FloatHistogram) -> bool {
        sample.count < self.count.value()
    }

    fn zero_count_shrinks(&self, sample: &FloatHistogram) -> bool {
        sample.zero_count < self.zero_count.value()
    }

    fn counts(&self) -> (Vec<f64>, Vec<f64>) {
        (
            self.positive.iter().map(XorFloat::value).collect(),
            self.negative.iter().map(XorFloat::value).collect(),
        )
    }

    fn counts_of(sample: &FloatHistogram) -> (Vec<f64>, Vec<f64>) {
        (
            sample.positive_buckets.clone(),
            sample.negative_buckets.clone(),
        )
    }

    fn set_counts(sample: &mut FloatHistogram, positive: Vec<f64>, negative: Vec<f64>) {
        sample.positive_buckets = positive;
        sample.negative_buckets = negative;
    }
}
