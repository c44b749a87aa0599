//! Why a query failed (prometheus/prometheus `promql/engine.go`, `web/api/v1/api.go`).

use storage::StorageError;

/// A query's failure; the texts are upstream's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// The text is no valid query.
    #[error("{0}")]
    Parse(String),
    /// Took longer than it may.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// Its client went away, or the server stops.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// `--query.max-samples` is exceeded.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// Our byte budget is exceeded: the query's, or that of all queries together.
    #[error(
        "query processing would need more than {limit_bytes} bytes of memory for {scope}, at selector {selector}"
    )]
    TooManyBytes {
        limit_bytes: u64,
        /// `this query` or `all queries together`.
        scope: &'static str,
        /// The selector that was being read, as PromQL.
        selector: String,
    },
    /// The query is valid and cannot be evaluated on this data.
    #[error("{0}")]
    Execution(String),
    /// Reading series failed.
    #[error("expanding series: {0}")]
    Storage(#[from] StorageError),
}

impl QueryError {
    /// The HTTP API's `errorType`.
    pub fn error_type(&self) -> &'static str {
        match self {
            QueryError::Parse(_) => "bad_data",
            QueryError::Timeout(_) => "timeout",
            QueryError::Canceled(_) | QueryError::Storage(StorageError::Canceled) => "canceled",
            QueryError::Storage(_) => "internal",
            QueryError::TooManySamples
            | QueryError::TooManyBytes { .. }
            | QueryError::Execution(_) => "execution",
        }
    }
}
