//! The `tracing` section: where traces of the server itself go.

use std::collections::BTreeMap;
use std::path::Path;

use http_client::TlsConfig;
use serde::{Deserialize, Serialize};
use yaml_config::Duration;

use crate::checked::{checked, zero};
use crate::headers::{TRACING_AUTHORIZATION, check_headers};

/// The collector, and what share of traces it gets.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(remote = "Self", default, rename = "config.plain")]
pub struct TracingConfig {
    /// `http` or `grpc`.
    #[serde(skip_serializing_if = "zero")]
    pub client_type: String,
    #[serde(skip_serializing_if = "zero")]
    pub endpoint: String,
    /// From 0 to 1.
    #[serde(skip_serializing_if = "zero")]
    pub sampling_fraction: f64,
    #[serde(skip_serializing_if = "zero")]
    pub insecure: bool,
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    #[serde(skip_serializing_if = "zero")]
    pub headers: BTreeMap<String, String>,
    /// Empty or `gzip`.
    #[serde(skip_serializing_if = "zero")]
    pub compression: String,
    #[serde(skip_serializing_if = "zero")]
    pub timeout: Duration,
}

impl Default for TracingConfig {
    fn default() -> TracingConfig {
        TracingConfig {
            client_type: "grpc".to_owned(),
            endpoint: String::new(),
            sampling_fraction: 0.0,
            insecure: false,
            tls_config: TlsConfig::default(),
            headers: BTreeMap::new(),
            compression: String::new(),
            timeout: Duration::ZERO,
        }
    }
}

checked! { TracingConfig }

impl TracingConfig {
    fn check(&mut self) -> Result<(), String> {
        // A client that is null is none.
        if !["", "http", "grpc"].contains(&self.client_type.as_str()) {
            return Err(format!(
                "expected tracing client type to be to be http or grpc, but got {}",
                self.client_type
            ));
        }
        check_headers(&self.headers, TRACING_AUTHORIZATION)?;
        if self.endpoint.is_empty() {
            return Err("tracing endpoint must be set".to_owned());
        }
        if !["", "gzip"].contains(&self.compression.as_str()) {
            return Err(format!(
                "invalid compression type {} provided, valid options: gzip",
                self.compression
            ));
        }
        Ok(())
    }

    pub(crate) fn set_directory(&mut self, dir: &Path) {
        self.tls_config.set_directory(dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_in_upstreams_words() {
        for (text, error) in [
            (
                "client_type: pigeon",
                "expected tracing client type to be to be http or grpc, but got pigeon",
            ),
            ("insecure: true", "tracing endpoint must be set"),
            (
                "{endpoint: a, compression: lz4}",
                "invalid compression type lz4 provided, valid options: gzip",
            ),
        ] {
            let read = yaml_config::from_str::<TracingConfig>(text);
            assert_eq!(read.unwrap_err().message(), error, "{text}");
        }
    }
}
