//! The gRPC side: what rule-evaluator and Thanos ask for.

mod describe;
mod evaluation;
mod info;
mod query;
mod rules;
mod rules_client;
mod store;
mod writeable_store;

use std::sync::Arc;

use proto::firewatch::rules::v1::evaluation_server::EvaluationServer;
use proto::thanos::exemplars_server::ExemplarsServer;
use proto::thanos::info::info_server::InfoServer;
use proto::thanos::metadata_server::MetadataServer;
use proto::thanos::query_server::QueryServer;
use proto::thanos::rules_server::RulesServer;
use proto::thanos::status_server::StatusServer;
use proto::thanos::store_server::StoreServer;
use proto::thanos::targets_server::TargetsServer;
use service::GrpcServices;

use crate::api::Api;

pub use rules_client::RemoteRules;

/// Requests of up to this many bytes are taken: a large rule group's results in one go.
const MAX_REQUEST_BYTES: usize = 64 << 20;

/// The services of the gRPC listener, health and reflection among them; Rules where there is a rule-evaluator.
///
/// # Errors
/// Only if the built-in descriptors did not decode.
pub async fn routes(
    api: Arc<Api>,
    db: Arc<tsdb::Db>,
    external_labels: Arc<arc_swap::ArcSwap<model::Labels>>,
    rules: Option<RemoteRules>,
) -> Result<axum::Router, service::Error> {
    let writeable = writeable_store::Store {
        to: Arc::clone(&api.appendable),
        receiver: Arc::clone(&api.receiver),
        max_bytes: MAX_REQUEST_BYTES,
    };
    let mut services = GrpcServices::new(proto::DESCRIPTORS)?;
    let info = info::InfoService {
        db: Arc::clone(&db),
        now: Arc::clone(&api.now),
        external_labels: Arc::clone(&external_labels),
        rules: rules.is_some(),
    };
    services.add(InfoServer::new(info)).await;
    let describe = describe::DescribeService {
        api: Arc::clone(&api),
        db: Arc::clone(&db),
        external_labels: Arc::clone(&external_labels),
    };
    services.add(TargetsServer::new(describe.clone())).await;
    services.add(MetadataServer::new(describe.clone())).await;
    services.add(ExemplarsServer::new(describe.clone())).await;
    services.add(StatusServer::new(describe)).await;
    let series = store::StoreService {
        db,
        external_labels: Arc::clone(&external_labels),
    };
    services
        .add(StoreServer::new(series).max_decoding_message_size(MAX_REQUEST_BYTES))
        .await;
    if let Some(source) = rules {
        let rules = rules::RulesService {
            source,
            external_labels,
        };
        services.add(RulesServer::new(rules)).await;
    }
    let evaluation = evaluation::EvaluationService {
        engine: Arc::clone(&api.engine),
        store: Arc::clone(&api.store) as Arc<dyn storage::Queryable>,
        queries: Arc::clone(&api.queries),
        timeout: api.timeout,
    };
    let evaluation = EvaluationServer::new(evaluation).max_decoding_message_size(MAX_REQUEST_BYTES);
    services.add(evaluation).await;
    services
        .add(QueryServer::new(query::QueryService { api }))
        .await;
    services.add(writeable).await;
    Ok(services.into_router())
}
