//! Which shards get a lease and where they start, over splits, merges, late joiners and trimmed parents.

use super::*;
use proptest::prelude::*;

fn shard(id: &str, parents: &[&str], closed: bool) -> Shard {
    Shard { id: id.into(), parents: parents.iter().map(|p| (*p).into()).collect(), closed, hashes: None }
}

fn known(shards: &[(&str, bool)]) -> KnownShards {
    let shard = |finished| KnownShard { finished, first: false };
    shards.iter().map(|(id, finished)| ((*id).to_owned(), shard(*finished))).collect()
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
fn shards_that_kcl_finished_and_forgot_are_not_read_again() {
    // A split of a split, and a merge that was split: the rows of the older generations are deleted.
    let listed = [
        shard("p", &[], true),
        shard("q", &[], true),
        shard("a", &["p"], true),
        shard("b", &["p"], true),
        shard("c", &["a"], false),
        shard("d", &["a"], false),
        shard("m", &["b", "q"], true),
        shard("n", &["m"], false),
        shard("o", &["m"], false),
    ];
    for start in [Start::TrimHorizon, Start::Latest, Start::AtTimestamp(5)] {
        let rows = known(&[("c", false), ("d", false), ("n", false), ("o", false)]);
        assert_eq!(found(&listed, &rows, start), []);
    }
    let rows = known(&[("c", false), ("n", false), ("o", false)]);
    let lost = ["p", "a", "d"].map(|id| at(id, Checkpoint::TrimHorizon));
    assert_eq!(found(&listed, &rows, Start::TrimHorizon), lost, "nothing proves that these are done");
}

#[test]
fn children_that_are_not_all_listed_prove_nothing_of_the_other_hash_keys() {
    let ranged =
        |id, parents: &[&str], closed, low, high| Shard { hashes: Some((low, high)), ..shard(id, parents, closed) };
    let half = [ranged("p", &[], true, 0, 9), ranged("a", &["p"], false, 0, 4)];
    assert_eq!(found(&half, &known(&[("a", false)]), Start::TrimHorizon), [at("p", Checkpoint::TrimHorizon)]);
}

#[test]
fn a_circle_of_parents_ends() {
    let listed = [shard("a", &["b"], true), shard("b", &["a"], true)];
    assert_eq!(found(&listed, &KnownShards::new(), Start::TrimHorizon).len(), 2);
}

/// Hash keys of a test stream.
const KEYS: u128 = 16;

/// A stream that was resharded at random: parents are older shards; each shard has children or is open.
fn histories() -> impl Strategy<Value = Vec<Shard>> {
    proptest::collection::vec((any::<bool>(), any::<u32>()), 0..25).prop_map(|steps| {
        let range = |low, high| Some((low, high));
        let mut shards = Vec::new();
        for (id, hashes) in [("s000", range(0, KEYS / 2 - 1)), ("s001", range(KEYS / 2, KEYS - 1))] {
            shards.push(Shard { hashes, ..shard(id, &[], false) });
        }
        for (merge, pick) in steps {
            reshard(&mut shards, merge, pick as usize);
        }
        shards
    })
}

/// Merges an open shard with its neighbour, or splits it.
fn reshard(shards: &mut Vec<Shard>, merge: bool, pick: usize) {
    let mut open: Vec<usize> = (0..shards.len()).filter(|i| !shards[*i].closed).collect();
    open.sort_by_key(|i| shards[*i].hashes);
    let (first, (low, high)) = (open[pick % open.len()], shards[open[pick % open.len()]].hashes.unwrap());
    let ends: Vec<u128> = shards.iter().map(|shard| shard.hashes.unwrap().1).collect();
    let end = |i: usize| ends[i];
    let mut add = |parents: &[usize], hashes| {
        parents.iter().for_each(|i| shards[*i].closed = true);
        let parents = parents.iter().map(|i| shards[*i].id.clone()).collect();
        shards.push(Shard { id: format!("s{:03}", shards.len()), parents, closed: false, hashes: Some(hashes) });
    };
    match open.get(pick % open.len() + 1) {
        Some(second) if merge => {
            add(&[first, *second], (low, end(*second)));
        }
        _ if low < high => {
            let middle = low + (high - low) / 2;
            add(&[first], (low, middle));
            add(&[first], (middle + 1, high));
        }
        _ => {}
    }
}

fn starts() -> impl Strategy<Value = Start> {
    prop_oneof![Just(Start::TrimHorizon), Just(Start::Latest), Just(Start::AtTimestamp(5))]
}

/// The naive model: each hash key is a chain of shards, oldest first. What came before a shard with a row is over.
fn chain(shards: &[Shard], key: u128) -> Vec<&Shard> {
    shards.iter().filter(|shard| shard.hashes.is_some_and(|(low, high)| low <= key && key <= high)).collect()
}

fn over(shards: &[Shard], known: &KnownShards, shard: &Shard) -> bool {
    let (low, high) = shard.hashes.unwrap();
    (low..=high).all(|key| {
        chain(shards, key).iter().skip_while(|s| s.id != shard.id).skip(1).any(|later| known.contains_key(&later.id))
    })
}

/// The group has been at one of the shards that it came from.
fn continues(shards: &[Shard], known: &KnownShards, shard: &Shard) -> bool {
    let parents = shards.iter().filter(|parent| shard.parents.contains(&parent.id));
    parents.into_iter().any(|parent| {
        known.contains_key(&parent.id) || begun(shards, known, parent) || continues(shards, known, parent)
    })
}

/// The group has read a shard that came from this one, and did not start with it.
fn begun(shards: &[Shard], known: &KnownShards, shard: &Shard) -> bool {
    let mut children = shards.iter().filter(|child| child.parents.contains(&shard.id));
    children.any(|child| known.get(&child.id).map_or_else(|| begun(shards, known, child), |row| !row.first))
}

proptest! {
    #[test]
    fn a_shard_without_a_row_is_read_unless_the_rows_prove_that_it_is_over(
        shards in histories(), start in starts(), rows in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 60)
    ) {
        let rows = shards.iter().zip(rows).filter(|(_, (there, ..))| *there);
        let known: KnownShards = rows.map(|(shard, (_, finished, first))| (shard.id.clone(), KnownShard { finished, first })).collect();
        let found: BTreeMap<String, Checkpoint> = found(&shards, &known, start).into_iter().collect();
        for shard in &shards {
            let continues = continues(&shards, &known, shard);
            let expected = match start {
                _ if known.contains_key(&shard.id) || over(&shards, &known, shard) => None,
                _ if continues => Some(Checkpoint::TrimHorizon),
                Start::TrimHorizon => Some(Checkpoint::TrimHorizon),
                Start::AtTimestamp(_) => Some(Checkpoint::AtTimestamp),
                Start::Latest => (!shard.closed).then_some(Checkpoint::Latest),
            };
            prop_assert_eq!(found.get(&shard.id), expected.as_ref(), "{} of {:#?} with {:#?}", shard.id, shards, known);
        }
    }

    // A KCL and a router share the table: shards are read, split and merged, and KCL deletes rows, in any order.
    #[test]
    fn no_shard_is_read_twice_or_left_out_while_kcl_deletes_rows(
        shards in histories(), start in starts(), steps in proptest::collection::vec((0u8..5, any::<u32>()), 0..200)
    ) {
        // The stream as it was: so many of its shards exist, those without an existing child are open.
        let mut existing = shards.iter().position(|shard| !shard.parents.is_empty()).unwrap_or(shards.len());
        let at = |existing: usize| -> Vec<Shard> {
            let exist = &shards[..existing];
            let closed = |shard: &Shard| exist.iter().any(|child| child.parents.contains(&shard.id));
            exist.iter().map(|shard| Shard { closed: closed(shard), ..shard.clone() }).collect()
        };
        let (mut known, mut read, mut began) = (KnownShards::new(), BTreeSet::new(), None);
        let rest = std::iter::repeat_n([(1, 0), (2, 0)], 2 * shards.len()).flatten();
        for (step, pick) in steps.into_iter().chain(std::iter::once((4, 0))).chain(rest) {
            let listed = at(existing);
            match step {
                // Both children of a split come at once.
                0 => existing = (existing + 1..shards.len()).find(|i| shards[*i].parents != shards[i - 1].parents).unwrap_or(shards.len()),
                4 if pick == 0 => existing = shards.len(),
                1 => {
                    for NewShard { shard, descent, .. } in missing(&listed, &known, start) {
                        prop_assert!(!read.contains(&shard.id), "{} is read again", shard.id);
                        known.insert(shard.id.clone(), KnownShard { finished: false, first: descent == Descent::First });
                    }
                    began.get_or_insert(listed);
                }
                2 | 3 => {
                    let ready = |shard: &&Shard| shard.closed && known.get(&shard.id).is_some_and(|row| !row.finished) && may_start(&shard.parents, &known);
                    let ready: Vec<_> = listed.iter().filter(ready).collect();
                    if let Some(shard) = ready.get(pick as usize % ready.len().max(1)) {
                        known.get_mut(&shard.id).unwrap().finished = true;
                        read.insert(shard.id.clone());
                    }
                }
                // As KCL: finished, and each child has been given a row.
                _ => {
                    let done = |shard: &&Shard| {
                        let mut children = listed.iter().filter(|child| child.parents.contains(&shard.id)).peekable();
                        children.peek().is_some() && children.all(|child| known.contains_key(&child.id))
                    };
                    let gone: Vec<_> = listed.iter().filter(done).filter(|s| known.get(&s.id).is_some_and(|row| row.finished)).collect();
                    if let Some(shard) = gone.get(pick as usize % gone.len().max(1)) {
                        known.remove(&shard.id);
                    }
                }
            }
        }
        let left_out = |shard: &Shard| start == Start::Latest && began.iter().flatten().any(|s| s.id == shard.id && s.closed);
        for shard in at(shards.len()).iter().filter(|shard| shard.closed) {
            prop_assert_eq!(read.contains(&shard.id), !left_out(shard), "{} of {:#?}", shard.id, shards);
        }
    }
}

proptest! {
    #[test]
    fn every_shard_is_read_once_and_after_its_parents(shards in histories(), order in any::<u64>()) {
        let mut known = KnownShards::new();
        let mut read = Vec::new();
        for step in 0..shards.len() * 3 {
            for NewShard { shard, .. } in missing(&shards, &known, Start::TrimHorizon) {
                let row = KnownShard { finished: false, first: true };
                prop_assert!(known.insert(shard.id.clone(), row).is_none(), "leased once");
            }
            let ready: Vec<_> = shards.iter().filter(|s| known.get(&s.id).is_some_and(|row| !row.finished) && may_start(&s.parents, &known)).collect();
            let Some(next) = ready.get((order as usize).wrapping_add(step) % ready.len().max(1)) else { break };
            prop_assert!(next.parents.iter().all(|parent| read.contains(parent)));
            read.push(next.id.clone());
            known.insert(next.id.clone(), KnownShard { finished: true, first: true });
        }
        prop_assert_eq!(read.len(), shards.len());
    }

    #[test]
    fn stopping_while_leases_are_made_leaves_no_shard_out(shards in histories(), stop in 0usize..30) {
        let all: Vec<String> = found(&shards, &KnownShards::new(), Start::TrimHorizon).into_iter().map(|(id, _)| id).collect();
        let row = KnownShard { finished: false, first: true };
        let mut partly: KnownShards = all.iter().take(stop).map(|id| (id.clone(), row)).collect();
        let rest = found(&shards, &partly, Start::TrimHorizon);
        partly.extend(rest.into_iter().map(|(id, _)| (id, row)));
        prop_assert_eq!(partly.len(), shards.len());
    }
}
