//! Connections between members: whoever has something to say calls, and keeps the line.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::identity::Id;
use super::metrics::Metrics;
use super::tls::Tls;
use super::wire::{self, Error, Kind, Purpose};

/// TCP or TLS.
pub type Stream = Box<dyn Io>;

/// What a connection can do.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How members reach each other.
#[derive(Clone)]
pub struct Dialer {
    /// `--cluster.label`.
    pub label: String,
    /// `--cluster.tcp-timeout`: for a connection and its greeting.
    pub timeout: Duration,
    /// `--cluster.tls-config`.
    pub tls: Option<Tls>,
}

impl Dialer {
    /// Connects and greets; answers who was reached.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn call(
        &self,
        address: SocketAddr,
        purpose: Purpose,
        own: &Id,
    ) -> Result<(Stream, Id), Error> {
        let call = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let mut stream: Stream = match &self.tls {
                None => Box::new(tcp),
                Some(tls) => tls.connect(tcp, address.ip()).await?,
            };
            let id = wire::greet(&mut stream, purpose, &self.label, own).await?;
            Ok((stream, id))
        };
        tokio::time::timeout(self.timeout, call)
            .await
            .unwrap_or(Err(Error::Timeout))
    }
}

/// A message on its way.
#[derive(Clone)]
pub enum Frame {
    /// A packet of the gossip library.
    Packet(Bytes),
    /// A record that is too long for gossip, and upstream's name of its kind.
    Record(&'static str, Bytes),
}

/// How many messages wait for a member that is slow or gone; what is too much is dropped, as gossip
/// and the exchange of states make up for it.
const WAITING: usize = 1024;
/// A line that nothing was said on for so long is hung up.
const IDLE: Duration = Duration::from_secs(60);

/// The lines to others that are open.
#[derive(Clone)]
pub struct Lines {
    dialer: Dialer,
    own: Arc<Mutex<Id>>,
    metrics: Metrics,
    open: Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<Frame>>>>,
}

impl Lines {
    /// No line is open yet. `own` is who we are; it may change.
    pub fn new(dialer: Dialer, own: Arc<Mutex<Id>>, metrics: Metrics) -> Lines {
        Lines {
            dialer,
            own,
            metrics,
            open: Arc::default(),
        }
    }

    /// Sends a message, on a new line if need be. It does not wait; what cannot be sent is lost.
    pub fn send(&self, address: SocketAddr, frame: Frame) {
        let mut open = self.open.lock();
        let line = open.entry(address).or_insert_with(|| {
            let (line, frames) = mpsc::channel(WAITING);
            tokio::spawn(self.clone().speak(address, frames));
            line
        });
        match line.try_send(frame) {
            Ok(()) => {}
            Err(TrySendError::Full(Frame::Packet(_)) | TrySendError::Closed(Frame::Packet(_))) => {
                self.metrics.pruned.inc();
            }
            Err(
                TrySendError::Full(Frame::Record(key, _))
                | TrySendError::Closed(Frame::Record(key, _)),
            ) => {
                self.metrics.oversized_dropped.with(&[key]).inc();
            }
        }
    }

    async fn speak(self, address: SocketAddr, mut frames: mpsc::Receiver<Frame>) {
        if let Err(error) = self.say(address, &mut frames).await {
            tracing::debug!(component = "cluster", peer = %address, err = %error, "connection to peer broken");
        }
        let mut open = self.open.lock();
        // What came since goes with the line; a new one is opened for what comes next.
        frames.close();
        open.remove(&address);
    }

    async fn say(
        &self,
        address: SocketAddr,
        frames: &mut mpsc::Receiver<Frame>,
    ) -> Result<(), Error> {
        let own = self.own.lock().clone();
        let (mut stream, _) = self.dialer.call(address, Purpose::Frames, &own).await?;
        while let Ok(Some(frame)) = tokio::time::timeout(IDLE, frames.recv()).await {
            let begin = Instant::now();
            let (kind, bytes) = match &frame {
                Frame::Packet(bytes) => (Kind::Packet, bytes),
                Frame::Record(_, bytes) => (Kind::Records, bytes),
            };
            let write = wire::write_frame(&mut stream, kind, bytes);
            let written = tokio::time::timeout(self.dialer.timeout, write)
                .await
                .unwrap_or(Err(Error::Timeout));
            if let Frame::Record(key, _) = frame {
                let metrics = &self.metrics;
                let taken = metrics.oversized_duration.with(&[key]);
                taken.observe_duration(begin.elapsed());
                let (sent, failed) = (&metrics.oversized_sent, &metrics.oversized_failure);
                let outcome = if written.is_ok() { sent } else { failed };
                outcome.with(&[key]).inc();
            }
            written?;
        }
        Ok(())
    }
}
