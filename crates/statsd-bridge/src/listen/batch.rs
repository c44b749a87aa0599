//! Datagrams, many a system call: the loop of the threads for UDP and for unix datagrams.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use service::Shutdown;
use telemetry::Counter;

use super::WAKE;
use crate::intake::Bridge;

/// Packets a system call takes at most.
const BATCH: usize = 64;
/// Room for the largest UDP packet. No power of two: the beginnings of all packets of a batch would
/// share the same few lines of the processor's caches.
const PACKET: usize = 65_536 + 5 * 64;
/// What is asked of the kernel when the user asks for nothing.
const DEFAULT_BUFFER: usize = 8 << 20;

/// The packets of one system call.
struct Batch {
    buffers: Box<[u8]>,
    /// How many bytes of each buffer are a packet, and whether it lost its end.
    received: [(usize, bool); BATCH],
    count: usize,
}

impl Batch {
    fn new() -> Batch {
        Batch {
            buffers: vec![0; BATCH * PACKET].into(),
            received: [(0, false); BATCH],
            count: 0,
        }
    }

    /// Waits for a packet and takes those that are there.
    fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.count = 0;
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|_| libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        });
        for (part, buffer) in parts.iter_mut().zip(self.buffers.chunks_mut(PACKET)) {
            part.iov_base = buffer.as_mut_ptr().cast();
            part.iov_len = buffer.len();
        }
        // SAFETY: all zeroes are a valid `mmsghdr`: null pointers and lengths of 0.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (header, part) in headers.iter_mut().zip(&mut parts) {
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each header names one part, each part a piece of `buffers` of the length it says;
        // all of them outlive the call.
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
        for (received, header) in self.received.iter_mut().zip(&headers[..count]) {
            let cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            *received = ((header.msg_len as usize).min(PACKET), cut);
        }
        self.count = count;
        Ok(())
    }

    fn packets(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let received = &self.received[..self.count];
        let buffers = self.buffers.chunks(PACKET).zip(received);
        buffers.map(|(buffer, (length, cut))| (&buffer[..*length], *cut))
    }
}

/// Asks the kernel for a receive buffer: as many bytes as the user says, or as it gives without being
/// asked by anyone. Who may (CAP_NET_ADMIN) gets it whatever `net.core.rmem_max` says.
pub(super) fn enlarge(socket: impl AsFd, bytes: Option<usize>) -> io::Result<()> {
    let wish = bytes.unwrap_or(DEFAULT_BUFFER);
    if sockopt::set_socket_recv_buffer_size_force(&socket, wish).is_ok() {
        return Ok(());
    }
    match (sockopt::set_socket_recv_buffer_size(&socket, wish), bytes) {
        (Err(error), Some(_)) => Err(error.into()),
        // Nobody asked: the default may do.
        _ => Ok(()),
    }
}

/// How long a thread may sleep once it has taken all there was, as to wake up for every packet costs
/// more than the packet: until an eighth of the buffer is full at a million small packets a second, of
/// which each takes about 1 KiB of the kernel's memory.
pub(super) fn pause(socket: impl AsFd) -> Duration {
    let buffer = sockopt::socket_recv_buffer_size(socket).unwrap_or_default();
    Duration::from_nanos(buffer as u64 / 8).min(Duration::from_millis(2))
}

/// Receives from a socket, whose read timeout is [`WAKE`], until the stop; sleeps for `pause` after
/// taking all there was.
pub(super) fn receive(
    socket: impl AsFd,
    pause: Duration,
    what: &str,
    packets: &Counter,
    bridge: &Arc<Bridge>,
    shutdown: &Shutdown,
) {
    let socket = socket.as_fd();
    let mut intake = bridge.intake();
    let mut batch = Batch::new();
    while !shutdown.is_requested() {
        let outcome = batch.receive(socket);
        let now = bridge.now();
        for (packet, cut) in batch.packets() {
            match cut {
                false => intake.packet(packet, now),
                true => intake.cut_packet(packet, now),
            }
        }
        packets.add(batch.count as u64);
        // Takes over a reloaded mapping though nothing came in.
        intake.flush();
        match outcome {
            Ok(()) if batch.count < BATCH && !pause.is_zero() => std::thread::sleep(pause),
            Ok(()) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
                | io::ErrorKind::TimedOut => {}
                _ => {
                    tracing::error!(err = %error, "cannot receive from {what}");
                    std::thread::sleep(WAKE);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn takes_many_and_says_which_lost_their_end() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        for i in 0..5 {
            sender.send(format!("packet {i}").as_bytes()).unwrap();
        }
        sender.send(&vec![b'x'; PACKET + 1]).unwrap();
        let mut batch = Batch::new();
        batch.receive(receiver.as_fd()).unwrap();
        let packets: Vec<_> = batch.packets().collect();
        assert_eq!(packets.len(), 6);
        assert_eq!(packets[4], (&b"packet 4"[..], false));
        assert_eq!(packets[5].0.len(), PACKET);
        assert!(packets[5].1);

        receiver.set_nonblocking(true).unwrap();
        assert!(batch.receive(receiver.as_fd()).is_err());
        assert_eq!(batch.packets().count(), 0);
    }

    #[test]
    fn a_large_buffer_allows_a_long_pause() {
        let (_sender, receiver) = UnixDatagram::pair().unwrap();
        enlarge(&receiver, Some(64 << 10)).unwrap();
        let short = pause(&receiver);
        enlarge(&receiver, None).unwrap();
        assert!(short > Duration::ZERO && short < pause(&receiver));
    }
}
