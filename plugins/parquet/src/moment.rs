//! ISO 8601 dates and timestamps. One without an offset is taken as it is; one with an offset is turned to UTC.

/// Days since the Unix epoch of a date: `2024-10-06`.
pub(crate) fn date(text: &str) -> Option<i64> {
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
    (1..=last).contains(&day).then(|| days(year, month, day))
}

/// Microseconds since the Unix epoch of a timestamp: `2024-10-06T20:00:00`, with a fraction and an offset if there are
/// some. A date alone is its midnight.
pub(crate) fn micros(text: &str) -> Option<i64> {
    let days = date(text.get(..10)?)?;
    let Some(rest) = text.get(11..) else { return (text.len() == 10).then_some(days * 86_400_000_000) };
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (rest.get(..at)?, offset_minutes(rest.get(at..)?)?),
        None => (rest, 0),
    };
    Some(days * 86_400_000_000 + time_micros(time)? - offset * 60_000_000)
}

/// `20:00`, `20:00:00` or `20:00:00.123456`; digits beyond microseconds must be zeros.
fn time_micros(text: &str) -> Option<i64> {
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = time.split(':');
    let mut next =
        |limit: i64| parts.next().filter(|part| part.len() == 2).and_then(digits).filter(|value| *value < limit);
    let (hour, minute) = (next(24)?, next(60)?);
    let second = if time.len() > 5 { next(60)? } else { 0 };
    if parts.next().is_some() {
        return None;
    }
    let kept = fraction.get(..fraction.len().min(6))?;
    let beyond = fraction.get(kept.len()..)?;
    if beyond.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let scale = 10i64.pow(6 - kept.len() as u32);
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + digits(kept)? * scale)
}

/// `Z`, `+02:00`, `-0330` or `+02`.
fn offset_minutes(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    if hours.len() != 2 || !matches!(minutes.len(), 0 | 2) {
        return None;
    }
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes)? };
    let total = digits(hours)? * 60 + minutes;
    Some(if sign == "-" { -total } else { total })
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

/// Date and hour of a moment in milliseconds since the Unix epoch: `2024-10-06` and `20`.
pub(crate) fn date_and_hour(millis: u64) -> (String, String) {
    let hours = (millis / 3_600_000) as i64;
    let mut year = 1970 + hours / 24 / 366;
    while days(year + 1, 1, 1) <= hours / 24 {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days(year, month + 1, 1) <= hours / 24 {
        month += 1;
    }
    let day = hours / 24 - days(year, month, 1) + 1;
    (format!("{year:04}-{month:02}-{day:02}"), format!("{:02}", hours % 24))
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
        ] {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn timestamps_are_microseconds_since_the_epoch() {
        let base = 20_002 * 86_400_000_000 + 20 * 3_600_000_000;
        for (text, micros_after) in [
            ("2024-10-06T20:00:00", 0),
            ("2024-10-06 20:00", 0),
            ("2024-10-06T20:00:00Z", 0),
            ("2024-10-06T22:00:00+02:00", 0),
            ("2024-10-06T16:30:00-0330", 0),
            ("2024-10-06T20:00:00.5", 500_000),
            ("2024-10-06T20:00:01.000001000Z", 1_000_001),
        ] {
            assert_eq!(micros(text), Some(base + micros_after), "{text}");
        }
        assert_eq!(micros("2024-10-06"), Some(20_002 * 86_400_000_000));
        for wrong in [
            "",
            "2024-10-06T",
            "2024-10-06X20:00",
            "2024-10-06T25:00",
            "2024-10-06T20",
            "2024-10-06T20:00:00+2",
            "2024-10-06T20:00:00.0000001",
            "2024-10-06T20:00:00:00",
        ] {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moments_have_a_date_and_an_hour() {
        for (millis, date, hour) in [
            (0, "1970-01-01", "00"),
            (1_728_244_799_999, "2024-10-06", "19"),
            (951_782_400_000, "2000-02-29", "00"),
            (4_102_444_799_999, "2099-12-31", "23"),
        ] {
            assert_eq!(date_and_hour(millis), (date.to_owned(), hour.to_owned()), "{millis}");
        }
    }
}
