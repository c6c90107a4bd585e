//! Counts the connections of a listener, and its answers.

use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a listener counts since it was started.
#[derive(Debug, Default)]
pub struct ConnectionMeter {
    open: AtomicUsize,
    answers: [AtomicU64; 5],
}

impl ConnectionMeter {
    /// Notes how many connections are open.
    pub(super) fn open(&self, connections: usize) {
        self.open.store(connections, Ordering::Relaxed);
    }

    /// Counts an answer.
    pub(super) fn answered(&self, status: StatusCode) {
        if let Some(count) = usize::from(status.as_u16() / 100).checked_sub(1).and_then(|class| self.answers.get(class))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Answers by the first digit of their status: `2xx` and so on.
    pub fn answers(&self) -> BTreeMap<String, u64> {
        let counts = self.answers.iter().enumerate().skip(1);
        counts.map(|(class, count)| (format!("{}xx", class + 1), count.load(Ordering::Relaxed))).collect()
    }
}
