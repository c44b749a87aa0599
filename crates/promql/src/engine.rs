//! The engine: from a query text, or its tree, to an answer.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::Queryable;

use crate::ast::Expr;
use crate::cancel::CancelToken;
use crate::features::Features;
use crate::query_error::QueryError;
use crate::value::{QueryResult, StatsLevel};

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
    /// Memory that one query may take, in bytes; zero for no limit.
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
#[derive(Clone, Debug)]
pub struct Engine {
    options: Arc<EngineOptions>,
}

impl Engine {
    /// An engine.
    pub fn new(options: EngineOptions) -> Engine {
        Engine {
            options: Arc::new(options),
        }
    }

    /// The options it was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.options
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
        let _ = (queryable, query, t_ms, options, Instant::now());
        Err(QueryError::Execution("engine is being built".to_owned()))
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
        let _ = (queryable, expr, text, t_ms, options);
        Err(QueryError::Execution("engine is being built".to_owned()))
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
        let _ = (queryable, query, start_ms, end_ms, step_ms, options);
        Err(QueryError::Execution("engine is being built".to_owned()))
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
        let _ = (queryable, expr, text, start_ms, end_ms, step_ms, options);
        Err(QueryError::Execution("engine is being built".to_owned()))
    }
}
