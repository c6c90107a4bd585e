//! Memory for what the lanes of a source have read and not given yet (reliability K19). Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes, for all lanes of a source.
#[derive(Debug)]
pub struct Room {
    limit: usize,
    used: AtomicUsize,
}

impl Room {
    /// Room for `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Room { limit, used: AtomicUsize::new(0) })
    }

    /// A lane's share, which is empty.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { room: self.clone(), bytes: 0 }
    }
}

/// What one lane takes of it; given back when dropped.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Share {
    /// The lane holds so many bytes now.
    pub fn set(&mut self, bytes: usize) {
        self.room.used.fetch_add(bytes, Ordering::Relaxed);
        self.room.used.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
    }

    /// True where the lane may read a page. One that holds something already may go on, so that a batch is never waited
    /// for by all; so the limit is passed by a page for each lane that reads at the moment.
    pub fn may_read(&self) -> bool {
        self.bytes > 0 || self.room.used.load(Ordering::Relaxed) < self.room.limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
