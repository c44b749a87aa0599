//! Alerts to alert-router over `firewatch.alerts.v1`: a batch counts as sent once it is acknowledged.

use std::time::Duration;

use futures::future::BoxFuture;
use model::Alert;
use proto::convert::alert_to_wire;
use proto::firewatch::alerts::v1::alerts_client::AlertsClient;
use proto::firewatch::alerts::v1::{PushRequest, PushResponse};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::{SendError, Sender};

/// How long an acknowledgement may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An alert-router.
pub struct GrpcReceiver {
    client: AlertsClient<Channel>,
    stream: Mutex<Option<OpenStream>>,
}

struct OpenStream {
    requests: mpsc::Sender<PushRequest>,
    responses: Streaming<PushResponse>,
    next_id: u64,
}

impl GrpcReceiver {
    /// The router behind `channel`.
    pub fn new(channel: Channel) -> GrpcReceiver {
        GrpcReceiver {
            client: AlertsClient::new(channel),
            stream: Mutex::new(None),
        }
    }

    async fn open(&self) -> Result<OpenStream, tonic::Status> {
        let (requests, receiver) = mpsc::channel(1);
        let responses = self
            .client
            .clone()
            .push(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(OpenStream {
            requests,
            responses,
            next_id: 1,
        })
    }

    async fn exchange(&self, alerts: &[Alert]) -> Result<(), SendError> {
        let temporary = |status: tonic::Status| SendError::Temporary(status.message().to_owned());
        let mut slot = self.stream.lock().await;
        let mut stream = match slot.take() {
            Some(stream) => stream,
            None => self.open().await.map_err(temporary)?,
        };
        let batch_id = stream.next_id;
        stream.next_id += 1;
        let request = PushRequest {
            batch_id,
            alerts: alerts.iter().map(alert_to_wire).collect(),
        };
        let closed = || SendError::Temporary("the router closed the stream".to_owned());
        stream.requests.send(request).await.map_err(|_| closed())?;
        let response = stream
            .responses
            .message()
            .await
            .map_err(temporary)?
            .ok_or_else(closed)?;
        if response.batch_id != batch_id {
            let text = format!("batch {batch_id} was answered as {}", response.batch_id);
            return Err(SendError::Temporary(text));
        }
        // The stream is good for the next batch whatever became of this one.
        *slot = Some(stream);
        if !response.error.is_empty() {
            return Err(SendError::Temporary(response.error));
        }
        for refusal in response.refused {
            let alert = alerts
                .get(refusal.index as usize)
                .map(|a| a.labels.to_string());
            tracing::error!(
                alert,
                reason = refusal.reason,
                "alert-router refused an alert"
            );
        }
        Ok(())
    }
}

impl Sender for GrpcReceiver {
    fn send<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            match tokio::time::timeout(TIMEOUT, self.exchange(alerts)).await {
                Ok(sent) => sent,
                Err(_) => {
                    let text = format!("no acknowledgement within {TIMEOUT:?}");
                    Err(SendError::Temporary(text))
                }
            }
        })
    }
}
