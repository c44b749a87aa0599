//! Go's `time`: layouts, RFC 3339, zones, and durations as `1h2m3s`.

mod duration;
mod layout;
mod parse;

#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

pub use duration::{format_duration, parse_duration};
pub use parse::ParseError;

/// `time.RFC3339`.
pub const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
/// `time.RFC3339Nano`.
pub const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";
/// What `time.Time`'s `String` method prints.
const STRING: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// Seconds from year 1, which is Go's zero time, to 1970.
const YEAR_ONE: i64 = -62_135_596_800;

/// An instant and the zone it is shown in; years 1 to 9999 and some before.
#[derive(Debug, Clone, PartialEq)]
pub struct Time {
    instant: Timestamp,
    zone: Zone,
}

/// Where a time is shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Zone {
    Utc,
    /// As read from text: an offset in seconds and perhaps a name.
    Fixed {
        name: String,
        offset: i32,
    },
    /// From the time zone database.
    Named(TimeZone),
}

/// A zone that is not in the database; Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {0}")]
pub struct UnknownZone(pub String);

impl Zone {
    /// `time.LoadLocation`: the empty name, `UTC` and `Local` are UTC here.
    ///
    /// # Errors
    /// When the database does not know the name.
    pub fn load(name: &str) -> Result<Zone, UnknownZone> {
        match name {
            "" | "UTC" | "Local" => Ok(Zone::Utc),
            name => TimeZone::get(name)
                .map(Zone::Named)
                .map_err(|_| UnknownZone(name.to_owned())),
        }
    }
}

impl Default for Time {
    /// Go's zero time: the first instant of year 1.
    fn default() -> Time {
        Time::from_unix(YEAR_ONE, 0)
    }
}

impl Time {
    /// An instant in UTC; out of the calendar's reach it is the nearest one inside.
    pub fn from_unix(seconds: i64, nanoseconds: i64) -> Time {
        let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let instant = Timestamp::from_nanosecond(total).unwrap_or(if total < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        });
        Time {
            instant,
            zone: Zone::Utc,
        }
    }

    /// Milliseconds since 1970, in UTC.
    pub fn from_unix_milli(milliseconds: i64) -> Time {
        let (seconds, rest) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
        Time::from_unix(seconds, rest * 1_000_000)
    }

    /// The same instant elsewhere.
    pub fn in_zone(&self, zone: Zone) -> Time {
        Time {
            instant: self.instant,
            zone,
        }
    }

    /// Seconds since 1970.
    pub fn unix(&self) -> i64 {
        self.unix_nano_wide().div_euclid(1_000_000_000) as i64
    }

    /// Milliseconds since 1970.
    pub fn unix_milli(&self) -> i64 {
        self.unix_nano_wide().div_euclid(1_000_000) as i64
    }

    /// Nanoseconds since 1970; wraps beyond the years 1678 to 2262 as Go's does.
    pub fn unix_nano(&self) -> i64 {
        self.unix_nano_wide() as i64
    }

    fn unix_nano_wide(&self) -> i128 {
        self.instant.as_nanosecond()
    }

    /// Whether this is Go's zero time.
    pub fn is_zero(&self) -> bool {
        self.unix_nano_wide() == i128::from(YEAR_ONE) * 1_000_000_000
    }

    /// Later by so many nanoseconds.
    pub fn add(&self, nanoseconds: i64) -> Time {
        let total = self.unix_nano_wide() + i128::from(nanoseconds);
        let seconds = total.div_euclid(1_000_000_000) as i64;
        let moved = Time::from_unix(seconds, total.rem_euclid(1_000_000_000) as i64);
        moved.in_zone(self.zone.clone())
    }

    /// Nanoseconds from `earlier` to this, at most what an `i64` holds.
    pub fn sub(&self, earlier: &Time) -> i64 {
        let difference = self.unix_nano_wide() - earlier.unix_nano_wide();
        difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Whether this is before `other`.
    pub fn before(&self, other: &Time) -> bool {
        self.instant < other.instant
    }

    /// Whether both are the same instant, in whatever zone.
    pub fn same_instant(&self, other: &Time) -> bool {
        self.instant == other.instant
    }

    /// Rounded down to a multiple of `nanoseconds` since Go's zero time.
    pub fn truncate(&self, nanoseconds: i64) -> Time {
        if nanoseconds <= 0 {
            return self.clone();
        }
        let since = self.unix_nano_wide() - i128::from(YEAR_ONE) * 1_000_000_000;
        let surplus = since.rem_euclid(i128::from(nanoseconds)) as i64;
        self.add(-surplus)
    }

    /// The zone's abbreviation and its offset in seconds.
    pub fn zone(&self) -> (String, i32) {
        match &self.zone {
            Zone::Utc => ("UTC".to_owned(), 0),
            Zone::Fixed { name, offset } => (name.clone(), *offset),
            Zone::Named(zone) => {
                let info = zone.to_offset_info(self.instant);
                (info.abbreviation().to_owned(), info.offset().seconds())
            }
        }
    }

    /// The name of the location: `UTC`, the database's, or the fixed zone's.
    pub fn location(&self) -> &str {
        match &self.zone {
            Zone::Utc => "UTC",
            Zone::Fixed { name, .. } => name,
            Zone::Named(zone) => zone.iana_name().unwrap_or_default(),
        }
    }

    /// Calendar and clock where the time is shown.
    pub fn civil(&self) -> Zoned {
        match &self.zone {
            Zone::Named(zone) => self.instant.to_zoned(zone.clone()),
            _ => {
                let offset = jiff::tz::Offset::from_seconds(self.zone().1);
                let zone = TimeZone::fixed(offset.unwrap_or(jiff::tz::Offset::UTC));
                self.instant.to_zoned(zone)
            }
        }
    }

    /// `Format`: `layout` shows how the reference time Mon Jan 2 15:04:05 MST 2006 would look.
    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }

    /// `time.Parse`: reads `text` written as `layout` says; UTC unless it names a zone.
    ///
    /// # Errors
    /// Go's message.
    pub fn parse(layout: &str, text: &str) -> Result<Time, ParseError> {
        parse::parse(layout, text)
    }
}

impl std::fmt::Display for Time {
    /// As Go prints a time: `2006-01-02 15:04:05.999999999 -0700 MST`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.format(STRING))
    }
}
