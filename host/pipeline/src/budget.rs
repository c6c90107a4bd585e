//! Bytes in flight of a route (invariant 4): a source is not polled past it.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit. A semaphore has too few permits to count single bytes.
const GRAIN: usize = 1024;

/// A limit on bytes in flight.
#[derive(Debug, Clone)]
pub struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
}

/// Bytes taken from a budget, until this is dropped.
#[derive(Debug)]
pub struct BytesPermit(OwnedSemaphorePermit);

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from(bytes / GRAIN)
            .unwrap_or(u32::MAX)
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize) as u32);
        Budget { permits: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until `bytes` are free and takes them; more than the whole budget count as the whole. Cancel-safe.
    pub async fn take(&self, bytes: usize) -> Option<BytesPermit> {
        self.permits.clone().acquire_many_owned(self.permits_for(bytes)).await.ok().map(BytesPermit)
    }

    fn permits_for(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(GRAIN)).unwrap_or(u32::MAX).clamp(1, self.total)
    }

    /// Takes `bytes` if they are free now.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<BytesPermit> {
        self.permits.clone().try_acquire_many_owned(self.permits_for(bytes)).ok().map(BytesPermit)
    }

    /// Bytes of the whole budget. One who asks for more waits for as many; one who asks beside what it holds for more than the rest
    /// would wait for itself.
    #[must_use]
    pub fn total(&self) -> usize {
        (self.total as usize).saturating_mul(GRAIN)
    }

    /// Bytes in flight at present.
    #[must_use]
    pub fn used(&self) -> usize {
        (self.total as usize).saturating_sub(self.permits.available_permits()).saturating_mul(GRAIN)
    }
}

impl BytesPermit {
    /// Bytes that were taken, in whole permits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.num_permits().saturating_mul(GRAIN)
    }

    /// Frees all but `bytes`, rounded up to whole permits.
    pub fn shrink(&mut self, bytes: usize) {
        let keep = bytes.div_ceil(GRAIN).max(1);
        drop(self.0.num_permits().checked_sub(keep).and_then(|surplus| self.0.split(surplus)));
    }
}
