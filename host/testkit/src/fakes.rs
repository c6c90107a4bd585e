//! A world in memory that a running route can be tested in: a log with lanes, an engine, a plugin and a sink, without files,
//! servers or a sandbox. They wait on tokio's clock, so that a test under paused time takes milliseconds.
//!
//! [`World`] lasts: a route that is dropped at any moment and served anew finds all that was committed, and nothing else.
//! Each fake takes the next entry of the world's list of [`Trouble`]. A broken rule is kept as a violation and is no panic, since
//! routes survive a panic of one of their tasks.

mod engine;
mod log;
mod plugin;
mod reads;
mod sink;

pub use engine::FakeEngine;
pub use log::{FakeLane, FakeSource};
pub use plugin::{FakePlugin, Script};
pub use sink::FakeSink;

use esclusa_flow::counts::Counts;
use esclusa_flow::engine::PendingMessages;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A fault of the next operation. One that does not apply to the operation has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// It takes so many milliseconds.
    Slow(u16),
    /// It fails for now. A call: the plugin asks for the events again.
    Fails,
    /// The host cannot make the call.
    NoCall,
    /// A commit happens, and its answer is lost.
    Unheard,
    /// A guard of the commit does not hold.
    Conflict,
    /// The commit is too large; not one of a single event.
    TooLarge,
    /// The lane belongs to another process.
    LeaseLost,
}

/// The log, tables and messages that last. Shared by all fakes of a test.
#[derive(Default)]
pub struct World {
    state: Mutex<WorldState>,
    probe: Mutex<Option<Probe>>,
}

type Probe = Box<dyn Fn() -> bool + Send>;

/// The state of the world, for tests to look at.
#[derive(Debug, Default)]
pub struct WorldState {
    /// The events of each lane, by lane.
    pub lanes: BTreeMap<Arc<str>, LaneState>,
    /// Ids of the events whose effects were committed, in order.
    pub effects: Vec<String>,
    /// Ids of the events that were given up, in order.
    pub dead: Vec<String>,
    /// All counters that were committed.
    pub counts: Counts,
    /// Commits that happened.
    pub commits: u64,
    /// Commits that were asked for.
    pub asked_commits: u64,
    /// Pulls that gave a batch.
    pub pulls: u64,
    /// How often lanes were told that their route takes no events for now.
    pub rests: u64,
    /// Ids of the events of each call of the plugin, in the order in which calls began.
    pub calls: Vec<Vec<String>>,
    /// Reads of calls: the events of the call's batch, and the number of effects that had been committed.
    pub reads: Vec<(Vec<String>, usize)>,
    /// Recorded and not confirmed messages, by number.
    pub outbox: BTreeMap<u64, PendingMessages>,
    /// Ids of the messages that the sink took, in order; a repeated one is there twice.
    pub sent: Vec<String>,
    /// Most bytes at the same time that lanes gave and no commit settled.
    pub most_bytes_out: usize,
    /// How long a commit takes besides its trouble.
    pub commit_time: Duration,
    /// The scripts that every plugin follows from now on, in place of its own.
    pub scripts: Option<BTreeMap<String, Script>>,
    /// Rules that were broken.
    pub violations: Vec<String>,
    /// Lanes that were lost and know it, until they are opened again.
    pub known_lost: BTreeSet<Arc<str>>,
    trouble: VecDeque<Trouble>,
    /// Lanes whose lease was lost and that were not opened since.
    lost: BTreeSet<Arc<str>>,
    next_outbox: u64,
}

/// A lane of the log.
#[derive(Debug, Default, Clone)]
pub struct LaneState {
    /// Ids of its events, oldest first.
    pub events: Vec<String>,
    /// How many of them are settled.
    pub settled: usize,
    /// How many of them were given since the lane was opened.
    given: usize,
}

impl World {
    /// A world whose log has these lanes.
    #[must_use]
    pub fn new(lanes: BTreeMap<Arc<str>, Vec<String>>) -> Arc<Self> {
        let lanes = lanes.into_iter().map(|(lane, events)| (lane, LaneState { events, ..LaneState::default() }));
        Arc::new(World {
            state: Mutex::new(WorldState { lanes: lanes.collect(), ..WorldState::default() }),
            ..World::default()
        })
    }

    /// The state of the world now.
    pub fn state(&self) -> MutexGuard<'_, WorldState> {
        self.state.lock()
    }

    /// Sets the troubles of the next operations, one each; later operations have none.
    pub fn set_trouble(&self, trouble: impl IntoIterator<Item = Trouble>) {
        self.state().trouble = trouble.into_iter().collect();
    }

    /// Sets a check that must hold at every operation.
    pub fn set_probe(&self, probe: impl Fn() -> bool + Send + 'static) {
        *self.probe.lock() = Some(Box::new(probe));
    }

    /// The next trouble. A slow operation has waited when this returns.
    async fn trouble(&self) -> Trouble {
        if let Some(probe) = &*self.probe.lock()
            && !probe()
        {
            self.state().violations.push("the account of events does not add up".to_owned());
        }
        let next = self.state().trouble.pop_front().unwrap_or(Trouble::None);
        if let Trouble::Slow(millis) = next {
            tokio::time::sleep(Duration::from_millis(millis.into())).await;
        }
        next
    }
}

impl WorldState {
    fn violation(&mut self, what: String) {
        self.violations.push(what);
    }
}
