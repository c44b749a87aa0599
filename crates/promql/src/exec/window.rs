//! Functions over range vectors: a window slides over each series' samples.

use std::cell::RefCell;

use model::Labels;
use storage::Columns;

use super::columns::{Column, Grid, Meta, Sample, is_absent};
use super::same_times::{SameTimes, with_found};
use super::samples::{Computed, Reads, Source, Stored, with_scratch};
use super::select::{self, Span};
use super::selector::References;
use super::usage::{Usage, WindowUse};
use super::vect::{Clash, Leaf, Tally, Vect};
use super::{Query, Scope, failed, subquery};
use crate::annotate::Note;
use crate::ast::{Call, Expr, PosRange};
use crate::budget::Charge;
use crate::functions::extended::{ANCHORED_SAFE, SMOOTHED_SAFE};
use crate::functions::window::{Flags, FloatSeries, Frame, RangeFunction, Window};
use crate::query_error::QueryError;

/// How far windows reach beyond their range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    pub before_ms: i64,
    pub after_ms: i64,
}

/// A range vector before anything is decoded.
pub(crate) struct Ranges<'q> {
    pub metas: Vec<Meta>,
    pub source: Box<dyn Source + 'q>,
    pub references: References,
    pub range_ms: i64,
    pub reach: Reach,
    pub anchored: bool,
    pub smoothed: bool,
    /// The labels differ without the metric name.
    pub distinct: bool,
    pub pos: PosRange,
    /// What a subquery holds.
    held: Option<(Usage, Option<Charge<'q>>)>,
    name: String,
}

impl Ranges<'_> {
    /// The selector, for messages.
    pub(crate) fn name(&self) -> String {
        self.name.clone()
    }
}

/// The range vector of a matrix selector or subquery.
pub(crate) fn ranges<'q>(
    query: &'q Query<'q>,
    expr: &'q Expr,
    scope: &Scope<'q>,
) -> Result<Ranges<'q>, QueryError> {
    match expr.unwrapped() {
        Expr::Matrix(matrix) => {
            let selector = &matrix.selector;
            let references = References::new(scope.grid, selector.at, selector.offset_ms());
            let lookback = query.lookback_ms;
            let reach = Reach {
                before_ms: if selector.anchored || selector.smoothed {
                    lookback
                } else {
                    0
                },
                after_ms: if selector.smoothed { lookback } else { 0 },
            };
            let range_ms = matrix.range_ms();
            let span = Span {
                min_ms: references.first - range_ms - reach.before_ms + 1,
                max_ms: references.last() + reach.after_ms,
                range_ms,
            };
            let selected = select::select(query, &selector.matchers, span, scope)?;
            let metas = select::metas(&selected.set);
            Ok(Ranges {
                metas,
                source: Box::new(Stored {
                    selected,
                    min_ms: span.min_ms,
                    max_ms: span.max_ms,
                    only_stats: crate::plan::skips_buckets(&scope.path).then_some(Reads {
                        references,
                        after_ms: reach.after_ms,
                        width_ms: range_ms + reach.before_ms + reach.after_ms,
                    }),
                    start_times: query.options.use_start_timestamps,
                }),
                references,
                range_ms,
                reach,
                anchored: selector.anchored,
                smoothed: selector.smoothed,
                distinct: select::has_one_name(selector),
                pos: matrix.pos(),
                held: None,
                name: expr.unwrapped().to_string(),
            })
        }
        Expr::Subquery(sub) => {
            let computed = subquery::compute(query, sub, scope, &query.discarded)?;
            Ok(Ranges {
                metas: computed.metas,
                source: Box::new(Computed {
                    columns: computed.columns,
                    grid: computed.grid,
                }),
                references: References::new(scope.grid, sub.at, sub.offset_ms()),
                range_ms: sub.range_ms(),
                reach: Reach::default(),
                anchored: false,
                smoothed: false,
                distinct: false,
                // Upstream puts the computed samples where the subquery was, without its position.
                pos: PosRange::default(),
                held: Some((computed.usage, computed.charge)),
                name: "a subquery".to_owned(),
            })
        }
        _ => failed("unexpected type of an operand, wanted range vector"),
    }
}

/// A function over the ranges.
pub(crate) fn apply<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
    ranges: Ranges<'q>,
    function: Box<dyn RangeFunction + 'q>,
) -> Result<Vect<'q>, QueryError> {
    let name = call.func.name;
    if ranges.anchored && !ANCHORED_SAFE.contains(&name) {
        return failed(format!(
            "anchored modifier can only be used with: {} - not with {name}",
            ANCHORED_SAFE.join(", ")
        ));
    }
    if ranges.smoothed && !SMOOTHED_SAFE.contains(&name) {
        return failed(format!(
            "smoothed modifier can only be used with: {} - not with {name}",
            SMOOTHED_SAFE.join(", ")
        ));
    }
    let counter_check = match name {
        "rate" | "increase" if query.options.type_and_unit_labels => CounterCheck::Type,
        "rate" | "increase" => CounterCheck::Name,
        _ => CounterCheck::No,
    };
    let metas = ranges.metas;
    let leaf = Sliding {
        labels: metas.iter().map(|meta| meta.labels.clone()).collect(),
        source: ranges.source,
        function,
        references: ranges.references,
        range_ms: ranges.range_ms,
        reach: ranges.reach,
        grid: scope.grid,
        query,
        pos: ranges.pos,
        counter_check,
        name: ranges.name,
    };
    let mut vect = Vect::lazy(
        metas,
        Box::new(leaf),
        scope.grid.len,
        ranges.distinct,
        scope.looked,
    );
    if let Some((usage, charge)) = ranges.held {
        vect = vect.holding(&usage, charge);
    }
    // The first two give back a sample of the series itself; of the last one only matters whether
    // there is a value.
    if matches!(
        name,
        "last_over_time" | "first_over_time" | "absent_over_time"
    ) {
        return Ok(vect);
    }
    vect.without_name(query, Clash::Fail)
}

/// How `rate` and `increase` find out whether they are used on something that is no counter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CounterCheck {
    No,
    Name,
    Type,
}

/// What windows depend on beside the times of samples: where they end, their width, and beyond.
type WindowsOf = (References, i64, Reach);

thread_local! {
    /// The windows of the series before, as indices into its samples.
    static BOUNDS: RefCell<SameTimes<WindowsOf, (u32, u32)>> =
        const { RefCell::new(SameTimes::new()) };
}

struct Sliding<'q> {
    labels: Vec<Labels>,
    source: Box<dyn Source + 'q>,
    function: Box<dyn RangeFunction + 'q>,
    references: References,
    range_ms: i64,
    reach: Reach,
    grid: Grid,
    query: &'q Query<'q>,
    pos: PosRange,
    counter_check: CounterCheck,
    name: String,
}

impl Leaf for Sliding<'_> {
    fn column(&self, i: usize, out: &mut Column, tally: &mut Tally) -> Result<(), QueryError> {
        with_scratch(|samples| {
            tally.read += self.source.load(i, samples)?;
            let samples = &*samples;
            let times = &samples.float_ms;
            let key = (self.references, self.range_ms, self.reach);
            let find = |bounds: &mut Vec<_>| self.find_bounds(times, bounds);
            with_found(&BOUNDS, key, times, find, |bounds| {
                match samples.histograms.is_empty() {
                    true => self.slide_floats(i, samples, bounds, out, tally),
                    false => self.slide(i, samples, bounds, out, tally),
                }
            })?;
            self.check_counter(i, out);
            Ok(())
        })
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn samples_a_series(&self, steps: usize) -> u64 {
        // Some functions look at every sample of every window.
        let samples = self.source.samples_a_series();
        samples + 4 * steps as u64
    }
}

/// Goes along times that are mostly a fixed interval apart.
#[derive(Default)]
struct Cursor {
    at: usize,
    /// How many times it passed last.
    stride: usize,
}

impl Cursor {
    /// How many times are not after `until`, which does not go back.
    #[inline]
    fn advance(&mut self, times: &[i64], until: i64) -> usize {
        let before = self.at;
        // As many as last time, if that is right.
        let guess = before + self.stride;
        let passed = guess == 0 || times.get(guess - 1).is_some_and(|t| *t <= until);
        if passed && guess <= times.len() {
            self.at = guess;
        }
        while self.at < times.len() && times[self.at] <= until {
            self.at += 1;
        }
        self.stride = self.at - before;
        self.at
    }
}

impl Sliding<'_> {
    /// First and one past the last index of each step's window.
    fn find_bounds(&self, times: &[i64], bounds: &mut Vec<(u32, u32)>) {
        let (mut from, mut to) = (Cursor::default(), Cursor::default());
        bounds.extend((0..self.references.len).map(|step| {
            let end = self.references.at(step);
            let after = end - self.range_ms - self.reach.before_ms;
            let to = to.advance(times, end + self.reach.after_ms);
            let from = from.advance(times, after).min(to);
            (from as u32, to as u32)
        }));
    }

    fn slide_floats(
        &self,
        i: usize,
        samples: &Columns,
        bounds: &[(u32, u32)],
        out: &mut Column,
        tally: &mut Tally,
    ) -> Result<(), QueryError> {
        let mut widest = 0;
        for (looked, (from, to)) in tally.looked.iter_mut().zip(bounds) {
            let size = u64::from(to - from);
            *looked += size;
            widest = widest.max(size);
        }
        tally.window = WindowUse {
            widest,
            last: bounds.last().map_or(0, |(from, to)| u64::from(to - from)),
        };
        if widest == 0 {
            return Ok(());
        }
        if samples.float_start_ms.is_empty() {
            let series = FloatSeries {
                times: &samples.float_ms,
                values: &samples.floats,
                bounds,
                first_end_ms: self.references.first,
                end_step_ms: self.references.step,
                range_ms: self.range_ms,
            };
            if self.function.floats(&series, &mut out.floats) {
                return Ok(());
            }
        }
        self.each(i, samples, bounds, &[], out)
    }

    fn slide(
        &self,
        i: usize,
        samples: &Columns,
        bounds: &[(u32, u32)],
        out: &mut Column,
        tally: &mut Tally,
    ) -> Result<(), QueryError> {
        let mut histogram_bounds = Vec::new();
        self.find_bounds(&samples.histogram_ms, &mut histogram_bounds);
        // Sizes up to each histogram, so that a window's size is a difference.
        let mut sizes = Vec::with_capacity(samples.histograms.len() + 1);
        let mut sum = 0u64;
        sizes.push(sum);
        for h in &samples.histograms {
            sum += h.size_in_samples() as u64;
            sizes.push(sum);
        }
        tally.window = WindowUse::default();
        for (step, ((from, to), (h_from, h_to))) in bounds.iter().zip(&histogram_bounds).enumerate()
        {
            let size = u64::from(to - from) + sizes[*h_to as usize] - sizes[*h_from as usize];
            tally.looked[step] += size;
            tally.window.widest = tally.window.widest.max(size);
            tally.window.last = size;
        }
        self.each(i, samples, bounds, &histogram_bounds, out)
    }

    /// Window by window.
    fn each(
        &self,
        i: usize,
        samples: &Columns,
        bounds: &[(u32, u32)],
        histogram_bounds: &[(u32, u32)],
        out: &mut Column,
    ) -> Result<(), QueryError> {
        let mut flags = Flags::default();
        let range = |bounds: &[(u32, u32)], step: usize| {
            bounds
                .get(step)
                .map_or((0, 0), |(from, to)| (*from as usize, *to as usize))
        };
        for step in 0..self.grid.len {
            // A single series may have many steps, and each a large window.
            if step % 16 == 15 {
                self.query.cancel.check(super::PHASE)?;
            }
            let window = Window::new(samples, range(bounds, step), range(histogram_bounds, step));
            if window.is_empty() {
                continue;
            }
            let end_ms = self.references.at(step);
            let frame = Frame {
                window,
                step,
                t_ms: self.grid.at(step),
                start_ms: end_ms - self.range_ms,
                end_ms,
            };
            let mut found = Flags::default();
            match self.function.eval(&frame, &mut found)? {
                Some(Sample::Float(v)) => out.floats[step] = v,
                Some(Sample::Histogram(h)) => out.set_histogram(step, h),
                None => {}
            }
            flags.set(found);
        }
        if !flags.is_empty() {
            for note in flags.notes(self.labels[i].metric_name()) {
                self.query.notes.add(note, self.pos);
            }
        }
        Ok(())
    }

    fn check_counter(&self, i: usize, out: &Column) {
        if self.counter_check == CounterCheck::No {
            return;
        }
        let labels = &self.labels[i];
        let metric = labels.metric_name();
        let type_label = labels.get("__type__");
        let fine = metric.is_empty()
            || match self.counter_check {
                CounterCheck::Type => matches!(type_label, "counter" | "histogram"),
                _ => ["_total", "_sum", "_count", "_bucket"]
                    .iter()
                    .any(|suffix| metric.ends_with(suffix)),
            };
        if fine || out.floats.iter().all(|v| is_absent(*v)) {
            return;
        }
        let metric = metric.to_owned();
        let note = match self.counter_check {
            CounterCheck::Type => Note::PossibleNonCounterLabel {
                metric,
                type_label: type_label.to_owned(),
            },
            _ => Note::PossibleNonCounter { metric },
        };
        self.query.notes.add(note, self.pos);
    }
}
