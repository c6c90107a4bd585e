//! How shards are found: by which requests, how often, and by nothing but time.

use super::faulty::{self, Fate, Log, Seen};
use super::fleet::*;
use super::kinesis::{TestStream, shard};
use esclusa_aws::client::Clients;
use esclusa_aws::kinesis::{self, KinesisSettings};
use esclusa_aws::shards::{Sharing, SourceWithProgress};
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Lane, Pull, Source};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::timeout;

/// So rarely that it does not happen in a test.
const NEVER: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn open(clients: &Clients, stream: &TestStream, sharing: Sharing) -> SourceWithProgress {
    let (name, start) = (stream.name.clone(), Start::TrimHorizon);
    let settings = KinesisSettings { stream: name, place: place("KINESIS"), start, fan_out: None, sharing };
    kinesis::open(clients, &settings, reader("route")).await.unwrap()
}

pub(crate) async fn lane(source: &mut dyn Source) -> Box<dyn Lane> {
    timeout(PATIENCE, source.next_lane()).await.expect("a lane is given").unwrap().unwrap()
}

/// How many requests of an operation were sent.
fn count(log: &Log, operation: &str) -> usize {
    log.of(operation).iter().filter(|seen| seen.what == operation).count()
}

/// Waits until so many more requests of an operation were sent.
pub(crate) async fn until_more(log: &Log, operation: &str, more: usize) {
    let before = count(log, operation);
    let waited = timeout(PATIENCE, async {
        while count(log, operation) < before + more {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{} requests of {operation}", count(log, operation) - before);
}

#[tokio::test]
async fn a_start_lists_the_shards_once_and_again_only_when_one_has_ended() {
    // K16
    let stream = TestStream::new(4).await;
    let (clients, log) = faulty::clients(|_: &Seen| Fate::Pass).await;
    let sharing = Sharing { discovery: NEVER, ..leases(&unique("leases"), "w") };
    let (mut source, _progress_store) = open(&clients, &stream, sharing).await;
    let mut lanes = Vec::new();
    for _ in 0..4 {
        lanes.push(lane(&mut *source).await);
    }
    // Rounds go on: they look at the leases, and not at the stream.
    until_more(&log, "Scan", 4).await;
    let asked = ["DescribeStream", "DescribeStreamSummary", "ListShards"].map(|operation| count(&log, operation));
    assert_eq!(asked, [0, 1, 1]);
    stream.split(&shard(0)).await;
    let mut ending = lanes.swap_remove(lanes.iter().position(|lane| lane.id() == shard(0)).unwrap());
    let ended = async {
        while ending.pull(LIMIT).await.unwrap() != Pull::Ended {
            ending.ready().await;
        }
    };
    timeout(PATIENCE, ended).await.expect("the shard ends");
    drop(ending);
    for _ in 0..2 {
        lanes.push(lane(&mut *source).await);
    }
    let (listed, ids) = (count(&log, "ListShards"), lanes.iter().map(|lane| lane.id().to_owned()));
    assert_eq!(ids.collect::<HashSet<_>>(), (1..6).map(shard).collect());
    assert!((2..=4).contains(&listed), "{listed} requests: by the lane that ended and by the round after it");
    source.close().await;
}

#[tokio::test]
async fn shards_that_appear_are_found_by_time_alone() {
    // D1: nothing is read here, so no shard ends here.
    for together in [true, false] {
        let (stream, kept) = (TestStream::new(1).await, Kept::default());
        let sharing = if together { leases(&unique("leases"), "w") } else { alone(kept.positions()) };
        let (mut source, _) = stream.open(Start::TrimHorizon, Sharing { ordered: false, ..sharing }).await;
        let parent = lane(&mut *source).await;
        assert_eq!(parent.id(), shard(0));
        stream.split(&shard(0)).await;
        let children = [lane(&mut *source).await, lane(&mut *source).await];
        let ids: HashSet<_> = children.iter().map(|lane| lane.id().to_owned()).collect();
        assert_eq!(ids, (1..3).map(shard).collect(), "with leases: {together}");
        drop(children);
        source.close().await;
    }
}
