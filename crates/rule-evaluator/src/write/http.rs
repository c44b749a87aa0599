//! Results by remote write 1.0.

use futures::future::BoxFuture;
use proto::thanos::WriteRequest;
use remote::push::Push;
use rules::Sample;

use super::grpc::series;
use super::{Failed, Sink, with_retries};

/// A remote write endpoint.
pub struct HttpSink {
    push: Push,
}

impl HttpSink {
    /// Writes by `push`.
    pub fn new(push: Push) -> HttpSink {
        HttpSink { push }
    }
}

impl Sink for HttpSink {
    fn send(&self, samples: Vec<Sample>) -> BoxFuture<'_, Result<(), String>> {
        // Its one field that is set is that of `prometheus.WriteRequest`.
        let body = remote::push::body(&WriteRequest {
            timeseries: series(samples),
            ..WriteRequest::default()
        });
        Box::pin(with_retries(move |_| {
            let body = body.clone();
            async move {
                self.push
                    .send(body)
                    .await
                    .map_err(|error| match error.is_temporary(true) {
                        true => Failed::Temporary(error.text),
                        false => Failed::Permanent(error.text),
                    })
            }
        }))
    }
}
