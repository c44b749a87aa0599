//! Recurring spans of time that mute or activate routes (prometheus/alertmanager `timeinterval`).
//!
//! Text in, yes or no out: the calendar is the time zone database that is compiled in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One set of conditions; an instant is inside if every condition that is given holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    /// Spans of minutes within a day. An empty list holds never, like the lists below.
    pub times: Option<Vec<TimeRange>>,
    /// Days of the week, 0 = Sunday.
    pub weekdays: Option<Vec<Range>>,
    /// Days of the month; negative ones count from its end.
    pub days_of_month: Option<Vec<Range>>,
    /// Months, 1 = January.
    pub months: Option<Vec<Range>>,
    /// Years.
    pub years: Option<Vec<Range>>,
    /// Where the clock stands; `None` is UTC.
    pub location: Option<Location>,
}

/// Minutes since midnight, without the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first minute inside.
    pub start_minute: u16,
    /// The first minute outside.
    pub end_minute: u16,
}

/// From `begin` to `end`, both inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first member.
    pub begin: i64,
    /// The last member.
    pub end: i64,
}

/// A time zone and the name it is shown by.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    name: String,
    zone: TimeZone,
}

/// Why a text is no part of a time interval, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Error {
        Error(text.into())
    }
}

const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl TimeInterval {
    /// Whether the interval contains an instant.
    pub fn contains(&self, now: Timestamp) -> bool {
        let zone = match &self.location {
            Some(location) => location.zone.clone(),
            None => TimeZone::UTC,
        };
        let local = now.to_zoned(zone);
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let day = i64::from(local.day());
        let days_in_month = i64::from(local.days_in_month());
        let weekday = i64::from(local.weekday().to_sunday_zero_offset());
        given(&self.times, |range| {
            (i64::from(range.start_minute)..i64::from(range.end_minute)).contains(&minute)
        }) && given(&self.days_of_month, |range| {
            range.contains_day(day, days_in_month)
        }) && given(&self.months, |range| {
            range.contains(i64::from(local.month()))
        }) && given(&self.weekdays, |range| range.contains(weekday))
            && given(&self.years, |range| range.contains(i64::from(local.year())))
    }
}

fn given<T>(conditions: &Option<Vec<T>>, holds: impl Fn(&T) -> bool) -> bool {
    conditions
        .as_ref()
        .is_none_or(|list| list.iter().any(holds))
}

impl TimeRange {
    /// Two times of day as `HH:MM`; the end may be `24:00`.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn parse(start: &str, end: &str) -> Result<TimeRange, Error> {
        if start.is_empty() || end.is_empty() {
            return Err(Error::new("both start and end times must be provided"));
        }
        let (start_minute, end_minute) = (minute_of_day(start)?, minute_of_day(end)?);
        if start_minute >= end_minute {
            return Err(Error::new(
                "start time cannot be equal or greater than end time",
            ));
        }
        Ok(TimeRange {
            start_minute,
            end_minute,
        })
    }

    /// Start and end as `HH:MM`.
    pub fn texts(self) -> (String, String) {
        let text = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        (text(self.start_minute), text(self.end_minute))
    }
}

fn minute_of_day(text: &str) -> Result<u16, Error> {
    let parsed = match text.as_bytes() {
        b"24:00" => Some((24, 0)),
        [
            h1 @ b'0'..=b'2',
            h2 @ b'0'..=b'9',
            b':',
            m1 @ b'0'..=b'5',
            m2 @ b'0'..=b'9',
        ] => {
            let number = |a: &u8, b: &u8| u16::from(a - b'0') * 10 + u16::from(b - b'0');
            let hour = number(h1, h2);
            (hour < 24).then(|| (hour, number(m1, m2)))
        }
        _ => None,
    };
    let (hour, minute) =
        parsed.ok_or_else(|| Error(format!("couldn't parse timestamp {text}, invalid format")))?;
    Ok(hour * 60 + minute)
}

impl Range {
    fn contains(self, member: i64) -> bool {
        (self.begin..=self.end).contains(&member)
    }

    /// Negative days count from the end of the month; a range that reaches over the month's end is
    /// cut there, one that begins behind it is empty.
    fn contains_day(self, day: i64, days_in_month: i64) -> bool {
        let resolve = |n: i64| if n < 0 { days_in_month + n + 1 } else { n };
        let (begin, end) = (resolve(self.begin), resolve(self.end));
        begin <= days_in_month && day >= begin && day <= end.min(days_in_month)
    }

    /// `monday:friday` or `saturday`; upper and lower case are the same.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn weekdays(text: &str) -> Result<Range, Error> {
        let range = parse_range(text, |member| {
            position(&WEEKDAYS, member)
                .ok_or_else(|| Error(format!("{member} is not a valid weekday")))
        })?;
        if range.begin > range.end {
            return Err(Error::new("start day cannot be before end day"));
        }
        Ok(range)
    }

    /// `1:15`, `-7:-1` or `31`.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn days_of_month(text: &str) -> Result<Range, Error> {
        let range = parse_range(text, integer)?;
        for day in [range.begin, range.end] {
            if day == 0 || !(-31..=31).contains(&day) {
                return Err(Error(format!(
                    "{day} is not a valid day of the month: out of range"
                )));
            }
        }
        if range.begin < 0 && range.end > 0 {
            return Err(Error::new(
                "end day must be negative if start day is negative",
            ));
        }
        // What can never hold, going by the shortest month.
        let earliest = |n: i64| if n < 0 { 28 + n } else { n };
        if earliest(range.begin) > earliest(range.end) {
            return Err(Error(format!(
                "end day {} is always before start day {}",
                range.end, range.begin
            )));
        }
        Ok(range)
    }

    /// `january:march`, `1:3` or `december`; numbers are not checked, as upstream does not.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn months(text: &str) -> Result<Range, Error> {
        let range = parse_range(text, |member| match position(&MONTHS, member) {
            Some(index) => Ok(index + 1),
            None => integer(member).map_err(|_| Error(format!("{member} is not a valid month"))),
        })?;
        if range.begin > range.end {
            let name = |n: i64| {
                usize::try_from(n - 1)
                    .ok()
                    .and_then(|i| MONTHS.get(i).copied())
                    .unwrap_or("")
            };
            return Err(Error(format!(
                "end month {} is before start month {}",
                name(range.end),
                name(range.begin)
            )));
        }
        Ok(range)
    }

    /// `2024` or `2024:2026`.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn years(text: &str) -> Result<Range, Error> {
        let range = parse_range(text, integer)?;
        if range.begin > range.end {
            return Err(Error(format!(
                "end year {} is before start year {}",
                range.end, range.begin
            )));
        }
        Ok(range)
    }

    /// As upstream prints a range of numbers.
    pub fn to_text(self) -> String {
        self.to_text_by(|n| n.to_string())
    }

    /// As upstream prints a range of weekdays.
    pub fn to_weekday_text(self) -> String {
        self.to_text_by(|n| {
            let name = usize::try_from(n).ok().and_then(|i| WEEKDAYS.get(i));
            name.map_or_else(|| n.to_string(), |name| (*name).to_owned())
        })
    }

    fn to_text_by(self, name: impl Fn(i64) -> String) -> String {
        if self.begin == self.end {
            name(self.begin)
        } else {
            format!("{}:{}", name(self.begin), name(self.end))
        }
    }
}

fn parse_range(text: &str, member: impl Fn(&str) -> Result<i64, Error>) -> Result<Range, Error> {
    let text = text.to_lowercase();
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [one] => member(one).map(|n| Range { begin: n, end: n }),
        [begin, end] => Ok(Range {
            begin: member(begin)?,
            end: member(end)?,
        }),
        _ => Err(Error(format!(
            "couldn't parse range {text}, invalid format"
        ))),
    }
}

fn position(names: &[&str], member: &str) -> Option<i64> {
    let index = names.iter().position(|name| *name == member)?;
    i64::try_from(index).ok()
}

fn integer(text: &str) -> Result<i64, Error> {
    let problem = |what: &str| {
        Error(format!(
            "strconv.Atoi: parsing {}: {what}",
            golang::strconv::quote(text)
        ))
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(problem("invalid syntax"));
    }
    text.parse().map_err(|_| problem("value out of range"))
}

impl Location {
    /// An IANA name, `UTC` or `Local`.
    ///
    /// # Errors
    /// Upstream's message for an unknown name.
    pub fn parse(name: &str) -> Result<Location, Error> {
        let (name, zone) = match name {
            "" | "UTC" => ("UTC", TimeZone::UTC),
            "Local" => {
                let zone = TimeZone::system();
                let utc = zone == TimeZone::UTC || zone.iana_name() == Some("Etc/UTC");
                (if utc { "UTC" } else { "Local" }, zone)
            }
            name => (
                name,
                TimeZone::get(name).map_err(|_| Error(format!("unknown time zone {name}")))?,
            ),
        };
        Ok(Location {
            name: name.to_owned(),
            zone,
        })
    }

    /// As upstream prints it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_from_the_end_follow_the_month() {
        let interval = TimeInterval {
            days_of_month: Some(vec![Range::days_of_month("-3:-1").unwrap()]),
            ..TimeInterval::default()
        };
        for (time, inside) in [
            ("2024-02-26T23:59:59Z", false),
            ("2024-02-27T00:00:00Z", true),
            ("2023-02-26T00:00:00Z", true),
            ("2024-03-01T00:00:00Z", false),
        ] {
            assert_eq!(interval.contains(time.parse().unwrap()), inside, "{time}");
        }
    }

    #[test]
    fn wall_clocks_that_change() {
        // 02:30 does not exist on that day in New York, 01:30 exists twice in autumn.
        let interval = TimeInterval {
            times: Some(vec![TimeRange::parse("01:00", "02:00").unwrap()]),
            location: Some(Location::parse("America/New_York").unwrap()),
            ..TimeInterval::default()
        };
        for (time, inside) in [
            ("2024-03-10T06:59:59Z", true),
            ("2024-03-10T07:00:00Z", false),
            ("2024-11-03T05:30:00Z", true),
            ("2024-11-03T06:30:00Z", true),
            ("2024-11-03T07:00:00Z", false),
        ] {
            assert_eq!(interval.contains(time.parse().unwrap()), inside, "{time}");
        }
    }
}
