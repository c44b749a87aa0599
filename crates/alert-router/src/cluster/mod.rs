//! Two or three routers as one: silences and the notification log are gossiped, and each group is
//! sent by the first member; the next one sends it if that has not happened in time.
//!
//! ```text
//! join:    call a member ── greet ── exchange states ── announce ──> foca (SWIM) keeps the members
//! news:    a silence, a notification ──> foca's broadcasts ──> merged where it is newer, passed on
//! repair:  every --cluster.pushpull-interval, and with each who comes (back): exchange of states
//! ```
//! Nothing here decides who is right: [`State::merge`] takes what is newer by its own time. If the
//! members do not see each other, each sends: at least once, never not at all. The wire is our own
//! ([`wire`]); clusters mixed with Alertmanager are refused.

pub mod gossip;
pub mod identity;
pub mod metrics;
mod peers;
pub mod tls;
pub mod transport;
pub mod wire;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::record::Record;
use crate::store::wal;
use gossip::{Change, Event, Outlook, Timing};
use identity::Id;
use metrics::Metrics;
use tls::Tls;
use transport::{Dialer, Lines, Stream};
use wire::{Kind, Purpose, Verdict};

/// What is shared: the part of the router that members tell each other about.
pub trait State: Send + Sync {
    /// Takes over what is newer than what is known; answers how many records that were.
    fn merge(&self, records: Vec<Record>) -> usize;
    /// All silences and the notification log, framed as in the log on disk.
    fn all(&self) -> Vec<u8>;
}

/// The flags of the cluster.
#[derive(Clone)]
pub struct Options {
    /// `--cluster.listen-address`.
    pub listen: String,
    /// `--cluster.advertise-address`.
    pub advertise: String,
    /// `--cluster.peer`.
    pub peers: Vec<String>,
    /// `--cluster.peer-name`.
    pub name: String,
    /// `--cluster.label`.
    pub label: String,
    /// `--cluster.allow-insecure-public-advertise-address-discovery`.
    pub allow_public: bool,
    /// `--cluster.peer-timeout`.
    pub peer_timeout: Duration,
    /// `--cluster.peers-resolve-timeout`.
    pub resolve_timeout: Duration,
    /// `--cluster.gossip-interval`.
    pub gossip_interval: Duration,
    /// `--cluster.pushpull-interval`; zero is never.
    pub push_pull_interval: Duration,
    /// `--cluster.tcp-timeout`.
    pub tcp_timeout: Duration,
    /// `--cluster.probe-timeout`.
    pub probe_timeout: Duration,
    /// `--cluster.probe-interval`.
    pub probe_interval: Duration,
    /// `--cluster.settle-timeout`.
    pub settle_timeout: Duration,
    /// `--cluster.reconnect-interval`; zero is never.
    pub reconnect_interval: Duration,
    /// `--cluster.reconnect-timeout`.
    pub reconnect_timeout: Duration,
    /// `--cluster.tls-config`, read.
    pub tls: Option<Tls>,
}

/// Being a member; a cheap handle.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    options: Options,
    state: Arc<dyn State>,
    metrics: Metrics,
    dialer: Dialer,
    lines: Lines,
    own: Arc<Mutex<Id>>,
    others: Arc<ArcSwap<Vec<Id>>>,
    events: mpsc::Sender<Event>,
    /// Who was there and is gone, and since when.
    lost: Mutex<HashMap<Id, Instant>>,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
    /// Whether it was said that a stranger calls: it calls every few seconds, saying it once will do.
    foreign_said: AtomicBool,
}

/// How many connections of others there may be at once.
const MAX_CONNECTIONS: usize = 512;
/// How much may wait for the gossip task.
const EVENTS: usize = 8192;

impl Cluster {
    /// Binds the port and starts to gossip; [`Cluster::run`] finds the others.
    ///
    /// # Errors
    /// An address that cannot be listened on or told to others.
    pub async fn start(
        options: Options,
        state: Arc<dyn State>,
        metrics: Metrics,
    ) -> Result<(Cluster, Running), String> {
        let listener = listen(&options.listen).await?;
        let bound = listener.local_addr().map_err(|e| e.to_string())?;
        let address = advertised(&options, bound)?;
        let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        let name = match options.name.as_str() {
            "" => identity::new_name(now_ms),
            name => name.to_owned(),
        };
        let id = Id {
            name,
            address,
            birth: now_ms,
        };
        metrics.alive.with(&[&id.name]).inc();
        metrics.peer_info.with(&[&id.name]).set(1.0);
        metrics.joined.inc();
        let own = Arc::new(Mutex::new(id));
        let dialer = Dialer {
            label: options.label.clone(),
            timeout: options.tcp_timeout,
            tls: options.tls.clone(),
        };
        let lines = Lines::new(dialer.clone(), Arc::clone(&own), metrics.clone());
        let others = Arc::new(ArcSwap::default());
        let (events, incoming) = mpsc::channel(EVENTS);
        let (changes, changed) = mpsc::unbounded_channel();
        let outlook = Outlook {
            own: Arc::clone(&own),
            others: Arc::clone(&others),
            changes,
        };
        let timing = Timing {
            gossip: options.gossip_interval,
            probe: options.probe_interval,
            probe_timeout: options.probe_timeout,
            forget: options.reconnect_timeout,
        };
        tokio::spawn(gossip::run(
            timing,
            Arc::clone(&state),
            lines.clone(),
            outlook,
            metrics.clone(),
            incoming,
        ));
        let cluster = Cluster(Arc::new(Inner {
            options,
            state,
            metrics,
            dialer,
            lines,
            own,
            others,
            events,
            lost: Mutex::default(),
            ready: watch::Sender::new(false),
            stop: CancellationToken::new(),
            foreign_said: AtomicBool::new(false),
        }));
        Ok((cluster, Running { listener, changed }))
    }

    /// Listens, finds the others and keeps up with them until [`Cluster::leave`].
    pub async fn run(&self, running: Running) {
        let Running { listener, changed } = running;
        tokio::select! {
            () = self.0.stop.cancelled() => {}
            () = self.accept(listener) => {}
            () = self.follow(changed) => {}
            () = self.join_and_settle() => {}
        }
    }

    /// Our name.
    pub fn name(&self) -> String {
        self.0.own.lock().name.clone()
    }

    /// Everybody, ourselves included, by name.
    pub fn members(&self) -> Vec<Id> {
        let mut members: Vec<Id> = self.0.others.load().to_vec();
        members.push(self.0.own.lock().clone());
        members.sort();
        members
    }

    /// How many members were there and are gone.
    pub fn failed(&self) -> usize {
        self.0.lost.lock().len()
    }

    /// How many members come before us.
    pub fn position(&self) -> usize {
        let own = self.0.own.lock().clone();
        self.0.others.load().iter().filter(|id| **id < own).count()
    }

    /// How long we leave the others time to send a group.
    pub fn wait(&self) -> Duration {
        let position = u32::try_from(self.position()).unwrap_or(u32::MAX);
        self.0.options.peer_timeout.saturating_mul(position)
    }

    /// Whether the others have been found, or nobody was for a while.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Waits for [`Cluster::is_ready`].
    pub async fn ready(&self) {
        let mut ready = self.0.ready.subscribe();
        // The sender lives as long as we do.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Tells the others of a change of ours.
    pub fn publish(&self, record: &Record) {
        let others = self.0.others.load();
        gossip::publish(
            record,
            &self.0.events,
            &self.0.lines,
            &others,
            &self.0.metrics,
        );
    }

    /// Says goodbye.
    pub async fn leave(&self) {
        let (done, left) = oneshot::channel();
        if self.0.events.send(Event::Leave(done)).await.is_ok() {
            let _ = left.await;
            // The lines take a moment to carry it.
            tokio::time::sleep(
                self.0
                    .options
                    .gossip_interval
                    .min(Duration::from_millis(200)),
            )
            .await;
        }
        self.0.stop.cancel();
    }

    async fn accept(&self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let (Ok(permit), accepted) =
                tokio::join!(Arc::clone(&room).acquire_owned(), listener.accept())
            else {
                return;
            };
            match accepted {
                Ok((stream, from)) => {
                    let cluster = self.clone();
                    tokio::spawn(async move {
                        let stop = cluster.0.stop.clone();
                        let served = cluster.serve(stream, from);
                        if let Some(Err(error)) = stop.run_until_cancelled(served).await {
                            cluster.complain(from, &error);
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(component = "cluster", err = %error, "accepting a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Why we do not talk to somebody, at the level that it deserves.
    fn complain(&self, from: SocketAddr, error: &wire::Error) {
        match error {
            wire::Error::Foreign => {
                if !self.0.foreign_said.swap(true, Ordering::Relaxed) {
                    tracing::error!(component = "cluster", peer = %from, "connection refused: {error}");
                }
            }
            wire::Error::Name(_) => {
                self.0.metrics.name_conflicts.inc();
                tracing::error!(component = "cluster", peer = %from, "connection refused: {error}");
            }
            wire::Error::Label | wire::Error::Version(_) => {
                tracing::error!(component = "cluster", peer = %from, "connection refused: {error}");
            }
            wire::Error::Io(_) | wire::Error::Timeout | wire::Error::Malformed(_) => {
                tracing::debug!(component = "cluster", peer = %from, err = %error, "connection of peer broken");
            }
        }
    }

    async fn serve(&self, tcp: TcpStream, from: SocketAddr) -> Result<(), wire::Error> {
        let inner = &self.0;
        let own = inner.own.lock().clone();
        let label = &inner.options.label;
        let greeting = async {
            tcp.set_nodelay(true)?;
            let mut stream: Stream = match &inner.dialer.tls {
                None => Box::new(tcp),
                Some(tls) => tls.accept(tcp).await.inspect_err(|error| {
                    tracing::warn!(component = "cluster", peer = %from, err = %error, "TLS with peer failed");
                })?,
            };
            let greeted = wire::receive(&mut stream, &own, |theirs, id| {
                if theirs != label {
                    Verdict::Label
                } else if id.name == own.name && id.address != own.address {
                    Verdict::Name
                } else {
                    Verdict::Accept
                }
            });
            let (purpose, _) = greeted.await?;
            Ok::<_, wire::Error>((stream, purpose))
        };
        let (mut stream, purpose) = tokio::time::timeout(inner.dialer.timeout, greeting)
            .await
            .unwrap_or(Err(wire::Error::Timeout))?;
        match purpose {
            Purpose::State => {
                let state = wire::read_sized(&mut stream, wire::MAX_STATE).await?;
                self.take_over(&state);
                self.give(&mut stream).await
            }
            Purpose::Frames => {
                while let Some((kind, bytes)) = wire::read_frame(&mut stream).await? {
                    match kind {
                        Kind::Packet => {
                            if inner.events.send(Event::Packet(bytes)).await.is_err() {
                                return Ok(());
                            }
                        }
                        Kind::Records => {
                            inner.metrics.count_received("update", bytes.len());
                            if let Ok(record) = Record::decode(&bytes) {
                                inner.state.merge(vec![record]);
                            }
                        }
                    }
                }
                Ok(())
            }
        }
    }

    async fn give(&self, stream: &mut Stream) -> Result<(), wire::Error> {
        let state = self.0.state.all();
        self.0.metrics.count_sent("full_state", state.len());
        wire::write_sized(stream, &state).await
    }

    fn take_over(&self, state: &[u8]) {
        self.0.metrics.count_received("full_state", state.len());
        let records = wal::unframe(state);
        let count = self.0.state.merge(records);
        tracing::debug!(component = "cluster", merged = count, "state of a peer");
    }

    /// Exchanges states with a member; answers who that was.
    async fn exchange(&self, address: SocketAddr) -> Result<Id, wire::Error> {
        let own = self.0.own.lock().clone();
        let (mut stream, id) = self.0.dialer.call(address, Purpose::State, &own).await?;
        if id.name == own.name {
            return Ok(id);
        }
        self.give(&mut stream).await?;
        let state = wire::read_sized(&mut stream, wire::MAX_STATE).await?;
        self.take_over(&state);
        Ok(id)
    }
}

/// What [`Cluster::run`] needs.
pub struct Running {
    listener: TcpListener,
    changed: mpsc::UnboundedReceiver<Change>,
}

async fn listen(address: &str) -> Result<TcpListener, String> {
    let with_host = match address.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => address.to_owned(),
    };
    TcpListener::bind(&with_host)
        .await
        .map_err(|e| format!("unable to initialize gossip mesh: listen tcp {address}: {e}"))
}

/// What others are told to reach us at: what is configured, what we are bound to, or else the
/// address of this machine that the way to the others begins at.
fn advertised(options: &Options, bound: SocketAddr) -> Result<SocketAddr, String> {
    if !options.advertise.is_empty() {
        let given = &options.advertise;
        let invalid = |e: String| format!("invalid advertise address {given:?}: {e}");
        return peers::lookup_now(given)
            .map_err(invalid)?
            .first()
            .copied()
            .ok_or_else(|| invalid("no address".to_owned()));
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let first = options.peers.iter().find_map(|peer| {
        let found = peers::lookup_now(peer).ok()?;
        found.first().copied()
    });
    let towards = first.unwrap_or(SocketAddr::from((Ipv4Addr::new(10, 255, 255, 255), 9)));
    // Connecting a datagram socket sends nothing; it picks the route.
    let local = UdpSocket::bind(("0.0.0.0", 0))
        .and_then(|socket| {
            socket.connect(towards)?;
            socket.local_addr()
        })
        .map(|address| address.ip());
    let alone = options.peers.is_empty();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ip = match local {
        Ok(ip) if is_private(ip) || options.allow_public => ip,
        // Nobody is waiting for us: better to start than to be exact.
        _ if alone => loopback,
        _ => {
            return Err(
                "couldn't deduce an advertise address: no private IP found, explicit advertise addr not provided"
                    .to_owned(),
            );
        }
    };
    Ok(SocketAddr::new(ip, bound.port()))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || {
                let [a, b, ..] = ip.octets();
                a == 100 && (64..128).contains(&b)
            }
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
