//! `thanos.Targets`, `thanos.Metadata`, `thanos.Exemplars` and `thanos.Status`: what Thanos' sidecar asks of HTTP
//! API v1, with the external labels put on as it puts them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use futures::{Stream, stream};
use model::{Labels, Matcher};
use proto::convert::labels_to_thanos;
use proto::thanos::exemplars_server::Exemplars;
use proto::thanos::metadata_server::Metadata;
use proto::thanos::status_server::Status as StatusApi;
use proto::thanos::targets_server::Targets;
use proto::thanos::{
    ActiveTarget, DroppedTarget, Exemplar, ExemplarData, ExemplarsRequest, ExemplarsResponse,
    HeadStatistics, LabelSet, Meta, MetricMetadata, MetricMetadataEntry, MetricMetadataRequest,
    MetricMetadataResponse, Statistic, TargetDiscovery, TargetHealth, TargetsRequest,
    TargetsResponse, TsdbStatistics, TsdbStatisticsEntry, TsdbStatisticsRequest,
    TsdbStatisticsResponse, exemplars_response, metric_metadata_response, targets_request,
    targets_response, tsdb_statistics_response,
};
use scrape::Health;
use tonic::{Request, Response, Status};

use super::store::selection::{left_for_storage, on_stored};
use crate::api::Api;
use crate::api::metadata::families;

/// Entries of a list of statistics, where the request does not say.
const DEFAULT_STATISTICS: usize = 10;
/// The most that it may say.
const MAX_STATISTICS: usize = 10_000;

/// All four; a cheap handle.
#[derive(Clone)]
pub(super) struct DescribeService {
    pub api: Arc<Api>,
    pub db: Arc<tsdb::Db>,
    pub external_labels: Arc<ArcSwap<Labels>>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn answers<T: Send + 'static>(all: Vec<T>) -> Response<Answers<T>> {
    Response::new(Box::pin(stream::iter(all.into_iter().map(Ok))))
}

/// A label set as it goes out: external labels win.
fn outgoing(labels: &Labels, external: &Labels) -> Option<LabelSet> {
    let mut builder = labels.builder();
    for (name, value) in external {
        builder.set(name, value);
    }
    Some(LabelSet {
        labels: labels_to_thanos(&builder.build()),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::internal("the handler panicked; see the log"))?
}

#[tonic::async_trait]
impl Targets for DescribeService {
    type TargetsStream = Answers<TargetsResponse>;

    async fn targets(
        &self,
        request: Request<TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        let this = self.clone();
        let state = request.into_inner().state();
        let found = blocking(move || Ok(this.discovered(state))).await?;
        let result = Some(targets_response::Result::Targets(found));
        Ok(answers(vec![TargetsResponse { result }]))
    }
}

impl DescribeService {
    fn discovered(&self, state: targets_request::State) -> TargetDiscovery {
        use targets_request::State;
        let external = self.external_labels.load();
        let mut found = TargetDiscovery::default();
        let scrapes = self.api.scrapes.as_ref();
        let pools = scrapes.map_or_else(Vec::new, |scrapes| scrapes.lock().targets());
        for pool in pools {
            if state != State::Dropped {
                let active = pool
                    .active
                    .iter()
                    .map(|target| self.active(target, &external));
                found.active_targets.extend(active);
            }
            if state != State::Active {
                let dropped = pool.dropped.iter().map(|target| DroppedTarget {
                    discovered_labels: outgoing(&target.discovered_labels, &external),
                });
                found.dropped_targets.extend(dropped);
            }
        }
        found
    }

    fn active(&self, target: &scrape::TargetSnapshot, external: &Labels) -> ActiveTarget {
        let status = &self.api.status;
        ActiveTarget {
            discovered_labels: outgoing(&target.discovered_labels, external),
            labels: outgoing(&target.labels, external),
            scrape_pool: target.scrape_pool.clone(),
            scrape_url: target.scrape_url.clone(),
            global_url: target.global_url(
                &status.listen_port,
                &status.external_scheme,
                &status.external_host,
            ),
            last_error: target.last_error.clone(),
            last_scrape: Some(target.last_scrape.map_or(NEVER, timestamp)),
            last_scrape_duration: target.last_scrape_duration.as_secs_f64(),
            health: match target.health {
                Health::Down => TargetHealth::Down,
                Health::Up => TargetHealth::Up,
                Health::Unknown => TargetHealth::Unknown,
            } as i32,
        }
    }
}

/// Go's zero time.
const NEVER: proto::Timestamp = proto::Timestamp {
    seconds: -62_135_596_800,
    nanos: 0,
};

fn timestamp(time: SystemTime) -> proto::Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    proto::Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: since.subsec_nanos() as i32,
    }
}

#[tonic::async_trait]
impl Metadata for DescribeService {
    type MetricMetadataStream = Answers<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let (this, request) = (self.clone(), request.into_inner());
        let most = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let found = blocking(move || Ok(families(&this.api, &request.metric))).await?;
        let entries = found.into_iter().take(most).map(|(name, metas)| {
            let metas = metas.into_iter().map(|meta| Meta {
                r#type: meta.r#type.to_owned(),
                help: meta.help,
                unit: meta.unit,
            });
            let metas = metas.collect();
            (name, MetricMetadataEntry { metas })
        });
        let metadata = MetricMetadata {
            metadata: entries.collect(),
        };
        let result = Some(metric_metadata_response::Result::Metadata(metadata));
        Ok(answers(vec![MetricMetadataResponse { result }]))
    }
}

#[tonic::async_trait]
impl Exemplars for DescribeService {
    type ExemplarsStream = Answers<ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        let (this, request) = (self.clone(), request.into_inner());
        let found = blocking(move || this.select_exemplars(&request)).await?;
        let found = found.into_iter().map(|data| ExemplarsResponse {
            result: Some(exemplars_response::Result::Data(data)),
        });
        Ok(answers(found.collect()))
    }
}

impl DescribeService {
    fn select_exemplars(&self, request: &ExemplarsRequest) -> Result<Vec<ExemplarData>, Status> {
        let features = self.api.engine.options().features;
        let expr = promql::parse_expr(&request.query, features)
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        let external = self.external_labels.load();
        let selectors = expr.selectors();
        let selectors: Vec<Vec<Matcher>> = (selectors.iter())
            .filter_map(|selector| left_for_storage(selector.matchers.clone(), &external))
            .collect();
        let found = self.db.exemplars(request.start, request.end, &selectors);
        let found = found.into_iter().map(|series| ExemplarData {
            series_labels: outgoing(&series.series, &external),
            exemplars: (series.exemplars.iter())
                .map(|exemplar| Exemplar {
                    labels: outgoing(&exemplar.labels, &Labels::empty()),
                    value: exemplar.value,
                    ts: exemplar.timestamp_ms.unwrap_or(0),
                })
                .collect(),
        });
        Ok(found.collect())
    }
}

#[tonic::async_trait]
impl StatusApi for DescribeService {
    type TSDBStatisticsStream = Answers<TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let request = request.into_inner();
        let external = self.external_labels.load_full();
        // There are no tenants here; what is asked of another store's labels is not for us.
        let asked = on_stored(&request.matchers, &external)?.is_some_and(|left| left.is_empty());
        if !asked || !request.tenant.is_empty() {
            return Ok(answers(Vec::new()));
        }
        let most = match usize::try_from(request.limit) {
            Ok(0) | Err(_) => DEFAULT_STATISTICS,
            Ok(most) => most.min(MAX_STATISTICS),
        };
        let db = Arc::clone(&self.db);
        let stats = blocking(move || Ok(db.head_stats(most))).await?;
        let list = |counts: Vec<tsdb::db::Count>| {
            let counts = counts.into_iter();
            let named = counts.map(|tsdb::db::Count { name, value }| Statistic { name, value });
            named.collect::<Vec<_>>()
        };
        let entry = TsdbStatisticsEntry {
            head_statistics: Some(HeadStatistics {
                num_series: stats.series,
                num_label_pairs: i64::try_from(stats.label_pairs).unwrap_or(i64::MAX),
                chunk_count: i64::try_from(stats.chunks).unwrap_or(i64::MAX),
                min_time: stats.min_ms,
                max_time: stats.max_ms,
            }),
            series_count_by_metric_name: list(stats.series_by_metric_name),
            label_value_count_by_label_name: list(stats.values_by_label_name),
            memory_in_bytes_by_label_name: list(stats.memory_by_label_name),
            series_count_by_label_value_pair: list(stats.series_by_label_pair),
        };
        let statistics = TsdbStatistics {
            statistics: [(String::new(), entry)].into(),
        };
        let result = Some(tsdb_statistics_response::Result::Statistics(statistics));
        Ok(answers(vec![TsdbStatisticsResponse { result }]))
    }
}
