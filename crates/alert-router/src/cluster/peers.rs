//! Finding the others: those that are configured, those that were lost, and settling at the start.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::gossip::{Change, Event};
use super::identity::Id;
use super::{Cluster, wire};

/// How often configured members that are not there are looked for (as upstream has it).
const REFRESH_INTERVAL: Duration = Duration::from_secs(15);
/// How often the number of members must be the same before the cluster counts as settled.
const SETTLED_POLLS: u32 = 3;

/// The addresses of a `host:port`.
///
/// # Errors
/// What the resolver says.
pub fn lookup_now(host: &str) -> Result<Vec<SocketAddr>, String> {
    let addresses = with_host(host).to_socket_addrs();
    addresses.map(Iterator::collect).map_err(|e| e.to_string())
}

fn with_host(address: &str) -> String {
    match address.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_owned(),
    }
}

impl Cluster {
    /// Joins, settles, and looks for those who are missing from then on.
    pub(super) async fn join_and_settle(&self) {
        let options = &self.0.options;
        let begin = Instant::now();
        tracing::info!(component = "cluster", name = %self.name(), "gossip started");
        if !options.peers.is_empty() {
            self.find_configured(true).await;
        }
        tokio::join!(
            self.settle(begin + options.settle_timeout),
            self.refresh(),
            self.reconnect(),
            self.push_pull(),
        );
    }

    /// Waits until the number of members stays the same (upstream's rule), or until `deadline`.
    async fn settle(&self, deadline: Instant) {
        let interval = self.0.options.gossip_interval * 10;
        let (mut before, mut steady) = (0, 0);
        while steady <= SETTLED_POLLS {
            let wait = tokio::time::sleep(interval);
            tokio::select! {
                () = wait => {}
                () = tokio::time::sleep_until(deadline) => {
                    tracing::info!(component = "cluster", "gossip not settled but continuing anyway");
                    break;
                }
            }
            let now = self.0.others.load().len() + 1;
            if now == before {
                steady += 1;
            } else {
                tracing::info!(component = "cluster", before, now, "gossip not settled");
                steady = 0;
            }
            before = now;
        }
        self.0.ready.send_replace(true);
        tracing::info!(component = "cluster", "gossip settled; proceeding");
    }

    async fn refresh(&self) {
        if self.0.options.peers.is_empty() {
            return;
        }
        loop {
            tokio::time::sleep(REFRESH_INTERVAL).await;
            self.find_configured(false).await;
        }
    }

    /// Looks for configured members that are not there.
    async fn find_configured(&self, first: bool) {
        let options = &self.0.options;
        for peer in &options.peers {
            let lookup = tokio::net::lookup_host(with_host(peer));
            let found = match tokio::time::timeout(options.resolve_timeout, lookup).await {
                Ok(Ok(found)) => found.collect::<Vec<SocketAddr>>(),
                Ok(Err(error)) => {
                    tracing::warn!(component = "cluster", peer, err = %error, "failed to resolve peer");
                    continue;
                }
                Err(_) => {
                    tracing::warn!(component = "cluster", peer, "peer not resolved in time");
                    continue;
                }
            };
            for address in found {
                if self.knows(address) {
                    continue;
                }
                let joined = self.join(address).await;
                if !first {
                    let metrics = &self.0.metrics;
                    let outcome = match joined {
                        Ok(()) => &metrics.refresh_joins,
                        Err(_) => &metrics.refresh_joins_failed,
                    };
                    outcome.inc();
                }
                if let Err(error) = joined {
                    tracing::warn!(component = "cluster", peer, addr = %address, err = %error, "failed to join cluster");
                }
            }
        }
    }

    fn knows(&self, address: SocketAddr) -> bool {
        self.0.own.lock().address == address
            || self.0.others.load().iter().any(|id| id.address == address)
    }

    /// Exchanges states with a member and introduces ourselves.
    async fn join(&self, address: SocketAddr) -> Result<(), wire::Error> {
        let id = self.exchange(address).await?;
        // Ourselves, by another address.
        if id.name != self.name() {
            // The task ends when the router stops.
            let _ = self.0.events.send(Event::Found(id)).await;
        }
        Ok(())
    }

    /// Looks for those who were lost.
    async fn reconnect(&self) {
        let options = &self.0.options;
        if options.reconnect_interval.is_zero() {
            return;
        }
        loop {
            tokio::time::sleep(options.reconnect_interval).await;
            let lost: Vec<Id> = {
                let mut lost = self.0.lost.lock();
                lost.retain(|_, since| since.elapsed() < options.reconnect_timeout);
                lost.keys().cloned().collect()
            };
            for id in lost {
                let outcome = match self.join(id.address).await {
                    Ok(()) => &self.0.metrics.reconnections,
                    Err(error) => {
                        tracing::debug!(component = "cluster", peer = %id.name, addr = %id.address, err = %error, "reconnect failed");
                        &self.0.metrics.reconnections_failed
                    }
                };
                outcome.inc();
            }
        }
    }

    /// Exchanges states with a random member now and then.
    async fn push_pull(&self) {
        let interval = self.0.options.push_pull_interval;
        if interval.is_zero() {
            return;
        }
        loop {
            tokio::time::sleep(interval).await;
            let others = self.0.others.load_full();
            if others.is_empty() {
                continue;
            }
            let one = &others[rand::random_range(0..others.len())];
            self.exchange_with(one).await;
        }
    }

    /// Keeps account of who is gone, and exchanges states with who comes.
    pub(super) async fn follow(&self, mut changes: mpsc::UnboundedReceiver<Change>) {
        while let Some(change) = changes.recv().await {
            match change {
                Change::Down(id) => {
                    self.0.lost.lock().insert(id, Instant::now());
                }
                Change::Up(id) => {
                    self.0
                        .lost
                        .lock()
                        .retain(|lost, _| lost.address != id.address);
                    let cluster = self.clone();
                    tokio::spawn(async move { cluster.exchange_with(&id).await });
                }
            }
        }
    }

    async fn exchange_with(&self, id: &Id) {
        if let Err(error) = self.exchange(id.address).await {
            tracing::debug!(component = "cluster", peer = %id.name, addr = %id.address, err = %error, "exchange of states failed");
        }
    }
}
