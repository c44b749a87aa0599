//! The connections to a cluster's brokers, kept between polls.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;

use crate::connection::{Call, Connection};
use crate::error::ClientError;
use crate::settings::Access;
use crate::snapshot::Broker;

/// A broker, with at most one connection; requests wait for each other.
pub struct Node {
    pub address: String,
    access: Arc<Access>,
    connection: Mutex<Option<Connection>>,
    /// The number of the poll under way, which all nodes of a cluster share.
    poll: Arc<AtomicU64>,
    /// The poll in which the broker last let us wait in vain.
    silent_in: AtomicU64,
}

impl Node {
    fn new(address: String, access: Arc<Access>, poll: Arc<AtomicU64>) -> Node {
        Node {
            address,
            access,
            connection: Mutex::new(None),
            poll,
            silent_in: AtomicU64::new(0),
        }
    }

    /// Asks the broker: connects if need be, and once more if a connection kept from before turns
    /// out to be dead. `make` gets the version that both sides know.
    ///
    /// # Errors
    /// What failed; the next call connects anew.
    pub async fn call<R: Call>(
        &self,
        make: impl Fn(i16) -> R,
    ) -> Result<(i16, R::Response), ClientError> {
        let mut slot = self.connection.lock().await;
        let mut kept = slot.is_some();
        loop {
            // Taken out while in use: a poll that is given up in the middle of an answer must not
            // leave a connection that would give that answer to the next request.
            let mut connection = self.take(&mut slot).await?;
            let version = match connection.version::<R>() {
                Ok(version) => version,
                Err(error) => {
                    *slot = Some(connection);
                    return Err(error);
                }
            };
            match connection.call(&make(version), version).await {
                Ok(answer) => {
                    *slot = Some(connection);
                    return Ok((version, answer));
                }
                Err(ClientError::Lost { .. }) if kept => kept = false,
                Err(error) => return Err(self.noted(error)),
            }
        }
    }

    /// Whether the broker offers a request in a version we know; connects if need be.
    ///
    /// # Errors
    /// No connection.
    pub async fn version<R: Call>(&self) -> Result<Option<i16>, ClientError> {
        let mut slot = self.connection.lock().await;
        let connection = self.take(&mut slot).await?;
        Ok(slot.insert(connection).version::<R>().ok())
    }

    /// The connection kept from before, or a new one. A broker that has not answered in time is not
    /// waited for again in the same poll: the others' data would grow old meanwhile.
    async fn take(&self, slot: &mut Option<Connection>) -> Result<Connection, ClientError> {
        if self.silent_in.load(Ordering::Relaxed) == self.poll.load(Ordering::Relaxed) {
            return Err(ClientError::Silent {
                address: self.address.clone(),
            });
        }
        match slot.take().filter(|connection| !connection.is_expired()) {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.address, Arc::clone(&self.access))
                .await
                .map_err(|error| self.noted(error)),
        }
    }

    fn noted(&self, error: ClientError) -> ClientError {
        if matches!(error, ClientError::Timeout { .. }) {
            let poll = self.poll.load(Ordering::Relaxed);
            self.silent_in.store(poll, Ordering::Relaxed);
        }
        error
    }
}

/// A cluster: where to ask first, and the brokers it consists of.
pub struct Cluster {
    bootstrap: Vec<Arc<Node>>,
    nodes: SyncMutex<HashMap<i32, Arc<Node>>>,
    access: Arc<Access>,
    poll: Arc<AtomicU64>,
    /// The address that last told what the cluster consists of: it is asked first.
    told: SyncMutex<String>,
}

impl Cluster {
    /// A cluster behind these `host:port` addresses; connects to nothing yet.
    pub fn new(servers: &[String], access: Access) -> Cluster {
        let access = Arc::new(access);
        // Nodes begin with 0: no poll in which they were silent.
        let poll = Arc::new(AtomicU64::new(1));
        let node = |address: &String| {
            let (access, poll) = (Arc::clone(&access), Arc::clone(&poll));
            Arc::new(Node::new(address.clone(), access, poll))
        };
        Cluster {
            bootstrap: servers.iter().map(node).collect(),
            nodes: SyncMutex::default(),
            access: Arc::clone(&access),
            poll: Arc::clone(&poll),
            told: SyncMutex::default(),
        }
    }

    /// A new poll: brokers that were silent in the one before get another chance.
    pub fn begin_poll(&self) {
        self.poll.fetch_add(1, Ordering::Relaxed);
    }

    /// All topics and brokers, from the first broker that answers: the one that did last time, the
    /// others known from before, then those of the command line.
    ///
    /// # Errors
    /// The last broker's, if none answers.
    pub async fn metadata(
        &self,
        allow_auto_topic_creation: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let mut known: Vec<(i32, Arc<Node>)> = self
            .nodes
            .lock()
            .iter()
            .map(|(id, node)| (*id, Arc::clone(node)))
            .collect();
        let told = self.told.lock().clone();
        known.sort_by_key(|(id, node)| (node.address != told, *id));
        let known = known.into_iter().map(|(_, node)| node);
        let mut last = None;
        for node in known.chain(self.bootstrap.iter().cloned()) {
            let request = |version| {
                let mut request = MetadataRequest::default().with_topics(None);
                if version >= 4 {
                    request.allow_auto_topic_creation = allow_auto_topic_creation;
                }
                request
            };
            match node.call(request).await {
                Ok((_, answer)) => {
                    self.told.lock().clone_from(&node.address);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(err = %error, broker = node.address, "no metadata");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| ClientError::Connect {
            address: String::new(),
            source: std::io::Error::other("no broker to ask"),
        }))
    }

    /// The brokers' connections: new for brokers that are new or have moved, gone for those that are.
    pub fn nodes(&self, brokers: &[Broker]) -> HashMap<i32, Arc<Node>> {
        let mut nodes = self.nodes.lock();
        nodes.retain(|id, node| {
            let same = |broker: &Broker| broker.id == *id && broker.address == node.address;
            brokers.iter().any(same)
        });
        for broker in brokers {
            nodes.entry(broker.id).or_insert_with(|| {
                let (access, poll) = (Arc::clone(&self.access), Arc::clone(&self.poll));
                Arc::new(Node::new(broker.address.clone(), access, poll))
            });
        }
        nodes.clone()
    }
}
