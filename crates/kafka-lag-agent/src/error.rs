//! What can go wrong between us and a broker.

use std::io;
use std::time::Duration;

use kafka_protocol::ResponseError;

use crate::shape::ShapeError;

/// A request that got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    #[error("{address}: TLS: {source}")]
    Tls { address: String, source: io::Error },
    #[error("{address}: {api}: no answer within {after:?}")]
    Timeout {
        address: String,
        api: &'static str,
        after: Duration,
    },
    #[error("{address}: not asked again in this poll: it has not answered in time")]
    Silent { address: String },
    #[error("{address}: {api}: connection lost: {source}")]
    Lost {
        address: String,
        api: &'static str,
        source: io::Error,
    },
    #[error("{address}: {api}: answer of {size} bytes, allowed are 4 to {limit}")]
    Frame {
        address: String,
        api: &'static str,
        size: i32,
        limit: usize,
    },
    #[error("{address}: {api}: malformed answer: {reason}")]
    Malformed {
        address: String,
        api: &'static str,
        reason: Malformed,
    },
    #[error("{address}: {api}: the broker offers no version this agent knows")]
    Version { address: String, api: &'static str },
    #[error("{address}: authentication failed: {reason}")]
    Authentication { address: String, reason: String },
    #[error("{api}: the broker answers {error}")]
    Refused {
        api: &'static str,
        error: ResponseError,
    },
}

/// Why an answer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("{0}")]
    Shape(#[from] ShapeError),
    #[error("{0}")]
    Codec(String),
    #[error("answers request {found} instead of {expected}")]
    Correlation { expected: i32, found: i32 },
}

impl ClientError {
    /// One word for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            ClientError::Connect { .. } => "connect",
            ClientError::Tls { .. } => "tls",
            ClientError::Timeout { .. } | ClientError::Silent { .. } => "timeout",
            ClientError::Lost { .. } => "connection_lost",
            ClientError::Frame { .. } | ClientError::Malformed { .. } => "malformed",
            ClientError::Version { .. } => "version",
            ClientError::Authentication { .. } => "authentication",
            ClientError::Refused { error, .. } => code_reason(*error),
        }
    }
}

/// One word for a broker's error code.
pub fn code_reason(error: ResponseError) -> &'static str {
    use ResponseError as E;
    match error {
        E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed => "authorization",
        E::NotLeaderOrFollower | E::LeaderNotAvailable | E::FencedLeaderEpoch => "leader_moved",
        E::CoordinatorNotAvailable | E::NotCoordinator | E::CoordinatorLoadInProgress => {
            "coordinator"
        }
        E::KafkaStorageError => "storage",
        E::UnknownTopicOrPartition | E::UnknownTopicId => "unknown_topic",
        E::GroupIdNotFound => "unknown_group",
        _ => "broker_error",
    }
}
