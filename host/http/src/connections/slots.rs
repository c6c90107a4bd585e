//! Slots for connections: ordinary slots serve any request; the reserve serves health probes when all ordinary slots
//! are busy. When a slot is needed, the connection that has been silent for the longest time is cut.

use super::stage::ConnectionStage;
use rustix::process::{Resource, getrlimit};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::{AbortHandle, Id};
use tokio::time::Instant;

/// Most ordinary connections. The process has to be allowed four times as many files; else there are fewer.
pub const MOST: usize = 1024;

/// How many connections may be open at the same time.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections that serve any request.
    pub ordinary: usize,
    /// Connections that serve only health and metrics, when all ordinary ones are busy.
    pub reserve: usize,
}

impl ConnectionLimits {
    /// The limits under the limit of open files of this process: a quarter of it, since the store needs files, too.
    pub fn of_files() -> Self {
        let ordinary = Self::most_by_files().min(MOST);
        ConnectionLimits { ordinary, reserve: (ordinary / 8).max(8) }
    }

    /// A quarter of the files that this process may have open.
    pub fn most_by_files() -> usize {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(files / 4).unwrap_or(usize::MAX).max(16)
    }
}

/// The kind of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// Serves any request.
    Ordinary,
    /// Serves one request for health or metrics, and ends soon.
    Reserve,
}

struct OpenConnection {
    stage: Arc<ConnectionStage>,
    task: AbortHandle,
    since: Instant,
}

/// The connections that have a slot.
pub(super) struct ConnectionSlots {
    most: ConnectionLimits,
    ordinary: HashMap<Id, OpenConnection>,
    reserve: HashMap<Id, OpenConnection>,
}

impl ConnectionSlots {
    /// No connection has a slot yet.
    pub(super) fn new(most: ConnectionLimits) -> Self {
        ConnectionSlots { most, ordinary: HashMap::new(), reserve: HashMap::new() }
    }

    /// Frees a slot for a connection if none is free; gives its kind. A reserve slot can always be had: if all of them
    /// are busy, the oldest of their connections is cut.
    pub(super) fn free(&mut self) -> SlotKind {
        if self.ordinary.len() < self.most.ordinary || cut_waiting(&mut self.ordinary) {
            return SlotKind::Ordinary;
        }
        // All ordinary connections are serving requests, and cutting one would lose its answer. Probes on the reserve
        // can be repeated.
        if self.reserve.len() >= self.most.reserve && !cut_waiting(&mut self.reserve) {
            cut_oldest(&mut self.reserve);
        }
        SlotKind::Reserve
    }

    /// Notes the task of a connection in a slot of the kind that [`free`](Self::free) gave.
    pub(super) fn enter(&mut self, kind: SlotKind, task: AbortHandle, stage: Arc<ConnectionStage>) {
        let places = match kind {
            SlotKind::Ordinary => &mut self.ordinary,
            SlotKind::Reserve => &mut self.reserve,
        };
        places.insert(task.id(), OpenConnection { stage, task, since: Instant::now() });
    }

    /// Frees the slot of the connection that this task served.
    pub(super) fn leave(&mut self, task: Id) {
        if self.ordinary.remove(&task).is_none() {
            self.reserve.remove(&task);
        }
    }

    /// Cuts the connection that has been silent for the longest time, to free its file; false: none is silent.
    pub(super) fn shed(&mut self) -> bool {
        cut_waiting(&mut self.reserve) || cut_waiting(&mut self.ordinary)
    }
}

/// Cuts the connection that has been silent for the longest time; false: a request of each is being served.
fn cut_waiting(places: &mut HashMap<Id, OpenConnection>) -> bool {
    loop {
        let waiting = places.iter().filter_map(|(id, place)| Some((place.stage.waiting()?, *id)));
        let Some((_, id)) = waiting.min_by_key(|(since, _)| *since) else { return false };
        // Its request may have come since the search: then the next silent one is looked for.
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
