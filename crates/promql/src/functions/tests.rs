//! Functions that take all windows at once give the same bits as window by window.

use storage::Columns;

use super::over_time::{Average, Extreme, Pick, QuantileOverTime, Sum, Transitions, Variance};
use super::rate::{Instant, Rate};
use super::window::{Flags, FloatSeries, Frame, RangeFunction, window_of};
use crate::annotate::Notes;
use crate::ast::PosRange;
use crate::exec::{Sample, is_absent};

/// Counters with resets, with repeated values, NaN, infinities and both zeros.
fn series(seed: u64) -> Columns {
    let mut state = seed | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut columns = Columns::default();
    let (mut t, mut v) = (0i64, 0.0);
    for _ in 0..next(200) {
        t += 1 + next(30_000) as i64;
        v = match next(40) {
            0 => 0.0,
            1 => -0.0,
            2 => f64::NAN,
            3 => f64::INFINITY,
            4 => f64::NEG_INFINITY,
            5 => 1e308,
            6..12 => v,
            _ => v + next(100) as f64 / 3.0,
        };
        columns.float_ms.push(t);
        columns.floats.push(v);
    }
    columns
}

#[test]
fn all_at_once_is_window_by_window() {
    let rate = |is_counter, is_rate| Rate {
        is_counter,
        is_rate,
        range_seconds: 300.0,
    };
    let notes = Notes::default();
    let quantile = |q: f64| QuantileOverTime {
        // One a step.
        quantiles: vec![q; 40],
        notes: &notes,
        pos: PosRange::default(),
    };
    let functions: [(&str, Box<dyn RangeFunction + '_>); 23] = [
        ("quantile 0.95", Box::new(quantile(0.95))),
        ("quantile 0", Box::new(quantile(0.0))),
        ("quantile 7", Box::new(quantile(7.0))),
        ("irate", Box::new(Instant { is_rate: true })),
        ("idelta", Box::new(Instant { is_rate: false })),
        ("rate", Box::new(rate(true, true))),
        ("increase", Box::new(rate(true, false))),
        ("delta", Box::new(rate(false, false))),
        ("sum", Box::new(Sum)),
        ("avg", Box::new(Average)),
        ("count", Box::new(Pick::Count)),
        ("present", Box::new(Pick::Present)),
        ("first", Box::new(Pick::First)),
        ("last", Box::new(Pick::Last)),
        ("ts_of_first", Box::new(Pick::TimestampOfFirst)),
        ("ts_of_last", Box::new(Pick::TimestampOfLast)),
        ("min", Box::new(Extreme::Min)),
        ("max", Box::new(Extreme::Max)),
        ("ts_of_min", Box::new(Extreme::TimestampOfMin)),
        ("ts_of_max", Box::new(Extreme::TimestampOfMax)),
        ("stdvar", Box::new(Variance { deviation: false })),
        (
            "changes",
            Box::new(Transitions {
                resets: false,
                anchored: false,
            }),
        ),
        (
            "resets",
            Box::new(Transitions {
                resets: true,
                anchored: false,
            }),
        ),
    ];
    for seed in 1..120 {
        let columns = series(seed * 7919);
        for (range_ms, first_end_ms, end_step_ms) in [
            (300_000, 60_000, 60_000),
            (300_000, -5_000, 700_000),
            (300_000, 900_000, 0),
        ] {
            let windows: Vec<_> = (0..40)
                .map(|step| {
                    let end = first_end_ms + end_step_ms * step;
                    (end, window_of(&columns, end - range_ms, end))
                })
                .collect();
            let mut at = 0;
            let bounds: Vec<(u32, u32)> = windows
                .iter()
                .map(|(end, window)| {
                    let to = columns.float_ms.partition_point(|t| t <= end) as u32;
                    at = to - window.floats.len() as u32;
                    (at, to)
                })
                .collect();
            let all = FloatSeries {
                times: &columns.float_ms,
                values: &columns.floats,
                bounds: &bounds,
                first_end_ms,
                end_step_ms,
                range_ms,
            };
            for (name, function) in &functions {
                let mut out = vec![crate::exec::Column::absent(1).floats[0]; windows.len()];
                assert!(function.floats(&all, &mut out), "{name}");
                for (step, (end_ms, window)) in windows.iter().enumerate() {
                    let frame = Frame {
                        window: *window,
                        step,
                        t_ms: *end_ms,
                        start_ms: end_ms - range_ms,
                        end_ms: *end_ms,
                    };
                    let want = if window.is_empty() {
                        None
                    } else {
                        function.eval(&frame, &mut Flags::default()).unwrap()
                    };
                    let same = match want {
                        None => is_absent(out[step]),
                        Some(Sample::Float(v)) => {
                            v.to_bits() == out[step].to_bits()
                                || (v.is_nan() && out[step].is_nan() && !is_absent(out[step]))
                        }
                        Some(Sample::Histogram(_)) => false,
                    };
                    assert!(
                        same,
                        "{name}, seed {seed}, step {step}: {} {want:?}",
                        out[step]
                    );
                }
            }
        }
    }
}
