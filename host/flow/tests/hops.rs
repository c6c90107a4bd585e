//! Events that have come by too many routes are given up, if nothing else has become of them.

use esclusa_flow::batch::{Claim, Token};
use esclusa_flow::delivery::{Delivery, Moment, Step};
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::index::EventIndex;
use esclusa_flow::retry::{Backoff, RetryPolicy};
use esclusa_flow::timestamp::Timestamp;
use esclusa_flow::verdict::{Reason, Verdict};
use std::time::Duration;

const HOPS: [u32; 5] = [0, 15, 16, 17, 20];

/// The events that are called, and the codes of those that are given up, of five events of which the fourth is filtered and
/// the fifth refused by its source.
fn delivered(max_hops: u32) -> (Vec<EventIndex>, Vec<(EventIndex, String)>) {
    let backoff = Backoff { base: Duration::ZERO, max: Duration::ZERO };
    let policy = RetryPolicy { max_retry_attempts: None, max_record_age: None, bisect: true, release: false, backoff };
    let (mut columns, mut claims) = (Columns::default(), Vec::new());
    for (at, hops) in (0u64..).zip(HOPS) {
        assert!(columns.push(&NewEvent::default()).is_ok());
        let token = Token::Offset(at);
        let claim = if at == 4 { Claim::refused(token, Reason::new("bad", "")) } else { Claim::new(token) };
        claims.push(claim.with_hops(hops));
    }
    let mut delivery = Delivery::new(&columns, true, policy, 7).giving_up_refused(&claims);
    delivery.filtered(vec![(EventIndex(3), Verdict::Filtered)]);
    delivery.give_up_hops(&claims, max_hops);
    let now = Moment { monotonic: Duration::ZERO, wall: Timestamp::from_millis(0) };
    let Step::Call(called) = delivery.step(now) else { return Default::default() };
    delivery.called(Ok(Default::default()), now);
    let Step::Commit(settlement) = delivery.step(now) else { return Default::default() };
    assert_eq!(settlement.verdicts.get(3), Some(&(EventIndex(3), Verdict::Filtered)));
    (called, settlement.dead().map(|(event, reason)| (event, reason.code.clone())).collect())
}

#[test]
fn an_event_with_too_many_hops_is_given_up_unless_the_filter_leaves_it_out() {
    let events = |events: &[u32]| events.iter().copied().map(EventIndex).collect::<Vec<_>>();
    let given_up = |events: &[(u32, &str)]| {
        events.iter().map(|(event, code)| (EventIndex(*event), (*code).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(delivered(16), (events(&[0, 1]), given_up(&[(2, "limit.hops"), (4, "bad")])));
    assert_eq!(delivered(1), (events(&[0]), given_up(&[(1, "limit.hops"), (2, "limit.hops"), (4, "bad")])));
    assert_eq!(delivered(0), (events(&[0, 1, 2]), given_up(&[(4, "bad")])), "any number");
}
