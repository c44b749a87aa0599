//! UDP: several sockets on one port, each with a thread that takes many packets a system call.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, SocketType, sockopt};
use service::Shutdown;

use super::WAKE;
use crate::intake::Bridge;

/// Packets a system call takes at most.
const BATCH: usize = 64;
/// The largest UDP packet.
const PACKET: usize = 65_536;
/// What is asked of the kernel when the user asks for nothing; it gives what it may.
const DEFAULT_BUFFER: usize = 8 << 20;

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
                    .spawn(move || receive(&sockets[number], &bridge, &shutdown))
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
    match buffer {
        Some(bytes) => sockopt::set_socket_recv_buffer_size(&socket, bytes)?,
        // Only a wish: the default may do.
        None => drop(sockopt::set_socket_recv_buffer_size(
            &socket,
            DEFAULT_BUFFER,
        )),
    }
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

fn receive(socket: &UdpSocket, bridge: &Arc<Bridge>, shutdown: &Shutdown) {
    let mut intake = bridge.intake();
    let mut buffers = vec![0_u8; BATCH * PACKET];
    let mut lengths = [0; BATCH];
    while !shutdown.is_requested() {
        let count = match receive_batch(socket, &mut buffers, &mut lengths) {
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
                | io::ErrorKind::TimedOut => {
                    // Takes over a reloaded mapping though nothing comes in.
                    intake.flush();
                    continue;
                }
                _ => {
                    tracing::error!(err = %error, "cannot receive from UDP");
                    std::thread::sleep(WAKE);
                    continue;
                }
            },
        };
        let now = bridge.now();
        for (packet, length) in buffers.chunks(PACKET).zip(&lengths[..count]) {
            intake.packet(&packet[..*length], now);
        }
        bridge.own.udp_packets.add(count as u64);
        intake.flush();
    }
}

/// Waits for a packet and takes those that are there: how many.
fn receive_batch(
    socket: &UdpSocket,
    buffers: &mut [u8],
    lengths: &mut [usize; BATCH],
) -> io::Result<usize> {
    let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    });
    for (part, buffer) in parts.iter_mut().zip(buffers.chunks_mut(PACKET)) {
        part.iov_base = buffer.as_mut_ptr().cast();
        part.iov_len = buffer.len();
    }
    // SAFETY: all zeroes are a valid `mmsghdr`: null pointers and lengths of 0.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (header, part) in headers.iter_mut().zip(&mut parts) {
        header.msg_hdr.msg_iov = part;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: each header names one part, each part a piece of `buffers` of the length it says; all
    // of them outlive the call.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            BATCH as libc::c_uint,
            libc::MSG_WAITFORONE as _,
            std::ptr::null_mut(),
        )
    };
    let Ok(count) = usize::try_from(count) else {
        return Err(io::Error::last_os_error());
    };
    for (length, header) in lengths.iter_mut().zip(&headers[..count]) {
        *length = (header.msg_len as usize).min(PACKET);
    }
    Ok(count)
}
