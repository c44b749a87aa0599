//! The servers that the flags name: who answers queries, and who takes results.

use std::path::Path;
use std::time::Duration;

use http_client::{Client, ClientOptions, HttpClientConfig};
use remote::push::Push;
use service::{Args, Error};

use crate::query::{GrpcSource, HttpOptions, HttpSource, Source};
use crate::receivers::channel;
use crate::write::{GrpcSink, HttpSink, Sink};

/// How long one write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Who answers queries.
///
/// # Errors
/// Flags that name no server.
pub fn source(args: &Args) -> Result<Box<dyn Source>, Error> {
    let timeout = args.duration("query.timeout");
    let url = args.str("query.url");
    if url.is_empty() {
        let address = args.str("query.grpc-address");
        let channel = channel(address).map_err(Error::new)?;
        return Ok(Box::new(GrpcSource::new(channel, address, timeout)));
    }
    Ok(Box::new(HttpSource::new(HttpOptions {
        client: client("query.http-config-file", args.str("query.http-config-file"))?,
        url: checked_url("query.url", url)?,
        get: args.str("query.http-method") == "GET",
        timeout,
    })))
}

/// Who takes results.
///
/// # Errors
/// Flags that name no server, or two.
pub fn sink(args: &Args) -> Result<Box<dyn Sink>, Error> {
    let grpc = args.str("write.grpc-address");
    let (query_url, write_url) = (args.str("query.url"), args.str("write.url"));
    if !grpc.is_empty() && !write_url.is_empty() {
        return Err(Error::new(
            "--write.grpc-address and --write.url name two stores: give one of them",
        ));
    }
    let url = match (write_url, query_url) {
        ("", "") => None,
        ("", _) if !grpc.is_empty() => None,
        ("", query) => Some(format!("{}/api/v1/write", query.trim_end_matches('/'))),
        (write, _) => Some(write.to_owned()),
    };
    let Some(url) = url else {
        let address = match grpc {
            "" => args.str("query.grpc-address"),
            address => address,
        };
        return Ok(Box::new(GrpcSink::new(
            channel(address).map_err(Error::new)?,
        )));
    };
    let (flag, file) = match args.str("write.http-config-file") {
        "" => ("query.http-config-file", args.str("query.http-config-file")),
        file => ("write.http-config-file", file),
    };
    let push = Push::new(
        client(flag, file)?,
        checked_url("write.url", &url)?,
        http::HeaderMap::new(),
        WRITE_TIMEOUT,
    );
    Ok(Box::new(HttpSink::new(push)))
}

fn checked_url(flag: &str, url: &str) -> Result<String, Error> {
    let named = |reason: &str| Error::new(format!("--{flag}: {url:?} {reason}"));
    let uri: http::Uri = url.parse().map_err(|e| named(&format!("is no URL: {e}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
        return Err(named("is no URL of a server"));
    }
    Ok(url.to_owned())
}

/// A client as the `http_config` in a file says; with defaults where there is none.
fn client(flag: &str, file: &str) -> Result<Client, Error> {
    let mut config = HttpClientConfig::default();
    if !file.is_empty() {
        let named = |reason: String| Error::new(format!("--{flag}: {file}: {reason}"));
        let text = std::fs::read_to_string(file).map_err(|e| named(e.to_string()))?;
        config = yaml_config::from_str(&text).map_err(|e| named(e.to_string()))?;
        config.set_directory(Path::new(file).parent().unwrap_or(Path::new("")));
    }
    Client::new(&config, ClientOptions::default()).map_err(|e| Error::new(e.to_string()))
}
