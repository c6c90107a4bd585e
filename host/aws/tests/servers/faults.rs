//! Faults that no server produces by itself.

use super::building::{TABLE, add, bench, clients, commit, get, key, put, with_n};
use super::faulty::{self, Fate, Seen, error};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use esclusa_aws::sqs::{QueueReader, SqsQueues, SqsSettings};
use esclusa_flow::engine::Engine as _;
use esclusa_flow::fault::Fault;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// Gives `fate` to the first `times` requests of an operation.
fn first(
    operation: &'static str,
    times: u32,
    fate: impl Fn(&Seen) -> Fate + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Fate + Send + Sync {
    let count = AtomicU32::new(0);
    move |seen| {
        if seen.what == operation && count.fetch_add(1, Ordering::Relaxed) < times { fate(seen) } else { Fate::Pass }
    }
}

// E2: a request that "worked" and processed nothing, or a part, is sent again with what it left.
#[tokio::test]
async fn unprocessed_items_are_sent_until_none_is_left() {
    let unprocessed = |seen: &Seen| {
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        Fate::Answer(200, json!({ "UnprocessedItems": body["RequestItems"] }).to_string())
    };
    let (faulty, log) = faulty::clients(first("BatchWriteItem", 2, unprocessed)).await;
    clients().await;
    let bench = bench(&faulty).await;
    bench.engine.commit(commit((0..25).map(|sk| put(with_n("a", sk, 1))).collect(), 25)).await.unwrap();
    assert_eq!(log.of("BatchWriteItem").len(), 3);
    assert_eq!(get(&bench, &key("a", 24)).await, Some(with_n("a", 24, 1)));
}

// E4: throttled and conflicting items are tried again under the token of the first attempt.
#[tokio::test]
async fn a_cancelled_transaction_is_sent_again_with_the_same_token() {
    let cancelled = |_: &Seen| {
        let reasons = json!([{ "Code": "None" }, { "Code": "TransactionConflict", "Message": "busy" }]);
        let error = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "Transaction cancelled",
            "CancellationReasons": reasons,
        });
        Fate::Answer(400, error.to_string())
    };
    let (faulty, log) = faulty::clients(first("TransactWriteItems", 3, cancelled)).await;
    let bench = bench(&faulty).await;
    bench.engine.commit(commit(vec![add(key("a", 1), 1), add(key("a", 2), 1)], 1)).await.unwrap();
    let token = |seen: &Seen| serde_json::from_str::<Value>(&seen.body).unwrap()["ClientRequestToken"].clone();
    let tokens: Vec<_> = log.of("TransactWriteItems").iter().map(token).collect();
    assert_eq!(tokens.len(), 4);
    assert!(tokens.iter().all(|t| *t == tokens[0] && t.is_string()), "{tokens:?}");
}

// An answer that is lost after the write does not add twice.
#[tokio::test]
async fn a_lost_answer_does_not_write_twice() {
    let (faulty, log) = faulty::clients(first("TransactWriteItems", 2, |_| Fate::Lose)).await;
    let bench = bench(&faulty).await;
    bench.engine.commit(commit(vec![add(key("a", 1), 1)], 1)).await.unwrap();
    assert_eq!(log.of("TransactWriteItems").len(), 3);
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 1)));
}

// X1: credentials that expired are renewed, and the request is sent again.
#[tokio::test]
async fn throttling_and_expired_credentials_are_waited_out() {
    for code in ["ProvisionedThroughputExceededException", "ThrottlingException", "ExpiredTokenException"] {
        for operation in ["BatchWriteItem", "TransactWriteItems", "GetItem", "DescribeTable"] {
            let (faulty, log) = faulty::clients(first(operation, 2, move |_| error(code))).await;
            let bench = bench(&faulty).await;
            bench.engine.commit(commit(vec![put(with_n("a", 1, 1))], 1)).await.unwrap();
            bench.engine.commit(commit(vec![add(key("a", 1), 1)], 1)).await.unwrap();
            assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 2)));
            assert_eq!(log.of(operation).len(), 3, "{code} of {operation}");
        }
    }
}

// E4: a missing permission is not taken for a missing item, and is not tried again here.
#[tokio::test]
async fn a_missing_permission_is_a_fault_that_somebody_must_look_at() {
    let (faulty, log) = faulty::clients(first("BatchWriteItem", 9, |_| error("AccessDeniedException"))).await;
    let bench = bench(&faulty).await;
    let answer = bench.engine.commit(commit(vec![put(with_n("a", 1, 1))], 1)).await;
    let Err(esclusa_flow::engine::CommitError::Fault(esclusa_flow::fault::Fault::Permanent(why))) = answer else {
        panic!("{answer:?}")
    };
    assert!(why.contains("AccessDenied") && why.contains(TABLE), "{why}");
    assert_eq!(log.of("BatchWriteItem").len(), 1);
}

// X2: a request that is refused for its time is signed again by the clock of the service, and nothing is lost. Later answers have a time, too,
// and the client goes by the last one.
#[tokio::test]
async fn a_clock_that_is_wrong_is_corrected_by_that_of_the_service() {
    for code in ["RequestTimeTooSkewed", "InvalidSignatureException"] {
        let ahead = SystemTime::now() + Duration::from_secs(3600);
        let date = DateTime::from(ahead).fmt(Format::HttpDate).unwrap();
        let hour = DateTime::from(ahead).fmt(Format::DateTime).unwrap().replace(['-', ':'], "")[..11].to_owned();
        let body = json!({ "__type": code, "message": "Signature expired: it is now later" }).to_string();
        let decide = first("BatchWriteItem", 1, move |_| Fate::Dated(403, date.clone(), body.clone()));
        let (faulty, log) = faulty::clients(decide).await;
        let bench = bench(&faulty).await;
        for n in 1..3 {
            bench.engine.commit(commit(vec![put(with_n("a", 1, n))], 1)).await.unwrap();
            assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, n)));
        }
        let signed: Vec<_> = log.of("BatchWriteItem").into_iter().map(|seen| seen.signed).collect();
        assert!(signed.len() == 3 && !signed[0].starts_with(&hour), "{code}: {signed:?}, refused at {hour}");
        assert!(signed[1].starts_with(&hour), "{code}: {signed:?}, refused at {hour}");
    }
}

// X2: a service that goes on refusing, as the SDK believes no clock that is off by days, is waited for, and says what to do.
#[tokio::test]
async fn a_request_that_is_refused_for_its_time_says_so_and_is_made_again() {
    let refusals = [
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
        ("RequestExpired", "Request has expired."),
        ("InvalidSignatureException", "Signature expired: 20261129T060000Z is now earlier than 20261129T061000Z"),
        ("InvalidSignatureException", "Signature not yet current: 20261129T080000Z is still later than now"),
    ];
    for (code, message) in refusals {
        let body = json!({ "__type": code, "message": message }).to_string();
        // More often than the SDK tries by itself.
        let (faulty, log) = faulty::clients(first("BatchWriteItem", 4, move |_| Fate::Answer(403, body.clone()))).await;
        let bench = bench(&faulty).await;
        bench.engine.commit(commit(vec![put(with_n("a", 1, 1))], 1)).await.unwrap();
        assert_eq!(log.of("BatchWriteItem").len(), 5, "{code}");
    }
    let skewed = error("RequestTimeTooSkewed");
    let Fate::Answer(_, body) = skewed else { panic!("an answer") };
    let (faulty, _) = faulty::clients(move |_| Fate::Answer(403, body.clone())).await;
    let settings = SqsSettings { queue: "jobs".into(), ..SqsSettings::default() };
    let reader = QueueReader { route: "r".into(), source: "s".into(), pollers: 1 };
    let Err(Fault::Transient(why)) = SqsQueues::default().open(&faulty, &settings, reader).await else {
        panic!("it may pass")
    };
    assert!(why.contains("set the clock of this machine") && !why.contains("AWS_ACCESS_KEY_ID"), "{why}");
}
