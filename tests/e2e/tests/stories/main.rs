//! The stories that the stack is for, told with real processes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on may say so by panicking"
)]

mod alert;
mod durability;
mod restart;
mod store;
