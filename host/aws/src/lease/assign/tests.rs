//! Which leases are taken, and that taking them comes to rest.

use super::*;
use crate::lease::Checkpoint;
use proptest::prelude::*;

fn lease(key: &str, owner: Option<&str>, counter: u64) -> Lease {
    Lease {
        key: key.into(),
        owner: owner.map(Into::into),
        counter,
        checkpoint: Checkpoint::TrimHorizon,
        pending: None,
        parents: Vec::new(),
        hashes: None,
        opened: None,
        first: false,
    }
}

#[test]
fn a_lease_expires_when_its_counter_stands_still_on_our_own_clock() {
    // X2
    let (start, duration) = (Instant::now(), Duration::from_secs(10));
    let mut watch = LeaseWatch::default();
    watch.observe(&[lease("a", Some("other"), 7)], start);
    assert!(!watch.expired("a", start + duration / 2, duration), "a new worker first looks for a while");
    assert!(!watch.moving("a"), "nobody knows yet whether its owner lives");
    watch.observe(&[lease("a", Some("other"), 8)], start + duration / 2);
    assert!(!watch.expired("a", start + duration, duration) && watch.moving("a"), "it was renewed");
    watch.observe(&[lease("a", Some("other"), 8)], start + duration);
    assert!(watch.expired("a", start + duration + duration / 2, duration));
    watch.observe(&[lease("a", Some("third"), 8)], start + duration * 2);
    assert!(!watch.expired("a", start + duration * 2, duration), "another worker took it");
    assert!(!watch.expired("unknown", start, Duration::ZERO));
}

#[test]
fn a_worker_does_not_take_from_itself() {
    // K7
    let mine = [Candidate { key: "a", holder: Holder::Me }, Candidate { key: "b", holder: Holder::Me }];
    assert!(choose(&mine, "me").is_empty());
}

#[test]
fn a_first_worker_takes_everything_and_a_second_steals_one_at_a_time() {
    let free = ["a", "b", "c"].map(|key| Candidate { key, holder: Holder::Nobody });
    assert_eq!(choose(&free, "one").len(), 3);
    let theirs = ["a", "b", "c"].map(|key| Candidate { key, holder: Holder::Other("one") });
    assert_eq!(choose(&theirs, "two").len(), 1);
}

fn step(owners: &mut [Option<usize>], worker: usize) -> bool {
    let names: Vec<String> = (0..20).map(|i| format!("worker-{i}")).collect();
    let keys: Vec<String> = (0..owners.len()).map(|i| format!("shard-{i}")).collect();
    let holder = |owner: Option<usize>| match owner {
        Some(owner) if owner == worker => Holder::Me,
        Some(owner) => Holder::Other(names[owner].as_str()),
        None => Holder::Nobody,
    };
    let candidates: Vec<_> =
        keys.iter().zip(owners.iter()).map(|(key, owner)| Candidate { key, holder: holder(*owner) }).collect();
    let chosen = choose(&candidates, &names[worker]);
    for key in &chosen {
        owners[keys.iter().position(|k| k == key).unwrap()] = Some(worker);
    }
    !chosen.is_empty()
}

proptest! {
    #[test]
    fn shares_become_equal_and_stay_so(
        leases in 0usize..40, workers in 1usize..9, owned in proptest::collection::vec(proptest::option::of(0usize..9), 40),
    ) {
        let mut owners: Vec<_> = owned.into_iter().take(leases).map(|owner| owner.filter(|o| *o < workers)).collect();
        let mut rounds = 0;
        while (0..workers).map(|worker| step(&mut owners, worker)).filter(|moved| *moved).count() > 0 {
            rounds += 1;
            prop_assert!(rounds < 100, "workers steal from each other for ever");
        }
        let load = |worker| owners.iter().filter(|o| **o == Some(worker)).count();
        let (least, most) = ((0..workers).map(load).min().unwrap(), (0..workers).map(load).max().unwrap());
        prop_assert!(most - least <= 1, "{:?}", (0..workers).map(load).collect::<Vec<_>>());
        prop_assert!(owners.iter().all(Option::is_some));
    }
}
