//! Tests of a poller's buffer.

use super::*;
use crate::sqs::received_message::received;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName as System};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

const VISIBILITY: Duration = Duration::from_secs(30);
const LIMIT: Limit = Limit { events: 10, bytes: 1 << 20, window: Duration::ZERO };

fn message(group: &str, id: &str) -> Message {
    let message = Message::builder().message_id(id).receipt_handle(format!("r-{id}")).body(id);
    message.attributes(System::MessageGroupId, group).attributes(System::ApproximateReceiveCount, "3").build()
}

fn buffer(messages: &[(&str, &str)], now: Instant) -> PollerBuffer {
    let mut buffer = PollerBuffer::default();
    let take = |(group, id): &(&str, &str)| received(message(group, id), true, now, VISIBILITY).unwrap();
    buffer.add(messages.iter().map(take).collect());
    buffer
}

fn pull(buffer: &mut PollerBuffer) -> Option<(String, Vec<String>)> {
    let (group, columns, _) = buffer.take(LIMIT)?;
    Some((group.into(), columns.iter().map(|event| event.id().to_owned()).collect()))
}

#[test]
fn groups_are_handed_out_one_after_the_other() {
    let mut buffer = buffer(&[("g", "1"), ("h", "2"), ("g", "3")], Instant::now());
    assert_eq!(pull(&mut buffer), Some(("g".to_owned(), vec!["1".to_owned(), "3".to_owned()])));
    assert_eq!(pull(&mut buffer), Some(("h".to_owned(), vec!["2".to_owned()])));
    assert_eq!(pull(&mut buffer), None);
}

#[test]
fn what_is_not_the_routes_any_more_is_not_handed_out() {
    let mut buffer = buffer(&[("g", "1"), ("h", "2"), ("g", "3")], Instant::now());
    buffer.take(Limit { events: 1, ..LIMIT }).unwrap();
    buffer.retain(|receipt| receipt != "r-3");
    assert_eq!(pull(&mut buffer), Some(("h".to_owned(), vec!["2".to_owned()])));
    assert_eq!(pull(&mut buffer), None);
}

#[test]
fn a_dropped_batch_is_what_of_it_was_not_settled() {
    let mut buffer = buffer(&[("g", "1"), ("g", "2"), ("h", "3")], Instant::now());
    pull(&mut buffer);
    assert_eq!(buffer.work().collect::<Vec<_>>(), ["r-1", "r-2"]);
    buffer.settled([Token::Text("r-1".into())].iter());
    assert_eq!(buffer.dropped(), [Box::from("r-2")]);
    assert_eq!(buffer.work().count(), 0);
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
        let mut buffer = buffer(&borrowed, Instant::now());
        let mut seen: std::collections::BTreeMap<String, Vec<usize>> = Default::default();
        while let Some((group, columns, claims)) = buffer.take(Limit { events, ..LIMIT }) {
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
