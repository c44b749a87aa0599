//! API v2 over HTTP, with errors in the words of upstream's generated client.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gotemplate::escape_query;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use http_client::{BasicAuth, ClientOptions, HttpClientConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::Invocation;
use crate::models::Status;

/// A server to talk to.
pub struct Client {
    http: http_client::Client,
    base: String,
}

/// How upstream's client calls a request: its name, and the statuses that the interface defines.
pub struct Operation {
    method: Method,
    path: &'static str,
    name: &'static str,
    failures: &'static [(u16, &'static str)],
}

const BAD_REQUEST: (u16, &str) = (400, "BadRequest");
const NOT_FOUND: (u16, &str) = (404, "NotFound");
const SERVER_ERROR: (u16, &str) = (500, "InternalServerError");

const fn operation(
    method: Method,
    path: &'static str,
    name: &'static str,
    failures: &'static [(u16, &'static str)],
) -> Operation {
    Operation {
        method,
        path,
        name,
        failures,
    }
}

/// `GET /status`.
pub const GET_STATUS: Operation = operation(Method::GET, "/status", "getStatus", &[]);
/// `GET /alerts`.
pub const GET_ALERTS: Operation = operation(
    Method::GET,
    "/alerts",
    "getAlerts",
    &[BAD_REQUEST, SERVER_ERROR],
);
/// `POST /alerts`.
pub const POST_ALERTS: Operation = operation(
    Method::POST,
    "/alerts",
    "postAlerts",
    &[BAD_REQUEST, SERVER_ERROR],
);
/// `GET /silences`.
pub const GET_SILENCES: Operation = operation(
    Method::GET,
    "/silences",
    "getSilences",
    &[BAD_REQUEST, SERVER_ERROR],
);
/// `POST /silences`.
pub const POST_SILENCES: Operation = operation(
    Method::POST,
    "/silences",
    "postSilences",
    &[BAD_REQUEST, NOT_FOUND],
);
/// `GET /silence/{silenceID}`.
pub const GET_SILENCE: Operation = operation(
    Method::GET,
    "/silence/{silenceID}",
    "getSilence",
    &[NOT_FOUND, SERVER_ERROR],
);
/// `DELETE /silence/{silenceID}`.
pub const DELETE_SILENCE: Operation = operation(
    Method::DELETE,
    "/silence/{silenceID}",
    "deleteSilence",
    &[NOT_FOUND, SERVER_ERROR],
);

impl Client {
    /// The server that the flags name. Says on standard error if it is another version than we are.
    ///
    /// # Errors
    /// Flags that cannot be used.
    pub async fn new(invocation: &Invocation) -> Result<Client, String> {
        let url = invocation.text("alertmanager.url");
        let (base, user) = base(url)?;
        let file = invocation.text("http.config.file");
        let mut config = match file {
            "" => HttpClientConfig::default(),
            file => read_config(Path::new(file))?,
        };
        if let Some((username, password)) = user {
            if !file.is_empty() {
                return Err(
                    "basic authentication and http.config.file are mutually exclusive".to_owned(),
                );
            }
            config.basic_auth = Some(BasicAuth {
                username,
                password: password.into(),
                ..BasicAuth::default()
            });
        }
        let options = ClientOptions {
            user_agent: Some(HeaderValue::from_static("amtool")),
            ..ClientOptions::default()
        };
        let http = http_client::Client::new(&config, options)
            .map_err(|e| format!("failed to create a new HTTP client: {e}"))?;
        let client = Client { http, base };
        if invocation.is_on("version-check") {
            client.check_version().await;
        }
        Ok(client)
    }

    /// Only Firewatch's versions can be compared with ours.
    async fn check_version(&self) {
        let operation = GET_STATUS;
        let status = self.call::<Status>(&operation, "", &[], None);
        let Ok(Ok(status)) = tokio::time::timeout(Duration::from_secs(5), status).await else {
            return;
        };
        let theirs = &status.version_info;
        let ours = service::version::VERSION;
        let minor = |version: &str| -> Vec<String> {
            version.split('.').take(2).map(str::to_owned).collect()
        };
        if theirs.go_version.contains("rust") && minor(&theirs.version) != minor(ours) {
            eprintln!(
                "Warning: amtool version ({ours}) and alertmanager version ({}) are different.",
                theirs.version
            );
        }
    }

    /// Calls and reads the answer. `id` stands in the path.
    ///
    /// # Errors
    /// No answer, an answer that is a refusal, or one that cannot be read.
    pub async fn call<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        id: &str,
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<T, String> {
        let text = self.send(operation, id, query, body).await?;
        serde_json::from_slice(&text).map_err(|e| format!("cannot read the answer: {e}"))
    }

    /// Calls; answers the body of the success.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn send(
        &self,
        operation: &Operation,
        id: &str,
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<Bytes, String> {
        let path = operation.path.replace("{silenceID}", &escape_query(id));
        let mut query: Vec<(&str, &str)> = query.iter().map(|(k, v)| (*k, v.as_str())).collect();
        query.sort_by_key(|(name, _)| *name);
        let query: Vec<String> = query
            .into_iter()
            .map(|(name, value)| format!("{name}={}", escape_query(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{}", self.base, query.join("&"));
        let request = Request::builder()
            .method(operation.method.clone())
            .uri(&url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|e| format!("{url}: {e}"))?;
        let response = self.http.send(request).await.map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        let body = body.map_err(|e| e.to_string())?.to_bytes();
        if status == 200 {
            return Ok(body);
        }
        Err(operation.refusal(status, &body))
    }
}

impl Operation {
    fn refusal(&self, status: u16, body: &[u8]) -> String {
        let known = self.failures.iter().find(|(code, _)| *code == status);
        let Some((_, failure)) = known else {
            return format!(
                "[{} {}] {} (status {status}): {{}}",
                self.method, self.path, self.name
            );
        };
        let text: Option<String> = serde_json::from_slice(body).ok();
        let text = text.map_or(String::new(), |text| {
            format!(" {}", crate::format::go_json(&text))
        });
        format!(
            "[{} {}][{status}] {}{failure}{text}",
            self.method, self.path, self.name
        )
    }
}

/// JSON as a body.
///
/// # Errors
/// Never for our models.
pub fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|e| e.to_string())
}

/// A name and a password.
type User = (String, String);

/// The API's address, and who the URL says we are.
fn base(url: &str) -> Result<(String, Option<User>), String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| format!("parse {}: invalid URL", golang::strconv::quote(url)))?;
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (Some((name.to_owned(), password.to_owned())), host)
        }
        None => (None, authority),
    };
    let host = if host.is_empty() {
        "localhost:9093"
    } else {
        host
    };
    let path = path.trim_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    Ok((format!("{scheme}://{host}{slash}{path}/api/v2"), user))
}

fn read_config(file: &Path) -> Result<HttpClientConfig, String> {
    let failed = |e: String| format!("failed to load HTTP config file: {e}");
    let text = std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
    let mut config: HttpClientConfig =
        yaml_config::from_str(&text).map_err(|e| failed(e.to_string()))?;
    config.set_directory(file.parent().unwrap_or(Path::new("")));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, wanted, user) in [
            (
                "http://localhost:9093/",
                "http://localhost:9093/api/v2",
                None,
            ),
            ("https://x/prefix/", "https://x/prefix/api/v2", None),
            ("http://me:pw@x:1", "http://x:1/api/v2", Some(("me", "pw"))),
        ] {
            let (base, got) = base(url).unwrap();
            assert_eq!(base, wanted);
            let got = got.as_ref().map(|(a, b)| (a.as_str(), b.as_str()));
            assert_eq!(got, user);
        }
        assert!(base("::").is_err());
    }

    #[test]
    fn refusals_in_upstream_words() {
        for (operation, status, body, wanted) in [
            (
                &POST_ALERTS,
                400,
                "\"at least one label pair required\"",
                "[POST /alerts][400] postAlertsBadRequest \"at least one label pair required\"",
            ),
            (
                &DELETE_SILENCE,
                404,
                "",
                "[DELETE /silence/{silenceID}][404] deleteSilenceNotFound",
            ),
            (
                &GET_SILENCE,
                422,
                "{}",
                "[GET /silence/{silenceID}] getSilence (status 422): {}",
            ),
        ] {
            assert_eq!(operation.refusal(status, body.as_bytes()), wanted);
        }
    }
}
