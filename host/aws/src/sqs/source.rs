//! The workers of a queue as lanes: each receives, keeps what it holds invisible, and hands out one batch at a time.
//!
//! Receives run in tasks of their own, so that a cancelled pull loses no message that is on its way. What a worker holds
//! when it ends is left to the source, which shows it again when it is closed.

use super::Reader;
use super::backlog::Drained;
use super::hand::{Hand, Received};
use super::queue::{Change, Queue, TEN};
use esclusa_flow::BoxFuture;
use esclusa_flow::batch::Batch;
use esclusa_flow::event::Origin;
use esclusa_flow::fault::Fault;
use esclusa_flow::source::{Lane, Limit, Pull, Settled, Source};
use esclusa_flow::verdict::Verdict;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

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

/// What ended workers left.
type Left = Arc<Mutex<Vec<(Hand, Option<Receiving>)>>>;

/// See the module.
pub struct QueueSource {
    queue: Arc<Queue>,
    reader: Reader,
    given: usize,
    left: Left,
}

impl QueueSource {
    /// A source without workers yet.
    pub fn new(queue: Arc<Queue>, reader: Reader) -> Self {
        QueueSource { queue, reader, given: 0, left: Left::default() }
    }
}

impl Source for QueueSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            if self.caught_up() {
                return std::future::pending().await;
            }
            self.given += 1;
            let worker = Worker {
                queue: self.queue.clone(),
                reader: self.reader.clone(),
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
            let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
            let deadline = Instant::now() + LAST_RECEIVE;
            let mut shown = Vec::new();
            for (mut hand, receiving) in left {
                if let Some(Receiving { mut task, .. }) = receiving {
                    match timeout(deadline.saturating_duration_since(Instant::now()), &mut task).await {
                        Ok(Ok(Ok(messages))) => hand.add(messages),
                        Ok(_) => {}
                        Err(_) => task.abort(),
                    }
                }
                shown.extend(hand.release(Instant::now()).into_iter().map(|held| (held.receipt, Duration::ZERO)));
            }
            if let Err(fault) = self.queue.change(Change::Hide, &shown).await {
                tracing::warn!(source = %self.reader.source, error = %fault, "messages come again only after their visibility timeout");
            }
        })
    }
}

struct Worker {
    queue: Arc<Queue>,
    reader: Reader,
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
            let queue = self.queue.clone();
            Receiving { task: tokio::spawn(async move { queue.receive(most, wait).await }), waits: !wait.is_zero() }
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
        self.hand.dropped(Instant::now());
        self.give_back().await?;
        self.hand.expire(Instant::now());
        self.fill(limit).await?;
        let Some((group, columns, claims)) = self.hand.take(limit) else {
            let drained = self.queue.drained(began).await?;
            self.poll = if drained == Drained::Yes { LONGEST_POLL } else { self.poll.min(HIDDEN_POLL) };
            self.look = if let Drained::AskAt(time) = drained { Some(time) } else { None };
            return Ok(Pull::Empty { drained: drained == Drained::Yes });
        };
        self.poll = Duration::from_secs(1);
        let origin = Origin {
            route: self.reader.route.clone(),
            source: self.reader.source.clone(),
            kind: "sqs".into(),
            lane: group.into(),
            ordered: self.queue.fifo,
        };
        Ok(Pull::Batch(Batch { origin, columns, claims, previous: None }))
    }

    /// Receives until a batch is full, nothing comes any more and the window has passed. The messages of a FIFO queue's
    /// group come with one receive; while they are in flight there are no more of it.
    async fn fill(&mut self, limit: Limit) -> Result<(), Fault> {
        let mut end = None;
        loop {
            let (count, bytes) = self.hand.waiting();
            if count >= self.most || bytes >= limit.bytes || (self.queue.fifo && count > 0) {
                return Ok(());
            }
            let now = Instant::now();
            let end = if count > 0 { *end.get_or_insert(now + limit.window) } else { now };
            if now >= end
                && self.receiving.as_ref().is_some_and(|receiving| receiving.waits && !receiving.task.is_finished())
            {
                return Ok(());
            }
            self.extend_due().await;
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
            let until = self.hand.due(self.queue.visibility).map_or(end, |due| due.min(end));
            if let Ok(received) = timeout_at(until, self.receive(most, wait)).await {
                received?;
            }
        }
    }

    async fn give_back(&mut self) -> Result<(), Fault> {
        let back: Vec<_> = self.hand.back().iter().map(|held| (held.receipt.clone(), Duration::ZERO)).collect();
        self.queue.change(Change::Hide, &back).await?;
        self.hand.given_back();
        Ok(())
    }

    /// Extends what is due; false where that failed and is to be tried again soon.
    async fn extend_due(&mut self) -> bool {
        let now = Instant::now();
        let extensions = self.hand.extensions(now, self.queue.visibility);
        match self.queue.change(Change::Hide, &extensions).await {
            Ok(lost) => {
                self.hand.extended(now, &extensions);
                self.hand.lost(&lost);
                true
            }
            Err(fault) => {
                tracing::warn!(source = %self.reader.source, error = %fault, "cannot extend the visibility timeout; trying again");
                false
            }
        }
    }

    async fn extend(&mut self) {
        loop {
            let Some(due) = self.hand.due(self.queue.visibility) else {
                tracing::warn!(source = %self.reader.source, "messages are held for twelve hours, SQS' limit: they come again");
                return std::future::pending().await;
            };
            sleep_until(due).await;
            if !self.extend_due().await {
                sleep(self.queue.visibility / 8).await;
            }
        }
    }

    async fn wait(&mut self) {
        let (most, wait) = (TEN.min(self.most), self.poll);
        let until = self.look.take().unwrap_or_else(|| Instant::now() + LONGEST_POLL * 2);
        match timeout_at(until, self.receive(most, wait)).await {
            Ok(Ok(_)) => self.poll = self.poll.saturating_mul(2).min(LONGEST_POLL),
            Ok(Err(fault)) => self.failed = Some(fault),
            // The receive goes on.
            Err(_) => {}
        }
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
        Box::pin(self.extend())
    }

    fn settled(&mut self, settled: &[Settled<'_>]) {
        self.hand.settled(settled.iter().map(|event| (event.token, matches!(event.verdict, Verdict::Returned(_)))));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let left = (std::mem::take(&mut self.hand), self.receiving.take());
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(left);
    }
}
