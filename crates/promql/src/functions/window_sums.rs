//! Compensated sums of all windows of a series, each added up from its first value on as upstream does.
//!
//! The additions of one window wait for each other, so several windows are summed at once. Where windows
//! begin at equal distances, as they do on a regular grid, their next values are brought side by side once
//! a series, so that one vector instruction adds for several windows.

use model::histogram::kahan_add;

use super::window::FloatSeries;

/// How many windows on a regular grid are summed at once.
const LANES: usize = 8;
/// How many others.
const LOOSE_LANES: usize = 4;
/// Windows that begin further apart than this have little in common.
const WIDEST_STRIDE: usize = 64;
/// Shorter windows are not worth bringing their values side by side.
const SHORTEST: usize = 12;

/// The sum and compensation of every window that is not empty, and what `finish` makes of them and of the
/// window's values.
pub(crate) fn each_sum(
    series: &FloatSeries<'_>,
    out: &mut [f64],
    finish: impl Fn(&[f64], f64, f64) -> f64,
) {
    let sums = Sums {
        values: series.values,
        bounds: series.bounds,
        beside: Beside::new(series.values, series.bounds),
    };
    let mut before = State::default();
    let mut step = 0;
    while let Some((from, to)) = series.bounds.get(step).copied() {
        let mut states = [State::default(); LANES];
        let mut found = 1;
        states[0] = State { from, to, ..before };
        if from != before.from || to < before.to || before.to == 0 {
            found = sums.next(step, &mut states);
        } else {
            // It begins where the one before does: the same additions, and some more.
            states[0].add(&series.values[before.to as usize..to as usize]);
        }
        for (out, state) in out[step..].iter_mut().zip(&states[..found]) {
            if state.from < state.to {
                let window = &series.values[state.from as usize..state.to as usize];
                *out = finish(window, state.sum, state.c);
            }
        }
        before = states[found - 1];
        step += found;
    }
}

/// A window and the sum of its values.
#[derive(Clone, Copy, Default)]
struct State {
    from: u32,
    to: u32,
    sum: f64,
    c: f64,
}

impl State {
    fn add(&mut self, values: &[f64]) {
        for v in values {
            (self.sum, self.c) = kahan_add(*v, self.sum, self.c);
        }
    }
}

struct Sums<'a> {
    values: &'a [f64],
    bounds: &'a [(u32, u32)],
    beside: Option<Beside>,
}

impl Sums<'_> {
    /// Sums the windows from `step` on, as many as can be done at once, and says how many.
    fn next(&self, step: usize, states: &mut [State; LANES]) -> usize {
        let bounds = &self.bounds[step..];
        if let Some(beside) = &self.beside
            && let Some(bounds) = bounds.first_chunk::<LANES>()
            && let Some(shared) = beside.shared(bounds)
        {
            let (sums, cs) = beside.sum(bounds[0].0 as usize, shared);
            if sums.iter().all(|sum| sum.is_finite()) {
                for (lane, state) in states.iter_mut().enumerate() {
                    let ((from, to), sum, c) = (bounds[lane], sums[lane], cs[lane]);
                    *state = State { from, to, sum, c };
                    state.add(&self.values[from as usize + shared..to as usize]);
                }
                return LANES;
            }
        }
        self.loose(bounds, states)
    }

    /// Windows that begin wherever they like.
    fn loose(&self, bounds: &[(u32, u32)], states: &mut [State; LANES]) -> usize {
        let count = bounds.len().min(LOOSE_LANES);
        let mut windows: [&[f64]; LOOSE_LANES] = [&[]; LOOSE_LANES];
        for (window, (from, to)) in windows.iter_mut().zip(bounds) {
            *window = &self.values[*from as usize..*to as usize];
        }
        let shared = windows.iter().map(|w| w.len()).min().unwrap_or(0);
        let mut sums = [(0.0, 0.0); LOOSE_LANES];
        let [a, b, c, d] = windows.map(|window| &window[..shared]);
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            for (state, v) in sums.iter_mut().zip([*a, *b, *c, *d]) {
                *state = kahan_add(v, state.0, state.1);
            }
        }
        for (lane, (from, to)) in bounds.iter().copied().take(count).enumerate() {
            let (sum, c) = sums[lane];
            states[lane] = State { from, to, sum, c };
            states[lane].add(&windows[lane][shared..]);
        }
        count
    }
}

/// A series' values so that those lie side by side that windows on a regular grid add at the same time:
/// first every `stride`th value, then every `stride`th from the second on, and so forth.
struct Beside {
    values: Vec<f64>,
    stride: usize,
    /// How many values each of the rows takes.
    row: usize,
}

impl Beside {
    /// `None` where it does not pay.
    fn new(values: &[f64], bounds: &[(u32, u32)]) -> Option<Beside> {
        if bounds.len() < LANES {
            return None;
        }
        // On a grid the last windows look like most.
        let [.., (before, _), (from, to)] = bounds else {
            return None;
        };
        let stride = from.checked_sub(*before)? as usize;
        let len = to.checked_sub(*from)? as usize;
        if !(1..=WIDEST_STRIDE).contains(&stride) || len < SHORTEST {
            return None;
        }
        let row = values.len().div_ceil(stride) + LANES;
        let mut beside = vec![0.0; row * stride];
        for (first, row) in beside.chunks_exact_mut(row).enumerate() {
            let every = values
                .get(first..)
                .unwrap_or_default()
                .iter()
                .step_by(stride);
            for (slot, v) in row.iter_mut().zip(every) {
                *slot = *v;
            }
        }
        Some(Beside {
            values: beside,
            stride,
            row,
        })
    }

    /// How many values all the windows have, if they begin `stride` apart.
    fn shared(&self, bounds: &[(u32, u32); LANES]) -> Option<usize> {
        let apart = |pair: &[(u32, u32)]| pair[1].0.wrapping_sub(pair[0].0) as usize == self.stride;
        if !bounds.windows(2).all(apart) {
            return None;
        }
        let shared = bounds
            .iter()
            .map(|(from, to)| to.saturating_sub(*from))
            .min()? as usize;
        (shared >= SHORTEST).then_some(shared)
    }

    /// Sums the first `len` values of windows that begin at `from`, `from + stride`, ...: meaningless
    /// where a sum is not finite.
    fn sum(&self, from: usize, len: usize) -> ([f64; LANES], [f64; LANES]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just been asked.
            return unsafe { self.sum_avx2(from, len) };
        }
        self.sum_lanes(from, len)
    }

    /// In instructions that add for four windows: the compiler finds these in [`Beside::sum_lanes`] only
    /// where it optimises the whole program for speed.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn sum_avx2(&self, from: usize, len: usize) -> ([f64; LANES], [f64; LANES]) {
        use std::arch::x86_64::{
            __m256d, _CMP_GE_OQ, _mm256_add_pd, _mm256_andnot_pd, _mm256_blendv_pd, _mm256_cmp_pd,
            _mm256_set1_pd, _mm256_setzero_pd, _mm256_sub_pd,
        };
        /// As many windows as a register has room for.
        const WIDTH: usize = 4;
        // SAFETY: both are four floats, of which any bits are one.
        let load =
            |four: &[f64; WIDTH]| unsafe { std::mem::transmute::<[f64; WIDTH], __m256d>(*four) };
        // SAFETY: likewise.
        let store = |halves: [__m256d; 2]| unsafe {
            std::mem::transmute::<[__m256d; 2], [f64; LANES]>(halves)
        };
        let sign = _mm256_set1_pd(-0.0);
        let (mut sums, mut cs) = ([_mm256_setzero_pd(); 2], [_mm256_setzero_pd(); 2]);
        for values in self.rows(from, len) {
            for (half, four) in values.as_chunks::<WIDTH>().0.iter().enumerate() {
                // As in `sum_lanes`.
                let (v, sum) = (load(four), sums[half]);
                let t = _mm256_add_pd(sum, v);
                let magnitudes = (_mm256_andnot_pd(sign, sum), _mm256_andnot_pd(sign, v));
                let sum_larger = _mm256_cmp_pd::<_CMP_GE_OQ>(magnitudes.0, magnitudes.1);
                let larger = _mm256_blendv_pd(v, sum, sum_larger);
                let smaller = _mm256_blendv_pd(sum, v, sum_larger);
                let lost = _mm256_add_pd(_mm256_sub_pd(larger, t), smaller);
                cs[half] = _mm256_add_pd(cs[half], lost);
                sums[half] = t;
            }
        }
        (store(sums), store(cs))
    }

    fn sum_lanes(&self, from: usize, len: usize) -> ([f64; LANES], [f64; LANES]) {
        let (mut sums, mut cs) = ([0.0; LANES], [0.0; LANES]);
        for values in self.rows(from, len) {
            // As `kahan_add`, but for infinite sums.
            for lane in 0..LANES {
                let (v, sum) = (values[lane], sums[lane]);
                let t = sum + v;
                let sum_larger = sum.abs() >= v.abs();
                let larger = if sum_larger { sum } else { v };
                let smaller = if sum_larger { v } else { sum };
                cs[lane] += (larger - t) + smaller;
                sums[lane] = t;
            }
        }
        (sums, cs)
    }

    /// The first `len` values of windows that begin at `from`, `from + stride`, ..., side by side.
    #[inline(always)]
    fn rows(&self, from: usize, len: usize) -> impl Iterator<Item = &[f64; LANES]> {
        let (mut row, mut at) = (from % self.stride, from / self.stride);
        (0..len).map_while(move |_| {
            let values = self
                .values
                .get(row * self.row + at..)?
                .first_chunk::<LANES>();
            row += 1;
            if row == self.stride {
                (row, at) = (0, at + 1);
            }
            values
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with one addition after the other.
    fn check(values: &[f64], bounds: &[(u32, u32)]) {
        let series = FloatSeries {
            times: &[],
            values,
            bounds,
            first_end_ms: 0,
            end_step_ms: 1,
            range_ms: 1,
        };
        let mut out = vec![-1.0; bounds.len()];
        each_sum(&series, &mut out, |window, sum, c| {
            let mut expected = State::default();
            expected.add(window);
            let bits = |v: f64| if v.is_nan() { 1 } else { v.to_bits() };
            assert_eq!(bits(sum), bits(expected.sum));
            assert_eq!(bits(c), bits(expected.c));
            window.len() as f64
        });
        for (out, (from, to)) in out.iter().zip(bounds) {
            let len = if from < to {
                f64::from(to - from)
            } else {
                -1.0
            };
            assert_eq!(*out, len);
        }
    }

    #[test]
    fn sums_are_those_of_one_addition_after_the_other() {
        let mut seed = 7u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut values: Vec<f64> = (0..500)
            .map(|_| (random() % 20_001) as f64 / 100.0 - 100.0)
            .collect();
        let grids = |values: &[f64]| {
            for (stride, len) in [(1, 20), (3, 12), (4, 240), (4, 11), (7, 100), (70, 90)] {
                let bounds: Vec<(u32, u32)> = (0..130u32)
                    .map(|step| {
                        let to = (step * stride).min(500);
                        (to.saturating_sub(len), to)
                    })
                    .collect();
                check(values, &bounds);
            }
        };
        grids(&values);
        // Off the grid, empty, and beginning where others do.
        let ragged: Vec<(u32, u32)> = (0..200u32)
            .map(|step| {
                let from = step * 2 + u32::from(step % 11 == 0);
                (from, (from + step % 40).min(500))
            })
            .collect();
        check(&values, &ragged);
        for (at, v) in [
            (40, f64::INFINITY),
            (200, f64::NAN),
            (300, 1.7e308),
            (301, 1.7e308),
        ] {
            values[at] = v;
        }
        values[350] = f64::NEG_INFINITY;
        values[351] = -0.0;
        grids(&values);
        check(&values, &ragged);
        check(&[], &[(0, 0); 9]);
    }
}
