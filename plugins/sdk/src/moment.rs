//! The one reader of ISO 8601 dates and timestamps, for templates and for the columns of `parquet`.
//!
//! A timestamp with an offset is turned to UTC; one without is in UTC. An offset has at most 23 hours and 59 minutes (RFC 3339), and
//! years are those that readers of tables know: 1 to 9999. A leap second has no place on the scale, so it is none.

/// Nanoseconds of a second.
pub const NANOS: i64 = 1_000_000_000;

const DAY: i64 = 86_400;

/// A moment in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    seconds: i64,
    nanos: i64,
}

/// Year, month, day and hour of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarHour {
    /// From 1 to 9999.
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// From 0.
    pub hour: i64,
}

impl Moment {
    /// Reads a timestamp: `2024-10-06T20:00:00`, with a fraction and an offset if there are some. A date alone is its
    /// midnight. `None` if the text is none, or if there is no such date, time or offset.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let midnight = date(text.get(..10)?)? * DAY;
        let Some(rest) = text.get(11..) else {
            return if text.len() == 10 { Self::at(midnight, 0) } else { None };
        };
        if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
            return None;
        }
        let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
            Some(at) => (rest.get(..at)?, offset_minutes(rest.get(at..)?)?),
            None => (rest, 0),
        };
        let (seconds, nanos) = time_of_day(time)?;
        Self::at(midnight + seconds - offset * 60, nanos)
    }

    /// A moment in seconds since the Unix epoch, and nanoseconds of the second behind it; `None` if its year is not
    /// within 1 to 9999.
    #[must_use]
    pub fn at(seconds: i64, nanos: i64) -> Option<Self> {
        let years = days(1, 1, 1) * DAY..days(10_000, 1, 1) * DAY;
        (years.contains(&seconds) && (0..NANOS).contains(&nanos)).then_some(Moment { seconds, nanos })
    }

    /// A moment in units of which a second has `per_second`, since the Unix epoch.
    #[must_use]
    pub fn in_units(value: i64, per_second: i64) -> Option<Self> {
        Self::at(value.div_euclid(per_second), value.rem_euclid(per_second) * (NANOS / per_second))
    }

    /// So many units since the Unix epoch; `None` if that is no whole number, or more than 64 bits hold.
    #[must_use]
    pub fn units(self, per_second: i64) -> Option<i64> {
        let unit = NANOS / per_second;
        let whole = self.nanos % unit == 0;
        // In 128 bits: nanoseconds before 1970 may pass 64 bits on the way.
        let units = i128::from(self.seconds) * i128::from(per_second) + i128::from(self.nanos / unit);
        if whole { i64::try_from(units).ok() } else { None }
    }

    /// Its year, month, day and hour.
    #[must_use]
    pub fn calendar(self) -> CalendarHour {
        let days_since = self.seconds.div_euclid(DAY);
        // From the first year that it may be in: a year has at most 366 days.
        let mut year = 1970 + days_since.div_euclid(366).min(days_since.div_euclid(365));
        while days(year + 1, 1, 1) <= days_since {
            year += 1;
        }
        let mut month = 1;
        while month < 12 && days(year, month + 1, 1) <= days_since {
            month += 1;
        }
        let day = days_since - days(year, month, 1) + 1;
        CalendarHour { year, month, day, hour: self.seconds.rem_euclid(DAY) / 3600 }
    }
}

impl CalendarHour {
    /// The date, as `2024-10-06`.
    #[must_use]
    pub fn date(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Days since the Unix epoch of a date, `2024-10-06`; `None` if there is no such date.
#[must_use]
pub fn date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let (year, month, day) = (digits(text.get(..4)?)?, digits(text.get(5..7)?)?, digits(text.get(8..)?)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    (year > 0 && (1..=last).contains(&day)).then(|| days(year, month, day))
}

/// `20:00`, `20:00:00` or `20:00:00.123456789`: seconds and nanoseconds. Digits beyond nanoseconds must be zeros.
fn time_of_day(text: &str) -> Option<(i64, i64)> {
    let (time, fraction) = match text.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (text, None),
    };
    let mut parts = time.split(':');
    let mut next =
        |limit: i64| parts.next().filter(|part| part.len() == 2).and_then(digits).filter(|value| *value < limit);
    let (hour, minute) = (next(24)?, next(60)?);
    // A fraction is one of a second, never of a minute.
    let second = if time.len() > 5 || fraction.is_some() { next(60)? } else { 0 };
    if parts.next().is_some() {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second, fraction.map_or(Some(0), nanos)?))
}

fn nanos(fraction: &str) -> Option<i64> {
    let kept = fraction.get(..fraction.len().min(9))?;
    let beyond = fraction.get(kept.len()..)?;
    let scale = 10i64.pow(9 - kept.len() as u32);
    if beyond.bytes().all(|digit| digit == b'0') { Some(digits(kept)? * scale) } else { None }
}

/// `Z`, `+02:00`, `-0330` or `+02`.
fn offset_minutes(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        _ => rest.split_once(':')?,
    };
    let two = |text: &str, limit: i64| {
        Some(text).filter(|text| text.len() == 2).and_then(digits).filter(|number| *number < limit)
    };
    let total = two(hours, 24)? * 60 + two(minutes, 60)?;
    match sign {
        "-" => Some(-total),
        "+" => Some(total),
        _ => None,
    }
}

fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// Days since the Unix epoch in the proleptic Gregorian calendar. The year begins in March, so that the leap day is its last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_the_epoch() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2024-10-06", 20_002),
            ("0001-01-01", -719_162),
        ] {
            assert_eq!(date(text), Some(days), "{text}");
        }
        for wrong in [
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-04-31",
            "2024-1-01",
            "20241006",
            "ñ024-10-06",
            "0000-01-01",
        ] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn timestamps_are_turned_to_utc() {
        let base = 20_002 * DAY + 20 * 3600;
        for (text, seconds, nanos) in [
            ("2024-10-06T20:00:00", 0, 0),
            ("2024-10-06 20:00", 0, 0),
            ("2024-10-06T20:00:00Z", 0, 0),
            ("2024-10-06T22:00:00+02:00", 0, 0),
            ("2024-10-06T16:30:00-0330", 0, 0),
            ("2024-10-07T19:59:00+23:59", 0, 0),
            ("2024-10-06T20:00:00.5", 0, 500_000_000),
            ("2024-10-06T20:00:01.000000001000Z", 1, 1),
        ] {
            assert_eq!(Moment::read(text), Moment::at(base + seconds, nanos), "{text}");
        }
        assert_eq!(Moment::read("2024-10-06"), Moment::at(20_002 * DAY, 0));
    }

    #[test]
    fn what_there_is_not_is_refused() {
        for wrong in [
            "",
            "2024-10-06T",
            "2024-10-06X20:00",
            "2024-10-06Z",
            "2024-10-06T25:00",
            "2024-10-06T24:00:00",
            "2024-10-06T20",
            "2024-10-06T20:00:60Z",
            "2024-10-06T20:00:00:00",
            "2024-10-06T20:00:00.0000000001",
            "2024-10-06T20:00:00.",
            "2024-10-06T20:00:00.-5",
            // Offsets that there are not.
            "2024-10-06T20:00:00+99:99",
            "2024-10-06T20:00:00+24:00",
            "2024-10-06T20:00:00-24:00",
            "2024-10-06T20:00:00+02:60",
            "2024-10-06T20:00:00+02:",
            "2024-10-06T20:00:00+2",
            "2024-10-06T20:00:00+2:00",
            "2024-10-06T20:00:00+02:00:00",
            "2024-10-06T20:00:00+",
            "2024-10-06T20:00:00ZZ",
            // Fractions of a minute.
            "2024-10-06T20:00.5Z",
            "2024-10-06T20:00.0",
            // Dates that there are not, also once the offset is taken off.
            "2023-02-29T20:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(Moment::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn units_are_whole_and_fit() {
        let moment = Moment::read("1969-12-31T23:59:59.999999999Z").unwrap();
        assert_eq!((moment.units(NANOS), moment.units(1_000_000), moment.units(1)), (Some(-1), None, None));
        assert_eq!(Moment::in_units(-1, NANOS), Some(moment));
        assert_eq!(Moment::read("2262-04-11T23:47:16.854775807Z").unwrap().units(NANOS), Some(i64::MAX));
        assert_eq!(Moment::read("2262-04-11T23:47:16.854775808Z").unwrap().units(NANOS), None);
        assert_eq!(Moment::read("1677-09-21T00:12:43.145224192Z").unwrap().units(NANOS), Some(i64::MIN));
        assert_eq!(Moment::in_units(1_728_244_800_000_000, 1), None, "microseconds as seconds");
        assert_eq!(Moment::in_units(i64::MIN, 1000), None);
    }

    #[test]
    fn moments_have_a_date_and_an_hour() {
        for (millis, date, hour) in [
            (0, "1970-01-01", 0),
            (-1, "1969-12-31", 23),
            (1_728_244_799_999, "2024-10-06", 19),
            (951_782_400_000, "2000-02-29", 0),
            (4_102_444_799_999, "2099-12-31", 23),
            (253_402_300_799_999, "9999-12-31", 23),
            (-62_135_596_800_000, "0001-01-01", 0),
        ] {
            let calendar = Moment::in_units(millis, 1000).unwrap().calendar();
            assert_eq!((calendar.date(), calendar.hour), (date.to_owned(), hour), "{millis}");
        }
        for days_since in (days(1, 1, 1)..days(10_000, 1, 1)).step_by(17) {
            let date_text = Moment::at(days_since * DAY, 0).unwrap().calendar().date();
            assert_eq!(date(&date_text), Some(days_since), "{date_text}");
        }
    }
}
