//! Remote write and remote read ([`read`]), both sides. Writing: from a request's bytes to appended samples ([`Receiver`]), and from the
//! write-ahead log to other stores ([`write::WriteStorage`]); [`push`] sends single requests.
//!
//! OTLP metrics ([`otlp`]) are received, too.
//!
//! The endpoints are the services'. A received sample of a series that was seen before costs a hash of
//! its label bytes as they lie in the request and one look-up; labels are only decoded for new series.
//! Sending reads nothing but the log: a queue that is behind costs disk, not memory, and what was not
//! acknowledged is sent after a restart.

pub mod agent;
pub mod otlp;
pub mod push;
pub mod read;
mod receive;
mod series_cache;
pub mod write;

pub use receive::{Clock, Receiver, WriteError, Written};
pub(crate) use receive::{MAX_AHEAD_MS, TOO_FAR_AHEAD};
