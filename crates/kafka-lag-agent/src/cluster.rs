//! The connections to a cluster's brokers, kept between polls.

use std::collections::HashMap;
use std::sync::Arc;

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
}

impl Node {
    fn new(address: String, access: Arc<Access>) -> Node {
        Node {
            address,
            access,
            connection: Mutex::new(None),
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
            let mut connection = match slot.take() {
                Some(connection) => connection,
                None => Connection::open(&self.address, Arc::clone(&self.access)).await?,
            };
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
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the broker offers a request in a version we know; connects if need be.
    ///
    /// # Errors
    /// No connection.
    pub async fn version<R: Call>(&self) -> Result<Option<i16>, ClientError> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address, Arc::clone(&self.access)).await?,
        };
        Ok(slot.insert(connection).version::<R>().ok())
    }
}

/// A cluster: where to ask first, and the brokers it consists of.
pub struct Cluster {
    bootstrap: Vec<Arc<Node>>,
    nodes: SyncMutex<HashMap<i32, Arc<Node>>>,
    access: Arc<Access>,
}

impl Cluster {
    /// A cluster behind these `host:port` addresses; connects to nothing yet.
    pub fn new(servers: &[String], access: Access) -> Cluster {
        let access = Arc::new(access);
        let node = |address: &String| Arc::new(Node::new(address.clone(), Arc::clone(&access)));
        Cluster {
            bootstrap: servers.iter().map(node).collect(),
            nodes: SyncMutex::default(),
            access,
        }
    }

    /// All topics and brokers, from the first broker that answers: those known from before, then
    /// those of the command line.
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
        known.sort_by_key(|(id, _)| *id);
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
                Ok((_, answer)) => return Ok(answer),
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
                Arc::new(Node::new(broker.address.clone(), Arc::clone(&self.access)))
            });
        }
        nodes.clone()
    }
}
