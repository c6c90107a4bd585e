//! The order of a commit: messages, settlement, dead letters.

use super::building::{Make, TABLE, add, clients, commit, create, get, key, put, put_if_absent, with_n};
use super::table_progress::TableProgress;
use esclusa_aws::engine::{AwsEngine, EngineSettings};
use esclusa_embedded::{DEAD_LETTERS_FULL, StoreLimits, StoreOptions, StoreSchema};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Token;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::{Action, OutboxMessage, SendMessage, UpdateItem};
use esclusa_flow::engine::{Commit, CommitError, Committed, Engine, PendingMessages, Progress, SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::item::Otherwise;
use esclusa_flow::reads::Reads;
use esclusa_flow::timestamp::Timestamp;
use esclusa_testkit::sender::sender;
use std::sync::{Arc, Mutex};

/// Refuses "bad" for good, and the first of all messages once.
#[derive(Default)]
struct Moody {
    sent: Mutex<Vec<String>>,
    tries: Mutex<u32>,
}

impl Sink for Moody {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        let answer = |message: &OutboxMessage| {
            let mut tries = self.tries.lock().unwrap();
            *tries += 1;
            match message.id.as_str() {
                "bad" => Err(Fault::Permanent("never".to_owned()).into()),
                _ if *tries == 1 => Err(Fault::Transient("not now".to_owned()).into()),
                id => {
                    self.sent.lock().unwrap().push(id.to_owned());
                    Ok(())
                }
            }
        };
        let answers = messages.iter().map(answer).collect();
        Box::pin(std::future::ready(answers))
    }
}

fn message(id: &str) -> OutboxMessage {
    OutboxMessage {
        id: id.to_owned(),
        send: SendMessage { output: "out".to_owned(), key: None, data: vec![1], attributes: Vec::new() },
    }
}

fn at(position: &str, commit: Commit) -> Commit {
    Commit { progress: Progress::Position { from: None, to: Token::Text(position.into()) }, ..commit }
}

#[tokio::test]
async fn messages_are_confirmed_or_dead_before_the_source_is_told() {
    let clients = clients().await;
    let progress_store = Arc::new(TableProgress::new(&clients).await);
    let sink = Arc::new(Moody::default());
    let sinks = [("out".to_owned(), sink.clone() as Arc<dyn Sink>)].into();
    let table = create(&clients).await;
    let bench =
        Make { progress_store: Some(progress_store.clone()), sinks, ..Make::default() }.over(&clients, TABLE, &table);
    let outbox = vec![message("1"), message("bad"), message("2")];
    let done = bench
        .engine
        .commit(at("9", Commit { outbox: outbox.into(), ..commit(vec![put(with_n("a", 1, 1))], 2) }))
        .await
        .unwrap();
    assert_eq!(done.outbox, None, "nothing is left to be sent");
    assert_eq!(*sink.sent.lock().unwrap(), ["2", "1"]);
    let dead = bench.local.dead_letters(None, None, 10).unwrap();
    assert_eq!(
        dead.iter().map(|(_, letter)| (letter.event.as_str(), letter.output.as_deref())).collect::<Vec<_>>(),
        [("bad", Some("out"))]
    );
    let letter = &dead[0].1;
    assert_eq!((&*letter.kind, &*letter.plugin, &*letter.digest), ("kinesis", "plugin.wasm", "d1"));
    assert_eq!(*progress_store.calls.lock().unwrap(), ["settle"]);
    assert_eq!(bench.local.counts("route").unwrap().done, 2);
}

// The dead letter is in the local store, and its route may be served by another process.
#[tokio::test]
async fn messages_of_a_redrive_are_recorded_beside_the_dead_letter_and_nobody_waits_for_their_receiver() {
    let clients = clients().await;
    for dedup_table in [None, Some(super::building::unique("dedup"))] {
        let progress_store = Arc::new(TableProgress::new(&clients).await);
        let sink = Arc::new(Moody::default());
        let sinks = [("out".to_owned(), sink.clone() as Arc<dyn Sink>)].into();
        let table = create(&clients).await;
        let bench = Make { progress_store: Some(progress_store.clone()), sinks, dedup_table };
        let bench = bench.over(&clients, TABLE, &table);
        let redriven = Commit {
            outbox: vec![message("1")].into(),
            dedup: vec!["e".into()],
            ..commit(vec![put(with_n("a", 1, 1))], 1)
        };
        let done = bench.engine.commit(redriven).await.unwrap();
        let pending = bench.engine.pending("route").await.unwrap();
        let pending: Vec<_> = pending.iter().map(|outbox| (Some(outbox.id), outbox.messages.len())).collect();
        assert_eq!(pending, [(done.outbox, 1)]);
        assert_eq!((*sink.tries.lock().unwrap(), progress_store.calls.lock().unwrap().len()), (0, 0));
        assert!(get(&bench, &key("a", 1)).await.is_some());
    }
}

#[tokio::test]
async fn a_guard_that_fails_sends_nothing_and_settles_nothing() {
    let clients = clients().await;
    let progress_store = Arc::new(TableProgress::new(&clients).await);
    let sink = Arc::new(Moody::default());
    let sinks = [("out".to_owned(), sink.clone() as Arc<dyn Sink>)].into();
    let table = create(&clients).await;
    let bench =
        Make { progress_store: Some(progress_store.clone()), sinks, ..Make::default() }.over(&clients, TABLE, &table);
    bench.engine.commit(commit(vec![put(with_n("a", 1, 1))], 0)).await.unwrap();
    let sold = commit(vec![put_if_absent(with_n("a", 1, 2), Otherwise::Rerun)], 1);
    let answer = bench.engine.commit(at("1", Commit { outbox: vec![message("1")].into(), ..sold })).await;
    assert_eq!(answer, Err(CommitError::Conflict));
    assert_eq!((*sink.tries.lock().unwrap(), progress_store.calls.lock().unwrap().len()), (0, 0));
    assert_eq!(bench.local.counts("route").unwrap().done, 0);
}

// Without a progress store the local engine records the messages; those of a failed commit are not sent.
#[tokio::test]
async fn an_outbox_of_a_deduplicated_commit_that_failed_is_withdrawn() {
    let clients = clients().await;
    let dedup_table = Some(super::building::unique("dedup"));
    let bench = Make { dedup_table, ..Make::default() }.over(&clients, TABLE, &create(&clients).await);
    let of = |event: &str| {
        let actions = vec![add(key("a", 1), 1)];
        Commit { dedup: vec![event.to_owned()], outbox: vec![message(event)].into(), ..commit(actions, 1) }
    };
    let first = bench.engine.commit(of("1")).await.unwrap();
    assert!(first.outbox.is_some());
    assert_eq!(bench.engine.commit(of("1")).await, Err(CommitError::DoneBefore(vec![0])));
    let pending = bench.engine.pending("route").await.unwrap();
    assert_eq!(pending.iter().map(|p| Some(p.id)).collect::<Vec<_>>(), [first.outbox]);
    assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 1)));
}

// Each try would write, put and send again until somebody makes room.
#[tokio::test]
async fn nothing_happens_while_there_is_no_room_for_the_dead_letters_of_a_batch() {
    let clients = clients().await;
    for dedup_table in [None, Some(super::building::unique("dedup"))] {
        let progress_store = Arc::new(TableProgress::new(&clients).await);
        let sink = Arc::new(Moody { tries: Mutex::new(1), ..Moody::default() });
        let sinks = [("out".to_owned(), sink.clone() as Arc<dyn Sink>)].into();
        let table = create(&clients).await;
        let make = Make { progress_store: Some(progress_store.clone()), sinks, dedup_table };
        let bench = make.over(&clients, TABLE, &table);
        let full = StoreLimits { dead_letters: 0, ..StoreLimits::default() };
        bench.local.apply_schema(StoreSchema { limits: full, ..StoreSchema::default() }).unwrap();
        let effects = Commit {
            outbox: vec![message("1")].into(),
            dedup: vec!["e".into()],
            ..commit(vec![add(key("a", 1), 1)], 1)
        };
        let sender = effects.sender(Timestamp::default());
        let letter = DeadLetter::of_message(&sender, message("given up"), &Fault::Permanent("never".into()), 1);
        let of = |position: &str| at(position, Commit { dead: vec![letter.clone()], ..effects.clone() });
        for _ in 0..2 {
            let Err(CommitError::Fault(fault)) = bench.engine.commit(of("1")).await else { panic!("taken") };
            assert_eq!(fault.code(), Some(DEAD_LETTERS_FULL), "{fault}");
        }
        assert_eq!((*sink.tries.lock().unwrap(), progress_store.calls.lock().unwrap().len()), (1, 0));
        assert_eq!(get(&bench, &key("a", 1)).await, None);
        bench.local.apply_schema(StoreSchema::default()).unwrap();
        bench.engine.commit(of("1")).await.unwrap();
        assert_eq!(get(&bench, &key("a", 1)).await, Some(with_n("a", 1, 1)));
        assert_eq!((sink.sent.lock().unwrap().len(), bench.local.fill().dead_letters), (1, 1));
    }
}

// The counts of the batch go to the local store after its messages: each try would send them again.
#[tokio::test]
async fn nothing_happens_while_the_disk_is_full() {
    let clients = clients().await;
    let (table, dir) = (create(&clients).await, tempfile::tempdir().unwrap());
    let sink = Arc::new(Moody { tries: Mutex::new(1), ..Moody::default() });
    let options = StoreOptions { reserve: u64::MAX / 4, ..StoreOptions::default() };
    let settings = EngineSettings {
        tables: [(TABLE.to_owned(), table)].into(),
        stores: Default::default(),
        sender: sender([("out".to_owned(), sink.clone() as Arc<dyn Sink>)].into()),
        local: Arc::new(esclusa_embedded::Store::open_with(dir.path(), StoreSchema::default(), options).unwrap()),
        progress_store: Some(Arc::new(TableProgress::new(&clients).await)),
        dedup_table: None,
    };
    let engine = AwsEngine::new(settings, &clients);
    for actions in [vec![], vec![add(key("a", 1), 1)]] {
        let effects = at("1", Commit { outbox: vec![message("1")].into(), ..commit(actions, 1) });
        let Err(CommitError::Fault(Fault::Transient(why))) = engine.commit(effects).await else { panic!("taken") };
        assert!(why.contains("is full"), "{why}");
    }
    assert_eq!(*sink.tries.lock().unwrap(), 1);
    assert_eq!(engine.reads().get(TABLE, &key("a", 1)).await.unwrap(), None);
}

/// A local engine whose tables take nothing.
struct Full(esclusa_embedded::Store);

impl Engine for Full {
    fn reads(&self) -> Arc<dyn Reads> {
        self.0.reads()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        let refused = !commit.actions.is_empty();
        Box::pin(async move { if refused { Err(CommitError::TooLarge) } else { self.0.commit(commit).await } })
    }

    fn check(&self, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(std::future::ready(if commit.actions.is_empty() { Ok(()) } else { Err(CommitError::TooLarge) }))
    }

    fn pending<'a>(&'a self, route: &'a str) -> BoxFuture<'a, Result<Vec<PendingMessages>, Fault>> {
        self.0.pending(route)
    }

    fn confirm<'a>(&'a self, route: &'a str, outbox: u64, dead: Vec<DeadLetter>) -> BoxFuture<'a, Result<(), Fault>> {
        self.0.confirm(route, outbox, dead)
    }
}

// The batch is halved and called again: a write to DynamoDB that came before would happen once more for each half.
#[tokio::test]
async fn a_batch_that_is_too_large_for_the_local_tables_writes_nothing_elsewhere() {
    let clients = clients().await;
    let (table, dir) = (create(&clients).await, tempfile::tempdir().unwrap());
    let settings = EngineSettings {
        tables: [(TABLE.to_owned(), table)].into(),
        stores: Default::default(),
        sender: sender(Default::default()),
        local: Arc::new(Full(esclusa_embedded::Store::open(dir.path(), Default::default()).unwrap())),
        progress_store: None,
        dedup_table: None,
    };
    let engine = AwsEngine::new(settings, &clients);
    let local = UpdateItem { table: "local".to_owned(), key: key("b", 1), changes: Vec::new(), guard: None };
    let both = commit(vec![add(key("a", 1), 1), Action::Update(local)], 2);
    assert_eq!(engine.commit(both).await, Err(CommitError::TooLarge));
    assert_eq!(engine.reads().get(TABLE, &key("a", 1)).await.unwrap(), None);
    engine.commit(commit(vec![add(key("a", 1), 1)], 1)).await.unwrap();
    assert_eq!(engine.reads().get(TABLE, &key("a", 1)).await.unwrap(), Some(with_n("a", 1, 1)));
}
