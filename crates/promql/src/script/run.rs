//! Running scripts.

use model::{Annotations, Labels};
use storage::Queryable;

use super::command::{Command, Script, ScriptError};
use super::compare::{EPSILON, almost_equal, histograms_match};
use super::expect::{Annotated, Eval, Expected, Steps, When};
use super::store::Store;
use crate::ast::{At, Expr};
use crate::engine::{Engine, QueryOptions};
use crate::features::Features;
use crate::parse::{SequenceValue, parse_expr};
use crate::query_error::QueryError;
use crate::value::{MatrixSeries, QueryResult, SampleValue, Value, VectorSample};

/// What evaluates the queries of scripts.
pub trait Evaluator: Send + Sync {
    /// Evaluates `query` at one time.
    ///
    /// # Errors
    /// Why it failed, with the text that users see.
    fn instant(
        &self,
        data: &dyn Queryable,
        query: &str,
        t_ms: i64,
    ) -> Result<QueryResult, QueryError>;

    /// Evaluates `query` at every step of a range.
    ///
    /// # Errors
    /// Why it failed, with the text that users see.
    fn range(
        &self,
        data: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError>;
}

impl Evaluator for Engine {
    fn instant(
        &self,
        data: &dyn Queryable,
        query: &str,
        t_ms: i64,
    ) -> Result<QueryResult, QueryError> {
        Engine::instant(self, data, query, t_ms, &QueryOptions::default())
    }

    fn range(
        &self,
        data: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError> {
        let options = QueryOptions::default();
        Engine::range(self, data, query, start_ms, end_ms, step_ms, &options)
    }
}

/// Runs a script against a fresh store.
///
/// # Errors
/// The first thing in it that is wrong or does not hold.
pub fn run(text: &str, engine: &dyn Evaluator) -> Result<(), ScriptError> {
    Script::parse(text)?.run(engine)
}

impl Script {
    /// Runs the script against a fresh store.
    ///
    /// # Errors
    /// The first thing in it that does not hold.
    pub fn run(&self, engine: &dyn Evaluator) -> Result<(), ScriptError> {
        for (eval, store) in self.evals()? {
            eval.check(&store, engine)
                .map_err(|message| ScriptError::new(eval.line, message))?;
        }
        Ok(())
    }

    /// The script's evaluations, each with the data that has been loaded when its turn comes.
    ///
    /// # Errors
    /// Data that cannot be loaded.
    pub fn evals(&self) -> Result<Vec<(&Eval, Store)>, ScriptError> {
        let store = Store::new();
        let mut snapshot = store.snapshot();
        let mut evals = Vec::new();
        for command in &self.commands {
            match command {
                Command::Clear => {
                    store.clear();
                    snapshot = store.snapshot();
                }
                Command::Load { line, load } => {
                    load.store(&store)
                        .map_err(|message| ScriptError::new(*line, message))?;
                    snapshot = store.snapshot();
                }
                Command::Eval(eval) => evals.push((&**eval, snapshot.clone())),
            }
        }
        Ok(evals)
    }
}

impl Eval {
    /// Evaluates the query and compares.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&self, data: &dyn Queryable, engine: &dyn Evaluator) -> Result<(), String> {
        let (start_ms, end_ms, step_ms) = match self.when {
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            } => (start_ms, end_ms, step_ms),
            When::Instant { t_ms } => {
                // The values of a range vector may end elsewhere than at the evaluation time.
                let t_ms = self.range_vector.map_or(t_ms, |steps| steps.end_ms);
                self.check_instant(data, engine, &self.query, t_ms)?;
                for (query, t_ms) in pinned(&self.query, t_ms) {
                    self.check_instant(data, engine, &query, t_ms)?;
                }
                return Ok(());
            }
        };
        let result = engine.range(data, &self.query, start_ms, end_ms, step_ms);
        if let Some(result) = self.unless_failed(&self.query, result)? {
            self.annotations(&self.query, &result.annotations)?;
            self.value(&result.value)
                .map_err(|e| format!("in {}: {e}", self.query))?;
        }
        Ok(())
    }

    fn check_instant(
        &self,
        data: &dyn Queryable,
        engine: &dyn Evaluator,
        query: &str,
        t_ms: i64,
    ) -> Result<(), String> {
        let result = engine.instant(data, query, t_ms);
        let Some(result) = self.unless_failed(query, result)? else {
            return Ok(());
        };
        self.annotations(query, &result.annotations)?;
        self.value(&result.value)
            .map_err(|e| format!("in {query} at {t_ms} ms: {e}"))?;
        let range_differs = self.range_vector.is_some()
            || self.string.is_some()
            || ["start()", "end()", "range()", "step()"]
                .iter()
                .any(|call| query.contains(call));
        if range_differs {
            return Ok(());
        }
        const MINUTE_MS: i64 = 60_000;
        let (start_ms, end_ms) = (t_ms - MINUTE_MS, t_ms + MINUTE_MS);
        let range = engine
            .range(data, query, start_ms, end_ms, MINUTE_MS)
            .map_err(|e| format!("{query} as a range query failed: {e}"))?;
        if self.ordered {
            return Ok(());
        }
        let middle = match range.value {
            Value::Matrix(series) => {
                sorted(&series)?;
                at_time(series, t_ms)
            }
            other => {
                return Err(format!(
                    "{query} as a range query gave {}",
                    other.type_name()
                ));
            }
        };
        let middle = match (&result.value, middle.first()) {
            (Value::Scalar { .. }, Some(sample)) => match sample.value {
                SampleValue::Float(v) => Value::Scalar { t_ms, v },
                SampleValue::Histogram(_) => return Err("a scalar became a histogram".to_owned()),
            },
            (Value::Scalar { .. }, None) => return Err("a scalar has no value".to_owned()),
            _ => Value::Vector(middle),
        };
        self.value(&middle)
            .map_err(|e| format!("in {query} at {t_ms} ms as a range query: {e}"))
    }

    /// The result, or nothing if the query failed as expected.
    fn unless_failed(
        &self,
        query: &str,
        result: Result<QueryResult, QueryError>,
    ) -> Result<Option<QueryResult>, String> {
        match (result, &self.fail) {
            (Ok(result), None) => Ok(Some(result)),
            (Ok(_), Some(_)) => Err(format!("{query} did not fail")),
            (Err(error), None) => Err(format!("{query} failed: {error}")),
            (Err(error), Some(pattern)) => {
                let message = error.to_string();
                if pattern.matches(&message) {
                    return Ok(None);
                }
                Err(format!(
                    "{query} failed with {message:?}, expected {pattern}"
                ))
            }
        }
    }

    fn annotations(&self, query: &str, annotations: &Annotations) -> Result<(), String> {
        let warnings: Vec<&str> = annotations.warnings().collect();
        check_annotations(query, "warn", &self.warnings, &warnings)?;
        let infos: Vec<&str> = annotations.infos().collect();
        check_annotations(query, "info", &self.infos, &infos)
    }

    fn value(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::Scalar { v, .. } => match self.scalar {
                Some(expected) if almost_equal(expected, *v, EPSILON) => Ok(()),
                Some(expected) => Err(format!("got scalar {v}, expected {expected}")),
                None => Err(format!("got scalar {v}, expected series")),
            },
            Value::String { s, .. } => {
                let expected = self.string.as_deref().unwrap_or_default();
                if s == expected {
                    return Ok(());
                }
                Err(format!("got string {s:?}, expected {expected:?}"))
            }
            Value::Vector(samples) => self.vector(samples),
            Value::Matrix(series) => self.matrix(series),
        }
    }

    fn vector(&self, samples: &[VectorSample]) -> Result<(), String> {
        if self.scalar.is_some() {
            return Err("got a vector, expected a scalar".to_owned());
        }
        for (position, sample) in samples.iter().enumerate() {
            let labels = &sample.labels;
            let expected = self
                .series
                .get(labels)
                .ok_or_else(|| format!("unexpected {labels} = {}", show(&sample.value)))?;
            if self.ordered && expected.position != position {
                return Err(format!(
                    "{labels} is at position {position}, expected {}",
                    expected.position
                ));
            }
            let wanted = expected
                .values
                .first()
                .ok_or_else(|| format!("no value is expected for {labels}"))?;
            if !same_value(wanted, &sample.value) {
                return Err(format!(
                    "{labels} is {}, expected {}",
                    show(&sample.value),
                    show_expected(wanted)
                ));
            }
        }
        self.all_found(samples.iter().map(|sample| &sample.labels))
    }

    fn all_found<'a>(&self, found: impl Iterator<Item = &'a Labels> + Clone) -> Result<(), String> {
        for (labels, expected) in &self.series {
            match found.clone().filter(|present| *present == labels).count() {
                1 => {}
                0 => {
                    let values: Vec<String> = expected.values.iter().map(show_expected).collect();
                    return Err(format!("{labels} = {} is missing", values.join(" ")));
                }
                _ => return Err(format!("{labels} comes more than once")),
            }
        }
        Ok(())
    }

    fn matrix(&self, matrix: &[MatrixSeries]) -> Result<(), String> {
        if self.ordered {
            return Err("expected ordered result, but query returned a matrix".to_owned());
        }
        if self.scalar.is_some() {
            return Err("got a matrix, expected a scalar".to_owned());
        }
        let steps = match (self.when, self.range_vector) {
            (_, Some(steps)) => steps,
            (
                When::Range {
                    start_ms,
                    end_ms,
                    step_ms,
                },
                None,
            ) => Steps {
                start_ms,
                end_ms,
                step_ms,
            },
            (When::Instant { t_ms }, None) => Steps {
                start_ms: t_ms,
                end_ms: t_ms,
                step_ms: 0,
            },
        };
        sorted(matrix)?;
        for series in matrix {
            let labels = &series.labels;
            let expected = self
                .series
                .get(labels)
                .ok_or_else(|| format!("unexpected {}", show_series(series)))?;
            matrix_series(series, expected, steps).map_err(|e| format!("{labels}: {e}"))?;
        }
        self.all_found(matrix.iter().map(|series| &series.labels))
    }
}

fn check_annotations(
    query: &str,
    kind: &str,
    expected: &Annotated,
    found: &[&str],
) -> Result<(), String> {
    if expected.none && !found.is_empty() {
        return Err(format!("{query}: unexpected {kind} annotations {found:?}"));
    }
    if expected.some && found.is_empty() {
        return Err(format!("{query}: no {kind} annotations"));
    }
    for pattern in &expected.patterns {
        if !found.iter().any(|text| pattern.matches(text)) {
            return Err(format!(
                "{query}: no {kind} annotation matches {pattern}, found {found:?}"
            ));
        }
    }
    if !expected.patterns.is_empty() {
        for text in found {
            if !expected
                .patterns
                .iter()
                .any(|pattern| pattern.matches(text))
            {
                return Err(format!("{query}: unexpected {kind} annotation {text:?}"));
            }
        }
    }
    Ok(())
}

fn matrix_series(series: &MatrixSeries, expected: &Expected, steps: Steps) -> Result<(), String> {
    let mut floats = Vec::new();
    let mut histograms = Vec::new();
    for (i, value) in expected.values.iter().enumerate() {
        let t_ms = steps.start_ms + i as i64 * steps.step_ms;
        if t_ms > steps.end_ms {
            return Err(format!(
                "{} points are expected, more than the time range has",
                expected.values.len()
            ));
        }
        match value {
            SequenceValue::Omitted => {}
            SequenceValue::Float(v) => floats.push((t_ms, *v)),
            SequenceValue::Histogram {
                histogram,
                hint_given,
            } => histograms.push((t_ms, histogram, *hint_given)),
        }
    }
    if floats.len() != series.floats.len() || histograms.len() != series.histograms.len() {
        return Err(format!(
            "expected {} floats and {} histograms, got {}",
            floats.len(),
            histograms.len(),
            show_series(series)
        ));
    }
    let got = series.float_ms.iter().zip(&series.floats);
    for ((t_ms, wanted), (got_ms, got)) in floats.into_iter().zip(got) {
        if t_ms != *got_ms || !almost_equal(wanted, *got, EPSILON) {
            return Err(format!(
                "expected {wanted} at {t_ms} ms, got {got} at {got_ms} ms in {}",
                show_series(series)
            ));
        }
    }
    let got = series.histogram_ms.iter().zip(&series.histograms);
    for ((t_ms, wanted, with_hint), (got_ms, got)) in histograms.into_iter().zip(got) {
        if t_ms != *got_ms || !histograms_match(wanted, got, with_hint) {
            return Err(format!(
                "expected {} at {t_ms} ms, got {} at {got_ms} ms",
                wanted.test_expression(),
                got.test_expression()
            ));
        }
    }
    Ok(())
}

fn same_value(expected: &SequenceValue, got: &SampleValue) -> bool {
    match (expected, got) {
        (SequenceValue::Float(expected), SampleValue::Float(got)) => {
            almost_equal(*expected, *got, EPSILON)
        }
        (
            SequenceValue::Histogram {
                histogram,
                hint_given,
            },
            SampleValue::Histogram(got),
        ) => histograms_match(histogram, got, *hint_given),
        _ => false,
    }
}

fn show(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(v) => v.to_string(),
        SampleValue::Histogram(h) => h.test_expression(),
    }
}

fn show_expected(value: &SequenceValue) -> String {
    match value {
        SequenceValue::Omitted => "_".to_owned(),
        SequenceValue::Float(v) if model::is_stale(*v) => "stale".to_owned(),
        SequenceValue::Float(v) => v.to_string(),
        SequenceValue::Histogram { histogram, .. } => histogram.test_expression(),
    }
}

fn show_series(series: &MatrixSeries) -> String {
    let floats = series.float_ms.iter().zip(&series.floats);
    let floats = floats.map(|(t_ms, v)| format!("{v} @{t_ms}"));
    let histograms = series.histogram_ms.iter().zip(&series.histograms);
    let histograms = histograms.map(|(t_ms, h)| format!("{} @{t_ms}", h.test_expression()));
    let points: Vec<String> = floats.chain(histograms).collect();
    format!("{} [{}]", series.labels, points.join(", "))
}

fn sorted(matrix: &[MatrixSeries]) -> Result<(), String> {
    for pair in matrix.windows(2) {
        if pair[0].labels > pair[1].labels {
            return Err(format!(
                "matrix is not sorted by labels: {} before {}",
                pair[0].labels, pair[1].labels
            ));
        }
    }
    Ok(())
}

/// The samples of a matrix at one time.
fn at_time(matrix: Vec<MatrixSeries>, t_ms: i64) -> Vec<VectorSample> {
    let mut samples = Vec::new();
    for series in matrix {
        let position = |times: &[i64]| times.iter().position(|t| *t == t_ms);
        let value = match (position(&series.float_ms), position(&series.histogram_ms)) {
            (Some(i), _) => SampleValue::Float(series.floats[i]),
            (None, Some(i)) => SampleValue::Histogram(series.histograms[i].clone()),
            (None, None) => continue,
        };
        samples.push(VectorSample {
            labels: series.labels,
            t_ms,
            value,
        });
    }
    samples
}

/// The query with its selectors and subqueries pinned to `t_ms`, and other times at which it then
/// has to give the same answer. None for queries that depend on the evaluation time otherwise.
fn pinned(query: &str, t_ms: i64) -> Vec<(String, i64)> {
    let Ok(mut expr) = parse_expr(query, Features::ALL) else {
        return Vec::new();
    };
    if !pin(&mut expr, t_ms) {
        return Vec::new();
    }
    let times = match t_ms {
        0 => vec![-1000, 0, 1000],
        t => vec![-10 * t, 0, t / 5, t, 10 * t],
    };
    let query = expr.to_string();
    times
        .into_iter()
        .map(|t_ms| (query.clone(), t_ms))
        .collect()
}

/// Functions whose result depends on the evaluation time, or on the samples' timestamps.
const TIME_FUNCTIONS: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// Pins what has no timestamp yet; what is inside a subquery follows the subquery. Returns whether
/// the expression allows it.
fn pin(expr: &mut Expr, t_ms: i64) -> bool {
    let set = |at: &mut Option<At>| {
        if !matches!(at, Some(At::TimestampMs(_))) {
            *at = Some(At::TimestampMs(t_ms));
        }
        true
    };
    match expr {
        Expr::Vector(selector) => return set(&mut selector.at),
        Expr::Matrix(matrix) => return set(&mut matrix.selector.at),
        Expr::Subquery(subquery) => return set(&mut subquery.at),
        Expr::Call(call) if TIME_FUNCTIONS.contains(&call.func.name) => return false,
        _ => {}
    }
    let mut allowed = true;
    expr.for_each_child_mut(|child| allowed &= pin(child, t_ms));
    allowed
}
