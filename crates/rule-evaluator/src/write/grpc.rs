//! Results over gRPC.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use model::Labels;
use proto::convert::{float_histogram_to_prometheus, labels_to_thanos};
use proto::prometheus_copy::TimeSeries;
use proto::thanos::WriteRequest;
use proto::thanos::writeable_store_client::WriteableStoreClient;
use rules::{Sample, SampleValue};
use tonic::Code;
use tonic::transport::Channel;

use super::{Failed, Sink, with_retries};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A `thanos.WriteableStore`.
pub struct GrpcSink {
    client: WriteableStoreClient<Channel>,
}

impl GrpcSink {
    /// Writes to the store behind `channel`.
    pub fn new(channel: Channel) -> GrpcSink {
        GrpcSink {
            client: WriteableStoreClient::new(channel),
        }
    }
}

impl Sink for GrpcSink {
    fn send(&self, samples: Vec<Sample>) -> BoxFuture<'_, Result<(), String>> {
        let request = WriteRequest {
            timeseries: series(samples),
            ..WriteRequest::default()
        };
        Box::pin(with_retries(move |attempt| {
            let mut client = self.client.clone();
            let request = request.clone();
            async move {
                match tokio::time::timeout(TIMEOUT, client.remote_write(request)).await {
                    Ok(Ok(_)) => Ok(()),
                    // A repetition of what was stored before the connection broke is no loss.
                    Ok(Err(status)) if attempt > 0 && status.code() == Code::AlreadyExists => {
                        Ok(())
                    }
                    Ok(Err(status)) if status.code() == Code::Unavailable => {
                        Err(Failed::Temporary(status.message().to_owned()))
                    }
                    Ok(Err(status)) => Err(Failed::Permanent(status.message().to_owned())),
                    Err(_) => Err(Failed::Temporary(format!("no answer within {TIMEOUT:?}"))),
                }
            }
        }))
    }
}

/// Samples as series of the wire.
pub(super) fn series(samples: Vec<Sample>) -> Vec<TimeSeries> {
    let mut by_labels: BTreeMap<Labels, TimeSeries> = BTreeMap::new();
    for sample in samples {
        let series = by_labels
            .entry(sample.labels)
            .or_insert_with_key(|labels| TimeSeries {
                labels: labels_to_thanos(labels),
                ..TimeSeries::default()
            });
        match sample.value {
            SampleValue::Float(value) => {
                series.samples.push(proto::prometheus::Sample {
                    value,
                    timestamp: sample.t_ms,
                });
            }
            SampleValue::Histogram(histogram) => {
                series
                    .histograms
                    .push(float_histogram_to_prometheus(sample.t_ms, &histogram));
            }
        }
    }
    by_labels.into_values().collect()
}
