//! Connections: TCP or a Unix socket, straight or through a proxy, plain or TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::error::go_io;
use crate::proxy::{Proxies, Proxy, ProxyKind};

/// Go's dialer waits as long as its caller; ours gives up on one address after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Go's `TLSHandshakeTimeout` in upstream's transport.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// No proxy's answer to CONNECT is longer.
const MAX_CONNECT_HEAD: usize = 16 * 1024;

/// Makes connections for one client; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Settings>);

pub(crate) struct Settings {
    pub tls: Arc<dyn Fn() -> Result<Arc<ClientConfig>, String> + Send + Sync>,
    pub server_name: String,
    pub proxies: Proxies,
    pub unix_socket: Option<PathBuf>,
    /// Where the addresses of a host are taken in turn: how many connections there were.
    pub turn: Option<AtomicUsize>,
}

/// Why there is no connection, in Go's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConnectError(pub String);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type BoxedIo = Box<dyn Io>;

/// A connection with what hyper has to know about it.
pub(crate) struct Stream {
    io: TokioIo<Plain>,
    h2: bool,
    proxied: bool,
}

/// The usual case without a box, everything else in one.
enum Plain {
    Tcp(TcpStream),
    Boxed(BoxedIo),
}

impl Connector {
    pub fn new(settings: Settings) -> Connector {
        Connector(Arc::new(settings))
    }

    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        let settings = &*self.0;
        let https = uri.scheme_str() == Some("https");
        let host = uri
            .host()
            .ok_or_else(|| ConnectError("http: no Host in request URL".to_owned()))?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let mut proxied = false;
        let plain = if let Some(path) = &settings.unix_socket {
            let stream = UnixStream::connect(path).await.map_err(|error| {
                ConnectError(format!(
                    "dial unix {}: connect: {}",
                    path.display(),
                    go_io(&error)
                ))
            })?;
            Plain::Boxed(Box::new(stream))
        } else if let Some(proxy) = settings.proxies.of(&uri) {
            let stream = self.to_proxy(proxy).await?;
            match proxy.kind {
                ProxyKind::Socks5 => {
                    let mut stream = stream;
                    crate::socks::connect(&mut stream, &host, port, proxy.user.as_ref())
                        .await
                        .map_err(|reason| {
                            ConnectError(format!(
                                "socks connect tcp {}:{}->{host}:{port}: {reason}",
                                proxy.host, proxy.port
                            ))
                        })?;
                    stream
                }
                _ if https => self.tunnel(stream, proxy, &host, port).await?,
                _ => {
                    proxied = true;
                    stream
                }
            }
        } else {
            let turn = (settings.turn.as_ref()).map(|n| n.fetch_add(1, Ordering::Relaxed));
            Plain::Tcp(dial(&host, port, turn).await?)
        };
        if !https {
            return Ok(Stream {
                io: TokioIo::new(plain),
                h2: false,
                proxied,
            });
        }
        let name = if settings.server_name.is_empty() {
            &host
        } else {
            &settings.server_name
        };
        let config = (settings.tls)().map_err(ConnectError)?;
        let (io, h2) = handshake(plain, name, config).await?;
        Ok(Stream {
            io: TokioIo::new(Plain::Boxed(io)),
            h2,
            proxied: false,
        })
    }

    async fn to_proxy(&self, proxy: &Proxy) -> Result<Plain, ConnectError> {
        let stream = dial(&proxy.host, proxy.port, None)
            .await
            .map_err(|error| ConnectError(format!("proxyconnect tcp: {error}")))?;
        if proxy.kind != ProxyKind::Https {
            return Ok(Plain::Tcp(stream));
        }
        let config = (self.0.tls)().map_err(ConnectError)?;
        // To the proxy itself HTTP/1.1 is spoken.
        let mut config = (*config).clone();
        config.alpn_protocols.clear();
        let (io, _) = handshake(Plain::Tcp(stream), &proxy.host, Arc::new(config)).await?;
        Ok(Plain::Boxed(io))
    }

    /// Asks the proxy for a tunnel (RFC 9110 section 9.3.6).
    async fn tunnel(
        &self,
        mut stream: Plain,
        proxy: &Proxy,
        host: &str,
        port: u16,
    ) -> Result<Plain, ConnectError> {
        let failed = |reason: String| ConnectError(format!("proxyconnect tcp: {reason}"));
        let target = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        let authorization = proxy
            .authorization
            .as_ref()
            .map(|value| (&http::header::PROXY_AUTHORIZATION, value));
        for (name, value) in self.0.proxies.connect_headers.iter().chain(authorization) {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        stream
            .write_all(&head)
            .await
            .map_err(|error| failed(go_io(&error)))?;
        // Byte by byte: what follows the head belongs to the tunnel.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() > MAX_CONNECT_HEAD {
                return Err(failed("the proxy's answer is too long".to_owned()));
            }
            answer.push(
                stream
                    .read_u8()
                    .await
                    .map_err(|error| failed(go_io(&error)))?,
            );
        }
        let text = String::from_utf8_lossy(&answer);
        let status = text.lines().next().unwrap_or_default();
        let mut words = status.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (_, Some(code), _) if code.starts_with('2') => Ok(stream),
            (_, Some(code), reason) => Err(ConnectError(
                reason
                    .map(str::trim)
                    .filter(|reason| !reason.is_empty())
                    .unwrap_or(code)
                    .to_owned(),
            )),
            _ => Err(failed(format!("malformed answer {status:?}"))),
        }
    }
}

/// The addresses from the `turn`-th on, round; without a turn as they came.
fn from_turn(addresses: impl Iterator<Item = SocketAddr>, turn: Option<usize>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    if let Some(turn) = turn {
        // Name servers put them in another order each time.
        addresses.sort_unstable();
        let first = turn % addresses.len().max(1);
        addresses.rotate_left(first);
    }
    addresses
}

/// Connects to the first address that answers, beginning with the `turn`-th.
async fn dial(host: &str, port: u16, turn: Option<usize>) -> Result<TcpStream, ConnectError> {
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| {
            // The resolver's own words differ by system; Go's do not.
            let reason = if error.to_string().contains("not known")
                || error.to_string().contains("No address")
            {
                "no such host".to_owned()
            } else {
                error.to_string()
            };
            ConnectError(format!("dial tcp: lookup {host}: {reason}"))
        })?;
    let mut failure = None;
    for address in from_turn(addresses, turn) {
        let error = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written at once; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => format!("connect: {}", go_io(&error)),
            Err(_) => "i/o timeout".to_owned(),
        };
        // As Go, the first failure is the one that is told.
        failure.get_or_insert(ConnectError(format!("dial tcp {address}: {error}")));
    }
    Err(failure.unwrap_or_else(|| ConnectError(format!("dial tcp: lookup {host}: no such host"))))
}

async fn handshake(
    plain: Plain,
    name: &str,
    config: Arc<ClientConfig>,
) -> Result<(BoxedIo, bool), ConnectError> {
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| ConnectError(format!("tls: {name:?} is no valid server name")))?;
    let connecting = TlsConnector::from(config).connect(name, plain);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ConnectError(tls_words(&error))),
        Err(_) => return Err(ConnectError("net/http: TLS handshake timeout".to_owned())),
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Box::new(stream), h2))
}

/// Go's words for the two failures that users search for; rustls' for the rest.
fn tls_words(error: &io::Error) -> String {
    use rustls::CertificateError::UnknownIssuer;
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::InvalidCertificate(UnknownIssuer)) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned()
        }
        Some(rustls::Error::InvalidCertificate(reason)) => {
            format!("tls: failed to verify certificate: x509: {reason}")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Some(other) => format!("tls: {other}"),
        None => go_io(error),
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.h2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }
}

macro_rules! either {
    ($self:ident, $method:ident $(, $argument:ident)*) => {
        match $self.get_mut() {
            Plain::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Plain::Boxed(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, poll_read, context, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, poll_write, context, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown, context)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Plain::Tcp(stream) => stream.is_write_vectored(),
            Plain::Boxed(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, poll_write_vectored, context, buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_turn() {
        let addresses: Vec<SocketAddr> = (["10.0.0.2:1", "10.0.0.1:1", "10.0.0.3:1"].iter())
            .map(|text| text.parse().unwrap())
            .collect();
        let first = |turn| from_turn(addresses.iter().copied(), turn)[0].to_string();
        assert_eq!(first(None), "10.0.0.2:1");
        let turns: Vec<String> = (0..4).map(|turn| first(Some(turn))).collect();
        assert_eq!(
            turns,
            ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.1:1"]
        );
        assert_eq!(from_turn([].into_iter(), Some(3)), []);
    }
}
