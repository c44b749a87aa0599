//! gRPC calls by the HTTP client that everything else here uses. A transport of tonic's own would bring
//! HTTP/2 into the program a second time, for a call now and then.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{PathAndQuery, Uri};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use http_client::{Client, ClientOptions, HttpClientConfig};
use tonic::Status;

/// A server of gRPC: connected when first asked, and again whenever needed. Requests are sent as a whole,
/// answers may be streams.
#[derive(Clone)]
pub struct GrpcClient {
    client: Client,
    address: String,
    timeout: Duration,
}

impl GrpcClient {
    /// The server at `address` (`host:port`), which has `timeout` for the head of an answer.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(address: &str, timeout: Duration) -> Result<GrpcClient, String> {
        let options = ClientOptions {
            http2_only: true,
            ..ClientOptions::default()
        };
        let client = Client::new(&HttpClientConfig::default(), options);
        let server = GrpcClient {
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

impl tower::Service<Request<tonic::body::Body>> for GrpcClient {
    type Response = Response<tonic::body::Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

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

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::GrpcServices;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn about(service: &str) -> HealthCheckRequest {
        HealthCheckRequest {
            service: service.to_owned(),
        }
    }

    /// An answer, an error instead of one, the first of a stream, and nobody there.
    #[tokio::test]
    async fn calls() {
        let services = GrpcServices::new(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = services.into_router();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });

        let mut client = HealthClient::new(GrpcClient::new(&address, TIMEOUT).unwrap());
        let answer = client.check(about("")).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
        let refused = client.check(about("nobody.knows")).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        let mut stream = client.watch(about("")).await.unwrap().into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);
        server.abort();

        // A port that is taken, but that nobody listens on.
        let deaf = tokio::net::TcpSocket::new_v4().unwrap();
        deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let deaf_address = deaf.local_addr().unwrap().to_string();
        let mut nobody = HealthClient::new(GrpcClient::new(&deaf_address, TIMEOUT).unwrap());
        let gone = nobody.check(about("")).await.unwrap_err();
        assert_eq!(gone.code(), Code::Unavailable);
        assert!(gone.message().contains("connection refused"), "{gone}");
        assert!(GrpcClient::new("not a host", TIMEOUT).is_err());
    }
}
