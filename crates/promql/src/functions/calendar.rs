//! Dates of Unix seconds, in UTC.

/// A point in time as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// 1 to 366.
    pub day_of_year: i64,
}

impl Date {
    /// The date of a count of seconds since the Unix epoch.
    pub(crate) fn from_unix(seconds: i64) -> Date {
        Date::from_days(seconds.div_euclid(86_400), seconds.rem_euclid(86_400))
    }

    /// The date of a count of days since the epoch, and `rest` seconds.
    fn from_days(days: i64, rest: i64) -> Date {
        // Years that begin in March, in eras of 400 years that all have the same length.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_shifted_year =
            day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_shifted_year + 2) / 153;
        let day = day_of_shifted_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let before: i64 = (1..month).map(|m| days_in_month(year, m)).sum();
        Date {
            year,
            month,
            day,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            day_of_year: before + day,
        }
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A function of seconds since the epoch by its PromQL name.
pub(crate) fn date_function(name: &str) -> Option<fn(f64) -> f64> {
    fn date(v: f64) -> Date {
        // As Go's conversion on amd64: what does not fit is the least integer.
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v);
        let seconds = if fits { v as i64 } else { i64::MIN };
        // Go counts seconds from a year so long ago that only the most negative times are before it;
        // those come out at the other end.
        const YEAR_ZERO: i64 = -9_223_372_028_741_760_000;
        if seconds < YEAR_ZERO {
            let days = (i128::from(seconds) + (1 << 64)).div_euclid(86_400);
            let rest = (i128::from(seconds) + (1 << 64)).rem_euclid(86_400);
            return Date::from_days(days as i64, rest as i64);
        }
        Date::from_unix(seconds)
    }
    Some(match name {
        "day_of_month" => |v| date(v).day as f64,
        "day_of_week" => |v| date(v).weekday as f64,
        "day_of_year" => |v| date(v).day_of_year as f64,
        "days_in_month" => |v| {
            let date = date(v);
            days_in_month(date.year, date.month) as f64
        },
        "hour" => |v| date(v).hour as f64,
        "minute" => |v| date(v).minute as f64,
        "month" => |v| date(v).month as f64,
        "year" => |v| date(v).year as f64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, (year, month, day), weekday, day_of_year) in [
            (0, (1970, 1, 1), 4, 1),
            (-1, (1969, 12, 31), 3, 365),
            (951_782_400, (2000, 2, 29), 2, 60),
            (1_735_689_599, (2024, 12, 31), 2, 366),
            (1_136_239_445, (2006, 1, 2), 1, 2),
            (-62_135_596_800, (1, 1, 1), 1, 1),
        ] {
            let date = Date::from_unix(seconds);
            assert_eq!(
                (date.year, date.month, date.day),
                (year, month, day),
                "{seconds}"
            );
            assert_eq!((date.weekday, date.day_of_year), (weekday, day_of_year));
        }
        let date = Date::from_unix(1_136_239_445);
        assert_eq!((date.hour, date.minute, date.second), (22, 4, 5));
        let month_length = date_function("days_in_month").unwrap();
        assert_eq!(month_length(951_782_400.0), 29.0);
        // What Go 1.26 says.
        for (name, of_nan, of_large) in [
            ("year", 292_277_026_596.0, -31_688_736_537.0),
            ("month", 12.0, 3.0),
            ("day_of_month", 4.0, 10.0),
            ("hour", 15.0, 22.0),
            ("minute", 30.0, 13.0),
            ("day_of_week", 0.0, 2.0),
            ("day_of_year", 339.0, 69.0),
            ("days_in_month", 31.0, 31.0),
        ] {
            let f = date_function(name).unwrap();
            assert_eq!(f(f64::NAN), of_nan, "{name}");
            assert_eq!(f(f64::INFINITY), of_nan, "{name}");
            assert_eq!(f(-1e300), of_nan, "{name}");
            assert_eq!(f(-1e18), of_large, "{name}");
        }
    }
}
