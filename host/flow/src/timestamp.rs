//! A moment of the wall clock. Pure: the crates that touch the world read the clock, and convert the time once.

use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Milliseconds since the Unix epoch. Written and read as that number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment so many milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The moment so long after this one, in whole milliseconds. It stops at the last moment that can be written.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Timestamp(self.0.saturating_add(whole_millis(wait)))
    }

    /// How long ago `earlier` was at this moment; zero if it is later, since the wall clock may jump back.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A clock that stands before the epoch was never set: it counts as the epoch.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Timestamp(whole_millis(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()))
    }
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_counts_whole_milliseconds_and_never_wraps() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(Timestamp::from(epoch + Duration::from_micros(1_999)).millis(), 1);
        assert_eq!(Timestamp::from(epoch - Duration::from_secs(1)), Timestamp::default());
        let (one, late) = (Timestamp::from_millis(1), Timestamp::from_millis(u64::MAX - 1));
        assert_eq!(
            (late.after(Duration::from_secs(1)).millis(), late.after(Duration::MAX).millis()),
            (u64::MAX, u64::MAX)
        );
        assert_eq!((late.since(one).as_millis(), one.since(late)), (u128::from(u64::MAX) - 2, Duration::ZERO));
    }

    #[test]
    fn a_timestamp_is_a_number_in_json() {
        assert_eq!(serde_json::to_string(&Timestamp::from_millis(7)).unwrap(), "7");
        assert_eq!(serde_json::from_str::<Timestamp>("7").unwrap(), Timestamp::from_millis(7));
    }
}
