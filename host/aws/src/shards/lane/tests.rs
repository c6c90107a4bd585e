//! Lanes over a stream that answers what a test wrote down.

use super::*;
use crate::lineage::{Shard, ShardList};
use crate::shards::{Page, ShardRecord};
use esclusa_flow::verdict::Verdict;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

const LIMIT: Limit = Limit { events: 3, bytes: 1 << 20, window: Duration::ZERO };

/// Answers, and where the reader went meanwhile.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Page, PageError>>>,
    seeks: Mutex<Vec<Cursor>>,
    listed: Mutex<Vec<Shard>>,
    lost: AtomicBool,
    finished: Mutex<Option<Option<Position>>>,
}

struct Scripted(Arc<Script>);

impl ShardList for Scripted {
    fn name(&self) -> &str {
        "stream"
    }

    fn identity(&self) -> &str {
        "stream"
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Shard>, Fault>> {
        let listed = self.0.listed.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(listed)))
    }
}

impl ShardedStream for Scripted {
    fn kind(&self) -> &'static str {
        "kinesis"
    }

    fn feed(&self, _: &str, _: Option<(u128, u128)>) -> Box<dyn ShardFeed> {
        Box::new(Scripted(self.0.clone()))
    }

    fn pace(&self) -> ReadPace {
        ReadPace::new(Duration::ZERO, None, Duration::ZERO)
    }
}

impl ShardFeed for Scripted {
    fn seek(&mut self, to: Cursor) {
        self.0.seeks.lock().unwrap().push(to);
    }

    fn page(&mut self, _: Duration) -> BoxFuture<'_, Result<Page, PageError>> {
        let answer = self.0.answers.lock().unwrap().pop_front();
        Box::pin(std::future::ready(answer.unwrap_or_else(|| Ok(Page { behind_millis: Some(0), ..Page::default() }))))
    }
}

impl Ownership for Scripted {
    fn lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }

    fn until_lost(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn finish<'a>(&'a mut self, from: Option<&'a Position>) -> BoxFuture<'a, Result<(), Fault>> {
        *self.0.finished.lock().unwrap() = Some(from.cloned());
        Box::pin(std::future::ready(Ok(())))
    }
}

fn page(sequences: std::ops::Range<u64>) -> Page {
    let record = |n: u64| {
        let (id, key) = (n.to_string(), String::new());
        ShardRecord { position: at(n), id, key, data: vec![1], timestamp: n, refused: None }.into()
    };
    Page { records: sequences.map(record).collect(), behind_millis: Some(0), ..Page::default() }
}

fn at(sequence: u64) -> Position {
    Position { sequence: sequence.to_string(), sub: None }
}

fn lane(
    answers: Vec<Result<Page, PageError>>,
    settled: Option<u64>,
    pending: Option<u64>,
) -> (ShardLane, Arc<Script>, Arc<Lag>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
    let lag = Arc::new(Lag::default());
    let opening = LaneOpener {
        stream: Arc::new(Scripted(script.clone())),
        reader: ShardReader { route: "r".into(), source: "s".into() },
        start: Start::TrimHorizon,
        routes: 1,
        ordered: true,
        room: ReadAheadLimit::new(usize::MAX),
        lag: lag.clone(),
    };
    let beginning = LaneStart {
        shard: "shard".into(),
        hashes: None,
        settled: settled.map(|n| at(n).token()),
        cursor: settled.map_or(Cursor::TrimHorizon, |n| Cursor::Behind(at(n))),
        fresh: settled.is_none(),
        pending: pending.map(at),
        quiet: None,
    };
    (opening.lane(beginning, Box::new(Scripted(script.clone()))).unwrap(), script, lag)
}

async fn ids(lane: &mut ShardLane) -> Vec<u64> {
    match lane.pull(LIMIT).await.unwrap() {
        Pull::Batch(batch) => batch.columns.timestamps.clone(),
        _ => Vec::new(),
    }
}

fn settle(lane: &mut ShardLane, sequences: std::ops::Range<u64>) {
    let tokens: Vec<_> = sequences.map(|n| at(n).token()).collect();
    let told: Vec<_> = tokens.iter().map(|token| Settled { token, verdict: &Verdict::Done, reply: None }).collect();
    lane.settled(&told);
}

fn last_seek(script: &Script) -> Cursor {
    script.seeks.lock().unwrap().last().cloned().unwrap()
}

#[tokio::test]
async fn what_was_given_and_not_settled_is_read_again() {
    // D5
    let (mut lane, script, lag) = lane(vec![Ok(page(1..8)), Ok(page(1..8)), Ok(page(2..8))], None, None);
    assert_eq!(ids(&mut lane).await, [1, 2, 3]);
    assert_eq!(lag.lanes()["shard"].oldest_unfinished, Some(1));
    assert_eq!(ids(&mut lane).await, [1, 2, 3]);
    assert_eq!(last_seek(&script), Cursor::At("1".into()), "nothing is settled: at the first that was given");
    settle(&mut lane, 1..3);
    assert_eq!(lag.lanes()["shard"].oldest_unfinished, Some(3));
    assert_eq!(ids(&mut lane).await, [3, 4, 5], "what the service gives again is left out");
    assert_eq!(last_seek(&script), Cursor::Behind(at(2)));
    settle(&mut lane, 3..6);
    assert_eq!(ids(&mut lane).await, [6, 7]);
    assert_eq!(last_seek(&script), Cursor::Behind(at(2)), "what was read before is given without reading again");
}

#[tokio::test]
async fn a_shard_ends_when_everything_of_it_is_settled() {
    // K4
    let end = |sequences| Ok(Page { ended: true, ..page(sequences) });
    let (mut lane, script, _) = lane(vec![end(1..3), end(1..3)], None, None);
    assert_eq!(ids(&mut lane).await, [1, 2]);
    assert_eq!(ids(&mut lane).await, [1, 2], "it was not settled");
    assert_eq!(*script.finished.lock().unwrap(), None);
    settle(&mut lane, 1..3);
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Ended);
    assert_eq!(*script.finished.lock().unwrap(), Some(Some(at(2))));
}

#[tokio::test]
async fn empty_pages_of_a_backlog_are_followed() {
    // K11
    let behind = || Ok(Page { behind_millis: Some(9000), ..Page::default() });
    let (mut lane, _, lag) = lane(vec![behind(), behind(), Ok(page(1..2))], None, None);
    for _ in 0..2 {
        assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false });
        lane.ready().await;
    }
    assert_eq!(lag.lanes()["shard"].behind_millis, Some(9000));
    assert_eq!(ids(&mut lane).await, [1]);
}

#[tokio::test]
async fn a_shard_is_drained_only_where_this_pull_has_read_it() {
    let (mut lane, _, _) = lane(Vec::new(), None, None);
    lane.pace = ReadPace::new(Duration::from_secs(60), None, Duration::from_secs(60));
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: true });
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false }, "something may have come since");
}

#[tokio::test]
async fn a_refused_read_is_no_error_and_waits() {
    // K13
    let (mut lane, _, _) = lane(vec![Err(PageError::Throttled("slow down".into())), Ok(page(1..2))], None, None);
    let asked = Instant::now();
    assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false });
    lane.ready().await;
    assert!(asked.elapsed() >= Duration::from_millis(100));
    assert_eq!(ids(&mut lane).await, [1]);
}

#[tokio::test]
async fn trimmed_records_are_counted_and_the_oldest_follow() {
    // D3
    let (mut lane, script, lag) = lane(vec![Err(PageError::Trimmed("gone".into())), Ok(page(50..52))], Some(7), None);
    assert_eq!(ids(&mut lane).await, [0u64; 0]);
    assert_eq!((lag.gaps(), last_seek(&script)), (1, Cursor::TrimHorizon));
    assert_eq!(ids(&mut lane).await, [50, 51]);
}

#[tokio::test]
async fn a_shard_that_was_trimmed_as_a_whole_ends_with_a_gap() {
    // K17
    for listed in [false, true] {
        let gone = || Err(PageError::Gone("no such shard".into()));
        let (mut lane, script, lag) = lane(vec![gone(), gone()], Some(7), None);
        if listed {
            *script.listed.lock().unwrap() =
                vec![Shard { id: "shard".into(), parents: vec![], closed: true, hashes: None }];
        }
        assert_eq!(ids(&mut lane).await, [0u64; 0]);
        assert_eq!(lane.pull(LIMIT).await.unwrap(), Pull::Ended);
        assert_eq!((lag.gaps(), script.finished.lock().unwrap().clone()), (1, Some(Some(at(7)))));
    }
}

#[tokio::test]
async fn what_was_trimmed_before_the_first_read_is_no_gap() {
    let trimmed = || Err(PageError::Trimmed("old".into()));
    let (mut lane, _, lag) = lane(vec![trimmed(), Ok(page(1..2)), trimmed(), Ok(page(50..51))], None, None);
    assert_eq!(ids(&mut lane).await, [0u64; 0]);
    assert_eq!((lag.gaps(), ids(&mut lane).await), (0, vec![1]));
    settle(&mut lane, 1..2);
    assert_eq!(ids(&mut lane).await, [0u64; 0]);
    assert_eq!((lag.gaps(), ids(&mut lane).await), (1, vec![50]), "it was trimmed while the route was reading");
    let gone = || Err(PageError::Gone("no such shard".into()));
    let (mut lane, _, lag) = super::tests::lane(vec![gone(), gone()], None, None);
    assert_eq!(ids(&mut lane).await, [0u64; 0]);
    assert_eq!((lane.pull(LIMIT).await.unwrap(), lag.gaps()), (Pull::Ended, 0));
}

#[tokio::test]
async fn a_lane_reads_nothing_while_others_hold_all_that_may_be_read_ahead() {
    // K19
    // Four events do not fit into it, one does.
    let room = ReadAheadLimit::new(2 * size_of::<ShardRecord>());
    let (mut full, _, _) = lane(vec![Ok(page(1..8)), Ok(page(8..9))], None, None);
    let (mut waiting, script, _) = lane(vec![Ok(page(1..2))], None, None);
    (full.share, waiting.share) = (room.share(), room.share());
    assert_eq!(ids(&mut full).await, [1, 2, 3]);
    assert_eq!(waiting.pull(LIMIT).await.unwrap(), Pull::Empty { drained: false });
    assert_eq!(script.answers.lock().unwrap().len(), 1, "nothing was read");
    settle(&mut full, 1..4);
    assert_eq!(ids(&mut full).await, [4, 5, 6], "a lane that holds records goes on");
    settle(&mut full, 4..7);
    waiting.ready().await;
    assert_eq!(ids(&mut waiting).await, [1], "one event is left, and there is room");
    drop(full);
    assert!(room.share().may_read());
}

#[tokio::test]
async fn an_open_shard_that_cannot_be_read_is_not_given_up() {
    let (mut lane, script, lag) = lane(vec![Err(PageError::Gone("?".into()))], Some(7), None);
    *script.listed.lock().unwrap() = vec![Shard { id: "shard".into(), parents: vec![], closed: false, hashes: None }];
    assert!(matches!(lane.pull(LIMIT).await, Err(Fault::Transient(_))));
    assert_eq!((lag.gaps(), script.finished.lock().unwrap().clone()), (0, None));
}

#[tokio::test]
async fn a_prepared_batch_is_given_as_it_was() {
    let (mut lane, _, _) = lane(vec![Ok(page(1..4)), Ok(page(4..9))], None, Some(5));
    assert_eq!(ids(&mut lane).await, [1, 2, 3, 4, 5], "whatever the limits say, and not before all of it was read");
    settle(&mut lane, 1..6);
    assert_eq!(ids(&mut lane).await, [6, 7, 8]);
}

#[tokio::test]
async fn a_prepared_batch_that_was_trimmed_does_not_stop_the_lane() {
    let (mut lane, _, _) = lane(vec![Ok(page(20..22))], None, Some(5));
    assert_eq!(ids(&mut lane).await, [20, 21]);
}

#[tokio::test]
async fn a_lost_lane_gives_nothing() {
    // K5, K6
    let (mut lane, script, _) = lane(vec![Ok(page(1..8))], None, None);
    assert_eq!(ids(&mut lane).await.len(), 3);
    settle(&mut lane, 1..4);
    assert_eq!(lane.lost(), None);
    script.lost.store(true, Ordering::Relaxed);
    lane.ready().await;
    assert!(matches!(lane.pull(LIMIT).await, Err(Fault::LeaseLost(_))));
    assert!(matches!(lane.lost(), Some(Fault::LeaseLost(_))), "it makes no call more");
}

#[tokio::test]
async fn a_position_that_is_none_of_a_shard_is_refused() {
    let (script, lag) = (Arc::new(Script::default()), Arc::new(Lag::default()));
    let opening = LaneOpener {
        stream: Arc::new(Scripted(script.clone())),
        reader: ShardReader { route: "r".into(), source: "s".into() },
        start: Start::Latest,
        routes: 1,
        ordered: true,
        room: ReadAheadLimit::new(usize::MAX),
        lag,
    };
    let beginning = LaneStart {
        shard: "x".into(),
        hashes: None,
        settled: Some(Token::Offset(3)),
        cursor: Cursor::Latest,
        fresh: true,
        pending: None,
        quiet: None,
    };
    assert!(matches!(opening.lane(beginning, Box::new(Scripted(script))), Err(Fault::Permanent(_))));
}
