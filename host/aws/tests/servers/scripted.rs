//! A DynamoDB streams endpoint that answers what a test wrote down: no server lets iterators expire or refuses reads.

use super::fleet::*;
use esclusa_aws::dynamodb_stream::{self, TableStreamSettings};
use esclusa_aws::shards::Sharing;
use esclusa_flow::settings::{ServiceLocation, Start};
use esclusa_flow::source::{Pull, Source};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2026-11-22T00:00:00.000";

/// The requests, each with its answer: status and body.
type Answer = (&'static str, u16, Value);

#[derive(Clone)]
struct Endpoint {
    url: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Endpoint {
    async fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let endpoint = Endpoint { url, answers: Arc::new(Mutex::new(answers.into())), asked: Arc::default() };
        let serving = endpoint.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        endpoint
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut target, mut length, mut line) = (String::new(), 0, String::new());
            while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
                let (name, value) = line.split_once(':').unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "x-amz-target" => target = value.trim().rsplit('.').next().unwrap().to_owned(),
                    "content-length" => length = value.trim().parse().unwrap(),
                    _ => {}
                }
                line.clear();
            }
            if target.is_empty() {
                return;
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            self.asked.lock().unwrap().push((target.clone(), serde_json::from_slice(&body).unwrap()));
            let (status, answer) = match self.answers.lock().unwrap().pop_front() {
                Some((expected, status, answer)) => {
                    assert_eq!(expected, target);
                    (status, answer.to_string())
                }
                None => (500, "{}".to_owned()),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + &answer).as_bytes()).await.unwrap();
        }
    }

    /// Opens the stream; the first answers describe it twice: when it is opened and when its shards are listed.
    async fn open(&self, sharing: Sharing) -> Box<dyn Source> {
        let place = ServiceLocation { region: Some("us-east-1".into()), endpoint_url: Some(self.url.clone()) };
        let settings = TableStreamSettings { stream: ARN.into(), place, start: Start::TrimHorizon, sharing };
        dynamodb_stream::open(&clients().await, &settings, reader("route")).await.unwrap().0
    }

    fn asked(&self, target: &str) -> Vec<Value> {
        self.asked.lock().unwrap().iter().filter(|(t, _)| t == target).map(|(_, body)| body.clone()).collect()
    }
}

fn description(shards: &[&str], more: Option<&str>) -> Answer {
    let shards: Vec<_> = shards.iter().map(|id| json!({ "ShardId": id })).collect();
    let key = json!([{ "AttributeName": "pk", "KeyType": "HASH" }]);
    (
        "DescribeStream",
        200,
        json!({ "StreamDescription": { "Shards": shards, "KeySchema": key, "LastEvaluatedShardId": more } }),
    )
}

fn iterator() -> Answer {
    ("GetShardIterator", 200, json!({ "ShardIterator": "iterator" }))
}

fn records(sequences: &[&str]) -> Answer {
    let record = |sequence: &&str| json!({ "eventID": sequence, "dynamodb": { "SequenceNumber": sequence, "Keys": { "pk": { "S": "k" } } } });
    let records: Vec<_> = sequences.iter().map(record).collect();
    ("GetRecords", 200, json!({ "Records": records, "NextShardIterator": "next" }))
}

fn refused(target: &'static str, code: &str) -> Answer {
    (
        target,
        400,
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "as the test wants" }),
    )
}

#[tokio::test]
async fn an_expired_iterator_is_replaced_behind_the_last_record_that_was_read() {
    // K10, D4
    let expired = refused("GetRecords", "ExpiredIteratorException");
    let answers = vec![
        description(&["s"], None),
        description(&["s"], None),
        iterator(),
        records(&["1", "2"]),
        expired,
        iterator(),
        records(&["3"]),
    ];
    let endpoint = Endpoint::new(answers).await;
    let mut source = endpoint.open(alone(Kept::default().positions())).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let first = next_batch(&mut *lane, LIMIT).await;
    tell(&mut *lane, &first, 2);
    assert_eq!(next_batch(&mut *lane, LIMIT).await.columns.get(0).unwrap().id(), "3");
    let iterators = endpoint.asked("GetShardIterator");
    assert_eq!(iterators[0]["ShardIteratorType"], "TRIM_HORIZON");
    assert_eq!(
        (&iterators[1]["ShardIteratorType"], &iterators[1]["SequenceNumber"]),
        (&"AFTER_SEQUENCE_NUMBER".into(), &"2".into())
    );
}

#[tokio::test]
async fn every_page_of_shards_is_listed() {
    // D2
    let answers = vec![description(&["a"], Some("a")), description(&["a"], Some("a")), description(&["b"], None)];
    let endpoint = Endpoint::new(answers).await;
    let mut source = endpoint.open(alone(Kept::default().positions())).await;
    let mut lanes = Vec::new();
    for _ in 0..2 {
        lanes.push(source.next_lane().await.unwrap().unwrap().id().to_owned());
    }
    assert_eq!(lanes, ["a", "b"]);
    assert_eq!(endpoint.asked("DescribeStream")[2]["ExclusiveStartShardId"], "a");
}

#[tokio::test]
async fn a_position_that_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest_record() {
    // D3
    let trimmed = refused("GetShardIterator", "TrimmedDataAccessException");
    let answers = vec![description(&["s"], None), description(&["s"], None), trimmed, iterator(), records(&["90"])];
    let endpoint = Endpoint::new(answers).await;
    let kept = Kept::default();
    kept.0.lock().unwrap().insert("s".into(), esclusa_flow::batch::Token::Text("5".into()));
    let sharing = alone(kept.positions());
    let lag = sharing.lag.clone();
    let mut source = endpoint.open(sharing).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    let batch = next_batch(&mut *lane, LIMIT).await;
    assert_eq!((batch.columns.get(0).unwrap().id(), lag.gaps()), ("90", 1));
    assert_eq!(endpoint.asked("GetShardIterator")[1]["ShardIteratorType"], "TRIM_HORIZON");
}

#[tokio::test]
async fn a_refused_read_is_not_repeated_by_the_sdk() {
    // K13
    let throttled = refused("GetRecords", "LimitExceededException");
    let answers = vec![description(&["s"], None), description(&["s"], None), iterator(), throttled, records(&["1"])];
    let endpoint = Endpoint::new(answers).await;
    let mut source = endpoint.open(alone(Kept::default().positions())).await;
    let mut lane = source.next_lane().await.unwrap().unwrap();
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false });
    assert_eq!(endpoint.asked("GetRecords").len(), 1);
    assert_eq!(next_batch(&mut *lane, LIMIT).await.len(), 1);
    assert_eq!(endpoint.asked("GetShardIterator").len(), 1, "the iterator is still good");
}
