//! Killed at random moments again and again: every commit is there as a whole or not at all, and what was
//! acknowledged is there.

use super::schema::{commit, item, number, put, schema, spec, text};
use super::smoke::LIMIT;
use esclusa_embedded::{Store, StoreSchema};
use esclusa_flow::batch::Token;
use esclusa_flow::counts::Counts;
use esclusa_flow::effect::{Action, AttributeChange, OutboxMessage, PutObject, SendMessage, UpdateItem};
use esclusa_flow::engine::{Commit, Engine, Progress};
use esclusa_flow::retry::mix;
use esclusa_flow::settings::Start;
use esclusa_flow::source::{Pull, Source};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the child: this test runs itself again as the process that is killed.
const DIRECTORY: &str = "ESCLUSA_CRASH_TEST";
const TEST: &str = "embedded::crash::a_commit_is_there_as_a_whole_or_not_at_all_after_sigkill";
const ROUTES: [&str; 2] = ["a", "b"];
const ITEMS: u64 = 20;
const KILLS: u64 = 12;

fn crash_schema(dir: &Path) -> StoreSchema {
    let mut schema = schema();
    schema.objects.insert("files".to_owned(), dir.join("files"));
    schema.queues.get_mut("jobs").unwrap().consumers = ["reader".to_owned()].into();
    schema
}

/// Commit number `n` of a route: items, a counter, a record, a message, an outbox, an object, a position.
fn work(route: &str, n: u64) -> Commit {
    let send = |output: &str| SendMessage {
        output: output.to_owned(),
        key: Some(route.to_owned()),
        data: format!("{route}-{n}").into(),
        attributes: vec![],
    };
    let mut actions: Vec<_> = (0..ITEMS)
        .map(|i| put("plain", item([("pk", text(&format!("{route}-{n}"))), ("sk", number(i))]), None))
        .collect();
    actions.push(Action::Update(UpdateItem {
        table: "things".to_owned(),
        key: item([("pk", text("total")), ("sk", number(0))]),
        changes: vec![("n".to_owned(), AttributeChange::Add("1".to_owned()))],
        guard: None,
    }));
    actions.extend([Action::Send(send("to-events")), Action::Send(send("to-jobs"))]);
    let object = PutObject {
        store: "files".into(),
        path: format!("{route}/{n}.txt"),
        content_type: String::new(),
        bytes: b"x".to_vec(),
    };
    actions.push(Action::PutObject(object));
    Commit {
        route: route.into(),
        outbox: vec![OutboxMessage { id: n.to_string(), send: send("elsewhere") }].into(),
        progress: Progress::Position { from: (n > 1).then(|| Token::Offset(n - 1)), to: Token::Offset(n) },
        dedup: Vec::new(),
        answers: Vec::new(),
        counts: Counts { done: 1, ..Counts::default() },
        ..commit(actions)
    }
}

/// The body of the process that is killed: commits for ever.
async fn child(dir: &Path) {
    let store = Store::open(dir.join("store"), crash_schema(dir)).unwrap();
    let run = |store: Store, route: &'static str| async move {
        let done = store.counts(route).unwrap().done;
        for n in done + 1.. {
            store.commit(work(route, n)).await.unwrap();
            println!("done {route} {n}");
        }
    };
    tokio::join!(run(store.clone(), "a"), run(store.clone(), "b"));
}

/// Runs the child, kills it after some commits, and gives the last acknowledged commit of each route. `staged`: kills it once
/// an object of a later commit is staged, so within that commit; otherwise right behind the answer.
fn kill_after(dir: &Path, commits: u64, staged: bool) -> [u64; 2] {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = [0; 2];
    let (mut left, mut killed) = (commits, false);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let Some((route, n)) = line.strip_prefix("done ").and_then(|l| l.split_once(' ')) else { continue };
        acknowledged[usize::from(route == "b")] = n.parse().unwrap();
        left = left.saturating_sub(1);
        // The child may have answered more commits before it was killed: their lines are read and count.
        if left == 0 && !killed {
            let staging = dir.join("files/.staging");
            while staged
                && child.try_wait().unwrap().is_none()
                && std::fs::read_dir(&staging).map_or(0, Iterator::count) == 0
            {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            killed = true;
        }
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.code().is_none(), "killed, not failed: {}", String::from_utf8_lossy(&output.stderr));
    acknowledged
}

#[test]
fn a_commit_is_there_as_a_whole_or_not_at_all_after_sigkill() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Some(dir) = std::env::var_os(DIRECTORY) {
        return runtime.block_on(child(Path::new(&dir)));
    }
    let dir = tempfile::tempdir().unwrap();
    for round in 0..KILLS {
        let random = mix(round);
        let acknowledged = kill_after(dir.path(), 1 + random % 40, round % 2 == 1);
        runtime.block_on(check(dir.path(), acknowledged));
    }
}

async fn check(dir: &Path, acknowledged: [u64; 2]) {
    let store = Store::open(dir.join("store"), crash_schema(dir)).unwrap();
    let mut total = 0;
    for (route, acknowledged) in ROUTES.into_iter().zip(acknowledged) {
        let done = store.counts(route).unwrap().done;
        assert!(done >= acknowledged, "route {route}: {acknowledged} acknowledged, {done} there");
        assert!(
            acknowledged == 0 || done <= acknowledged + 1,
            "route {route}: {acknowledged} acknowledged, {done} there"
        );
        total += done;
        assert_eq!(store.pending(route).await.unwrap().len() as u64, done);
        let mut files: Vec<u64> = std::fs::read_dir(dir.join("files").join(route)).map_or(Vec::new(), |files| {
            files.map(|f| f.unwrap().path().file_stem().unwrap().to_str().unwrap().parse().unwrap()).collect()
        });
        files.sort_unstable();
        assert_eq!(files, (1..=done).collect::<Vec<_>>(), "objects of route {route}");
    }
    let items: Vec<_> = store.scan_all("plain").collect::<Result<_, _>>().unwrap();
    assert_eq!(items.len() as u64, total * ITEMS);
    let counter = store.get("things", &item([("pk", text("total")), ("sk", number(0))])).unwrap();
    assert_eq!(counter.and_then(|c| c.get("n").cloned()), (total > 0).then(|| number(total)));
    assert_eq!(std::fs::read_dir(dir.join("files/.staging")).map_or(0, Iterator::count), 0, "nothing is left aside");
    assert_eq!(store.queue_lag("reader", "jobs").unwrap().records, total);
    let streamed = sequences(store.stream_source(spec("fresh"), "events", Start::TrimHorizon).unwrap(), 2).await;
    assert_eq!(streamed, total);
    let changes = sequences(store.table_changes_source(spec("fresh"), "things", Start::TrimHorizon).unwrap(), 1).await;
    assert_eq!(changes, total);
    assert_eq!(store.version(), total);
}

/// Reads all lanes, checks that their sequences have no gap, and gives the number of records.
async fn sequences(mut source: Box<dyn Source>, lanes: usize) -> u64 {
    let mut total = 0;
    for _ in 0..lanes {
        let mut lane = source.next_lane().await.unwrap().unwrap();
        let mut next = 1;
        while let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() {
            for claim in &batch.claims {
                assert_eq!(claim.token(), &Token::Offset(next));
                next += 1;
                total += 1;
            }
        }
    }
    total
}
