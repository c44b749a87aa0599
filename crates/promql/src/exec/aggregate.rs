//! Aggregations that give one series a group: a series' column is folded into the columns of its
//! group and forgotten.

use std::sync::Arc;

use hashbrown::HashMap;
use model::histogram::HistogramError;
use model::histogram::{HistogramMean, HistogramSum, kahan_add};
use model::{FloatHistogram, Labels};

use super::columns::{ABSENT, Column, Meta, Sample, is_absent};
use super::usage::Usage;
use super::vect::Vect;
use super::{Query, Scope, aggregate_k, count_values, eval_scalar, eval_vector, select};
use crate::annotate::{HistogramOperation, Note};
use crate::ast::{Aggregate, AggregateOp, Call, Expr, PosRange};
use crate::functions::over_time::ResetHints;
use crate::functions::quantile::quantile;
use crate::query_error::QueryError;

/// Evaluates an aggregation.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    aggregate: &'q Aggregate,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    let below = scope.below(aggregate.op.as_str());
    if aggregate.op == AggregateOp::CountValues {
        return count_values::eval(query, aggregate, &below);
    }
    let (param, param_usage) = match &aggregate.param {
        Some(param) => eval_scalar(query, param, &below)?,
        None => (Vec::new(), Usage::empty(scope.grid.len)),
    };
    let below = Scope {
        only_labels: labels_of_groups(query, aggregate),
        ..below
    };
    let mut vect = eval_vector(query, &aggregate.expr, &below)?;
    let metas = std::mem::take(&mut vect.metas);
    let groups = Groups::new(aggregate, &metas);
    if matches!(
        aggregate.op,
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio
    ) {
        vect.metas = metas;
        return aggregate_k::eval(query, aggregate, scope, vect, &groups, &param);
    }
    if aggregate.op == AggregateOp::Quantile
        && let Some(arg) = &aggregate.param
    {
        warn_quantiles(query, &param, arg.pos());
    }
    vect.metas = metas;
    let pos = aggregate.expr.pos();
    let mut fold = Fold {
        query,
        op: aggregate.op,
        pos,
        len: scope.grid.len,
        states: (0..groups.labels.len())
            .map(|_| State::new(aggregate.op, scope.grid.len))
            .collect(),
    };
    // Quantiles need all values, everything else a few numbers a group.
    let rows = if aggregate.op == AggregateOp::Quantile {
        vect.metas.len() + groups.labels.len() * 4
    } else {
        groups.labels.len() * 3
    };
    let bytes = (rows * scope.grid.len * 8) as u64;
    let _charge = query
        .bytes
        .take(bytes, || format!("the groups of {}", aggregate.op))?;
    let input = vect.for_each_series(query, |i, meta, column| {
        fold.add(groups.of[i] as usize, meta, &column);
        Ok(())
    })?;
    let mut out_metas = Vec::with_capacity(groups.labels.len());
    let mut columns = Vec::with_capacity(groups.labels.len());
    let Fold { states, .. } = fold;
    for (labels, state) in groups.labels.into_iter().zip(states) {
        let drop_name = state.drop_name;
        let column = state.finish(query, aggregate.op, pos, &param);
        if !column.is_empty() {
            out_metas.push(Meta { labels, drop_name });
            columns.push(column);
        }
    }
    let usage = Usage::of(scope.grid.len, &columns).at_once(&[&param_usage, &input]);
    Vect::ready(query, out_metas, columns, usage)
}

/// The labels of the selected series that an aggregation looks at; `None` where it, or what is between
/// it and the selector, may look at others.
fn labels_of_groups(query: &Query<'_>, aggregate: &Aggregate) -> Option<Vec<String>> {
    use AggregateOp::{Avg, Count, Group, Max, Min, Quantile, Stddev, Stdvar, Sum};
    let folds = matches!(
        aggregate.op,
        Sum | Avg | Min | Max | Count | Group | Stddev | Stdvar | Quantile
    );
    if aggregate.without || !folds || query.options.type_and_unit_labels {
        return None;
    }
    let mut expr: &Expr = &aggregate.expr;
    loop {
        // What occurs again is evaluated once, for readers of other labels, too.
        if query.repeated.number(expr).is_some() {
            return None;
        }
        expr = match expr {
            Expr::Paren(paren) => &paren.expr,
            Expr::StepInvariant(inner) => inner,
            Expr::Vector(_) => break,
            // A function without the metric name must be sure that its series still differ.
            Expr::Call(call) if is_of_one_metric(call) => break,
            _ => return None,
        };
    }
    let mut labels = aggregate.grouping.clone();
    // For notes.
    labels.push(model::labels::METRIC_NAME.to_owned());
    labels.sort_unstable();
    labels.dedup();
    Some(labels)
}

/// Whether a call is one of a range of one metric, and of numbers.
fn is_of_one_metric(call: &Call) -> bool {
    let mut ranges = 0;
    let all = call.args.iter().all(|arg| match arg.unwrapped() {
        Expr::Matrix(matrix) => {
            ranges += 1;
            select::has_one_name(&matrix.selector)
        }
        Expr::Number(_) => true,
        _ => false,
    });
    all && ranges == 1 && call.func.name != "absent_over_time"
}

/// The warnings of `quantile`: one for each way of being wrong.
fn warn_quantiles(query: &Query<'_>, quantiles: &[f64], pos: PosRange) {
    let warn = |q: f64| query.notes.add(Note::InvalidQuantile(q.into()), pos);
    if quantiles.iter().any(|q| q.is_nan()) {
        warn(f64::NAN);
    }
    let (min, max) = super::aggregate_k::extremes(quantiles);
    if max > 1.0 {
        warn(max);
    }
    if min < 0.0 {
        warn(min);
    }
}

/// Which series belong together.
pub(crate) struct Groups {
    /// The group of each series.
    pub of: Vec<u32>,
    /// The labels of each group.
    pub labels: Vec<Labels>,
}

impl Groups {
    pub(crate) fn new(aggregate: &Aggregate, metas: &[Meta]) -> Groups {
        let grouping = &aggregate.grouping;
        let mut groups = Groups {
            of: Vec::with_capacity(metas.len()),
            labels: Vec::new(),
        };
        if !aggregate.without && grouping.is_empty() {
            groups.of.resize(metas.len(), 0);
            if !metas.is_empty() {
                groups.labels.push(Labels::empty());
            }
            return groups;
        }
        let mut place: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut key: Vec<u8> = Vec::new();
        for meta in metas {
            group_key(&meta.labels, grouping, aggregate.without, &mut key);
            let at = match place.get(&key) {
                Some(at) => *at,
                None => {
                    let at = groups.labels.len() as u32;
                    place.insert(key.clone(), at);
                    groups
                        .labels
                        .push(group_labels(&meta.labels, grouping, aggregate.without));
                    at
                }
            };
            groups.of.push(at);
        }
        groups
    }
}

/// What series of the same group have in common.
fn group_key(labels: &Labels, grouping: &[String], without: bool, key: &mut Vec<u8>) {
    key.clear();
    for (name, value) in labels {
        let named = grouping.iter().any(|g| g == name);
        let counts = if without {
            !named && name != model::labels::METRIC_NAME
        } else {
            named
        };
        if counts {
            for part in [name, value] {
                key.extend_from_slice(&(part.len() as u32).to_le_bytes());
                key.extend_from_slice(part.as_bytes());
            }
        }
    }
}

/// The labels of the group that the labels belong to.
pub(crate) fn group_labels(labels: &Labels, grouping: &[String], without: bool) -> Labels {
    if without {
        labels.without(|name| {
            name == model::labels::METRIC_NAME || grouping.iter().any(|g| g == name)
        })
    } else {
        labels.only(grouping)
    }
}

struct Fold<'a, 'q> {
    query: &'a Query<'q>,
    op: AggregateOp,
    pos: PosRange,
    len: usize,
    states: Vec<State>,
}

/// A group while it is built: arrays over steps, those that the operator needs.
struct State {
    /// Sum, extreme, or the sum of squared distances; absent where no series was seen.
    value: Vec<f64>,
    /// Compensation of a sum; the mean for deviations.
    aside: Vec<f64>,
    count: Vec<f64>,
    /// Steps at which the sum would overflow: `value` is a mean there.
    incremental: Vec<bool>,
    values: Vec<Vec<f64>>,
    histograms: Vec<Option<Box<HistogramState>>>,
    drop_name: bool,
    last_step: Option<usize>,
}

/// Histograms of a group at a step.
#[derive(Default)]
struct HistogramState {
    sum: Option<HistogramSum>,
    mean: Option<HistogramMean>,
    incompatible: bool,
    hints: ResetHints,
}

impl State {
    fn new(op: AggregateOp, len: usize) -> State {
        use AggregateOp::{Avg, Count, Quantile, Stddev, Stdvar, Sum};
        let when = |needed: bool, fill: f64| if needed { vec![fill; len] } else { Vec::new() };
        State {
            value: vec![ABSENT; len],
            aside: when(matches!(op, Sum | Avg | Stddev | Stdvar), 0.0),
            count: when(matches!(op, Avg | Count | Stddev | Stdvar), 0.0),
            incremental: Vec::new(),
            values: if op == Quantile {
                vec![Vec::new(); len]
            } else {
                Vec::new()
            },
            histograms: Vec::new(),
            drop_name: false,
            last_step: None,
        }
    }

    /// The group is marked as its members at the last step at which it has any.
    fn see_name(&mut self, meta: &Meta, column: &Column) {
        let last = (0..column.floats.len())
            .rev()
            .find(|step| column.has(*step));
        if last > self.last_step {
            self.last_step = last;
            self.drop_name = meta.drop_name;
        } else if last.is_some() && last == self.last_step {
            self.drop_name |= meta.drop_name;
        }
    }
}

impl Fold<'_, '_> {
    fn add(&mut self, group: usize, meta: &Meta, column: &Column) {
        let state = &mut self.states[group];
        if self.query.options.delayed_name_removal {
            state.see_name(meta, column);
        }
        if !column.histograms.is_empty() {
            self.add_histograms(group, meta, column);
        }
        let state = &mut self.states[group];
        let floats = column.floats.as_slice();
        match self.op {
            AggregateOp::Sum => {
                let values = state.value.iter_mut().zip(&mut state.aside);
                for (step, (v, (sum, c))) in floats.iter().zip(values).enumerate() {
                    if is_absent(*v) || is_void(&state.histograms, step) {
                        continue;
                    }
                    if is_absent(*sum) {
                        *sum = *v;
                    } else {
                        (*sum, *c) = kahan_add(*v, *sum, *c);
                    }
                }
            }
            AggregateOp::Avg => {
                for (step, v) in floats.iter().enumerate() {
                    if !is_absent(*v) && !is_void(&state.histograms, step) {
                        state.average(step, *v, self.len);
                    }
                }
            }
            AggregateOp::Count => {
                for step in column.present() {
                    state.count[step] += 1.0;
                }
            }
            AggregateOp::Group => {
                for step in column.present() {
                    state.value[step] = 1.0;
                }
            }
            AggregateOp::Max => {
                for (v, max) in floats.iter().zip(&mut state.value) {
                    if !is_absent(*v) && (*max < *v || max.is_nan()) {
                        *max = *v;
                    }
                }
            }
            AggregateOp::Min => {
                for (v, min) in floats.iter().zip(&mut state.value) {
                    if !is_absent(*v) && (*min > *v || min.is_nan()) {
                        *min = *v;
                    }
                }
            }
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                for (step, v) in floats.iter().enumerate() {
                    if !is_absent(*v) {
                        state.deviate(step, *v);
                    }
                }
            }
            AggregateOp::Quantile => {
                for (v, values) in floats.iter().zip(&mut state.values) {
                    if !is_absent(*v) {
                        values.push(*v);
                    }
                }
            }
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::CountValues
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => {}
        }
    }

    fn add_histograms(&mut self, group: usize, meta: &Meta, column: &Column) {
        let ignored = match self.op {
            AggregateOp::Sum | AggregateOp::Avg => None,
            AggregateOp::Count | AggregateOp::Group => return,
            op => Some(op.as_str()),
        };
        if let Some(op) = ignored {
            if column.histograms.iter().any(Option::is_some) {
                self.query
                    .notes
                    .add(Note::HistogramIgnoredInAggregation(op), self.pos);
            }
            return;
        }
        let state = &mut self.states[group];
        if state.histograms.is_empty() {
            state.histograms.resize_with(self.len, || None);
        }
        for (step, h) in column.histograms.iter().enumerate() {
            let Some(h) = h else { continue };
            // After a float the result is void anyway; only that there was one matters.
            let slot = state.histograms[step].get_or_insert_default();
            let after_float =
                !is_absent(state.value[step]) && slot.sum.is_none() && slot.mean.is_none();
            if after_float || slot.incompatible {
                continue;
            }
            slot.hints.see(h);
            match slot.add(self.op, h) {
                Ok(true) => self.query.notes.add(
                    Note::MismatchedCustomBuckets(HistogramOperation::Aggregation),
                    self.pos,
                ),
                Ok(false) => {}
                Err(_) => {
                    slot.incompatible = true;
                    self.query.notes.add(
                        Note::MixedExponentialCustom {
                            metric: meta.labels.metric_name().to_owned(),
                        },
                        self.pos,
                    );
                }
            }
        }
    }
}

/// Histograms that did not fit were seen at the step: as upstream, nothing more is looked at.
#[inline]
fn is_void(histograms: &[Option<Box<HistogramState>>], step: usize) -> bool {
    let slot = histograms.get(step).and_then(Option::as_ref);
    slot.is_some_and(|slot| slot.incompatible)
}

impl HistogramState {
    /// Whether custom bounds had to be reconciled.
    fn add(&mut self, op: AggregateOp, h: &Arc<FloatHistogram>) -> Result<bool, HistogramError> {
        let outcome = if op == AggregateOp::Sum {
            match &mut self.sum {
                Some(sum) => sum.add(h)?,
                none => {
                    *none = Some(HistogramSum::new(h));
                    return Ok(false);
                }
            }
        } else {
            match &mut self.mean {
                Some(mean) => mean.add(h)?,
                none => {
                    *none = Some(HistogramMean::new(h));
                    return Ok(false);
                }
            }
        };
        Ok(outcome.custom_bounds)
    }
}

impl State {
    #[inline]
    fn average(&mut self, step: usize, v: f64, len: usize) {
        self.count[step] += 1.0;
        let count = self.count[step];
        if is_absent(self.value[step]) {
            self.value[step] = v;
            return;
        }
        let incremental = self.incremental.get(step).copied().unwrap_or(false);
        if !incremental {
            let (sum, c) = kahan_add(v, self.value[step], self.aside[step]);
            if !sum.is_infinite() {
                (self.value[step], self.aside[step]) = (sum, c);
                return;
            }
            if self.incremental.is_empty() {
                self.incremental.resize(len, false);
            }
            self.incremental[step] = true;
            self.value[step] /= count - 1.0;
            self.aside[step] /= count - 1.0;
        }
        let q = (count - 1.0) / count;
        (self.value[step], self.aside[step]) =
            kahan_add(v / count, q * self.value[step], q * self.aside[step]);
    }

    #[inline]
    fn deviate(&mut self, step: usize, v: f64) {
        self.count[step] += 1.0;
        if is_absent(self.value[step]) {
            self.aside[step] = v;
            self.value[step] = if v.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = v - self.aside[step];
        self.aside[step] += delta / self.count[step];
        self.value[step] += delta * (v - self.aside[step]);
    }

    fn finish(
        mut self,
        query: &Query<'_>,
        op: AggregateOp,
        pos: PosRange,
        param: &[f64],
    ) -> Column {
        let histograms = std::mem::take(&mut self.histograms);
        let mut column = Column {
            floats: std::mem::take(&mut self.value),
            histograms: Vec::new(),
        };
        match op {
            AggregateOp::Sum => {
                for (sum, c) in column.floats.iter_mut().zip(&self.aside) {
                    if !is_absent(*sum) {
                        *sum += c;
                    }
                }
            }
            AggregateOp::Avg => {
                for (step, v) in column.floats.iter_mut().enumerate() {
                    if is_absent(*v) {
                        continue;
                    }
                    let c = self.aside[step];
                    let count = self.count[step];
                    *v = if self.incremental.get(step).copied().unwrap_or(false) {
                        *v + c
                    } else {
                        *v / count + c / count
                    };
                }
            }
            AggregateOp::Count => {
                for (v, count) in column.floats.iter_mut().zip(&self.count) {
                    if *count > 0.0 {
                        *v = *count;
                    }
                }
            }
            AggregateOp::Stdvar | AggregateOp::Stddev => {
                for (v, count) in column.floats.iter_mut().zip(&self.count) {
                    if !is_absent(*v) {
                        *v /= count;
                        if op == AggregateOp::Stddev {
                            *v = v.sqrt();
                        }
                    }
                }
            }
            AggregateOp::Quantile => {
                for (step, values) in self.values.iter_mut().enumerate() {
                    if !values.is_empty() {
                        column.floats[step] = quantile(param[step], values);
                    }
                }
            }
            _ => {}
        }
        for (step, slot) in histograms.into_iter().enumerate() {
            let Some(slot) = slot else { continue };
            if !is_absent(column.floats[step]) {
                query.notes.add(Note::MixedFloatsHistogramsAggregation, pos);
                column.floats[step] = ABSENT;
                continue;
            }
            if slot.incompatible {
                continue;
            }
            if slot.hints.collide() {
                query
                    .notes
                    .add(Note::ResetCollision(HistogramOperation::Aggregation), pos);
            }
            let result = match (slot.sum, slot.mean) {
                (Some(sum), _) => Some(sum.finish()),
                (None, Some(mean)) => Some(mean.finish()),
                (None, None) => None,
            };
            if let Some(mut h) = result {
                h.compact(0);
                column.set(step, Sample::Histogram(Arc::new(h)));
            }
        }
        column
    }
}
