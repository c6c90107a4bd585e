//! The breaker of a route, in process: a plugin that fails on everything, and one that recovers.

use crate::{Options, check, lanes, paused, route, serve_to_the_end};
use esclusa_pipeline::route::{LoadedPlugin, Mode};
use esclusa_testkit::fakes::{FakePlugin, Script, Trouble, World};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const AFTER: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options { breaker: AFTER, max_retry_attempts: Some(20), ..Options::default() }
}

fn all(lengths: &[usize], script: Script) -> BTreeMap<String, Script> {
    lanes(lengths).into_values().flatten().map(|event| (event, script)).collect()
}

fn plugin(world: &Arc<World>, scripts: BTreeMap<String, Script>) -> LoadedPlugin {
    let plugin = Arc::new(FakePlugin::new(world.clone(), scripts));
    LoadedPlugin { plugin, name: "mended".into(), version: "2".into(), since: 0, reads: AtomicBool::new(false) }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn a_plugin_that_fails_on_everything_is_probed_by_one_lane_and_hardly_anything_is_given_up() {
    for (runs_ahead, factor) in [(true, 1), (false, 1), (true, 3)] {
        paused(async {
            let lengths = [200, 200, 200];
            let world = World::new(lanes(&lengths));
            let options = Options { runs_ahead, parallelization_factor: factor, ..options() };
            let (route, serving) = route(&world, &all(&lengths, Script::Trap), &options);
            let serving = tokio::spawn(serving);
            seconds(59).await;
            assert_eq!(route.open_breaker(), None, "the usual rules hold for a minute");
            let before = world.state().dead.len();
            seconds(31).await;
            let open = route.open_breaker().expect("the breaker is open");
            assert_eq!(open.code, "plugin.trap");
            let (dead, calls, pulls) = {
                let state = world.state();
                (state.dead.len(), state.calls.len(), state.pulls)
            };
            assert!(before > 0 && dead < 600, "{before} and {dead} events were given up");
            seconds(3600).await;
            let (probes, given_up, pulled) = {
                let state = world.state();
                (state.calls.get(calls..).unwrap().to_vec(), state.dead.len() - dead, state.pulls - pulls)
            };
            assert!((50..140).contains(&probes.len()), "{} calls in an hour", probes.len());
            // After ten probes of a lane a usual try is made, with its whole batch or a part of it.
            let most = probes.len() / 11;
            let tries = probes.iter().filter(|events| events.len() > 1).count();
            assert!(tries <= most && given_up <= most && pulled <= most as u64, "{given_up} {pulled} {probes:?}");
            let lanes: std::collections::BTreeSet<_> =
                probes.iter().map(|events| events[0].get(..1).unwrap()).collect();
            assert_eq!(lanes.len(), 3, "the lanes take turns");
            route.set_mode(Mode::Draining);
            tokio::time::timeout(Duration::from_millis(1), serving).await.expect("a drain waits for no probe").unwrap();
            check(&world);
        });
    }
}

#[test]
fn probes_go_through_a_large_batch_and_usual_tries_are_rare() {
    paused(async {
        let world = World::new(lanes(&[200]));
        let options = Options { batch_size: 150, runs_ahead: false, ..options() };
        let (route, serving) = route(&world, &all(&[200], Script::Trap), &options);
        let serving = tokio::spawn(serving);
        seconds(100).await;
        let before = route.open_breaker().expect("the breaker is open").failed_probes as usize;
        let calls = world.state().calls.len();
        seconds(3600).await;
        let probes = route.open_breaker().unwrap().failed_probes as usize - before;
        let calls = world.state().calls.get(calls..).unwrap().to_vec();
        let alone: std::collections::BTreeSet<_> = calls.iter().filter(|events| events.len() == 1).flatten().collect();
        assert!(alone.len() >= 30, "{alone:?}");
        let tries = calls.len() - probes;
        // One more than there are tens of probes, if some probes came before the count began.
        assert!((1..=probes / 10 + 1).contains(&tries), "{tries} tries, {probes} probes");
        serving.abort();
    });
}

#[test]
fn neither_the_call_that_opens_the_breaker_nor_a_probe_uses_up_a_try() {
    paused(async {
        let world = World::new(lanes(&[200]));
        // Each operation takes so long that the events of a minute are few.
        world.set_trouble([Trouble::Slow(1500); 60]);
        let options = Options { max_retry_attempts: Some(0), batch_size: 1, runs_ahead: false, ..options() };
        let (route, serving) = route(&world, &all(&[200], Script::Trap), &options);
        let serving = tokio::spawn(serving);
        seconds(1000).await;
        let open = route.open_breaker().expect("the breaker is open");
        let state = world.state();
        assert!(open.failed_probes > 0 && (10..40).contains(&state.dead.len()), "{open:?} {}", state.dead.len());
        // Every call before the one that opened it gave its only event up.
        assert_eq!(state.calls.len(), state.dead.len() + 1 + open.failed_probes as usize);
        serving.abort();
    });
}

#[test]
fn a_reloaded_plugin_closes_the_breaker_at_once_and_loses_nothing() {
    paused(async {
        let lengths = [200, 200];
        let world = World::new(lanes(&lengths));
        let (route, serving) = route(&world, &all(&lengths, Script::Trap), &options());
        let serving = tokio::spawn(serving);
        seconds(1000).await;
        assert!(route.open_breaker().is_some());
        let dead = world.state().dead.len();
        route.swap(plugin(&world, BTreeMap::new()));
        assert_eq!(route.open_breaker(), None);
        tokio::time::timeout(Duration::from_secs(1), serving).await.expect("it goes on at once").unwrap();
        check(&world);
        let state = world.state();
        assert_eq!((state.dead.len(), state.effects.len()), (dead, 400 - dead));
    });
}

#[test]
fn bad_events_get_out_of_the_way_of_a_plugin_that_works_again() {
    // All events of the batch in work are bad, or some of them, or all of the next batches, too.
    for (batch_size, bad) in [(1, 1), (3, 1), (1, 3), (3, 7), (30, 30)] {
        paused(async {
            let world = World::new(lanes(&[200]));
            let options = Options { batch_size, max_retry_attempts: Some(6), ..options() };
            let mut scripts = all(&[200], Script::Trap);
            let (route, serving) = route(&world, &scripts, &options);
            let serving = tokio::spawn(serving);
            seconds(100).await;
            let first = {
                let state = world.state();
                assert!(route.open_breaker().is_some());
                state.lanes.get("a").unwrap().settled
            };
            let bad: std::collections::BTreeSet<String> =
                (first..first + bad).map(|event| format!("a-{event}")).collect();
            // Put in place without closing the breaker.
            scripts.retain(|event, _| bad.contains(event));
            world.state().scripts = Some(scripts);
            tokio::time::timeout(Duration::from_secs(200_000), serving).await.expect("it goes on").unwrap();
            check(&world);
            let state = world.state();
            let dead = first + bad.len();
            assert_eq!((state.dead.len(), state.effects.len()), (dead, 200 - dead), "by the usual rule");
        });
    }
}

#[test]
fn one_bad_event_is_given_up_however_long_its_tries_take() {
    paused(async {
        let world = World::new(lanes(&[1]));
        let scripts = all(&[1], Script::Retry(u32::MAX));
        let options = Options { max_retry_attempts: Some(2000), ..options() };
        let route = serve_to_the_end(&world, &scripts, &options).await;
        check(&world);
        assert_eq!((world.state().dead.len(), route.open_breaker()), (1, None));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    // Invariants 2, 3 and 8 with an open breaker: the route is dropped at any moment, and served anew by a plugin that works.
    #[test]
    fn whatever_is_given_up_before_it_opened_every_other_event_is_done_in_order(
        lengths in prop::collection::vec(1usize..80, 1..4), drops in prop::collection::vec(0u64..200, 0..3),
        runs_ahead in any::<bool>(), batch_size in 1usize..5,
    ) {
        paused(async {
            let world = World::new(lanes(&lengths));
            let options = Options { runs_ahead, batch_size, ..options() };
            for after in drops {
                let (_, serving) = route(&world, &all(&lengths, Script::Trap), &options);
                let _ = tokio::time::timeout(Duration::from_secs(after), serving).await;
                check(&world);
            }
            let (route, serving) = route(&world, &all(&lengths, Script::Trap), &options);
            let serving = tokio::spawn(serving);
            seconds(200).await;
            route.swap(plugin(&world, BTreeMap::new()));
            tokio::time::timeout(Duration::from_secs(3600), serving).await.unwrap().unwrap();
            check(&world);
            let total: usize = lengths.iter().sum();
            let state = world.state();
            assert_eq!(state.effects.len() + state.dead.len(), total);
            let reading = route.meter.read();
            assert!(reading.adds_up() && reading.in_flight == 0, "{reading:?}");
        });
    }
}
