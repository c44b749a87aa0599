//! Where the shell has its time from.

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use crate::moment;

/// The wall clock, or tokio's clock for tests that run a timeline in an instant.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The system's wall clock.
    System,
    /// `base` at `start`, and on with tokio's (paused) clock.
    Simulated {
        /// The wall clock time at `start`.
        base: Timestamp,
        /// When it began.
        start: Instant,
    },
}

/// The wall clock may be set while a timer runs; no sleep is longer than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Clock {
    /// The time.
    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => Timestamp::now(),
            Clock::Simulated { base, start } => moment::after(*base, start.elapsed()),
        }
    }

    /// Sleeps until `at`, or for a minute if that is sooner.
    pub async fn sleep_towards(&self, at: Timestamp) {
        let rest = moment::between(self.now(), at).min(LONGEST_SLEEP);
        tokio::time::sleep(rest).await;
    }
}
