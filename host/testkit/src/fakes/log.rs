//! A log as a source: lanes with a position each, which end with their last event.

use super::{Trouble, World};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Source};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of the payload of each event.
const PAYLOAD: usize = 1000;

/// The log, opened at the committed position of each lane.
pub struct FakeSource {
    world: Arc<World>,
    lanes: VecDeque<Arc<str>>,
    runs_ahead: bool,
}

impl FakeSource {
    /// Opens the log of a world. Lanes that run ahead let the next batch be pulled while the last one is in work.
    #[must_use]
    pub fn open(world: Arc<World>, runs_ahead: bool) -> Self {
        let lanes = world.state().lanes.keys().cloned().collect();
        FakeSource { world, lanes, runs_ahead }
    }
}

impl Source for FakeSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async {
            let Some(id) = self.lanes.front().cloned() else { return Ok(None) };
            if self.world.trouble().await == Trouble::Fails {
                return Err(Fault::Transient("no lane at present".to_owned()));
            }
            self.lanes.pop_front();
            let mut state = self.world.state();
            state.lost.remove(&id);
            state.known_lost.remove(&id);
            let mut next = 0;
            if let Some(lane) = state.lanes.get_mut(&id) {
                lane.given = lane.settled;
                next = lane.settled;
            }
            drop(state);
            let lane: Box<dyn Lane> =
                Box::new(FakeLane { world: self.world.clone(), id, next, runs_ahead: self.runs_ahead });
            Ok(Some(lane))
        })
    }

    fn caught_up(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// A lane of the log.
pub struct FakeLane {
    world: Arc<World>,
    id: Arc<str>,
    next: usize,
    runs_ahead: bool,
}

impl FakeLane {
    /// The next events within a limit; at least one, if there is one.
    fn batch(&mut self, limit: Limit) -> Option<Batch> {
        let mut state = self.world.state();
        let lane = state.lanes.get(&self.id)?;
        let (mut columns, mut claims, first) = (Columns::default(), Vec::new(), self.next);
        for (at, id) in lane.events.iter().enumerate().skip(first).take(limit.events) {
            let event = NewEvent { id, key: id, data: &[b'x'; PAYLOAD], attempt: 1, ..NewEvent::default() };
            if !claims.is_empty() && columns.size() + PAYLOAD + 2 * id.len() > limit.bytes {
                break;
            }
            columns.push(&event).ok()?;
            claims.push(Claim::new(Token::Offset(at as u64)));
        }
        self.next += claims.len();
        if claims.is_empty() {
            return None;
        }
        state.pulls += 1;
        if let Some(lane) = state.lanes.get_mut(&self.id) {
            lane.given = self.next;
        }
        let out: usize = state.lanes.values().map(|lane| lane.given.saturating_sub(lane.settled) * PAYLOAD).sum();
        state.most_bytes_out = state.most_bytes_out.max(out);
        let previous = first.checked_sub(1).map(|at| Token::Offset(at as u64));
        let origin = BatchOrigin {
            route: "route".into(),
            source: "log".into(),
            kind: "fake".into(),
            lane: self.id.clone(),
            ordered: true,
        };
        Some(Batch { origin, columns: columns.into(), claims, previous })
    }
}

impl Lane for FakeLane {
    fn id(&self) -> &str {
        &self.id
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(async move {
            match self.world.trouble().await {
                Trouble::Fails => return Err(Fault::Transient("no answer".to_owned())),
                Trouble::LeaseLost => return Err(Fault::LeaseLost("taken over".to_owned())),
                Trouble::Unheard => return Ok(Pull::Empty { drained: false }),
                _ => {}
            }
            Ok(self.batch(limit).map_or(Pull::Ended, Pull::Batch))
        })
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(std::time::Duration::from_millis(5)))
    }

    fn lost(&self) -> Option<Fault> {
        self.world.state().known_lost.contains(&self.id).then(|| Fault::LeaseLost("taken over".to_owned()))
    }

    fn runs_ahead(&self) -> bool {
        self.runs_ahead
    }

    fn rests(&mut self) {
        self.world.state().rests += 1;
    }
}
