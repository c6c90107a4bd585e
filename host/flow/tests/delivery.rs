//! The delivery state machine against a naive model: whatever the plugin, the engine and the clock do, every
//! event ends once, with the verdict that it would get alone, and with its effects exactly once.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use esclusa_flow::batch::{Claim, Token};
use esclusa_flow::call_output::{CallError, CallFailure, CallOutput, Disposition, EventOutcome, FailureKind};
use esclusa_flow::delivery::{Delivery, Moment, NotCommitted, Settlement, Step, Steps, drive};
use esclusa_flow::effect::{Action, Effect, SendMessage};
use esclusa_flow::engine::CommitError;
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::index::{CallIndex, EventIndex};
use esclusa_flow::retry::{Backoff, RetryPolicy};
use esclusa_flow::timestamp::Timestamp;
use esclusa_flow::verdict::{Reason, Verdict};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The plugin's part in an event's delivery.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Script {
    Good,
    Reject,
    Skip,
    /// Asks for a retry on so many attempts, then is good.
    RetryTimes(u32),
    /// Traps every call that it is part of.
    Poison,
    /// Likewise, and it is known that it will do so again.
    Fated,
    /// The engine cannot commit its effects at once, not even alone.
    Huge,
    /// The filter leaves it out.
    Filtered,
    /// The filter takes too long.
    FilterExhausted,
    /// The engine never takes its effect.
    Refused,
}

/// What the world does around a call or commit.
#[derive(Debug, Clone, Copy)]
enum Weather {
    Fine,
    HostFault,
    CommitFault,
    Conflict,
    TooLarge,
    /// The commit happened, but its answer was lost.
    Unheard,
    PluginRetry,
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    prop::collection::vec(
        prop_oneof![
            6 => Just(Script::Good),
            1 => Just(Script::Reject),
            1 => Just(Script::Skip),
            2 => (1u32..5).prop_map(Script::RetryTimes),
            1 => Just(Script::Poison),
            1 => Just(Script::Fated),
            1 => Just(Script::Huge),
            1 => Just(Script::Filtered),
            1 => Just(Script::FilterExhausted),
            1 => Just(Script::Refused),
        ],
        0..24,
    )
}

fn weather() -> impl Strategy<Value = Vec<Weather>> {
    prop::collection::vec(
        prop_oneof![
            5 => Just(Weather::Fine),
            1 => Just(Weather::HostFault),
            1 => Just(Weather::CommitFault),
            1 => Just(Weather::Conflict),
            1 => Just(Weather::TooLarge),
            1 => Just(Weather::PluginRetry),
        ],
        0..30,
    )
}

fn columns(count: usize) -> Columns {
    let mut columns = Columns::default();
    for i in 0..count {
        columns.push(&NewEvent { id: &i.to_string(), timestamp: 1, attempt: 1, ..NewEvent::default() }).unwrap();
    }
    columns
}

fn policy(max_retry_attempts: Option<u32>, release: bool) -> RetryPolicy {
    let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_millis(500) };
    RetryPolicy { max_retry_attempts, max_record_age: None, bisect: true, release, backoff }
}

fn send(cause: Option<CallIndex>, data: Vec<u8>) -> Effect {
    Effect { cause, action: Action::Send(SendMessage { output: "out".into(), key: None, data, attributes: vec![] }) }
}

/// The plugin: an effect per good event, and one effect for the batch that says how many good events it saw.
fn plugin(
    scripts: &[Script],
    events: &[EventIndex],
    attempt: impl Fn(EventIndex) -> u32,
) -> Result<CallOutput, CallError> {
    let script = |event: EventIndex| scripts[event.at()];
    if let Some(poison) = events.iter().find(|e| script(**e) == Script::Poison) {
        return Err(CallError::Failed(CallFailure::new(FailureKind::Trap, format!("event {}", poison.0))));
    }
    if let Some(fated) = events.iter().find(|e| script(**e) == Script::Fated) {
        let failure = CallFailure::new(FailureKind::Contract, format!("event {}", fated.0));
        return Err(CallError::Failed(Box::new(CallFailure { fated: true, ..*failure })));
    }
    let mut output = CallOutput::default();
    let mut good = 0u8;
    for (local, event) in CallIndex::all(events.len()).zip(events) {
        let disposition = match script(*event) {
            Script::Reject => Some(Disposition::Reject("bad".into())),
            Script::Skip => Some(Disposition::Skip("dull".into())),
            Script::RetryTimes(times) => (attempt(*event) <= times).then_some(Disposition::Retry(None)),
            _ => None,
        };
        // The effect is there even if the event is retried: it must be dropped.
        output.effects.push(send(Some(local), vec![event.0 as u8]));
        match disposition {
            Some(disposition) => output.outcomes.push(EventOutcome { event: local, disposition }),
            None => good += 1,
        }
    }
    output.effects.push(send(None, vec![255, good]));
    Ok(output)
}

#[derive(Debug, Default)]
struct Seen {
    settled: Vec<(EventIndex, Verdict)>,
    effects: BTreeMap<u32, u32>,
    batch_sum: u32,
    calls: u32,
    /// Events recorded as done together with their effects.
    records: BTreeSet<EventIndex>,
}

/// A plugin, an engine and a clock that follow a script; time is virtual.
struct Model<'a> {
    scripts: &'a [Script],
    weather: Box<dyn Iterator<Item = Weather> + Send + 'a>,
    now: Moment,
    steps: u32,
    seen: Seen,
}

impl Model<'_> {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > 10_000 { Err("did not come to an end".to_owned()) } else { Ok(()) }
    }
}

impl Steps for Model<'_> {
    type End = String;

    fn now(&self) -> Moment {
        self.now
    }

    async fn wait(&mut self, _: &Delivery, due: Duration) -> Result<(), String> {
        self.step()?;
        assert!(due > self.now.monotonic, "a wait must lie ahead");
        self.now.monotonic = due;
        Ok(())
    }

    async fn call(
        &mut self,
        delivery: &Delivery,
        events: &[EventIndex],
    ) -> Result<Result<CallOutput, CallError>, String> {
        self.step()?;
        self.seen.calls += 1;
        Ok(match self.weather.next() {
            Some(Weather::HostFault) => Err(CallError::Host(Fault::Transient("reads".into()))),
            Some(Weather::PluginRetry) => Err(CallError::Retry("later".into())),
            _ => plugin(self.scripts, events, |event| delivery.attempt(event)),
        })
    }

    async fn commit(
        &mut self,
        _: &Delivery,
        settlement: &Settlement,
        output: CallOutput,
    ) -> Result<Result<(), NotCommitted>, String> {
        self.step()?;
        let kept: Vec<&Effect> = output.effects.iter().filter(|effect| settlement.keeps(effect.cause)).collect();
        let causes = kept.iter().map(|effect| effect.cause).collect();
        let weather = self.weather.next();
        Ok(self.carry_out(settlement, &kept, weather).map_err(|error| NotCommitted { error, causes }))
    }

    fn halted(&mut self, reason: String) -> String {
        format!("halted: {reason}")
    }
}

impl Model<'_> {
    /// The engine: carries out everything of a settlement, or nothing.
    fn carry_out(
        &mut self,
        settlement: &Settlement,
        kept: &[&Effect],
        weather: Option<Weather>,
    ) -> Result<(), CommitError> {
        match weather {
            Some(Weather::CommitFault) => return Err(Fault::Transient("disk".into()).into()),
            Some(Weather::Conflict) if !settlement.called.is_empty() => return Err(CommitError::Conflict),
            Some(Weather::TooLarge) if settlement.called.len() > 1 => return Err(CommitError::TooLarge),
            _ => {}
        }
        let (scripts, seen) = (self.scripts, &mut self.seen);
        let event = |local: CallIndex| settlement.called[local.at()];
        let done: Vec<EventIndex> = settlement.done().map(event).collect();
        let before: Vec<usize> = (0..done.len()).filter(|record| seen.records.contains(&done[*record])).collect();
        if !before.is_empty() {
            return Err(CommitError::DoneBefore(before));
        }
        if done.iter().any(|event| scripts[event.at()] == Script::Huge) {
            return Err(CommitError::TooLarge);
        }
        let bad = |cause: CallIndex| scripts[event(cause).at()] == Script::Refused;
        let refused: Vec<_> = (0..kept.len())
            .filter(|action| kept[*action].cause.is_some_and(bad))
            .map(|action| (action, "no key".to_owned()))
            .collect();
        if !refused.is_empty() {
            return Err(CommitError::Refused(refused));
        }
        for effect in kept {
            let Action::Send(send) = &effect.action else { unreachable!() };
            match send.data[..] {
                [255, good] => seen.batch_sum += u32::from(good),
                [event] => *seen.effects.entry(u32::from(event)).or_default() += 1,
                _ => unreachable!(),
            }
        }
        seen.records.extend(&done);
        if matches!(weather, Some(Weather::Unheard)) && !done.is_empty() {
            return Err(Fault::Transient("no answer".into()).into());
        }
        seen.settled.extend(settlement.verdicts.clone());
        Ok(())
    }
}

/// Drives a delivery to its end in virtual time, with the loop that lanes use.
fn run(scripts: &[Script], weather: &[Weather], ordered: bool, policy: RetryPolicy) -> Seen {
    let verdicts = EventIndex::all(scripts.len()).zip(scripts).filter_map(|(event, script)| match script {
        Script::Filtered => Some((event, Verdict::Filtered)),
        Script::FilterExhausted => Some((event, Verdict::Dead(Reason::new("limit.filter", "")))),
        _ => None,
    });
    // In bad weather batches begin in several parts, too, as those do whose calls are sharded.
    let starts = |event: &EventIndex| !weather.is_empty() && (event.0 * 7 + weather.len() as u32).is_multiple_of(5);
    let starts: Vec<EventIndex> = EventIndex::all(scripts.len()).skip(1).filter(starts).collect();
    let mut delivery = Delivery::new(&columns(scripts.len()), ordered, policy, 7).split_before(&starts);
    delivery.filtered(verdicts.collect());
    let now = Moment { monotonic: Duration::ZERO, wall: Timestamp::from_millis(1) };
    let weather = Box::new(weather.iter().copied().chain(std::iter::repeat(Weather::Fine)));
    let mut model = Model { scripts, weather, now, steps: 0, seen: Seen::default() };
    // Nothing here waits, so that one poll is all.
    let end = pin!(drive(&mut delivery, &mut model)).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(end, Poll::Ready(Ok(())));
    model.seen
}

/// What must become of an event, judged alone; `None`: more than one verdict is right. In a storm the plugin asks
/// for whole batches again, which uses up tries of every event in them.
fn expected(script: Script, retries: Option<u32>, stormy: bool) -> Option<&'static str> {
    Some(match script {
        Script::Filtered => "filtered",
        Script::FilterExhausted => "limit.filter",
        _ if stormy => return None,
        Script::Good => "done",
        Script::Reject => "rejected",
        Script::Skip => "skipped",
        Script::Poison => "plugin.trap",
        Script::Fated => "plugin.contract",
        Script::Huge => "limit.commit",
        Script::Refused => "effect.refused",
        Script::RetryTimes(times) => {
            if retries.is_some_and(|max| times > max) {
                "retries-exhausted"
            } else {
                "done"
            }
        }
    })
}

fn name(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Done => "done",
        Verdict::Skipped(_) => "skipped",
        Verdict::Filtered => "filtered",
        Verdict::Dead(reason) => &reason.code,
        Verdict::Released(_) => "released",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_settled_once_and_effects_follow_verdicts(
        mut scripts in scripts(), weather in weather(), ordered: bool, retries in prop_oneof![Just(None), (0u32..4).prop_map(Some)],
    ) {
        if retries.is_none() {
            // For ever means for ever: a poison event would never end.
            scripts.retain(|s| *s != Script::Poison);
        }
        let seen = run(&scripts, &weather, ordered, policy(retries, false));
        let order: Vec<u32> = seen.settled.iter().map(|(e, _)| e.0).collect();
        if ordered {
            prop_assert!(order.is_sorted(), "settled out of order: {order:?}");
        }
        let mut sorted = order;
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..scripts.len() as u32).collect::<Vec<_>>());
        let stormy = weather.iter().any(|w| matches!(w, Weather::PluginRetry));
        let mut done = 0;
        for (event, verdict) in &seen.settled {
            if let Some(expected) = expected(scripts[event.at()], retries, stormy) {
                prop_assert_eq!(name(verdict), expected, "event {}", event.0);
            }
            let effects = seen.effects.get(&event.0).copied().unwrap_or_default();
            prop_assert_eq!(effects, u32::from(*verdict == Verdict::Done), "effects of event {}", event.0);
            done += u32::from(*verdict == Verdict::Done);
        }
        prop_assert_eq!(seen.batch_sum, done, "effects of the batch count exactly the events that are done");
    }

    #[test]
    fn a_queue_gets_back_what_fails_and_nothing_overtakes_in_a_group(
        scripts in scripts(), weather in weather(), ordered: bool, retries in (0u32..4).prop_map(Some),
    ) {
        let seen = run(&scripts, &weather, ordered, policy(retries, true));
        prop_assert_eq!(seen.settled.len(), scripts.len());
        if ordered {
            let mut events: Vec<_> = seen.settled.clone();
            events.sort_by_key(|(e, _)| *e);
            let first = events.iter().position(|(_, v)| matches!(v, Verdict::Released(_)));
            for (event, verdict) in events.iter().skip(first.unwrap_or(events.len())) {
                let harmless = matches!(verdict, Verdict::Released(_) | Verdict::Filtered);
                prop_assert!(harmless, "event {event:?} overtook a released one: {verdict:?}");
            }
        }
        for (event, verdict) in &seen.settled {
            let effects = seen.effects.get(&event.0).copied().unwrap_or_default();
            prop_assert_eq!(effects, u32::from(*verdict == Verdict::Done));
        }
    }

    #[test]
    fn what_was_committed_unheard_is_done_and_not_repeated(
        scripts in prop::collection::vec(prop_oneof![4 => Just(Script::Good), 1 => Just(Script::Reject), 1 => Just(Script::Skip)], 1..24),
        weather in prop::collection::vec(prop_oneof![1 => Just(Weather::Fine), 1 => Just(Weather::Unheard), 1 => Just(Weather::TooLarge), 1 => Just(Weather::Conflict)], 0..30),
        ordered: bool,
    ) {
        let seen = run(&scripts, &weather, ordered, policy(Some(3), false));
        prop_assert_eq!(seen.settled.len(), scripts.len());
        for (event, verdict) in &seen.settled {
            prop_assert_eq!(Some(name(verdict)), expected(scripts[event.at()], Some(3), false));
            let effects = seen.effects.get(&event.0).copied().unwrap_or_default();
            prop_assert_eq!(effects, u32::from(*verdict == Verdict::Done), "effects of event {}", event.0);
        }
        prop_assert_eq!(seen.batch_sum, seen.records.len() as u32, "effects of the batch count exactly the events that are done");
    }
}

#[test]
fn a_healthy_batch_takes_one_call() {
    let seen = run(&[Script::Good; 100], &[], true, policy(Some(3), false));
    assert_eq!((seen.calls, seen.batch_sum), (1, 100));
}

#[test]
fn one_poison_event_in_a_hundred_is_isolated_without_using_up_retries_of_others() {
    let mut scripts = [Script::Good; 100];
    scripts[37] = Script::Poison;
    let seen = run(&scripts, &[], true, policy(Some(2), false));
    assert_eq!(seen.batch_sum, 99);
    assert!(seen.calls < 25, "took {} calls", seen.calls);
}

#[test]
fn without_bisect_the_whole_batch_is_given_up_with_its_culprit() {
    let scripts = [Script::Good, Script::Poison];
    let policy = RetryPolicy { bisect: false, ..policy(Some(1), false) };
    let seen = run(&scripts, &[], true, policy);
    assert_eq!(seen.settled.iter().map(|(_, v)| name(v)).collect::<Vec<_>>(), ["plugin.trap", "plugin.trap"]);
}

#[test]
fn a_failure_that_will_repeat_is_tried_once_more_at_most() {
    let scripts = [Script::Good, Script::Fated, Script::Good];
    for retries in [None, Some(10), Some(1)] {
        let seen = run(&scripts, &[], true, policy(retries, false));
        let names: Vec<_> = seen.settled.iter().map(|(_, v)| name(v)).collect();
        assert_eq!(names, ["done", "plugin.contract", "done"]);
        let Verdict::Dead(reason) = &seen.settled[1].1 else { panic!("it cannot be done") };
        assert_eq!(reason.message, "event 1 (tried 2 times)");
    }
    let seen = run(&scripts, &[], true, policy(Some(0), false));
    assert!(matches!(&seen.settled[1].1, Verdict::Dead(reason) if reason.message.ends_with("(tried 1 times)")));
}

#[test]
fn a_failure_that_will_repeat_goes_back_to_its_queue_once_at_most() {
    let seen = run(&[Script::Fated], &[], false, policy(None, true));
    assert_eq!(name(&seen.settled[0].1), "released");
    let mut again = Columns::default();
    again.push(&NewEvent { id: "0", attempt: 2, ..NewEvent::default() }).unwrap();
    let mut delivery = Delivery::new(&again, false, policy(None, true), 0);
    let now = Moment { monotonic: Duration::ZERO, wall: Timestamp::from_millis(1) };
    let Step::Call(events) = delivery.step(now) else { panic!("it is due") };
    delivery.called(plugin(&[Script::Fated], &events, |_| 2), now);
    let Step::Commit(settlement) = delivery.step(now) else { panic!("it is decided") };
    assert_eq!(name(&settlement.verdicts[0].1), "plugin.contract");
}

#[test]
fn an_event_that_is_too_large_to_commit_alone_is_given_up_and_no_other_is() {
    let scripts = [Script::Good, Script::Huge, Script::Good, Script::Good];
    for ordered in [true, false] {
        let seen = run(&scripts, &[], ordered, policy(None, false));
        let mut settled = seen.settled.clone();
        settled.sort_by_key(|(event, _)| *event);
        assert_eq!(settled.iter().map(|(_, v)| name(v)).collect::<Vec<_>>(), ["done", "limit.commit", "done", "done"]);
        assert_eq!(seen.batch_sum, 3);
    }
}

#[test]
fn events_past_their_age_are_given_up_without_a_call() {
    let policy = RetryPolicy { max_record_age: Some(Duration::from_secs(1)), ..policy(None, false) };
    let mut delivery = Delivery::new(&columns(2), true, policy, 0);
    let now = Moment { monotonic: Duration::ZERO, wall: Timestamp::from_millis(5_000) };
    let Step::Commit(settlement) = delivery.step(now) else { panic!("expected a commit") };
    assert!(settlement.called.is_empty());
    assert!(settlement.verdicts.iter().all(|(_, v)| name(v) == "expired"));
}

#[test]
fn an_event_that_its_source_refused_is_given_up_without_a_call_whatever_the_filter_says() {
    let now = Moment { monotonic: Duration::ZERO, wall: Timestamp::from_millis(0) };
    let claim = |n: u64| Claim::new(Token::Offset(n));
    let claims = [claim(0), Claim::refused(Token::Offset(1), Reason::new("limit.aggregate", "too large")), claim(2)];
    for verdicts in [vec![], vec![(EventIndex(1), Verdict::Filtered)]] {
        let mut delivery = Delivery::new(&columns(3), true, policy(Some(1), false), 1).giving_up_refused(&claims);
        delivery.filtered(verdicts);
        assert_eq!(delivery.step(now), Step::Call(vec![EventIndex(0), EventIndex(2)]));
        delivery.called(Ok(CallOutput::default()), now);
        let Step::Commit(settlement) = delivery.step(now) else { panic!("a commit follows") };
        let codes = settlement.verdicts.iter().map(|(_, verdict)| match verdict {
            Verdict::Dead(reason) => reason.code.as_str(),
            other => name(other),
        });
        assert_eq!(codes.collect::<Vec<_>>(), ["done", "limit.aggregate", "done"]);
    }
}

#[test]
fn a_plugin_that_halts_settles_nothing() {
    let mut delivery = Delivery::new(&columns(1), true, policy(None, false), 0);
    let now = Moment { monotonic: Duration::ZERO, wall: Timestamp::from_millis(1) };
    assert_eq!(delivery.step(now), Step::Call(vec![EventIndex(0)]));
    delivery.called(Err(CallError::Halt("schema changed".into())), now);
    assert_eq!(delivery.step(now), Step::Halted("schema changed".into()));
}

#[test]
fn what_is_refused_of_events_that_are_given_up_is_tried_again_after_a_pause() {
    let mut columns = Columns::default();
    columns.push(&NewEvent { id: "0", attempt: 1, ..NewEvent::default() }).unwrap();
    let policy = RetryPolicy { max_record_age: Some(Duration::ZERO), ..policy(Some(0), false) };
    let mut delivery = Delivery::new(&columns, true, policy, 0);
    let mut now = Moment { monotonic: Duration::ZERO, wall: Timestamp::from_millis(10) };
    for _ in 0..3 {
        let Step::Commit(settlement) = delivery.step(now) else { panic!("it is too old to be called") };
        assert!(settlement.called.is_empty() && matches!(settlement.verdicts[..], [(EventIndex(0), Verdict::Dead(_))]));
        let error = CommitError::Refused(vec![(0, "the output is gone".into())]);
        delivery.not_committed(NotCommitted { error, causes: vec![None] }, &settlement, now);
        let Step::Wait(due) = delivery.step(now) else { panic!("it would turn for ever") };
        now.monotonic = due;
    }
}
