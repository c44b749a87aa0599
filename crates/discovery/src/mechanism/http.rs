//! `http_sd_configs`: target groups from an HTTP endpoint (prometheus/prometheus `discovery/http`).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_client::{Client, ClientOptions, HttpClientConfig};
use parking_lot::Mutex;
use serde::de::{Deserialize, Deserializer, Error as _};
use yaml_config::{Inline, Url};

use super::{Mechanism, Updates, vanished};
use crate::fetch::{fetch, get};
use crate::group::{TargetGroup, parse_groups_json};
use crate::metrics::Metrics;
use crate::refresh;

/// A section of `http_sd_configs`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct HttpConfig(Inline<HttpSection, HttpClientConfig>);

/// The section's own fields.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(default, rename = "http.plain")]
pub struct HttpSection {
    pub refresh_interval: yaml_config::Duration,
    pub url: String,
}

impl Default for HttpSection {
    fn default() -> HttpSection {
        HttpSection {
            refresh_interval: yaml_config::Duration::from_secs(60),
            url: String::new(),
        }
    }
}

impl HttpConfig {
    /// The endpoint.
    pub fn url(&self) -> &str {
        &self.0.own.url
    }
}

impl<'de> Deserialize<'de> for HttpConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HttpConfig, D::Error> {
        let section: Inline<HttpSection, HttpClientConfig> = Inline::deserialize(deserializer)?;
        let text = &section.own.url;
        if text.is_empty() {
            return Err(D::Error::custom("URL is missing"));
        }
        let url: Url = text.parse().map_err(D::Error::custom)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(D::Error::custom("URL scheme must be 'http' or 'https'"));
        }
        if url.host().is_empty() {
            return Err(D::Error::custom("host is missing in URL"));
        }
        Ok(HttpConfig(section))
    }
}

impl Mechanism for HttpConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        self.0.inlined.set_directory(dir);
    }

    fn run(self: Box<Self>, updates: Updates, metrics: Metrics) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let interval = *self.0.own.refresh_interval;
            let url = self.url().to_owned();
            let section = &self.0.inlined;
            let options = ClientOptions::default();
            let Some(client) = updates.client(("http", &url), section, options, &metrics) else {
                return;
            };
            let endpoint = Arc::new(Endpoint {
                url: url.clone(),
                client,
                interval,
                known: Mutex::default(),
            });
            let counted = metrics.clone();
            let look = || {
                let (endpoint, metrics) = (endpoint.clone(), counted.clone());
                async move {
                    let result = endpoint.look().await;
                    if result.is_err() {
                        metrics.http_failures.inc();
                    }
                    result
                }
            };
            refresh::every(interval, ("http", &url), &metrics, &updates, look).await;
        })
    }
}

struct Endpoint {
    url: String,
    client: Client,
    interval: Duration,
    /// The groups of the last answer.
    known: Mutex<BTreeSet<String>>,
}

impl Endpoint {
    async fn look(&self) -> Result<Vec<TargetGroup>, String> {
        // An answer that takes longer than the interval is none.
        let fetch = tokio::time::timeout(self.interval, self.fetch());
        let body = fetch.await.map_err(|_| {
            format!(
                "Get {}: context deadline exceeded",
                golang::strconv::quote(&self.url)
            )
        })??;
        let sections = parse_groups_json(&body)?;
        let group = |(i, section): (usize, crate::GroupSection)| {
            section.into_group(format!("{}:{i}", self.url), &[("__meta_url", &self.url)])
        };
        let mut groups: Vec<TargetGroup> = sections.into_iter().enumerate().map(group).collect();
        let sources = groups.iter().map(|group| group.source.clone()).collect();
        let before = std::mem::replace(&mut *self.known.lock(), sources);
        groups.extend(vanished(&before, &groups));
        Ok(groups)
    }

    async fn fetch(&self) -> Result<Bytes, String> {
        let mut request = get(&self.url)?;
        let headers = request.headers_mut();
        headers.insert("Accept", http::HeaderValue::from_static("application/json"));
        if let Ok(value) = seconds(self.interval).parse() {
            headers.insert("X-Prometheus-Refresh-Interval-Seconds", value);
        }
        let answer = fetch(&self.client, request).await?;
        if answer.status != http::StatusCode::OK {
            return Err(format!("server returned HTTP status {}", answer.status));
        }
        let content_type = answer.header("content-type");
        if !is_json(content_type) {
            let content_type = golang::strconv::quote(content_type);
            return Err(format!("unsupported content type {content_type}"));
        }
        Ok(answer.body)
    }
}

fn seconds(interval: Duration) -> String {
    golang::strconv::format_float(interval.as_secs_f64(), 'f', -1, 64)
}

/// `application/json`, in UTF-8 if it says in what.
fn is_json(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("application/json") else {
        return false;
    };
    matches!(
        rest.strip_prefix(';').map(str::trim_start),
        Some("charset=utf-8" | "charset=\"utf-8\"")
    ) || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Reply, serve};

    #[test]
    fn sections() {
        let parse = |text: &str| yaml_config::from_str::<HttpConfig>(text);
        let config =
            parse("{url: 'http://x/y', refresh_interval: 5s, basic_auth: {username: u}}").unwrap();
        assert_eq!(config.url(), "http://x/y");
        for (text, error) in [
            ("{}", "URL is missing"),
            ("{url: 'ftp://x'}", "URL scheme must be 'http' or 'https'"),
            ("{url: 'http://'}", "host is missing in URL"),
        ] {
            assert_eq!(parse(text).unwrap_err().message(), error);
        }
        for (content_type, json) in [
            ("application/json", true),
            ("Application/JSON; charset=\"UTF-8\"", true),
            ("application/json; charset=latin1", false),
            ("text/html", false),
        ] {
            assert_eq!(is_json(content_type), json, "{content_type}");
        }
    }

    #[tokio::test]
    async fn groups_come_and_go_and_failures_change_nothing() {
        let answers = [
            (
                200,
                "application/json",
                r#"[{"targets":["a:1"]},{"targets":["b:1"],"labels":{"x":"y"}}]"#,
            ),
            (200, "application/json", r#"[{"targets":["a:1"]}]"#),
            (500, "", ""),
            (200, "text/html", "[]"),
            (200, "application/json", "[null]"),
        ];
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let url = serve(move |asked| {
            assert_eq!(asked.header("x-prometheus-refresh-interval-seconds"), "10");
            let (status, content_type, body) = answers.lock().next().unwrap();
            let reply = Reply::status(status, body).header("Content-Type", content_type);
            async move { reply }
        })
        .await;
        let url = format!("{url}/targets");
        let endpoint = Endpoint {
            url: url.clone(),
            client: Client::new(&HttpClientConfig::default(), ClientOptions::default()).unwrap(),
            interval: Duration::from_secs(10),
            known: Mutex::default(),
        };
        let groups = endpoint.look().await.unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[1].source, format!("{url}:1"));
        assert_eq!(groups[1].labels.get("__meta_url"), url);
        assert_eq!(groups[1].labels.get("x"), "y");
        let groups = endpoint.look().await.unwrap();
        assert_eq!(groups.len(), 2);
        assert!(groups[1].targets.is_empty(), "the second went away");
        let errors = [
            "server returned HTTP status 500 Internal Server Error",
            "unsupported content type \"text/html\"",
            "nil target group item found (index 0)",
        ];
        for error in errors {
            assert_eq!(endpoint.look().await.unwrap_err(), error);
        }
        assert_eq!(endpoint.known.lock().len(), 1);
    }
}
