//! `--healthcheck`: a container image without a shell asks its own service.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http_client::TlsConfig;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Args, Program};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks `/-/healthy` of the first listen address: of the flags given beside `--healthcheck`, or where
/// there are none, of those that the container's own process runs with.
pub(crate) async fn run(program: &'static Program, args: &Args, words: &[String]) -> ExitCode {
    let of_service = match words {
        [_] => flags_of_first_process(program),
        _ => None,
    };
    let args = of_service.as_ref().unwrap_or(args);
    match tokio::time::timeout(TIMEOUT, ask(program, args)).await {
        Ok(Ok(())) => {
            println!("healthy");
            ExitCode::SUCCESS
        }
        Ok(Err(reason)) => {
            eprintln!("not healthy: {reason}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("not healthy: no answer within {TIMEOUT:?}");
            ExitCode::FAILURE
        }
    }
}

/// The flags of the container's first process, where that is this very program: an image's own
/// health check then also holds for a service that was told to listen elsewhere. `None` outside of a
/// container, with the host's process ids, or under an init.
fn flags_of_first_process(program: &'static Program) -> Option<Args> {
    let ours = std::fs::read_link("/proc/self/exe").ok()?;
    if std::process::id() == 1 || std::fs::read_link("/proc/1/exe").ok()? != ours {
        return None;
    }
    let line = std::fs::read("/proc/1/cmdline").ok()?;
    crate::flags::parse(program, &words(&line)).ok()
}

/// The arguments of `/proc/PID/cmdline`, where each ends with a zero byte, without the program's name.
fn words(line: &[u8]) -> Vec<String> {
    let line = line.strip_suffix(&[0]).unwrap_or(line);
    line.split(|byte| *byte == 0)
        .skip(1)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

async fn ask(program: &Program, args: &Args) -> Result<(), String> {
    let address = program
        .addresses(args)
        .first()
        .map(|address| reachable(address))
        .ok_or("no address to listen on")?;
    let path = format!("{}/-/healthy", prefix(args));
    let tls =
        crate::web_config::WebConfigFile::load(args.get("web.config.file").unwrap_or_default())
            .map_err(|error| error.to_string())?
            .has_tls();
    let stream = TcpStream::connect(&address)
        .await
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let status = if tls {
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        match TlsConnector::from(client_config()?)
            .connect(name, stream)
            .await
        {
            Ok(stream) => status(stream, &path).await,
            Err(error) => Err(error),
        }
    } else {
        status(stream, &path).await
    };
    match status {
        // Somebody who asks for a password is alive.
        Ok(200 | 401) => Ok(()),
        Ok(other) => Err(format!("{path} answered {other}")),
        Err(error) if wants_certificate(&error) => Ok(()),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

/// Somebody who asks for a client certificate is alive too.
fn wants_certificate(error: &std::io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            rustls::AlertDescription::CertificateRequired
                | rustls::AlertDescription::BadCertificate
                | rustls::AlertDescription::HandshakeFailure
        ))
    )
}

async fn status<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    path: &str,
) -> std::io::Result<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let mut buffer = [0; 512];
    while !head.windows(2).any(|pair| pair == b"\r\n") && head.len() < 4096 {
        match stream.read(&mut buffer).await? {
            0 => break,
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
    std::str::from_utf8(&head)
        .ok()
        .and_then(|head| head.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "no HTTP answer"))
}

/// Addresses that mean "all of them" are not to be connected to.
fn reachable(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("" | "0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => address.to_owned(),
    }
}

/// The path in front of the kit's, from the flags of the services that have one.
fn prefix(args: &Args) -> String {
    let from_url = |flag: &str| {
        let url: yaml_config::Url = args.get(flag)?.parse().ok()?;
        Some(url.path().to_owned())
    };
    let prefix = args
        .get("web.route-prefix")
        .filter(|prefix| !prefix.is_empty())
        .map(str::to_owned)
        .or_else(|| from_url("web.external-url"))
        .unwrap_or_default();
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        String::new()
    } else {
        format!("/{prefix}")
    }
}

/// The question goes to this very host and no secret with it: any certificate will do.
fn client_config() -> Result<Arc<ClientConfig>, String> {
    let section = TlsConfig {
        insecure_skip_verify: true,
        ..TlsConfig::default()
    };
    let config = http_client::client_config(&section).map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_of_proc() {
        for (line, expected) in [
            (&b"/bin/x\0"[..], &[][..]),
            (b"", &[]),
            (b"/bin/x\0--a=1 2\0-b\0", &["--a=1 2", "-b"]),
            (b"/bin/x\0--empty\0\0", &["--empty", ""]),
        ] {
            assert_eq!(words(line), expected, "{line:?}");
        }
    }

    #[test]
    fn addresses_to_connect_to() {
        for (listen, connect) in [
            (":9090", "127.0.0.1:9090"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(reachable(listen), connect);
        }
    }
}
