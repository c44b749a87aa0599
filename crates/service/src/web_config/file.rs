//! The file as it is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use yaml_config::Secret;

use super::auth::RateLimit;

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "web.Config", default)]
pub(super) struct WebConfig {
    pub tls_server_config: TlsServerConfig,
    pub http_server_config: HttpServerConfig,
    pub rate_limit: RateLimitConfig,
    basic_auth_users: BTreeMap<String, Secret>,
}

/// `tls_server_config`: the listening side of TLS, as exporter-toolkit writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename = "web.TLSConfig", default)]
pub struct TlsServerConfig {
    /// The certificate chain, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: Secret,
    /// Who signs the certificates of clients, PEM.
    pub client_ca: String,
    /// A file with the certificate chain.
    pub cert_file: PathBuf,
    /// A file with the key.
    pub key_file: PathBuf,
    /// Go's name of what is asked of clients.
    pub client_auth_type: String,
    /// A file with who signs the certificates of clients.
    pub client_ca_file: PathBuf,
    /// Go's names of TLS 1.2 suites; empty: all that are spoken.
    pub cipher_suites: Vec<String>,
    /// Go's names of curves; empty: all that are spoken.
    pub curve_preferences: Vec<String>,
    /// `TLS12` or `TLS13`; older ones are not spoken.
    pub min_version: String,
    /// The same.
    pub max_version: String,
    /// Accepted for the files that have it; Go has ignored it since 1.18, rustls prefers its own order.
    pub prefer_server_cipher_suites: bool,
    /// Names of which a client's certificate must have one.
    pub client_allowed_sans: Option<Vec<String>>,
}

impl TlsServerConfig {
    /// Makes relative paths relative to `directory`.
    pub fn set_directory(&mut self, directory: &Path) {
        for path in [
            &mut self.cert_file,
            &mut self.key_file,
            &mut self.client_ca_file,
        ] {
            if !path.as_os_str().is_empty() && path.is_relative() {
                *path = directory.join(&*path);
            }
        }
    }

    /// The same for rustls, for listeners that are not HTTP. Reads the files now.
    ///
    /// # Errors
    /// Upstream's message: what is missing, unreadable or not spoken.
    pub fn for_rustls(&self) -> Result<Arc<rustls::ServerConfig>, String> {
        super::tls::server_config(self, false)
    }

    /// Whether a client's certificate has one of the `client_allowed_sans`.
    ///
    /// # Errors
    /// What was expected.
    pub fn check_client_name(
        &self,
        certificates: &[rustls_pki_types::CertificateDer<'_>],
    ) -> Result<(), String> {
        super::tls::check_sans(certificates, self.client_allowed_sans.as_deref())
    }
}

impl Default for TlsServerConfig {
    fn default() -> TlsServerConfig {
        TlsServerConfig {
            cert: String::new(),
            key: Secret::default(),
            client_ca: String::new(),
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            client_auth_type: String::new(),
            client_ca_file: PathBuf::new(),
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            min_version: "TLS12".to_owned(),
            max_version: "TLS13".to_owned(),
            prefer_server_cipher_suites: true,
            client_allowed_sans: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename = "web.HTTPConfig", default)]
pub(super) struct HttpServerConfig {
    pub http2: bool,
    headers: BTreeMap<String, String>,
}

impl Default for HttpServerConfig {
    fn default() -> HttpServerConfig {
        HttpServerConfig {
            http2: true,
            headers: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename = "web.RateLimiterConfig", default)]
pub(super) struct RateLimitConfig {
    burst: u32,
    interval: String,
    #[serde(skip)]
    parsed: Duration,
}

impl RateLimitConfig {
    pub fn limit(&self) -> Option<RateLimit> {
        (!self.parsed.is_zero()).then_some(RateLimit {
            interval: self.parsed,
            burst: self.burst,
        })
    }
}

impl WebConfig {
    /// Decodes the file; relative paths are below `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<WebConfig, String> {
        let mut config: WebConfig =
            yaml_config::from_str(text).map_err(|error| error.to_string())?;
        config.tls_server_config.set_directory(directory);
        let limit = &mut config.rate_limit;
        if !limit.interval.is_empty() {
            limit.parsed = crate::flags::parse_go_duration(&limit.interval)
                .map_err(|reason| format!("rate_limit.interval: {reason}"))?;
        }
        Ok(config)
    }

    /// Names and bcrypt hashes.
    pub fn users(self) -> Result<Vec<(String, String)>, String> {
        self.basic_auth_users
            .into_iter()
            .map(|(name, hash)| {
                hash.reveal()
                    .parse::<bcrypt::HashParts>()
                    .map_err(|error| {
                        format!(
                            "basic_auth_users: the password of {name:?} is no bcrypt hash: {error}"
                        )
                    })?;
                Ok((name, hash.reveal().to_owned()))
            })
            .collect()
    }
}

impl TlsServerConfig {
    /// Whether any field asks for TLS.
    pub fn is_enabled(&self) -> bool {
        !(self.cert.is_empty()
            && self.key.is_empty()
            && self.client_ca.is_empty()
            && self.client_auth_type.is_empty()
            && self.files().is_empty())
    }

    pub fn files(&self) -> Vec<PathBuf> {
        [&self.cert_file, &self.key_file, &self.client_ca_file]
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty())
            .cloned()
            .collect()
    }
}

/// Headers that may be set and the values allowed for them; no values: any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("Content-Security-Policy", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

impl HttpServerConfig {
    /// The headers of every answer.
    pub fn header_values(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let mut out = Vec::new();
        for (name, value) in &self.headers {
            let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| known == name) else {
                return Err(format!("HTTP header {name:?} can not be configured"));
            };
            if !allowed.is_empty() && !allowed.iter().any(|word| word.eq_ignore_ascii_case(value)) {
                return Err(format!(
                    "invalid value for {name}. Expected one of: {allowed:?}, but got: {value:?}"
                ));
            }
            // An empty value leaves the header out.
            if value.is_empty() {
                continue;
            }
            let bytes = HeaderValue::from_str(value)
                .map_err(|_| format!("invalid value for {name}: {value:?}"))?;
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            out.push((name, bytes));
        }
        Ok(out)
    }
}
