//! The pollers of a queue as lanes: each receives messages, keeps them invisible, and gives one batch at a time.
//!
//! Receives run in tasks of their own, so that a cancelled pull loses no message that is on its way. When its source
//! ends, a route's unfinished messages are released.

use super::QueueReader;
use super::drained::{Drained, DrainedAnswer};
use super::poller_buffer::PollerBuffer;
use super::queue_requests::TEN;
use super::received_message::ReceivedMessage;
use super::shared_receiver::{RouteSubscription, SharedReceiver};
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
/// Longest poll while messages are hidden, after which the queue may turn out to be drained.
const HIDDEN_POLL: Duration = Duration::from_secs(5);
/// How long a closing source waits for receives that are on their way. Messages that come later are seen again when
/// their visibility timeout passes.
const LAST_RECEIVE: Duration = Duration::from_secs(1);

/// A receive that is on its way.
struct Receiving {
    task: JoinHandle<Result<Vec<ReceivedMessage>, Fault>>,
    /// It is a long poll.
    waits: bool,
}

/// Receives that ended pollers left on their way.
type LeftReceives = Arc<Mutex<Vec<Receiving>>>;

/// An SQS queue as the source of one route.
pub(crate) struct SqsSource {
    receiver: Arc<SharedReceiver>,
    reader: QueueReader,
    /// The pollers hold it too: the route has the queue open until the last of them is gone.
    subscription: Option<Arc<RouteSubscription>>,
    answer: Arc<tokio::sync::Mutex<DrainedAnswer>>,
    given: usize,
    left: LeftReceives,
}

impl SqsSource {
    /// A source without pollers yet.
    pub(crate) fn new(receiver: Arc<SharedReceiver>, reader: QueueReader) -> Self {
        let subscription = Some(Arc::new(receiver.clone().open(&reader.route)));
        SqsSource { receiver, reader, subscription, answer: Arc::default(), given: 0, left: LeftReceives::default() }
    }
}

impl Source for SqsSource {
    fn next_lane(&mut self) -> BoxFuture<'_, Result<Option<Box<dyn Lane>>, Fault>> {
        Box::pin(async move {
            let Some(subscription) = self.subscription.clone().filter(|_| !self.caught_up()) else {
                return std::future::pending().await;
            };
            self.given += 1;
            let poller = QueuePoller {
                receiver: self.receiver.clone(),
                reader: self.reader.clone(),
                news: subscription.news.clone(),
                _subscription: subscription,
                answer: self.answer.clone(),
                left: self.left.clone(),
                buffer: PollerBuffer::default(),
                receiving: None,
                failed: None,
                poll: Duration::from_secs(1),
                look: None,
                most: TEN,
            };
            Ok(Some(Box::new(poller) as Box<dyn Lane>))
        })
    }

    fn caught_up(&self) -> bool {
        self.given >= self.reader.pollers.max(1)
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
            self.subscription = None;
            if let Err(fault) = self.receiver.flush().await {
                tracing::warn!(source = %self.reader.source, error = %fault, "messages come again only after their visibility timeout");
            }
        })
    }
}

struct QueuePoller {
    receiver: Arc<SharedReceiver>,
    reader: QueueReader,
    /// Changes when a message comes for the route, or an inbox is no longer full.
    news: watch::Receiver<()>,
    _subscription: Arc<RouteSubscription>,
    answer: Arc<tokio::sync::Mutex<DrainedAnswer>>,
    left: LeftReceives,
    buffer: PollerBuffer,
    receiving: Option<Receiving>,
    /// A fault of a receive that ended in [`Lane::ready`]; the next pull reports it.
    failed: Option<Fault>,
    /// How long it waits for messages before it looks whether the queue is drained.
    poll: Duration,
    /// When it asks whether the queue is drained, even if a receive is on its way.
    look: Option<Instant>,
    /// Most messages of a batch.
    most: usize,
}

impl QueuePoller {
    /// Receives, or waits for the receive on its way. Cancel-safe.
    async fn receive(&mut self, most: usize, wait: Duration) -> Result<usize, Fault> {
        let receiving = self.receiving.get_or_insert_with(|| {
            let (receiver, route) = (self.receiver.clone(), self.reader.route.clone());
            // A task of its own: if the pull is cancelled the answer still arrives, with messages that are invisible to
            // all others.
            let task = tokio::spawn(async move { receiver.receive(&route, most, wait).await });
            Receiving { task, waits: !wait.is_zero() }
        });
        let result = (&mut receiving.task).await;
        self.receiving = None;
        let messages = result.map_err(|error| Fault::Bug(format!("a receive broke: {error}")))??;
        let count = messages.len();
        self.buffer.add(messages);
        Ok(count)
    }

    async fn pull_batch(&mut self, limit: Limit) -> Result<Pull, Fault> {
        let began = Instant::now();
        if let Some(fault) = self.failed.take() {
            return Err(fault);
        }
        self.most = limit.events.max(1);
        let (dropped, route) = (self.buffer.dropped(), self.reader.route.clone());
        if !dropped.is_empty() {
            self.receiver.acks(|acks| acks.dropped(&route, &dropped, Instant::now()));
        }
        self.receiver.flush().await?;
        self.fill(limit).await?;
        let buffer = &mut self.buffer;
        let taken = self.receiver.acks(|acks| {
            // All of them before any is checked: a message that lapses releases earlier ones of its group.
            acks.lapse(buffer.receipts(), Instant::now());
            buffer.retain(|receipt| acks.waits(&route, receipt));
            let taken = buffer.take(limit);
            acks.take(&route, buffer.work());
            taken
        });
        let Some((group, columns, claims)) = taken else {
            let waiting_for_others = || self.receiver.acks(|acks| acks.waiting_for_others(&route, Instant::now()));
            let drained = self.receiver.queue.drained(&self.answer, began, waiting_for_others).await?;
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
            ordered: self.receiver.queue.fifo,
        };
        Ok(Pull::Batch(Batch { origin, columns: columns.into(), claims, previous: None }))
    }

    /// Takes the messages that other pollers received for the route, then receives until the batch is full or its
    /// window has passed. One receive gives the messages of a FIFO queue's group; SQS gives no more of that group while
    /// they are in flight.
    async fn fill(&mut self, limit: Limit) -> Result<(), Fault> {
        let (mut end, route) = (None, self.reader.route.clone());
        loop {
            self.news.mark_unchanged();
            let (now, buffer) = (Instant::now(), &mut self.buffer);
            self.receiver.acks(|acks| {
                acks.lapse(buffer.receipts(), now);
                buffer.retain(|receipt| acks.waits(&route, receipt));
            });
            let (count, bytes) = self.buffer.waiting();
            if count >= self.most || bytes >= limit.bytes || (self.receiver.queue.fifo && count > 0) {
                return Ok(());
            }
            let shared_out = self.receiver.take(&route, self.most - count, limit.bytes - bytes);
            if !shared_out.is_empty() {
                self.buffer.add(shared_out);
                continue;
            }
            let end = if count > 0 { *end.get_or_insert(now + limit.window) } else { now };
            let waits =
                self.receiving.as_ref().is_some_and(|receiving| receiving.waits && !receiving.task.is_finished());
            if (now >= end && waits) || (self.receiving.is_none() && !self.receiver.room(&route)) {
                return Ok(());
            }
            self.receiver.extend_due().await;
            // With nothing in the buffer the queue may be empty: one request is enough to find out.
            let most = if count == 0 { TEN.min(self.most) } else { self.most - count };
            let wait = end.saturating_duration_since(now).min(LONGEST_POLL);
            if wait.is_zero() {
                if self.receive(most, wait).await? == 0 {
                    return Ok(());
                }
                continue;
            }
            // A receive that takes longer goes on; its messages are for the next batch.
            let until = self.receiver.acks(|acks| acks.due()).map_or(end, |due| due.min(end));
            let mut news = self.news.clone();
            tokio::select! {
                received = timeout_at(until, self.receive(most, wait)) => drop(received.unwrap_or(Ok(0))?),
                () = news_arrived(&mut news) => {}
            }
        }
    }

    async fn wait(&mut self) {
        let (most, wait) = (TEN.min(self.most), self.poll);
        let until = self.look.take().unwrap_or_else(|| Instant::now() + LONGEST_POLL * 2);
        let (receiver, mut news) = (self.receiver.clone(), self.news.clone());
        let room = self.receiving.is_some() || receiver.room(&self.reader.route);
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
            () = news_arrived(&mut news) => {}
            () = receiver.extend() => {}
        }
    }
}

/// Waits for news; for ever if the receiver is gone.
async fn news_arrived(news: &mut watch::Receiver<()>) {
    if news.changed().await.is_err() {
        std::future::pending().await
    }
}

impl Lane for QueuePoller {
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
        Box::pin(self.receiver.extend())
    }

    fn settled(&mut self, settled: &[Settled<'_>]) {
        self.buffer.settled(settled.iter().map(|event| event.token));
    }
}

impl Drop for QueuePoller {
    fn drop(&mut self) {
        self.left.lock().extend(self.receiving.take());
    }
}
