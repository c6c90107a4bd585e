//! What a store may hold: refusals when it is full, and how full it is.

use crate::schema::StoreLimits;
use crate::store::Store;
use esclusa_flow::fault::{Fault, STORE_FULL};

/// The code of a fault: there are so many dead letters that none is added.
pub const DEAD_LETTERS_FULL: &str = "store.dead-letters-full";

/// How full a store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFill {
    /// Bytes of its files.
    pub bytes: u64,
    /// Dead letters of all routes.
    pub dead_letters: u64,
    /// Bytes of them.
    pub dead_letter_bytes: u64,
}

impl StoreFill {
    /// Fails if so many dead letters with so many bytes are too many besides.
    pub(crate) fn take(self, (letters, bytes): (u64, u64), limits: &StoreLimits) -> Result<(), Fault> {
        let (letters, bytes) =
            (self.dead_letters.saturating_add(letters), self.dead_letter_bytes.saturating_add(bytes));
        if letters <= limits.dead_letters && bytes <= limits.dead_letter_bytes {
            return Ok(());
        }
        let reason = format!(
            "the store has {} dead letters with {} bytes, and max_dead_letters and max_dead_letter_bytes of [engine] allow {} and {}: \
             redrive or drop some with `esclusa dlq`, or raise the limit; nothing is lost meanwhile, the routes wait",
            self.dead_letters, self.dead_letter_bytes, limits.dead_letters, limits.dead_letter_bytes
        );
        Err(Fault::Refused { code: DEAD_LETTERS_FULL, reason })
    }
}

impl Store {
    /// How full the store is.
    #[must_use]
    pub fn fill(&self) -> StoreFill {
        let dead = self.shared().dead.sum();
        StoreFill { bytes: self.disk().bytes(), ..dead }
    }

    /// How much the store may hold.
    #[must_use]
    pub fn limits(&self) -> StoreLimits {
        self.shared().catalog().limits
    }

    /// Fails if the store takes nothing from outside at present.
    pub(crate) fn take_from_outside(&self) -> Result<(), Fault> {
        let (bytes, limit) = (self.disk().recent_bytes(), self.limits().bytes);
        if bytes <= limit {
            return Ok(());
        }
        let reason = format!(
            "the store has {} MiB, and max_bytes of [engine] allows {}: it takes nothing until its routes have worked off enough, retention \
             has trimmed enough, or the limit is raised",
            bytes >> 20,
            limit >> 20
        );
        Err(Fault::Refused { code: STORE_FULL, reason })
    }
}
