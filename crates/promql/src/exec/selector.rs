//! Instant vector selectors: the last sample at each step, if it is recent and no stale marker.

use std::cell::RefCell;
use std::sync::Arc;

use storage::{Columns, Last};

use super::columns::{ABSENT, Column, Grid, is_absent};
use super::same_times::{SameTimes, with_found};
use super::samples::{Reads, Stored, drop_stale, with_scratch};
use super::select::{self, Span};
use super::vect::{Leaf, Tally, Vect};
use super::{Query, Scope};
use crate::ast::{At, Expr, VectorSelector};
use crate::functions::extended::smooth_at;
use crate::functions::window::Flags;
use crate::query_error::QueryError;

/// At which times samples are looked up for the steps of a grid: offset and `@` applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct References {
    pub first: i64,
    /// 0 with `@`: the same time at every step.
    pub step: i64,
    pub len: usize,
}

impl References {
    pub(crate) fn new(grid: Grid, at: Option<At>, offset_ms: i64) -> References {
        match at {
            Some(At::TimestampMs(t)) => References {
                first: t.saturating_sub(offset_ms),
                step: 0,
                len: grid.len,
            },
            // `@ start()` and `@ end()` have become times in the plan.
            Some(At::Start | At::End) | None => References {
                first: grid.start.saturating_sub(offset_ms),
                step: grid.step,
                len: grid.len,
            },
        }
    }

    #[inline]
    pub(crate) fn at(&self, step: usize) -> i64 {
        self.first + self.step * step as i64
    }

    pub(crate) fn last(&self) -> i64 {
        self.at(self.len.saturating_sub(1))
    }
}

/// What a selector gives for the sample it finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Value,
    /// `timestamp()`: seconds.
    Timestamp,
    /// `start_timestamp()`: seconds; nothing where it is unknown.
    StartTimestamp,
    /// `info()`: milliseconds.
    TimestampMs,
}

/// Evaluates a selector.
pub(crate) fn instant<'q>(
    query: &'q Query<'q>,
    selector: &'q VectorSelector,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    lookup(query, selector, scope, Wanted::Value)
}

/// Evaluates a selector for something else than its values.
pub(crate) fn lookup<'q>(
    query: &'q Query<'q>,
    selector: &'q VectorSelector,
    scope: &Scope<'q>,
    wanted: Wanted,
) -> Result<Vect<'q>, QueryError> {
    let references = References::new(scope.grid, selector.at, selector.offset_ms());
    from_matchers(query, selector, references, scope, wanted)
}

fn from_matchers<'q>(
    query: &'q Query<'q>,
    selector: &'q VectorSelector,
    references: References,
    scope: &Scope<'q>,
    wanted: Wanted,
) -> Result<Vect<'q>, QueryError> {
    let lookback = query.lookback_ms;
    let span = Span {
        min_ms: references.first - lookback + 1,
        max_ms: references.last() + if selector.smoothed { lookback } else { 0 },
        range_ms: 0,
    };
    let references = match (wanted, selector.at) {
        // As upstream: `timestamp()` of a selector with `@` looks at what offset and `@` select, but
        // at the time of `@` alone.
        (Wanted::Timestamp, Some(_)) => References::new(scope.grid, selector.at, 0),
        _ => references,
    };
    let selected = select::select(query, &selector.matchers, span, scope)?;
    let metas = select::metas(&selected.set);
    let stored = Stored {
        selected,
        min_ms: span.min_ms,
        max_ms: span.max_ms,
        only_stats: crate::plan::skips_buckets(&scope.path).then_some(Reads {
            references,
            after_ms: span.max_ms - references.last(),
            // Where it is smoothed, all of them are read at once.
            width_ms: match selector.smoothed {
                true => span.max_ms - span.min_ms,
                false => lookback,
            },
        }),
        start_times: wanted == Wanted::StartTimestamp,
    };
    let leaf = Instant {
        stored,
        references,
        lookback,
        wanted,
        // As upstream: smoothing changes no timestamp.
        smoothed: selector.smoothed && wanted == Wanted::Value,
        query,
        selector,
    };
    Ok(Vect::lazy(
        metas,
        Box::new(leaf),
        scope.grid.len,
        select::has_one_name(selector),
        scope.looked,
    ))
}

struct Instant<'q> {
    stored: Stored,
    references: References,
    lookback: i64,
    wanted: Wanted,
    smoothed: bool,
    query: &'q Query<'q>,
    selector: &'q VectorSelector,
}

impl Leaf for Instant<'_> {
    fn column(&self, i: usize, out: &mut Column, tally: &mut Tally) -> Result<(), QueryError> {
        if self.look_up_last(i, out, tally) {
            return Ok(());
        }
        with_scratch(|samples| {
            tally.read += self.stored.decode(i, samples)?;
            if self.smoothed {
                // As upstream: what is interpolated is not counted.
                self.smooth(i, samples, out);
                return Ok(());
            }
            let look_back = |wanted, out: &mut Column| {
                look_back(samples, self.references, self.lookback, wanted, out);
            };
            if self.wanted == Wanted::StartTimestamp {
                // Samples count whether their start is known or not.
                let mut found = Column::absent(self.references.len);
                look_back(Wanted::TimestampMs, &mut found);
                for step in found.present() {
                    tally.looked[step] += 1;
                }
                if self.query.options.use_start_timestamps {
                    look_back(self.wanted, out);
                }
                return Ok(());
            }
            look_back(self.wanted, out);
            for step in 0..out.floats.len() {
                if let Some(h) = out.histogram(step) {
                    tally.looked[step] += h.size_in_samples() as u64;
                } else if !is_absent(out.floats[step]) {
                    tally.looked[step] += 1;
                }
            }
            Ok(())
        })
    }

    fn name(&self) -> String {
        Expr::Vector(Box::new(self.selector.clone())).to_string()
    }

    fn samples_a_series(&self, steps: usize) -> u64 {
        if self.references.len == 1 {
            // Mostly looked up; threads would stand in each other's way.
            return 1;
        }
        self.stored.samples_a_series() + steps as u64
    }
}

impl Instant<'_> {
    /// A single step, at which the series knows its last sample without decoding; false where it does
    /// not.
    fn look_up_last(&self, i: usize, out: &mut Column, tally: &mut Tally) -> bool {
        if self.references.len != 1 || self.smoothed || self.wanted != Wanted::Value {
            return false;
        }
        let reference = self.references.first;
        let series = &self.stored.selected.set.series[i];
        match series.last_float(self.stored.min_ms, reference.min(self.stored.max_ms)) {
            Last::Unknown => return false,
            Last::Float(t_ms, v) if t_ms > reference - self.lookback && !is_absent(v) => {
                out.floats[0] = v;
                tally.read += 1;
                tally.looked[0] += 1;
            }
            Last::Float(..) | Last::Nothing => {}
        }
        true
    }

    fn smooth(&self, i: usize, samples: &mut Columns, out: &mut Column) {
        drop_stale(samples);
        let mut flags = Flags::default();
        for step in 0..self.references.len {
            let t = self.references.at(step);
            let window = crate::functions::window_of(
                samples,
                t - self.lookback,
                t.saturating_add(self.lookback),
            );
            if let Some(value) = smooth_at(&window, t, &mut flags) {
                out.set(step, value);
            }
        }
        if !flags.is_empty() {
            let labels = self.stored.selected.set.series[i].labels();
            for note in flags.notes(labels.metric_name()) {
                self.query.notes.add(note, self.selector.pos);
            }
        }
    }
}

/// For each step the last sample that is not later, unless it is older than the lookback delta or a
/// stale marker.
pub(crate) fn look_back(
    samples: &Columns,
    references: References,
    lookback: i64,
    wanted: Wanted,
    out: &mut Column,
) {
    if samples.histogram_ms.is_empty() && wanted == Wanted::Value {
        return look_back_floats(samples, references, lookback, out);
    }
    let (mut f, mut h) = (0, 0);
    for step in 0..references.len {
        let t = references.at(step);
        while f < samples.float_ms.len() && samples.float_ms[f] <= t {
            f += 1;
        }
        while h < samples.histogram_ms.len() && samples.histogram_ms[h] <= t {
            h += 1;
        }
        let float_ms = f.checked_sub(1).map(|f| samples.float_ms[f]);
        let histogram_ms = h.checked_sub(1).map(|h| samples.histogram_ms[h]);
        let is_histogram = histogram_ms > float_ms;
        let Some(found_ms) = float_ms.max(histogram_ms) else {
            continue;
        };
        if found_ms <= t - lookback {
            continue;
        }
        let stale = if is_histogram {
            samples.histograms[h - 1].is_stale()
        } else {
            is_absent(samples.floats[f - 1])
        };
        if stale {
            continue;
        }
        match wanted {
            Wanted::Value if is_histogram => {
                out.set_histogram(step, Arc::clone(&samples.histograms[h - 1]));
            }
            Wanted::Value => out.floats[step] = samples.floats[f - 1],
            Wanted::Timestamp => out.floats[step] = found_ms as f64 / 1000.0,
            Wanted::TimestampMs => out.floats[step] = found_ms as f64,
            Wanted::StartTimestamp => {
                let start = if is_histogram {
                    samples.histogram_start_ms.get(h - 1)
                } else {
                    samples.float_start_ms.get(f - 1)
                };
                if let Some(start) = start.filter(|start| **start != 0) {
                    out.floats[step] = *start as f64 / 1000.0;
                }
            }
        }
    }
}

thread_local! {
    /// Which sample of the series before each step takes.
    static PLACES: RefCell<SameTimes<(References, i64), u32>> =
        const { RefCell::new(SameTimes::new()) };
}

fn look_back_floats(samples: &Columns, references: References, lookback: i64, out: &mut Column) {
    /// No sample.
    const NONE: u32 = u32::MAX;
    let (times, values) = (samples.float_ms.as_slice(), samples.floats.as_slice());
    let find = |places: &mut Vec<u32>| {
        let mut next = 0;
        places.extend((0..references.len).map(|step| {
            let t = references.at(step);
            while next < times.len() && times[next] <= t {
                next += 1;
            }
            match next > 0 && times[next - 1] > t - lookback {
                true => next as u32 - 1,
                false => NONE,
            }
        }));
    };
    with_found(&PLACES, (references, lookback), times, find, |places| {
        for (out, place) in out.floats.iter_mut().zip(places) {
            // A stale marker is what stands for no value.
            *out = values.get(*place as usize).copied().unwrap_or(ABSENT);
        }
    });
}
