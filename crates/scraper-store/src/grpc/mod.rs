//! The gRPC side: what rule-evaluator and Thanos ask for.

mod info;
mod query;
mod rules_client;
mod writeable_store;

use std::sync::Arc;

use proto::thanos::info::info_server::InfoServer;
use proto::thanos::query_server::QueryServer;
use proto::thanos::writeable_store_server::WriteableStoreServer;
use service::GrpcServices;

use crate::api::Api;

pub use rules_client::RemoteRules;

/// Requests of up to this many bytes are taken: a large rule group's results in one go.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// The services of the gRPC listener, health and reflection among them.
///
/// # Errors
/// Only if the built-in descriptors did not decode.
pub async fn routes(
    api: Arc<Api>,
    external_labels: Arc<arc_swap::ArcSwap<model::Labels>>,
) -> Result<axum::Router, service::Error> {
    let store = writeable_store::Store {
        db: Arc::clone(&api.db),
        receiver: Arc::clone(&api.receiver),
    };
    let store = WriteableStoreServer::new(store).max_decoding_message_size(MAX_REQUEST_BYTES);
    let mut services = GrpcServices::new(proto::DESCRIPTORS)?;
    let info = InfoServer::new(info::InfoService { external_labels });
    services.add(info).await;
    services
        .add(QueryServer::new(query::QueryService { api }))
        .await;
    services.add(store).await;
    Ok(services.into_router())
}
