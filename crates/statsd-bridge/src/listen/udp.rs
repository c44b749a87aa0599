//! UDP: several sockets on one port, each with a thread.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, SocketType, sockopt};
use service::Shutdown;

use super::{WAKE, batch};
use crate::intake::Bridge;

/// Sockets that are bound and not yet read.
pub(crate) struct UdpListener {
    sockets: Arc<[UdpSocket]>,
    address: SocketAddr,
}

impl UdpListener {
    /// Binds so many sockets to the first of the addresses that can be had.
    pub(crate) fn bind(
        addresses: &[SocketAddr],
        sockets: usize,
        buffer: Option<usize>,
    ) -> io::Result<UdpListener> {
        let mut result = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
        for address in addresses {
            // Several sockets on one port would let a second process in, unnoticed: the first one is
            // bound alone to find out.
            result = UdpSocket::bind(address).and_then(|alone| alone.local_addr());
            if let Ok(address) = result {
                let sockets: io::Result<Vec<UdpSocket>> = (0..sockets.max(1))
                    .map(|_| shared_socket(address, buffer))
                    .collect();
                return Ok(UdpListener {
                    sockets: sockets?.into(),
                    address,
                });
            }
        }
        result.and(Err(io::Error::from(io::ErrorKind::AddrNotAvailable)))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers how many packets the kernel had to drop, when asked.
    pub(crate) fn drops(&self) -> impl Fn() -> f64 + Send + Sync + 'static {
        let sockets = Arc::clone(&self.sockets);
        move || {
            sockets
                .iter()
                .map(|socket| f64::from(kernel_drops(socket)))
                .sum()
        }
    }

    /// Starts a thread for each socket.
    pub(crate) fn run(
        self,
        bridge: &Arc<Bridge>,
        shutdown: &Shutdown,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        (0..self.sockets.len())
            .map(|number| {
                let (sockets, bridge) = (Arc::clone(&self.sockets), Arc::clone(bridge));
                let shutdown = shutdown.clone();
                std::thread::Builder::new()
                    .name(format!("udp-{number}"))
                    .spawn(move || {
                        let (socket, packets) = (&sockets[number], &bridge.own.udp_packets);
                        let pause = batch::pause(socket);
                        batch::receive(socket, pause, "UDP", packets, &bridge, &shutdown);
                    })
            })
            .collect()
    }
}

fn shared_socket(address: SocketAddr, buffer: Option<usize>) -> io::Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = rustix::net::SocketFlags::CLOEXEC;
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    batch::enlarge(&socket, buffer)?;
    rustix::net::bind(&socket, &address)?;
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(WAKE))?;
    Ok(socket)
}

/// `SK_MEMINFO_DROPS` of `getsockopt(SO_MEMINFO)`.
fn kernel_drops(socket: &UdpSocket) -> u32 {
    const FIELDS: usize = 9;
    const DROPS: usize = 8;
    let mut fields = [0_u32; FIELDS];
    let mut length = size_of_val(&fields) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `fields`, which has them.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            fields.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { fields[DROPS] } else { 0 }
}
