//! The breaker, compared with a naive model that keeps the whole history.

use esclusa_flow::breaker::{Breaker, FailedCall, Standstill};
use esclusa_flow::delivery::{Delivery, Moment, Step};
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::index::EventIndex;
use esclusa_flow::retry::{Backoff, RetryPolicy};
use esclusa_flow::timestamp::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

const AFTER: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Something that happens to a breaker.
#[derive(Debug, Clone)]
enum Happening {
    /// A call that handles an event.
    Handled,
    /// A call that handles none of these events.
    Failed { events: Vec<u64>, endless: bool },
    /// The plugin is replaced.
    Closed,
}

fn happening() -> impl Strategy<Value = Happening> {
    let failed = (prop::collection::vec(0u64..6, 1..4), prop::bool::weighted(0.1));
    prop_oneof![
        2 => Just(Happening::Handled),
        40 => failed.prop_map(|(events, endless)| Happening::Failed { events, endless }),
        1 => Just(Happening::Closed),
    ]
}

/// The calls since the breaker was last closed or had no reason to open: `None` is a call that handled an event.
#[derive(Default)]
struct Model {
    history: Vec<(Duration, Option<Vec<u64>>)>,
    open: bool,
}

impl Model {
    fn failures(&self) -> impl Iterator<Item = (Duration, &Vec<u64>)> {
        self.history.iter().filter_map(|(at, events)| Some((*at, events.as_ref()?)))
    }

    fn nearly_all_fail(&self) -> bool {
        let handled = self.history.iter().filter(|(_, events)| events.is_none()).count();
        self.failures().count() >= 9 * handled
    }

    fn handled(&mut self, now: Duration) {
        if self.open {
            *self = Model::default();
        } else if !self.history.is_empty() {
            self.history.push((now, None));
            if !self.nearly_all_fail() {
                self.history.clear();
            }
        }
    }

    fn failed(&mut self, events: &[u64], endless: bool, now: Duration) {
        if self.open {
            return;
        }
        if self.failures().last().is_some_and(|(last, _)| now - last > AFTER + LONGEST_WAIT) {
            self.history.clear();
        }
        self.history.push((now, Some(events.to_vec())));
        let began = self.failures().next().map_or(now, |(at, _)| at);
        let in_all = |event: &&u64| self.failures().all(|(_, events)| events.contains(event));
        let one_may_be_to_blame = events.iter().any(|event| in_all(&event));
        self.open = now - began >= AFTER && (endless || !one_may_be_to_blame) && self.nearly_all_fail();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_breaker_opens_exactly_when_its_history_says_so(
        happenings in prop::collection::vec((happening(), prop_oneof![20 => 0u64..8, 1 => 80u64..100]), 0..200), seed in any::<u64>(),
    ) {
        let (mut breaker, mut model) = (Breaker::new(AFTER, LONGEST_WAIT, seed), Model::default());
        let mut off = Breaker::new(Duration::ZERO, LONGEST_WAIT, seed);
        let (mut now, mut openings) = (Duration::ZERO, 0);
        for (happening, later) in happenings {
            now += Duration::from_secs(later);
            let was_open = breaker.is_open();
            match happening {
                Happening::Handled => {
                    prop_assert_eq!(breaker.handled(), was_open, "a success closes it, and nothing else that is closed");
                    model.handled(now);
                    off.handled();
                }
                Happening::Failed { events, endless } => {
                    let call = FailedCall { events: &events, endless };
                    let opened = breaker.failed(call, now);
                    model.failed(&events, endless, now);
                    prop_assert_eq!(opened, !was_open && model.open);
                    openings += u32::from(opened);
                    prop_assert!(!off.failed(call, now), "a breaker of 0 s never opens");
                }
                Happening::Closed => {
                    breaker.close();
                    model = Model::default();
                }
            }
            prop_assert_eq!(breaker.is_open(), model.open);
            if breaker.is_open() {
                probes(&mut breaker.clone(), now)?;
            }
        }
        prop_assert!(openings <= now.as_secs() as u32 / 60, "it opened {} times in {:?}", openings, now);
    }
}

/// The waits between probes grow, are never longer than a minute, and never end.
fn probes(breaker: &mut Breaker, now: Duration) -> Result<(), TestCaseError> {
    let (mut now, mut longest) = (now, Duration::ZERO);
    for _ in 0..40 {
        let due = breaker.probe_due().unwrap_or_default();
        let wait = due.saturating_sub(now);
        prop_assert!(wait <= Duration::from_secs(60), "{:?}", wait);
        longest = longest.max(wait);
        now = now.max(due);
        breaker.probe_failed(now);
        prop_assert!(breaker.is_open());
    }
    prop_assert!(longest >= Duration::from_secs(30), "the waits grow: {:?}", longest);
    Ok(())
}

fn fails(breaker: &mut Breaker, events: &[u64], seconds: u64) -> bool {
    breaker.failed(FailedCall { events, endless: false }, Duration::from_secs(seconds))
}

#[test]
fn a_success_in_twenty_calls_does_not_keep_a_breaker_closed_and_one_in_two_does() {
    for (turns, opens) in [(20, true), (2, false)] {
        let mut breaker = Breaker::new(AFTER, LONGEST_WAIT, 7);
        let opened = (0..200u64).any(|call| {
            if call % turns == turns - 1 {
                breaker.handled();
                return false;
            }
            fails(&mut breaker, &[call], call)
        });
        assert_eq!(opened, opens, "a success in {turns}");
    }
}

#[test]
fn one_bad_event_does_not_open_a_breaker_unless_it_would_be_tried_for_ever() {
    let mut breaker = Breaker::new(AFTER, LONGEST_WAIT, 7);
    for second in 0..600 {
        assert!(!fails(&mut breaker, &[1, second + 2], second), "event 1 is in every call");
    }
    assert!(breaker.clone().failed(FailedCall { events: &[1], endless: true }, Duration::from_secs(600)));
    assert!(fails(&mut breaker, &[2], 600), "and now it is not");
}

#[test]
fn bad_events_hours_apart_do_not_open_a_breaker() {
    let mut breaker = Breaker::new(AFTER, LONGEST_WAIT, 7);
    assert!((0..50).all(|event| !fails(&mut breaker, &[event], event * 3600)));
}

#[test]
fn a_standstill_excuses_only_the_time_that_an_event_waited_in_it() {
    let at = Timestamp::from_millis;
    let still = Standstill { from: at(100), to: at(200) };
    for (accepted, now, excused) in
        [(0, 300, 100), (150, 300, 50), (150, 160, 10), (250, 300, 0), (0, 50, 0), (0, 150, 50), (300, 50, 0)]
    {
        assert_eq!(still.within(at(accepted), at(now)), Duration::from_millis(excused), "{accepted}..{now}");
    }
}

#[test]
fn events_do_not_grow_old_while_the_breaker_is_open_and_all_are_probed_in_turn() {
    let (base, max) = (Duration::from_secs(1), Duration::from_secs(1));
    let policy = RetryPolicy {
        max_retry_attempts: None,
        max_record_age: Some(Duration::from_secs(60)),
        bisect: true,
        release: false,
        backoff: Backoff { base, max },
    };
    let mut columns = Columns::default();
    for millis in [100_000, 190_000] {
        columns.push(&NewEvent { timestamp: millis, ..NewEvent::default() }).unwrap();
    }
    let at = Timestamp::from_millis;
    let now = Moment { monotonic: Duration::ZERO, wall: at(220_000) };
    for (stood_still, expected) in [
        (None, vec![EventIndex(1)]),
        (Some(Standstill { from: at(110_000), to: at(200_000) }), vec![EventIndex(0), EventIndex(1)]),
        (Some(Standstill { from: at(0), to: at(130_000) }), vec![EventIndex(1)]),
    ] {
        let mut delivery = Delivery::new(&columns, true, policy, 7);
        assert!(delivery.open_events().eq([0, 1].map(EventIndex)));
        delivery.note_standstill(stood_still);
        assert_eq!(delivery.step(now), Step::Call(expected.clone()), "{stood_still:?}");
        assert!(delivery.open_events().eq(expected.iter().copied()));
    }
}
