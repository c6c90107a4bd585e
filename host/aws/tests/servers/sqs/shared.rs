//! Several routes on one queue.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_two_routes_gets_every_message_once_and_then_it_is_deleted() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(0..60)).await;
    let queues = shared(&["one", "two"]);
    let mut handled = tokio::task::JoinSet::new();
    let mut sources = Vec::new();
    for route in ["one", "two"] {
        let (mut source, progress_store) = open_for(&queues, &queue, route, 1).await;
        // Route one fails on every third message the first time.
        let fails = move |payload: &str, attempt| {
            route == "one" && attempt == 1 && payload.parse::<u32>().unwrap().is_multiple_of(3)
        };
        handled.spawn(work(lane(&mut *source).await, progress_store, 60, fails));
        sources.push(source);
    }
    let handled = timeout(PATIENCE, handled.join_all()).await.expect("both get everything");
    for mut done in handled {
        done.sort();
        let mut expected: Vec<_> = (0..60).map(|n| (String::new(), n.to_string())).collect();
        expected.sort();
        assert_eq!(done, expected, "each message once for each route");
    }
    let (mut other, _) = open(&queue).await;
    drained(&mut *lane(&mut *other).await).await;
}

#[tokio::test]
async fn a_route_that_is_done_does_not_see_again_what_another_gave_back() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(["a"])).await;
    let queues = shared(&["one", "two"]);
    let (mut one, first) = open_for(&queues, &queue, "one", 1).await;
    let (mut two, second) = open_for(&queues, &queue, "two", 1).await;
    let (mut one, mut two) = (lane(&mut *one).await, lane(&mut *two).await);
    let release = |batch: &Batch| tokens(batch).into_iter().map(|token| (token, Duration::ZERO)).collect();
    let delete = |batch: &Batch| Progress::Receipts { delete: tokens(batch), release: vec![] };
    let batch = next(&mut *one).await;
    first.settle("", &delete(&batch)).await.unwrap();
    for attempt in 1..4 {
        let batch = next(&mut *two).await;
        assert_eq!(batch.columns.attempts, [attempt]);
        second.settle("", &Progress::Receipts { delete: vec![], release: release(&batch) }).await.unwrap();
        two.settled(&[Settled { token: &tokens(&batch)[0], verdict: &Verdict::Released(Duration::ZERO), reply: None }]);
        // Whichever poller receives it.
        let pulled = one.pull(LIMIT).await.unwrap();
        assert!(matches!(pulled, Pull::Empty { .. }), "{pulled:?}");
    }
    let batch = next(&mut *two).await;
    second.settle("", &delete(&batch)).await.unwrap();
    for lane in [&mut one, &mut two] {
        drained(&mut **lane).await;
    }
}

// Q3, for each route by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_keep_their_order_for_each_of_two_routes() {
    const GROUPS: usize = 12;
    const EACH: usize = 6;
    let (client, queue) = make(true).await;
    let messages: Vec<_> = (0..EACH).flat_map(|n| (0..GROUPS).map(move |g| (format!("g{g}"), n.to_string()))).collect();
    send(&client, &queue, &messages).await;
    let queues = shared(&["one", "two"]);
    let (mut handled, mut sources) = (tokio::task::JoinSet::new(), Vec::new());
    for (route, fails_at) in [("one", 1), ("two", 4)] {
        let (mut source, progress_store) = open_for(&queues, &queue, route, 1).await;
        let fails = move |payload: &str, attempt| payload == fails_at.to_string() && attempt == 1;
        handled.spawn(work(lane(&mut *source).await, progress_store, GROUPS * EACH, fails));
        sources.push(source);
    }
    for done in timeout(PATIENCE * 2, handled.join_all()).await.expect("no group starves") {
        for group in 0..GROUPS {
            let of_group = done.iter().filter(|(name, _)| *name == format!("g{group}"));
            let order: Vec<_> = of_group.map(|(_, payload)| payload.parse::<usize>().unwrap()).collect();
            assert_eq!(order, (0..EACH).collect::<Vec<_>>(), "group {group}");
        }
    }
}

#[tokio::test]
async fn a_route_that_goes_is_not_waited_for_and_one_that_comes_gets_what_is_held() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(["a"])).await;
    let queues = shared(&["one", "two"]);
    let (mut one, first) = open_for(&queues, &queue, "one", 1).await;
    let mut one = lane(&mut *one).await;
    let batch = next(&mut *one).await;
    first.settle("", &Progress::Receipts { delete: tokens(&batch), release: vec![] }).await.unwrap();
    one.settled(&[Settled { token: &tokens(&batch)[0], verdict: &Verdict::Done, reply: None }]);
    // Route two is expected, and has not come: the message is kept for it for longer than it would be invisible.
    let kept = timeout(Duration::from_secs(3), async {
        loop {
            let pulled = one.pull(LIMIT).await.unwrap();
            assert_eq!(pulled, Pull::Empty { drained: true }, "nothing is left for the first");
            one.ready().await;
        }
    });
    assert!(kept.await.is_err());
    let (mut two, _) = open_for(&queues, &queue, "two", 1).await;
    let mut poller = lane(&mut *two).await;
    assert_eq!(next(&mut *poller).await.columns.attempts, [1]);
    drop(poller);
    two.close().await;
    // It went without having done it; now nobody waits for it any more.
    let routes = Routes::from([("one".into(), 1 << 20)]);
    queues.set_routes(BTreeMap::from([("jobs".into(), routes)]));
    drained(&mut *one).await;
    let (mut other, _) = open(&queue).await;
    drained(&mut *lane(&mut *other).await).await;
}

// Q8
#[tokio::test]
async fn a_route_that_does_not_take_bounds_what_is_received_and_loses_nothing() {
    let (client, queue) = make(false).await;
    let large: Vec<_> = (0..60).map(|n| format!("{n:->1000}")).collect();
    send(&client, &queue, &loose(&large)).await;
    let queues = SqsQueues::default();
    // 10,000 bytes may wait for the second route: ten messages, and what one receive passes it by.
    let routes = Routes::from([("one".into(), 1 << 20), ("two".into(), 10_000)]);
    queues.set_routes(BTreeMap::from([("jobs".into(), routes)]));
    let (mut one, first) = open_for(&queues, &queue, "one", 1).await;
    let (mut two, second) = open_for(&queues, &queue, "two", 1).await;
    let (mut one, mut two) = (lane(&mut *one).await, lane(&mut *two).await);
    let ten = Limit { events: 10, ..LIMIT };
    let mut seen = 0;
    while let Pull::Batch(batch) = one.pull(ten).await.unwrap() {
        seen += batch.len();
        first.settle("", &Progress::Receipts { delete: tokens(&batch), release: vec![] }).await.unwrap();
    }
    assert!((10..=20).contains(&seen), "{seen} went ahead");
    let pair = tokio::join!(work_all(&mut *one, &*first, 60 - seen), work_all(&mut *two, &*second, 60));
    assert_eq!(pair.1.len(), 60);
    drained(&mut *one).await;
}

/// Does so many different messages; gives them.
async fn work_all(
    lane: &mut dyn Lane,
    progress_store: &dyn ProgressStore,
    count: usize,
) -> std::collections::BTreeSet<String> {
    let mut done = std::collections::BTreeSet::new();
    while done.len() < count {
        let batch = next(lane).await;
        progress_store.settle("", &Progress::Receipts { delete: tokens(&batch), release: vec![] }).await.unwrap();
        done.extend(payloads(&batch));
    }
    done
}

#[tokio::test]
async fn the_last_route_that_closes_shows_what_waits_for_any() {
    let (client, queue) = make(false).await;
    send(&client, &queue, &loose(["a", "b"])).await;
    let queues = shared(&["one", "two"]);
    let settings = SqsSettings {
        queue: queue.clone(),
        visibility_timeout: Some(Duration::from_secs(600)),
        ..SqsSettings::default()
    };
    let (mut one, first) = queues.open(&clients().await, &settings, reader("one", 1)).await.unwrap();
    let (mut two, _second) = queues.open(&clients().await, &settings, reader("two", 1)).await.unwrap();
    let mut poller = lane(&mut *one).await;
    let batch = next(&mut *poller).await;
    let tokens = tokens(&batch);
    first.settle("", &Progress::Receipts { delete: tokens, release: vec![] }).await.unwrap();
    drop(poller);
    one.close().await;
    two.close().await;
    let (mut other, _) = open(&queue).await;
    let mut poller = lane(&mut *other).await;
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        seen.extend(payloads(&next(&mut *poller).await));
    }
}
