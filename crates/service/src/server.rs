//! Listeners and connections: plain or TLS, HTTP/1.1 or HTTP/2, stopped gracefully.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::stream::Stream;
use crate::web_config::{Snapshot, WebConfigFile};
use crate::{Error, Shutdown};

/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long for a request's head, unless the service says otherwise.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// Connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// What is served, on any number of listeners.
pub(crate) struct Server {
    pub router: Router,
    pub config: Arc<WebConfigFile>,
    pub connections: Option<Arc<Semaphore>>,
    pub read_timeout: Option<Duration>,
}

/// A bound address.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `host:port`, `[v6]:port` or `:port`; the latter on all addresses of both families.
    pub async fn bind(address: &str, flag: &str) -> Result<Listener, Error> {
        let candidates = resolve(address)
            .await
            .map_err(|reason| Error::new(format!("invalid --{flag} {address:?}: {reason}")))?;
        let mut failure = None;
        for candidate in candidates {
            match listen(candidate) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    return Ok(Listener { listener, address });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    return Err(Error::new(format!(
                        "listen tcp {address}: bind: address already in use: port {} (--{flag}) belongs to another process",
                        candidate.port()
                    )));
                }
                Err(error) => failure = Some(error),
            }
        }
        let reason = failure.map_or_else(|| "no address".to_owned(), |error| error.to_string());
        Err(Error::new(format!(
            "listen tcp {address} (--{flag}): {reason}"
        )))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the stop, then waits for open requests, at most `deadline`.
    pub async fn run(self, server: Arc<Server>, shutdown: Shutdown, deadline: Duration) {
        let open = TaskTracker::new();
        loop {
            let permit = match &server.connections {
                Some(semaphore) => {
                    let acquired = tokio::select! {
                        permit = semaphore.clone().acquire_owned() => permit.ok(),
                        () = shutdown.requested() => break,
                    };
                    acquired
                }
                None => None,
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.requested() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (server, shutdown) = (server.clone(), shutdown.clone());
                    open.spawn(async move {
                        connection(stream, peer, server, shutdown).await;
                        drop(permit);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: others have to end first.
                    tracing::warn!(err = %error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        open.close();
        if tokio::time::timeout(deadline, open.wait()).await.is_err() {
            tracing::warn!(
                connections = open.len(),
                "closing connections with open requests"
            );
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionRefused
    )
}

async fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| "missing port in address".to_owned())?;
    let port: u16 = port.parse().map_err(|_| format!("invalid port {port:?}"))?;
    if host.is_empty() {
        return Ok(vec![
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        ]);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| error.to_string())?;
    Ok(found.collect())
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn connection(stream: TcpStream, peer: SocketAddr, server: Arc<Server>, shutdown: Shutdown) {
    // Small answers should not wait for more.
    let _ = stream.set_nodelay(true);
    let snapshot = server.config.current();
    let Some(tls) = snapshot.tls.clone() else {
        return serve(Stream::Plain(stream), peer, &server, &snapshot, shutdown).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => {
            if let Some(certificates) = stream.get_ref().1.peer_certificates()
                && let Err(reason) = snapshot.check_client_name(certificates)
            {
                tracing::debug!(%peer, reason, "client certificate refused");
                return;
            }
            let stream = Stream::Tls(Box::new(stream));
            serve(stream, peer, &server, &snapshot, shutdown).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, err = %error, "TLS handshake error"),
        Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
    }
}

async fn serve(
    stream: Stream,
    peer: SocketAddr,
    server: &Arc<Server>,
    snapshot: &Snapshot,
    shutdown: Shutdown,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(server.read_timeout.unwrap_or(READ_TIMEOUT));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .keep_alive_timeout(Duration::from_secs(20));
    // gRPC clients speak HTTP/2 without TLS too; a web config may switch it off where TLS would
    // negotiate it.
    let builder = if snapshot.http2 {
        builder
    } else {
        builder.http1_only()
    };
    let service = hyper::service::service_fn({
        let server = server.clone();
        move |request: Request<Incoming>| answer(server.clone(), peer, request)
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = std::pin::pin!(shutdown.requested());
    let mut asked = false;
    let result = std::future::poll_fn(|context| {
        if !asked && stopping.as_mut().poll(context).is_ready() {
            asked = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    })
    .await;
    if let Err(error) = result {
        tracing::debug!(%peer, err = %error, "connection ended");
    }
}

/// One request: the web configuration as it is now, then the router.
async fn answer(
    server: Arc<Server>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<http::Response<Body>, std::convert::Infallible> {
    let snapshot = server.config.current();
    if let Some(refusal) = snapshot.check(&server.config, request.headers()).await {
        return Ok(refusal);
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let mut response = server.router.clone().oneshot(request).await?;
    for (name, value) in &snapshot.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(response)
}
