//! Native histograms without needless buckets (prometheus/prometheus `model/histogram`, `Compact`).

use model::Span;

/// Fits buckets into the fewest spans: empty buckets at the ends go, and so do runs of more than
/// `max_empty` of them in between. `None` if the spans do not have as many buckets as there are.
pub(super) fn compact<T: Copy + PartialEq + Default>(
    spans: &[Span],
    buckets: &[T],
    max_empty: usize,
) -> Option<(Vec<Span>, Vec<T>)> {
    let filled = filled(spans, buckets)?;
    let mut out_spans: Vec<Span> = Vec::new();
    let mut out = Vec::with_capacity(buckets.len());
    let mut next = 0i64;
    for (index, count) in filled {
        let gap = index - next;
        match out_spans.last_mut() {
            Some(span) if gap <= max_empty as i64 => {
                span.length += gap as u32 + 1;
                out.resize(out.len() + gap as usize, T::default());
            }
            _ => out_spans.push(Span {
                offset: i32::try_from(gap).ok()?,
                length: 1,
            }),
        }
        out.push(count);
        next = index + 1;
    }
    Some((out_spans, out))
}

/// The buckets that are not empty, with their indexes.
fn filled<T: Copy + PartialEq + Default>(spans: &[Span], buckets: &[T]) -> Option<Vec<(i64, T)>> {
    let mut filled = Vec::with_capacity(buckets.len());
    let mut counts = buckets.iter();
    let mut index = 0i64;
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            let count = *counts.next()?;
            if count != T::default() {
                filled.push((index, count));
            }
            index += 1;
        }
    }
    counts.next().is_none().then_some(filled)
}

/// Bucket counts from deltas.
pub(super) fn absolute(deltas: &[i64]) -> Vec<i64> {
    let mut count = 0i64;
    deltas
        .iter()
        .map(|delta| {
            count = count.wrapping_add(*delta);
            count
        })
        .collect()
}

/// Deltas from bucket counts.
pub(super) fn deltas(counts: &[i64]) -> Vec<i64> {
    let mut previous = 0i64;
    counts
        .iter()
        .map(|count| count.wrapping_sub(std::mem::replace(&mut previous, *count)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
        pairs
            .iter()
            .map(|(offset, length)| Span {
                offset: *offset,
                length: *length,
            })
            .collect()
    }

    #[test]
    fn drops_empty_buckets() {
        let check = |from: &[(i32, u32)], buckets: &[i64], max, to: &[(i32, u32)], out: &[i64]| {
            let expected = Some((spans(to), out.to_vec()));
            assert_eq!(compact(&spans(from), buckets, max), expected);
        };
        check(&[(0, 4)], &[2, 2, 2, 0], 2, &[(0, 3)], &[2, 2, 2]);
        check(&[(0, 3)], &[0, 5, 1], 2, &[(1, 2)], &[5, 1]);
        check(&[(0, 4)], &[1, 0, 0, 1], 2, &[(0, 4)], &[1, 0, 0, 1]);
        check(&[(0, 5)], &[1, 0, 0, 0, 1], 2, &[(0, 1), (3, 1)], &[1, 1]);
        check(&[(-2, 1), (0, 1)], &[1, 1], 0, &[(-2, 2)], &[1, 1]);
        check(&[(0, 0)], &[], 0, &[], &[]);
        assert_eq!(compact(&spans(&[(0, 2)]), &[1i64], 0), None);
        assert_eq!(compact(&spans(&[(0, 1)]), &[1i64, 2], 0), None);
    }
}
