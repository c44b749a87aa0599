//! Results of rules, to where queries find them: over gRPC to a `thanos.WriteableStore`, or over
//! HTTP to any remote write endpoint.

mod grpc;
mod http;

use std::future::Future;
use std::time::Duration;

use futures::future::BoxFuture;
use rules::{Sample, SampleSink};
use tokio::runtime::Handle;

pub use grpc::GrpcSink;
pub use http::HttpSink;

/// A store that takes samples.
pub trait Sink: Send + Sync {
    /// Stores samples; tries again while the store cannot be reached. They are there for queries when
    /// this is done.
    ///
    /// An error is what the store refused, or that it could not be reached.
    fn send(&self, samples: Vec<Sample>) -> BoxFuture<'_, Result<(), String>>;
}

/// A sink for threads that may block.
pub struct Blocking<'a> {
    pub sink: &'a dyn Sink,
    pub runtime: &'a Handle,
}

impl SampleSink for Blocking<'_> {
    fn write(&self, samples: Vec<Sample>) -> Result<(), String> {
        self.runtime.block_on(self.sink.send(samples))
    }
}

/// How often a write is tried, and how long between tries: a restart of the store is bridged.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);

/// Why a write failed, and so whether to try again.
enum Failed {
    Temporary(String),
    Permanent(String),
}

async fn with_retries<F>(mut attempt: impl FnMut(u32) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), Failed>>,
{
    let mut last = String::new();
    for count in 0..TRIES {
        if count > 0 {
            tokio::time::sleep(PAUSE * 2u32.pow(count - 1)).await;
        }
        match attempt(count).await {
            Ok(()) => return Ok(()),
            Err(Failed::Permanent(error)) => return Err(error),
            Err(Failed::Temporary(error)) => last = error,
        }
    }
    Err(format!("store cannot be reached: {last}"))
}
