//! `thanos.Store`: series as encoded chunks, for Thanos' Querier and whatever else speaks StoreAPI.
//!
//! External labels are on every series that goes out and in no series that is stored; the stream is in the order
//! of the labels that go out.

mod chunks;
pub(super) mod selection;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::{Stream, StreamExt, stream};
use model::{Labels, Matcher};
use proto::convert::labels_to_thanos;
use proto::thanos::store_server::Store;
use proto::thanos::{
    self, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    SeriesBatch, SeriesRequest, SeriesResponse, series_response,
};
use storage::{LabelHints, Queryable, SelectHints, Series, StorageError};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use selection::Outgoing;

/// Chunks of a series are spread over frames of about this size, as Thanos' sidecar does.
const FRAME_BYTES: usize = 1 << 20;
/// Frames that are made before the client has taken the first.
const FRAMES_AHEAD: usize = 16;

pub(super) struct StoreService {
    pub db: Arc<tsdb::Db>,
    pub external_labels: Arc<ArcSwap<Labels>>,
}

type Frames = Pin<Box<dyn Stream<Item = Result<SeriesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Store for StoreService {
    type SeriesStream = Frames;

    async fn series(
        &self,
        request: Request<SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let mut request = request.into_inner();
        let external = self.external_labels.load_full();
        let Some(matchers) = selection::on_stored(&request.matchers, &external)? else {
            return Ok(Response::new(stream::empty().boxed()));
        };
        if matchers.is_empty() {
            let text = "no matchers specified (excluding external labels)";
            return Err(Status::invalid_argument(text));
        }
        let without = std::mem::take(&mut request.without_replica_labels);
        let outgoing = Outgoing::new(&external, without, request.shard_info.take());
        let (sender, mut receiver) = mpsc::channel(FRAMES_AHEAD);
        let db = Arc::clone(&self.db);
        tokio::task::spawn_blocking(move || {
            let mut out = Out {
                sender,
                batch: Vec::new(),
                batch_size: usize::try_from(request.response_batch_size).unwrap_or(0),
            };
            if let Err(Stop::Failed(status)) =
                send_all(&db, &request, &matchers, &outgoing, &mut out)
            {
                // Without a listener there is nobody to be told.
                let _ = out.sender.blocking_send(Err(status));
            }
        });
        let frames = stream::poll_fn(move |context| receiver.poll_recv(context));
        Ok(Response::new(frames.boxed()))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let request = request.into_inner();
        let external = self.external_labels.load_full();
        let Some(matchers) = selection::on_stored(&request.matchers, &external)? else {
            return Ok(Response::new(Default::default()));
        };
        let outgoing = Outgoing::new(&external, request.without_replica_labels, None);
        let hints = limit(request.limit);
        let (names, warnings) = self
            .ask(move |db| {
                let querier = db.querier(request.start, request.end)?;
                querier.label_names(&hints, &matchers)
            })
            .await?;
        let mut names: BTreeSet<String> = names.into_iter().collect();
        if !names.is_empty() {
            names.extend(outgoing.external_names().map(str::to_owned));
        }
        Ok(Response::new(LabelNamesResponse {
            names: names.into_iter().collect(),
            warnings,
            hints: None,
        }))
    }

    async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let request = request.into_inner();
        if request.label.is_empty() {
            return Err(Status::invalid_argument(
                "label name parameter cannot be empty",
            ));
        }
        if request.without_replica_labels.contains(&request.label) {
            return Ok(Response::new(Default::default()));
        }
        let external = self.external_labels.load_full();
        let Some(matchers) = selection::on_stored(&request.matchers, &external)? else {
            return Ok(Response::new(Default::default()));
        };
        if let Some(value) = external.find(&request.label) {
            let any = matchers.is_empty() || self.has_series(&request, matchers).await?;
            let values = if any {
                vec![value.to_owned()]
            } else {
                Vec::new()
            };
            return Ok(Response::new(LabelValuesResponse {
                values,
                ..LabelValuesResponse::default()
            }));
        }
        let hints = limit(request.limit);
        let (values, warnings) = self
            .ask(move |db| {
                let querier = db.querier(request.start, request.end)?;
                querier.label_values(&request.label, &hints, &matchers)
            })
            .await?;
        Ok(Response::new(LabelValuesResponse {
            values,
            warnings,
            hints: None,
        }))
    }
}

fn limit(limit: i64) -> LabelHints {
    LabelHints {
        limit: usize::try_from(limit).unwrap_or(0),
    }
}

impl StoreService {
    /// Asks storage for texts, on a blocking thread.
    async fn ask(
        &self,
        ask: impl FnOnce(&tsdb::Db) -> Result<(Vec<String>, model::Annotations), StorageError>
        + Send
        + 'static,
    ) -> Result<(Vec<String>, Vec<String>), Status> {
        let db = Arc::clone(&self.db);
        let answer = tokio::task::spawn_blocking(move || ask(&db)).await;
        let (texts, annotations) = answer
            .map_err(|_| Status::internal("reading panicked; see the log"))?
            .map_err(status)?;
        let warnings = annotations.warnings().map(str::to_owned).collect();
        Ok((texts, warnings))
    }

    /// Whether any series satisfies the matchers.
    async fn has_series(
        &self,
        request: &LabelValuesRequest,
        matchers: Vec<Matcher>,
    ) -> Result<bool, Status> {
        let (start_ms, end_ms) = (request.start, request.end);
        let found = self
            .ask(move |db| {
                let hints = SelectHints {
                    limit: 1,
                    ..label_hints(start_ms, end_ms)
                };
                let set = db
                    .querier(start_ms, end_ms)?
                    .select(false, &hints, &matchers)?;
                let found = set.series.first().map(|_| String::new());
                Ok((found.into_iter().collect(), set.annotations))
            })
            .await?;
        Ok(!found.0.is_empty())
    }
}

/// Hints for what needs no samples.
fn label_hints(start_ms: i64, end_ms: i64) -> SelectHints {
    SelectHints {
        start_ms,
        end_ms,
        func: "series".to_owned(),
        series_only: true,
        ..SelectHints::default()
    }
}

fn status(error: StorageError) -> Status {
    let text = error.to_string();
    match error {
        StorageError::NotReady(_) => Status::unavailable(text),
        StorageError::Canceled => Status::cancelled(text),
        _ => Status::internal(text),
    }
}

/// Why the stream ends before its time.
enum Stop {
    /// The client went away.
    Gone,
    Failed(Status),
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Stop {
        Stop::Failed(status(error))
    }
}

/// Where frames go.
struct Out {
    sender: mpsc::Sender<Result<SeriesResponse, Status>>,
    batch: Vec<thanos::Series>,
    /// Series in a frame, where the client wants several.
    batch_size: usize,
}

impl Out {
    fn frame(&self, result: series_response::Result) -> Result<(), Stop> {
        let frame = SeriesResponse {
            result: Some(result),
        };
        let sent = self.sender.blocking_send(Ok(frame));
        sent.map_err(|_| Stop::Gone)
    }

    fn series(&mut self, series: thanos::Series) -> Result<(), Stop> {
        if self.batch_size <= 1 {
            return self.frame(series_response::Result::Series(series));
        }
        self.batch.push(series);
        if self.batch.len() >= self.batch_size {
            return self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let series = std::mem::take(&mut self.batch);
        self.frame(series_response::Result::Batch(SeriesBatch { series }))
    }
}

/// Sends all series of a request in the order of the labels that go out.
fn send_all(
    db: &tsdb::Db,
    request: &SeriesRequest,
    matchers: &[Matcher],
    outgoing: &Outgoing,
    out: &mut Out,
) -> Result<(), Stop> {
    let (start_ms, end_ms) = (request.min_time, request.max_time);
    let hints = SelectHints {
        series_only: request.skip_chunks,
        ..label_hints(start_ms, end_ms)
    };
    let set = db
        .querier(start_ms, end_ms)?
        .select(true, &hints, matchers)?;
    for warning in set.annotations.warnings() {
        out.frame(series_response::Result::Warning(warning.to_owned()))?;
    }
    let mut all: Vec<(Labels, Arc<dyn Series>)> = set
        .series
        .into_iter()
        .filter_map(|series| Some((outgoing.labels(series.labels())?, series)))
        .collect();
    // Labels that were taken away or put in may have changed the order; it mostly has not.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let most = usize::try_from(request.limit).unwrap_or(0);
    if most > 0 {
        all.truncate(most);
    }
    for (labels, series) in all {
        let labels = labels_to_thanos(&labels);
        if request.skip_chunks {
            out.series(thanos::Series {
                labels,
                chunks: Vec::new(),
            })?;
            continue;
        }
        let mut chunks = Vec::new();
        let mut bytes = 0;
        for chunk in series.chunks(start_ms, end_ms)? {
            bytes += chunk.data.len();
            chunks.push(chunks::to_wire(chunk)?);
            if bytes >= FRAME_BYTES {
                bytes = 0;
                out.series(thanos::Series {
                    labels: labels.clone(),
                    chunks: std::mem::take(&mut chunks),
                })?;
            }
        }
        // A series without chunks is none.
        if !chunks.is_empty() {
            out.series(thanos::Series { labels, chunks })?;
        }
    }
    out.flush()
}
