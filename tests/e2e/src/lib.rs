//! The harness of the end-to-end tests: real processes on free ports of loopback, receivers that
//! record what they are sent, and waiting with a deadline.

pub mod dashboard;
pub mod docker;
mod http;
pub mod part;
mod process;
mod receiver;
mod remote_write;
mod router;
mod smtp;
mod stack;

pub use dashboard::Dashboard;
pub use http::{get, get_json, post, query};
pub use process::{Process, free_port};
pub use receiver::{Answer, Receiver, Request};
pub use remote_write::{WRITE_HEADERS, labels, now_ms, write_request};
pub use router::Router;
pub use smtp::Smtp;
pub use stack::{Files, Stack, build_services};

use std::time::{Duration, Instant};

/// Waits until `condition` returns something; fails with `what` after `limit`.
///
/// # Panics
/// When the time is over.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
