//! Receives messages for all routes of this process that read one source, and sends what they settle.
//!
//! Each poller receives for all routes. It keeps the messages for its own route; those for another wait in that route's
//! inbox, which its pollers empty before they receive. Inboxes have a limit in messages and bytes: while one is full
//! nobody receives, so that a route that falls behind or is paused bounds how far the others run ahead. The inbox of a
//! single route is always empty.
//!
//! No lock is held across an await. Extensions and releases that no batch asks for are sent by one poller at a time.

use super::ack_tracker::{AckTracker, QueueChanges};
use super::queue_requests::{MessageChange, SqsQueue};
use super::received_message::ReceivedMessage;
use esclusa_flow::fault::Fault;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Most messages of an inbox; one receive of each poller may exceed it. Together with the messages in work that is well
/// below the 20,000 that a FIFO queue may have in flight.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>, 2026-11.
const FULL: usize = 10_000;
/// Least time between two warnings that a route holds up the others.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The routes that read a source, and how many bytes may wait in the inbox of each.
pub type Routes = BTreeMap<Arc<str>, usize>;

/// The messages that wait for a route.
#[derive(Debug)]
struct Inbox {
    waiting: VecDeque<ReceivedMessage>,
    bytes: usize,
    most: usize,
    /// How often the route has the source open.
    open: usize,
    /// Wakes the route's pollers.
    news: watch::Sender<()>,
}

impl Inbox {
    fn full(&self) -> bool {
        self.waiting.len() >= FULL || self.bytes >= self.most
    }

    /// Adds the messages of one receive. Redelivered ones go first: they have waited before, and a redrive policy may
    /// give them up.
    fn add(&mut self, messages: Vec<ReceivedMessage>) {
        self.bytes += messages.iter().map(|message| message.event.size()).sum::<usize>();
        let (again, new): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.event.attempt() > 1);
        again.into_iter().rev().for_each(|message| self.waiting.push_front(message));
        self.waiting.extend(new);
        self.news.send_replace(());
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }
}

#[derive(Debug)]
struct ReceiverState {
    acks: AckTracker,
    inboxes: BTreeMap<Arc<str>, Inbox>,
    warned: Option<Instant>,
}

impl ReceiverState {
    /// The extensions and other changes that are due. Released messages leave the inboxes.
    fn due_changes(&mut self, now: Instant) -> (Vec<(Box<str>, Duration)>, QueueChanges) {
        let due = (self.acks.extensions(now), self.acks.ready(now));
        let full = |inboxes: &BTreeMap<_, Inbox>| inboxes.values().any(Inbox::full);
        // Pollers of other routes sleep while an inbox is full, and only a change from full wakes them.
        let was_full = full(&self.inboxes);
        for (route, inbox) in &mut self.inboxes {
            inbox.waiting.retain(|message| self.acks.waits(route, &message.receipt.handle));
            inbox.bytes = inbox.waiting.iter().map(|message| message.event.size()).sum();
        }
        if was_full && !full(&self.inboxes) {
            self.wake_all();
        }
        due
    }

    fn wake_all(&self) {
        self.inboxes.values().for_each(|inbox| inbox.news.send_replace(()));
    }
}

/// Receives a queue for all routes of one source.
#[derive(Debug)]
pub struct SharedReceiver {
    /// The queue.
    pub queue: SqsQueue,
    source: Arc<str>,
    state: Mutex<ReceiverState>,
    /// Taken by the poller that extends, or sends changes that no batch asked for.
    turn: tokio::sync::Mutex<()>,
    /// Messages that waited when SQS was last asked.
    waiting: Mutex<Option<u64>>,
}

/// A route has the source open until this is dropped.
#[derive(Debug)]
pub struct RouteSubscription {
    /// The receiver that it shares with other routes.
    pub receiver: Arc<SharedReceiver>,
    route: Arc<str>,
    /// Changes when a message comes for the route, or an inbox is no longer full.
    pub news: watch::Receiver<()>,
}

impl Drop for RouteSubscription {
    fn drop(&mut self) {
        self.receiver.closed(&self.route);
    }
}

impl SharedReceiver {
    /// The receiver of a source that these routes read.
    pub fn new(queue: SqsQueue, source: Arc<str>, routes: &Routes) -> Self {
        let state = ReceiverState { acks: AckTracker::new(queue.visibility), inboxes: BTreeMap::new(), warned: None };
        let receiver = SharedReceiver {
            queue,
            source,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
        };
        receiver.set_routes(routes);
        receiver
    }

    fn state(&self) -> MutexGuard<'_, ReceiverState> {
        self.state.lock()
    }

    /// Calls `with` on the acks, under the lock.
    pub fn acks<T>(&self, with: impl FnOnce(&mut AckTracker) -> T) -> T {
        with(&mut self.state().acks)
    }

    /// Sets the routes that read the source from now on.
    pub fn set_routes(&self, routes: &Routes) {
        let mut state = self.state();
        state.acks.set_routes(routes.keys().cloned().collect(), Instant::now());
        state.inboxes.retain(|route, _| routes.contains_key(route));
        for (route, most) in routes {
            let inbox = state.inboxes.entry(route.clone()).or_insert_with(|| Inbox {
                waiting: VecDeque::new(),
                bytes: 0,
                most: 0,
                open: 0,
                news: watch::Sender::new(()),
            });
            // Zero would count as full for ever, and no route would receive.
            inbox.most = (*most).max(1);
            inbox.news.send_replace(());
        }
    }

    /// Opens the source for a route.
    pub fn open(self: Arc<Self>, route: &Arc<str>) -> RouteSubscription {
        let news = match self.state().inboxes.get_mut(route) {
            Some(inbox) => {
                inbox.open += 1;
                inbox.news.subscribe()
            }
            None => watch::Sender::new(()).subscribe(),
        };
        RouteSubscription { receiver: self, route: route.clone(), news }
    }

    /// Asks the queue how many messages can be received.
    pub async fn measure(&self) {
        match self.queue.backlog().await {
            Ok(backlog) => *self.waiting.lock() = Some(backlog.visible),
            // Receives fail as well then, which the route reports.
            Err(fault) => tracing::debug!(source = %self.source, error = %fault, "cannot count the messages that wait"),
        }
    }

    /// Messages that could be received when the queue was last asked; `None`: it has not answered yet.
    pub fn waiting(&self) -> Option<u64> {
        *self.waiting.lock()
    }

    /// True if a route has the source open.
    pub fn in_use(&self) -> bool {
        self.state().inboxes.values().any(|inbox| inbox.open > 0)
    }

    /// A route has closed the source: its unfinished messages are released. With the last route all messages are.
    fn closed(&self, route: &str) {
        let (now, mut state) = (Instant::now(), self.state());
        let ReceiverState { acks, inboxes, .. } = &mut *state;
        if let Some(inbox) = inboxes.get_mut(route) {
            inbox.open = inbox.open.saturating_sub(1);
        }
        let all = inboxes.values().all(|inbox| inbox.open == 0);
        for (name, inbox) in inboxes.iter_mut().filter(|(name, _)| all || ***name == *route) {
            inbox.clear();
            acks.release_route(name, now);
        }
        state.wake_all();
    }

    /// Receives for all routes; gives the messages for `route`.
    ///
    /// # Errors
    /// A [`Fault`] that names the queue.
    pub async fn receive(&self, route: &str, most: usize, wait: Duration) -> Result<Vec<ReceivedMessage>, Fault> {
        let messages = self.queue.receive(most, wait).await?;
        let (mut own, mut state) = (Vec::with_capacity(messages.len()), self.state());
        let ReceiverState { acks, inboxes, .. } = &mut *state;
        let mut shared_out: BTreeMap<Arc<str>, Vec<ReceivedMessage>> = BTreeMap::new();
        // The route may have closed the source while the receive ran: then the messages wait in its inbox.
        let here = inboxes.get(route).is_some_and(|inbox| inbox.open > 0);
        for message in messages {
            for name in acks.receive(message.event.id(), &message.receipt) {
                let to = if here && *name == *route { &mut own } else { shared_out.entry(name).or_default() };
                to.push(message.clone());
            }
        }
        for (name, messages) in shared_out {
            if let Some(inbox) = inboxes.get_mut(&name) {
                inbox.add(messages);
            }
        }
        Ok(own)
    }

    /// Takes up to `most` messages and about `bytes` bytes from a route's inbox, in order, and at least one if there is
    /// any. Of a FIFO queue it takes all messages of one group: no other poller of the route has any of that group.
    pub fn take(&self, route: &str, most: usize, bytes: usize) -> Vec<ReceivedMessage> {
        let mut state = self.state();
        let ReceiverState { acks, inboxes, .. } = &mut *state;
        let Some(inbox) = inboxes.get_mut(route).filter(|inbox| !inbox.waiting.is_empty()) else { return Vec::new() };
        let (now, was_full) = (Instant::now(), inbox.full());
        let (mut taken, mut size) = (Vec::<ReceivedMessage>::new(), 0);
        while let Some(message) = inbox.waiting.pop_front() {
            inbox.bytes = inbox.bytes.saturating_sub(message.event.size());
            // It may have waited here for longer than its visibility timeout.
            acks.lapse(std::iter::once(&*message.receipt.handle), now);
            if !acks.waits(route, &message.receipt.handle) {
                continue;
            }
            size += message.event.size();
            taken.push(message);
            if self.queue.fifo || taken.len() >= most || size >= bytes {
                break;
            }
        }
        if let Some(group) = taken.first().map(|first| first.receipt.group.clone()).filter(|_| self.queue.fifo) {
            let of_group = |message: &ReceivedMessage| message.receipt.group == group;
            let receipts =
                inbox.waiting.iter().filter(|message| of_group(message)).map(|message| &*message.receipt.handle);
            acks.lapse(receipts, now);
            for message in inbox.waiting.iter().filter(|message| of_group(message)) {
                inbox.bytes = inbox.bytes.saturating_sub(message.event.size());
                if acks.waits(route, &message.receipt.handle) {
                    taken.push(message.clone());
                }
            }
            inbox.waiting.retain(|message| !of_group(message));
        }
        if was_full && !inbox.full() {
            state.wake_all();
        }
        taken
    }

    /// True if no other route's inbox is full.
    pub fn room(&self, route: &str) -> bool {
        let mut state = self.state();
        let full = state.inboxes.iter().find(|(name, inbox)| ***name != *route && inbox.full());
        let Some((behind, messages)) = full.map(|(name, inbox)| (name.clone(), inbox.waiting.len())) else {
            return true;
        };
        let now = Instant::now();
        if state.warned.is_none_or(|warned| warned + WARN_EVERY <= now) {
            state.warned = Some(now);
            tracing::warn!(source = %self.source, queue = %self.queue.name, route = %behind, messages,
                "nothing more is received: what waits for this route has reached its limit; other routes of the source wait for it");
        }
        false
    }

    /// Settles messages of a route: `None` is done, a wait is a release.
    ///
    /// # Errors
    /// A [`Fault`]; the same may be settled again.
    pub async fn settle(&self, route: &str, settled: Vec<(Box<str>, Option<Duration>)>) -> Result<(), Fault> {
        let changes = self.acks(|acks| acks.settle(route, settled, Instant::now()));
        self.apply(&changes).await
    }

    /// Sends the changes that no batch asked for.
    ///
    /// # Errors
    /// A [`Fault`]; the next call sends them again.
    pub async fn flush(&self) -> Result<(), Fault> {
        if self.acks(|acks| acks.ready(Instant::now())) == QueueChanges::default() {
            return Ok(());
        }
        // Asked again after the turn: the poller before may have sent the changes.
        let _turn = self.turn.lock().await;
        let changes = self.acks(|acks| acks.ready(Instant::now()));
        self.apply(&changes).await
    }

    async fn apply(&self, changes: &QueueChanges) -> Result<(), Fault> {
        // Deletes first: a message that is not deleted in time is handled again, a late release only waits.
        let stale = self.queue.change(MessageChange::Delete, &changes.delete).await?;
        self.queue.change(MessageChange::SetVisibility, &changes.release).await?;
        self.acks(|acks| acks.confirm(changes, &stale));
        Ok(())
    }

    /// Sends the extensions that are due; false if that failed and is to be tried again soon.
    pub async fn extend_due(&self) -> bool {
        let nothing = |due: Option<Instant>| due.is_none_or(|due| due > Instant::now());
        if nothing(self.acks(|acks| acks.due())) {
            return true;
        }
        let _turn = self.turn.lock().await;
        let now = Instant::now();
        let (extensions, released) = self.state().due_changes(now);
        let done = async {
            let lost = self.queue.change(MessageChange::SetVisibility, &extensions).await?;
            self.acks(|acks| {
                acks.extended(now, &extensions);
                acks.lost(&lost, Instant::now());
            });
            self.apply(&released).await
        };
        match done.await {
            Ok(()) => true,
            Err(fault) => {
                tracing::warn!(source = %self.source, error = %fault, "cannot extend the visibility timeout; trying again");
                false
            }
        }
    }

    /// Keeps all received messages invisible, also those that other pollers receive meanwhile. Never ends; cancel-safe.
    pub async fn extend(&self) {
        let mut warned = false;
        loop {
            let Some(due) = self.acks(|acks| acks.due()) else {
                if !warned && self.acks(|acks| acks.any_open()) {
                    warned = true;
                    tracing::warn!(source = %self.source, "messages are held for twelve hours, SQS' limit: they come again");
                }
                sleep(self.queue.visibility / 4).await;
                continue;
            };
            sleep_until(due.min(Instant::now() + self.queue.visibility / 4)).await;
            if !self.extend_due().await {
                sleep(self.queue.visibility / 8).await;
            }
        }
    }
}
