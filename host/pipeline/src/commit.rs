//! Builds a commit from a settlement: the effects that are kept, the messages for the outbox, the dead letters, and the progress.
//!
//! Pure. Keeps the alignment between the actions of a commit and the events that caused them.

use esclusa_flow::batch::{Batch, Claim, Token};
use esclusa_flow::call_output::CallOutput;
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::{DeadLetter, Handler};
use esclusa_flow::delivery::Settlement;
use esclusa_flow::effect::{Action, OutboxMessage, SendMessage};
use esclusa_flow::engine::{Commit, Progress};
use esclusa_flow::hops;
use esclusa_flow::index::{CallIndex, EventIndex};
use esclusa_flow::timestamp::Timestamp;
use esclusa_flow::verdict::{Reason, Verdict};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a source learns that events are finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressKind {
    /// By one position for each lane.
    Position,
    /// By one receipt for each event.
    Receipts,
    /// Not at all.
    Nothing,
}

/// Rules that all commits of a route share.
#[derive(Debug, Clone)]
pub struct CommitRules {
    /// How the source learns that events are finished.
    pub progress: ProgressKind,
    /// Outputs that are not the engine's own: their messages go through the outbox.
    pub external: BTreeSet<String>,
    /// True if the id of each event is recorded together with its effects, so that the engine recognises an event that comes again.
    pub dedup: bool,
    /// The output that gets events that were given up; `None`: the embedded dead letters.
    pub on_failure: Option<String>,
}

/// A commit, with the cause of each of its actions.
#[derive(Debug)]
pub struct PreparedCommit {
    /// The commit.
    pub commit: Commit,
    /// Aligned with the commit's actions: the event of the call that caused each; `None`: the batch as a whole.
    pub causes: Vec<Option<CallIndex>>,
}

/// Builds the commits of a batch.
#[derive(Debug, Clone, Copy)]
pub struct CommitBuilder<'a> {
    /// Rules of the route.
    pub rules: &'a CommitRules,
    /// The plugin that handles the events, for dead letters.
    pub handler: &'a Handler,
    /// The batch.
    pub batch: &'a Batch,
    /// The position that the lane committed last.
    pub previous: Option<&'a Token>,
    /// The time.
    pub now: Timestamp,
}

impl CommitBuilder<'_> {
    /// Builds the commit of `settlement`. `output` is that of the settlement's call; `attempt` gives how often an event
    /// was tried.
    pub fn build(
        &self,
        settlement: &Settlement,
        output: CallOutput,
        attempt: impl Fn(EventIndex) -> u32,
    ) -> PreparedCommit {
        let CommitBuilder { rules, handler, batch, previous, .. } = *self;
        let mut parts = CommitContent::default();
        self.add_effects(settlement, output, &mut parts);
        self.add_letters(settlement, attempt, &mut parts);
        let CommitContent { actions, hops, causes, outbox, dead } = parts;
        let mut counts = Counts::default();
        settlement.verdicts.iter().for_each(|(_, verdict)| counts.add(verdict));
        let id = |local: CallIndex| {
            let event = settlement.called.get(local.at())?;
            Some(batch.columns.get(event.at())?.id().to_owned())
        };
        let dedup = if rules.dedup { settlement.done().filter_map(id).collect() } else { Vec::new() };
        let origin = &batch.origin;
        let commit = Commit {
            route: origin.route.clone(),
            source: origin.source.clone(),
            lane: origin.lane.clone(),
            handler: handler.clone(),
            actions,
            hops,
            outbox: Arc::new(outbox),
            dead,
            progress: progress(rules.progress, batch, settlement, previous),
            dedup,
            answers: Vec::new(),
            counts,
        };
        PreparedCommit { commit, causes }
    }

    /// Adds the effects of events that are done, and of the batch as a whole.
    fn add_effects(&self, settlement: &Settlement, output: CallOutput, parts: &mut CommitContent) {
        let whole = hops_of(self.batch, &settlement.called);
        let mut ids = EffectIds::new(self.batch, &settlement.called);
        for effect in output.effects {
            // An event that was rejected or skipped leaves no effects, although its call returned some.
            if !settlement.keeps(effect.cause) {
                continue;
            }
            let event = effect.cause.and_then(|cause| settlement.called.get(cause.at()));
            let hops = hops::next(event.map_or(whole, |event| hops_of(self.batch, [event])));
            match effect.action {
                // An engine cannot send outside and commit in one transaction: the message is recorded, and sent after the commit.
                Action::Send(send) if self.rules.external.contains(&send.output) => {
                    parts.outbox.push(OutboxMessage { id: ids.next(effect.cause), send: with_hops(send, hops) });
                }
                Action::Send(send) => parts.add(Action::Send(with_hops(send, hops)), hops, effect.cause),
                write => parts.add(write, hops, effect.cause),
            }
        }
    }

    /// Adds the dead letters of events that are given up.
    fn add_letters(&self, settlement: &Settlement, attempt: impl Fn(EventIndex) -> u32, parts: &mut CommitContent) {
        for (event, reason) in settlement.dead() {
            let letter = letter(self.handler, self.batch, event, reason, attempt(event), self.now);
            let Some(letter) = letter else { continue };
            let Some(output) = &self.rules.on_failure else {
                parts.dead.push(letter);
                continue;
            };
            let hops = hops::next(hops_of(self.batch, [&event]));
            let send = with_hops(as_message(output, &letter), hops);
            if self.rules.external.contains(output) {
                parts.outbox.push(OutboxMessage { id: letter_id(&letter), send });
            } else {
                // If the engine refuses the letter, no event of the call is to blame for it.
                parts.add(Action::Send(send), hops, None);
            }
        }
    }
}

/// What a commit carries out.
#[derive(Default)]
struct CommitContent {
    actions: Vec<Action>,
    /// Aligned with the actions.
    hops: Vec<u32>,
    /// Aligned with the actions.
    causes: Vec<Option<CallIndex>>,
    outbox: Vec<OutboxMessage>,
    dead: Vec<DeadLetter>,
}

impl CommitContent {
    fn add(&mut self, action: Action, hops: u32, cause: Option<CallIndex>) {
        self.actions.push(action);
        self.hops.push(hops);
        self.causes.push(cause);
    }
}

/// The most routes that one of these events has come by: what the batch as a whole causes has come by one more.
fn hops_of<'e>(batch: &Batch, events: impl IntoIterator<Item = &'e EventIndex>) -> u32 {
    let claims = events.into_iter().filter_map(|event| batch.claims.get(event.at()));
    claims.map(Claim::hops).max().unwrap_or_default()
}

/// A message that carries the count. The plugin's own attribute of that name, if there is one, does not count.
fn with_hops(mut send: SendMessage, hops: u32) -> SendMessage {
    hops::take(&mut send.attributes, hops::ATTRIBUTE);
    send.attributes.push(hops::attribute(hops));
    send
}

/// The position that `settlement` reaches in an ordered lane.
pub(crate) fn reached<'a>(batch: &'a Batch, settlement: &Settlement) -> Option<&'a Token> {
    let (last, _) = settlement.verdicts.last()?;
    batch.claims.get(last.at()).map(Claim::token)
}

fn progress(kind: ProgressKind, batch: &Batch, settlement: &Settlement, previous: Option<&Token>) -> Progress {
    match (kind, reached(batch, settlement)) {
        (ProgressKind::Position, Some(to)) => Progress::Position { from: previous.cloned(), to: to.clone() },
        (ProgressKind::Receipts, Some(_)) => {
            let (mut delete, mut release) = (Vec::new(), Vec::new());
            for (event, verdict) in &settlement.verdicts {
                let Some(claim) = batch.claims.get(event.at()) else { continue };
                match verdict {
                    Verdict::Released(wait) => release.push((claim.token().clone(), *wait)),
                    _ => delete.push(claim.token().clone()),
                }
            }
            Progress::Receipts { delete, release }
        }
        _ => Progress::None,
    }
}

fn letter(
    handler: &Handler,
    batch: &Batch,
    event: EventIndex,
    reason: &Reason,
    attempts: u32,
    now: Timestamp,
) -> Option<DeadLetter> {
    let view = batch.columns.get(event.at())?;
    Some(DeadLetter {
        route: batch.origin.route.to_string(),
        source: batch.origin.source.to_string(),
        kind: batch.origin.kind.to_string(),
        lane: batch.origin.lane.to_string(),
        event: view.id().to_owned(),
        key: view.key().to_owned(),
        data: view.data().to_vec(),
        attributes: view.attributes().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        timestamp: Timestamp::from_millis(view.timestamp),
        died: now,
        attempts,
        code: reason.code.clone(),
        reason: reason.message.clone(),
        backtrace: reason.backtrace.clone(),
        logs: reason.logs.clone(),
        plugin: handler.plugin.to_string(),
        digest: handler.digest.to_string(),
        output: None,
        last_redrive: None,
    })
}

/// A dead letter as a message: the letter as JSON, with the event's key.
fn as_message(output: &str, letter: &DeadLetter) -> SendMessage {
    let key = if letter.key.is_empty() { None } else { Some(letter.key.clone()) };
    let attributes = vec![("route".to_owned(), letter.route.clone()), ("code".to_owned(), letter.code.clone())];
    let data = serde_json::to_vec(letter).unwrap_or_else(|_| letter.data.clone());
    SendMessage { output: output.to_owned(), key, data, attributes }
}

/// Ids of effects, made from the route, the causing event and the effect's place among that event's effects. An event that is
/// delivered again gets the same ids in another batch and from another version of the plugin.
struct EffectIds<'a> {
    batch: &'a Batch,
    called: &'a [EventIndex],
    ordinals: BTreeMap<Option<CallIndex>, u32>,
    /// The hash of the batch as a whole, once an effect needed it.
    whole: Option<Sha256>,
}

impl<'a> EffectIds<'a> {
    fn new(batch: &'a Batch, called: &'a [EventIndex]) -> Self {
        EffectIds { batch, called, ordinals: BTreeMap::new(), whole: None }
    }

    fn next(&mut self, cause: Option<CallIndex>) -> String {
        let ordinal = self.ordinals.entry(cause).or_default();
        let mut hash = match cause {
            Some(cause) => Self::of(self.batch, self.called.get(cause.at()), false),
            // Once, however many effects the batch as a whole has.
            None => self.whole.get_or_insert_with(|| Self::of(self.batch, self.called, true)).clone(),
        };
        hash.update(ordinal.to_be_bytes());
        *ordinal = ordinal.saturating_add(1);
        brief(hash)
    }

    /// The hash of a route and of events. `whole`: of the batch as a whole, whose ids must differ from those of a single event in a
    /// batch of its own.
    fn of<'e>(batch: &Batch, events: impl IntoIterator<Item = &'e EventIndex>, whole: bool) -> Sha256 {
        let mut hash = Sha256::new();
        hash.update(batch.origin.route.as_bytes());
        hash.update([0]);
        if whole {
            hash.update([1]);
        }
        for event in events.into_iter().filter_map(|event| batch.columns.get(event.at())) {
            hash.update(batch.origin.source.as_bytes());
            hash.update([0]);
            hash.update(event.id().as_bytes());
            hash.update([0]);
        }
        hash
    }
}

/// The id of a given-up event as a message: from its route and its event, as those of effects.
fn letter_id(letter: &DeadLetter) -> String {
    let mut hash = Sha256::new();
    for part in [&letter.route, &letter.source, &letter.event] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    format!("dead-{}", brief(hash))
}

/// The first half of a hash.
fn brief(hash: Sha256) -> String {
    let mut text = hex::encode(hash.finalize());
    text.truncate(32);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::effect::Effect;
    use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};

    #[test]
    fn an_effect_has_one_hop_more_than_its_event_and_one_of_the_batch_more_than_any() {
        let mut batch = batch(&["a", "b", "c", "dead"]);
        for (claim, hops) in batch.claims.iter_mut().zip([3, 0, hops::MOST, 7]) {
            *claim = Claim::new(claim.token().clone()).with_hops(hops);
        }
        let send = |output: &str| {
            let attributes = vec![("own".to_owned(), "1".to_owned()), (hops::ATTRIBUTE.to_owned(), "0".to_owned())];
            Action::Send(SendMessage { output: output.to_owned(), key: None, data: Vec::new(), attributes })
        };
        let delete = || {
            let key = esclusa_flow::item::Item(Vec::new());
            Action::Delete(esclusa_flow::effect::DeleteItem { table: "t".to_owned(), key, guard: None })
        };
        let effects = [(Some(0), send("in")), (Some(1), send("out")), (None, delete()), (Some(1), delete())];
        let effects = effects.map(|(cause, action)| Effect { cause: cause.map(CallIndex), action }).to_vec();
        let rules = CommitRules {
            progress: ProgressKind::Position,
            external: BTreeSet::from(["out".to_owned()]),
            dedup: false,
            on_failure: Some("letters".to_owned()),
        };
        let verdict = |event: EventIndex| match event.0 {
            3 => Verdict::Dead(Reason::new("limit.hops", "")),
            _ => Verdict::Done,
        };
        let settlement = Settlement {
            called: [0, 1].map(EventIndex).to_vec(),
            verdicts: EventIndex::all(4).map(|event| (event, verdict(event))).collect(),
        };
        let handler = Handler::default();
        let builder = CommitBuilder {
            rules: &rules,
            handler: &handler,
            batch: &batch,
            previous: None,
            now: Timestamp::default(),
        };
        let output = CallOutput { effects, ..CallOutput::default() };
        let commit = builder.build(&settlement, output, |_| 1).commit;
        assert_eq!(commit.hops, [4, 4, 1, 8], "event 2 was not called");
        let carried = |send: &SendMessage| {
            let mut attributes = send.attributes.clone();
            (hops::take(&mut attributes, hops::ATTRIBUTE), attributes.len())
        };
        let sends = commit.actions.iter().filter_map(|action| match action {
            Action::Send(send) => Some(carried(send)),
            _ => None,
        });
        assert_eq!(sends.collect::<Vec<_>>(), [(4, 1), (8, 2)]);
        assert_eq!(carried(&commit.outbox[0].send), (1, 1));
    }

    /// A batch of events with these ids.
    fn batch(ids: &[&str]) -> Batch {
        let mut columns = Columns::default();
        for id in ids {
            columns.push(&NewEvent { id, attempt: 1, ..NewEvent::default() }).unwrap();
        }
        let origin = BatchOrigin {
            route: "r".into(),
            source: "s".into(),
            kind: "stream".into(),
            lane: "0".into(),
            ordered: true,
        };
        let claims = (0..ids.len() as u64).map(|at| Claim::new(Token::Offset(at))).collect();
        Batch { origin, columns: columns.into(), claims, previous: None }
    }

    /// EffectIds of the messages that a call with all events of the batch wants sent: cause and content, each.
    fn ids(batch: &Batch, wanted: &[(Option<u32>, &str)]) -> Vec<String> {
        let message = |(cause, data): &(Option<u32>, &str)| {
            let send =
                SendMessage { output: "out".into(), key: None, data: data.as_bytes().to_vec(), attributes: Vec::new() };
            Effect { cause: cause.map(CallIndex), action: Action::Send(send) }
        };
        let rules = CommitRules {
            progress: ProgressKind::Position,
            external: BTreeSet::from(["out".to_owned()]),
            dedup: false,
            on_failure: None,
        };
        // A plugin that says something else is another one.
        let handler = Handler { digest: format!("{wanted:?}").into(), ..Handler::default() };
        let called: Vec<EventIndex> = EventIndex::all(batch.len()).collect();
        let verdicts = called.iter().map(|event| (*event, Verdict::Done)).collect();
        let output = CallOutput { effects: wanted.iter().map(message).collect(), ..CallOutput::default() };
        let builder =
            CommitBuilder { rules: &rules, handler: &handler, batch, previous: None, now: Timestamp::default() };
        let PreparedCommit { commit, .. } = builder.build(&Settlement { called, verdicts }, output, |_| 1);
        commit.outbox.iter().map(|message| message.id.clone()).collect()
    }

    // E11: also if the plugin was replaced between two attempts.
    #[test]
    fn a_plugin_that_changes_its_mind_sends_under_the_same_ids() {
        let first = ids(&batch(&["a", "b"]), &[(Some(0), "1"), (Some(0), "2"), (Some(1), "3")]);
        // Delivered again, alone and in other company, it says something else, and more or less of it.
        assert_eq!(ids(&batch(&["a"]), &[(Some(0), "other"), (Some(0), "words"), (Some(0), "more")])[..2], first[..2]);
        assert_eq!(ids(&batch(&["x", "b"]), &[(Some(1), "other"), (Some(0), "3")])[0], first[2]);
        assert_eq!(ids(&batch(&["a"]), &[(Some(0), "")]), first[..1]);
        let all: BTreeSet<_> =
            first.iter().chain(&ids(&batch(&["c"]), &[(Some(0), "1"), (None, "1")])).cloned().collect();
        assert_eq!(all.len(), 5, "no two effects share an id");
    }
}
