//! Which shards get a lease and where they start, over splits, merges, late joiners and trimmed parents.

use super::*;
use proptest::prelude::*;

fn shard(id: &str, parents: &[&str], closed: bool) -> Shard {
    Shard { id: id.into(), parents: parents.iter().map(|p| (*p).into()).collect(), closed, hashes: None }
}

fn known(shards: &[(&str, bool)]) -> KnownShards {
    shards.iter().map(|(id, finished)| ((*id).to_owned(), *finished)).collect()
}

fn found(listed: &[Shard], known: &KnownShards, start: Start) -> Vec<(String, Checkpoint)> {
    missing(listed, known, start).into_iter().map(|new| (new.shard.id.clone(), new.start)).collect()
}

fn at(id: &str, checkpoint: Checkpoint) -> (String, Checkpoint) {
    (id.to_owned(), checkpoint)
}

/// `p` was split into `a` and `b`.
fn split() -> [Shard; 3] {
    [shard("a", &["p"], false), shard("b", &["p"], false), shard("p", &[], true)]
}

#[test]
fn children_wait_for_all_parents() {
    // K1, K2, D7
    let parents = ["a".to_owned(), "b".to_owned()];
    assert!(!may_start(&parents, &known(&[("a", false), ("b", false)])));
    assert!(!may_start(&parents, &known(&[("a", true), ("b", false)])));
    assert!(may_start(&parents, &known(&[("a", true), ("b", true)])));
    assert!(may_start(&parents, &known(&[("a", true)])), "a parent that the group has forgotten is done");
}

#[test]
fn a_child_of_two_parents_is_found_once() {
    // K2
    let listed = [shard("a", &[], true), shard("b", &[], true), shard("m", &["a", "b"], false)];
    let found = found(&listed, &KnownShards::new(), Start::TrimHorizon);
    assert_eq!(found.iter().filter(|(id, _)| id == "m").count(), 1);
    assert_eq!(found.len(), 3);
}

#[test]
fn the_starting_position_is_for_shards_of_the_first_start() {
    // K3
    let first = [shard("p", &[], false)];
    assert_eq!(found(&first, &KnownShards::new(), Start::Latest), [at("p", Checkpoint::Latest)]);
    for finished in [false, true] {
        let children = found(&split(), &known(&[("p", finished)]), Start::Latest);
        assert_eq!(children, [at("a", Checkpoint::TrimHorizon), at("b", Checkpoint::TrimHorizon)]);
    }
}

#[test]
fn shards_that_rolled_twice_while_nobody_looked_start_at_their_oldest_record() {
    let listed = [shard("p", &[], true), shard("q", &["p"], true), shard("r", &["q"], false)];
    let found = found(&listed, &known(&[("p", false)]), Start::Latest);
    assert_eq!(found, [at("q", Checkpoint::TrimHorizon), at("r", Checkpoint::TrimHorizon)]);
}

#[test]
fn a_start_at_the_newest_record_leaves_closed_shards_out_for_ever() {
    let opened = found(&split(), &KnownShards::new(), Start::Latest);
    assert_eq!(opened, [at("a", Checkpoint::Latest), at("b", Checkpoint::Latest)]);
    // Later, when its own parent is trimmed, and `a` has split.
    let later =
        [shard("p", &["gone"], true), shard("a", &["p"], true), shard("b", &["p"], false), shard("c", &["a"], false)];
    let found = found(&later, &known(&[("a", false), ("b", false)]), Start::Latest);
    assert_eq!(found, [at("c", Checkpoint::TrimHorizon)]);
}

#[test]
fn a_start_at_a_time_holds_for_every_shard_that_exists() {
    let found = found(&split(), &KnownShards::new(), Start::AtTimestamp(5));
    assert_eq!(
        found,
        [at("p", Checkpoint::AtTimestamp), at("a", Checkpoint::AtTimestamp), at("b", Checkpoint::AtTimestamp)]
    );
}

#[test]
fn a_group_that_was_away_for_longer_than_retention_skips_nothing_that_is_left() {
    let listed = [shard("z", &["y"], false)];
    assert_eq!(found(&listed, &known(&[("a", false)]), Start::Latest), [at("z", Checkpoint::TrimHorizon)]);
}

#[test]
fn a_shard_that_came_from_what_was_never_read_is_told_from_one_that_continues() {
    let descents = |listed: &[Shard], known: &KnownShards| -> Vec<_> {
        missing(listed, known, Start::TrimHorizon).into_iter().map(|new| new.descent).collect()
    };
    let listed = [shard("p", &["o"], true), shard("q", &["p"], false)];
    assert_eq!(descents(&listed, &KnownShards::new()), [Descent::First, Descent::First], "the group starts");
    assert_eq!(descents(&listed, &known(&[("p", true)])), [Descent::Continues]);
    assert_eq!(descents(&listed, &known(&[("o", true)])), [Descent::Continues, Descent::Continues]);
    assert_eq!(descents(&listed, &known(&[("n", true)])), [Descent::Orphan, Descent::Continues]);
}

#[test]
fn a_circle_of_parents_ends() {
    let listed = [shard("a", &["b"], true), shard("b", &["a"], true)];
    assert_eq!(found(&listed, &KnownShards::new(), Start::TrimHorizon).len(), 2);
}

/// A stream that was resharded at random: parents are older shards; each shard has children or is open.
fn histories() -> impl Strategy<Value = Vec<Shard>> {
    proptest::collection::vec((any::<bool>(), any::<u32>()), 0..25).prop_map(|steps| {
        let mut shards = vec![shard("s000", &[], false), shard("s001", &[], false)];
        for (merge, pick) in steps {
            let open: Vec<usize> = (0..shards.len()).filter(|i| !shards[*i].closed).collect();
            let first = open[pick as usize % open.len()];
            let second = open[(pick as usize + 1) % open.len()];
            shards[first].closed = true;
            let mut parents = vec![shards[first].id.clone()];
            if merge && first != second {
                shards[second].closed = true;
                parents.push(shards[second].id.clone());
            }
            for _ in 0..if merge && first != second { 1 } else { 2 } {
                let id = format!("s{:03}", shards.len());
                shards.push(Shard { id, parents: parents.clone(), closed: false, hashes: None });
            }
        }
        shards
    })
}

proptest! {
    #[test]
    fn every_shard_is_read_once_and_after_its_parents(shards in histories(), order in any::<u64>()) {
        let mut known = KnownShards::new();
        let mut read = Vec::new();
        for step in 0..shards.len() * 3 {
            for NewShard { shard, .. } in missing(&shards, &known, Start::TrimHorizon) {
                prop_assert!(known.insert(shard.id.clone(), false).is_none(), "leased once");
            }
            let ready: Vec<_> = shards.iter().filter(|s| known.get(&s.id) == Some(&false) && may_start(&s.parents, &known)).collect();
            let Some(next) = ready.get((order as usize).wrapping_add(step) % ready.len().max(1)) else { break };
            prop_assert!(next.parents.iter().all(|parent| read.contains(parent)));
            read.push(next.id.clone());
            known.insert(next.id.clone(), true);
        }
        prop_assert_eq!(read.len(), shards.len());
    }

    #[test]
    fn stopping_while_leases_are_made_leaves_no_shard_out(shards in histories(), stop in 0usize..30) {
        let all: Vec<String> = found(&shards, &KnownShards::new(), Start::TrimHorizon).into_iter().map(|(id, _)| id).collect();
        let mut partly: KnownShards = all.iter().take(stop).map(|id| (id.clone(), false)).collect();
        let rest = found(&shards, &partly, Start::TrimHorizon);
        partly.extend(rest.into_iter().map(|(id, _)| (id, false)));
        prop_assert_eq!(partly.len(), shards.len());
    }
}
