//! Alerts to an Alertmanager over its API v2.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use http_client::Client;
use model::{Alert, Labels};
use relabel::Rule;
use serde_json::json;

use super::{SendError, Sender};

/// The part of an error's answer that is read for the log.
const MAX_ERROR_BYTES: usize = 4096;

/// An Alertmanager at a URL.
pub struct HttpReceiver {
    client: Client,
    url: String,
    timeout: Duration,
    /// The rules of its set; those of all sets have been applied before.
    relabel: Vec<Rule>,
}

impl HttpReceiver {
    /// The Alertmanager whose `POST` endpoint is at `url`.
    pub fn new(client: Client, url: String, timeout: Duration, relabel: Vec<Rule>) -> HttpReceiver {
        HttpReceiver {
            client,
            url,
            timeout,
            relabel,
        }
    }

    async fn post(&self, alerts: &[Alert]) -> Result<(), SendError> {
        let alerts: Vec<serde_json::Value> = alerts
            .iter()
            .filter_map(|alert| self.alert_json(alert))
            .collect();
        if alerts.is_empty() {
            return Ok(());
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(
                serde_json::Value::Array(alerts).to_string(),
            )))
            .map_err(|e| SendError::Permanent(format!("{}: {e}", self.url)))?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|e| SendError::Temporary(e.to_string()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = Limited::new(response.into_body(), MAX_ERROR_BYTES)
            .collect()
            .await;
        let body = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned());
        let text = format!(
            "bad response status {status}: {}",
            body.unwrap_or_default().trim()
        );
        // 4xx says that the request is wrong, and it stays wrong; 429 that it is too much just now.
        if status.is_client_error() && status.as_u16() != 429 {
            return Err(SendError::Permanent(text));
        }
        Err(SendError::Temporary(text))
    }

    fn alert_json(&self, alert: &Alert) -> Option<serde_json::Value> {
        let labels = relabel::relabel(&alert.labels, &self.relabel)?;
        Some(json!({
            "labels": map(&labels),
            "annotations": map(&alert.annotations),
            "startsAt": time(alert.starts_at_ms),
            "endsAt": alert.ends_at_ms.map(time),
            "generatorURL": alert.generator_url,
        }))
    }
}

fn map(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map(|t| t.to_string())
        .unwrap_or_default()
}

impl Sender for HttpReceiver {
    fn send<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            match tokio::time::timeout(self.timeout, self.post(alerts)).await {
                Ok(sent) => sent,
                Err(_) => Err(SendError::Temporary(format!(
                    "no answer within {:?}",
                    self.timeout
                ))),
            }
        })
    }
}
