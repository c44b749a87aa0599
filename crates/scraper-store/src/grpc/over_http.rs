//! gRPC calls by the HTTP client that everything else here uses. A transport of tonic's own would bring
//! HTTP/2 into the program a second time, for a call now and then.

use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{Request, Response};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use http_client::{Client, ClientOptions, HttpClientConfig};
use tonic::Status;

/// A server of gRPC: connected when first asked, and again whenever needed. Requests are sent as a whole,
/// answers may be streams.
#[derive(Clone)]
pub(super) struct OverHttp {
    client: Client,
    address: String,
    timeout: Duration,
}

impl OverHttp {
    /// The server at `address` (`host:port`), which has `timeout` for the head of an answer.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(address: &str, timeout: Duration) -> Result<OverHttp, String> {
        let options = ClientOptions {
            http2_only: true,
            ..ClientOptions::default()
        };
        let client = Client::new(&HttpClientConfig::default(), options);
        let server = OverHttp {
            client: client.map_err(|error| error.to_string())?,
            address: address.to_owned(),
            timeout,
        };
        server.uri("/").map(|_| server)
    }

    fn uri(&self, path: &str) -> Result<Uri, String> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.address.as_str())
            .path_and_query(path)
            .build();
        uri.map_err(|error| format!("{:?} is no host:port: {error}", self.address))
    }
}

impl tower::Service<Request<tonic::body::Body>> for OverHttp {
    type Response = Response<tonic::body::Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
            parts.uri = server.uri(path).map_err(Status::internal)?;
            let body = Full::new(body.collect().await?.to_bytes());
            let sent = server.client.send(Request::from_parts(parts, body));
            match tokio::time::timeout(server.timeout, sent).await {
                Ok(Ok(response)) => Ok(response.map(tonic::body::Body::new)),
                Ok(Err(error)) => Err(Status::unavailable(error.to_string())),
                Err(_) => Err(Status::deadline_exceeded("Timeout expired")),
            }
        })
    }
}
