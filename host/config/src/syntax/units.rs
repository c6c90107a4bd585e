//! Numbers with a unit: durations, sizes, times.

use std::time::Duration;

/// Units of a duration, in milliseconds.
const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of a size, in bytes.
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `"250ms"`, `"1s"`, `"10m"`, `"2h"`, `"7d"`.
pub fn duration(text: &str) -> Option<Duration> {
    scaled(text, &DURATIONS).map(Duration::from_millis)
}

/// `"64MiB"`, `"1MB"`, `"10KiB"`; a number alone is bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| scaled(text, &SIZES))
}

/// Milliseconds since the Unix epoch of an RFC 3339 time.
pub fn timestamp(text: &str) -> Option<u64> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    u64::try_from(time.timestamp_millis()).ok()
}

/// A duration with its largest whole unit: `"90s"`, `"2h"`.
pub fn show_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
}

/// A size with its largest whole unit: `"64MiB"`, `"6MB"`.
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The amount in the largest unit that leaves a whole number.
fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let best =
        units.iter().filter(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor)).max_by_key(|(_, f)| *f);
    match best.or(units.first()) {
        Some((name, factor)) => format!("{}{name}", amount / factor),
        None => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_shown() {
        for text in ["250ms", "1s", "10m", "2h", "7d"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["64MiB", "6MB", "10KiB", "1GiB", "1B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        assert_eq!(size("123"), Some(123));
        assert_eq!(show_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn nonsense_is_none() {
        for text in ["", "s", "1", "-1s", "1.5s", "1 s", "1S", "99999999999999999999s", "213503982335d9"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "MiB", "-1", "1mib", "1 MB", "99999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn a_timestamp_needs_a_zone() {
        assert_eq!(timestamp("1970-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(timestamp("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(timestamp("1970-01-01T00:00:00"), None);
        assert_eq!(timestamp("1969-12-31T00:00:00Z"), None);
    }
}
