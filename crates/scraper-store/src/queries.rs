//! What every query goes through, whichever API it came by: a place among those that run, the
//! metrics `prometheus_engine_*`, and the query log.

mod log;
mod stats;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use promql::value::QueryStats;
use promql::{QueryError, QueryResult};
use telemetry::{Counter, Gauge, Summary, SummaryOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use log::QueryLog;
pub(crate) use stats::write_stats;

/// Who asked, for the log.
#[derive(Clone, Debug)]
pub struct Origin {
    pub client: Option<IpAddr>,
    pub method: String,
    pub path: String,
}

/// A query as it was asked.
pub(crate) struct Asked<'a> {
    pub query: &'a str,
    pub start_ms: i64,
    pub end_ms: i64,
    /// 0 for one moment.
    pub step_ms: i64,
    /// How long it waited for its place.
    pub queued: Duration,
    pub origin: Option<&'a Origin>,
}

/// A query's place among those that run, and how long it waited for it.
#[derive(Debug)]
pub(crate) struct Place {
    pub queued: Duration,
    _permit: OwnedSemaphorePermit,
}

/// The gate of all queries.
pub struct Queries {
    places: Arc<Semaphore>,
    running: Gauge,
    samples: Counter,
    samples_read: Counter,
    queue_time: Summary,
    prepare_time: Summary,
    inner_eval: Summary,
    result_sort: Summary,
    /// Set on reload.
    pub log: QueryLog,
    /// The step of subqueries that name none: `global.evaluation_interval`, set on reload.
    pub subquery_step_ms: Arc<AtomicI64>,
}

impl Queries {
    /// A gate for `places` queries at once.
    pub fn new(places: usize, registry: &telemetry::Registry) -> Queries {
        let metrics = registry.with_prefix("prometheus_engine_");
        metrics
            .gauge(
                "queries_concurrent_max",
                "The max number of concurrent queries.",
            )
            .set(places as f64);
        let durations = metrics.summary_vec(
            "query_duration_seconds",
            "Query timings",
            &["slice"],
            SummaryOptions::quantiles(&[(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)]),
        );
        Queries {
            places: Arc::new(Semaphore::new(places)),
            running: metrics.gauge(
                "queries",
                "The current number of queries being executed or waiting.",
            ),
            samples: metrics.counter(
                "query_samples_total",
                "The total number of samples loaded by all queries.",
            ),
            samples_read: metrics.counter(
                "query_samples_read_total",
                "The total number of samples read from storage by all queries.",
            ),
            queue_time: durations.with(&["queue_time"]),
            prepare_time: durations.with(&["prepare_time"]),
            inner_eval: durations.with(&["inner_eval"]),
            result_sort: durations.with(&["result_sort"]),
            log: QueryLog::new(&metrics),
            subquery_step_ms: Arc::new(AtomicI64::new(60_000)),
        }
    }

    /// Waits for a place, at most as long as a query may take.
    ///
    /// # Errors
    /// [`QueryError::Timeout`].
    pub(crate) async fn place(&self, timeout: Duration) -> Result<Place, QueryError> {
        let _waits = self.running.guard();
        let began = Instant::now();
        let waiting = Arc::clone(&self.places).acquire_owned();
        let permit = match tokio::time::timeout(timeout, waiting).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(QueryError::Canceled("query queue")),
            Err(_) => return Err(QueryError::Timeout("query queue")),
        };
        let queued = began.elapsed();
        self.queue_time.observe_duration(queued);
        Ok(Place {
            queued,
            _permit: permit,
        })
    }

    /// A place without waiting; `None` where all are taken, or others wait.
    pub(crate) fn place_at_once(&self) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.queue_time.observe(0.0);
        Some(Place {
            queued: Duration::ZERO,
            _permit: permit,
        })
    }

    /// Runs a query that has its place; counts and logs it.
    pub(crate) fn run(
        &self,
        asked: &Asked<'_>,
        evaluate: impl FnOnce() -> Result<QueryResult, QueryError>,
    ) -> Result<QueryResult, QueryError> {
        let _runs = self.running.guard();
        let result = evaluate();
        let stats = match &result {
            Ok(result) => {
                self.count(&result.stats);
                &result.stats
            }
            // What does not parse never was a query.
            Err(QueryError::Parse(_)) => return result,
            Err(_) => &QueryStats::default(),
        };
        self.log.write(asked, stats, result.as_ref().err());
        result
    }

    fn count(&self, stats: &QueryStats) {
        self.samples.add(stats.samples.total_queryable_samples);
        self.samples_read.add(stats.samples.samples_read);
        self.prepare_time.observe(stats.timings.prepare);
        self.inner_eval.observe(stats.timings.inner_eval);
        self.result_sort.observe(stats.timings.result_sort);
    }
}
