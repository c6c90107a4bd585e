//! A route that takes no events for a while, because its plugin halts it or an operator pauses it.

use crate::{Options, check, lanes, paused, route};
use esclusa_pipeline::route::Mode;
use esclusa_testkit::fakes::{Script, World};
use std::collections::BTreeMap;
use std::time::Duration;

/// Waits in virtual time.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waits = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3600), waits).await.is_ok(), "waited in vain: {what}");
}

#[test]
fn the_batch_at_which_a_plugin_halts_its_route_comes_again_on_resume_also_if_no_event_follows_it() {
    paused(async {
        for runs_ahead in [false, true] {
            let world = World::new(lanes(&[4]));
            let scripts = BTreeMap::from([("a-3".to_owned(), Script::Halt)]);
            let options = Options { runs_ahead, batch_size: 2, ..Options::default() };
            let (route, serving) = route(&world, &scripts, &options);
            let serving = tokio::spawn(serving);
            until("the plugin halts", || matches!(route.mode(), Mode::Halted(_))).await;
            until("the lane is told", || world.state().rests > 0).await;
            assert_eq!((world.state().effects.len(), route.meter.read().in_flight), (2, 0));
            world.state().scripts = Some(BTreeMap::new());
            route.set_mode(Mode::Running);
            tokio::time::timeout(Duration::from_secs(3600), serving).await.unwrap().unwrap();
            check(&world);
            assert_eq!(world.state().effects, ["a-0", "a-1", "a-2", "a-3"]);
        }
    });
}

#[test]
fn a_lane_is_told_when_its_route_is_paused_and_goes_on_where_it_was() {
    paused(async {
        let world = World::new(lanes(&[4]));
        world.state().commit_time = Duration::from_millis(50);
        let options = Options { runs_ahead: false, batch_size: 1, ..Options::default() };
        let (route, serving) = route(&world, &BTreeMap::new(), &options);
        let serving = tokio::spawn(serving);
        until("an event is done", || !world.state().effects.is_empty()).await;
        assert_eq!(world.state().rests, 0, "the route takes events");
        route.set_mode(Mode::Paused);
        until("the lane is told", || world.state().rests > 0).await;
        route.set_mode(Mode::Running);
        tokio::time::timeout(Duration::from_secs(3600), serving).await.unwrap().unwrap();
        check(&world);
        assert_eq!(world.state().effects.len(), 4);
    });
}
