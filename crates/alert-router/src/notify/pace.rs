//! How many messages of one integration are made and sent at once: after a start, or when a whole
//! site fails, every group has something to say in the same moment, and each message is many times
//! the size of what it is made of.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// So many at once.
const PLACES: usize = 32;
/// A receiver that has not answered for so long keeps no place from the next message.
const PATIENCE: Duration = Duration::from_millis(250);
/// Nobody waits longer for a place. Flushes have at least ten seconds ([`crate::group::flush_timeout`]).
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// The places of one integration.
#[derive(Debug)]
pub struct Pace(Semaphore);

/// A place, or the leave to go without one after a long wait.
#[derive(Debug)]
pub struct Place<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace(Semaphore::new(PLACES))
    }
}

impl Pace {
    /// Waits for a place, in order of arrival, for a bounded time.
    pub async fn place(&self) -> Place<'_> {
        let place = timeout(LONGEST_WAIT, self.0.acquire()).await;
        Place {
            _permit: place.ok().and_then(Result::ok),
        }
    }
}

impl Place<'_> {
    /// Does the work; the place is free again when it is done or takes long.
    pub async fn hold<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = timeout(PATIENCE, &mut work).await {
            return done;
        }
        drop(self);
        work.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_at_once() {
        let pace = Pace::default();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let message = || async {
            let place = pace.place().await;
            let send = async {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(Duration::from_millis(1)).await;
                now.fetch_sub(1, Ordering::SeqCst);
            };
            place.hold(send).await;
        };
        join_all((0..1000).map(|_| message())).await;
        assert_eq!(most.into_inner(), PLACES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_hangs_delays_nobody_for_long() {
        let pace = Pace::default();
        let begin = Instant::now();
        let started = |_| async {
            let place = pace.place().await;
            let started = begin.elapsed();
            place.hold(sleep(Duration::from_secs(3600))).await;
            started
        };
        let started = join_all((0..10_000).map(started)).await;
        assert_eq!(started.iter().filter(|at| at.is_zero()).count(), PLACES);
        assert!(started.iter().all(|at| *at <= LONGEST_WAIT));
    }
}
