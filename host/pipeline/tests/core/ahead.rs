//! Lanes that run ahead: the next batch is pulled, and its plugin called, while the last one is being written.

use crate::{Options, check, lanes, paused, route, serve_to_the_end};
use esclusa_testkit::fakes::{Script, Trouble, World};
use std::collections::BTreeMap;
use std::time::Duration;

/// Serves one lane of six events, two a batch, whose first commit takes long; gives the events of each call until then.
fn calls_before_the_first_commit(runs_ahead: bool, script: Script) -> Vec<Vec<String>> {
    paused(async {
        let world = World::new(lanes(&[6]));
        let scripts: BTreeMap<String, Script> = (0..6).map(|event| (format!("a-{event}"), script)).collect();
        // Recorded messages, the lane, a pull and a call; then the first commit, or the next call, if it comes before it.
        world.set_trouble([Trouble::None, Trouble::None, Trouble::None, Trouble::None, Trouble::Slow(1000)]);
        let options = Options { runs_ahead, batch_size: 2, ..Options::default() };
        let (_, serving) = route(&world, &scripts, &options);
        let serving = tokio::spawn(serving);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let calls = {
            let state = world.state();
            assert_eq!((state.asked_commits, state.commits), (1, 0), "the first commit is on its way");
            state.calls.clone()
        };
        serving.await.unwrap();
        check(&world);
        assert_eq!(world.state().effects.len(), 6);
        calls
    })
}

#[test]
fn a_lane_that_runs_ahead_calls_the_plugin_while_the_last_batch_is_written() {
    assert_eq!(calls_before_the_first_commit(true, Script::Write), [["a-0", "a-1"], ["a-2", "a-3"]]);
    assert_eq!(calls_before_the_first_commit(false, Script::Write), [["a-0", "a-1"]]);
}

#[test]
fn a_plugin_that_reads_sees_what_the_batch_before_wrote() {
    for runs_ahead in [true, false] {
        paused(async {
            let world = World::new(lanes(&[12]));
            let scripts: BTreeMap<String, Script> = (0..12).map(|event| (format!("a-{event}"), Script::Read)).collect();
            world.state().commit_time = Duration::from_millis(50);
            let options = Options { runs_ahead, batch_size: 2, ..Options::default() };
            serve_to_the_end(&world, &scripts, &options).await;
            check(&world);
            let state = world.state();
            let expected: Vec<usize> = (0..6).map(|batch| batch * 2).collect();
            assert_eq!(state.reads.iter().map(|(_, count)| *count).collect::<Vec<_>>(), expected);
        });
    }
}

#[test]
fn once_a_plugin_has_read_it_is_not_called_ahead_any_more() {
    // The first batch was called in its turn and read, so the second is not called before the first is written.
    assert_eq!(
        calls_before_the_first_commit(true, Script::Read).len(),
        2,
        "the call ahead begins once, and is dropped"
    );
}

#[test]
fn a_batch_ahead_of_one_that_is_not_settled_is_dropped() {
    paused(async {
        let world = World::new(lanes(&[6]));
        // The first commit is slow and then loses the lease; the second batch was called meanwhile.
        let trouble = [Trouble::None; 4].into_iter().chain([Trouble::LeaseLost]);
        world.set_trouble(trouble);
        let options = Options { batch_size: 2, ..Options::default() };
        serve_to_the_end(&world, &BTreeMap::new(), &options).await;
        check(&world);
        let state = world.state();
        assert_eq!(state.effects, ["a-0", "a-1", "a-2", "a-3", "a-4", "a-5"]);
        assert_eq!(state.calls.iter().filter(|call| call[0] == "a-0").count(), 2, "the first batch was called again");
    });
}
