//! `http_config` of the configuration files and the HTTP client it describes (prometheus/common
//! `config/http_config.go`): TLS, authentication, proxies, redirects, secrets that are read again
//! when their file changes.
//!
//! [`HttpClientConfig`] is what is written in YAML, checked with upstream's messages. A [`Client`] is
//! built from it once per scrape config, receiver or remote endpoint; it keeps its connections and is
//! cheap to clone. Timeouts of whole requests are the caller's: wrap the future.
//!
//! Not supported, refused by name: OAuth2's JWT grant, secret references (`*_ref`), TLS below 1.2.

mod auth;
mod client;
mod config;
mod connect;
mod error;
mod files;
mod oauth2;
mod proxy;
mod sigv4;
mod socks;
mod tls;

pub use client::{Client, ClientOptions, Sending};
pub use config::{
    Authorization, BasicAuth, Header, HttpClientConfig, OAuth2, ProxyConfig, TlsConfig, TlsVersion,
    reserved_header,
};
pub use error::Error;
pub use oauth2::Tokens;
pub use sigv4::{AwsCredentials, SigningScope, sign_v4};
pub use tls::client_config;
