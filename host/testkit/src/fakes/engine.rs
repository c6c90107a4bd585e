//! An engine in memory. It commits all of a commit or nothing, and only at the position that the lane has.

use super::{Trouble, World, WorldState};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::Action;
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::{Item, Value};
use esclusa_flow::reads::{ReadError, Reads, Selection};
use std::sync::Arc;

/// The engine of a world.
pub struct FakeEngine(pub Arc<World>);

impl Engine for FakeEngine {
    fn reads(&self) -> Arc<dyn Reads> {
        Arc::new(FakeReads(self.0.clone()))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            let takes = {
                let mut state = self.0.state();
                state.asked_commits += 1;
                state.commit_time
            };
            tokio::time::sleep(takes).await;
            let trouble = self.0.trouble().await;
            let mut state = self.0.state();
            let single = commit.counts.settled() <= 1;
            match trouble {
                Trouble::Fails => return Err(Fault::Transient("disk".to_owned()).into()),
                Trouble::Conflict => return Err(CommitError::Conflict),
                Trouble::TooLarge if !single => return Err(CommitError::TooLarge),
                Trouble::LeaseLost => return Err(lost(&mut state, &commit)),
                _ => {}
            }
            let committed = state.commit(commit)?;
            if trouble == Trouble::Unheard {
                return Err(Fault::Transient("no answer".to_owned()).into());
            }
            Ok(committed)
        })
    }

    fn pending<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        Box::pin(async {
            if self.0.trouble().await == Trouble::Fails {
                return Err(Fault::Transient("disk".to_owned()));
            }
            Ok(self.0.state().outbox.values().cloned().collect())
        })
    }

    fn confirm<'a>(&'a self, _: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            if self.0.trouble().await == Trouble::Fails {
                return Err(Fault::Transient("disk".to_owned()));
            }
            let mut state = self.0.state();
            state.outbox.remove(&outbox);
            state.dead.extend(dead.into_iter().map(|letter| letter.event));
            Ok(())
        })
    }
}

fn lost(state: &mut WorldState, commit: &Commit) -> CommitError {
    state.lost.insert(commit.lane.clone());
    Fault::LeaseLost("taken over".to_owned()).into()
}

impl WorldState {
    fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError> {
        if self.lost.contains(&commit.lane) || self.known_lost.contains(&commit.lane) {
            self.violation(format!("lane {} commits after its lease was lost (invariant 5)", commit.lane));
        }
        let Progress::Position { from, to: Token::Offset(to) } = &commit.progress else {
            self.violation("a log is settled by positions".to_owned());
            return Err(Fault::Bug("no position".to_owned()).into());
        };
        let from = match from {
            Some(Token::Offset(at)) => *at as usize + 1,
            _ => 0,
        };
        let to = *to as usize + 1;
        let Some(lane) = self.lanes.get_mut(&commit.lane) else {
            return Err(Fault::Permanent("no such lane".to_owned()).into());
        };
        if lane.settled != from {
            return Err(lost(self, &commit));
        }
        lane.settled = to;
        let settled: Vec<String> = lane.events.get(from..to).unwrap_or_default().to_vec();
        let written: Vec<String> = commit
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::Send(send) => Some(String::from_utf8_lossy(&send.data).into_owned()),
                _ => None,
            })
            .collect();
        if commit.counts.settled() != settled.len() as u64 || !written.iter().all(|id| settled.contains(id)) {
            self.violation(format!("a commit from {from} to {to} writes {written:?} (invariant 3)"));
        }
        self.effects.extend(written);
        self.dead.extend(commit.dead.iter().map(|letter| letter.event.clone()));
        self.counts.merge(&commit.counts);
        self.commits += 1;
        let mut committed = Committed::default();
        if !commit.outbox.is_empty() {
            self.next_outbox += 1;
            let id = self.next_outbox;
            let messages = commit.outbox.to_vec();
            self.outbox.insert(id, PendingMessages { id, lane: commit.lane.to_string(), messages });
            committed.outbox = Some(id);
        }
        Ok(committed)
    }
}

/// Reads of a table that holds one number: how many effects have been committed.
struct FakeReads(Arc<World>);

impl Reads for FakeReads {
    crate::no_other_reads!();

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        let count = self.0.state().effects.len();
        Box::pin(std::future::ready(Ok(Some(Item(vec![("count".to_owned(), Value::Text(count.to_string()))])))))
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
