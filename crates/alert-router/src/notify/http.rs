//! Requests to receivers: how they are made, what their answers mean, what may be logged.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use http_client::{Client, ClientOptions};
use serde_json::Value;
use yaml_config::Secret;

use super::{Failure, FailureReason};
use crate::config::HttpConfig;

/// No more of an answer is read.
const MAX_ANSWER: usize = 1 << 20;
/// No more of an answer is put into an error.
const MAX_DETAILS: usize = 1000;

/// A client for one integration.
#[derive(Debug)]
pub struct Http {
    client: Client,
    timeout: Option<Duration>,
}

/// What a receiver answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The body.
    pub body: String,
}

impl Http {
    /// A client as `http_config` says; `timeout` bounds each request.
    ///
    /// # Errors
    /// What is wrong with the section.
    pub fn new(config: Option<&HttpConfig>, timeout: Option<Duration>) -> Result<Http, String> {
        let config = config.cloned().unwrap_or_default();
        let agent = concat!("Alertmanager/", env!("CARGO_PKG_VERSION"), " (firewatch)");
        let options = ClientOptions {
            user_agent: Some(HeaderValue::from_static(agent)),
            ..ClientOptions::default()
        };
        let client = Client::new(&config, options).map_err(|e| e.to_string())?;
        Ok(Http { client, timeout })
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// If there is no answer; the URL is not part of the message.
    pub async fn post_json(&self, url: &str, body: &Value) -> Result<Answer, Failure> {
        self.send_json(Method::POST, url, body, &[]).await
    }

    /// Posts a text that is JSON already.
    ///
    /// # Errors
    /// As [`Http::post_json`].
    pub async fn post_json_text(&self, url: &str, text: String) -> Result<Answer, Failure> {
        let mut bytes = text.into_bytes();
        bytes.push(b'\n');
        let kind = "application/json";
        self.send(Method::POST, url, kind, bytes, &[]).await
    }

    /// Sends JSON.
    ///
    /// # Errors
    /// As [`Http::post_json`].
    pub async fn send_json(
        &self,
        method: Method,
        url: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let mut bytes = body.to_string().into_bytes();
        bytes.push(b'\n');
        self.send(method, url, "application/json", bytes, headers)
            .await
    }

    /// Posts a form.
    ///
    /// # Errors
    /// As [`Http::post_json`].
    pub async fn post_form(&self, url: &str, form: &[(&str, String)]) -> Result<Answer, Failure> {
        let pairs: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", gotemplate::escape_query(value)))
            .collect();
        let body = pairs.join("&").into_bytes();
        let kind = "application/x-www-form-urlencoded";
        self.send(Method::POST, url, kind, body, &[]).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(escape_url(url))
            .header(CONTENT_TYPE, content_type);
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| Failure::lasting(format!("invalid value for header {name}")))?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        // The builder's own message would repeat the URL.
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Failure::lasting("the receiver's URL is not valid"))?;
        debug_assert!(!request.headers().contains_key(USER_AGENT));
        let exchange = self.exchange(request);
        match self.timeout {
            None => exchange.await,
            Some(timeout) => tokio::time::timeout(timeout, exchange)
                .await
                .unwrap_or_else(|_| {
                    let duration = golang::time::format_duration(timeout.as_nanos() as i64);
                    let text = format!(
                        "Post \"<redacted>\": context deadline exceeded (timeout {duration})"
                    );
                    Err(Failure::passing(text).because(FailureReason::ContextDeadlineExceeded))
                }),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let response = self.client.send(request).await.map_err(|error| {
            Failure::passing(match error {
                http_client::Error::Request {
                    operation, source, ..
                } => {
                    format!("{operation} \"<redacted>\": {source}")
                }
                other => other.to_string(),
            })
        })?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        // An answer that breaks off or is too long still has its status.
        let body = match Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
        {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Err(_) => String::new(),
        };
        Ok(Answer {
            status,
            content_type,
            body,
        })
    }
}

impl Answer {
    /// The same answer with another body.
    #[must_use]
    pub fn with_body(self, body: String) -> Answer {
        Answer { body, ..self }
    }

    /// The same answer without its body, for receivers whose answers may hold secrets.
    #[must_use]
    pub fn without_body(self) -> Answer {
        self.with_body(String::new())
    }

    /// 2xx is success, 5xx and the statuses in `retry` may pass, all else stays.
    ///
    /// # Errors
    /// Upstream's message with the body.
    pub fn check(self, retry: &[u16]) -> Result<Answer, Failure> {
        if self.status / 100 == 2 {
            return Ok(self);
        }
        let details = truncate(self.body.trim().to_owned(), MAX_DETAILS);
        let colon = if details.is_empty() { "" } else { ": " };
        Err(Failure {
            retry: self.status / 100 == 5 || retry.contains(&self.status),
            reason: FailureReason::of_status(self.status),
            message: format!("unexpected status code {}{colon}{details}", self.status),
        })
    }
}

/// A secret, inline or from its file, which is read anew each time.
///
/// # Errors
/// If the file cannot be read.
pub async fn secret(inline: &Secret, file: &str) -> Result<String, Failure> {
    if inline.is_empty() {
        secret_file(file).await
    } else {
        Ok(inline.reveal().to_owned())
    }
}

/// A secret from a file, without blanks around it.
///
/// # Errors
/// If the file cannot be read.
pub async fn secret_file(file: &str) -> Result<String, Failure> {
    match tokio::fs::read_to_string(file).await {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(e) => Err(Failure::lasting(format!("could not read {file}: {e}"))),
    }
}

/// Cuts a text to a number of characters, with an ellipsis as the last one.
pub fn truncate(text: String, max: usize) -> String {
    if text.chars().count() <= max {
        return text;
    }
    if max <= 3 {
        return text.chars().take(max).collect();
    }
    let mut cut: String = text.chars().take(max - 1).collect();
    cut.push('…');
    cut
}

/// A JSON object without fields that hold nothing, except those in `keep`.
pub fn without_empty(value: Value, keep: &[&str]) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, value)| keep.contains(&name.as_str()) || !empty(value))
            .collect(),
        other => other,
    }
}

/// A URL with what may not stand in one escaped, as Go does: templates put blanks and umlauts there.
fn escape_url(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'!' | b'#'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again() {
        for (status, retry, reason) in [
            (500, true, FailureReason::ServerError),
            (503, true, FailureReason::ServerError),
            (429, true, FailureReason::RateLimited),
            (400, false, FailureReason::ClientError),
            (401, false, FailureReason::AuthError),
            (302, false, FailureReason::Other),
        ] {
            let answer = Answer {
                status,
                content_type: String::new(),
                body: "why\n".to_owned(),
            };
            let failure = answer.check(&[429]).unwrap_err();
            assert_eq!((failure.retry, failure.reason), (retry, reason), "{status}");
            assert_eq!(
                failure.message,
                format!("unexpected status code {status}: why")
            );
        }
    }

    #[test]
    fn urls_may_hold_what_templates_make() {
        let url = "https://u:p@h:1/a%20b/Disk full/ü<\"?q=1&r=[2]#f";
        let wanted = "https://u:p@h:1/a%20b/Disk%20full/%C3%BC%3C%22?q=1&r=[2]#f";
        assert_eq!(escape_url(url), wanted);
    }

    #[test]
    fn texts_are_cut_by_characters() {
        assert_eq!(truncate("äöü".to_owned(), 3), "äöü");
        assert_eq!(truncate("äöüäöü".to_owned(), 5), "äöüä…");
    }
}
