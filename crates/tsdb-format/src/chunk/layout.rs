//! The bucket layout of a histogram chunk: schema, zero threshold, spans, custom bounds; and what
//! happens to it when a sample has other buckets (prometheus/prometheus
//! `tsdb/chunkenc/histogram_meta.go`).

use model::Span;
use model::histogram::CUSTOM_BUCKETS_SCHEMA;

use super::bits::{BitReader, BitVec};

/// What all samples of a chunk share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive_spans: Vec<Span>,
    pub(super) negative_spans: Vec<Span>,
    pub(super) custom_values: Vec<f64>,
}

impl Layout {
    pub(super) fn put(&self, bits: &mut BitVec) {
        put_zero_threshold(bits, self.zero_threshold);
        bits.put_varbit_int(i64::from(self.schema));
        put_spans(bits, &self.positive_spans);
        put_spans(bits, &self.negative_spans);
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            bits.put_varbit_uint(self.custom_values.len() as u64);
            for &value in &self.custom_values {
                put_custom_value(bits, value);
            }
        }
    }

    /// Reads a layout; an error says what about it is impossible.
    pub(super) fn read(bits: &mut BitReader<'_>, size_bits: usize) -> Result<Layout, String> {
        let zero_threshold = match bits.byte() {
            0 => 0.0,
            255 => f64::from_bits(bits.bits(64)),
            // Powers of two from 2^-243 to 2^10, by their biased exponent.
            exponent => f64::from_bits((u64::from(exponent) + 1023 - 244) << 52),
        };
        let schema = bits.varbit_int() as i32;
        let positive_spans = read_spans(bits, size_bits)?;
        let negative_spans = read_spans(bits, size_bits)?;
        let mut custom_values = Vec::new();
        if schema == CUSTOM_BUCKETS_SCHEMA {
            let count = bits.varbit_uint();
            check_count(count, bits, size_bits, "custom values")?;
            custom_values.extend((0..count).map(|_| read_custom_value(bits)));
        }
        Ok(Layout {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_values,
        })
    }

    pub(super) fn buckets(&self) -> (usize, usize) {
        (count(&self.positive_spans), count(&self.negative_spans))
    }
}

/// How many buckets the spans have.
pub(super) fn count(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

/// Whether `count` things of a bit each at least can follow.
fn check_count(
    count: u64,
    bits: &BitReader<'_>,
    size_bits: usize,
    what: &str,
) -> Result<(), String> {
    let left = size_bits.saturating_sub(bits.position());
    if count > left as u64 {
        return Err(format!("{count} {what} in {left} bits"));
    }
    Ok(())
}

fn put_zero_threshold(bits: &mut BitVec, threshold: f64) {
    let raw = threshold.to_bits();
    // Biased so that 2^-243 is 1 and 2^10 is 254.
    let exponent = (raw >> 52) as i64 - 1023 + 244;
    if threshold == 0.0 {
        bits.put_byte(0);
    } else if raw << 12 == 0 && (1..=254).contains(&exponent) {
        bits.put_byte(exponent as u8);
    } else {
        bits.put_byte(255);
        bits.put(raw, 64);
    }
}

fn put_spans(bits: &mut BitVec, spans: &[Span]) {
    bits.put_varbit_uint(spans.len() as u64);
    for span in spans {
        bits.put_varbit_uint(u64::from(span.length));
        bits.put_varbit_int(i64::from(span.offset));
    }
}

fn read_spans(bits: &mut BitReader<'_>, size_bits: usize) -> Result<Vec<Span>, String> {
    let spans = bits.varbit_uint();
    check_count(spans, bits, size_bits, "spans")?;
    let mut buckets = 0u64;
    let spans = (0..spans)
        .map(|_| {
            let length = bits.varbit_uint() as u32;
            buckets += u64::from(length);
            Span {
                length,
                offset: bits.varbit_int() as i32,
            }
        })
        .collect();
    check_count(buckets, bits, size_bits, "buckets")?;
    Ok(spans)
}

/// Most custom bounds are short decimals: thousandths that are whole numbers are stored as such.
fn put_custom_value(bits: &mut BitVec, value: f64) {
    let thousandths = value * 1000.0;
    if (0.0..=33_554_430.0).contains(&thousandths) && thousandths.fract() == 0.0 {
        bits.put_varbit_uint(thousandths as u64 + 1);
    } else {
        bits.put(0, 1);
        bits.put(value.to_bits(), 64);
    }
}

fn read_custom_value(bits: &mut BitReader<'_>) -> f64 {
    match bits.varbit_uint() {
        0 => f64::from_bits(bits.bits(64)),
        thousandths => (thousandths - 1) as f64 / 1000.0,
    }
}

/// The indexes of the buckets of spans.
pub(super) fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> + '_ {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

/// The buckets of two layouts brought together.
#[derive(Debug, PartialEq)]
pub(super) struct Union {
    /// Spans of all buckets of both.
    pub(super) spans: Vec<Span>,
    /// For each bucket of `spans`: whether the first, whether the second layout has it.
    pub(super) present: Vec<(bool, bool)>,
}

impl Union {
    pub(super) fn of(a: &[Span], b: &[Span]) -> Union {
        let (mut a, mut b) = (indexes(a).peekable(), indexes(b).peekable());
        let mut union = Union {
            spans: Vec::new(),
            present: Vec::new(),
        };
        let mut next = 0i64;
        loop {
            let (index, present) = match (a.peek(), b.peek()) {
                (None, None) => return union,
                (Some(&x), Some(&y)) if x == y => (x, (true, true)),
                (Some(&x), Some(&y)) if x < y => (x, (true, false)),
                (Some(&x), None) => (x, (true, false)),
                (_, Some(&y)) => (y, (false, true)),
            };
            if present.0 {
                a.next();
            }
            if present.1 {
                b.next();
            }
            union.present.push(present);
            match union.spans.last_mut() {
                Some(last) if index == next => last.length += 1,
                _ => union.spans.push(Span {
                    offset: (index - next) as i32,
                    length: 1,
                }),
            }
            next = index + 1;
        }
    }

    /// Whether the second layout has buckets that the first lacks.
    pub(super) fn grows(&self) -> bool {
        self.present.iter().any(|present| !present.0)
    }

    /// Whether the second layout lacks buckets of the first.
    pub(super) fn lacks(&self) -> bool {
        self.present.iter().any(|present| !present.1)
    }

    /// Absolute counts of the first layout, spread over the union.
    pub(super) fn spread_first<T: Copy + Default>(&self, counts: &[T]) -> Vec<T> {
        spread(self.present.iter().map(|p| p.0), counts)
    }

    /// Absolute counts of the second layout, spread over the union.
    pub(super) fn spread_second<T: Copy + Default>(&self, counts: &[T]) -> Vec<T> {
        spread(self.present.iter().map(|p| p.1), counts)
    }

    /// Whether some bucket of the first has a higher count than the second has there.
    pub(super) fn shrinks<T: Copy + Default + PartialOrd>(
        &self,
        first: &[T],
        second: &[T],
    ) -> bool {
        let (first, second) = (self.spread_first(first), self.spread_second(second));
        self.present
            .iter()
            .zip(first.iter().zip(&second))
            .any(|(present, (a, b))| match present {
                (true, true) => a > b,
                (true, false) => *a != T::default(),
                (false, _) => false,
            })
    }
}

fn spread<T: Copy + Default>(present: impl Iterator<Item = bool>, counts: &[T]) -> Vec<T> {
    let mut counts = counts.iter();
    present
        .map(|present| {
            if present {
                counts.next().copied().unwrap_or_default()
            } else {
                T::default()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
        pairs
            .iter()
            .map(|&(offset, length)| Span { offset, length })
            .collect()
    }

    #[test]
    fn unions() {
        let a = spans(&[(0, 2), (2, 1), (3, 2), (3, 1), (1, 1)]);
        let b = spans(&[(0, 3), (1, 1), (1, 4), (3, 3)]);
        assert_eq!(indexes(&a).collect::<Vec<_>>(), [0, 1, 4, 8, 9, 13, 15]);
        let union = Union::of(&a, &b);
        assert_eq!(union.spans, b);
        assert!(union.grows() && !union.lacks());
        assert_eq!(
            union.spread_first(&[6, 3, 3, 2, 4, 5, 1]),
            [6, 3, 0, 3, 0, 0, 2, 4, 5, 0, 1]
        );
        assert_eq!(Union::of(&a, &[]).spans, a);
        assert_eq!(
            Union::of(&spans(&[(-3, 1)]), &spans(&[(2, 1)])).spans,
            spans(&[(-3, 1), (4, 1)])
        );
    }

    #[test]
    fn empty_spans_only_move() {
        let a = spans(&[(0, 1), (3, 0), (2, 1)]);
        assert_eq!(indexes(&a).collect::<Vec<_>>(), [0, 6]);
    }

    #[test]
    fn zero_thresholds_and_custom_values() {
        let mut bits = BitVec::new(0);
        let layout = |zero_threshold: f64, custom_values: &[f64]| Layout {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold,
            custom_values: custom_values.to_vec(),
            ..Layout::default()
        };
        let layouts = [
            layout(0.0, &[0.001, 33_554.43, 33_554.431, -1.0, f64::INFINITY]),
            layout(f64::powi(2.0, -243), &[]),
            layout(f64::powi(2.0, 10), &[]),
            layout(f64::powi(2.0, 11), &[]),
            layout(f64::powi(2.0, -244), &[]),
            layout(0.3, &[0.1, 0.2]),
        ];
        layouts.iter().for_each(|layout| layout.put(&mut bits));
        let mut reader = BitReader::new(bits.bytes(), 0);
        for layout in layouts {
            assert_eq!(
                Layout::read(&mut reader, bits.bytes().len() * 8),
                Ok(layout)
            );
        }
    }
}
