//! The engine: from a query text, or its tree, to an answer.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use storage::Queryable;

use crate::annotate::Notes;
use crate::ast::{Expr, ValueType};
use crate::budget::QueryBytes;
use crate::cancel::CancelToken;
use crate::exec;
use crate::features::Features;
use crate::plan::{self, QueryTimes};
use crate::query_error::QueryError;
use crate::regexps::Regexps;
use crate::value::{QueryResult, QueryStats, SampleStats, StatsLevel, Timings, Value};

/// Upstream's `--query.lookback-delta`.
pub const DEFAULT_LOOKBACK_DELTA_MS: i64 = 5 * 60_000;

/// How an engine works; everything that upstream's flags set.
#[derive(Clone)]
pub struct EngineOptions {
    /// `--query.max-samples`: samples held at once, counted as upstream counts them.
    pub max_samples: u64,
    /// `--query.timeout`; zero for none.
    pub timeout: Duration,
    /// `--query.lookback-delta`; zero or less for the default of five minutes.
    pub lookback_delta_ms: i64,
    /// The step of a subquery without one, from its range (both in milliseconds): the server's
    /// global evaluation interval.
    pub default_subquery_step: Arc<dyn Fn(i64) -> i64 + Send + Sync>,
    /// What the parser accepts.
    pub features: Features,
    /// `promql-delayed-name-removal`.
    pub delayed_name_removal: bool,
    /// `type-and-unit-labels`.
    pub type_and_unit_labels: bool,
    /// Start timestamps stored with samples tell counter resets apart (`use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// Memory that one query may take for intermediate results, in bytes; zero for 32 bytes each of
    /// `max_samples`, then with the error for too many samples.
    pub max_query_bytes: u64,
    /// Memory that all running queries may take together, in bytes; zero for no limit.
    pub total_bytes: u64,
    /// Threads that one query may use; zero for as many as there are cores.
    pub threads: usize,
}

impl Default for EngineOptions {
    /// The defaults of upstream's server.
    fn default() -> EngineOptions {
        EngineOptions {
            max_samples: 50_000_000,
            timeout: Duration::from_secs(120),
            lookback_delta_ms: DEFAULT_LOOKBACK_DELTA_MS,
            default_subquery_step: Arc::new(|_| 60_000),
            features: Features::default(),
            delayed_name_removal: false,
            type_and_unit_labels: false,
            use_start_timestamps: false,
            max_query_bytes: 0,
            total_bytes: 0,
            threads: 0,
        }
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions")
            .field("max_samples", &self.max_samples)
            .field("timeout", &self.timeout)
            .field("lookback_delta_ms", &self.lookback_delta_ms)
            .field("features", &self.features)
            .field("delayed_name_removal", &self.delayed_name_removal)
            .field("type_and_unit_labels", &self.type_and_unit_labels)
            .field("use_start_timestamps", &self.use_start_timestamps)
            .field("max_query_bytes", &self.max_query_bytes)
            .field("total_bytes", &self.total_bytes)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// What one query changes.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Instead of the engine's lookback delta, if more than zero.
    pub lookback_delta_ms: Option<i64>,
    /// Stops the query.
    pub cancel: CancelToken,
    pub stats: StatsLevel,
}

/// Evaluates queries. Shared by all of them; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    options: Arc<EngineOptions>,
    /// Bytes that running queries hold.
    bytes: Arc<AtomicU64>,
    /// Threads to compute columns on; none where one thread does it all.
    pool: Option<Arc<rayon::ThreadPool>>,
    regexps: Arc<Regexps>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("options", &self.options)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine.
    pub fn new(options: EngineOptions) -> Engine {
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let pool = (threads > 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("promql-{i}"))
                    .build()
                    // Without threads queries run on their callers' alone.
                    .ok()
            })
            .flatten()
            .map(Arc::new);
        Engine {
            options: Arc::new(options),
            bytes: Arc::new(AtomicU64::new(0)),
            pool,
            regexps: Arc::default(),
        }
    }

    /// The options it was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Bytes that running queries hold at the moment, as far as they are counted.
    pub fn bytes_in_use(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Evaluates `query` at one time.
    ///
    /// # Errors
    /// [`QueryError`], with upstream's text.
    pub fn instant(
        &self,
        queryable: &dyn Queryable,
        query: &str,
        t_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let expr = self.parse(query)?;
        self.instant_expr(queryable, &expr, query, t_ms, options)
    }

    /// [`Engine::instant`] for a parsed query. `text` is what positions in annotations refer to; empty
    /// for annotations without positions.
    ///
    /// # Errors
    /// [`QueryError`], with upstream's text.
    pub fn instant_expr(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        text: &str,
        t_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let times = QueryTimes {
            start_ms: t_ms,
            end_ms: t_ms,
            step_ms: 0,
        };
        self.run(queryable, expr, text, times, Kind::Instant, options)
    }

    /// Evaluates `query` at `start_ms`, `start_ms + step_ms`, ... up to and including `end_ms`.
    ///
    /// # Errors
    /// [`QueryError`], with upstream's text.
    pub fn range(
        &self,
        queryable: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let expr = self.parse(query)?;
        self.range_expr(queryable, &expr, query, start_ms, end_ms, step_ms, options)
    }

    /// [`Engine::range`] for a parsed query; `text` as for [`Engine::instant_expr`].
    ///
    /// # Errors
    /// [`QueryError`], with upstream's text.
    #[expect(clippy::too_many_arguments, reason = "the parameters of a range query")]
    pub fn range_expr(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        text: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let value_type = expr.value_type();
        if !matches!(value_type, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::Parse(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                value_type.documented()
            )));
        }
        let times = QueryTimes {
            start_ms,
            end_ms,
            step_ms: step_ms.max(0),
        };
        self.run(queryable, expr, text, times, Kind::Range, options)
    }

    /// The tree of a query.
    ///
    /// # Errors
    /// [`QueryError::Parse`].
    pub fn parse(&self, query: &str) -> Result<Expr, QueryError> {
        crate::parse::parse_expr(query, self.options.features)
            .map_err(|errors| QueryError::Parse(errors.to_string()))
    }

    /// Whether a query takes less time than handing it to another thread: a few tenths of a
    /// millisecond, with all samples in memory. When in doubt it is not.
    pub fn is_small(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
    ) -> bool {
        let times = QueryTimes {
            start_ms,
            end_ms,
            step_ms,
        };
        let lookback_ms = self
            .options
            .lookback_delta_ms
            .max(DEFAULT_LOOKBACK_DELTA_MS);
        depth(expr) <= SHALLOW && plan::is_small(queryable, expr, times, lookback_ms)
    }

    fn run(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        text: &str,
        times: QueryTimes,
        kind: Kind,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        if depth(expr) <= SHALLOW {
            return self.evaluate(queryable, expr, text, times, kind, options);
        }
        // Deep trees need a deep stack.
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new()
                .name("promql-deep".to_owned())
                .stack_size(DEEP_STACK_BYTES)
                .spawn_scoped(scope, || {
                    self.evaluate(queryable, expr, text, times, kind, options)
                });
            match worker.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                Err(error) => Err(QueryError::Execution(format!(
                    "no thread for a deeply nested query: {error}"
                ))),
            }
        })
    }

    fn evaluate(
        &self,
        queryable: &dyn Queryable,
        expr: &Expr,
        text: &str,
        times: QueryTimes,
        kind: Kind,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let began = Instant::now();
        let mut cancel = options.cancel.clone();
        if !self.options.timeout.is_zero()
            && let Some(deadline) = began.checked_add(self.options.timeout)
        {
            cancel = cancel.with_deadline(deadline);
        }
        cancel.check("query execution")?;
        let lookback_ms = match options.lookback_delta_ms {
            Some(lookback) if lookback > 0 => lookback,
            _ if self.options.lookback_delta_ms > 0 => self.options.lookback_delta_ms,
            _ => DEFAULT_LOOKBACK_DELTA_MS,
        };
        let times = QueryTimes {
            start_ms: plan::within_reach(times.start_ms),
            end_ms: plan::within_reach(times.end_ms),
            ..times
        };
        let plan = plan::prepare(expr, times)?;
        let (min_ms, max_ms) = plan::time_range(&plan, times.start_ms, times.end_ms, lookback_ms);
        let querier = queryable.querier(min_ms, max_ms)?;
        let query = exec::Query {
            options: &self.options,
            text,
            querier: &*querier,
            times,
            lookback_ms,
            cancel,
            stats: options.stats,
            pool: self.pool.as_deref(),
            regexps: &self.regexps,
            bytes: QueryBytes::new(
                self.options.max_query_bytes,
                self.options.max_samples,
                &self.bytes,
                self.options.total_bytes,
            ),
            notes: Notes::default(),
            selections: Mutex::default(),
            samples_read: AtomicU64::new(0),
            repeated: plan::Repeated::of(&plan),
            kept: Mutex::default(),
            discarded: exec::Looked::default(),
        };
        let looked = exec::Looked::default();
        let grid = grid(times);
        grid.check(self.options.max_samples)?;
        let scope = exec::Scope {
            grid,
            path: Vec::new(),
            looked: &looked,
            uneven: grid.ends_before(times.end_ms),
            only_labels: None,
        };
        let prepared = Instant::now();
        let (value, usage) = match kind {
            Kind::Instant => exec::instant(&query, &plan, &scope)?,
            Kind::Range if grid.len == 0 => (Value::Matrix(Vec::new()), exec::Usage::empty(0)),
            Kind::Range => exec::range(&query, &plan, &scope)?,
        };
        if usage.peak > self.options.max_samples {
            return Err(QueryError::TooManySamples);
        }
        let evaluated = Instant::now();
        let per_step = std::mem::take(
            &mut *looked
                .per_step
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        Ok(QueryResult {
            value,
            annotations: query.notes.render(text, expr),
            stats: QueryStats {
                samples: SampleStats {
                    total_queryable_samples: looked.total.load(Ordering::Relaxed),
                    peak_samples: usage.peak,
                    samples_read: query.samples_read.load(Ordering::Relaxed),
                    per_step: if options.stats == StatsLevel::PerStep {
                        grid.times()
                            .zip(per_step.into_iter().chain(std::iter::repeat(0)))
                            .collect()
                    } else {
                        Vec::new()
                    },
                },
                timings: Timings {
                    prepare: (prepared - began).as_secs_f64(),
                    inner_eval: (evaluated - prepared).as_secs_f64(),
                    result_sort: 0.0,
                },
            },
        })
    }
}

/// Trees up to this depth are evaluated on the caller's stack.
const SHALLOW: usize = 48;
/// Enough for the deepest tree that the parser accepts.
const DEEP_STACK_BYTES: usize = 64 << 20;

fn depth(expr: &Expr) -> usize {
    let mut deepest = 0;
    let mut rest = vec![(expr, 1)];
    while let Some((expr, depth)) = rest.pop() {
        deepest = deepest.max(depth);
        expr.for_each_child(|child| rest.push((child, depth + 1)));
    }
    deepest
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Instant,
    Range,
}

fn grid(times: QueryTimes) -> exec::Grid {
    let len = if times.end_ms < times.start_ms {
        0
    } else if times.step_ms == 0 {
        1
    } else {
        ((times.end_ms - times.start_ms) / times.step_ms + 1) as usize
    };
    exec::Grid {
        start: times.start_ms,
        step: times.step_ms.max(1),
        len,
    }
}
