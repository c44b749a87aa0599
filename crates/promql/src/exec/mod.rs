//! Evaluation: operators over columns.
//!
//! [`eval`] walks the planned tree. An instant vector comes back as a [`Vect`]: the series are
//! known, their columns may still have to be computed, one by one, on several threads, when
//! somebody asks for them ([`vect`]). Aggregations ask for one column at a time and keep none.
//! Everything that can fail on data fails when columns are computed.

mod aggregate;
mod aggregate_k;
mod answer;
mod binary;
mod call;
mod columns;
mod count_values;
mod histogram_quantile;
mod info;
mod join;
mod labels;
mod same_times;
mod samples;
mod scalar;
mod select;
mod selector;
mod set_ops;
mod share;
mod sort;
mod subquery;
mod usage;
mod vect;
mod window;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use storage::Querier;

pub(crate) use answer::{instant, range};
pub(crate) use columns::{Column, Grid, Sample, is_absent};
pub(crate) use usage::Usage;
pub(crate) use vect::Vect;

use crate::annotate::Notes;
use crate::ast::{Expr, UnaryOp};
use crate::cancel::CancelToken;
use crate::engine::EngineOptions;
use crate::plan::QueryTimes;
use crate::query_error::QueryError;
use crate::value::StatsLevel;

/// What upstream's messages call the evaluation.
pub(crate) const PHASE: &str = "expression evaluation";

/// One query while it runs.
pub(crate) struct Query<'q> {
    pub options: &'q EngineOptions,
    /// The text of the query, or nothing.
    pub text: &'q str,
    pub querier: &'q dyn Querier,
    pub times: QueryTimes,
    pub lookback_ms: i64,
    pub cancel: CancelToken,
    pub stats: StatsLevel,
    pub pool: Option<&'q rayon::ThreadPool>,
    pub regexps: &'q crate::regexps::Regexps,
    pub bytes: crate::budget::QueryBytes<'q>,
    pub notes: Notes,
    pub selections: Mutex<HashMap<select::Key, std::sync::Arc<select::Selected>>>,
    pub samples_read: AtomicU64,
    /// Subtrees that occur again, and the results of those that were evaluated.
    pub repeated: crate::plan::Repeated,
    pub kept: Mutex<HashMap<share::Key, share::Kept>>,
    /// What is looked at inside of subqueries: upstream counts their results instead.
    pub discarded: Looked,
}

/// Where an expression stands: at which times it is evaluated, and below what.
#[derive(Clone)]
pub(crate) struct Scope<'s> {
    pub grid: Grid,
    /// The functions and aggregations around, outermost first; `None` is a subquery.
    pub path: Vec<Option<&'static str>>,
    /// Samples looked at are counted here.
    pub looked: &'s Looked,
    /// The evaluation goes on for less than a step after the last one: upstream then takes a single
    /// step for several.
    pub uneven: bool,
    /// Nobody looks at other labels of the selected series than these.
    pub only_labels: Option<Vec<String>>,
}

impl<'s> Scope<'s> {
    /// The scope of an argument of `name`.
    pub(crate) fn below(&self, name: &'static str) -> Scope<'s> {
        let mut below = self.clone();
        below.path.push(Some(name));
        below
    }

    /// The same place at other times.
    pub(crate) fn at(&self, grid: Grid) -> Scope<'s> {
        Scope {
            grid,
            uneven: false,
            ..self.clone()
        }
    }
}

/// Samples that selectors looked at, in all and by step.
#[derive(Default)]
pub(crate) struct Looked {
    pub total: AtomicU64,
    /// By step of the grid, where asked for.
    pub per_step: Mutex<Vec<u64>>,
}

impl Looked {
    pub(crate) fn add(&self, level: StatsLevel, by_step: &[u64]) {
        self.total
            .fetch_add(by_step.iter().sum::<u64>(), Ordering::Relaxed);
        if level == StatsLevel::PerStep {
            let mut per_step = self
                .per_step
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if per_step.len() < by_step.len() {
                per_step.resize(by_step.len(), 0);
            }
            for (sum, count) in per_step.iter_mut().zip(by_step) {
                *sum += count;
            }
        }
    }
}

impl Looked {
    /// All that was counted by steps of a subquery counts for the one step of the query.
    fn gather(&self) {
        let per_step = self.per_step.lock();
        let mut per_step = per_step.unwrap_or_else(std::sync::PoisonError::into_inner);
        if !per_step.is_empty() {
            *per_step = vec![per_step.iter().sum()];
        }
    }

    /// What was counted so far, for [`Looked::since`].
    fn seen(&self, level: StatsLevel) -> Vec<u64> {
        if level == StatsLevel::PerStep {
            let per_step = self.per_step.lock();
            return per_step
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone();
        }
        vec![self.total.load(Ordering::Relaxed)]
    }

    /// What was counted since, so that [`Looked::add`] counts it once more.
    fn since(&self, level: StatsLevel, before: &[u64]) -> Vec<u64> {
        let mut now = self.seen(level);
        for (now, before) in now.iter_mut().zip(before) {
            *now -= before;
        }
        now
    }
}

/// The value of an expression at every step of a grid.
pub(crate) enum Out<'q> {
    Scalar { values: Vec<f64>, usage: Usage },
    Vector(Vect<'q>),
    String(String),
}

/// Evaluates an expression that is no range vector.
pub(crate) fn eval<'q>(
    query: &'q Query<'q>,
    expr: &'q Expr,
    scope: &Scope<'q>,
) -> Result<Out<'q>, QueryError> {
    query.cancel.check(PHASE)?;
    match query.repeated.number(expr) {
        Some(number) => share::shared(query, number, scope, || eval_alone(query, expr, scope)),
        None => eval_alone(query, expr, scope),
    }
}

fn eval_alone<'q>(
    query: &'q Query<'q>,
    expr: &'q Expr,
    scope: &Scope<'q>,
) -> Result<Out<'q>, QueryError> {
    match expr {
        Expr::Number(literal) => Ok(scalar::constant(literal.value, scope.grid.len)),
        Expr::String(literal) => Ok(Out::String(literal.value.clone())),
        Expr::Paren(paren) => eval(query, &paren.expr, scope),
        Expr::StepInvariant(inner) => once(query, inner, scope),
        Expr::Unary(unary) => {
            let inner = eval(query, &unary.expr, scope)?;
            match unary.op {
                UnaryOp::Plus => Ok(inner),
                UnaryOp::Minus => negate(query, inner),
            }
        }
        Expr::Vector(selector) => selector::instant(query, selector, scope).map(Out::Vector),
        Expr::Binary(binary) => binary::eval(query, binary, expr.pos(), scope),
        Expr::Call(call) => call::eval(query, call, scope),
        Expr::Aggregate(aggregate) => aggregate::eval(query, aggregate, scope).map(Out::Vector),
        Expr::Matrix(_) | Expr::Subquery(_) => Err(QueryError::Execution(
            "cannot do range evaluation of matrix selector".to_owned(),
        )),
    }
}

/// Evaluates an expression whose type is instant vector.
pub(crate) fn eval_vector<'q>(
    query: &'q Query<'q>,
    expr: &'q Expr,
    scope: &Scope<'q>,
) -> Result<Vect<'q>, QueryError> {
    match eval(query, expr, scope)? {
        Out::Vector(vect) => Ok(vect),
        Out::Scalar { .. } | Out::String(_) => Err(wrong_type("instant vector")),
    }
}

/// Evaluates an expression whose type is scalar.
pub(crate) fn eval_scalar<'q>(
    query: &'q Query<'q>,
    expr: &'q Expr,
    scope: &Scope<'q>,
) -> Result<(Vec<f64>, Usage), QueryError> {
    match eval(query, expr, scope)? {
        Out::Scalar { values, usage } => Ok((values, usage)),
        Out::Vector(_) | Out::String(_) => Err(wrong_type("scalar")),
    }
}

fn wrong_type(wanted: &str) -> QueryError {
    QueryError::Execution(format!("unexpected type of an operand, wanted {wanted}"))
}

pub(crate) fn failed<T>(text: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError::Execution(text.into()))
}

/// Upstream's text where two series of a result have the same labels.
pub(crate) fn same_labelset<T>() -> Result<T, QueryError> {
    failed("vector cannot contain metrics with the same labelset")
}

/// Evaluates at the first step and repeats the value.
fn once<'q>(
    query: &'q Query<'q>,
    inner: &'q Expr,
    scope: &Scope<'q>,
) -> Result<Out<'q>, QueryError> {
    let len = scope.grid.len;
    let looked_before = scope.looked.total.load(Ordering::Relaxed);
    let out = eval(query, inner, &scope.at(scope.grid.first_only()))?;
    if len <= 1 {
        return Ok(out);
    }
    let repeated = |usage: &Usage| {
        let first = usage.counts.first().copied().unwrap_or(0);
        let extra = usage.extra.first().copied();
        let mut repeated = Usage {
            counts: vec![first; len],
            extra: extra.map_or_else(Vec::new, |extra| vec![extra; len]),
            peak: 0,
        };
        repeated.peak = usage.peak.max(repeated.total());
        repeated
    };
    let out = match out {
        Out::Scalar { values, usage } => Out::Scalar {
            values: vec![values.first().copied().unwrap_or(f64::NAN); len],
            usage: repeated(&usage),
        },
        Out::Vector(vect) => {
            let vect::Held {
                metas,
                columns,
                usage,
                charge: _charge,
            } = vect.materialize(query)?;
            let (metas, columns) = metas
                .into_iter()
                .zip(columns)
                .filter(|(_, column)| !column.is_empty())
                .map(|(meta, column)| {
                    let mut wide = Column::absent(len);
                    match column.get(0) {
                        Some(Sample::Float(v)) => wide.floats.fill(v),
                        Some(Sample::Histogram(h)) => wide.histograms = vec![Some(h); len],
                        None => {}
                    }
                    (meta, wide)
                })
                .unzip();
            Out::Vector(Vect::ready(query, metas, columns, repeated(&usage))?)
        }
        Out::String(s) => Out::String(s),
    };
    // Upstream counts what the one evaluation looked at for every step.
    let looked = scope.looked.total.load(Ordering::Relaxed) - looked_before;
    let mut repeated = vec![looked; len];
    repeated[0] = 0;
    scope.looked.add(query.stats, &repeated);
    Ok(out)
}

fn negate<'q>(query: &'q Query<'q>, inner: Out<'q>) -> Result<Out<'q>, QueryError> {
    Ok(match inner {
        Out::Scalar { mut values, usage } => {
            values.iter_mut().for_each(|v| *v = -*v);
            Out::Scalar { values, usage }
        }
        Out::Vector(vect) => {
            let negated = vect.map_uncounted(|column: &mut Column| {
                column.map_floats(|v| -v);
                for h in column.histograms.iter_mut().flatten() {
                    let mut negative = model::FloatHistogram::clone(h);
                    negative.mul(-1.0);
                    *h = std::sync::Arc::new(negative);
                }
            });
            Out::Vector(negated.without_name(query, vect::Clash::Merge)?)
        }
        Out::String(s) => Out::String(s),
    })
}
