//! The gRPC side: what rule-evaluator and Thanos ask for.

mod info;
mod query;
mod rules_client;
mod writeable_store;

use std::sync::Arc;

use proto::thanos::info::info_server::InfoServer;
use proto::thanos::query_server::QueryServer;
use proto::thanos::writeable_store_server::WriteableStoreServer;
use tonic::service::Routes;

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
) -> Result<Routes, tonic_reflection::server::Error> {
    let (health_reporter, health) = tonic_health::server::health_reporter();
    let info = InfoServer::new(info::InfoService { external_labels });
    let query = QueryServer::new(query::QueryService {
        api: Arc::clone(&api),
    });
    let store = writeable_store::Store {
        db: Arc::clone(&api.db),
        receiver: Arc::clone(&api.receiver),
    };
    let store = WriteableStoreServer::new(store).max_decoding_message_size(MAX_REQUEST_BYTES);
    health_reporter
        .set_serving::<InfoServer<info::InfoService>>()
        .await;
    health_reporter
        .set_serving::<QueryServer<query::QueryService>>()
        .await;
    health_reporter
        .set_serving::<WriteableStoreServer<writeable_store::Store>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(Routes::new(health)
        .add_service(reflection)
        .add_service(info)
        .add_service(query)
        .add_service(store))
}
