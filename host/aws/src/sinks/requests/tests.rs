//! Tests of requests against a service that fails on demand.

use super::*;
use esclusa_flow::effect::SendMessage;
use proptest::prelude::*;
use std::sync::Mutex;

#[derive(Default)]
struct Service {
    /// Ids that fail, and how often.
    throttled: Mutex<std::collections::HashMap<String, u32>>,
    /// A request that holds this id is refused as a whole.
    unfit: Option<String>,
    taken: Mutex<Vec<(String, String)>>,
    largest: Mutex<(usize, usize)>,
    /// The ids of each request.
    requests: Mutex<Vec<Vec<String>>>,
}

impl BatchRequests for Service {
    fn limits(&self) -> (usize, usize) {
        (3, 100)
    }

    fn order<'a>(&self, message: &'a OutboxMessage) -> Option<&'a str> {
        message.send.key.as_deref()
    }

    fn request<'a>(&'a self, messages: Vec<&'a OutboxMessage>) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        self.requests.lock().unwrap().push(messages.iter().map(|message| message.id.clone()).collect());
        let mut largest = self.largest.lock().unwrap();
        *largest = (largest.0.max(messages.len()), largest.1.max(messages.iter().map(|m| m.send.data.len()).sum()));
        if messages.iter().any(|m| Some(&m.id) == self.unfit.as_ref()) {
            let refused = messages.iter().map(|_| Err(Fault::Permanent("unfit".to_owned()))).collect();
            return Box::pin(std::future::ready(refused));
        }
        let one = |message: &&OutboxMessage| {
            if let Some(left) = self.throttled.lock().unwrap().get_mut(&message.id).filter(|left| **left > 0) {
                *left -= 1;
                return Err(Fault::Throttled { reason: "slow".to_owned(), after: Duration::ZERO });
            }
            self.taken.lock().unwrap().push((message.send.key.clone().unwrap_or_default(), message.id.clone()));
            Ok(())
        };
        let results = messages.iter().map(one).collect();
        Box::pin(std::future::ready(results))
    }
}

fn messages(keys: &[&str]) -> Vec<OutboxMessage> {
    let message = |(index, key): (usize, &&str)| {
        let key = (!key.is_empty()).then(|| (*key).to_owned());
        OutboxMessage {
            id: index.to_string(),
            send: SendMessage { output: "out".into(), key, data: vec![b'x'; 40], attributes: vec![] },
        }
    };
    keys.iter().enumerate().map(message).collect()
}

// E1, E2: only what failed is sent again, and no result is lost.
#[tokio::test(start_paused = true)]
async fn only_failed_entries_are_sent_again() {
    let service = Service::default();
    service.throttled.lock().unwrap().insert("1".into(), 2);
    let results = send(&service, &messages(&["", "", "", ""])).await;
    assert_eq!(results, vec![Ok(()); 4]);
    let taken: Vec<_> = service.taken.lock().unwrap().iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(taken, ["0", "2", "3", "1"]);
    let largest = *service.largest.lock().unwrap();
    assert!(largest.0 <= 3 && largest.1 <= 100, "{largest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_keeps_failing_is_not_overtaken_and_holds_up_no_other() {
    let service = Service::default();
    service.throttled.lock().unwrap().insert("0".into(), 100);
    let results = send(&service, &messages(&["a", "a", "b", "b"])).await;
    assert!(matches!(results[0], Err(SendError::Failed(Fault::Throttled { .. }))));
    assert!(matches!(results[1], Err(SendError::NotTried)));
    assert_eq!(results[2..], [Ok(()), Ok(())]);
    let taken: Vec<_> = service.taken.lock().unwrap().iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(taken, ["2", "3"]);
}

// Q7: how large a message may be is for the service to say; only requests of several are kept small.
#[tokio::test(start_paused = true)]
async fn a_message_larger_than_a_request_may_be_goes_alone_for_the_service_to_judge() {
    let service = Service::default();
    let mut messages = messages(&["", "", "", ""]);
    messages[1].send.data = vec![b'x'; 1 << 20];
    assert_eq!(send(&service, &messages).await, vec![Ok(()); 4]);
    let requests = service.requests.lock().unwrap();
    assert_eq!(*requests, [vec!["0"], vec!["1"], vec!["2", "3"]]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_unfit_does_not_block_the_others() {
    let service = Service { unfit: Some("1".into()), ..Service::default() };
    let results = send(&service, &messages(&["", "", "", "a", "a"])).await;
    assert!(matches!(results[1], Err(SendError::Failed(Fault::Permanent(_)))));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4);
}

proptest! {
    #[test]
    fn keys_keep_their_order_whatever_fails(
        keys in prop::collection::vec(prop::sample::select(vec!["", "a", "b", "c"]), 0..20),
        failing in prop::collection::vec((0usize..20, 1u32..8), 0..8),
    ) {
        let service = Service::default();
        *service.throttled.lock().unwrap() = failing.into_iter().map(|(index, times)| (index.to_string(), times)).collect();
        let messages = messages(&keys);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let results = runtime.block_on(send(&service, &messages));
        let taken = service.taken.lock().unwrap();
        prop_assert_eq!(results.iter().filter(|result| result.is_ok()).count(), taken.len());
        for key in ["a", "b", "c"] {
            let order: Vec<usize> = taken.iter().filter(|(k, _)| k == key).map(|(_, id)| id.parse().unwrap()).collect();
            let own: Vec<usize> = (0..messages.len()).filter(|i| keys[*i] == key).collect();
            prop_assert_eq!(&order[..], &own[..order.len()], "a prefix of the key's messages, in order");
        }
    }
}
