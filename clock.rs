//! The one place where the crate reads time: wall-clock time, which is stored, and monotonic time, which deadlines are
//! measured in and which is never stored.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The wall clock, in milliseconds since the Unix epoch. It may be set back between two calls.
pub(crate) fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The monotonic clock: it never goes back, and means nothing to another process.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
