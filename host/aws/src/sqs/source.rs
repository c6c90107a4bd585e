//! The workers of a queue as lanes: each receives, keeps what is held invisible, and hands out one batch at a time.
//!
//! Receives run in tasks of their own, so that a cancelled pull loses no message that is on its way. What a route holds
//! when its source ends is shown again.

use super::Reader;
use super::backlog::{Answer, Drained};
use super::hand::{Hand, Received};
use super::hub::{Hub, Opened};
use super::queue::TEN;
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Batch;
use esclusa_flow::event::BatchOrigin;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Settled, Source};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Longest long poll.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>, 2026-11.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// Longest poll where messages are hidden for now, after which the queue may turn out to be drained.
const HIDDEN_POLL: Duration = Duration::from_secs(5);
/// How long a closing source waits for receives that are on their way; what comes later is shown again by the queue.
const LAST_RECEIVE: Duration = Duration::from_secs(1);

/// A receive that is on its way.
struct Receiving {
    task: JoinHandle<Result<Vec<Received>, Fault>>,
    /// It waits for messages to come.
    waits: bool,
}

/// Receives that ended workers left on their way.
type Left = Arc<Mutex<Vec<Receiving>>>;

/// See the module.
pub struct QueueSource {
    hub: Arc<Hub>,
    reader: Reader,
    /// Held by the workers as well.
    opened: Option<Arc<Opened>>,
    answer: Arc<tokio::sync::Mutex<Answer>>,
    given: usize,
    left: Left,
}

impl QueueSource {
    /// A source without workers yet.
    pub fn new(hub: Arc<Hub>, reader: Reader) -> Self {
        let opened = Some(Arc::new(hub.clone().open(&reader.route)));
        QueueSource { hub, reader, opened, answer: Arc::default(), given: 0, left: Left::default() }
    }
}

impl Source for QueueSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            let Some(opened) = self.opened.clone().filter(|_| !self.caught_up()) else {
                return std::future::pending().await;
            };
            self.given += 1;
            let worker = Worker {
                hub: self.hub.clone(),
                reader: self.reader.clone(),
                news: opened.news.clone(),
                _opened: opened,
                answer: self.answer.clone(),
                left: self.left.clone(),
                hand: Hand::default(),
                receiving: None,
                failed: None,
                poll: Duration::from_secs(1),
                look: None,
                most: TEN,
            };
            Ok(Some(Box::new(worker) as Box<dyn Lane>))
        })
    }

    fn caught_up(&self) -> bool {
        self.given >= self.reader.workers.max(1)
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let left = std::mem::take(&mut *self.left.lock());
            let deadline = Instant::now() + LAST_RECEIVE;
            for Receiving { mut task, .. } in left {
                if timeout(deadline.saturating_duration_since(Instant::now()), &mut task).await.is_err() {
                    task.abort();
                }
            }
            self.opened = None;
            if let Err(fault) = self.hub.flush().await {
                tracing::warn!(source = %self.reader.source, error = %fault, "messages come again only after their visibility timeout");
            }
        })
    }
}

struct Worker {
    hub: Arc<Hub>,
    reader: Reader,
    /// Something came for the route, or there is room again.
    news: watch::Receiver<()>,
    _opened: Arc<Opened>,
    answer: Arc<tokio::sync::Mutex<Answer>>,
    left: Left,
    hand: Hand,
    receiving: Option<Receiving>,
    /// What went wrong while it waited.
    failed: Option<Fault>,
    /// How long it waits for messages before it looks whether the queue is drained.
    poll: Duration,
    /// When it looks for that whatever comes.
    look: Option<Instant>,
    /// Most messages of a batch.
    most: usize,
}

impl Worker {
    /// Receives, or waits for the receive on its way. Cancel-safe.
    async fn receive(&mut self, most: usize, wait: Duration) -> Result<usize, Fault> {
        let receiving = self.receiving.get_or_insert_with(|| {
            let (hub, route) = (self.hub.clone(), self.reader.route.clone());
            let task = tokio::spawn(async move { hub.receive(&route, most, wait).await });
            Receiving { task, waits: !wait.is_zero() }
        });
        let result = (&mut receiving.task).await;
        self.receiving = None;
        let messages = result.map_err(|error| Fault::Bug(format!("a receive broke: {error}")))??;
        let count = messages.len();
        self.hand.add(messages);
        Ok(count)
    }

    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let began = Instant::now();
        if let Some(fault) = self.failed.take() {
            return Err(fault);
        }
        self.most = limit.events.max(1);
        let (dropped, route) = (self.hand.dropped(), self.reader.route.clone());
        if !dropped.is_empty() {
            self.hub.shares(|shares| shares.dropped(&route, &dropped, Instant::now()));
        }
        self.hub.flush().await?;
        self.fill(limit).await?;
        let hand = &mut self.hand;
        let taken = self.hub.shares(|shares| {
            shares.lapse(hand.receipts(), Instant::now());
            hand.retain(|receipt| shares.waits(&route, receipt));
            let taken = hand.take(limit);
            shares.take(&route, hand.work());
            taken
        });
        let Some((group, columns, claims)) = taken else {
            let of_others = || self.hub.shares(|shares| shares.of_others(&route, Instant::now()));
            let drained = self.hub.queue.drained(&self.answer, began, of_others).await?;
            self.poll = if drained == Drained::Yes { LONGEST_POLL } else { self.poll.min(HIDDEN_POLL) };
            self.look = if let Drained::AskAt(time) = drained { Some(time) } else { None };
            return Ok(Pull::Empty { drained: drained == Drained::Yes });
        };
        self.poll = Duration::from_secs(1);
        let origin = BatchOrigin {
            route: self.reader.route.clone(),
            source: self.reader.source.clone(),
            kind: "sqs".into(),
            lane: group.into(),
            ordered: self.hub.queue.fifo,
        };
        Ok(Pull::Batch(Batch { origin, columns: columns.into(), claims, previous: None }))
    }

    /// Takes what others received for the route, and receives until a batch is full, nothing comes any more and the window
    /// has passed. The messages of a FIFO queue's group come with one receive; while they are in flight there are no more of
    /// it.
    async fn fill(&mut self, limit: Limit) -> Result<(), Fault> {
        let (mut end, route) = (None, self.reader.route.clone());
        loop {
            self.news.mark_unchanged();
            let (now, hand) = (Instant::now(), &mut self.hand);
            self.hub.shares(|shares| {
                shares.lapse(hand.receipts(), now);
                hand.retain(|receipt| shares.waits(&route, receipt));
            });
            let (count, bytes) = self.hand.waiting();
            if count >= self.most || bytes >= limit.bytes || (self.hub.queue.fifo && count > 0) {
                return Ok(());
            }
            let dealt = self.hub.take(&route, self.most - count, limit.bytes - bytes);
            if !dealt.is_empty() {
                self.hand.add(dealt);
                continue;
            }
            let end = if count > 0 { *end.get_or_insert(now + limit.window) } else { now };
            let waits =
                self.receiving.as_ref().is_some_and(|receiving| receiving.waits && !receiving.task.is_finished());
            if (now >= end && waits) || (self.receiving.is_none() && !self.hub.room(&route)) {
                return Ok(());
            }
            self.hub.extend_due().await;
            // An empty hand may mean an empty queue: one request finds out.
            let most = if count == 0 { TEN.min(self.most) } else { self.most - count };
            let wait = end.saturating_duration_since(now).min(LONGEST_POLL);
            if wait.is_zero() {
                if self.receive(most, wait).await? == 0 {
                    return Ok(());
                }
                continue;
            }
            // A receive that takes longer goes on, and its messages are for the next batch.
            let until = self.hub.shares(|shares| shares.due()).map_or(end, |due| due.min(end));
            let mut news = self.news.clone();
            tokio::select! {
                received = timeout_at(until, self.receive(most, wait)) => drop(received.unwrap_or(Ok(0))?),
                () = told(&mut news) => {}
            }
        }
    }

    async fn wait(&mut self) {
        let (most, wait) = (TEN.min(self.most), self.poll);
        let until = self.look.take().unwrap_or_else(|| Instant::now() + LONGEST_POLL * 2);
        let (hub, mut news) = (self.hub.clone(), self.news.clone());
        let room = self.receiving.is_some() || hub.room(&self.reader.route);
        let received = async {
            if room {
                timeout_at(until, self.receive(most, wait)).await.ok()
            } else {
                sleep_until(until).await;
                None
            }
        };
        tokio::select! {
            biased;
            received = received => match received {
                Some(Ok(_)) => self.poll = self.poll.saturating_mul(2).min(LONGEST_POLL),
                Some(Err(fault)) => self.failed = Some(fault),
                // A receive on its way goes on.
                None => {}
            },
            () = told(&mut news) => {}
            () = hub.extend() => {}
        }
    }
}

/// Waits for news; for ever where none will come.
async fn told(news: &mut watch::Receiver<()>) {
    if news.changed().await.is_err() {
        std::future::pending().await
    }
}

impl Lane for Worker {
    fn id(&self) -> &str {
        ""
    }

    fn pull(&mut self, limit: Limit) -> BoxFuture<'_, Result<Pull, Fault>> {
        Box::pin(self.pull_batch(limit))
    }

    fn ready(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait())
    }

    fn keep(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.hub.extend())
    }

    fn settled(&mut self, settled: &[Settled<'_>]) {
        self.hand.settled(settled.iter().map(|event| event.token));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.left.lock().extend(self.receiving.take());
    }
}
