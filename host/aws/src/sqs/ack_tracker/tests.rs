//! Tests of who is done with what.

mod model;

use super::*;

const VISIBILITY: Duration = Duration::from_secs(30);

fn names(routes: &[&str]) -> BTreeSet<Arc<str>> {
    routes.iter().map(|route| Arc::from(*route)).collect()
}

fn shares(routes: &[&str]) -> Shares {
    let mut shares = Shares::new(VISIBILITY);
    shares.set_routes(names(routes), Instant::now());
    shares
}

/// Receives a message whose receipt is its id with `r-` before it; gives the routes that it is for.
fn receive(shares: &mut Shares, group: &str, id: &str, now: Instant) -> Vec<String> {
    receive_as(shares, group, id, &format!("r-{id}"), now)
}

fn receive_as(shares: &mut Shares, group: &str, id: &str, receipt: &str, now: Instant) -> Vec<String> {
    let held = Held { receipt: receipt.into(), group: group.into(), received: now, until: now + VISIBILITY };
    shares.receive(id, &held).iter().map(|route| route.to_string()).collect()
}

fn settle(shares: &mut Shares, route: &str, receipt: &str, back: Option<Duration>, now: Instant) -> Changes {
    shares.take(route, [receipt].into_iter());
    let changes = shares.settle(route, vec![(receipt.into(), back)], now);
    assert_eq!(shares.settle(route, vec![(receipt.into(), back)], now), changes, "the same when asked again");
    shares.told(&changes, &[]);
    changes
}

fn done(shares: &mut Shares, route: &str, receipt: &str, now: Instant) -> Changes {
    settle(shares, route, receipt, None, now)
}

fn deleted(receipt: &str) -> Changes {
    Changes { delete: vec![(receipt.into(), Duration::ZERO)], hide: vec![] }
}

fn hidden(receipt: &str, wait: Duration) -> Changes {
    Changes { delete: vec![], hide: vec![(receipt.into(), wait)] }
}

#[test]
fn a_message_is_deleted_when_all_routes_are_done_with_it() {
    let (mut shares, now) = (shares(&["a", "b"]), Instant::now());
    assert_eq!(receive(&mut shares, "", "1", now), ["a", "b"]);
    assert_eq!(done(&mut shares, "b", "r-1", now), Changes::default());
    assert_eq!(done(&mut shares, "a", "r-1", now), deleted("r-1"));
    assert!(shares.held.is_empty());
}

#[test]
fn a_message_comes_again_for_the_route_that_gave_it_back_and_for_no_other() {
    let (mut shares, now) = (shares(&["a", "b", "c"]), Instant::now());
    receive(&mut shares, "", "1", now);
    let wait = Duration::from_secs(5);
    assert_eq!(settle(&mut shares, "a", "r-1", Some(wait), now), Changes::default());
    assert_eq!(settle(&mut shares, "c", "r-1", Some(wait / 5), now), Changes::default());
    let later = now + Duration::from_secs(2);
    assert_eq!(done(&mut shares, "b", "r-1", later), hidden("r-1", Duration::from_secs(3)), "the longest wait");
    assert_eq!(receive_as(&mut shares, "", "1", "again", later), ["a", "c"]);
    assert_eq!(done(&mut shares, "a", "again", later), Changes::default());
    assert_eq!(done(&mut shares, "c", "again", later), deleted("again"));
}

#[test]
fn a_message_that_all_are_done_with_is_deleted_when_it_comes_again() {
    let (mut shares, now) = (shares(&["a", "b"]), Instant::now());
    receive(&mut shares, "", "1", now);
    done(&mut shares, "a", "r-1", now);
    shares.take("b", ["r-1"].into_iter());
    let changes = shares.settle("b", vec![("r-1".into(), None)], now);
    shares.told(&changes, &["r-1".into()]);
    assert!(receive_as(&mut shares, "", "1", "again", now).is_empty(), "the receipt was not valid any more");
    assert_eq!(shares.ready(now), deleted("again"));
}

// Q3: only the group that failed is stopped, and only for the route where it failed.
#[test]
fn a_route_gives_back_what_waits_of_a_group_that_failed() {
    let (mut shares, now) = (shares(&["a", "b"]), Instant::now());
    for (group, id) in [("g", "1"), ("h", "2"), ("g", "3")] {
        receive(&mut shares, group, id, now);
    }
    settle(&mut shares, "a", "r-1", Some(Duration::ZERO), now);
    let waits = |shares: &Shares, route| ["r-1", "r-2", "r-3"].map(|receipt| shares.waits(route, receipt));
    assert_eq!(waits(&shares, "a"), [false, true, false]);
    assert_eq!(waits(&shares, "b"), [true, true, true]);
    assert_eq!(done(&mut shares, "b", "r-1", now), hidden("r-1", Duration::ZERO));
    assert_eq!(done(&mut shares, "b", "r-3", now), hidden("r-3", Duration::ZERO));
}

#[test]
fn a_dropped_batch_is_left_to_its_timeout_and_its_group_given_back() {
    let (mut shares, now) = (shares(&["a"]), Instant::now());
    for (group, id) in [("g", "1"), ("h", "2"), ("g", "3")] {
        receive(&mut shares, group, id, now);
    }
    shares.take("a", ["r-1"].into_iter());
    shares.dropped("a", &["r-1".into()], now);
    assert_eq!(shares.ready(now), hidden("r-3", Duration::ZERO));
    let later = now + VISIBILITY / 2;
    assert_eq!(shares.extensions(later), [("r-2".into(), VISIBILITY)], "the other group is kept");
    shares.told(&hidden("r-3", Duration::ZERO), &[]);
    shares.leave("a", now);
    let mut shown: Vec<_> = shares.ready(now).hide.into_iter().map(|(receipt, _)| receipt).collect();
    shown.sort();
    assert_eq!(shown, ["r-1".into(), "r-2".into()] as [Box<str>; 2], "a closing source shows both");
}

// Q1: at half of their time, also those that only wait. Q2: not what is settled.
#[test]
fn everything_open_is_extended_at_half_of_its_time() {
    let (mut shares, now) = (shares(&["a"]), Instant::now());
    ["1", "2", "3"].iter().for_each(|id| drop(receive(&mut shares, "g", id, now)));
    shares.take("a", ["r-1"].into_iter());
    done(&mut shares, "a", "r-2", now);
    assert_eq!(shares.due(), Some(now + VISIBILITY / 2));
    assert!(shares.extensions(now).is_empty());
    let later = now + VISIBILITY / 2;
    let mut extensions = shares.extensions(later);
    extensions.sort();
    assert_eq!(extensions, [("r-1".into(), VISIBILITY), ("r-3".into(), VISIBILITY)]);
    shares.extended(later, &extensions);
    assert_eq!(shares.due(), Some(later + VISIBILITY / 2));
}

#[test]
fn what_only_others_wait_for_is_extended_further() {
    let (mut shares, now) = (shares(&["a", "b"]), Instant::now());
    receive(&mut shares, "", "1", now);
    done(&mut shares, "a", "r-1", now);
    assert_eq!((shares.of_others("a", now), shares.of_others("b", now)), (1, 0));
    assert_eq!(shares.extensions(now + VISIBILITY), [("r-1".into(), PATIENT)]);
    shares.take("b", ["r-1"].into_iter());
    assert_eq!(shares.extensions(now + VISIBILITY), [("r-1".into(), VISIBILITY)]);
}

// Q5: nothing stays invisible for more than twelve hours.
#[test]
fn extensions_end_before_twelve_hours() {
    for patient in [false, true] {
        let (mut shares, start) = (shares(&["a", "b"]), Instant::now());
        receive(&mut shares, "g", "1", start);
        if patient {
            done(&mut shares, "a", "r-1", start);
        }
        let (mut now, mut last) = (start, start);
        while let Some(due) = shares.due() {
            now = due.max(now);
            let extensions = shares.extensions(now);
            last = extensions.first().map_or(last, |(_, time)| now + *time);
            shares.extended(now, &extensions);
        }
        let total = last - start;
        assert!(total < Duration::from_secs(12 * 3600) && total > Duration::from_secs(12 * 3600 - 15), "{total:?}");
    }
}

#[test]
fn a_lost_message_takes_its_group_with_it_for_all() {
    let (mut shares, now) = (shares(&["a", "b"]), Instant::now());
    for (group, id) in [("g", "1"), ("h", "2"), ("g", "3")] {
        receive(&mut shares, group, id, now);
    }
    shares.take("a", ["r-1"].into_iter());
    shares.lost(&["r-1".into()], now);
    let waits = |shares: &Shares, route| ["r-1", "r-2", "r-3"].map(|receipt| shares.waits(route, receipt));
    assert_eq!(waits(&shares, "a"), [false, true, false]);
    assert_eq!(waits(&shares, "b"), [false, true, false]);
    assert_eq!(shares.ready(now), hidden("r-3", Duration::ZERO));
    done(&mut shares, "a", "r-1", now);
    assert_eq!(receive_as(&mut shares, "g", "1", "again", now), ["b"], "a finished it, and is not asked again");
}

#[test]
fn what_waited_too_long_is_left_to_others() {
    let (mut shares, now) = (shares(&["a"]), Instant::now());
    receive(&mut shares, "g", "1", now);
    shares.lapse(["r-1"].into_iter(), now + VISIBILITY);
    assert!(!shares.waits("a", "r-1"));
    assert_eq!(shares.ready(now + VISIBILITY), Changes::default(), "somebody else may hold it");
}

#[test]
fn a_route_that_comes_gets_what_is_held_and_one_that_goes_is_not_waited_for() {
    let (mut shares, now) = (shares(&["a", "b"]), Instant::now());
    receive(&mut shares, "", "1", now);
    receive(&mut shares, "", "2", now);
    done(&mut shares, "a", "r-1", now);
    shares.set_routes(names(&["a", "c"]), now);
    assert_eq!(shares.ready(now), hidden("r-1", Duration::ZERO), "c has not seen it");
    assert_eq!(done(&mut shares, "a", "r-2", now), hidden("r-2", Duration::ZERO));
    shares.told(&hidden("r-1", Duration::ZERO), &[]);
    assert_eq!(receive_as(&mut shares, "", "1", "again", now), ["c"]);
    shares.set_routes(names(&["a"]), now);
    assert_eq!(shares.ready(now), deleted("again"));
}

#[test]
fn a_receipt_that_is_not_known_is_settled_only_by_a_route_that_reads_alone() {
    let (mut alone, mut two, now) = (shares(&["a"]), shares(&["a", "b"]), Instant::now());
    assert_eq!(alone.settle("a", vec![("r".into(), None)], now), deleted("r"));
    assert_eq!(two.settle("a", vec![("r".into(), None)], now), Changes::default());
}
