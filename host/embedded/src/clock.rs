//! The one place in which the crate reads time: wall-clock time, which is stored, and monotonic time, which deadlines are
//! measured in and which is never stored.

use esclusa_flow::timestamp::Timestamp;
use std::time::{Instant, SystemTime};

/// The wall clock, in milliseconds since the Unix epoch. It may be set back between two calls.
pub(crate) fn wall_millis() -> u64 {
    Timestamp::from(SystemTime::now()).millis()
}

/// The monotonic clock: it never goes back, and means nothing to another process.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
