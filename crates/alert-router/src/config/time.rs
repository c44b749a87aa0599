//! The sections `time_intervals` and `mute_time_intervals`.

use serde::{Deserialize, Serialize};

use super::Error;
use super::settings::{settings, unset};
use crate::time_interval::{Location, Range, TimeInterval, TimeRange};

settings! {
    /// Time intervals under a name.
    "config.plain" NamedIntervalsSection {
        /// The name that routes use.
        name: String = String::new();
        /// An instant is inside if one of these contains it.
        time_intervals: Vec<TimeIntervalSection> = Vec::new();
    }
}

settings! {
    /// A time interval as it is written.
    "timeinterval.TimeInterval" TimeIntervalSection {
        /// Spans of the day.
        times: Option<Vec<TimeRangeSection>> = None, skip "empty";
        /// Days of the week.
        weekdays: Option<Vec<String>> = None, skip "empty";
        /// Days of the month.
        days_of_month: Option<Vec<String>> = None, skip "empty";
        /// Months.
        months: Option<Vec<String>> = None, skip "empty";
        /// Years.
        years: Option<Vec<String>> = None, skip "empty";
        /// A time zone.
        location: Option<String> = None, skip "unset";
    }
}

/// A span of the day as it is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename = "timeinterval.yamlTimeRange")]
pub struct TimeRangeSection {
    /// `HH:MM`.
    pub start_time: String,
    /// `HH:MM`, the first minute outside.
    pub end_time: String,
}

fn empty<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

impl TimeIntervalSection {
    /// Checks the interval; its parts are replaced by how upstream prints them.
    ///
    /// # Errors
    /// Upstream's message.
    pub fn resolve(&mut self) -> Result<TimeInterval, Error> {
        let problem = |e: crate::time_interval::Error| Error::new(e.to_string());
        let mut times = None;
        if let Some(ranges) = &mut self.times {
            let mut parsed = Vec::with_capacity(ranges.len());
            for range in ranges {
                let time = TimeRange::parse(&range.start_time, &range.end_time).map_err(problem)?;
                (range.start_time, range.end_time) = time.texts();
                parsed.push(time);
            }
            times = Some(parsed);
        }
        let location = match self.location.as_mut() {
            None => None,
            Some(name) => {
                let location = Location::parse(name).map_err(problem)?;
                location.name().clone_into(name);
                Some(location)
            }
        };
        Ok(TimeInterval {
            times,
            weekdays: ranges(&mut self.weekdays, Range::weekdays, Range::to_weekday_text)?,
            days_of_month: ranges(
                &mut self.days_of_month,
                Range::days_of_month,
                Range::to_text,
            )?,
            months: ranges(&mut self.months, Range::months, Range::to_text)?,
            years: ranges(&mut self.years, Range::years, Range::to_text)?,
            location,
        })
    }
}

fn ranges(
    texts: &mut Option<Vec<String>>,
    parse: impl Fn(&str) -> Result<Range, crate::time_interval::Error>,
    print: impl Fn(Range) -> String,
) -> Result<Option<Vec<Range>>, Error> {
    let Some(texts) = texts else {
        return Ok(None);
    };
    let mut parsed = Vec::with_capacity(texts.len());
    for text in texts {
        let range = parse(text).map_err(Error::from_display)?;
        *text = print(range);
        parsed.push(range);
    }
    Ok(Some(parsed))
}
