//! Remote write, one request at a time: what the queues send with, and whoever has samples and no
//! write-ahead log.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use http_client::Client;
use prost::Message;

/// The part of an error's answer that is read for the message.
const MAX_ERROR_BYTES: usize = 1024;
/// The part of any other answer that is read, so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Which message a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    V1,
    V2,
}

impl Protocol {
    /// The message's name, as configurations and content types have it.
    pub const fn message(self) -> &'static str {
        match self {
            Protocol::V1 => "prometheus.WriteRequest",
            Protocol::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// The protocol of a message's name.
    pub fn of_message(name: &str) -> Option<Protocol> {
        [Protocol::V1, Protocol::V2]
            .into_iter()
            .find(|protocol| protocol.message() == name)
    }

    const fn content_type(self) -> &'static str {
        match self {
            Protocol::V1 => "application/x-protobuf",
            Protocol::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    const fn version(self) -> &'static str {
        match self {
            Protocol::V1 => "0.1.0",
            Protocol::V2 => "2.0.0",
        }
    }
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PushError {
    pub text: String,
    /// The answer's status; none where there was no answer.
    pub status: Option<u16>,
    /// How long the receiver wants us to wait.
    pub retry_after: Option<Duration>,
    /// What the receiver says it stored all the same.
    pub stored: Option<Stored>,
    permanent: bool,
}

impl PushError {
    fn new(text: String, permanent: bool) -> PushError {
        PushError {
            text,
            status: None,
            retry_after: None,
            stored: None,
            permanent,
        }
    }

    /// A receiver of version 2.0 has to say what it stored, and did not.
    pub(crate) fn unconfirmed() -> PushError {
        let text = "sent a request of remote write 2.0 and got a 2xx answer without the headers that say what was stored: the receiver may only know version 1.0 and not look at the content type";
        PushError::new(text.to_owned(), true)
    }

    /// Whether sending it again may help: after no answer and the server's failures, and after
    /// "too many requests" for those who want that.
    pub fn is_temporary(&self, retry_on_429: bool) -> bool {
        match self.status {
            Some(429) => retry_on_429,
            Some(status) => (500..600).contains(&status),
            None => !self.permanent,
        }
    }
}

/// What a receiver of version 2.0 says it stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Stored {
    fn of(headers: &HeaderMap) -> Option<Stored> {
        let number = |kind: &str| -> Option<u64> {
            let name = format!("x-prometheus-remote-write-{kind}-written");
            headers.get(name)?.to_str().ok()?.parse().ok()
        };
        Some(Stored {
            samples: number("samples")?,
            histograms: number("histograms").unwrap_or(0),
            exemplars: number("exemplars").unwrap_or(0),
        })
    }
}

/// Where requests go, and how.
#[derive(Clone)]
pub struct Push {
    client: Client,
    url: String,
    headers: HeaderMap,
    timeout: Duration,
    protocol: Protocol,
}

/// A `prometheus.WriteRequest` as the body of a request: snappy, in a block.
pub fn body(request: &impl Message) -> Bytes {
    compress(&request.encode_to_vec())
}

/// An encoded request as a body.
///
/// # Panics
/// Never: a message longer than 4 GiB does not fit into memory of a message.
pub(crate) fn compress(encoded: &[u8]) -> Bytes {
    let packed = snap::raw::Encoder::new().compress_vec(encoded);
    Bytes::from(packed.expect("snappy refuses blocks of more than 4 GiB only"))
}

impl Push {
    /// Sends to `url` by version 1.0, with these headers besides the protocol's.
    pub fn new(client: Client, url: String, headers: HeaderMap, timeout: Duration) -> Push {
        Push {
            client,
            url,
            headers,
            timeout,
            protocol: Protocol::V1,
        }
    }

    /// The same by another version.
    #[must_use]
    pub fn with_protocol(self, protocol: Protocol) -> Push {
        Push { protocol, ..self }
    }

    /// Sends a [`body`].
    ///
    /// # Errors
    /// [`PushError`]: by the answer's status, or because there was none in time.
    pub async fn send(&self, body: Bytes) -> Result<(), PushError> {
        self.attempt(body, 0).await.map(|_| ())
    }

    /// Sends a body of this protocol for the `retry`-th time after the first; answers what the
    /// receiver says it stored, if it says so.
    ///
    /// # Errors
    /// As [`Push::send`].
    pub async fn attempt(&self, body: Bytes, retry: u32) -> Result<Option<Stored>, PushError> {
        match tokio::time::timeout(self.timeout, self.exchange(body, retry)).await {
            Ok(sent) => sent,
            Err(_) => {
                let text = format!("Post {:?}: context deadline exceeded", self.url);
                Err(PushError::new(text, false))
            }
        }
    }

    async fn exchange(&self, body: Bytes, retry: u32) -> Result<Option<Stored>, PushError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            (self.url.parse()).map_err(|e| PushError::new(format!("{}: {e}", self.url), true))?;
        let headers = request.headers_mut();
        for (name, value) in [
            (header::CONTENT_ENCODING.as_str(), "snappy"),
            (header::CONTENT_TYPE.as_str(), self.protocol.content_type()),
            ("x-prometheus-remote-write-version", self.protocol.version()),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if retry > 0 {
            headers.insert("retry-attempt", HeaderValue::from(retry));
        }
        headers.extend(self.headers.clone());
        let sent = self.client.send(request).await;
        let response = sent.map_err(|e| PushError::new(e.to_string(), false))?;
        self.outcome(response).await
    }

    async fn outcome<B>(&self, response: Response<B>) -> Result<Option<Stored>, PushError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let status = response.status();
        let stored = Stored::of(response.headers());
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let most = match status.is_success() {
            true => MAX_ANSWER_BYTES,
            false => MAX_ERROR_BYTES,
        };
        let body = Limited::new(response.into_body(), most).collect().await;
        if status.is_success() {
            return Ok(stored);
        }
        let body = body.map(|b| b.to_bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let line = text.lines().next().unwrap_or_default();
        Err(PushError {
            text: format!("server returned HTTP status {status}: {line}"),
            status: Some(status.as_u16()),
            retry_after: retry_after
                .filter(|_| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS),
            stored,
            permanent: false,
        })
    }
}

/// What `Retry-After` says: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text)
        .ok()?
        .duration_since(now)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_back() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (text, seconds) in [
            ("7", Some(7)),
            ("Tue, 14 Nov 2023 22:14:20 GMT", Some(60)),
            ("Tue, 14 Nov 2023 22:10:20 GMT", None),
            ("soon", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            let found = retry_after(&headers, now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn which_refusals_are_final() {
        let of = |status| PushError {
            status,
            ..PushError::new(String::new(), false)
        };
        for (status, without, with) in [
            (None, true, true),
            (Some(400), false, false),
            (Some(429), false, true),
            (Some(500), true, true),
            (Some(503), true, true),
        ] {
            let error = of(status);
            let found = (error.is_temporary(false), error.is_temporary(true));
            assert_eq!(found, (without, with), "{status:?}");
        }
    }
}
