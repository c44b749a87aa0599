//! Lines passed on to another StatsD server, as received (statsd_exporter `pkg/relay/relay.go`).

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use telemetry::{Counter, Registry};

/// Lines that may wait.
const QUEUE: usize = 10_000;
/// A packet that is not full goes after so long.
const INTERVAL: Duration = Duration::from_secs(1);

/// The way to the other server.
pub struct Relay {
    /// `None` once stopped.
    lines: Mutex<Option<SyncSender<Box<[u8]>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    longest: usize,
    relayed: Counter,
    long_lines: Counter,
    dropped: Counter,
}

impl Relay {
    /// Begins to relay to `target` in packets of at most `packet_length` bytes.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn start(
        target: SocketAddr,
        name: &str,
        packet_length: usize,
        registry: &Registry,
    ) -> std::io::Result<Relay> {
        let socket = match target {
            SocketAddr::V4(_) => UdpSocket::bind(("0.0.0.0", 0))?,
            SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
        };
        let counter = |metric: &str, help| {
            registry
                .counter_vec(metric, help, &["target"])
                .with(&[name])
        };
        let packets = counter(
            "statsd_exporter_relay_packets_total",
            "The number of StatsD packets relayed.",
        );
        let (lines, received) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || send(&received, &socket, target, packet_length, &packets))?;
        Ok(Relay {
            lines: Mutex::new(Some(lines)),
            thread: Mutex::new(Some(thread)),
            longest: packet_length.saturating_sub(1),
            relayed: counter(
                "statsd_exporter_relay_lines_relayed_total",
                "The number of lines that were buffered to be relayed.",
            ),
            long_lines: counter(
                "statsd_exporter_relay_long_lines_total",
                "The number lines that were too long to relay.",
            ),
            dropped: counter(
                "statsd_exporter_relay_lines_dropped_total",
                "Lines that were not relayed because too many were waiting.",
            ),
        })
    }

    /// Passes a line on; never waits.
    pub(crate) fn line(&self, line: &[u8]) {
        if line.len() > self.longest {
            self.long_lines.inc();
            return;
        }
        let sent = match &*self.lines.lock() {
            Some(lines) => lines.try_send(line.into()).is_ok(),
            None => false,
        };
        match sent {
            true => self.relayed.inc(),
            false => self.dropped.inc(),
        }
    }

    /// Sends what waits and ends. Waits for it.
    pub(crate) fn stop(&self) {
        self.lines.lock().take();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the relay's thread panicked");
        }
    }
}

fn send(
    lines: &Receiver<Box<[u8]>>,
    socket: &UdpSocket,
    target: SocketAddr,
    packet_length: usize,
    packets: &Counter,
) {
    let mut packet: Vec<u8> = Vec::with_capacity(packet_length);
    let mut due = Instant::now() + INTERVAL;
    let mut failing = false;
    let mut flush = |packet: &mut Vec<u8>| {
        if packet.is_empty() {
            return;
        }
        match socket.send_to(packet, target) {
            Ok(_) => {
                packets.inc();
                failing = false;
            }
            // Upstream gives up for good here; a server that restarts should get its lines again.
            Err(error) if !failing => {
                tracing::error!(err = %error, "Error sending UDP packet");
                failing = true;
            }
            Err(_) => {}
        }
        packet.clear();
    };
    loop {
        match lines.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if packet.len() + line.len() + 1 > packet_length {
                    flush(&mut packet);
                }
                packet.extend_from_slice(&line);
                packet.push(b'\n');
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return flush(&mut packet),
        }
        if Instant::now() >= due {
            flush(&mut packet);
            due = Instant::now() + INTERVAL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_lines_in_packets() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let registry = Registry::new();
        let target = server.local_addr().unwrap();
        let relay = Relay::start(target, "there", 10, &registry).unwrap();
        for line in ["a:1|c", "b:1|c", "much_too_long:1|c"] {
            relay.line(line.as_bytes());
        }
        relay.stop();
        relay.line(b"late:1|c");
        let mut buffer = [0; 100];
        for expected in ["a:1|c\n", "b:1|c\n"] {
            let n = server.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..n], expected.as_bytes());
        }
        let page = String::from_utf8(registry.render(None).body).unwrap();
        assert!(page.contains("relay_long_lines_total{target=\"there\"} 1\n"));
        assert!(page.contains("relay_lines_relayed_total{target=\"there\"} 2\n"));
        assert!(page.contains("relay_lines_dropped_total{target=\"there\"} 1\n"));
    }
}
