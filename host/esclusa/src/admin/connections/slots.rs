//! Places for connections: ordinary ones for whatever is asked, and a reserve that health is asked on when all of those
//! are busy. A connection that asks nothing gives its place up when another one needs it, the oldest first.

use super::stage::ConnectionStage;
use rustix::process::{Resource, getrlimit};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

/// Connections at once, if the process may open four times as many files.
pub(crate) const MOST: usize = 1024;

/// How many connections there may be at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// On which anything may be asked.
    pub ordinary: usize,
    /// On which health and metrics may be asked when the others are busy.
    pub reserve: usize,
}

impl ConnectionLimits {
    /// As the limit of open files allows. The files of the store come first.
    pub(crate) fn of_files() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let ordinary = usize::try_from(files / 4).unwrap_or(usize::MAX).clamp(16, MOST);
        ConnectionLimits { ordinary, reserve: (ordinary / 8).max(8) }
    }
}

/// The kind of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// Anything may be asked on it.
    Ordinary,
    /// Only health and metrics, once, and soon.
    Reserve,
}

struct OpenConnection {
    stage: Arc<ConnectionStage>,
    task: AbortHandle,
    since: Instant,
}

/// Who has a place.
pub(super) struct ConnectionSlots {
    most: ConnectionLimits,
    ordinary: HashMap<Id, OpenConnection>,
    reserve: HashMap<Id, OpenConnection>,
}

impl ConnectionSlots {
    /// Nobody has one yet.
    pub(super) fn new(most: ConnectionLimits) -> Self {
        ConnectionSlots { most, ordinary: HashMap::new(), reserve: HashMap::new() }
    }

    /// Makes room for a connection, and says of which kind.
    pub(super) fn room(&mut self) -> SlotKind {
        if self.ordinary.len() < self.most.ordinary || cut_waiting(&mut self.ordinary) {
            return SlotKind::Ordinary;
        }
        if self.reserve.len() >= self.most.reserve && !cut_waiting(&mut self.reserve) {
            cut_oldest(&mut self.reserve);
        }
        SlotKind::Reserve
    }

    /// Gives the task of a connection a place of the kind that there was room for.
    pub(super) fn enter(&mut self, kind: SlotKind, task: AbortHandle, stage: Arc<ConnectionStage>) {
        let places = match kind {
            SlotKind::Ordinary => &mut self.ordinary,
            SlotKind::Reserve => &mut self.reserve,
        };
        places.insert(task.id(), OpenConnection { stage, task, since: Instant::now() });
    }

    /// The connection of this task has ended.
    pub(super) fn leave(&mut self, task: Id) {
        if self.ordinary.remove(&task).is_none() {
            self.reserve.remove(&task);
        }
    }

    /// Gives up the connection that has asked nothing for the longest time, for the sake of its file.
    pub(super) fn shed(&mut self) -> bool {
        cut_waiting(&mut self.reserve) || cut_waiting(&mut self.ordinary)
    }
}

/// Cuts off the connection that has asked nothing for the longest time; false: all have asked something.
fn cut_waiting(places: &mut HashMap<Id, OpenConnection>) -> bool {
    loop {
        let waiting = places.iter().filter_map(|(id, place)| Some((place.stage.waiting()?, *id)));
        let Some((_, id)) = waiting.min_by_key(|(since, _)| *since) else { return false };
        // It may have asked something in this moment.
        if places.get(&id).is_some_and(|place| place.stage.cut()) {
            abort(places, id);
            return true;
        }
    }
}

fn cut_oldest(places: &mut HashMap<Id, OpenConnection>) {
    if let Some(id) = places.iter().min_by_key(|(_, place)| place.since).map(|(id, _)| *id) {
        abort(places, id);
    }
}

fn abort(places: &mut HashMap<Id, OpenConnection>, id: Id) {
    if let Some(place) = places.remove(&id) {
        place.task.abort();
    }
}
