//! Function calls.

use model::{Labels, LabelsBuilder, MatchKind, Matcher};

use super::columns::{Column, Meta, is_metadata_label};
use super::selector::Wanted;
use super::usage::Usage;
use super::vect::{Clash, Vect};
use super::{
    Out, Query, Scope, eval_scalar, eval_vector, failed, histogram_quantile, info, labels, scalar,
    selector, sort, window,
};
use crate::ast::{Call, Expr, ValueType};
use crate::functions::extended::ExtendedRate;
use crate::functions::math::{float_function, go_max, go_min};
use crate::functions::over_time::{
    Average, Extreme, MedianDeviation, Pick, QuantileOverTime, Regression, Smoothing, Sum,
    Transitions, Variance,
};
use crate::functions::rate::{Instant, Rate};
use crate::functions::window::RangeFunction;
use crate::query_error::QueryError;

/// Evaluates a call.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Out<'q>, QueryError> {
    let name = call.func.name;
    if call.args.is_empty()
        && let Some(out) = scalar::nullary(query, name, scope.grid)
    {
        return Ok(out);
    }
    match name {
        "max_of" | "min_of" => return scalar::extreme(query, call, scope),
        "scalar" => return scalar::scalar(query, call, scope),
        _ => {}
    }
    vector(query, call, scope).map(Out::Vector)
}

fn vector<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let name = call.func.name;
    let takes_range = |arg: &Expr| arg.value_type() == ValueType::Matrix;
    if let Some(index) = call.args.iter().position(takes_range) {
        return over_range(query, call, index, scope);
    }
    let below = scope.below(name);
    match name {
        "vector" => return scalar::vector(query, call, scope),
        "label_replace" => return labels::replace(query, call, &below),
        "label_join" => return labels::join(query, call, &below),
        "info" => return info::eval(query, call, &below),
        "histogram_quantile" => return histogram_quantile::quantile(query, call, &below),
        "histogram_quantiles" => return histogram_quantile::quantiles(query, call, &below),
        "histogram_fraction" => return histogram_quantile::fraction(query, call, &below),
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
            return sort::eval(query, call, &below);
        }
        "absent" => return absent(query, call, &below),
        "timestamp" => return timestamp(query, call, &below, Wanted::Timestamp),
        "start_timestamp" => return timestamp(query, call, &below, Wanted::StartTimestamp),
        "clamp" | "clamp_min" | "clamp_max" => return clamp(query, call, &below),
        "round" => return round(query, call, &below),
        _ => {}
    }
    if let Some(f) = histogram_function(name) {
        let vect = eval_vector(query, &call.args[0], &below)?.map(0, move |column: &mut Column| {
            let histograms = std::mem::take(&mut column.histograms);
            let len = column.floats.len();
            column.reset(len);
            for (step, h) in histograms.iter().enumerate() {
                if let Some(h) = h {
                    column.floats[step] = f(h);
                }
            }
        });
        return vect.without_labels(query, Clash::Merge, |name| {
            name == model::labels::METRIC_NAME
        });
    }
    let Some(f) = float_function(name) else {
        return failed(format!(
            "unknown function with name {}",
            golang::strconv::quote(name)
        ));
    };
    if call.args.is_empty() {
        // A date function without argument looks at the evaluation time.
        let columns = vec![Column {
            floats: scope
                .grid
                .times()
                .map(|t| f(t.div_euclid(1000) as f64))
                .collect(),
            histograms: Vec::new(),
        }];
        let usage = Usage::of(scope.grid.len, &columns).stepwise(&[]);
        return Vect::ready(query, vec![Meta::new(Labels::empty())], columns, usage);
    }
    eval_vector(query, &call.args[0], &below)?
        .map(0, move |column: &mut Column| {
            column.drop_histograms();
            column.map_floats(f);
        })
        .without_name(query, Clash::Merge)
}

/// A function of one histogram by its PromQL name.
fn histogram_function(name: &str) -> Option<fn(&model::FloatHistogram) -> f64> {
    Some(match name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stdvar" => histogram_quantile::variance,
        "histogram_stddev" => |h| histogram_quantile::variance(h).sqrt(),
        _ => return None,
    })
}

fn over_range<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    index: usize,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let name = call.func.name;
    let below = scope.below(name);
    let mut ranges = window::ranges(query, &call.args[index], &below)?;
    let mut scalars = Vec::new();
    for (i, arg) in call.args.iter().enumerate() {
        if i != index {
            scalars.push(eval_scalar(query, arg, &below)?.0);
        }
    }
    let mut scalars = scalars.into_iter();
    let mut scalar = || scalars.next().unwrap_or_default();
    let range_seconds = ranges.range_ms as f64 / 1000.0;
    let rate = |is_counter, is_rate| -> Box<dyn RangeFunction> {
        if ranges.anchored || ranges.smoothed {
            Box::new(ExtendedRate {
                is_counter,
                is_rate,
                smoothed: ranges.smoothed,
                range_seconds,
            })
        } else {
            Box::new(Rate {
                is_counter,
                is_rate,
                range_seconds,
            })
        }
    };
    let function: Box<dyn RangeFunction + 'q> = match name {
        "rate" => rate(true, true),
        "increase" => rate(true, false),
        "delta" => rate(false, false),
        "irate" => Box::new(Instant { is_rate: true }),
        "idelta" => Box::new(Instant { is_rate: false }),
        "sum_over_time" => Box::new(Sum),
        "avg_over_time" => Box::new(Average),
        "count_over_time" => Box::new(Pick::Count),
        "present_over_time" | "absent_over_time" => Box::new(Pick::Present),
        "first_over_time" => Box::new(Pick::First),
        "last_over_time" => Box::new(Pick::Last),
        "ts_of_first_over_time" => Box::new(Pick::TimestampOfFirst),
        "ts_of_last_over_time" => Box::new(Pick::TimestampOfLast),
        "min_over_time" => Box::new(Extreme::Min),
        "max_over_time" => Box::new(Extreme::Max),
        "ts_of_min_over_time" => Box::new(Extreme::TimestampOfMin),
        "ts_of_max_over_time" => Box::new(Extreme::TimestampOfMax),
        "stddev_over_time" => Box::new(Variance { deviation: true }),
        "stdvar_over_time" => Box::new(Variance { deviation: false }),
        "mad_over_time" => Box::new(MedianDeviation),
        "deriv" => Box::new(Regression { ahead: None }),
        "predict_linear" => Box::new(Regression {
            ahead: Some(scalar()),
        }),
        "double_exponential_smoothing" => Box::new(Smoothing {
            smoothing: scalar(),
            trend: scalar(),
        }),
        "quantile_over_time" => {
            let quantiles = scalar();
            // As upstream: also what there is to say of the range is said of the quantile.
            ranges.pos = call.args[0].pos();
            Box::new(QuantileOverTime {
                quantiles,
                notes: &query.notes,
                pos: ranges.pos,
            })
        }
        "changes" | "resets" => Box::new(Transitions {
            resets: name == "resets",
            anchored: ranges.anchored,
        }),
        _ => {
            return failed(format!(
                "unknown function with name {}",
                golang::strconv::quote(name)
            ));
        }
    };
    let vect = window::apply(query, call, scope, ranges, function)?;
    if name == "absent_over_time" {
        return absence(query, vect, &call.args[0], true);
    }
    Ok(vect)
}

fn absent<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let vect = eval_vector(query, &call.args[0], scope)?;
    absence(query, vect, &call.args[0], false)
}

/// 1 at each step at which no series has a value.
fn absence<'q>(
    query: &'q Query<'q>,
    vect: Vect<'q>,
    arg: &Expr,
    drop_name: bool,
) -> Result<Vect<'q>, QueryError> {
    let mut column = Column {
        floats: vec![1.0; vect.len()],
        histograms: Vec::new(),
    };
    let input = vect.for_each(query, |_, present| {
        for step in present.present() {
            column.clear(step);
        }
        Ok(())
    })?;
    let columns = vec![column];
    let usage = Usage::of(input.counts.len(), &columns).stepwise(&[&input]);
    let meta = Meta {
        labels: labels_of_absence(arg),
        drop_name,
    };
    Vect::ready(query, vec![meta], columns, usage)
}

/// The labels that a selector names with `=`, each once.
fn labels_of_absence(arg: &Expr) -> Labels {
    let matchers: &[Matcher] = match arg {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Labels::empty(),
    };
    // Upstream's storage puts matchers that only leave out series last, in the selector itself.
    let must_be_set = |name: &str| {
        let mut same = matchers.iter().filter(|matcher| &*matcher.name == name);
        same.any(|matcher| !matcher.matches_empty())
    };
    let leaves_out = |matcher: &&Matcher| {
        let negative = matches!(matcher.kind, MatchKind::NotEqual | MatchKind::NotRegexp);
        (negative && matcher.matches_empty()) || !must_be_set(&matcher.name)
    };
    let (last, first): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(leaves_out);
    let mut builder = LabelsBuilder::new(Labels::empty());
    let mut seen: Vec<&str> = Vec::new();
    for matcher in first.into_iter().chain(last) {
        if &*matcher.name == model::labels::METRIC_NAME {
            continue;
        }
        // A label that is named again is left out.
        if matcher.kind == MatchKind::Equal && !seen.contains(&&*matcher.name) {
            builder.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            builder.del(&matcher.name);
        }
    }
    builder.build()
}

fn timestamp<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
    wanted: Wanted,
) -> Result<Vect<'q>, QueryError> {
    let arg = match &call.args[0] {
        Expr::StepInvariant(inner) => &**inner,
        arg => arg,
    };
    if let Expr::Vector(selector) = arg {
        return selector::lookup(query, selector, scope, wanted)?.without_name(query, Clash::Merge);
    }
    let vect = eval_vector(query, &call.args[0], scope)?;
    // Computed values have no start time, and the evaluation's time.
    let times: Vec<f64> = scope.grid.times().map(|t| t as f64 / 1000.0).collect();
    vect.map(0, move |column: &mut Column| {
        for (step, t) in times.iter().enumerate() {
            let here = column.has(step) && wanted == Wanted::Timestamp;
            column.clear(step);
            if here {
                column.floats[step] = *t;
            }
        }
        column.drop_histograms();
    })
    .without_labels(query, Clash::Merge, is_metadata_label)
}

fn clamp<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let vect = eval_vector(query, &call.args[0], scope)?;
    let len = scope.grid.len;
    let bound = |i: usize| eval_scalar(query, &call.args[i], scope).map(|(values, _)| values);
    let (low, high) = match call.func.name {
        "clamp" => (bound(1)?, bound(2)?),
        "clamp_min" => (bound(1)?, vec![f64::INFINITY; len]),
        _ => (vec![f64::NEG_INFINITY; len], bound(1)?),
    };
    vect.map(call.args.len() - 1, move |column: &mut Column| {
        column.drop_histograms();
        for (step, (low, high)) in low.iter().zip(&high).enumerate() {
            if high < low {
                column.clear(step);
            } else if column.has(step) {
                column.floats[step] = go_max(*low, go_min(*high, column.floats[step]));
            }
        }
    })
    .without_name(query, Clash::Merge)
}

fn round<'q>(
    query: &'q Query<'q>,
    call: &'q Call,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let vect = eval_vector(query, &call.args[0], scope)?;
    let nearest = match call.args.get(1) {
        Some(arg) => eval_scalar(query, arg, scope)?.0,
        None => vec![1.0; scope.grid.len],
    };
    vect.map(call.args.len() - 1, move |column: &mut Column| {
        column.drop_histograms();
        for (step, nearest) in nearest.iter().enumerate() {
            if column.has(step) {
                // Dividing by the inverse loses fewer digits.
                let inverse = 1.0 / nearest;
                column.floats[step] = (column.floats[step] * inverse + 0.5).floor() / inverse;
            }
        }
    })
    .without_name(query, Clash::Merge)
}
