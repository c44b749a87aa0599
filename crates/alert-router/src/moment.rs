//! Arithmetic on instants that cannot fail: what would leave the calendar stops at its edge.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// `t` plus a duration.
pub fn after(t: Timestamp, duration: Duration) -> Timestamp {
    t.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// `t` minus a duration.
pub fn before(t: Timestamp, duration: Duration) -> Timestamp {
    t.saturating_sub(duration).unwrap_or(Timestamp::MIN)
}

/// How long it is from `earlier` to `later`; zero if it is the other way round.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier).max(SignedDuration::ZERO))
        .unwrap_or(Duration::ZERO)
}

/// Milliseconds since the epoch as an instant; out of range stops at the edge of the calendar.
pub fn from_millis(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
