//! Tokens by client credentials (RFC 6749 section 4.4), kept until shortly before they expire.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::{HttpClientConfig, OAuth2};
use crate::files::Source;
use crate::{Client, ClientOptions, Error};

/// Tokens are renewed so long before their end (golang.org/x/oauth2's `defaultExpiryDelta`).
const EARLY: Duration = Duration::from_secs(10);
/// No token answer is larger.
const MAX_ANSWER: usize = 1 << 20;

/// The source of a client's tokens.
pub struct Tokens {
    config: OAuth2,
    secret: Source,
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The token's header, when it has to be renewed, and the secret it was had with.
    token: Option<(HeaderValue, Option<Instant>, String)>,
    /// Servers that refuse the secret in a header get it in the body from then on.
    secret_in_body: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    error: Option<serde_json::Value>,
    #[serde(default)]
    error_description: Option<String>,
}

impl Tokens {
    /// Tokens of `config`'s server; asks for none yet.
    ///
    /// # Errors
    /// What of the section cannot be used.
    pub fn new(config: &OAuth2) -> Result<Tokens, Error> {
        let secret = Source::new(
            config.client_secret.clone(),
            &config.client_secret_file,
            &config.client_secret_ref,
        )
        .map_err(|reason| Error::Credentials(format!("unable to use client secret: {reason}")))?;
        let own = HttpClientConfig {
            tls_config: config.tls_config.clone(),
            proxy_url: config.proxy_url.clone(),
            no_proxy: config.no_proxy.clone(),
            proxy_from_environment: config.proxy_from_environment,
            proxy_connect_header: config.proxy_connect_header.clone(),
            ..HttpClientConfig::default()
        };
        Ok(Tokens {
            client: Client::new(&own, ClientOptions::default())?,
            config: config.clone(),
            secret,
            state: Mutex::default(),
        })
    }

    /// The `Authorization` header with a token that is good now.
    ///
    /// # Errors
    /// The server gave none.
    pub async fn header(&self) -> Result<HeaderValue, String> {
        // One at a time: others wait for the token that is being fetched.
        let mut state = self.state.lock().await;
        let secret = match (&state.token, self.secret.is_fixed()) {
            (Some((_, _, secret)), true) => secret.clone(),
            _ => self
                .secret
                .get()
                .map_err(|reason| format!("unable to read oauth2 client secret: {reason}"))?
                .reveal()
                .to_owned(),
        };
        if let Some((header, expiry, used)) = &state.token
            && *used == secret
            && expiry.is_none_or(|expiry| Instant::now() < expiry)
        {
            return Ok(header.clone());
        }
        let answer = self.fetch(&secret, &mut state.secret_in_body).await?;
        // Bearer is spelt in many ways.
        let kind = match answer.token_type.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer",
            "mac" => "MAC",
            "basic" => "Basic",
            _ => &answer.token_type,
        };
        let mut header = HeaderValue::from_str(&format!("{kind} {}", answer.access_token))
            .map_err(|_| "oauth2: the token is no valid header value".to_owned())?;
        header.set_sensitive(true);
        let seconds = match &answer.expires_in {
            Some(serde_json::Value::Number(number)) => number.as_f64(),
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let expiry = seconds
            .filter(|seconds| *seconds > 0.0 && *seconds < 1e9)
            .map(|seconds| Instant::now() + Duration::from_secs_f64(seconds).saturating_sub(EARLY));
        state.token = Some((header.clone(), expiry, secret));
        Ok(header)
    }

    /// The bare token, for protocols other than HTTP.
    ///
    /// # Errors
    /// The server gave none.
    pub async fn bearer(&self) -> Result<String, String> {
        let header = self.header().await?;
        let text = header.to_str().map_err(|error| error.to_string())?;
        Ok(text
            .split_once(' ')
            .map_or(text, |(_, token)| token)
            .to_owned())
    }

    async fn fetch(&self, secret: &str, secret_in_body: &mut bool) -> Result<Answer, String> {
        if *secret_in_body {
            return self.ask(secret, true).await.map_err(|(_, reason)| reason);
        }
        match self.ask(secret, false).await {
            Ok(answer) => Ok(answer),
            // Some servers know the secret only in the body (as golang.org/x/oauth2 tries).
            Err((true, first)) => match self.ask(secret, true).await {
                Ok(answer) => {
                    *secret_in_body = true;
                    Ok(answer)
                }
                Err(_) => Err(first),
            },
            Err((false, reason)) => Err(reason),
        }
    }

    /// One request. The error says whether the server answered at all.
    async fn ask(&self, secret: &str, in_body: bool) -> Result<Answer, (bool, String)> {
        let mut pairs: Vec<(&str, &str)> = vec![("grant_type", "client_credentials")];
        let scopes = self.config.scopes.join(" ");
        if !scopes.is_empty() {
            pairs.push(("scope", &scopes));
        }
        for (name, value) in &self.config.endpoint_params {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, value));
        }
        if in_body {
            pairs.push(("client_id", &self.config.client_id));
            pairs.push(("client_secret", secret));
        }
        let body: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", form_escape(name), form_escape(value)))
            .collect();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.config.token_url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if !in_body
            && let Some(value) =
                crate::auth::basic_value(&form_escape(&self.config.client_id), &form_escape(secret))
        {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request
            .body(Full::new(Bytes::from(body.join("&"))))
            .map_err(|error| (false, format!("oauth2: token_url: {error}")))?;
        // The client of a token server has no tokens of its own, so this recursion ends.
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| (false, error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| (false, format!("oauth2: cannot fetch token: {error}")))?
            .to_bytes();
        let failed = |text: String| (true, format!("oauth2: {text}"));
        if !status.is_success() {
            let shown = String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
            return Err(failed(format!(
                "cannot fetch token: {status}\nResponse: {shown}"
            )));
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| failed(format!("cannot parse json: {error}")))?;
        if let Some(error) = &answer.error {
            let description = answer.error_description.as_deref().unwrap_or_default();
            return Err(failed(
                format!("{error} {description}").trim_end().to_owned(),
            ));
        }
        if answer.access_token.is_empty() {
            return Err(failed("server response missing access_token".to_owned()));
        }
        Ok(answer)
    }
}

/// `application/x-www-form-urlencoded`, as Go's `url.QueryEscape`.
fn form_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
