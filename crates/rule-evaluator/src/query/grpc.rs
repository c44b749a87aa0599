//! Queries over gRPC.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use proto::convert::{AnyHistogram, histogram_from_prometheus, labels_from_thanos};
use proto::firewatch::rules::v1::evaluation_client::EvaluationClient;
use proto::prometheus_copy::TimeSeries;
use proto::thanos::query_client::QueryClient;
use proto::thanos::{QueryRequest, query_response};
use rules::{Answer, PartialResponse, Sample, SampleValue};
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use super::batch::{Batch, Refused, describe, silent};
use super::{Answers, Source};

/// Request metadata: the evaluation time in milliseconds; see scraper-store's `grpc/query.rs`. A
/// Thanos Querier passes it over and evaluates at the whole second.
const EXACT_TIME: &str = "firewatch-time-ms";
/// Answers of up to this size are taken.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// A server that ends a query which takes too long gets this much longer to say so.
const SLACK: Duration = Duration::from_secs(10);
/// A server that does not know batches is asked again after this long: another one may have taken its
/// place.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// A `thanos.Query` endpoint: a scraper-store or a Thanos Querier.
pub struct GrpcSource {
    client: QueryClient<Channel>,
    /// For whole levels of rules; a scraper-store knows it.
    batches: EvaluationClient<Channel>,
    /// Until when the server counts as one that does not know batches.
    without_batches: Mutex<Option<Instant>>,
    timeout: Duration,
    address: Arc<str>,
}

impl GrpcSource {
    /// Queries the endpoint behind `channel`; `address` names it in errors.
    pub fn new(channel: Channel, address: &str, timeout: Duration) -> GrpcSource {
        let client = QueryClient::new(channel.clone());
        let batches = EvaluationClient::new(channel);
        GrpcSource {
            client: client.max_decoding_message_size(MAX_ANSWER_BYTES),
            batches: batches.max_decoding_message_size(MAX_ANSWER_BYTES),
            without_batches: Mutex::default(),
            timeout,
            address: address.into(),
        }
    }

    async fn query(
        &self,
        query: &str,
        t_ms: i64,
        partial: PartialResponse,
    ) -> Result<Vec<Sample>, String> {
        let mut request = Request::new(QueryRequest {
            query: query.to_owned(),
            time_seconds: t_ms.div_euclid(1000),
            timeout_seconds: self.timeout.as_secs() as i64,
            enable_dedup: true,
            enable_partial_response: partial == PartialResponse::Warn,
            ..QueryRequest::default()
        });
        let exact = MetadataValue::try_from(t_ms.to_string())
            .expect("the digits of a number are valid metadata");
        request.metadata_mut().insert(EXACT_TIME, exact);
        let answer = async {
            let mut frames = self.client.clone().query(request).await?.into_inner();
            let mut samples = Vec::new();
            while let Some(frame) = frames.next().await {
                match frame?.result {
                    Some(query_response::Result::Timeseries(series)) => {
                        unpack(&series, &mut samples)
                    }
                    Some(query_response::Result::Warnings(text)) => {
                        tracing::warn!(query, warning = text, "a rule's query came with a warning");
                    }
                    Some(query_response::Result::Stats(_)) | None => {}
                }
            }
            Ok::<_, tonic::Status>(samples)
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(samples)) => Ok(samples),
            Ok(Err(status)) => {
                if status.code() == tonic::Code::Unavailable {
                    self.forget();
                }
                Err(describe(&self.address, &status))
            }
            Err(_) => Err(silent(&self.address, self.timeout)),
        }
    }

    /// The server is away: the next one that answers may know batches.
    fn forget(&self) {
        *self.without_batches.lock() = None;
    }

    async fn batch(&self, batch: Batch) -> Option<Answers> {
        let until = *self.without_batches.lock();
        if until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let count = batch.queries.len();
        match batch.ask(self.batches.clone()).await {
            Ok(answers) => Some(answers),
            Err(Refused::Unknown) => {
                *self.without_batches.lock() = Some(Instant::now() + ASK_AGAIN);
                None
            }
            Err(Refused::Failed { text, away }) => {
                if away {
                    self.forget();
                }
                let answer = Answer {
                    result: Err(text),
                    seconds: 0.0,
                };
                let answers = (0..count).map(move |position| (position, answer.clone()));
                Some(stream::iter(answers).boxed())
            }
        }
    }
}

impl Source for GrpcSource {
    fn ask<'a>(
        &'a self,
        query: &'a str,
        t_ms: i64,
        partial: PartialResponse,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>> {
        Box::pin(self.query(query, t_ms, partial))
    }

    // What to do where a part of the data is missing is nothing to ask for here: who knows batches has
    // all of it.
    fn ask_all(
        &self,
        queries: Vec<String>,
        t_ms: i64,
        _: PartialResponse,
        concurrency: usize,
    ) -> BoxFuture<'_, Option<Answers>> {
        Box::pin(self.batch(Batch {
            queries,
            t_ms,
            concurrency,
            timeout: self.timeout,
            wait: self.timeout + SLACK,
            address: Arc::clone(&self.address),
        }))
    }
}

fn unpack(series: &TimeSeries, samples: &mut Vec<Sample>) {
    let labels = labels_from_thanos(&series.labels);
    for sample in &series.samples {
        samples.push(Sample::float(
            labels.clone(),
            sample.timestamp,
            sample.value,
        ));
    }
    for histogram in &series.histograms {
        let (t_ms, histogram) = histogram_from_prometheus(histogram);
        let histogram = match histogram {
            AnyHistogram::Float(histogram) => histogram,
            AnyHistogram::Integer(histogram) => histogram.to_float(),
        };
        let value = SampleValue::Histogram(Arc::new(histogram));
        samples.push(Sample {
            labels: labels.clone(),
            t_ms,
            value,
        });
    }
}

#[cfg(test)]
mod tests;
