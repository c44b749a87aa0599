//! Scalar types of `alertmanager.yml`: URLs, secret URLs, addresses, Go durations.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use yaml_config::{SECRET_TEXT, Url};

use super::settings::Unset;

/// An HTTP or HTTPS URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// Checks scheme and host as upstream does.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn parse(text: &str) -> Result<HttpUrl, String> {
        let url: Url = text
            .parse()
            .map_err(|e: yaml_config::UrlError| e.to_string())?;
        let scheme = url.scheme().to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            let scheme = golang::strconv::quote(&scheme);
            return Err(format!("unsupported scheme {scheme} for URL"));
        }
        if url.authority().is_empty() {
            return Err("missing host for URL".to_owned());
        }
        Ok(HttpUrl(url))
    }

    /// The URL as text, with any password.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same URL with a slash at the end of its path.
    #[must_use]
    pub fn with_trailing_slash(self) -> HttpUrl {
        let text = self.as_str();
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let (path, rest) = text.split_at(end);
        if path.ends_with('/') {
            return self;
        }
        HttpUrl::parse(&format!("{path}/{rest}")).unwrap_or(self)
    }
}

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HttpUrl, D::Error> {
        HttpUrl::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A URL that holds a secret, such as that of an incoming webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The URL itself, for requests only. Empty if it was read back from a printed configuration.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&HttpUrl> for SecretUrl {
    fn from(url: &HttpUrl) -> SecretUrl {
        SecretUrl(url.as_str().to_owned())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECRET_TEXT)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretUrl, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == SECRET_TEXT {
            return Ok(SecretUrl(String::new()));
        }
        let url = HttpUrl::parse(&text).map_err(serde::de::Error::custom)?;
        Ok(SecretUrl(url.as_str().to_owned()))
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SECRET_TEXT)
    }
}

/// A secret URL that may be a template; it is checked here only if it is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretTemplateUrl(String);

impl SecretTemplateUrl {
    /// The text itself, for requests only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it has to be expanded before use.
    pub fn is_template(&self) -> bool {
        self.0.contains("{{")
    }
}

impl Unset for SecretTemplateUrl {
    fn unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretTemplateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECRET_TEXT)
    }
}

impl<'de> Deserialize<'de> for SecretTemplateUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = SecretTemplateUrl(String::deserialize(deserializer)?);
        if !url.0.is_empty() && url.0 != SECRET_TEXT && !url.is_template() {
            HttpUrl::parse(&url.0)
                .map_err(|e| serde::de::Error::custom(format!("invalid URL: {e}")))?;
        }
        Ok(url)
    }
}

impl Serialize for SecretTemplateUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SECRET_TEXT)
    }
}

/// `host:port`; empty if it is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPort {
    /// The host, without brackets.
    pub host: String,
    /// The port, a number or a service name.
    pub port: String,
}

impl HostPort {
    fn parse(text: &str) -> Result<HostPort, String> {
        let problem = |what: &str| Err(format!("address {text}: {what}"));
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                None => return problem("missing ']' in address"),
                Some((host, after)) => match after.strip_prefix(':') {
                    Some(port) => (host, port),
                    None => return problem("missing port in address"),
                },
            },
            None => match text.rsplit_once(':') {
                None => return problem("missing port in address"),
                Some((host, _)) if host.contains(':') => {
                    return problem("too many colons in address");
                }
                Some(pair) => pair,
            },
        };
        if port.is_empty() {
            return Err(format!(
                "address {}: port cannot be empty",
                golang::strconv::quote(text)
            ));
        }
        Ok(HostPort {
            host: host.to_owned(),
            port: port.to_owned(),
        })
    }
}

impl Unset for HostPort {
    fn unset(&self) -> bool {
        self.host.is_empty() && self.port.is_empty()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unset() {
            Ok(())
        } else if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostPort, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(HostPort::default()),
            text => HostPort::parse(text).map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration as Go's `time.Duration`: `1m0s`, `500ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl GoDuration {
    /// The duration, or `None` for zero, which upstream takes for no bound.
    pub fn bound(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl Unset for GoDuration {
    fn unset(&self) -> bool {
        self.0.is_zero()
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoDuration, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(GoDuration::default());
        }
        let ns = golang::time::parse_duration(&text)
            .map_err(|e| serde::de::Error::custom(e.to_string()))?;
        let ns = u64::try_from(ns)
            .map_err(|_| serde::de::Error::custom(format!("negative duration {text}")))?;
        Ok(GoDuration(Duration::from_nanos(ns)))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ns = i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX);
        serializer.serialize_str(&golang::time::format_duration(ns))
    }
}
