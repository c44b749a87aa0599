//! Datagrams over a unix socket.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use service::{Error, Shutdown};

use super::WAKE;
use crate::intake::Bridge;

/// The socket, removed at the end.
pub(crate) struct UnixgramListener {
    socket: UnixDatagram,
    path: PathBuf,
}

impl UnixgramListener {
    /// Binds; a socket that a dead process left behind makes way.
    ///
    /// # Errors
    /// Something is there already, or the mode is none.
    pub(crate) fn bind(path: &str, mode: &str, buffer: Option<usize>) -> Result<Self, Error> {
        let mode = u32::from_str_radix(mode, 8)
            .map_err(|e| Error::new(format!("failed to convert unix socket mode {mode:?}: {e}")))?;
        let path = Path::new(path);
        let fault = |error: io::Error| Error::new(format!("{}: {error}", path.display()));
        if let Ok(there) = std::fs::symlink_metadata(path) {
            let abandoned = there.file_type().is_socket()
                && UnixDatagram::unbound()
                    .and_then(|s| s.connect(path))
                    .is_err();
            if !abandoned {
                let message = format!("Unixgram socket {} already exists", path.display());
                return Err(Error::new(message));
            }
            std::fs::remove_file(path).map_err(fault)?;
        }
        let socket = UnixDatagram::bind(path).map_err(fault)?;
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(fault)?;
        socket.set_read_timeout(Some(WAKE)).map_err(fault)?;
        if let Some(bytes) = buffer {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, bytes)
                .map_err(|e| fault(e.into()))?;
        }
        Ok(UnixgramListener {
            socket,
            path: path.to_owned(),
        })
    }

    /// Starts the thread that reads.
    pub(crate) fn run(
        self,
        bridge: &Arc<Bridge>,
        shutdown: &Shutdown,
    ) -> io::Result<JoinHandle<()>> {
        let (bridge, shutdown) = (Arc::clone(bridge), shutdown.clone());
        std::thread::Builder::new()
            .name("unixgram".to_owned())
            .spawn(move || self.receive(&bridge, &shutdown))
    }

    fn receive(&self, bridge: &Arc<Bridge>, shutdown: &Shutdown) {
        let mut intake = bridge.intake();
        let mut buffer = vec![0; 65_536];
        while !shutdown.is_requested() {
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    bridge.own.unixgram_packets.inc();
                    intake.packet(&buffer[..length], bridge.now());
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::TimedOut => {}
                    _ => {
                        tracing::error!(err = %error, "cannot receive from the unix socket");
                        std::thread::sleep(WAKE);
                    }
                },
            }
            intake.flush();
        }
    }
}

impl Drop for UnixgramListener {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(&self.path);
    }
}
