//! A client of API v1, as upstream's tools have one.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use golang::strconv::format_float;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_api::answer::{self, Answer, AnswerError, AnswerValue};
use http_body_util::{BodyExt, Full};
use http_client::{Client, ClientOptions, HttpClientConfig};
use serde::de::DeserializeOwned;
use service::flags::Call;
use tokio::runtime::Runtime;

use super::print::LabelSet;
use crate::output::open_error;
use crate::time::seconds;

/// A server's API. Calls block.
pub struct Api {
    client: Client,
    base: String,
    headers: HeaderMap,
    runtime: Runtime,
}

/// Why a question got no answer.
#[derive(Debug)]
pub enum ApiFailure {
    /// No exchange.
    Transport(String),
    /// An answer that says so.
    Answer(AnswerError, String),
}

impl std::fmt::Display for ApiFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ApiFailure::Transport(error) => write!(f, "query error: {error}"),
            ApiFailure::Answer(error @ AnswerError::Status { .. }, detail)
                if !detail.is_empty() =>
            {
                write!(f, "query error: {error} (detail: {detail})")
            }
            ApiFailure::Answer(error, _) => write!(f, "query error: {error}"),
        }
    }
}

impl ApiFailure {
    /// The error without what the `query` commands put before it.
    pub fn plain(&self) -> String {
        match self {
            ApiFailure::Transport(error) => error.clone(),
            ApiFailure::Answer(error, _) => error.to_string(),
        }
    }
}

/// The runtime of a command.
///
/// # Errors
/// Where the operating system has no more threads or files.
pub fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
}

/// A client as `--http.config.file` says; with defaults where it is not given.
///
/// # Errors
/// Upstream's text.
pub fn client(call: &Call) -> Result<Client, String> {
    let mut config = HttpClientConfig::default();
    let file = call.flags.get("http.config.file").unwrap_or_default();
    if !file.is_empty() {
        let failed = |e: String| format!("Failed to load HTTP config file: {e}");
        let text = std::fs::read_to_string(file).map_err(|e| failed(open_error(file, &e)))?;
        config = yaml_config::from_str(&text).map_err(|e| failed(e.to_string()))?;
        config.set_directory(Path::new(file).parent().unwrap_or(Path::new("")));
    }
    let options = ClientOptions {
        user_agent: Some(HeaderValue::from_static(concat!(
            "promtool/",
            env!("CARGO_PKG_VERSION")
        ))),
        ..ClientOptions::default()
    };
    Client::new(&config, options).map_err(|e| format!("Failed to create HTTP round tripper: {e}"))
}

/// A header given as `name=value` or `name:value`.
///
/// # Errors
/// What is no header.
pub fn parse_header(pair: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("{pair:?} is no header");
    let (name, value) = pair.split_once(['=', ':']).ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

type Params<'a> = [(&'a str, String)];

impl Api {
    /// The server at `url`, with the client of the flags.
    ///
    /// # Errors
    /// A client that cannot be made.
    pub fn of_flags(call: &Call, url: &str) -> Result<Api, String> {
        let base = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        Ok(Api {
            client: client(call)?,
            base: base.trim_end_matches('/').to_owned(),
            headers: HeaderMap::new(),
            runtime: runtime()?,
        })
    }

    /// Sends a header with every request.
    ///
    /// # Errors
    /// What is no header.
    pub fn add_header(&mut self, pair: &str) -> Result<(), String> {
        let (name, value) = parse_header(pair)?;
        self.headers.append(name, value);
        Ok(())
    }

    async fn exchange(
        &self,
        method: Method,
        url: String,
        body: Option<String>,
    ) -> Result<(u16, Bytes), String> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|e| format!("parse {url:?}: {e}"))?;
        *request.headers_mut() = self.headers.clone();
        if let Some(body) = body {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(header::CONTENT_TYPE, form);
            *request.body_mut() = Full::new(Bytes::from(body));
        }
        let response = self.client.send(request).await.map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|e| format!("{url}: {e}"))?;
        Ok((status, body.to_bytes()))
    }

    /// Status and body of a page.
    ///
    /// # Errors
    /// Where there was no exchange within the time.
    pub fn get_page(&self, path: &str, timeout: Duration) -> Result<(u16, Bytes), String> {
        let url = format!("{}{path}", self.base);
        self.runtime.block_on(async {
            tokio::time::timeout(timeout, self.exchange(Method::GET, url.clone(), None))
                .await
                .unwrap_or_else(|_| Err(format!("Get {url:?}: context deadline exceeded")))
        })
    }

    /// Posts a question as a form; asks by GET a server that takes no POST.
    fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        params: &Params<'_>,
    ) -> Result<Answer<T>, ApiFailure> {
        let url = format!("{}/api/v1/{path}", self.base);
        let form = encode(params);
        let exchange = async {
            let posted = self
                .exchange(Method::POST, url.clone(), Some(form.clone()))
                .await?;
            match posted.0 {
                405 | 501 => {
                    self.exchange(Method::GET, format!("{url}?{form}"), None)
                        .await
                }
                _ => Ok(posted),
            }
        };
        read(self.runtime.block_on(exchange))
    }

    /// The answer to an instant query.
    pub fn instant(&self, query: &str, t_ms: i64) -> Result<Answer<AnswerValue>, ApiFailure> {
        self.ask(
            "query",
            &[("query", query.to_owned()), ("time", seconds(t_ms))],
        )
    }

    /// The answer to a range query.
    pub fn range(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step: Duration,
    ) -> Result<Answer<AnswerValue>, ApiFailure> {
        let step = format_float(step.as_secs_f64(), 'f', -1, 64);
        self.ask(
            "query_range",
            &[
                ("end", seconds(end_ms)),
                ("query", query.to_owned()),
                ("start", seconds(start_ms)),
                ("step", step),
            ],
        )
    }

    /// The series that satisfy one of the selectors.
    pub fn series(
        &self,
        selectors: &[String],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Answer<Vec<LabelSet>>, ApiFailure> {
        let mut params = vec![("end", seconds(end_ms))];
        params.extend(selectors.iter().map(|m| ("match[]", m.clone())));
        params.push(("start", seconds(start_ms)));
        self.ask("series", &params)
    }

    /// The values of a label.
    pub fn label_values(
        &self,
        name: &str,
        selectors: &[String],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Answer<Vec<String>>, ApiFailure> {
        let mut params = vec![("end", seconds(end_ms))];
        params.extend(selectors.iter().map(|m| ("match[]", m.clone())));
        params.push(("start", seconds(start_ms)));
        let name = gotemplate::escape_query(name);
        let url = format!(
            "{}/api/v1/label/{name}/values?{}",
            self.base,
            encode(&params)
        );
        read(self.runtime.block_on(self.exchange(Method::GET, url, None)))
    }
}

fn encode(params: &Params<'_>) -> String {
    let escape = gotemplate::escape_query;
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    pairs.join("&")
}

fn read<T: DeserializeOwned>(
    exchanged: Result<(u16, Bytes), String>,
) -> Result<Answer<T>, ApiFailure> {
    let (status, body) = exchanged.map_err(ApiFailure::Transport)?;
    answer::read(status, &body).map_err(|error| {
        let detail = String::from_utf8_lossy(&body).trim().to_owned();
        ApiFailure::Answer(error, detail)
    })
}
