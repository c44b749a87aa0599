//! Answers to queries: over gRPC from a `thanos.Query` endpoint, or over HTTP from any server with
//! Prometheus' API.

mod batch;
mod grpc;
mod http;

use futures::StreamExt;
use futures::future::{self, BoxFuture};
use futures::stream::BoxStream;
use rules::{Answer, PartialResponse, QuerySource, Sample};
use tokio::runtime::Handle;

pub use grpc::GrpcSource;
pub use http::{HttpOptions, HttpSource};

/// Answers, each with its query's position; in any order, one for each query.
pub type Answers = BoxStream<'static, (usize, Answer)>;

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

    /// Answers to all of `queries`, of which the server may evaluate `concurrency` side by side; `None`
    /// where they have to be asked one by one. Each answer is one of [`Source::ask`].
    fn ask_all(
        &self,
        queries: Vec<String>,
        t_ms: i64,
        partial: PartialResponse,
        concurrency: usize,
    ) -> BoxFuture<'_, Option<Answers>> {
        let _ = (queries, t_ms, partial, concurrency);
        Box::pin(future::ready(None))
    }
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

    fn batch(
        &self,
        queries: Vec<String>,
        t_ms: i64,
        concurrency: usize,
        take: &mut dyn FnMut(usize, Answer),
    ) -> bool {
        let source = self.source;
        let asked = source.ask_all(queries, t_ms, self.partial, concurrency);
        let Some(mut answers) = self.runtime.block_on(asked) else {
            return false;
        };
        // Answers are taken outside of the runtime: a rule's templates ask queries of their own.
        while let Some((position, answer)) = self.runtime.block_on(answers.next()) {
            take(position, answer);
        }
        true
    }
}
