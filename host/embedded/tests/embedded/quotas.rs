//! A full store refuses with a code, loses nothing, and goes on by itself when there is room.

use super::everything::{full_schema, letter};
use super::schema::{commit, item, number, put, spec, text};
use super::smoke::LIMIT;
use esclusa_embedded::{DEAD_LETTERS_FULL, NewRecord, Store, StoreLimits, StoreSchema};
use esclusa_flow::batch::Token;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::effect::{OutboxMessage, SendMessage};
use esclusa_flow::engine::{Commit, CommitError, Engine, Progress};
use esclusa_flow::fault::{Fault, STORE_FULL};
use esclusa_flow::source::Pull;
use std::time::Duration;

fn with(limits: StoreLimits) -> StoreSchema {
    StoreSchema { limits, ..full_schema() }
}

/// A commit that gives an event up.
fn giving_up(n: u64) -> Commit {
    let progress = Progress::Position { from: (n > 1).then(|| Token::Offset(n - 1)), to: Token::Offset(n) };
    let written = put("plain", item([("pk", text("p")), ("sk", number(n))]), None);
    Commit { dead: vec![letter(0)], progress, ..commit(vec![written]) }
}

fn code(fault: &Fault) -> Option<&'static str> {
    fault.code()
}

#[tokio::test]
async fn a_route_waits_with_a_dead_letter_that_does_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let limits = StoreLimits { dead_letters: 2, ..StoreLimits::default() };
    let store = Store::open(directory.path(), with(limits)).unwrap();
    store.commit(giving_up(1)).await.unwrap();
    store.commit(giving_up(2)).await.unwrap();
    for _ in 0..2 {
        let Err(CommitError::Fault(fault)) = store.commit(giving_up(3)).await else { panic!("taken") };
        assert_eq!(code(&fault), Some(DEAD_LETTERS_FULL), "{fault}");
    }
    // An engine above the store asks before it writes elsewhere.
    let Err(CommitError::Fault(fault)) = store.check(giving_up(3)).await else { panic!("taken") };
    assert_eq!(code(&fault), Some(DEAD_LETTERS_FULL), "{fault}");
    store.check(Commit { dead: Vec::new(), ..giving_up(3) }).await.unwrap();
    assert_eq!(store.position(&spec("r"), "").unwrap(), Some(Token::Offset(2)), "nothing of the commit happened");
    assert_eq!(store.scan("plain", None, 10).unwrap().len(), 2);
    store.commit(Commit { dead: vec![], ..giving_up(3) }).await.unwrap();
    let (first, _) = store.dead_letters(None, None, 1).unwrap().remove(0);
    store.remove_dead(vec![first]).await.unwrap();
    store.commit(giving_up(4)).await.unwrap();
    assert_eq!(store.fill().dead_letters, 2);
}

#[tokio::test]
async fn commits_that_are_written_together_share_the_room() {
    let directory = tempfile::tempdir().unwrap();
    let limits = StoreLimits { dead_letters: 3, ..StoreLimits::default() };
    let store = Store::open(directory.path(), with(limits)).unwrap();
    let lanes = (0..8).map(|lane| Commit { lane: lane.to_string().into(), ..giving_up(1) });
    let taken = futures(lanes.map(|commit| store.commit(commit))).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 3);
    assert_eq!(store.fill().dead_letters, 3);
}

/// Awaits all at the same time.
async fn futures<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn bytes_of_dead_letters_are_counted_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let unlimited = Store::open(directory.path(), full_schema()).unwrap();
    unlimited.commit(giving_up(1)).await.unwrap();
    let one = unlimited.fill().dead_letter_bytes;
    unlimited.commit(giving_up(2)).await.unwrap();
    assert_eq!(unlimited.fill().dead_letter_bytes, 2 * one);
    drop(unlimited);
    let limits = StoreLimits { dead_letter_bytes: 3 * one, ..StoreLimits::default() };
    let store = Store::open(directory.path(), with(limits)).unwrap();
    assert_eq!((store.fill().dead_letters, store.fill().dead_letter_bytes), (2, 2 * one));
    store.commit(giving_up(3)).await.unwrap();
    let Err(CommitError::Fault(fault)) = store.commit(giving_up(4)).await else { panic!("taken") };
    assert_eq!(code(&fault), Some(DEAD_LETTERS_FULL), "{fault}");
    // A reload with a higher limit lets the route go on.
    store.apply_schema(full_schema()).unwrap();
    store.commit(giving_up(4)).await.unwrap();
}

#[tokio::test]
async fn a_letter_that_grows_or_shrinks_in_its_place_is_counted_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), full_schema()).unwrap();
    store.commit(giving_up(1)).await.unwrap();
    store.commit(giving_up(2)).await.unwrap();
    let one = store.fill().dead_letter_bytes / 2;
    let letters = store.dead_letters(None, None, 10).unwrap();
    let [(first, letter), (second, _)] = &letters[..] else { panic!("{letters:?}") };
    let long = DeadLetter { data: vec![b'x'; letter.data.len() + 1000], ..letter.clone() };
    assert!(store.replace_dead(*first, &long).await.unwrap());
    assert!(store.fill().dead_letter_bytes >= 2 * one + 1000);
    assert!(store.replace_dead(*second, &long).await.unwrap());
    assert!(store.replace_dead(*second, letter).await.unwrap());
    assert_eq!(store.remove_dead(vec![*first]).await.unwrap(), 1);
    assert_eq!((store.fill().dead_letters, store.fill().dead_letter_bytes), (1, one));
    assert!(!store.replace_dead(*first, &long).await.unwrap());
    assert_eq!(store.remove_dead(vec![*second]).await.unwrap(), 1);
    assert_eq!((store.fill().dead_letters, store.fill().dead_letter_bytes), (0, 0));
}

#[tokio::test]
async fn messages_that_are_given_up_wait_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let limits = StoreLimits { dead_letters: 0, ..StoreLimits::default() };
    let mut schema = with(limits);
    schema.queues.get_mut("jobs").unwrap().max_receive_count = 1;
    schema.queues.get_mut("jobs").unwrap().visibility_timeout = Duration::ZERO;
    schema.queues.get_mut("jobs").unwrap().consumers = ["r".to_owned()].into();
    let store = Store::open(directory.path(), schema).unwrap();
    // A message of the outbox that no output takes.
    let send = SendMessage { output: "hook".into(), key: None, data: b"x".to_vec(), attributes: vec![] };
    let outbox = vec![OutboxMessage { id: "1".into(), send }].into();
    let recorded = store.commit(Commit { outbox, ..commit(vec![]) }).await.unwrap().outbox.unwrap();
    let fault = store.confirm("r", recorded, vec![letter(0)]).await.unwrap_err();
    assert_eq!((code(&fault), store.pending("r").await.unwrap().len()), (Some(DEAD_LETTERS_FULL), 1));
    // A message of a queue that was received too often.
    store.enqueue("jobs", &[NewRecord::default()]).await.unwrap();
    let mut queue = store.queue_source(spec("r"), "jobs").unwrap();
    let mut lane = queue.next_lane().await.unwrap().unwrap();
    let Pull::Batch(batch) = lane.pull(LIMIT).await.unwrap() else { panic!("nothing") };
    drop(batch);
    for _ in 0..2 {
        let fault = lane.pull(LIMIT).await.unwrap_err();
        assert_eq!(code(&fault), Some(DEAD_LETTERS_FULL), "{fault}");
    }
    assert_eq!(store.queue_lag("r", "jobs").unwrap().records, 1, "it stays in the queue");
    store.apply_schema(full_schema()).unwrap();
}

#[tokio::test]
async fn a_large_store_takes_nothing_from_outside_and_its_routes_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), with(StoreLimits { bytes: 1, ..StoreLimits::default() })).unwrap();
    let record = [NewRecord { data: b"x".to_vec(), ..NewRecord::default() }];
    let stream = store.append("events", &record).await.unwrap_err();
    let queue = store.enqueue("jobs", &record).await.unwrap_err();
    let answered = store.append_answered("events", &record, (vec![1], u64::MAX), |_| vec![]).await.unwrap_err();
    for fault in [stream, queue, answered] {
        assert_eq!(code(&fault), Some(STORE_FULL), "{fault}");
        assert!(fault.to_string().contains("max_bytes"), "{fault}");
    }
    let written = put("plain", item([("pk", text("p")), ("sk", number(1))]), None);
    store.commit(commit(vec![written])).await.unwrap();
    assert!(store.fill().bytes > store.limits().bytes);
    store.apply_schema(full_schema()).unwrap();
    store.append("events", &record).await.unwrap();
}
