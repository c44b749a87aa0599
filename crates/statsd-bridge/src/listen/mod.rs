//! The sockets (statsd_exporter `pkg/listener/listener.go`): UDP and unix datagrams by threads that
//! receive in batches, TCP by tasks.

mod batch;
mod tcp;
mod udp;
mod unixgram;

use std::net::{SocketAddr, ToSocketAddrs};

use service::Error;

pub(crate) use tcp::serve as serve_tcp;
pub(crate) use udp::UdpListener;
pub(crate) use unixgram::UnixgramListener;

/// How long a thread waits for data before it looks whether to stop.
const WAKE: std::time::Duration = std::time::Duration::from_millis(200);

/// The addresses of a `host:port` flag, in the order to try them. Without a host: all of both
/// families, as Go.
///
/// # Errors
/// What is no address.
pub(crate) fn addresses(flag: &str, text: &str) -> Result<Vec<SocketAddr>, Error> {
    let invalid = |why: String| Error::new(format!("--{flag}: invalid address {text:?}: {why}"));
    if let Some(port) = text.strip_prefix(':') {
        let port: u16 = port
            .parse()
            .map_err(|e: std::num::ParseIntError| invalid(e.to_string()))?;
        return Ok(vec![
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)),
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port)),
        ]);
    }
    let addresses: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|e| invalid(e.to_string()))?
        .collect();
    match addresses.is_empty() {
        true => Err(invalid("no such host".to_owned())),
        false => Ok(addresses),
    }
}
