//! Remote write 1.0, one request at a time: for whoever has samples and no write-ahead log.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use http_client::Client;
use prost::Message;

/// The part of an error's answer that is read for the message.
const MAX_ERROR_BYTES: usize = 1024;

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Sending it again may help.
    #[error("{0}")]
    Temporary(String),
    /// Sending it again does not help.
    #[error("{0}")]
    Permanent(String),
}

/// Where requests go, and how.
pub struct Push {
    client: Client,
    url: String,
    headers: HeaderMap,
    timeout: Duration,
}

/// A `prometheus.WriteRequest` as the body of a request: snappy, in a block.
///
/// # Panics
/// Never: a message longer than 4 GiB does not fit into memory of a message.
pub fn body(request: &impl Message) -> Bytes {
    let encoded = request.encode_to_vec();
    let packed = snap::raw::Encoder::new().compress_vec(&encoded);
    Bytes::from(packed.expect("snappy refuses blocks of more than 4 GiB only"))
}

impl Push {
    /// Sends to `url`, with these headers besides the protocol's.
    pub fn new(client: Client, url: String, headers: HeaderMap, timeout: Duration) -> Push {
        Push {
            client,
            url,
            headers,
            timeout,
        }
    }

    /// Sends a [`body`].
    ///
    /// # Errors
    /// [`PushError`]: by the answer's status, or because there was none in time.
    pub async fn send(&self, body: Bytes) -> Result<(), PushError> {
        match tokio::time::timeout(self.timeout, self.exchange(body)).await {
            Ok(sent) => sent,
            Err(_) => Err(PushError::Temporary(format!(
                "Post {:?}: context deadline exceeded",
                self.url
            ))),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<(), PushError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self
            .url
            .parse()
            .map_err(|e| PushError::Permanent(format!("{}: {e}", self.url)))?;
        let headers = request.headers_mut();
        for (name, value) in [
            (header::CONTENT_ENCODING.as_str(), "snappy"),
            (header::CONTENT_TYPE.as_str(), "application/x-protobuf"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(self.headers.clone());
        let response = self
            .client
            .send(request)
            .await
            .map_err(|e| PushError::Temporary(e.to_string()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = Limited::new(response.into_body(), MAX_ERROR_BYTES)
            .collect()
            .await;
        let body = body.map(|b| b.to_bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let line = text.lines().next().unwrap_or_default();
        let text = format!("server returned HTTP status {status}: {line}");
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(PushError::Temporary(text));
        }
        Err(PushError::Permanent(text))
    }
}
