//! `thanos.info.Info`: which APIs this endpoint serves, for which labels and times.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Labels;
use proto::thanos::LabelSet;
use proto::thanos::info::info_server::Info;
use proto::thanos::info::{InfoRequest, InfoResponse, QueryApiInfo};
use tonic::{Request, Response, Status};

pub(super) struct InfoService {
    pub external_labels: Arc<ArcSwap<Labels>>,
}

#[tonic::async_trait]
impl Info for InfoService {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let labels = proto::convert::labels_to_thanos(&self.external_labels.load());
        let label_sets = if labels.is_empty() {
            Vec::new()
        } else {
            vec![LabelSet { labels }]
        };
        // Only what is served is named; a Querier then asks for nothing else.
        Ok(Response::new(InfoResponse {
            label_sets,
            component_type: "scraper-store".to_owned(),
            query: Some(QueryApiInfo {}),
            ..InfoResponse::default()
        }))
    }
}
