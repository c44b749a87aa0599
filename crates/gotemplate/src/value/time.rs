//! `time.Time` and `time.Duration` with the methods templates call.

use std::any::Any;

use golang::time::{Time, Zone, format_duration, parse_duration};

use super::{Object, Value};
use crate::{Function, Param};

/// A `time.Time`.
#[derive(Debug, Clone)]
pub struct TimeValue(pub Time);

/// A `time.Duration` of so many nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct DurationValue(pub i64);

const TIME: Param = Param::Type("time.Time");
const DURATION: Param = Param::Type("time.Duration");

impl From<Time> for Value {
    fn from(time: Time) -> Value {
        Value::object(TimeValue(time))
    }
}

/// The duration in an argument that was declared as one.
fn duration(value: &Value) -> i64 {
    match value.plain() {
        Value::Int(nanoseconds) => nanoseconds,
        _ => 0,
    }
}

/// The time in an argument that was declared as one.
fn time(value: &Value) -> Time {
    let time = value.downcast::<TimeValue>();
    time.map(|t| t.0.clone()).unwrap_or_default()
}

fn getter(value: impl Into<Value>) -> Option<Function<'static>> {
    let value = value.into();
    Some(Function::new([], move |_| Ok(value.clone())))
}

fn int64(value: i64) -> Value {
    Value::Named("int64", Box::new(Value::Int(value)))
}

impl Object for TimeValue {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }

    fn json(&self) -> Option<Value> {
        Some(self.0.format(golang::time::RFC3339_NANO).into())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn method(&self, name: &str) -> Option<Function<'static>> {
        let this = self.0.clone();
        let civil = this.civil();
        match name {
            "Format" => Some(Function::new([Param::STRING], move |args| {
                Ok(this.format(args[0].as_str().unwrap_or_default()).into())
            })),
            "String" => getter(this.to_string()),
            "Unix" => getter(int64(this.unix())),
            "UnixMilli" => getter(int64(this.unix_milli())),
            "UnixMicro" => getter(int64(this.unix_nano().div_euclid(1000))),
            "UnixNano" => getter(int64(this.unix_nano())),
            "IsZero" => getter(this.is_zero()),
            "UTC" | "Local" => getter(this.in_zone(Zone::Utc)),
            "Year" => getter(i64::from(civil.year())),
            "Month" => getter(Value::object(Named {
                type_name: "time.Month",
                number: i64::from(civil.month()),
                text: this.format("January"),
            })),
            "Weekday" => getter(Value::object(Named {
                type_name: "time.Weekday",
                number: i64::from(civil.weekday().to_sunday_zero_offset()),
                text: this.format("Monday"),
            })),
            "Day" => getter(i64::from(civil.day())),
            "YearDay" => getter(i64::from(civil.day_of_year())),
            "Hour" => getter(i64::from(civil.hour())),
            "Minute" => getter(i64::from(civil.minute())),
            "Second" => getter(i64::from(civil.second())),
            "Nanosecond" => getter(i64::from(civil.subsec_nanosecond())),
            "Add" => Some(Function::new([DURATION], move |args| {
                Ok(this.add(duration(&args[0])).into())
            })),
            "AddDate" => Some(Function::new([Param::INT; 3], move |args| {
                let number = |at: usize| match args[at] {
                    Value::Int(value) => value,
                    _ => 0,
                };
                add_date(&this, number(0), number(1), number(2)).map(Value::from)
            })),
            "Sub" => Some(Function::new([TIME], move |args| {
                Ok(Value::object(DurationValue(this.sub(&time(&args[0])))))
            })),
            "Before" => Some(Function::new([TIME], move |args| {
                Ok(this.before(&time(&args[0])).into())
            })),
            "After" => Some(Function::new([TIME], move |args| {
                Ok(time(&args[0]).before(&this).into())
            })),
            "Equal" => Some(Function::new([TIME], move |args| {
                Ok(this.same_instant(&time(&args[0])).into())
            })),
            "Truncate" => Some(Function::new([DURATION], move |args| {
                Ok(this.truncate(duration(&args[0])).into())
            })),
            _ => None,
        }
    }
}

/// Years, months and days later; days beyond a month's end run into the next month.
fn add_date(time: &Time, years: i64, months: i64, days: i64) -> Result<Time, String> {
    let out_of_range = || "time out of range".to_owned();
    let civil = time.civil();
    let month = (i64::from(civil.year()) + years)
        .checked_mul(12)
        .and_then(|m| m.checked_add(i64::from(civil.month()) - 1))
        .and_then(|m| m.checked_add(months))
        .ok_or_else(out_of_range)?;
    let year = i16::try_from(month.div_euclid(12)).map_err(|_| out_of_range())?;
    let first = jiff_date(year, month.rem_euclid(12) as i8 + 1).ok_or_else(out_of_range)?;
    let from = jiff_date(civil.year(), civil.month()).ok_or_else(out_of_range)?;
    let shift = days.checked_mul(86_400).ok_or_else(out_of_range)?;
    let seconds = (first - from).checked_add(shift).ok_or_else(out_of_range)?;
    let total = time.unix().checked_add(seconds).ok_or_else(out_of_range)?;
    let nanosecond = i64::from(civil.subsec_nanosecond());
    let (name, offset) = time.zone();
    let zone = if offset == 0 {
        Zone::Utc
    } else {
        Zone::Fixed { name, offset }
    };
    Ok(Time::from_unix(total, nanosecond).in_zone(zone))
}

/// Seconds since 1970 of the first of a month.
fn jiff_date(year: i16, month: i8) -> Option<i64> {
    let text = format!("{year:04}-{month:02}-01");
    Time::parse("2006-01-02", &text).ok().map(|t| t.unix())
}

/// A number with a name: a month, a weekday.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: i64,
    text: String,
}

impl Object for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Int(self.number))
    }

    fn text(&self) -> Option<String> {
        Some(self.text.clone())
    }

    fn method(&self, name: &str) -> Option<Function<'static>> {
        (name == "String").then(|| getter(self.text.clone()))?
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl DurationValue {
    /// Reads `1h30m`.
    ///
    /// # Errors
    /// Go's message.
    pub fn parse(text: &str) -> Result<DurationValue, String> {
        parse_duration(text).map(DurationValue)
    }
}

impl Object for DurationValue {
    fn type_name(&self) -> &'static str {
        "time.Duration"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Int(self.0))
    }

    fn text(&self) -> Option<String> {
        Some(format_duration(self.0))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn method(&self, name: &str) -> Option<Function<'static>> {
        let this = self.0;
        let nanoseconds = this as f64;
        match name {
            "String" => getter(format_duration(this)),
            "Hours" => getter(nanoseconds / 3.6e12),
            "Minutes" => getter(nanoseconds / 6e10),
            "Seconds" => getter(nanoseconds / 1e9),
            "Milliseconds" => getter(int64(this / 1_000_000)),
            "Microseconds" => getter(int64(this / 1_000)),
            "Nanoseconds" => getter(int64(this)),
            "Abs" => getter(Value::object(DurationValue(this.saturating_abs()))),
            "Truncate" | "Round" => {
                let round = name == "Round";
                Some(Function::new([DURATION], move |args| {
                    let unit = duration(&args[0]);
                    Ok(Value::object(DurationValue(rounded(this, unit, round))))
                }))
            }
            _ => None,
        }
    }
}

/// To a multiple of `unit`: toward zero, or to the nearest with halves away from zero.
fn rounded(value: i64, unit: i64, nearest: bool) -> i64 {
    if unit <= 0 {
        return value;
    }
    let rest = value % unit;
    let down = value - rest;
    let far = rest.unsigned_abs() >= unit.unsigned_abs() - rest.unsigned_abs();
    if nearest && far && rest != 0 {
        down.saturating_add(unit * rest.signum())
    } else {
        down
    }
}
