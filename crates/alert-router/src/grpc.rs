//! gRPC: `firewatch.alerts.v1`, with health and reflection.

use std::borrow::Cow;
use std::pin::Pin;

use model::Labels;
use proto::firewatch::alerts::v1::alerts_server::{Alerts, AlertsServer};
use proto::firewatch::alerts::v1::{Alert, PushRequest, PushResponse, Refusal};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::engine::Engine;
use crate::intake::{self, Posted};
use crate::moment;

struct Service {
    engine: Engine,
}

/// How large a batch may be.
const MAX_BATCH: usize = 64 << 20;

#[tonic::async_trait]
impl Alerts for Service {
    type PushStream = Pin<Box<dyn Stream<Item = Result<PushResponse, Status>> + Send>>;

    /// Answers each batch, in order, once it is on disk.
    async fn push(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<Self::PushStream>, Status> {
        let engine = self.engine.clone();
        let batches = request.into_inner();
        let answers = batches.then(move |batch| {
            let engine = engine.clone();
            async move {
                let batch = batch?;
                Ok(accept(&engine, batch).await)
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn accept(engine: &Engine, batch: PushRequest) -> PushResponse {
    let count = batch.alerts.len();
    let accepted = intake::accept(engine, batch.alerts.into_iter().map(posted).collect());
    let mut response = PushResponse {
        batch_id: batch.batch_id,
        ..PushResponse::default()
    };
    if let Err(error) = engine.durable(accepted.commit).await {
        response.error = error;
        return response;
    }
    response.refused = accepted
        .refused
        .iter()
        .map(|(index, refusal)| Refusal {
            index: u32::try_from(*index).unwrap_or(u32::MAX),
            reason: refusal.to_string(),
        })
        .collect();
    response.accepted = u32::try_from(count - response.refused.len()).unwrap_or(u32::MAX);
    response
}

fn posted(alert: Alert) -> Posted<'static> {
    let time = |ms: i64| (ms != 0).then(|| moment::from_millis(ms));
    Posted {
        labels: Labels::from_pairs(alert.labels),
        annotations: Labels::from_pairs(alert.annotations),
        starts_at: time(alert.starts_at_ms),
        ends_at: time(alert.ends_at_ms),
        generator_url: Cow::Owned(alert.generator_url),
    }
}

/// All services as one router.
///
/// # Errors
/// If the descriptors that are compiled in cannot be read.
pub async fn router(engine: Engine) -> Result<axum::Router, service::Error> {
    let alerts = AlertsServer::new(Service { engine }).max_decoding_message_size(MAX_BATCH);
    let mut services = service::GrpcServices::new(proto::DESCRIPTORS)?;
    services.add(alerts).await;
    Ok(services.into_router())
}
