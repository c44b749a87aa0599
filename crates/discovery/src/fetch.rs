//! Asking an HTTP API and reading its answer.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use http_client::Client;
use serde::de::DeserializeOwned;

/// An answer longer than this is no list of targets.
const MAX_BODY_BYTES: usize = 256 << 20;

/// A whole answer, whatever its status.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The beginning of the body, for messages.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]);
        text.trim().to_owned()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// A header, empty where it is absent or no text.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// Sends a request and reads the whole answer. How long that may take is the caller's to say.
pub(crate) async fn fetch(client: &Client, request: Request<Bytes>) -> Result<Answer, String> {
    let response = client
        .send(request.map(Full::new))
        .await
        .map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.map_err(|error| error.to_string())?.to_bytes(),
    })
}

/// A `GET` without a body.
pub(crate) fn get(url: &str) -> Result<Request<Bytes>, String> {
    let request = Request::get(url).body(Bytes::new());
    request.map_err(|error| error.to_string())
}
