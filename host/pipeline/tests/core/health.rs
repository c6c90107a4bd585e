//! What fails and is tried again is known for as long as it fails, and no longer.

use crate::{Options, check, lanes, paused, route};
use esclusa_pipeline::meter::epoch_millis;
use esclusa_testkit::fakes::{Trouble, World};
use std::collections::BTreeMap;
use std::time::Duration;

/// Serves two events of one lane, with a trouble eight times from the operation after so many others on. Gives the codes of what failed
/// meanwhile, one after the other, and that of the last error at the end.
fn failures(before: usize, trouble: Trouble) -> (Vec<Option<String>>, Option<String>) {
    paused(async {
        let world = World::new(lanes(&[2]));
        world.set_trouble([vec![Trouble::None; before], vec![trouble; 8]].concat());
        let options = Options { max_retry_attempts: None, ..Options::default() };
        let (route, serving) = route(&world, &BTreeMap::new(), &options);
        let serving = tokio::spawn(serving);
        let mut seen = Vec::new();
        while !serving.is_finished() {
            seen.push(route.meter.failure(epoch_millis()).map(|failure| failure.code));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        seen.push(route.meter.failure(epoch_millis()).map(|failure| failure.code));
        check(&world);
        assert_eq!(world.state().effects.len(), 2);
        seen.dedup();
        (seen, route.meter.read().last_error.map(|error| error.code))
    })
}

#[test]
fn whatever_fails_is_told_until_it_works() {
    // The operations of a route in their order: recorded messages, a lane, a pull, a call, a commit.
    for (before, trouble, code) in [
        (0, Trouble::Fails, "source.open"),
        (1, Trouble::Fails, "source.open"),
        (2, Trouble::Fails, "source.pull"),
        (3, Trouble::NoCall, "host.call"),
        (4, Trouble::Fails, "engine.commit"),
    ] {
        let (seen, last) = failures(before, trouble);
        let told = [Some(code.to_owned()), None];
        assert!(seen.ends_with(&told) && seen.len() <= 3, "operation {before}: {seen:?}");
        assert_ne!(last.as_deref(), Some(code), "operation {before}");
    }
    // What the plugin asks for says nothing of the route.
    assert_eq!(failures(3, Trouble::Fails).0, [None]);
}
