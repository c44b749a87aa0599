//! Remote write, the receiving side: from a request's bytes to appended samples.
//!
//! The endpoints are the services'; [`push`] sends single requests. A sample of a series that was seen before costs
//! a hash of its label bytes as they lie in the request and one look-up; labels are only decoded
//! for new series. Start with [`Receiver`].

pub mod push;
mod receive;
mod series_cache;

pub use receive::{Receiver, WriteError, Written};
