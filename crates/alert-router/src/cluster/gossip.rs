//! Who is there and what is new: foca (SWIM) with silences and entries of the notification log as
//! its broadcasts. One task owns it; packets, timers and news go in, packets and members come out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use foca::{
    AccumulatingRuntime, BroadcastHandler, Foca, Invalidates, OwnedNotification, PeriodicParams,
    PostcardCodec, Timer,
};
use parking_lot::Mutex;
use rand_foca::SeedableRng;
use rand_foca::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::State;
use super::identity::Id;
use super::metrics::Metrics;
use super::transport::{Frame, Lines};
use crate::nflog;
use crate::store::record::Record;

/// The longest packet. Lines are TCP, so that it need not fit a datagram.
const MAX_PACKET: usize = 60_000;
/// A longer record is sent to each member by itself.
pub const MAX_BROADCAST: usize = 20_000;
/// How often a piece of news is passed on by each who has it.
const TRANSMISSIONS: u8 = 8;

/// What the task is told.
pub enum Event {
    /// A packet of another member.
    Packet(Vec<u8>),
    /// News of our own, encoded.
    News(Vec<u8>),
    /// A member to introduce ourselves to.
    Found(Id),
    /// Say goodbye.
    Leave(oneshot::Sender<()>),
}

/// What the task tells.
pub struct Outlook {
    /// Who we are; a new birth each time the others had given us up.
    pub own: Arc<Mutex<Id>>,
    /// Everybody else who is there.
    pub others: Arc<ArcSwap<Vec<Id>>>,
    /// Members that came and went, to be synchronised with or searched for.
    pub changes: mpsc::UnboundedSender<Change>,
}

/// A change among the others.
pub enum Change {
    /// It is there.
    Up(Id),
    /// It is gone.
    Down(Id),
}

/// What a record is about: a later one about the same replaces it.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    Silence(String),
    Notified(nflog::Key),
}

impl Invalidates for Subject {
    fn invalidates(&self, other: &Subject) -> bool {
        self == other
    }
}

impl Subject {
    fn of(record: &Record) -> Option<Subject> {
        match record {
            Record::Silence(silence) => Some(Subject::Silence(silence.id.clone())),
            Record::Notified(key, _) => Some(Subject::Notified(key.clone())),
            _ => None,
        }
    }
}

/// Takes news in.
struct Handler {
    state: Arc<dyn State>,
    metrics: Metrics,
}

impl BroadcastHandler<Id> for Handler {
    type Key = Subject;
    type Error = crate::store::record::DecodeError;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&Id>,
    ) -> Result<Option<Subject>, Self::Error> {
        let record = Record::decode(data)?;
        let subject = Subject::of(&record);
        if sender.is_none() {
            return Ok(subject);
        }
        self.metrics.count_received("update", data.len());
        Ok(match subject {
            Some(subject) if self.state.merge(vec![record]) > 0 => {
                match &subject {
                    Subject::Silence(_) => self.metrics.silences_propagated.inc(),
                    Subject::Notified(_) => self.metrics.nflog_propagated.inc(),
                }
                Some(subject)
            }
            _ => None,
        })
    }
}

/// When things happen; see the flags of the same names.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// `--cluster.gossip-interval`.
    pub gossip: Duration,
    /// `--cluster.probe-interval`.
    pub probe: Duration,
    /// `--cluster.probe-timeout`.
    pub probe_timeout: Duration,
    /// `--cluster.reconnect-timeout`: for how long who is gone is remembered.
    pub forget: Duration,
}

impl Timing {
    fn config(self) -> foca::Config {
        const ONE: NonZeroUsize = NonZeroUsize::MIN;
        let least = |d: Duration| d.max(Duration::from_millis(1));
        let probe = least(self.probe).max(Duration::from_millis(2));
        let several = ONE.saturating_add(2);
        foca::Config {
            probe_period: probe,
            // The library wants an answer well before the next probe.
            probe_rtt: least(self.probe_timeout).min(probe / 2),
            num_indirect_probes: several,
            max_transmissions: NonZeroU8::new(TRANSMISSIONS).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: probe * 4,
            remove_down_after: Some(self.forget),
            max_packet_size: NonZeroUsize::new(MAX_PACKET).unwrap_or(ONE),
            notify_down_members: true,
            periodic_announce: Some(PeriodicParams {
                frequency: probe * 30,
                num_members: ONE,
            }),
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(PeriodicParams {
                frequency: least(self.gossip),
                num_members: several,
            }),
        }
    }
}

/// The state of the task.
struct Task {
    foca: Foca<Id, PostcardCodec, StdRng, Handler>,
    runtime: AccumulatingRuntime<Id>,
    timers: BTreeMap<(Instant, u64), Timer<Id>>,
    next_timer: u64,
    lines: Lines,
    outlook: Outlook,
    metrics: Metrics,
}

/// Runs until it has said goodbye or nobody can tell it anything any more.
pub async fn run(
    timing: Timing,
    state: Arc<dyn State>,
    lines: Lines,
    outlook: Outlook,
    metrics: Metrics,
    mut events: mpsc::Receiver<Event>,
) {
    let own = outlook.own.lock().clone();
    let handler = Handler {
        state,
        metrics: metrics.clone(),
    };
    let rng = StdRng::seed_from_u64(rand::random());
    let mut task = Task {
        foca: Foca::with_custom_broadcast(own, timing.config(), rng, PostcardCodec, handler),
        runtime: AccumulatingRuntime::new(),
        timers: BTreeMap::new(),
        next_timer: 0,
        lines,
        outlook,
        metrics,
    };
    loop {
        let next = task.timers.first_key_value().map(|((at, _), _)| *at);
        let timer = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            event = events.recv() => match event {
                None => return,
                Some(Event::Packet(bytes)) => task.foca.handle_data(&bytes, &mut task.runtime),
                Some(Event::News(bytes)) => task.foca.add_broadcast(&bytes).map(|_| ()),
                Some(Event::Found(id)) => task.foca.announce(id, &mut task.runtime),
                Some(Event::Leave(done)) => {
                    let left = task.foca.leave_cluster(&mut task.runtime);
                    task.carry_out();
                    let _ = done.send(());
                    if let Err(error) = left {
                        tracing::debug!(component = "cluster", err = %error, "leaving the cluster");
                    }
                    return;
                }
            },
            () = timer => match task.timers.pop_first() {
                Some((_, timer)) => task.foca.handle_timer(timer, &mut task.runtime),
                None => Ok(()),
            },
        };
        if let Err(error) = result {
            tracing::debug!(component = "cluster", err = %error, "gossip");
        }
        task.carry_out();
    }
}

impl Task {
    /// Does what the library wants done.
    fn carry_out(&mut self) {
        while let Some((to, packet)) = self.runtime.to_send() {
            self.metrics.count_sent("update", packet.len());
            self.lines.send(to.address, Frame::Packet(packet));
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.next_timer += 1;
            let at = Instant::now() + after;
            self.timers.insert((at, self.next_timer), timer);
        }
        let mut changed = false;
        while let Some(notification) = self.runtime.to_notify() {
            changed = true;
            self.note(notification);
        }
        if changed {
            let mut others: Vec<Id> = self.foca.iter_members().map(|m| m.id().clone()).collect();
            others.sort();
            self.outlook.others.store(Arc::new(others));
        }
        let waiting = self.foca.custom_broadcast_backlog();
        self.metrics.queued.set(waiting as f64);
    }

    fn note(&self, notification: OwnedNotification<Id>) {
        let tell = |change| {
            // Nobody listens any more when the router stops.
            let _ = self.outlook.changes.send(change);
        };
        match notification {
            OwnedNotification::MemberUp(id) => {
                tracing::info!(component = "cluster", peer = %id.name, addr = %id.address, "peer joined");
                self.metrics.joined.inc();
                self.metrics.alive.with(&[&id.name]).inc();
                self.metrics.peer_info.with(&[&id.name]).set(1.0);
                tell(Change::Up(id));
            }
            OwnedNotification::MemberDown(id) => {
                tracing::warn!(component = "cluster", peer = %id.name, addr = %id.address, "peer left");
                self.metrics.left.inc();
                self.metrics.peer_info.remove(&[&id.name]);
                tell(Change::Down(id));
            }
            OwnedNotification::Rename(old, new) => {
                self.metrics.updated.inc();
                if old.name != new.name {
                    self.metrics.peer_info.remove(&[&old.name]);
                    tracing::info!(component = "cluster", peer = %old.name, now = %new.name, addr = %new.address, "peer was started anew");
                }
                self.metrics.alive.with(&[&new.name]).inc();
                tell(Change::Up(new));
            }
            OwnedNotification::Rejoin(id) => {
                tracing::info!(
                    component = "cluster",
                    "the others had given this member up; it is back"
                );
                *self.outlook.own.lock() = id;
            }
            OwnedNotification::Active | OwnedNotification::Idle | OwnedNotification::Defunct => {}
        }
    }
}

/// A record for the others: as gossip, or by itself if it is too long for that.
pub fn publish(
    record: &Record,
    events: &mpsc::Sender<Event>,
    lines: &Lines,
    others: &[Id],
    metrics: &Metrics,
) {
    let key = match record {
        Record::Silence(_) => super::metrics::KEYS[0],
        Record::Notified(..) => super::metrics::KEYS[1],
        _ => return,
    };
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    if bytes.len() <= MAX_BROADCAST {
        // A full queue means that gossip is far behind; the next exchange of states makes up for it.
        if events.try_send(Event::News(bytes)).is_err() {
            metrics.pruned.inc();
        }
        return;
    }
    let bytes = Bytes::from(bytes);
    let addresses: Vec<SocketAddr> = others.iter().map(|id| id.address).collect();
    for address in addresses {
        metrics.count_sent("update", bytes.len());
        lines.send(address, Frame::Record(key, bytes.clone()));
    }
}
