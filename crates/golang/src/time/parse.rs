//! Times read by a layout (`time/format.go`).

use super::layout::{self, Chunk, DAYS, MONTHS};
use super::{Time, Zone};
use crate::strconv::quote;

/// A text that is not as its layout says; Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {}{message}", quote(.text))]
pub struct ParseError {
    /// The whole text.
    pub text: String,
    message: String,
}

/// What the text says so far.
#[derive(Default)]
struct Parts {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i32>,
    zone_name: String,
}

/// Why an element could not be read: badly written, or a part out of its range.
enum Failure {
    Bad,
    Range(&'static str),
}

pub(super) fn parse(layout: &str, text: &str) -> Result<Time, ParseError> {
    let failed = |message: String| ParseError {
        text: text.to_owned(),
        message,
    };
    let cannot = |value: &str, element: &str| {
        failed(format!(
            " as {}: cannot parse {} as {}",
            quote(layout),
            quote(value),
            quote(element)
        ))
    };
    let mut parts = Parts::default();
    let (mut rest_layout, mut value) = (layout, text);
    loop {
        let found = layout::next(rest_layout);
        let prefix = found.map_or(rest_layout, |(prefix, ..)| prefix);
        value = skip(value, prefix).map_err(|at| cannot(at, prefix))?;
        let Some((_, chunk, written, suffix)) = found else {
            break;
        };
        rest_layout = suffix;
        match parts.read(chunk, value, suffix) {
            Ok(after) => value = after,
            Err(Failure::Bad) => return Err(cannot(value, written)),
            Err(Failure::Range(part)) => return Err(failed(format!(": {part} out of range"))),
        }
    }
    if !value.is_empty() {
        return Err(failed(format!(": extra text: {}", quote(value))));
    }
    parts.time().map_err(|message| failed(message.to_owned()))
}

/// What follows `prefix`; blanks in it stand for any number of blanks.
fn skip<'v>(mut value: &'v str, prefix: &str) -> Result<&'v str, &'v str> {
    let mut rest = prefix;
    while let Some(c) = rest.chars().next() {
        if c == ' ' {
            if !value.is_empty() && !value.starts_with(' ') {
                return Err(value);
            }
            rest = rest.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        value = value.strip_prefix(c).ok_or(value)?;
        rest = &rest[c.len_utf8()..];
    }
    Ok(value)
}

/// One or two digits; `fixed` wants two.
fn number(value: &str, fixed: bool) -> Result<(i64, &str), Failure> {
    digits(value, 2, if fixed { 2 } else { 1 })
}

fn digits(value: &str, most: usize, least: usize) -> Result<(i64, &str), Failure> {
    let count = value
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    if count < least {
        return Err(Failure::Bad);
    }
    let (digits, rest) = value.split_at(count);
    Ok((digits.parse().map_err(|_| Failure::Bad)?, rest))
}

/// The number, from 1, of the name that `value` begins with.
fn name<'v>(value: &'v str, names: &[&str], length: usize) -> Result<(i64, &'v str), Failure> {
    for (at, name) in names.iter().enumerate() {
        let name = &name[..length.min(name.len())];
        if let Some(start) = value.get(..name.len())
            && start.eq_ignore_ascii_case(name)
        {
            return Ok((at as i64 + 1, &value[name.len()..]));
        }
    }
    Err(Failure::Bad)
}

fn within(value: i64, least: i64, most: i64, part: &'static str) -> Result<i64, Failure> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Failure::Range(part))
    }
}

/// A point or comma and digits: nanoseconds.
fn fraction(text: &str) -> Result<i64, Failure> {
    let digits = &text[1..];
    let shown = &digits[..digits.len().min(9)];
    format!("{shown:0<9}").parse().map_err(|_| Failure::Bad)
}

/// How long the fraction is that `value` begins with.
fn fraction_length(value: &str) -> Option<usize> {
    let digits = value.strip_prefix(['.', ','])?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0).then_some(count + 1)
}

impl Parts {
    fn read<'v>(&mut self, chunk: Chunk, value: &'v str, layout: &str) -> Result<&'v str, Failure> {
        match chunk {
            Chunk::LongYear => {
                let (year, rest) = digits(value, 4, 4)?;
                self.year = year;
                Ok(rest)
            }
            Chunk::Year => {
                let (year, rest) = digits(value, 2, 2)?;
                self.year = year + if year >= 69 { 1900 } else { 2000 };
                Ok(rest)
            }
            Chunk::LongMonth | Chunk::Month => {
                let length = if chunk == Chunk::Month { 3 } else { usize::MAX };
                let (month, rest) = name(value, &MONTHS, length)?;
                self.month = Some(month);
                Ok(rest)
            }
            Chunk::NumberMonth | Chunk::ZeroMonth => {
                let (month, rest) = number(value, chunk == Chunk::ZeroMonth)?;
                self.month = Some(within(month, 1, 12, "month")?);
                Ok(rest)
            }
            Chunk::LongWeekday => Ok(name(value, &DAYS, usize::MAX)?.1),
            Chunk::Weekday => Ok(name(value, &DAYS, 3)?.1),
            Chunk::Day | Chunk::BlankDay | Chunk::ZeroDay => {
                let blank = chunk == Chunk::BlankDay;
                let trimmed = value.strip_prefix(' ').filter(|_| blank).unwrap_or(value);
                let (day, rest) = number(trimmed, chunk == Chunk::ZeroDay)?;
                self.day = Some(day);
                Ok(rest)
            }
            Chunk::BlankYearDay | Chunk::ZeroYearDay => {
                let exact = chunk == Chunk::ZeroYearDay;
                let mut trimmed = value;
                for _ in 0..2 {
                    trimmed = trimmed
                        .strip_prefix(' ')
                        .filter(|_| !exact)
                        .unwrap_or(trimmed);
                }
                let (day, rest) = digits(trimmed, 3, if exact { 3 } else { 1 })?;
                self.year_day = Some(day);
                Ok(rest)
            }
            Chunk::Hour => {
                let (hour, rest) = number(value, false)?;
                self.hour = within(hour, 0, 23, "hour")?;
                Ok(rest)
            }
            Chunk::Hour12 | Chunk::ZeroHour12 => {
                let (hour, rest) = number(value, chunk == Chunk::ZeroHour12)?;
                self.hour = within(hour, 0, 12, "hour")?;
                Ok(rest)
            }
            Chunk::Minute | Chunk::ZeroMinute => {
                let (minute, rest) = number(value, chunk == Chunk::ZeroMinute)?;
                self.minute = within(minute, 0, 59, "minute")?;
                Ok(rest)
            }
            Chunk::Second | Chunk::ZeroSecond => {
                let (second, rest) = number(value, chunk == Chunk::ZeroSecond)?;
                self.second = within(second, 0, 59, "second")?;
                let stated = matches!(layout::next(layout), Some((_, Chunk::Fraction { .. }, ..)));
                match fraction_length(rest).filter(|_| !stated) {
                    None => Ok(rest),
                    Some(length) => {
                        // A fraction may follow the seconds even if the layout has none.
                        self.nanosecond = fraction(&rest[..length])?;
                        Ok(&rest[length..])
                    }
                }
            }
            Chunk::UpperPm | Chunk::LowerPm => {
                let (am, pm) = match chunk {
                    Chunk::UpperPm => ("AM", "PM"),
                    _ => ("am", "pm"),
                };
                self.afternoon = Some(value.starts_with(pm));
                let rest = value.strip_prefix(pm).or_else(|| value.strip_prefix(am));
                rest.ok_or(Failure::Bad)
            }
            Chunk::Offset { z: true, .. } if value.starts_with('Z') => {
                self.utc = true;
                Ok(&value[1..])
            }
            Chunk::Offset { colon, parts, .. } => self.offset(value, colon, parts),
            Chunk::ZoneName => self.zone_name(value),
            Chunk::Fraction {
                digits,
                exact: true,
                ..
            } => match fraction_length(value) {
                Some(length) if length > digits => {
                    self.nanosecond = fraction(&value[..digits + 1])?;
                    Ok(&value[digits + 1..])
                }
                _ => Err(Failure::Bad),
            },
            Chunk::Fraction { .. } => match fraction_length(value) {
                None => Ok(value),
                Some(length) => {
                    self.nanosecond = fraction(&value[..length])?;
                    Ok(&value[length..])
                }
            },
        }
    }

    fn offset<'v>(&mut self, value: &'v str, colon: bool, parts: u8) -> Result<&'v str, Failure> {
        let sign = match value.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(Failure::Bad),
        };
        let mut rest = &value[1..];
        let mut seconds = 0;
        for part in 0..parts {
            if part > 0 && colon {
                rest = rest.strip_prefix(':').ok_or(Failure::Bad)?;
            }
            let (value, after) = number(rest, true)?;
            rest = after;
            let (limit, name, size) = match part {
                0 => (24, "time zone offset hour", 3600),
                1 => (60, "time zone offset minute", 60),
                _ => (60, "time zone offset second", 1),
            };
            seconds += within(value, 0, limit, name)? * size;
        }
        self.offset = Some(sign * seconds as i32);
        Ok(rest)
    }

    /// Three to five capital letters, or `GMT` and hours, or a sign and hours.
    fn zone_name<'v>(&mut self, value: &'v str) -> Result<&'v str, Failure> {
        if let Some(rest) = value.strip_prefix("UTC") {
            self.utc = true;
            return Ok(rest);
        }
        let letters = value.bytes().take_while(u8::is_ascii_uppercase).count();
        let signed = |text: &str| match text.as_bytes() {
            [b'+' | b'-', first, second, ..]
                if first.is_ascii_digit() && second.is_ascii_digit() =>
            {
                3
            }
            [b'+' | b'-', first, ..] if first.is_ascii_digit() => 2,
            _ => 0,
        };
        let length = match letters {
            0 => signed(value),
            3 if value.starts_with("GMT") => 3 + signed(&value[3..]),
            3 => 3,
            4 if value.as_bytes()[3] == b'T' || value.starts_with("WITA") => 4,
            5 if value.as_bytes()[4] == b'T' => 5,
            _ => 0,
        };
        if length == 0 {
            return Err(Failure::Bad);
        }
        let (name, rest) = value.split_at(length);
        self.zone_name = name.to_owned();
        Ok(rest)
    }

    fn time(mut self) -> Result<Time, &'static str> {
        match self.afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        let year = i16::try_from(self.year).map_err(|_| ": year out of range")?;
        let date = match self.year_day {
            Some(day) => {
                let date = i16::try_from(day).ok().and_then(|day| {
                    let first = jiff::civil::Date::new(year, 1, 1).ok()?;
                    first.with().day_of_year(day).build().ok()
                });
                let date = date.ok_or(": day-of-year out of range")?;
                if self.month.is_some_and(|m| m != i64::from(date.month())) {
                    return Err(": day-of-year does not match month");
                }
                if self.day.is_some_and(|d| d != i64::from(date.day())) {
                    return Err(": day-of-year does not match day");
                }
                date
            }
            None => {
                let month = self.month.unwrap_or(1) as i8;
                let day = self.day.unwrap_or(1) as i8;
                jiff::civil::Date::new(year, month, day).map_err(|_| ": day out of range")?
            }
        };
        let since = |date: jiff::civil::Date| {
            date.to_zoned(jiff::tz::TimeZone::UTC)
                .map(|z| z.timestamp().as_second())
        };
        let days = since(date).map_err(|_| ": day out of range")?;
        let seconds = days + self.hour * 3600 + self.minute * 60 + self.second;
        let (seconds, zone) = match (self.utc, self.offset) {
            (true, _) => (seconds, Zone::Utc),
            (false, Some(0)) if self.zone_name.is_empty() => (seconds, Zone::Utc),
            (false, Some(offset)) => {
                let name = self.zone_name;
                (seconds - i64::from(offset), Zone::Fixed { name, offset })
            }
            (false, None) if self.zone_name.is_empty() => (seconds, Zone::Utc),
            (false, None) => {
                let hours: i32 = self
                    .zone_name
                    .strip_prefix("GMT")
                    .and_then(|h| h.parse().ok())
                    .unwrap_or(0);
                let name = self.zone_name;
                let offset = hours * 3600;
                (seconds, Zone::Fixed { name, offset })
            }
        };
        Ok(Time::from_unix(seconds, self.nanosecond).in_zone(zone))
    }
}
