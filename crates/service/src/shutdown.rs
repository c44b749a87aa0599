//! The wish to stop, shared by all tasks of a service.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// A clonable handle: anyone may ask for the stop, everyone can wait for it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    reason: Arc<Mutex<Option<String>>>,
}

impl Shutdown {
    /// A handle on which nobody has asked yet.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Asks for the stop. The first reason given is the one that is logged.
    pub fn request(&self, reason: impl Into<String>) {
        self.reason.lock().get_or_insert_with(|| reason.into());
        self.token.cancel();
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until somebody asks; at once if that has happened. Cancel-safe.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// The first reason given.
    pub fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }

    /// The token itself, for libraries that take one.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}
