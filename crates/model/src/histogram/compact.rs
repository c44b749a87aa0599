//! Leaving out empty buckets.

use super::buckets::{SpanBuilder, entries};
use super::{FloatHistogram, Histogram, Span};

impl FloatHistogram {
    /// Leaves out empty buckets at both ends of every span, joins spans that are at most
    /// `max_empty` buckets apart and splits those with more empty buckets in a row.
    pub fn compact(&mut self, max_empty: u32) {
        compact_floats(
            &mut self.positive_spans,
            &mut self.positive_buckets,
            max_empty,
        );
        compact_floats(
            &mut self.negative_spans,
            &mut self.negative_buckets,
            max_empty,
        );
    }
}

impl Histogram {
    /// As [`FloatHistogram::compact`].
    pub fn compact(&mut self, max_empty: u32) {
        compact_deltas(
            &mut self.positive_spans,
            &mut self.positive_buckets,
            max_empty,
        );
        compact_deltas(
            &mut self.negative_spans,
            &mut self.negative_buckets,
            max_empty,
        );
    }
}

fn compact_floats(spans: &mut Vec<Span>, counts: &mut Vec<f64>, max_empty: u32) {
    if counts.iter().all(|c| *c != 0.0) && is_tight(spans, max_empty) {
        return;
    }
    let (new_spans, new_counts) = rebuild(entries(spans, counts), max_empty);
    *spans = new_spans;
    *counts = new_counts;
}

fn compact_deltas(spans: &mut Vec<Span>, deltas: &mut Vec<i64>, max_empty: u32) {
    let mut count = 0i64;
    let absolute: Vec<i64> = deltas
        .iter()
        .map(|delta| {
            count = count.wrapping_add(*delta);
            count
        })
        .collect();
    if absolute.iter().all(|c| *c != 0) && is_tight(spans, max_empty) {
        return;
    }
    let (new_spans, new_counts) = rebuild(entries(spans, &absolute), max_empty);
    *spans = new_spans;
    *deltas = to_deltas(&new_counts);
}

/// The differences of consecutive counts.
pub(super) fn to_deltas(counts: &[i64]) -> Vec<i64> {
    let mut last = 0i64;
    counts
        .iter()
        .map(|count| {
            let delta = count.wrapping_sub(last);
            last = *count;
            delta
        })
        .collect()
}

fn is_tight(spans: &[Span], max_empty: u32) -> bool {
    spans.iter().all(|span| span.length > 0)
        && spans
            .iter()
            .skip(1)
            .all(|span| i64::from(span.offset) > i64::from(max_empty))
}

fn rebuild<T: Copy + PartialEq + Default>(
    entries: impl Iterator<Item = (i32, T)>,
    max_empty: u32,
) -> (Vec<Span>, Vec<T>) {
    let empty = T::default();
    let mut spans = SpanBuilder::default();
    let mut counts = Vec::new();
    let mut last: Option<i32> = None;
    for (index, count) in entries {
        if count == empty {
            continue;
        }
        if let Some(last) = last {
            let gap = i64::from(index) - i64::from(last) - 1;
            if gap > 0 && gap <= i64::from(max_empty) {
                for filler in last + 1..index {
                    spans.push(filler);
                    counts.push(empty);
                }
            }
        }
        spans.push(index);
        counts.push(count);
        last = Some(index);
    }
    (spans.finish(), counts)
}
