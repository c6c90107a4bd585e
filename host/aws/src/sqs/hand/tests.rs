//! Tests of what a worker holds.

use super::*;
use crate::sqs::event::received;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName as System};
use proptest::prelude::*;

const VISIBILITY: Duration = Duration::from_secs(30);
const LIMIT: Limit = Limit { events: 10, bytes: 1 << 20, window: Duration::ZERO };

fn message(group: &str, id: &str) -> Message {
    let message = Message::builder().message_id(id).receipt_handle(format!("r-{id}")).body(id);
    message.attributes(System::MessageGroupId, group).attributes(System::ApproximateReceiveCount, "3").build()
}

fn hand(messages: &[(&str, &str)], now: Instant) -> Hand {
    let mut hand = Hand::default();
    let take = |(group, id): &(&str, &str)| received(message(group, id), true, now, VISIBILITY).unwrap();
    hand.add(messages.iter().map(take).collect());
    hand
}

fn pull(hand: &mut Hand) -> Option<(String, Vec<String>)> {
    let (group, columns, _) = hand.take(LIMIT)?;
    Some((group.into(), columns.iter().map(|event| event.id().to_owned()).collect()))
}

fn token(id: &str) -> Token {
    Token::Text(format!("r-{id}").into())
}

fn back(hand: &Hand) -> Vec<&str> {
    hand.back().iter().map(|held| &*held.receipt).collect()
}

#[test]
fn groups_are_handed_out_one_after_the_other() {
    let mut hand = hand(&[("g", "1"), ("h", "2"), ("g", "3")], Instant::now());
    assert_eq!(pull(&mut hand), Some(("g".to_owned(), vec!["1".to_owned(), "3".to_owned()])));
    assert_eq!(pull(&mut hand), Some(("h".to_owned(), vec!["2".to_owned()])));
    assert_eq!(pull(&mut hand), None);
}

// Q3: only the group that failed is stopped, and what is in hand of it goes back.
#[test]
fn a_failed_group_is_given_back_and_the_others_stay() {
    let mut hand = hand(&[("g", "1"), ("h", "2"), ("g", "3")], Instant::now());
    hand.take(Limit { events: 1, ..LIMIT }).unwrap();
    hand.settled([(&token("1"), true)].into_iter());
    assert_eq!(back(&hand), ["r-3"]);
    assert_eq!(pull(&mut hand), Some(("h".to_owned(), vec!["2".to_owned()])));
}

#[test]
fn a_dropped_batch_gives_back_what_waits_of_its_group() {
    let now = Instant::now();
    let mut hand = hand(&[("g", "1"), ("h", "2"), ("g", "3")], now);
    hand.take(Limit { events: 1, ..LIMIT }).unwrap();
    hand.dropped(now);
    assert_eq!(back(&hand), ["r-3"]);
    assert_eq!(hand.due(VISIBILITY), Some(now + VISIBILITY / 2), "the other group is kept");
    hand.given_back();
    let receipts: Vec<_> = hand.release(now).into_iter().map(|held| held.receipt.into_string()).collect();
    assert_eq!(receipts, ["r-1", "r-2"], "a closing source shows both");
}

// Q2: what is settled is not extended any more.
#[test]
fn a_settled_message_is_not_extended() {
    let now = Instant::now();
    let mut hand = hand(&[("g", "1"), ("g", "2")], now);
    pull(&mut hand);
    hand.settled([(&token("1"), false)].into_iter());
    let later = now + VISIBILITY / 2;
    assert_eq!(hand.extensions(later, VISIBILITY), [("r-2".into(), VISIBILITY)]);
    hand.settled([(&token("2"), false)].into_iter());
    assert_eq!(hand.due(VISIBILITY), None);
}

// Q1: messages are extended at half of their time, also those that only wait.
#[test]
fn everything_in_hand_is_extended_at_half_of_its_time() {
    let now = Instant::now();
    let mut hand = hand(&[("g", "1"), ("h", "2")], now);
    pull(&mut hand);
    assert_eq!(hand.due(VISIBILITY), Some(now + VISIBILITY / 2));
    assert!(hand.extensions(now, VISIBILITY).is_empty());
    let later = now + VISIBILITY / 2;
    let extensions = hand.extensions(later, VISIBILITY);
    assert_eq!(extensions.len(), 2);
    hand.extended(later, &extensions);
    assert_eq!(hand.due(VISIBILITY), Some(later + VISIBILITY / 2));
}

// Q5: nothing stays invisible for more than twelve hours.
#[test]
fn extensions_end_before_twelve_hours() {
    let start = Instant::now();
    let mut hand = hand(&[("g", "1")], start);
    let (mut now, mut last) = (start, start);
    while let Some(due) = hand.due(VISIBILITY) {
        now = due.max(now);
        let extensions = hand.extensions(now, VISIBILITY);
        assert_eq!(extensions.len(), 1);
        last = now + extensions[0].1;
        hand.extended(now, &extensions);
    }
    let total = last - start;
    assert!(total < Duration::from_secs(12 * 3600) && total > Duration::from_secs(12 * 3600 - 15), "{total:?}");
}

#[test]
fn a_lost_message_takes_its_group_with_it() {
    let mut hand = hand(&[("g", "1"), ("h", "2"), ("g", "3")], Instant::now());
    hand.lost(&["r-1".into()]);
    assert_eq!(back(&hand), ["r-3"]);
    assert_eq!(pull(&mut hand), Some(("h".to_owned(), vec!["2".to_owned()])));
}

#[test]
fn what_waited_too_long_is_not_handed_out() {
    let now = Instant::now();
    let mut hand = hand(&[("g", "1")], now);
    hand.expire(now + VISIBILITY);
    assert_eq!(pull(&mut hand), None);
    assert!(hand.back().is_empty(), "somebody else may hold it");
}

#[test]
fn an_event_has_what_sqs_knows_and_nothing_that_changes_with_its_delivery() {
    let text = MessageAttributeValue::builder().data_type("String").string_value("v").build().unwrap();
    let binary = MessageAttributeValue::builder()
        .data_type("Binary")
        .binary_value(aws_sdk_sqs::primitives::Blob::new([0xff]))
        .build()
        .unwrap();
    let mut first = message("g", "1");
    first.message_attributes = Some([("b".to_owned(), binary), ("a".to_owned(), text)].into());
    first.attributes.as_mut().unwrap().insert(System::SentTimestamp, "1700000000000".to_owned());
    let mut again = first.clone();
    again.attributes.as_mut().unwrap().insert(System::ApproximateFirstReceiveTimestamp, "5".to_owned());
    let seen = |message| received(message, true, Instant::now(), VISIBILITY).unwrap().event;
    assert_eq!(seen(first.clone()), seen(again));
    seen(first).view(|event| {
        assert_eq!((event.id, event.key, event.data, event.attempt), ("1", "g", &b"1"[..], 3));
        assert_eq!(event.timestamp, 1_700_000_000_000);
        assert_eq!(event.attributes, [("MessageGroupId", "g"), ("a", "v"), ("b", "/w==")]);
    });
}

proptest! {
    #[test]
    fn batches_hold_one_group_in_order_and_lose_nothing(groups in prop::collection::vec(0u8..4, 0..40), events in 1usize..6) {
        let names: Vec<_> = groups.iter().enumerate().map(|(i, g)| (g.to_string(), i.to_string())).collect();
        let borrowed: Vec<_> = names.iter().map(|(g, i)| (g.as_str(), i.as_str())).collect();
        let mut hand = hand(&borrowed, Instant::now());
        let mut seen: std::collections::BTreeMap<String, Vec<usize>> = Default::default();
        while let Some((group, columns, claims)) = hand.take(Limit { events, ..LIMIT }) {
            prop_assert!(!claims.is_empty() && claims.len() <= events && claims.len() == columns.len());
            for event in columns.iter() {
                prop_assert_eq!(event.key(), &*group);
                seen.entry(group.to_string()).or_default().push(event.id().parse().unwrap());
            }
        }
        prop_assert_eq!(seen.values().map(Vec::len).sum::<usize>(), groups.len());
        prop_assert!(seen.values().all(|ids| ids.is_sorted()));
    }
}
