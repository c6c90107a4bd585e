//! Tests of the acks of routes.

mod model;

use super::*;

const VISIBILITY: Duration = Duration::from_secs(30);

fn names(routes: &[&str]) -> BTreeSet<Arc<str>> {
    routes.iter().map(|route| Arc::from(*route)).collect()
}

fn acks(routes: &[&str]) -> AckTracker {
    let mut acks = AckTracker::new(VISIBILITY);
    acks.set_routes(names(routes), Instant::now());
    acks
}

/// Receives a message whose receipt is its id with `r-` before it; gives the routes that it is for.
fn receive(acks: &mut AckTracker, group: &str, id: &str, now: Instant) -> Vec<String> {
    receive_as(acks, group, id, &format!("r-{id}"), now)
}

fn receive_as(acks: &mut AckTracker, group: &str, id: &str, receipt: &str, now: Instant) -> Vec<String> {
    let receipt = Receipt { handle: receipt.into(), group: group.into(), received: now, until: now + VISIBILITY };
    acks.receive(id, &receipt).iter().map(|route| route.to_string()).collect()
}

fn settle(acks: &mut AckTracker, route: &str, receipt: &str, back: Option<Duration>, now: Instant) -> QueueChanges {
    acks.take(route, [receipt].into_iter());
    let changes = acks.settle(route, vec![(receipt.into(), back)], now);
    assert_eq!(acks.settle(route, vec![(receipt.into(), back)], now), changes, "the same when asked again");
    acks.confirm(&changes, &[]);
    changes
}

fn done(acks: &mut AckTracker, route: &str, receipt: &str, now: Instant) -> QueueChanges {
    settle(acks, route, receipt, None, now)
}

fn deleted(receipt: &str) -> QueueChanges {
    QueueChanges { delete: vec![(receipt.into(), Duration::ZERO)], release: vec![] }
}

fn released(receipt: &str, wait: Duration) -> QueueChanges {
    QueueChanges { delete: vec![], release: vec![(receipt.into(), wait)] }
}

#[test]
fn a_message_is_deleted_when_all_routes_are_done_with_it() {
    let (mut acks, now) = (acks(&["a", "b"]), Instant::now());
    assert_eq!(receive(&mut acks, "", "1", now), ["a", "b"]);
    assert_eq!(done(&mut acks, "b", "r-1", now), QueueChanges::default());
    assert_eq!(done(&mut acks, "a", "r-1", now), deleted("r-1"));
    assert!(acks.messages.is_empty());
}

#[test]
fn a_message_comes_again_for_the_route_that_gave_it_back_and_for_no_other() {
    let (mut acks, now) = (acks(&["a", "b", "c"]), Instant::now());
    receive(&mut acks, "", "1", now);
    let wait = Duration::from_secs(5);
    assert_eq!(settle(&mut acks, "a", "r-1", Some(wait), now), QueueChanges::default());
    assert_eq!(settle(&mut acks, "c", "r-1", Some(wait / 5), now), QueueChanges::default());
    let later = now + Duration::from_secs(2);
    assert_eq!(done(&mut acks, "b", "r-1", later), released("r-1", Duration::from_secs(3)), "the longest wait");
    assert_eq!(receive_as(&mut acks, "", "1", "again", later), ["a", "c"]);
    assert_eq!(done(&mut acks, "a", "again", later), QueueChanges::default());
    assert_eq!(done(&mut acks, "c", "again", later), deleted("again"));
}

#[test]
fn a_message_that_all_are_done_with_is_deleted_when_it_comes_again() {
    let (mut acks, now) = (acks(&["a", "b"]), Instant::now());
    receive(&mut acks, "", "1", now);
    done(&mut acks, "a", "r-1", now);
    acks.take("b", ["r-1"].into_iter());
    let changes = acks.settle("b", vec![("r-1".into(), None)], now);
    acks.confirm(&changes, &["r-1".into()]);
    assert!(receive_as(&mut acks, "", "1", "again", now).is_empty(), "the receipt was not valid any more");
    assert_eq!(acks.ready(now), deleted("again"));
}

// Q3: only the group that failed is stopped, and only for the route that failed.
#[test]
fn a_route_gives_back_what_waits_of_a_group_that_failed() {
    let (mut acks, now) = (acks(&["a", "b"]), Instant::now());
    for (group, id) in [("g", "1"), ("h", "2"), ("g", "3")] {
        receive(&mut acks, group, id, now);
    }
    settle(&mut acks, "a", "r-1", Some(Duration::ZERO), now);
    let waits = |acks: &AckTracker, route| ["r-1", "r-2", "r-3"].map(|receipt| acks.waits(route, receipt));
    assert_eq!(waits(&acks, "a"), [false, true, false]);
    assert_eq!(waits(&acks, "b"), [true, true, true]);
    assert_eq!(done(&mut acks, "b", "r-1", now), released("r-1", Duration::ZERO));
    assert_eq!(done(&mut acks, "b", "r-3", now), released("r-3", Duration::ZERO));
}

#[test]
fn a_dropped_batch_is_left_to_its_timeout_and_its_group_given_back() {
    let (mut acks, now) = (acks(&["a"]), Instant::now());
    for (group, id) in [("g", "1"), ("h", "2"), ("g", "3")] {
        receive(&mut acks, group, id, now);
    }
    acks.take("a", ["r-1"].into_iter());
    acks.dropped("a", &["r-1".into()], now);
    assert_eq!(acks.ready(now), released("r-3", Duration::ZERO));
    let later = now + VISIBILITY / 2;
    assert_eq!(acks.extensions(later), [("r-2".into(), VISIBILITY)], "the other group is kept");
    acks.confirm(&released("r-3", Duration::ZERO), &[]);
    acks.release_route("a", now);
    let mut shown: Vec<_> = acks.ready(now).release.into_iter().map(|(receipt, _)| receipt).collect();
    shown.sort();
    assert_eq!(shown, ["r-1".into(), "r-2".into()] as [Box<str>; 2], "a closing source shows both");
}

// Q1: at half of their time, also those that only wait. Q2: not what is settled.
#[test]
fn everything_open_is_extended_at_half_of_its_time() {
    let (mut acks, now) = (acks(&["a"]), Instant::now());
    ["1", "2", "3", "4"].iter().for_each(|id| drop(receive(&mut acks, "g", id, now)));
    acks.take("a", ["r-1", "r-4"].into_iter());
    done(&mut acks, "a", "r-2", now);
    // Its delete is on its way: an extension that comes behind it would be refused, or bring the message back.
    assert_eq!(acks.settle("a", vec![("r-4".into(), None)], now), deleted("r-4"));
    assert_eq!(acks.due(), Some(now + VISIBILITY / 2));
    assert!(acks.extensions(now).is_empty());
    let later = now + VISIBILITY / 2;
    let mut extensions = acks.extensions(later);
    extensions.sort();
    assert_eq!(extensions, [("r-1".into(), VISIBILITY), ("r-3".into(), VISIBILITY)]);
    acks.extended(later, &extensions);
    assert_eq!(acks.due(), Some(later + VISIBILITY / 2));
}

#[test]
fn what_only_others_wait_for_is_extended_further() {
    let (mut acks, now) = (acks(&["a", "b"]), Instant::now());
    receive(&mut acks, "", "1", now);
    done(&mut acks, "a", "r-1", now);
    assert_eq!((acks.waiting_for_others("a", now), acks.waiting_for_others("b", now)), (1, 0));
    assert_eq!(acks.extensions(now + VISIBILITY), [("r-1".into(), PATIENT)]);
    acks.take("b", ["r-1"].into_iter());
    assert_eq!(acks.extensions(now + VISIBILITY), [("r-1".into(), VISIBILITY)]);
}

// Q5: nothing stays invisible for more than twelve hours.
#[test]
fn extensions_end_before_twelve_hours() {
    for patient in [false, true] {
        let (mut acks, start) = (acks(&["a", "b"]), Instant::now());
        receive(&mut acks, "g", "1", start);
        if patient {
            done(&mut acks, "a", "r-1", start);
        }
        let (mut now, mut last) = (start, start);
        while let Some(due) = acks.due() {
            now = due.max(now);
            let extensions = acks.extensions(now);
            last = extensions.first().map_or(last, |(_, time)| now + *time);
            acks.extended(now, &extensions);
        }
        let total = last - start;
        assert!(total < Duration::from_secs(12 * 3600) && total > Duration::from_secs(12 * 3600 - 15), "{total:?}");
    }
}

#[test]
fn a_lost_message_takes_its_group_with_it_for_all() {
    let (mut acks, now) = (acks(&["a", "b"]), Instant::now());
    for (group, id) in [("g", "1"), ("h", "2"), ("g", "3")] {
        receive(&mut acks, group, id, now);
    }
    acks.take("a", ["r-1"].into_iter());
    acks.lost(&["r-1".into()], now);
    let waits = |acks: &AckTracker, route| ["r-1", "r-2", "r-3"].map(|receipt| acks.waits(route, receipt));
    assert_eq!(waits(&acks, "a"), [false, true, false]);
    assert_eq!(waits(&acks, "b"), [false, true, false]);
    assert_eq!(acks.ready(now), released("r-3", Duration::ZERO));
    done(&mut acks, "a", "r-1", now);
    assert_eq!(receive_as(&mut acks, "g", "1", "again", now), ["b"], "a finished it, and is not asked again");
}

#[test]
fn what_waited_too_long_is_left_to_others() {
    let (mut acks, now) = (acks(&["a"]), Instant::now());
    receive(&mut acks, "g", "1", now);
    acks.lapse(["r-1"].into_iter(), now + VISIBILITY);
    assert!(!acks.waits("a", "r-1"));
    assert_eq!(acks.ready(now + VISIBILITY), QueueChanges::default(), "another consumer may hold it");
}

#[test]
fn a_route_that_comes_gets_what_is_held_and_one_that_goes_is_not_waited_for() {
    let (mut acks, now) = (acks(&["a", "b"]), Instant::now());
    receive(&mut acks, "", "1", now);
    receive(&mut acks, "", "2", now);
    done(&mut acks, "a", "r-1", now);
    acks.set_routes(names(&["a", "c"]), now);
    assert_eq!(acks.ready(now), released("r-1", Duration::ZERO), "c has not seen it");
    assert_eq!(done(&mut acks, "a", "r-2", now), released("r-2", Duration::ZERO));
    acks.confirm(&released("r-1", Duration::ZERO), &[]);
    assert_eq!(receive_as(&mut acks, "", "1", "again", now), ["c"]);
    acks.set_routes(names(&["a"]), now);
    assert_eq!(acks.ready(now), deleted("again"));
}

#[test]
fn a_receipt_that_is_not_known_is_settled_only_by_a_route_that_reads_alone() {
    let (mut alone, mut two, now) = (acks(&["a"]), acks(&["a", "b"]), Instant::now());
    assert_eq!(alone.settle("a", vec![("r".into(), None)], now), deleted("r"));
    assert_eq!(two.settle("a", vec![("r".into(), None)], now), QueueChanges::default());
}
