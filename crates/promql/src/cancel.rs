//! Stopping a query from outside: by its client, or by its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::query_error::QueryError;

/// A handle that stops a query. Clones share the state; checking it costs one load, and a clock
/// reading where there is a deadline.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    canceled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl CancelToken {
    /// A token without deadline.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// The same token, timing out at `deadline`, or at its own if that is earlier.
    pub fn with_deadline(&self, deadline: Instant) -> CancelToken {
        CancelToken {
            canceled: Arc::clone(&self.canceled),
            deadline: Some(self.deadline.map_or(deadline, |own| own.min(deadline))),
        }
    }

    /// Stops the query at its next check.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    /// Whether [`CancelToken::cancel`] was called.
    pub fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }

    /// `phase` is what upstream's message names: `expression evaluation`, `query execution`.
    ///
    /// # Errors
    /// [`QueryError::Canceled`] or [`QueryError::Timeout`].
    #[inline]
    pub fn check(&self, phase: &'static str) -> Result<(), QueryError> {
        if self.is_canceled() {
            return Err(QueryError::Canceled(phase));
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(QueryError::Timeout(phase)),
            _ => Ok(()),
        }
    }
}
