//! Outputs against servers. Rows E1, E8 and E9 of the catalogue of failures are named at their tests.

use crate::{behind, clients, endpoint, unique};
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_sdk_sqs::types::QueueAttributeName;
use esclusa_aws::sinks::{kinesis, s3, ses, sns, sqs};
use esclusa_flow::effect::{OutboxMessage, SendMessage};
use esclusa_flow::engine::SendError;
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use esclusa_testkit::faults::{FaultProxy, InjectedFailure};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn message(id: &str, key: Option<&str>, data: &str, attributes: &[(&str, &str)]) -> OutboxMessage {
    let attributes = attributes.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let send = SendMessage { output: "out".into(), key: key.map(str::to_owned), data: data.into(), attributes };
    OutboxMessage { id: id.to_owned(), send }
}

/// Keyed messages: `keys` keys, numbered in order.
fn keyed(count: usize, keys: usize) -> Vec<OutboxMessage> {
    (0..count).map(|i| message(&unique("m"), Some(&format!("k{}", i % keys)), &i.to_string(), &[])).collect()
}

async fn records(stream: &str) -> Vec<(String, usize)> {
    let client = clients().await.kinesis(&ServiceLocation::default());
    let mut records = Vec::new();
    for shard in client.list_shards().stream_name(stream).send().await.unwrap().shards.unwrap_or_default() {
        let iterator = client.get_shard_iterator().stream_name(stream).shard_id(shard.shard_id);
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        let page = client.get_records().set_shard_iterator(iterator.shard_iterator).send().await.unwrap();
        let seen = |record: aws_sdk_kinesis::types::Record| {
            (
                record.partition_key.unwrap_or_default(),
                String::from_utf8(record.data.into_inner()).unwrap().parse().unwrap(),
            )
        };
        records.extend(page.records.into_iter().map(seen));
    }
    records
}

async fn stream() -> String {
    let client = clients().await.kinesis(&ServiceLocation::default());
    let name = unique("stream");
    client.create_stream().stream_name(&name).shard_count(2).send().await.unwrap();
    let active = async {
        while client
            .put_record()
            .stream_name(&name)
            .partition_key("k0")
            .data(aws_sdk_kinesis::primitives::Blob::new("999"))
            .send()
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), active).await.expect("the stream becomes active");
    name
}

// E1: a batch that fails in part loses nothing, and no record overtakes another of its key.
#[tokio::test]
async fn records_of_a_key_keep_their_order_through_partial_failures() {
    let stream = stream().await;
    let faults = FaultProxy::before(&endpoint("KINESIS")).await;
    let failure = |entries: &[usize]| InjectedFailure::Partial {
        entries: entries.to_vec(),
        code: "ProvisionedThroughputExceededException",
    };
    faults.fail("PutRecords", 0..1, failure(&[0, 2]));
    faults.fail("PutRecords", 2..3, failure(&[1]));
    let settings = kinesis::KinesisSinkSettings { stream: stream.clone(), place: behind(&faults), strict_order: true };
    let results = kinesis::open(&clients().await, settings).send(&keyed(30, 5)).await;
    assert_eq!(results, vec![Ok(()); 30]);
    let mut records = records(&stream).await;
    records.retain(|(_, number)| *number != 999);
    assert_eq!(records.len(), 30);
    for key in 0..5 {
        let order: Vec<_> = records.iter().filter(|(k, _)| *k == format!("k{key}")).map(|(_, n)| *n).collect();
        assert!(order.len() == 6 && order.is_sorted(), "{order:?}");
    }
}

#[tokio::test]
async fn a_record_that_is_too_large_does_not_block_the_others() {
    let stream = stream().await;
    let settings =
        kinesis::KinesisSinkSettings { stream: stream.clone(), place: ServiceLocation::default(), strict_order: true };
    let long = "k".repeat(300);
    let messages = [message("1", None, "1", &[]), message("2", Some(&long), "2", &[]), message("3", None, "3", &[])];
    let results = kinesis::open(&clients().await, settings).send(&messages).await;
    assert!(matches!(results[..], [Ok(()), Err(SendError::Failed(Fault::Permanent(_))), Ok(())]), "{results:?}");
}

#[tokio::test]
async fn a_missing_stream_is_no_fault_of_the_messages() {
    let settings = kinesis::KinesisSinkSettings {
        stream: unique("missing"),
        place: ServiceLocation::default(),
        strict_order: false,
    };
    let results = kinesis::open(&clients().await, settings).send(&keyed(2, 2)).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(SendError::Failed(Fault::Transient(why))) if why.contains("missing"))),
        "{results:?}"
    );
}

async fn received(queue: &str) -> Vec<aws_sdk_sqs::types::Message> {
    let client = clients().await.sqs(&ServiceLocation::default());
    let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
    let mut all = Vec::new();
    loop {
        let request =
            client.receive_message().queue_url(&url).max_number_of_messages(10).message_attribute_names("All");
        let some = request.wait_time_seconds(1).send().await.unwrap().messages.unwrap_or_default();
        if some.is_empty() {
            return all;
        }
        for message in &some {
            client
                .delete_message()
                .queue_url(&url)
                .set_receipt_handle(message.receipt_handle.clone())
                .send()
                .await
                .unwrap();
        }
        all.extend(some);
    }
}

async fn queue(fifo: bool) -> String {
    let client = clients().await.sqs(&ServiceLocation::default());
    let name = unique("out") + if fifo { ".fifo" } else { "" };
    let mut request = client.create_queue().queue_name(&name);
    if fifo {
        request = request.attributes(QueueAttributeName::FifoQueue, "true");
    }
    request.send().await.unwrap();
    name
}

// E8: what was sent although the answer was lost is deduplicated by its id; E2: entries that failed are sent again.
#[tokio::test]
async fn a_fifo_queue_gets_each_message_once_and_in_order() {
    let queue = queue(true).await;
    let faults = FaultProxy::before(&endpoint("SQS")).await;
    faults.fail("SendMessageBatch", 0..1, InjectedFailure::LostAnswer);
    faults.fail("SendMessageBatch", 2..3, InjectedFailure::Partial { entries: vec![0], code: "InternalError" });
    let sink = sqs::open(&clients().await, &sqs::SqsSinkSettings { queue: queue.clone(), place: behind(&faults) })
        .await
        .unwrap();
    let messages = keyed(12, 3);
    // The second time as a router does that was killed before it had noted that they were sent.
    for _ in 0..2 {
        assert_eq!(sink.send(&messages).await, vec![Ok(()); 12]);
    }
    let numbers: Vec<usize> = received(&queue).await.iter().map(|m| m.body().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers.len(), 12, "{numbers:?}");
    for key in 0..3 {
        assert!(numbers.iter().filter(|n| **n % 3 == key).is_sorted(), "{numbers:?}");
    }
}

#[tokio::test]
async fn a_queue_gets_attributes_and_refuses_what_is_no_text() {
    let queue = queue(false).await;
    let sink =
        sqs::open(&clients().await, &sqs::SqsSinkSettings { queue: queue.clone(), place: ServiceLocation::default() })
            .await
            .unwrap();
    let mut binary = message("2", None, "", &[]);
    binary.send.data = vec![0xff];
    let results = sink.send(&[message("1", None, "a", &[("route", "r"), ("empty", "")]), binary]).await;
    assert!(matches!(results[..], [Ok(()), Err(SendError::Failed(Fault::Permanent(_)))]), "{results:?}");
    let seen = received(&queue).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].message_attributes().unwrap()["route"].string_value(), Some("r"));
}

#[tokio::test]
async fn a_topic_passes_messages_on() {
    let queue = queue(false).await;
    let (sns_client, sqs_client) =
        (clients().await.sns(&ServiceLocation::default()), clients().await.sqs(&ServiceLocation::default()));
    let url = sqs_client.get_queue_url().queue_name(&queue).send().await.unwrap().queue_url.unwrap();
    let attributes = sqs_client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .unwrap();
    let arn = attributes.attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let topic = sns_client.create_topic().name(unique("topic")).send().await.unwrap().topic_arn.unwrap();
    sns_client.subscribe().topic_arn(&topic).protocol("sqs").endpoint(arn).send().await.unwrap();
    let sink = sns::open(&clients().await, &ServiceLocation::default(), sns::SnsTarget::Topic(topic));
    let messages: Vec<_> =
        (0..12).map(|i| message(&i.to_string(), None, "low", &[("subject", "Stock"), ("item", "x")])).collect();
    assert_eq!(sink.send(&messages).await, vec![Ok(()); 12]);
    let seen = received(&queue).await;
    assert_eq!(seen.len(), 12);
    assert!(seen.iter().all(|m| m.body().unwrap().contains("low") && m.body().unwrap().contains("Stock")));
}

/// GET of one of ministack's own pages.
async fn page(service: &str, path: &str) -> String {
    let host = endpoint(service).trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&host).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn texts_go_to_the_message_s_number_or_the_configured_one() {
    let target = sns::SnsTarget::Sms(Some("+15550001".to_owned()));
    let sink = sns::open(&clients().await, &ServiceLocation::default(), target);
    let (one, two) = (unique("text"), unique("text"));
    let messages = [message("1", None, &one, &[]), message("2", None, &two, &[("to", "+15550002")])];
    assert_eq!(sink.send(&messages).await, [Ok(()), Ok(())]);
    let sent = page("SNS", "/_ministack/sns/sms-messages").await;
    assert!([&one, &two].iter().all(|text| sent.contains(*text)) && sent.contains("+15550002"), "{sent}");
    let nobody = sns::open(&clients().await, &ServiceLocation::default(), sns::SnsTarget::Sms(None));
    assert!(matches!(nobody.send(&messages[..1]).await[..], [Err(SendError::Failed(Fault::Permanent(_)))]));
}

async fn mail_settings(place: ServiceLocation, ambiguous: ses::AmbiguousMail) -> ses::SesSettings {
    let client = clients().await.ses(&ServiceLocation::default());
    let _ = client.create_email_identity().email_identity("shop@example.com").send().await;
    let (from, to) = ("shop@example.com".to_owned(), vec!["owner@example.com".to_owned()]);
    ses::SesSettings { place, from, to, subject: Some("Default".to_owned()), rate: None, ambiguous }
}

// E9: a mail whose fate is unknown is sent again, or given up, as configured.
#[tokio::test]
async fn a_mail_that_may_have_been_sent_is_treated_as_configured() {
    const SEND: &str = "POST /v2/email/outbound-emails";
    let faults = FaultProxy::before(&endpoint("SESV2")).await;
    faults.fail(SEND, 0..2, InjectedFailure::LostAnswer);
    faults.fail(SEND, 2..3, InjectedFailure::Error { status: 429, code: "TooManyRequestsException" });
    let text = unique("mail");
    let mail = [message("1", None, &text, &[("to", "a@example.com, b@example.com"), ("subject", "Own")])];
    let retried = ses::open(&clients().await, mail_settings(behind(&faults), ses::AmbiguousMail::Retry).await);
    assert!(matches!(retried.send(&mail).await[..], [Err(SendError::Failed(Fault::Transient(_)))]));
    let given_up = ses::open(&clients().await, mail_settings(behind(&faults), ses::AmbiguousMail::DeadLetter).await);
    assert!(matches!(given_up.send(&mail).await[..], [Err(SendError::Failed(Fault::Permanent(_)))]));
    assert!(
        matches!(given_up.send(&mail).await[..], [Err(SendError::Failed(Fault::Throttled { .. }))]),
        "refused, so not ambiguous"
    );
    assert_eq!(given_up.send(&mail).await, [Ok(())]);
    assert_eq!(faults.calls(SEND), 4, "the SDK repeats nothing by itself");
    let sent = page("SESV2", "/_ministack/ses/messages").await;
    assert_eq!(sent.matches(&text).count(), 3, "{sent}");
    assert!(sent.contains("Own") && sent.contains("b@example.com"), "{sent}");
}

#[tokio::test]
async fn letters_become_objects() {
    let client = clients().await.s3(&ServiceLocation::default(), true);
    let bucket = unique("dead");
    client.create_bucket().bucket(&bucket).send().await.unwrap();
    let settings = s3::BucketSinkSettings {
        bucket: bucket.clone(),
        prefix: "letters".into(),
        path_style: true,
        ..s3::BucketSinkSettings::default()
    };
    let sink = s3::open(&clients().await, settings);
    assert_eq!(sink.send(&[message("dead/1", None, "{}", &[])]).await, [Ok(())]);
    let object = client.get_object().bucket(&bucket).key("letters/-/-/dead%2F1.json").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().into_bytes(), "{}".as_bytes());
}
