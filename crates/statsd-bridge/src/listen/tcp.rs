//! Lines over TCP connections.

use std::sync::Arc;

use parking_lot::Mutex;
use service::Shutdown;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::intake::{Bridge, Intake};

/// The longest line with its end: the buffer of Go's `bufio.Reader`, beyond which upstream gives a
/// connection up.
const LINE: usize = 4096;

/// Accepts connections until the stop. All of them share one way in.
pub(crate) async fn serve(listener: TcpListener, bridge: Arc<Bridge>, shutdown: Shutdown) {
    let intake = Arc::new(Mutex::new(bridge.intake()));
    let mut tick = tokio::time::interval(super::WAKE);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            // Takes over a reloaded mapping though nothing comes in.
            _ = tick.tick() => intake.lock().flush(),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    bridge.own.tcp_connections.inc();
                    let (bridge, intake) = (Arc::clone(&bridge), Arc::clone(&intake));
                    let shutdown = shutdown.clone();
                    tokio::spawn(async move {
                        tokio::select! {
                            () = shutdown.requested() => {}
                            () = read(stream, &bridge, &intake) => {}
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, mostly: others may be given back.
                    tracing::error!(err = %error, "AcceptTCP failed");
                    tokio::time::sleep(super::WAKE).await;
                }
            },
        }
    }
}

/// Reads a connection to its end, or to a line too long.
async fn read(mut stream: TcpStream, bridge: &Bridge, intake: &Mutex<Intake>) {
    let mut buffer = vec![0; LINE];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => {
                bridge.own.tcp_errors.inc();
                tracing::debug!(err = %error, "Read failed");
                break;
            }
        }
        let used = lines(&buffer[..filled], bridge, intake);
        buffer.copy_within(used..filled, 0);
        filled -= used;
        if filled == LINE {
            bridge.own.tcp_too_long.inc();
            return;
        }
    }
    if filled > 0 {
        let mut intake = intake.lock();
        intake.line(&buffer[..filled], bridge.now());
        intake.flush();
    }
}

/// Takes the whole lines of a piece; how many bytes they are.
fn lines(bytes: &[u8], bridge: &Bridge, intake: &Mutex<Intake>) -> usize {
    let Some(last) = memchr::memrchr(b'\n', bytes) else {
        return 0;
    };
    let now = bridge.now();
    let mut intake = intake.lock();
    for line in bytes[..last].split(|byte| *byte == b'\n') {
        intake.line(line.strip_suffix(b"\r").unwrap_or(line), now);
    }
    intake.flush();
    last + 1
}
