//! Layouts taken apart, and times written by them (`time/format.go`).

use super::Time;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// One element of a layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Chunk {
    LongMonth,
    Month,
    NumberMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    BlankDay,
    ZeroDay,
    BlankYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// `Z07:00` (`z`) or `-07:00`, with or without colons, down to hours, minutes or seconds.
    Offset {
        z: bool,
        colon: bool,
        parts: u8,
    },
    /// `.000`, or `.999` where zeros at the end are dropped.
    Fraction {
        digits: usize,
        exact: bool,
        separator: char,
    },
}

/// Longer texts before their own beginnings.
const FIXED: [(&str, Chunk); 33] = {
    const fn offset(z: bool, colon: bool, parts: u8) -> Chunk {
        Chunk::Offset { z, colon, parts }
    }
    [
        ("January", Chunk::LongMonth),
        ("Jan", Chunk::Month),
        ("Monday", Chunk::LongWeekday),
        ("Mon", Chunk::Weekday),
        ("MST", Chunk::ZoneName),
        ("01", Chunk::ZeroMonth),
        ("02", Chunk::ZeroDay),
        ("03", Chunk::ZeroHour12),
        ("04", Chunk::ZeroMinute),
        ("05", Chunk::ZeroSecond),
        ("06", Chunk::Year),
        ("002", Chunk::ZeroYearDay),
        ("15", Chunk::Hour),
        ("1", Chunk::NumberMonth),
        ("2006", Chunk::LongYear),
        ("2", Chunk::Day),
        ("__2", Chunk::BlankYearDay),
        ("_2", Chunk::BlankDay),
        ("3", Chunk::Hour12),
        ("4", Chunk::Minute),
        ("5", Chunk::Second),
        ("PM", Chunk::UpperPm),
        ("pm", Chunk::LowerPm),
        ("-070000", offset(false, false, 3)),
        ("-07:00:00", offset(false, true, 3)),
        ("-0700", offset(false, false, 2)),
        ("-07:00", offset(false, true, 2)),
        ("-07", offset(false, false, 1)),
        ("Z070000", offset(true, false, 3)),
        ("Z07:00:00", offset(true, true, 3)),
        ("Z0700", offset(true, false, 2)),
        ("Z07:00", offset(true, true, 2)),
        ("Z07", offset(true, false, 1)),
    ]
};

/// The text before the first element, the element as written, and what follows.
pub(super) fn next(layout: &str) -> Option<(&str, Chunk, &str, &str)> {
    for (at, c) in layout.char_indices() {
        let rest = &layout[at..];
        if let Some((chunk, length)) = chunk_at(rest, c) {
            // In `_2006` the underscore is just one.
            let (at, chunk, length) = match chunk {
                Chunk::BlankDay if rest.starts_with("_2006") => (at + 1, Chunk::LongYear, 4),
                chunk => (at, chunk, length),
            };
            let (written, suffix) = layout[at..].split_at(length);
            return Some((&layout[..at], chunk, written, suffix));
        }
    }
    None
}

fn chunk_at(rest: &str, first: char) -> Option<(Chunk, usize)> {
    if matches!(first, '.' | ',') {
        return fraction(rest, first);
    }
    let (text, chunk) = FIXED.iter().find(|(text, _)| rest.starts_with(text))?;
    // `Janet` and `Monet` are words.
    let short = matches!(chunk, Chunk::Month | Chunk::Weekday);
    let goes_on = rest[text.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    (!short || !goes_on).then_some((*chunk, text.len()))
}

fn fraction(rest: &str, separator: char) -> Option<(Chunk, usize)> {
    let digits = &rest[1..];
    let kind = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|&c| c == kind).count();
    if digits[count..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let chunk = Chunk::Fraction {
        digits: count,
        exact: kind == '0',
        separator,
    };
    Some((chunk, count + 1))
}

pub(super) fn format(time: &Time, mut layout: &str) -> String {
    let civil = time.civil();
    let (zone, offset) = time.zone();
    let mut out = String::with_capacity(layout.len() + 10);
    while let Some((prefix, chunk, _, suffix)) = next(layout) {
        out.push_str(prefix);
        layout = suffix;
        let hour = civil.hour();
        let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
        let month = MONTHS[civil.month() as usize - 1];
        let weekday = DAYS[civil.weekday().to_monday_zero_offset() as usize];
        out.push_str(&match chunk {
            Chunk::LongMonth => month.to_owned(),
            Chunk::Month => month[..3].to_owned(),
            Chunk::NumberMonth => civil.month().to_string(),
            Chunk::ZeroMonth => format!("{:02}", civil.month()),
            Chunk::LongWeekday => weekday.to_owned(),
            Chunk::Weekday => weekday[..3].to_owned(),
            Chunk::Day => civil.day().to_string(),
            Chunk::BlankDay => format!("{:2}", civil.day()),
            Chunk::ZeroDay => format!("{:02}", civil.day()),
            Chunk::BlankYearDay => format!("{:3}", civil.day_of_year()),
            Chunk::ZeroYearDay => format!("{:03}", civil.day_of_year()),
            Chunk::Hour => format!("{hour:02}"),
            Chunk::Hour12 => hour12.to_string(),
            Chunk::ZeroHour12 => format!("{hour12:02}"),
            Chunk::Minute => civil.minute().to_string(),
            Chunk::ZeroMinute => format!("{:02}", civil.minute()),
            Chunk::Second => civil.second().to_string(),
            Chunk::ZeroSecond => format!("{:02}", civil.second()),
            Chunk::LongYear if civil.year() < 0 => format!("-{:04}", -civil.year()),
            Chunk::LongYear => format!("{:04}", civil.year()),
            Chunk::Year => format!("{:02}", civil.year().rem_euclid(100)),
            Chunk::UpperPm => if hour >= 12 { "PM" } else { "AM" }.to_owned(),
            Chunk::LowerPm => if hour >= 12 { "pm" } else { "am" }.to_owned(),
            Chunk::ZoneName if !zone.is_empty() => zone.clone(),
            Chunk::ZoneName => written_offset(offset, false, 2),
            Chunk::Offset { z: true, .. } if offset == 0 => "Z".to_owned(),
            Chunk::Offset { colon, parts, .. } => written_offset(offset, colon, parts),
            Chunk::Fraction {
                digits,
                exact,
                separator,
            } => written_fraction(civil.subsec_nanosecond(), digits, exact, separator),
        });
    }
    out.push_str(layout);
    out
}

fn written_offset(offset: i32, colon: bool, parts: u8) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let seconds = offset.abs();
    let colon = if colon { ":" } else { "" };
    let mut out = format!("{sign}{:02}", seconds / 3600);
    if parts > 1 {
        out.push_str(&format!("{colon}{:02}", seconds / 60 % 60));
    }
    if parts > 2 {
        out.push_str(&format!("{colon}{:02}", seconds % 60));
    }
    out
}

fn written_fraction(nanoseconds: i32, digits: usize, exact: bool, separator: char) -> String {
    let all = format!("{nanoseconds:09}");
    let mut shown = format!("{all:0<digits$}")[..digits].to_owned();
    if !exact {
        shown.truncate(shown.trim_end_matches('0').len());
        if shown.is_empty() {
            return shown;
        }
    }
    format!("{separator}{shown}")
}
