//! The headers a client adds to each request.

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use yaml_config::Secret;

use crate::Error;
use crate::config::HttpClientConfig;
use crate::files::Source;
use crate::oauth2::Tokens;

/// Credentials and headers of a client.
pub(crate) struct Auth {
    credentials: Credentials,
    /// Headers from `http_headers` whose values are known.
    headers: HeaderMap,
    /// Those whose values are in files.
    from_files: Vec<(HeaderName, Source)>,
}

enum Credentials {
    None,
    /// A value that never changes.
    Fixed(HeaderValue),
    Basic {
        username: Source,
        password: Source,
    },
    Authorization {
        kind: String,
        credentials: Source,
    },
    Token(Box<Tokens>),
}

impl Auth {
    pub fn new(config: &HttpClientConfig) -> Result<Auth, Error> {
        let mut headers = HeaderMap::new();
        let mut from_files = Vec::new();
        for (name, header) in &config.http_headers {
            let bad = || Error::Header(format!("http_headers: {name:?} is no valid header"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            for value in &header.values {
                headers.append(
                    key.clone(),
                    HeaderValue::from_str(value).map_err(|_| bad())?,
                );
            }
            for secret in &header.secrets {
                headers.append(key.clone(), sensitive(secret.reveal()).ok_or_else(bad)?);
            }
            for file in &header.files {
                let source = Source::new(Secret::default(), file, "").map_err(Error::Header)?;
                from_files.push((key.clone(), source));
            }
        }
        Ok(Auth {
            credentials: credentials(config)?,
            headers,
            from_files,
        })
    }

    /// Adds what is configured; an `Authorization` that is already there stays.
    pub async fn apply(&self, headers: &mut HeaderMap) -> Result<(), String> {
        for (name, value) in &self.headers {
            // Several values of one name: the first replaces what was there.
            if self.headers.get(name) == Some(value) {
                headers.insert(name.clone(), value.clone());
            } else {
                headers.append(name.clone(), value.clone());
            }
        }
        for (name, source) in &self.from_files {
            let secret = source
                .get()
                .map_err(|reason| format!("unable to read headers file: {reason}"))?;
            let value = sensitive(secret.reveal())
                .ok_or_else(|| format!("the file of header {name} holds no valid value"))?;
            headers.append(name.clone(), value);
        }
        if headers.contains_key(header::AUTHORIZATION) {
            return Ok(());
        }
        let value = match &self.credentials {
            Credentials::None => return Ok(()),
            Credentials::Fixed(value) => value.clone(),
            Credentials::Basic { username, password } => {
                let username = username
                    .get()
                    .map_err(|reason| format!("unable to read basic auth username: {reason}"))?;
                let password = password
                    .get()
                    .map_err(|reason| format!("unable to read basic auth password: {reason}"))?;
                basic_value(username.reveal(), password.reveal())
                    .ok_or("basic auth username or password is no valid header value")?
            }
            Credentials::Authorization { kind, credentials } => {
                let credentials = credentials.get().map_err(|reason| {
                    format!("unable to read authorization credentials: {reason}")
                })?;
                sensitive(&format!("{kind} {}", credentials.reveal()))
                    .ok_or("authorization credentials are no valid header value")?
            }
            Credentials::Token(tokens) => tokens.header().await?,
        };
        headers.insert(header::AUTHORIZATION, value);
        Ok(())
    }
}

fn credentials(config: &HttpClientConfig) -> Result<Credentials, Error> {
    let wrong = |what: &str| {
        let what = what.to_owned();
        move |reason: String| Error::Credentials(format!("unable to use {what}: {reason}"))
    };
    if let Some(basic) = &config.basic_auth {
        let username = Source::new(
            Secret::new(basic.username.as_str()),
            &basic.username_file,
            &basic.username_ref,
        )
        .map_err(wrong("username"))?;
        let password = Source::new(
            basic.password.clone(),
            &basic.password_file,
            &basic.password_ref,
        )
        .map_err(wrong("password"))?;
        if let (Source::Inline(username), Source::Inline(password)) = (&username, &password) {
            return basic_value(username.reveal(), password.reveal())
                .map(Credentials::Fixed)
                .ok_or_else(|| {
                    Error::Credentials("basic_auth cannot be sent in a header".to_owned())
                });
        }
        return Ok(Credentials::Basic { username, password });
    }
    if let Some(authorization) = &config.authorization {
        let credentials = Source::new(
            authorization.credentials.clone(),
            &authorization.credentials_file,
            &authorization.credentials_ref,
        )
        .map_err(wrong("credentials"))?;
        // A section put together in code may not have been checked.
        let kind = if authorization.kind.is_empty() {
            "Bearer"
        } else {
            &authorization.kind
        };
        if let Source::Inline(secret) = &credentials {
            return sensitive(&format!("{kind} {}", secret.reveal()))
                .map(Credentials::Fixed)
                .ok_or_else(|| {
                    Error::Credentials("authorization cannot be sent in a header".to_owned())
                });
        }
        return Ok(Credentials::Authorization {
            kind: kind.to_owned(),
            credentials,
        });
    }
    if let Some(oauth2) = &config.oauth2 {
        return Ok(Credentials::Token(Box::new(Tokens::new(oauth2)?)));
    }
    Ok(Credentials::None)
}

/// `Basic <base64>`.
pub(crate) fn basic_value(username: &str, password: &str) -> Option<HeaderValue> {
    let encoded =
        base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    sensitive(&format!("Basic {encoded}"))
}

/// A value that is not printed and not indexed by HTTP/2.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
