//! `thanos.info.Info`: which APIs this endpoint serves, for which labels and times.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Labels;
use proto::thanos::LabelSet;
use proto::thanos::info::info_server::Info;
use proto::thanos::info::{
    ExemplarsInfo, InfoRequest, InfoResponse, MetricMetadataInfo, QueryApiInfo, RulesInfo,
    StatusInfo, StoreInfo, TargetsInfo, TsdbInfo,
};
use tonic::{Request, Response, Status};

pub(super) struct InfoService {
    pub db: Arc<tsdb::Db>,
    /// The current time in ms.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    pub external_labels: Arc<ArcSwap<Labels>>,
    /// Whether Rules are served.
    pub rules: bool,
}

#[tonic::async_trait]
impl Info for InfoService {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let labels = proto::convert::labels_to_thanos(&self.external_labels.load());
        let label_sets = if labels.is_empty() {
            Vec::new()
        } else {
            vec![LabelSet {
                labels: labels.clone(),
            }]
        };
        // Without samples: from now on. What is scraped later is there before the next question.
        let min_time = self.db.start_time_ms().min((self.now)());
        let max_time = i64::MAX;
        // Only what is served is named; a Querier then asks for nothing else.
        Ok(Response::new(InfoResponse {
            label_sets,
            component_type: "scraper-store".to_owned(),
            store: Some(StoreInfo {
                min_time,
                max_time,
                supports_sharding: true,
                supports_without_replica_labels: true,
                tsdb_infos: vec![TsdbInfo {
                    labels: Some(LabelSet { labels }),
                    min_time,
                    max_time,
                }],
                supports_projections: false,
            }),
            rules: self.rules.then_some(RulesInfo {}),
            metric_metadata: Some(MetricMetadataInfo {}),
            targets: Some(TargetsInfo {}),
            exemplars: Some(ExemplarsInfo { min_time, max_time }),
            query: Some(QueryApiInfo {}),
            status: Some(StatusInfo {}),
        }))
    }
}
