//! How many shards a queue wants: upstream's rule (prometheus/prometheus
//! `storage/remote/queue_manager.go`, `calculateDesiredShards`), without a clock.

use std::time::Duration;

/// How often the number of shards is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

const WEIGHT: f64 = 0.2;
/// Changes below this share are not worth the trouble.
const TOLERANCE: f64 = 0.3;
/// The share of the backlog that shall be caught up with a second.
const CATCH_UP: f64 = 0.05;
/// No shard is given up while the queue is further behind than this.
const BEHIND_SECONDS: f64 = 10.0;

/// A rate that forgets exponentially.
#[derive(Default)]
struct Ewma {
    rate: Option<f64>,
}

impl Ewma {
    fn tick(&mut self, events: f64) -> f64 {
        let now = events / INTERVAL.as_secs_f64();
        let rate = match self.rate {
            Some(rate) => rate + WEIGHT * (now - rate),
            None => now,
        };
        self.rate = Some(rate);
        rate
    }
}

/// What happened since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Happened {
    pub taken: f64,
    pub dropped: f64,
    pub sent: f64,
    pub sending: Duration,
    /// How far what was sent is behind what was stored.
    pub delay_seconds: f64,
}

/// The state of the rule.
#[derive(Default)]
pub(crate) struct Resharder {
    taken: Ewma,
    dropped: Ewma,
    sent: Ewma,
    sending: Ewma,
}

impl Resharder {
    /// The shards that would be right, and the number to have from now on.
    pub fn tick(
        &mut self,
        happened: &Happened,
        shards: usize,
        bounds: (usize, usize),
    ) -> (Option<f64>, usize) {
        let taken = self.taken.tick(happened.taken);
        let sent = self.sent.tick(happened.sent);
        let dropped = self.dropped.tick(happened.dropped);
        let sending = self.sending.tick(happened.sending.as_secs_f64());
        if sent <= 0.0 {
            return (None, shards);
        }
        let kept = sent / (dropped + sent);
        let pending = happened.delay_seconds * taken * kept;
        let desired = sending / sent * (taken * kept + CATCH_UP * pending);
        let now = shards as f64;
        let rounded = desired.ceil();
        if now * (1.0 - TOLERANCE) <= rounded && rounded <= now * (1.0 + TOLERANCE) {
            return (Some(desired), shards);
        }
        let wanted = rounded as usize;
        if wanted < shards && happened.delay_seconds > BEHIND_SECONDS {
            return (Some(desired), shards);
        }
        (Some(desired), wanted.clamp(bounds.0, bounds.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(sending_seconds: f64, delay_seconds: f64, shards: usize) -> usize {
        let mut rule = Resharder::default();
        let happened = Happened {
            taken: 100_000.0,
            sent: 100_000.0,
            dropped: 0.0,
            sending: Duration::from_secs_f64(sending_seconds),
            delay_seconds,
        };
        rule.tick(&happened, shards, (1, 50)).1
    }

    #[test]
    fn as_many_as_the_sending_takes() {
        // 10,000 samples a second that take one sender 25 s out of 10.
        assert_eq!(steady(25.0, 0.0, 1), 3);
        assert_eq!(steady(2.0, 0.0, 1), 1);
        // Within the tolerance.
        assert_eq!(steady(25.0, 0.0, 4), 4);
        // Fewer when there is room, but not while behind.
        assert_eq!(steady(2.0, 0.0, 8), 1);
        assert_eq!(steady(2.0, 11.0, 8), 8);
        // A backlog asks for more, within the bounds.
        assert_eq!(steady(25.0, 60.0, 3), 10);
        assert_eq!(steady(2500.0, 600.0, 3), 50);
    }

    #[test]
    fn nothing_sent_changes_nothing() {
        let mut rule = Resharder::default();
        let happened = Happened {
            taken: 1000.0,
            ..Happened::default()
        };
        assert_eq!(rule.tick(&happened, 7, (1, 50)), (None, 7));
    }
}
