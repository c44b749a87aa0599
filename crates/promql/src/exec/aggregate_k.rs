//! `topk`, `bottomk`, `limitk`, `limit_ratio`: some of each group's series at every step.

use hashbrown::HashMap;
use model::Labels;

use super::aggregate::Groups;
use super::columns::{Column, Meta, is_absent};
use super::usage::Usage;
use super::vect::Vect;
use super::{Query, Scope, failed};
use crate::annotate::Note;
use crate::ast::{Aggregate, AggregateOp, PosRange};
use crate::functions::math::{go_max, go_min};
use crate::query_error::QueryError;

/// The largest and smallest floats that a conversion to a 64-bit integer survives, as upstream has
/// them.
const MAX_INTEGER: f64 = 9_223_372_036_854_774_784.0;
const MIN_INTEGER: f64 = -9_223_372_036_854_775_808.0;

/// Evaluates one of the four; `param` is the parameter at every step.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    aggregate: &'q Aggregate,
    scope: &Scope<'q>,
    vect: Vect<'q>,
    groups: &Groups,
    param: &[f64],
) -> Result<Vect<'q>, QueryError> {
    let (min, max) = extremes(param);
    let has_nan = param.iter().any(|v| v.is_nan());
    let param_pos = aggregate
        .param
        .as_ref()
        .map_or(PosRange::default(), |param| param.pos());
    let go = |v: f64| golang::strconv::format_float(v, 'g', -1, 64);
    if aggregate.op == AggregateOp::LimitRatio {
        if max == 0.0 && min == 0.0 {
            return none_of(query, vect);
        }
        if has_nan {
            return refuse(query, vect, "Ratio value is NaN");
        }
        for (got, to, wrong) in [(max, 1.0, max > 1.0), (min, -1.0, min < -1.0)] {
            if wrong {
                let note = Note::InvalidRatio {
                    got: got.into(),
                    to: f64::into(to),
                };
                query.notes.add(note, param_pos);
            }
        }
    } else {
        // NaN compares as not less.
        if max < 1.0 {
            return none_of(query, vect);
        }
        if has_nan {
            return refuse(query, vect, "Parameter value is NaN");
        }
        if min <= MIN_INTEGER {
            let text = format!("Scalar value {} underflows int64", go(min));
            return refuse(query, vect, &text);
        }
        if max >= MAX_INTEGER {
            let text = format!("Scalar value {} overflows int64", go(max));
            return refuse(query, vect, &text);
        }
    }
    match aggregate.op {
        AggregateOp::Topk | AggregateOp::Bottomk => {
            heaps(query, aggregate, scope, vect, groups, param)
        }
        _ => first_ones(query, aggregate, scope, vect, groups, param),
    }
}

/// Nothing, after the input has been computed: what it has to say counts, and what it looks at.
fn none_of<'q>(query: &'q Query<'q>, vect: Vect<'q>) -> Result<Vect<'q>, QueryError> {
    let len = vect.len();
    let input = vect.for_each(query, |_, _| Ok(()))?;
    Ok(Vect::nothing(Usage::empty(len).at_once(&[&input])))
}

/// Fails, but with what is wrong with the vector if it cannot be evaluated either.
fn refuse<'q>(query: &'q Query<'q>, vect: Vect<'q>, text: &str) -> Result<Vect<'q>, QueryError> {
    vect.for_each(query, |_, _| Ok(()))?;
    failed(text)
}

/// The least and the greatest value of a parameter, as upstream finds them: NaN if there is any, unless
/// beside the infinity that it is compared with.
pub(super) fn extremes(param: &[f64]) -> (f64, f64) {
    match param {
        // A literal is the same at every step.
        [first, rest @ ..] if rest.iter().all(|v| v == first) => (*first, *first),
        _ => param.iter().fold((f64::MAX, f64::MIN), |(min, max), v| {
            (go_min(min, *v), go_max(max, *v))
        }),
    }
}

/// `topk`, `bottomk`: a heap of candidates for every group and step.
fn heaps<'q>(
    query: &'q Query<'q>,
    aggregate: &'q Aggregate,
    scope: &Scope<'q>,
    vect: Vect<'q>,
    groups: &Groups,
    param: &[f64],
) -> Result<Vect<'q>, QueryError> {
    let len = scope.grid.len;
    let top = aggregate.op == AggregateOp::Topk;
    let metas = vect.metas.clone();
    let wanted: Vec<usize> = param
        .iter()
        .map(|k| (k.max(0.0) as usize).min(metas.len()))
        .collect();
    let mut all: Vec<Heap> = Vec::new();
    all.resize_with(groups.labels.len() * len, Heap::default);
    let bytes: u64 =
        wanted.iter().map(|k| *k as u64 * 16).sum::<u64>() * groups.labels.len() as u64;
    let _charge = query
        .bytes
        .take(bytes, || format!("the candidates of {}", aggregate.op))?;
    let input = vect.for_each(query, |i, column| {
        if column.histograms.iter().any(Option::is_some) {
            query.notes.add(
                Note::HistogramIgnoredInAggregation(aggregate.op.as_str()),
                aggregate.pos,
            );
        }
        let row = groups.of[i] as usize * len;
        for (step, v) in column.floats.iter().enumerate() {
            if !is_absent(*v) && wanted[step] > 0 {
                let heap = &mut all[row + step];
                heap.offer(*v, i as u32, wanted[step], top);
            }
        }
        Ok(())
    })?;
    // In an instant query the order is part of the answer: group by group, best first.
    let mut place: HashMap<u32, usize> = HashMap::new();
    let mut out: Vec<(Meta, Column)> = Vec::new();
    for (i, heap) in all.into_iter().enumerate() {
        for (v, series) in heap.sorted(top) {
            let at = *place.entry(series).or_insert_with(|| {
                out.push((metas[series as usize].clone(), Column::absent(len)));
                out.len() - 1
            });
            out[at].1.floats[i % len] = v;
        }
    }
    finish(query, len, out, &input)
}

fn finish<'q>(
    query: &'q Query<'q>,
    len: usize,
    series: Vec<(Meta, Column)>,
    input: &Usage,
) -> Result<Vect<'q>, QueryError> {
    let (metas, columns): (Vec<Meta>, Vec<Column>) = series.into_iter().unzip();
    let usage = Usage::of(len, &columns).at_once(&[&Usage::scalar(len), input]);
    Vect::ready(query, metas, columns, usage)
}

/// A binary heap with the worst candidate on top; the same steps as Go's `container/heap`, so that
/// of equal values the same ones stay.
#[derive(Default)]
struct Heap(Vec<(f64, u32)>);

impl Heap {
    fn less(a: f64, b: f64, top: bool) -> bool {
        a.is_nan() || if top { a < b } else { a > b }
    }

    fn push(&mut self, v: f64, series: u32, top: bool) {
        let heap = &mut self.0;
        heap.push((v, series));
        let mut child = heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !Heap::less(heap[child].0, heap[parent].0, top) {
                break;
            }
            heap.swap(parent, child);
            child = parent;
        }
    }

    fn offer(&mut self, v: f64, series: u32, most: usize, top: bool) {
        if self.0.len() < most {
            self.push(v, series, top);
            return;
        }
        let heap = &mut self.0;
        let worst = heap[0].0;
        let better = if top { worst < v } else { worst > v };
        if better || (worst.is_nan() && !v.is_nan()) {
            heap[0] = (v, series);
            let mut parent = 0;
            loop {
                let left = 2 * parent + 1;
                if left >= heap.len() {
                    break;
                }
                let mut child = left;
                if left + 1 < heap.len() && Heap::less(heap[left + 1].0, heap[left].0, top) {
                    child = left + 1;
                }
                if !Heap::less(heap[child].0, heap[parent].0, top) {
                    break;
                }
                heap.swap(parent, child);
                parent = child;
            }
        }
    }

    /// Best first; NaN last.
    fn sorted(mut self, top: bool) -> Vec<(f64, u32)> {
        self.0.sort_by(|a, b| match (a.0.is_nan(), b.0.is_nan()) {
            (false, false) => {
                let order = a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal);
                if top { order.reverse() } else { order }
            }
            (a, b) => a.cmp(&b),
        });
        self.0
    }
}

/// `limitk`, `limit_ratio`: series are kept by their place or by their hash.
fn first_ones<'q>(
    query: &'q Query<'q>,
    aggregate: &'q Aggregate,
    scope: &Scope<'q>,
    vect: Vect<'q>,
    groups: &Groups,
    param: &[f64],
) -> Result<Vect<'q>, QueryError> {
    let len = scope.grid.len;
    let metas = vect.metas.clone();
    let by_ratio = aggregate.op == AggregateOp::LimitRatio;
    let mut taken = vec![0u64; groups.labels.len() * len];
    let mut out: Vec<(Meta, Column)> = Vec::new();
    let mut heaps: Vec<Heap> = Vec::new();
    heaps.resize_with(groups.labels.len(), Heap::default);
    let input = vect.for_each(query, |i, mut column| {
        let row = groups.of[i] as usize * len;
        let place = if by_ratio {
            sampling_offset(&metas[i].labels)
        } else {
            0.0
        };
        for step in 0..len {
            if !column.has(step) {
                continue;
            }
            let keep = if by_ratio {
                let ratio = param[step].clamp(-1.0, 1.0);
                (ratio >= 0.0 && place < ratio) || (ratio < 0.0 && place >= 1.0 + ratio)
            } else {
                let taken = &mut taken[row + step];
                let keep = (*taken as f64) < param[step].trunc();
                *taken += u64::from(keep);
                keep
            };
            if !keep {
                column.clear(step);
            }
        }
        if !column.is_empty() {
            if len == 1 {
                let v = if column.histogram(0).is_some() {
                    0.0
                } else {
                    column.floats[0]
                };
                heaps[groups.of[i] as usize].push(v, out.len() as u32, true);
            }
            out.push((metas[i].clone(), column));
        }
        Ok(())
    })?;
    if len == 1 {
        // The order of an instant query's answer: upstream gathers each group in a heap.
        let mut series: Vec<Option<(Meta, Column)>> = out.into_iter().map(Some).collect();
        let in_order = heaps.into_iter().flat_map(|heap| heap.0);
        out = in_order
            .filter_map(|(_, at)| series[at as usize].take())
            .collect();
    }
    finish(query, len, out, &input)
}

/// Where labels stand between 0 and 1: upstream's hash of them, over its largest value.
fn sampling_offset(labels: &Labels) -> f64 {
    let mut bytes = Vec::with_capacity(labels.as_bytes().len() + 8);
    for (name, value) in labels {
        for part in [name, value] {
            match u8::try_from(part.len()) {
                Ok(len) if len < 255 => bytes.push(len),
                _ => {
                    bytes.push(255);
                    bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_keep_the_best() {
        let values = [3.0, f64::NAN, 1.0, 5.0, 2.0, 5.0];
        for (top, want) in [(true, [5.0, 5.0, 3.0]), (false, [1.0, 2.0, 3.0])] {
            let mut heap = Heap::default();
            for (i, v) in values.iter().enumerate() {
                heap.offer(*v, i as u32, 3, top);
            }
            let got: Vec<f64> = heap.sorted(top).into_iter().map(|(v, _)| v).collect();
            assert_eq!(got, want);
        }
    }
}
