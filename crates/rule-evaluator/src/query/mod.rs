//! Answers to queries: over gRPC from a `thanos.Query` endpoint, or over HTTP from any server with
//! Prometheus' API.

mod grpc;
mod http;

use futures::future::BoxFuture;
use rules::{PartialResponse, QuerySource, Sample};
use tokio::runtime::Handle;

pub use grpc::GrpcSource;
pub use http::{HttpOptions, HttpSource};

/// A server that answers queries.
pub trait Source: Send + Sync {
    /// The answer to `query` at `t_ms`: every sample of every series. `partial` says what to do where
    /// the server cannot reach a part of its data; servers that have all of it pass that over.
    ///
    /// An error is the query's, as the server words it; for a server that cannot be reached, with its
    /// address.
    fn ask<'a>(
        &'a self,
        query: &'a str,
        t_ms: i64,
        partial: PartialResponse,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>>;
}

/// A source for the rules of one group, on threads that may block.
pub struct Blocking<'a> {
    pub source: &'a dyn Source,
    pub partial: PartialResponse,
    pub runtime: &'a Handle,
}

impl QuerySource for Blocking<'_> {
    fn instant(&self, query: &str, t_ms: i64) -> Result<Vec<Sample>, String> {
        self.runtime
            .block_on(self.source.ask(query, t_ms, self.partial))
    }
}
