//! The write-ahead log: pages of fragments ([`page`]) that carry records ([`record`]).

pub mod page;
pub mod record;
