//! Records of native histograms: types 7 to 10, 12 and 13.

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{CounterResetHint, FloatHistogram, Histogram, Span};

use super::{Base, RecordType, TimesV2, fill, open};
use crate::bytes::{Reader, put_f64, put_uvarint, put_varint};
use crate::error::Result;

/// A sample of a series that is a histogram with integer counts.
#[derive(Clone, Debug, PartialEq)]
pub struct RefHistogram {
    pub reference: u64,
    /// The start timestamp, 0 if unknown.
    pub start_ms: i64,
    pub t_ms: i64,
    pub histogram: Histogram,
}

/// A sample of a series that is a histogram with float counts.
#[derive(Clone, Debug, PartialEq)]
pub struct RefFloatHistogram {
    pub reference: u64,
    /// The start timestamp, 0 if unknown.
    pub start_ms: i64,
    pub t_ms: i64,
    pub histogram: FloatHistogram,
}

/// Decodes a record of integer histograms: types 7, 9 and 12. The schema is not judged: the reader
/// decides what it does with one that it does not know.
pub fn decode_histograms(record: &[u8], out: &mut Vec<RefHistogram>) -> Result<()> {
    let types = [
        RecordType::Histograms,
        RecordType::CustomBucketsHistograms,
        RecordType::HistogramsV2,
    ];
    decode(
        record,
        &types,
        out,
        |reader, (reference, t_ms, start_ms)| {
            Ok(RefHistogram {
                reference,
                start_ms,
                t_ms,
                histogram: decode_histogram(reader)?,
            })
        },
    )
}

/// Decodes a record of float histograms: types 8, 10 and 13.
pub fn decode_float_histograms(record: &[u8], out: &mut Vec<RefFloatHistogram>) -> Result<()> {
    let types = [
        RecordType::FloatHistograms,
        RecordType::CustomBucketsFloatHistograms,
        RecordType::FloatHistogramsV2,
    ];
    decode(
        record,
        &types,
        out,
        |reader, (reference, t_ms, start_ms)| {
            Ok(RefFloatHistogram {
                reference,
                start_ms,
                t_ms,
                histogram: decode_float_histogram(reader)?,
            })
        },
    )
}

fn decode<T>(
    record: &[u8],
    types: &[RecordType],
    out: &mut Vec<T>,
    mut entry: impl FnMut(&mut Reader<'_>, (u64, i64, i64)) -> Result<T>,
) -> Result<()> {
    let (kind, mut reader) = open(record, types)?;
    if reader.is_empty() {
        return Ok(());
    }
    if matches!(
        kind,
        RecordType::HistogramsV2 | RecordType::FloatHistogramsV2
    ) {
        let mut times = TimesV2::default();
        return fill(&mut reader, out, |reader| {
            let place = times.next(reader)?;
            entry(reader, place)
        });
    }
    let base = Base::read(&mut reader)?;
    fill(&mut reader, out, |reader| {
        let (reference, t_ms) = base.next(reader)?;
        entry(reader, (reference, t_ms, 0))
    })
}

/// Encodes integer histograms without their start timestamps: exponential ones to a record of type
/// 7, those with custom buckets to one of type 9. Either is left empty where it has no entry.
pub fn encode_histograms(samples: &[RefHistogram], out: &mut Vec<u8>, custom: &mut Vec<u8>) {
    encode(
        samples,
        |s| (s.reference, s.t_ms, s.histogram.schema),
        |out, s| encode_histogram(out, &s.histogram),
        (RecordType::Histograms, out),
        (RecordType::CustomBucketsHistograms, custom),
    );
}

/// Encodes float histograms: types 8 and 10, as [`encode_histograms`].
pub fn encode_float_histograms(
    samples: &[RefFloatHistogram],
    out: &mut Vec<u8>,
    custom: &mut Vec<u8>,
) {
    encode(
        samples,
        |s| (s.reference, s.t_ms, s.histogram.schema),
        |out, s| encode_float_histogram(out, &s.histogram),
        (RecordType::FloatHistograms, out),
        (RecordType::CustomBucketsFloatHistograms, custom),
    );
}

fn encode<T>(
    samples: &[T],
    key: impl Fn(&T) -> (u64, i64, i32),
    body: impl Fn(&mut Vec<u8>, &T),
    exponential: (RecordType, &mut Vec<u8>),
    custom: (RecordType, &mut Vec<u8>),
) {
    for (is_custom, (kind, out)) in [(false, exponential), (true, custom)] {
        let mut base: Option<Base> = None;
        for sample in samples {
            let (reference, t_ms, schema) = key(sample);
            if (schema == CUSTOM_BUCKETS_SCHEMA) != is_custom {
                continue;
            }
            let base = base.get_or_insert_with(|| {
                out.push(kind as u8);
                let base = Base { reference, t_ms };
                base.write(out);
                base
            });
            base.write_entry(out, reference, t_ms);
            body(out, sample);
        }
    }
}

/// Reads an integer histogram.
pub fn decode_histogram(reader: &mut Reader<'_>) -> Result<Histogram> {
    let mut h = Histogram {
        counter_reset_hint: read_hint(reader)?,
        schema: reader.varint()? as i32,
        zero_threshold: reader.be_f64()?,
        zero_count: reader.uvarint()?,
        count: reader.uvarint()?,
        sum: reader.be_f64()?,
        positive_spans: read_spans(reader)?,
        negative_spans: read_spans(reader)?,
        positive_buckets: read_list(reader, 1, Reader::varint)?,
        negative_buckets: read_list(reader, 1, Reader::varint)?,
        custom_values: Vec::new(),
    };
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        h.custom_values = read_list(reader, 8, Reader::be_f64)?;
    }
    Ok(h)
}

/// Reads a float histogram.
pub fn decode_float_histogram(reader: &mut Reader<'_>) -> Result<FloatHistogram> {
    let mut h = FloatHistogram {
        counter_reset_hint: read_hint(reader)?,
        schema: reader.varint()? as i32,
        zero_threshold: reader.be_f64()?,
        zero_count: reader.be_f64()?,
        count: reader.be_f64()?,
        sum: reader.be_f64()?,
        positive_spans: read_spans(reader)?,
        negative_spans: read_spans(reader)?,
        positive_buckets: read_list(reader, 8, Reader::be_f64)?,
        negative_buckets: read_list(reader, 8, Reader::be_f64)?,
        custom_values: Vec::new(),
    };
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        h.custom_values = read_list(reader, 8, Reader::be_f64)?;
    }
    Ok(h)
}

/// Writes an integer histogram.
pub fn encode_histogram(out: &mut Vec<u8>, h: &Histogram) {
    out.push(hint_byte(h.counter_reset_hint));
    put_varint(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_uvarint(out, h.zero_count);
    put_uvarint(out, h.count);
    put_f64(out, h.sum);
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_list(out, &h.positive_buckets, |out, v| put_varint(out, *v));
    put_list(out, &h.negative_buckets, |out, v| put_varint(out, *v));
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        put_list(out, &h.custom_values, |out, v| put_f64(out, *v));
    }
}

/// Writes a float histogram.
pub fn encode_float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.push(hint_byte(h.counter_reset_hint));
    put_varint(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_f64(out, h.zero_count);
    put_f64(out, h.count);
    put_f64(out, h.sum);
    put_spans(out, &h.positive_spans);
    put_spans(out, &h.negative_spans);
    put_list(out, &h.positive_buckets, |out, v| put_f64(out, *v));
    put_list(out, &h.negative_buckets, |out, v| put_f64(out, *v));
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        put_list(out, &h.custom_values, |out, v| put_f64(out, *v));
    }
}

fn read_hint(reader: &mut Reader<'_>) -> Result<CounterResetHint> {
    Ok(match reader.u8()? {
        1 => CounterResetHint::CounterReset,
        2 => CounterResetHint::NotCounterReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    })
}

const fn hint_byte(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::CounterReset => 1,
        CounterResetHint::NotCounterReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

fn read_spans(reader: &mut Reader<'_>) -> Result<Vec<Span>> {
    read_list(reader, 2, |reader| {
        Ok(Span {
            offset: reader.varint()? as i32,
            length: reader.uvarint()? as u32,
        })
    })
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_list(out, spans, |out, span| {
        put_varint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    });
}

fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    least_bytes: usize,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = reader.count(least_bytes)?;
    (0..count).map(|_| item(reader)).collect()
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], mut item: impl FnMut(&mut Vec<u8>, &T)) {
    put_uvarint(out, items.len() as u64);
    for value in items {
        item(out, value);
    }
}
