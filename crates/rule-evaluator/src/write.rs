//! Results of rules, to a `thanos.WriteableStore`.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Labels;
use proto::convert::{float_histogram_to_prometheus, labels_to_thanos};
use proto::prometheus_copy::TimeSeries;
use proto::thanos::WriteRequest;
use proto::thanos::writeable_store_client::WriteableStoreClient;
use rules::{Sample, SampleSink, SampleValue};
use tokio::runtime::Handle;
use tonic::Code;
use tonic::transport::Channel;

/// How often a write is tried, and how long between tries: a restart of the store is bridged.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes over gRPC, for threads that may block.
#[derive(Clone)]
pub struct GrpcSink {
    client: WriteableStoreClient<Channel>,
    runtime: Handle,
}

impl GrpcSink {
    /// Writes to the store behind `channel`.
    pub fn new(channel: Channel, runtime: Handle) -> GrpcSink {
        GrpcSink {
            client: WriteableStoreClient::new(channel),
            runtime,
        }
    }

    /// Writes samples; tries again while the store cannot be reached.
    ///
    /// # Errors
    /// What the store refused, or that it could not be reached.
    pub async fn send(&self, samples: Vec<Sample>) -> Result<(), String> {
        let request = WriteRequest {
            timeseries: series(samples),
            ..WriteRequest::default()
        };
        let mut last = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * 2u32.pow(attempt - 1)).await;
            }
            let mut client = self.client.clone();
            match tokio::time::timeout(TIMEOUT, client.remote_write(request.clone())).await {
                Ok(Ok(_)) => return Ok(()),
                // A repetition of what was stored before the connection broke is no loss.
                Ok(Err(status)) if attempt > 0 && status.code() == Code::AlreadyExists => {
                    return Ok(());
                }
                Ok(Err(status)) if status.code() == Code::Unavailable => {
                    status.message().clone_into(&mut last);
                }
                Ok(Err(status)) => return Err(status.message().to_owned()),
                Err(_) => last = format!("no answer within {TIMEOUT:?}"),
            }
        }
        Err(format!("store cannot be reached: {last}"))
    }
}

impl SampleSink for GrpcSink {
    fn write(&self, samples: Vec<Sample>) -> Result<(), String> {
        self.runtime.block_on(self.send(samples))
    }
}

fn series(samples: Vec<Sample>) -> Vec<TimeSeries> {
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
