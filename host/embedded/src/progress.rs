//! Positions of routes in retained sources, the memos of sources, counters of routes, and which routes are paused.

use crate::codec::{push_bytes, read_token, token_bytes};
use crate::disk::{Disk, Space, read_fault};
use crate::transaction::Transaction;
use esclusa_flow::batch::Token;
use esclusa_flow::counts::Counts;
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use std::sync::Arc;

/// Names of a source and of the route that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSpec {
    /// Route name.
    pub route: Arc<str>,
    /// Source name.
    pub source: Arc<str>,
    /// Source kind as written in routes.toml.
    pub kind: Arc<str>,
    /// Lanes of a source without lanes of its own, such as a queue: at least one.
    pub pollers: usize,
}

impl SourceSpec {
    pub(crate) fn route_lane<'a>(&'a self, lane: &'a str) -> RouteLane<'a> {
        RouteLane { route: &self.route, source: &self.source, lane }
    }

    pub(crate) fn origin(&self, lane: &str, ordered: bool) -> BatchOrigin {
        BatchOrigin {
            route: Arc::clone(&self.route),
            source: Arc::clone(&self.source),
            kind: Arc::clone(&self.kind),
            lane: lane.into(),
            ordered,
        }
    }
}

/// A lane of a source as one route reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteLane<'a> {
    /// Route name.
    pub route: &'a str,
    /// Source name.
    pub source: &'a str,
    /// Lane.
    pub lane: &'a str,
}

impl RouteLane<'_> {
    /// Key of its position.
    pub(crate) fn position_key(&self) -> Vec<u8> {
        self.key(b'p')
    }

    /// Key of the source's memo.
    pub(crate) fn memo_key(&self) -> Vec<u8> {
        self.key(b'm')
    }

    fn key(&self, kind: u8) -> Vec<u8> {
        let mut key = vec![kind];
        [self.route, self.source, self.lane].iter().for_each(|part| push_bytes(part.as_bytes(), &mut key));
        key
    }

    /// The committed position.
    pub(crate) fn position(&self, disk: &Disk) -> Result<Option<Token>, Fault> {
        let stored = disk.space(Space::State).get(self.position_key()).map_err(|e| read_fault(&e))?;
        Ok(stored.map(|bytes| read_token(&bytes)).transpose()?)
    }

    /// The memo: bytes that the source stores beside its position.
    pub(crate) fn memo(&self, disk: &Disk) -> Result<Option<Vec<u8>>, Fault> {
        Ok(disk.space(Space::State).get(self.memo_key()).map_err(|e| read_fault(&e))?.map(|bytes| bytes.to_vec()))
    }

    /// Fails with [`Fault::LeaseLost`] if the committed position is not `from`: another task, or another process before this
    /// one, has committed for the lane.
    pub(crate) fn check(&self, from: Option<&Token>, tx: &mut Transaction<'_>) -> Result<(), Fault> {
        let stored = tx.get(Space::State, &self.position_key())?.map(|bytes| read_token(&bytes)).transpose()?;
        if stored.as_ref() == from {
            return Ok(());
        }
        Err(Fault::LeaseLost(format!(
            "route {:?} is at {} of source {:?}, lane {:?}, not at {}",
            self.route,
            describe(stored.as_ref()),
            self.source,
            self.lane,
            describe(from)
        )))
    }

    /// Moves the position.
    pub(crate) fn set(&self, to: &Token, tx: &mut Transaction<'_>) {
        tx.put(Space::State, self.position_key(), token_bytes(to));
    }
}

fn describe(token: Option<&Token>) -> String {
    match token {
        None => "the start".to_owned(),
        Some(Token::Offset(offset)) => offset.to_string(),
        Some(Token::Text(text)) => format!("{text:?}"),
    }
}

fn counts_key(route: &str) -> Vec<u8> {
    [b"c", route.as_bytes()].concat()
}

fn read_counts(bytes: &[u8]) -> Counts {
    let mut numbers = bytes.chunks_exact(8).filter_map(|c| c.try_into().ok()).map(u64::from_be_bytes);
    let mut next = || numbers.next().unwrap_or_default();
    Counts { done: next(), skipped: next(), filtered: next(), dead: next() }
}

/// The counters of a route.
pub(crate) fn counts(route: &str, disk: &Disk) -> Result<Counts, Fault> {
    let stored = disk.space(Space::State).get(counts_key(route)).map_err(|e| read_fault(&e))?;
    Ok(stored.map(|bytes| read_counts(&bytes)).unwrap_or_default())
}

/// The counters of a route with `added`, to be written once nothing can be refused any more.
pub(crate) fn sum(route: &str, added: &Counts, tx: &mut Transaction<'_>) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let key = counts_key(route);
    let mut counts = tx.get(Space::State, &key)?.map(|bytes| read_counts(&bytes)).unwrap_or_default();
    counts.merge(added);
    let numbers = [counts.done, counts.skipped, counts.filtered, counts.dead];
    Ok((key, numbers.iter().flat_map(|n| n.to_be_bytes()).collect()))
}

/// Key of the mark of a paused route.
pub(crate) fn pause_key(route: &str) -> Vec<u8> {
    [b"h", route.as_bytes()].concat()
}

/// True if a route was paused, and not resumed.
pub(crate) fn paused(route: &str, disk: &Disk) -> Result<bool, Fault> {
    Ok(disk.space(Space::State).get(pause_key(route)).map_err(|e| read_fault(&e))?.is_some())
}
