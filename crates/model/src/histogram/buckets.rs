//! Walking buckets: from spans and counts to indexes and bounds.

use super::bounds::bound;
use super::{FloatHistogram, Span};

/// A bucket with its bounds, which are part of it where `*_inclusive` says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: f64,
    /// Within the schema and the side; 0 for the zero bucket.
    pub index: i32,
}

/// The bucket indexes that spans stand for, in order. Never more than the spans' lengths, and
/// never a panic: offsets wrap.
#[derive(Clone)]
pub(super) struct Indexes<'a> {
    spans: std::slice::Iter<'a, Span>,
    next: i32,
    left: u32,
}

impl Iterator for Indexes<'_> {
    type Item = i32;

    #[inline]
    fn next(&mut self) -> Option<i32> {
        while self.left == 0 {
            let span = self.spans.next()?;
            self.next = self.next.wrapping_add(span.offset);
            self.left = span.length;
        }
        let index = self.next;
        self.next = self.next.wrapping_add(1);
        self.left -= 1;
        Some(index)
    }
}

pub(super) fn indexes(spans: &[Span]) -> Indexes<'_> {
    Indexes {
        spans: spans.iter(),
        next: 0,
        left: 0,
    }
}

/// Index and count of each bucket; ends with the shorter of spans and counts.
pub(super) fn entries<'a, T: Copy>(
    spans: &'a [Span],
    counts: &'a [T],
) -> impl Iterator<Item = (i32, T)> + Clone + 'a {
    indexes(spans).zip(counts.iter().copied())
}

/// Builds the spans for indexes as they come, in ascending order.
#[derive(Default)]
pub(super) struct SpanBuilder {
    spans: Vec<Span>,
    next: i32,
}

impl SpanBuilder {
    #[inline]
    pub(super) fn push(&mut self, index: i32) {
        match self.spans.last_mut() {
            Some(last) if self.next == index => last.length += 1,
            _ => self.spans.push(Span {
                offset: index.wrapping_sub(self.next),
                length: 1,
            }),
        }
        self.next = index.wrapping_add(1);
    }

    pub(super) fn finish(self) -> Vec<Span> {
        self.spans
    }
}

/// Whether both describe the same bucket indexes: empty spans, and spans without a gap between
/// them, make no difference.
pub(super) fn same_layout(a: &[Span], b: &[Span]) -> bool {
    a == b || runs(a).eq(runs(b))
}

/// Start and length of each run of buckets, joined where there is no gap.
fn runs(spans: &[Span]) -> impl Iterator<Item = (i64, u64)> + '_ {
    let mut rest = spans.iter().peekable();
    let mut next = 0i64;
    std::iter::from_fn(move || {
        let mut run: Option<(i64, u64)> = None;
        while let Some(span) = rest.peek() {
            let start = next + i64::from(span.offset);
            if span.length > 0 {
                match &mut run {
                    Some((run_start, length)) if start == *run_start + *length as i64 => {
                        *length += u64::from(span.length);
                    }
                    Some(_) => break,
                    None => run = Some((start, u64::from(span.length))),
                }
            }
            next = start + i64::from(span.length);
            rest.next();
        }
        run
    })
}

/// Where a bucket stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Negative,
    Zero,
    Positive,
}

/// All buckets of a histogram in ascending order: negative, zero, positive. Bounds are computed
/// when a bucket is looked at.
pub struct AllBuckets<'a> {
    histogram: &'a FloatHistogram,
    entries: Vec<(Side, i32, f64)>,
}

impl AllBuckets<'_> {
    /// Ascending; reversible.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.entries
            .iter()
            .map(|(side, index, count)| self.bucket(*side, *index, *count))
    }

    fn bucket(&self, side: Side, index: i32, count: f64) -> Bucket {
        let h = self.histogram;
        let mut bucket = match side {
            Side::Negative => h.bucket(false, index, count),
            Side::Zero => return h.zero_bucket(),
            Side::Positive => h.bucket(true, index, count),
        };
        // A bucket that overlaps the zero bucket begins where that ends.
        if bucket.upper < 0.0 && bucket.upper > -h.zero_threshold {
            bucket.upper = -h.zero_threshold;
        } else if bucket.lower > 0.0 && bucket.lower < h.zero_threshold {
            bucket.lower = h.zero_threshold;
        }
        bucket
    }
}

impl FloatHistogram {
    /// The positive buckets, or those of custom bounds, ascending.
    pub fn positive(&self) -> impl Iterator<Item = Bucket> + '_ {
        entries(&self.positive_spans, &self.positive_buckets)
            .map(|(index, count)| self.bucket(true, index, count))
    }

    /// The negative buckets, from zero downwards.
    pub fn negative(&self) -> impl Iterator<Item = Bucket> + '_ {
        entries(&self.negative_spans, &self.negative_buckets)
            .map(|(index, count)| self.bucket(false, index, count))
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// All buckets in ascending order, the zero bucket only if it is populated.
    pub fn all_buckets(&self) -> AllBuckets<'_> {
        let mut all =
            Vec::with_capacity(self.negative_buckets.len() + self.positive_buckets.len() + 1);
        all.extend(
            entries(&self.negative_spans, &self.negative_buckets)
                .map(|(index, count)| (Side::Negative, index, count)),
        );
        all.reverse();
        if self.zero_count > 0.0 && !self.uses_custom_buckets() {
            all.push((Side::Zero, 0, self.zero_count));
        }
        all.extend(
            entries(&self.positive_spans, &self.positive_buckets)
                .map(|(index, count)| (Side::Positive, index, count)),
        );
        AllBuckets {
            histogram: self,
            entries: all,
        }
    }

    pub(super) fn bucket(&self, positive: bool, index: i32, count: f64) -> Bucket {
        let (lower, upper) = if positive {
            (
                bound(index.wrapping_sub(1), self.schema, &self.custom_values),
                bound(index, self.schema, &self.custom_values),
            )
        } else {
            (
                -bound(index, self.schema, &[]),
                -bound(index.wrapping_sub(1), self.schema, &[]),
            )
        };
        let custom = self.uses_custom_buckets();
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
            index,
        }
    }
}
