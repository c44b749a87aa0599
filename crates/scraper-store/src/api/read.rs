//! `/api/v1/read`: remote read, in one piece or streamed.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use model::Labels;
use remote::read::{Answerer, Asked, CHUNKS_TYPE, ReadError, ResponseType, SAMPLES_TYPE};
use telemetry::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Api, plain_text as refuse};

/// Requests of up to this many bytes after decompression are taken.
const MAX_REQUEST_BYTES: usize = 32 << 20;
/// [`CHUNKS_TYPE`] without what it says of the message.
pub(super) const CHUNKS_MEDIA_TYPE: &str = "application/x-streamed-protobuf";
/// Frames that wait for a slow client.
const FRAMES_AHEAD: usize = 4;

/// How much remote read may do.
pub struct Limits {
    places: Arc<Semaphore>,
    samples: u64,
    frame_bytes: usize,
    queries: Gauge,
}

impl Limits {
    /// So many requests at once, samples in one piece and bytes a frame.
    pub fn new(
        requests: usize,
        samples: u64,
        frame_bytes: usize,
        registry: &telemetry::Registry,
    ) -> Limits {
        Limits {
            places: Arc::new(Semaphore::new(requests)),
            samples,
            frame_bytes,
            queries: registry.gauge(
                "prometheus_remote_read_handler_queries",
                "The current number of remote read queries that are either in execution or queued on the handler.",
            ),
        }
    }
}

type Frame = Result<Bytes, std::io::Error>;

pub(super) async fn handle(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    let waits = Box::new(api.read.queries.guard());
    let Ok(place) = Arc::clone(&api.read.places).acquire_owned().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "closing");
    };
    let asked = match Asked::decode(&body, MAX_REQUEST_BYTES) {
        Ok(asked) => asked,
        Err(error) => return failed(&error),
    };
    let external = api.config.load().external_labels.clone();
    match asked.response {
        ResponseType::Samples => {
            let work = move || {
                let _place = (place, waits);
                answerer(&api, &external).samples(&asked)
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(body)) => {
                    let encoding = (header::CONTENT_ENCODING, "snappy");
                    typed(SAMPLES_TYPE, &[encoding], Body::from(body))
                }
                Ok(Err(error)) => failed(&error),
                Err(_) => refuse(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "reading panicked; see the log",
                ),
            }
        }
        ResponseType::Chunks => streamed(api, asked, external, place, waits).await,
    }
}

fn answerer<'a>(api: &'a Api, external: &'a Labels) -> Answerer<'a> {
    Answerer {
        store: &*api.store,
        external,
        sample_limit: api.read.samples,
        max_frame_bytes: api.read.frame_bytes,
    }
}

/// The status is known when the first frame is, or the end.
async fn streamed(
    api: Arc<Api>,
    asked: Asked,
    external: Labels,
    place: OwnedSemaphorePermit,
    waits: Box<dyn std::any::Any + Send>,
) -> Response {
    let (sender, mut frames) = mpsc::channel::<Result<Bytes, ReadError>>(FRAMES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let _place = (place, waits);
        let emit = |frame: Vec<u8>| sender.blocking_send(Ok(frame.into())).is_ok();
        if let Err(error) = answerer(&api, &external).chunks(&asked, emit) {
            // Nobody listens: nobody to tell.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let first = match frames.recv().await {
        Some(Err(error)) => return failed(&error),
        Some(Ok(frame)) => Some(Ok(frame)),
        None => None,
    };
    typed(
        CHUNKS_TYPE,
        &[],
        Body::from_stream(all_frames(first, frames)),
    )
}

/// What is sent; an error in the middle breaks the answer off.
fn all_frames(
    first: Option<Result<Bytes, ReadError>>,
    frames: mpsc::Receiver<Result<Bytes, ReadError>>,
) -> impl Stream<Item = Frame> {
    let rest = stream::unfold(frames, |mut frames| async {
        let next = frames.recv().await?;
        Some((next, frames))
    });
    let all = stream::iter(first).chain(rest);
    // Layers around us (compression) ask once more after the end.
    all.map(|frame| frame.map_err(std::io::Error::other)).fuse()
}

fn typed(kind: &'static str, more: &[(HeaderName, &'static str)], body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in more {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn failed(error: &ReadError) -> Response {
    let status = match error {
        ReadError::Bad(_) | ReadError::TooMany(_) => StatusCode::BAD_REQUEST,
        ReadError::Store(_) | ReadError::Gone => StatusCode::INTERNAL_SERVER_ERROR,
    };
    refuse(status, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_stays_the_end() {
        let (sender, frames) = mpsc::channel(2);
        for frame in ["b", "c"] {
            sender.send(Ok(Bytes::from(frame))).await.unwrap();
        }
        drop(sender);
        let mut all = std::pin::pin!(all_frames(Some(Ok(Bytes::from("a"))), frames));
        for frame in ["a", "b", "c"] {
            assert_eq!(all.next().await.unwrap().unwrap(), frame);
        }
        for _ in 0..3 {
            assert!(all.next().await.is_none());
        }
    }
}
