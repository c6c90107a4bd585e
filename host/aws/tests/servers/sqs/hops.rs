//! How many routes an event has come by goes along with a message, beside its attributes.

use super::{lane, make, next, open};
use crate::clients;
use esclusa_aws::sinks::sqs::{self, SqsSinkSettings};
use esclusa_flow::batch::Claim;
use esclusa_flow::effect::{OutboxMessage, SendMessage};
use esclusa_flow::hops;
use esclusa_flow::settings::ServiceLocation;

fn message(id: &str, own: usize) -> OutboxMessage {
    let own = (0..own).map(|n| (format!("a{n}"), n.to_string()));
    let attributes = own.chain([hops::attribute(3)]).collect();
    let send = SendMessage { output: "out".into(), key: Some("g".into()), data: id.into(), attributes };
    OutboxMessage { id: id.to_owned(), send }
}

#[tokio::test]
async fn hops_travel_with_a_message_that_has_room_for_them_and_no_plugin_sees_them() {
    let (_, queue) = make(true).await;
    let settings = SqsSinkSettings { queue: queue.clone(), place: ServiceLocation::default() };
    let sink = sqs::open(&clients().await, &settings).await.unwrap();
    // SQS takes ten attributes at most.
    assert_eq!(sink.send(&[message("few", 9), message("full", 10)]).await, vec![Ok(()); 2]);
    let (mut source, _) = open(&queue).await;
    let mut lane = lane(&mut *source).await;
    let (mut seen, mut counts) = (Vec::new(), Vec::new());
    while seen.len() < 2 {
        let batch = next(&mut *lane).await;
        counts.extend(batch.claims.iter().map(Claim::hops));
        seen.extend(batch.columns.iter().map(|event| {
            let own = |(name, _): &(&str, &str)| name.starts_with('a');
            assert!(event.attributes().all(|(name, _)| name != hops::ATTRIBUTE));
            (String::from_utf8_lossy(event.data()).into_owned(), event.attributes().filter(own).count())
        }));
        lane.settled(&[]);
    }
    assert_eq!(seen, [("few".to_owned(), 9), ("full".to_owned(), 10)]);
    assert_eq!(counts, [3, 0], "the message matters more than its count");
}
