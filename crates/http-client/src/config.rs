//! The section as it is written, and its checks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use yaml_config::{Secret, Url, at_most_one};

/// How to reach something over HTTP: `http_config`, and the same fields inlined in scrape configs.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", rename = "config.plain", default)]
pub struct HttpClientConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
    /// Deprecated; becomes `authorization` when the section is checked.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub bearer_token: Secret,
    /// Deprecated; becomes `authorization` when the section is checked.
    #[serde(skip_serializing_if = "no_path")]
    pub bearer_token_file: PathBuf,
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    #[serde(skip_serializing_if = "Url::is_empty")]
    pub proxy_url: Url,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_proxy: String,
    #[serde(skip_serializing_if = "is_false")]
    pub proxy_from_environment: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub http_headers: BTreeMap<String, Header>,
}

impl Default for HttpClientConfig {
    /// Follows redirects and speaks HTTP/2 where offered.
    fn default() -> HttpClientConfig {
        HttpClientConfig {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: Secret::default(),
            bearer_token_file: PathBuf::new(),
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy_url: Url::default(),
            no_proxy: String::new(),
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            http_headers: BTreeMap::new(),
        }
    }
}

/// User name and password.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename = "config.plain", default)]
pub struct BasicAuth {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "no_path")]
    pub username_file: PathBuf,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username_ref: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    #[serde(skip_serializing_if = "no_path")]
    pub password_file: PathBuf,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password_ref: String,
}

/// An `Authorization` header of any type but Basic.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename = "config.Authorization", default)]
pub struct Authorization {
    /// `Bearer` once the section is checked.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub credentials: Secret,
    #[serde(skip_serializing_if = "no_path")]
    pub credentials_file: PathBuf,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credentials_ref: String,
}

/// Client credentials for a token.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", rename = "config.plain", default)]
pub struct OAuth2 {
    pub client_id: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub client_secret: Secret,
    #[serde(skip_serializing_if = "no_path")]
    pub client_secret_file: PathBuf,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_secret_ref: String,
    /// Empty or `client_credentials`; anything else is refused.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub grant_type: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    pub token_url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoint_params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    #[serde(skip_serializing_if = "Url::is_empty")]
    pub proxy_url: Url,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_proxy: String,
    #[serde(skip_serializing_if = "is_false")]
    pub proxy_from_environment: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
}

/// The proxy fields, which several sections inline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProxyConfig {
    pub proxy_url: Url,
    pub no_proxy: String,
    pub proxy_from_environment: bool,
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
}

/// Values of a header that is added to requests: plain, secret, from files.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename = "config.Header", default)]
pub struct Header {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
}

/// A TLS version by Go's name. 1.0 and 1.1 can be written; as a minimum they mean 1.2, which is the
/// least this client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

/// `tls_config`: whom to trust, who we are.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", rename = "config.plain", default)]
pub struct TlsConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert: String,
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub key: Secret,
    #[serde(skip_serializing_if = "no_path")]
    pub ca_file: PathBuf,
    #[serde(skip_serializing_if = "no_path")]
    pub cert_file: PathBuf,
    #[serde(skip_serializing_if = "no_path")]
    pub key_file: PathBuf,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key_ref: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    pub insecure_skip_verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
}

fn no_path(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Derived code is reached through the types' own functions (`remote = "Self"`), so that the trait
/// can check what was read.
macro_rules! checked {
    ($($kind:ty),* $(,)?) => {$(
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut value = Self::deserialize(deserializer)?;
                value.validate().map_err(serde::de::Error::custom)?;
                Ok(value)
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    )*};
}

checked! { HttpClientConfig, OAuth2, TlsConfig }

impl HttpClientConfig {
    /// Checks the section and turns `bearer_token` into `authorization`. Reading YAML does this; it
    /// is public for sections put together in code.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn validate(&mut self) -> Result<(), String> {
        let has_token = !self.bearer_token.is_empty();
        let has_token_file = !no_path(&self.bearer_token_file);
        at_most_one(
            "",
            &[
                ("bearer_token", has_token),
                ("bearer_token_file", has_token_file),
            ],
        )?;
        if (self.basic_auth.is_some() || self.oauth2.is_some()) && (has_token || has_token_file) {
            return Err("at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured".to_owned());
        }
        if let Some(basic) = &self.basic_auth {
            basic.validate()?;
        }
        match &mut self.authorization {
            Some(authorization) => {
                if has_token || has_token_file {
                    return Err(
                        "authorization is not compatible with bearer_token & bearer_token_file"
                            .to_owned(),
                    );
                }
                authorization.validate()?;
                if self.basic_auth.is_some() || self.oauth2.is_some() {
                    return Err(
                        "at most one of basic_auth, oauth2 & authorization must be configured"
                            .to_owned(),
                    );
                }
            }
            None if has_token || has_token_file => {
                self.authorization = Some(Authorization {
                    kind: "Bearer".to_owned(),
                    credentials: std::mem::take(&mut self.bearer_token),
                    credentials_file: std::mem::take(&mut self.bearer_token_file),
                    credentials_ref: String::new(),
                });
            }
            None => {}
        }
        if let Some(oauth2) = &mut self.oauth2 {
            if self.basic_auth.is_some() {
                return Err(
                    "at most one of basic_auth, oauth2 & authorization must be configured"
                        .to_owned(),
                );
            }
            oauth2.validate()?;
        }
        self.proxy().validate()?;
        // The files of headers are read when a request needs them: relative paths are not resolved yet.
        match self.http_headers.keys().find(|name| reserved_header(name)) {
            Some(name) => Err(format!(
                "setting header {:?} is not allowed",
                canonical(name)
            )),
            None => Ok(()),
        }
    }

    /// Makes relative paths relative to `directory`, that of the configuration file.
    pub fn set_directory(&mut self, directory: &Path) {
        self.tls_config.set_directory(directory);
        join(directory, &mut self.bearer_token_file);
        if let Some(basic) = &mut self.basic_auth {
            join(directory, &mut basic.username_file);
            join(directory, &mut basic.password_file);
        }
        if let Some(authorization) = &mut self.authorization {
            join(directory, &mut authorization.credentials_file);
        }
        if let Some(oauth2) = &mut self.oauth2 {
            join(directory, &mut oauth2.client_secret_file);
            oauth2.tls_config.set_directory(directory);
        }
        for header in self.http_headers.values_mut() {
            for file in &mut header.files {
                join(directory, file);
            }
        }
    }

    /// The proxy fields.
    pub fn proxy(&self) -> ProxyConfig {
        ProxyConfig {
            proxy_url: self.proxy_url.clone(),
            no_proxy: self.no_proxy.clone(),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: self.proxy_connect_header.clone(),
        }
    }
}

impl BasicAuth {
    fn validate(&self) -> Result<(), String> {
        at_most_one(
            "basic_auth",
            &[
                ("username", !self.username.is_empty()),
                ("username_file", !no_path(&self.username_file)),
                ("username_ref", !self.username_ref.is_empty()),
            ],
        )?;
        at_most_one(
            "basic_auth",
            &[
                ("password", !self.password.is_empty()),
                ("password_file", !no_path(&self.password_file)),
                ("password_ref", !self.password_ref.is_empty()),
            ],
        )
    }
}

impl Authorization {
    fn validate(&mut self) -> Result<(), String> {
        let given = [
            !self.credentials.is_empty(),
            !no_path(&self.credentials_file),
            !self.credentials_ref.is_empty(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            return Err(
                "at most one of authorization credentials & credentials_file must be configured"
                    .to_owned(),
            );
        }
        self.kind = self.kind.trim().to_owned();
        if self.kind.is_empty() {
            self.kind = "Bearer".to_owned();
        }
        if self.kind.eq_ignore_ascii_case("basic") {
            return Err(
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl OAuth2 {
    fn validate(&mut self) -> Result<(), String> {
        if self.client_id.is_empty() {
            return Err("oauth2 client_id must be configured".to_owned());
        }
        if self.token_url.is_empty() {
            return Err("oauth2 token_url must be configured".to_owned());
        }
        if !matches!(self.grant_type.as_str(), "" | "client_credentials") {
            return Err(format!(
                "oauth2 grant_type {:?} is not supported, only \"client_credentials\" is",
                self.grant_type
            ));
        }
        at_most_one(
            "oauth2",
            &[
                ("client_secret", !self.client_secret.is_empty()),
                ("client_secret_file", !no_path(&self.client_secret_file)),
                ("client_secret_ref", !self.client_secret_ref.is_empty()),
            ],
        )?;
        self.proxy().validate()
    }

    /// The proxy fields.
    pub fn proxy(&self) -> ProxyConfig {
        ProxyConfig {
            proxy_url: self.proxy_url.clone(),
            no_proxy: self.no_proxy.clone(),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: self.proxy_connect_header.clone(),
        }
    }
}

impl ProxyConfig {
    fn validate(&self) -> Result<(), String> {
        let message = if !self.proxy_connect_header.is_empty()
            && !self.proxy_from_environment
            && self.proxy_url.is_empty()
        {
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured"
        } else if self.proxy_from_environment && !self.proxy_url.is_empty() {
            "if proxy_from_environment is configured, proxy_url must not be configured"
        } else if self.proxy_from_environment && !self.no_proxy.is_empty() {
            "if proxy_from_environment is configured, no_proxy must not be configured"
        } else if self.proxy_url.is_empty() && !self.no_proxy.is_empty() {
            "if no_proxy is configured, proxy_url must also be configured"
        } else {
            return Ok(());
        };
        Err(message.to_owned())
    }
}

impl TlsConfig {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == TlsConfig::default()
    }

    /// Makes relative paths relative to `directory`.
    pub fn set_directory(&mut self, directory: &Path) {
        for path in [&mut self.ca_file, &mut self.cert_file, &mut self.key_file] {
            join(directory, path);
        }
    }

    /// Checks the section; reading YAML does this.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn validate(&mut self) -> Result<(), String> {
        let given = |text: bool, file: &Path, reference: &str| {
            (!text, !no_path(file), !reference.is_empty())
        };
        let (ca, ca_file, ca_ref) = given(self.ca.is_empty(), &self.ca_file, &self.ca_ref);
        let (cert, cert_file, cert_ref) =
            given(self.cert.is_empty(), &self.cert_file, &self.cert_ref);
        let (key, key_file, key_ref) = given(self.key.is_empty(), &self.key_file, &self.key_ref);
        at_most_one("", &[("ca", ca), ("ca_file", ca_file), ("ca_ref", ca_ref)])?;
        at_most_one(
            "",
            &[
                ("cert", cert),
                ("cert_file", cert_file),
                ("cert_ref", cert_ref),
            ],
        )?;
        if [key, key_file, key_ref]
            .iter()
            .filter(|given| **given)
            .count()
            > 1
        {
            return Err("at most one of key and key_file must be configured".to_owned());
        }
        let (has_cert, has_key) = (cert || cert_file || cert_ref, key || key_file || key_ref);
        if has_cert && !has_key {
            return Err("exactly one of key or key_file must be configured when a client certificate is configured".to_owned());
        }
        if has_key && !has_cert {
            return Err("exactly one of cert or cert_file must be configured when a client key is configured".to_owned());
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "TLS10" => Ok(TlsVersion::Tls10),
            "TLS11" => Ok(TlsVersion::Tls11),
            "TLS12" => Ok(TlsVersion::Tls12),
            "TLS13" => Ok(TlsVersion::Tls13),
            other => Err(serde::de::Error::custom(format!(
                "unknown TLS version: {other}"
            ))),
        }
    }
}

impl Serialize for TlsVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            TlsVersion::Tls10 => "TLS10",
            TlsVersion::Tls11 => "TLS11",
            TlsVersion::Tls12 => "TLS12",
            TlsVersion::Tls13 => "TLS13",
        })
    }
}

fn join(directory: &Path, path: &mut PathBuf) {
    if !no_path(path) && path.is_relative() {
        *path = directory.join(&*path);
    }
}

/// Whether a header belongs to the connection or to upstream and cannot be configured.
pub fn reserved_header(name: &str) -> bool {
    const RESERVED: [&str; 18] = [
        "authorization",
        "host",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "accept-encoding",
        "x-prometheus-remote-write-version",
        "x-prometheus-remote-read-version",
        "x-prometheus-scrape-timeout-seconds",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ];
    RESERVED.contains(&name.to_ascii_lowercase().as_str())
}

/// Go's spelling of a header name: `X-Some-Thing`.
fn canonical(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_ascii_uppercase().to_string() + &letters.as_str().to_ascii_lowercase()
            })
        })
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(yaml: &str) -> String {
        yaml_config::from_str::<HttpClientConfig>(yaml)
            .unwrap_err()
            .message()
    }

    #[test]
    fn refusals_are_upstreams() {
        for (yaml, message) in [
            (
                "{bearer_token: a, bearer_token_file: b}",
                "at most one of bearer_token & bearer_token_file must be configured",
            ),
            (
                "{bearer_token: a, basic_auth: {username: b}}",
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            ),
            (
                "{basic_auth: {password: a, password_file: b}}",
                "at most one of basic_auth password, password_file & password_ref must be configured",
            ),
            (
                "{basic_auth: {username: a, username_file: b}}",
                "at most one of basic_auth username, username_file & username_ref must be configured",
            ),
            (
                "{authorization: {credentials: a}, bearer_token: b}",
                "authorization is not compatible with bearer_token & bearer_token_file",
            ),
            (
                "{authorization: {credentials: a, credentials_file: b}}",
                "at most one of authorization credentials & credentials_file must be configured",
            ),
            (
                "{authorization: {type: BASIC}}",
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            ),
            (
                "{authorization: {}, basic_auth: {}}",
                "at most one of basic_auth, oauth2 & authorization must be configured",
            ),
            (
                "{oauth2: {client_id: a, token_url: b}, basic_auth: {}}",
                "at most one of basic_auth, oauth2 & authorization must be configured",
            ),
            (
                "{oauth2: {token_url: b}}",
                "oauth2 client_id must be configured",
            ),
            (
                "{oauth2: {client_id: b}}",
                "oauth2 token_url must be configured",
            ),
            (
                "{oauth2: {client_id: b, token_url: c, client_secret: d, client_secret_file: e}}",
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured",
            ),
            (
                "{tls_config: {ca: a, ca_file: b}}",
                "at most one of ca, ca_file & ca_ref must be configured",
            ),
            (
                "{tls_config: {cert: a}}",
                "exactly one of key or key_file must be configured when a client certificate is configured",
            ),
            (
                "{tls_config: {key_file: a}}",
                "exactly one of cert or cert_file must be configured when a client key is configured",
            ),
            (
                "{tls_config: {min_version: TLS9}}",
                "unknown TLS version: TLS9",
            ),
            (
                "{no_proxy: a}",
                "if no_proxy is configured, proxy_url must also be configured",
            ),
            (
                "{proxy_from_environment: true, proxy_url: 'http://a'}",
                "if proxy_from_environment is configured, proxy_url must not be configured",
            ),
            (
                "{proxy_connect_header: {a: [b]}}",
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            ),
            (
                "{http_headers: {user-agent: {values: [a]}}}",
                "setting header \"User-Agent\" is not allowed",
            ),
            (
                "{foo: 1}",
                "yaml: unmarshal errors:\n  line 1: field foo not found in type config.plain",
            ),
        ] {
            assert_eq!(error(yaml), message, "{yaml}");
        }
    }

    #[test]
    fn a_bearer_token_becomes_an_authorization() {
        let config: HttpClientConfig = yaml_config::from_str("bearer_token: 12345").unwrap();
        let authorization = config.authorization.clone().unwrap();
        assert_eq!(
            (
                authorization.kind.as_str(),
                authorization.credentials.reveal()
            ),
            ("Bearer", "12345")
        );
        assert_eq!(
            yaml_config::to_string(&config).unwrap(),
            "authorization:\n  type: Bearer\n  credentials: <secret>\nfollow_redirects: true\nenable_http2: true\n"
        );
    }

    #[test]
    fn prints_only_what_was_set() {
        let yaml = "basic_auth:\n  username: u\n  password: p\ntls_config:\n  insecure_skip_verify: true\nproxy_url: http://u:p@proxy:1\nfollow_redirects: false\n";
        let config: HttpClientConfig = yaml_config::from_str(yaml).unwrap();
        assert_eq!(
            yaml_config::to_string(&config).unwrap(),
            "basic_auth:\n  username: u\n  password: <secret>\ntls_config:\n  insecure_skip_verify: true\nfollow_redirects: false\nenable_http2: true\nproxy_url: http://u:xxxxx@proxy:1\n"
        );
    }

    #[test]
    fn relative_files_are_beside_the_configuration() {
        let mut config: HttpClientConfig =
            yaml_config::from_str("{bearer_token_file: token, tls_config: {ca_file: /ca}}")
                .unwrap();
        config.set_directory(Path::new("/etc/x"));
        assert_eq!(
            config.authorization.unwrap().credentials_file,
            Path::new("/etc/x/token")
        );
        assert_eq!(config.tls_config.ca_file, Path::new("/ca"));
    }

    #[test]
    fn inlines() {
        #[derive(Deserialize)]
        struct Job {
            job_name: String,
        }
        type Scrape = yaml_config::Inline<Job, HttpClientConfig>;
        let scrape: Scrape =
            yaml_config::from_str("{job_name: a, basic_auth: {username: 1}, enable_http2: no}")
                .unwrap();
        assert_eq!(scrape.job_name, "a");
        assert!(!scrape.inlined.enable_http2 && scrape.inlined.follow_redirects);
        assert_eq!(scrape.inlined.basic_auth.unwrap().username, "1");
        assert!(yaml_config::from_str::<Scrape>("{job_name: a, basic_aut: {}}").is_err());
    }
}
