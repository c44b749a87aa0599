//! `thanos.WriteableStore`: samples in, as rule-evaluator and Thanos' routers send them.
//!
//! The receiver of remote write reads the bytes of a request as they lie. So there is no message between
//! it and the wire: the service is generated nowhere, and its codec hands the bytes on.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use proto::thanos::WriteResponse;
use remote::{Receiver, WriteError};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};

/// The service.
#[derive(Clone)]
pub(super) struct Store {
    pub to: Arc<dyn storage::Appendable>,
    pub receiver: Arc<Receiver>,
    pub max_bytes: usize,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl NamedService for Store {
    const NAME: &'static str = "thanos.WriteableStore";
}

impl tower::Service<axum::http::Request<Body>> for Store {
    type Response = axum::http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<axum::http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<Body>) -> Self::Future {
        let store = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/thanos.WriteableStore/RemoteWrite" {
                return Ok(Status::new(Code::Unimplemented, "").into_http());
            }
            let mut grpc =
                Grpc::new(Raw).apply_max_message_size_config(Some(store.max_bytes), None);
            Ok(grpc.unary(RemoteWrite(store), request).await)
        })
    }
}

struct RemoteWrite(Store);

impl UnaryService<Bytes> for RemoteWrite {
    type Response = WriteResponse;
    type Future = BoxFuture<Result<Response<WriteResponse>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let store = self.0.clone();
        Box::pin(async move { store.write(request.into_inner()).await })
    }
}

impl Store {
    /// Stores what can be stored. Samples that are refused for good (out of order, duplicates)
    /// answer `ALREADY_EXISTS` with the first reason, as Thanos' receivers do; the others are kept.
    async fn write(self, request: Bytes) -> Result<Response<WriteResponse>, Status> {
        let written =
            tokio::task::spawn_blocking(move || self.receiver.write_v1(&request, &*self.to))
                .await
                .map_err(|_| Status::internal("writing panicked; see the log"))?;
        match written {
            Ok(written) if written.refused == 0 => Ok(Response::new(WriteResponse {})),
            Ok(written) => {
                let reason = written.first_refusal.unwrap_or_default();
                let text = format!(
                    "{} samples were refused, the first one: {reason}",
                    written.refused
                );
                Err(Status::already_exists(text))
            }
            Err(error @ WriteError::Store(_)) => Err(Status::unavailable(error.to_string())),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }
}

/// Requests as bytes, answers as messages.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = WriteResponse;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = WriteResponse;
    type Error = Status;

    fn encode(&mut self, answer: WriteResponse, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        answer
            .encode(out)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, request: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(request.copy_to_bytes(request.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use proto::prometheus::Sample;
    use proto::prometheus_copy::TimeSeries;
    use proto::thanos::WriteRequest;
    use proto::thanos::writeable_store_client::WriteableStoreClient;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn request(series: usize, t_ms: i64, value: f64) -> WriteRequest {
        let series = (0..series).map(|i| TimeSeries {
            labels: proto::convert::labels_to_thanos(&model::Labels::from([
                ("__name__", "written"),
                ("i", &i.to_string()),
            ])),
            samples: vec![Sample {
                value,
                timestamp: t_ms,
            }],
            ..TimeSeries::default()
        });
        WriteRequest {
            timeseries: series.collect(),
            ..WriteRequest::default()
        }
    }

    #[tokio::test]
    async fn a_generated_client_finds_what_it_expects() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = tsdb::Options::new(dir.path());
        options.background = false;
        options.clock = Arc::new(|| NOW_MS);
        let db = Arc::new(tsdb::Db::open(options).unwrap());
        let store = Store {
            to: db.clone(),
            receiver: Arc::new(Receiver::new(1 << 20)),
            max_bytes: 100_000,
        };
        let mut client = WriteableStoreClient::new(store.clone());
        client
            .remote_write(request(100, NOW_MS, 1.0))
            .await
            .unwrap();
        assert_eq!(db.head_stats(1).series, 100);
        // The same again is no news; another value at the same time is refused.
        client
            .remote_write(request(100, NOW_MS, 1.0))
            .await
            .unwrap();
        let refused = client
            .remote_write(request(2, NOW_MS, 2.0))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert!(
            refused
                .message()
                .starts_with("2 samples were refused, the first one: ")
        );
        let large = client
            .remote_write(request(5000, NOW_MS, 1.0))
            .await
            .unwrap_err();
        assert_eq!(large.code(), Code::OutOfRange, "{large}");
        let bytes = Bytes::from_static(b"\x0a\xff\xff\xff\xff\x0f");
        let torn = store.clone().write(bytes).await.unwrap_err();
        assert_eq!(torn.code(), Code::InvalidArgument);
        let mut service = store;
        let other = axum::http::Request::post("/thanos.WriteableStore/Other");
        let other = other.body(Body::empty()).unwrap();
        let answer = tower::Service::call(&mut service, other).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "12");
    }
}
