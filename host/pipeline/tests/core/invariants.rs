//! Invariants 2, 3, 4, 5, 7 and 8.

use crate::{Options, check, lanes, paused, route, serve_to_the_end};
use esclusa_pipeline::route::{Mode, Route};
use esclusa_testkit::fakes::{Script, Trouble, World};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

fn options() -> impl Strategy<Value = Options> {
    (any::<bool>(), 1usize..6, 1usize..4, 1usize..4).prop_map(|(runs_ahead, batch_size, concurrency, factor)| Options {
        runs_ahead,
        batch_size,
        concurrency,
        parallelization_factor: factor,
        ..Options::default()
    })
}

fn trouble() -> impl Strategy<Value = Vec<Trouble>> {
    prop::collection::vec(
        prop_oneof![
            4 => Just(Trouble::None),
            3 => (1u16..30).prop_map(Trouble::Slow),
            2 => Just(Trouble::Fails),
            2 => Just(Trouble::Unheard),
            1 => Just(Trouble::NoCall),
            1 => Just(Trouble::Conflict),
            1 => Just(Trouble::TooLarge),
            1 => Just(Trouble::LeaseLost),
        ],
        0..80,
    )
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    prop::collection::vec(
        prop_oneof![
            6 => Just(Script::Write),
            2 => Just(Script::Mail),
            1 => Just(Script::Read),
            1 => Just(Script::Reject),
            1 => Just(Script::Skip),
            1 => Just(Script::Trap),
            1 => (1u32..3).prop_map(Script::Retry),
        ],
        40,
    )
}

/// What had happened when a route began to leave.
struct Before {
    pulls: u64,
    asked_commits: u64,
}

/// Serves a route whose operations are slow, lets it leave after some milliseconds by changing its mode, and waits for its end.
async fn leave(world: &Arc<World>, slow: &[u16], after: u64, options: &Options, mode: Mode) -> (Arc<Route>, Before) {
    world.set_trouble(slow.iter().copied().map(Trouble::Slow));
    let (route, serving) = route(world, &BTreeMap::new(), options);
    let serving = tokio::spawn(serving);
    tokio::time::sleep(Duration::from_millis(after)).await;
    let before = {
        let state = world.state();
        Before { pulls: state.pulls, asked_commits: state.asked_commits }
    };
    route.set_mode(mode);
    tokio::time::timeout(Duration::from_secs(3600), serving).await.unwrap().unwrap();
    check(world);
    (route, before)
}

/// What an event must have left when everything has ended.
fn left(script: Script) -> (usize, usize) {
    match script {
        Script::Write | Script::Mail | Script::Read | Script::Retry(_) => (1, 0),
        Script::Reject | Script::Trap => (0, 1),
        Script::Skip | Script::Halt => (0, 0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    // Invariants 2, 3 and 8: the route is dropped at any moment, several times, and served anew.
    #[test]
    fn whatever_fails_and_whenever_a_route_is_dropped_every_event_ends_once_and_in_order(
        lengths in prop::collection::vec(0usize..10, 1..4), scripts in scripts(), trouble in trouble(),
        drops in prop::collection::vec(0u64..120, 0..4), options in options(), unnamed in any::<bool>(),
    ) {
        // For ever, so that trouble uses up no event's tries; but a trap would never end.
        let scripts = if trouble.contains(&Trouble::Fails) {
            scripts.into_iter().map(|s| if matches!(s, Script::Trap) { Script::Reject } else { s }).collect()
        } else {
            scripts
        };
        let max_retry_attempts = if trouble.contains(&Trouble::Fails) { None } else { Some(3) };
        let options = Options { max_retry_attempts, ..options };
        let unheard = trouble.contains(&Trouble::Unheard);
        let mut lanes = lanes(&lengths);
        // The one lane of a schedule has no name.
        if unnamed && let Some(events) = lanes.remove("a") {
            lanes.insert("".into(), events);
        }
        let names: Vec<String> = lanes.values().flatten().cloned().collect();
        let scripts: BTreeMap<String, Script> = names.iter().cloned().zip(scripts).collect();
        paused(async {
            let world = World::new(lanes.clone());
            world.set_trouble(trouble);
            for after in drops {
                let (_, serving) = route(&world, &scripts, &options);
                let _ = tokio::time::timeout(Duration::from_millis(after), serving).await;
                check(&world);
            }
            let route = serve_to_the_end(&world, &scripts, &options).await;
            check(&world);
            let state = world.state();
            for name in &names {
                let script = scripts.get(name).copied().unwrap_or(Script::Write);
                let count = |all: &[String]| all.iter().filter(|id| *id == name).count();
                assert_eq!((count(&state.effects), count(&state.dead)), left(script), "{name}: {state:?}");
                if script == Script::Mail {
                    assert!(count(&state.sent) >= 1, "the message of {name} was not sent: {state:?}");
                } else {
                    assert_eq!(count(&state.sent), 0, "messages of {name}");
                }
            }
            assert!(state.outbox.is_empty(), "recorded messages are left: {:?}", state.outbox);
            // With several calls for a batch, only messages of one key have an order.
            for events in lanes.values().filter(|_| options.parallelization_factor == 1) {
                let first = |event: &String| state.sent.iter().position(|sent| sent == event);
                let sent: Vec<usize> = events.iter().filter_map(first).collect();
                assert!(sent.is_sorted(), "messages overtook others of their lane: {:?}", state.sent);
            }
            assert_eq!(state.counts.settled(), names.len() as u64);
            let reading = route.meter.read();
            assert!(reading.adds_up() && reading.in_flight == 0, "{reading:?}");
            // A commit whose answer was lost is in the store's account, and in that of the next process.
            if !unheard {
                assert_eq!(reading.counts, state.counts);
            }
        });
    }

    // Invariant 5: two processes that both take a lane for their own.
    #[test]
    fn of_two_owners_of_a_lane_one_commits_each_event(
        lengths in prop::collection::vec(1usize..12, 1..4), trouble in trouble(), options in options(),
    ) {
        let trouble: Vec<Trouble> = trouble.into_iter().filter(|t| matches!(t, Trouble::None | Trouble::Slow(_) | Trouble::Unheard)).collect();
        let lanes = lanes(&lengths);
        let all: BTreeSet<String> = lanes.values().flatten().cloned().collect();
        paused(async {
            let world = World::new(lanes);
            world.set_trouble(trouble);
            let scripts = BTreeMap::new();
            let (_, one) = route(&world, &scripts, &options);
            let (_, other) = route(&world, &scripts, &options);
            tokio::time::timeout(Duration::from_secs(3600), async { tokio::join!(one, other) }).await.unwrap();
            let state = world.state();
            let violations: Vec<_> = state.violations.iter().filter(|v| !v.contains("lease")).collect();
            assert!(violations.is_empty(), "{violations:?}");
            let effects: BTreeSet<String> = state.effects.iter().cloned().collect();
            assert_eq!((effects.len(), &effects), (state.effects.len(), &all), "each once");
        });
    }

    // Invariant 7.
    #[test]
    fn a_route_that_drains_pulls_no_more_and_finishes_what_is_in_flight(
        lengths in prop::collection::vec(5usize..20, 1..4), slow in prop::collection::vec(1u16..30, 100), after in 0u64..150, options in options(),
    ) {
        let total: usize = lengths.iter().sum();
        paused(async {
            let world = World::new(lanes(&lengths));
            let (route, Before { pulls, .. }) = leave(&world, &slow, after, &options, Mode::Draining).await;
            assert_eq!(world.state().pulls, pulls, "nothing is pulled after the drain began");
            let reading = route.meter.read();
            assert_eq!((reading.in_flight, reading.received), (0, world.state().counts.settled()));
            serve_to_the_end(&world, &BTreeMap::new(), &options).await;
            assert_eq!(world.state().effects.len(), total);
        });
    }

    // Invariant 7: by the deadline the batches in flight are abandoned.
    #[test]
    fn a_route_that_is_stopped_commits_nothing_more_and_loses_nothing(
        lengths in prop::collection::vec(5usize..20, 1..4), slow in prop::collection::vec(1u16..30, 100), after in 0u64..150, options in options(),
    ) {
        let total: usize = lengths.iter().sum();
        paused(async {
            let world = World::new(lanes(&lengths));
            let (_, Before { asked_commits: asked, .. }) = leave(&world, &slow, after, &options, Mode::Stopped).await;
            assert_eq!(world.state().asked_commits, asked, "no commit begins after the stop");
            serve_to_the_end(&world, &BTreeMap::new(), &options).await;
            assert_eq!(world.state().effects.len(), total, "each once");
        });
    }
}

// Invariant 4.
#[test]
fn bytes_in_flight_stay_under_the_limit_and_come_near_it() {
    paused(async {
        let limit = 16 * 1024;
        let options = Options { batch_size: 2, batch_bytes: 4096, in_flight_bytes: limit, ..Options::default() };
        let world = World::new(lanes(&[20; 12]));
        world.state().commit_time = Duration::from_millis(50);
        serve_to_the_end(&world, &BTreeMap::new(), &options).await;
        check(&world);
        let state = world.state();
        assert_eq!(state.effects.len(), 240);
        let most = state.most_bytes_out;
        assert!(most <= limit, "{most} bytes were in flight");
        assert!(most > limit / 2, "{most} bytes at most: nothing was held back by the limit");
    });
}

// Invariant 5: the lane ends, and is opened again at its position.
#[test]
fn after_a_lost_lease_a_lane_commits_nothing_until_it_is_opened_again() {
    paused(async {
        for runs_ahead in [false, true] {
            let world = World::new(lanes(&[9]));
            // The lane, its recorded messages, a pull, a call; then commits lose the lease.
            world.set_trouble([vec![Trouble::None; 4], vec![Trouble::LeaseLost; 12]].concat());
            let options = Options { runs_ahead, ..Options::default() };
            serve_to_the_end(&world, &BTreeMap::new(), &options).await;
            check(&world);
            let state = world.state();
            assert_eq!(state.effects.len(), 9);
            assert!(state.asked_commits > state.commits, "no commit lost its lease");
        }
    });
}

// Invariant 5: the next lane of its name waits for its end, which no commit may ever bring.
#[test]
fn a_lane_that_was_lost_ends_although_its_plugin_asks_for_another_try_again_and_again() {
    paused(async {
        let world = World::new(lanes(&[1]));
        let scripts = BTreeMap::from([("a-0".to_owned(), Script::Retry(u32::MAX))]);
        let options = Options { runs_ahead: false, max_retry_attempts: None, ..Options::default() };
        let (_, serving) = route(&world, &scripts, &options);
        let serving = tokio::spawn(serving);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let pulls = {
            let mut state = world.state();
            state.known_lost.insert("a".into());
            state.pulls
        };
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!((pulls, world.state().pulls), (1, 2), "the lane is opened again");
        // From now on the plugin takes the event, but not from a lane that was lost.
        {
            let mut state = world.state();
            state.scripts = Some(BTreeMap::new());
            state.known_lost.insert("a".into());
        }
        tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
        check(&world);
        let state = world.state();
        assert_eq!((state.pulls, state.asked_commits, state.effects.len()), (3, 1, 1));
    });
}

#[test]
fn a_message_has_retries_of_its_own() {
    for (failures, sent) in [(2, true), (3, false)] {
        paused(async {
            let world = World::new(lanes(&[1]));
            // Behind the operations that open the source, pull, call and commit.
            world.set_trouble([vec![Trouble::None; 5], vec![Trouble::Fails; failures]].concat());
            let scripts = BTreeMap::from([("a-0".to_owned(), Script::Mail)]);
            let options = Options {
                runs_ahead: false,
                max_retry_attempts: Some(0),
                message_retries: Some(2),
                ..Options::default()
            };
            serve_to_the_end(&world, &scripts, &options).await;
            check(&world);
            let state = world.state();
            assert_eq!((&*state.effects, state.sent.len()), (&["a-0".to_owned()][..], usize::from(sent)), "{state:?}");
            assert_eq!(state.dead.is_empty(), sent, "{state:?}");
        });
    }
}

// A schedule is one ordered lane, and has no name.
#[test]
fn messages_of_before_a_restart_go_out_before_those_of_new_commits() {
    for lane in ["a", ""] {
        paused(async {
            let events: Vec<String> = (0..3).map(|event| format!("{lane}-{event}")).collect();
            let world = World::new(BTreeMap::from([(lane.into(), events.clone())]));
            let scripts = events.iter().map(|event| (event.clone(), Script::Mail)).collect();
            let options = Options { runs_ahead: false, batch_size: 1, ..Options::default() };
            // Behind the operations that open the source, pull, call and commit: the process ends while the first message is sent.
            world.set_trouble([vec![Trouble::None; 5], vec![Trouble::Slow(1000)]].concat());
            let (_, serving) = route(&world, &scripts, &options);
            let _ = tokio::time::timeout(Duration::from_millis(500), serving).await;
            let done = {
                let state = world.state();
                (state.effects.len(), state.sent.len())
            };
            assert_eq!(done, (1, 0));
            // Behind the look at what is recorded: the same message takes long again, and the lane goes on.
            world.set_trouble([Trouble::None, Trouble::Slow(1000)]);
            serve_to_the_end(&world, &scripts, &options).await;
            check(&world);
            assert_eq!(world.state().sent, events);
        });
    }
}
