//! Datagrams over a unix socket.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use service::{Error, Shutdown};

use super::{WAKE, batch};
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
        batch::enlarge(&socket, buffer).map_err(fault)?;
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
            .spawn(move || {
                let (socket, packets) = (&self.socket, &bridge.own.unixgram_packets);
                // The queue is short and its senders wait for us: no pause.
                let pause = Duration::ZERO;
                batch::receive(
                    socket,
                    pause,
                    "the unix socket",
                    packets,
                    &bridge,
                    &shutdown,
                );
            })
    }
}

impl Drop for UnixgramListener {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(&self.path);
    }
}
