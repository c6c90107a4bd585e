//! The one thread that writes: it takes the jobs that wait, runs them in one transaction, writes it with one sync, and answers
//! them all. After a failed write it writes nothing more: only opening the store again shows which bytes the disk
//! took.
//!
//! Jobs run in order, but a heavy route's job lets the waiting light jobs go first: see [`job_queue`].

mod disk_budget;
mod job_queue;

use crate::clock;
use crate::disk::mark::{Mark, MarkFile};
use crate::disk::{Disk, describe};
use crate::transaction::{Transaction, WriterMemory};
use esclusa_flow::fault::Fault;
use fjall::PersistMode;
pub use job_queue::GROUP_BYTES;

use disk_budget::DiskBudget;
use job_queue::JobQueue;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// The writer flushes only if at least this many bytes are unflushed. Then an idle router does not keep them in memory, and the
/// next start does not read them from the journal again.
const WORTH_FLUSHING: usize = 1 << 20;
/// How long nothing is written before memory is flushed.
const QUIET: Duration = Duration::from_secs(5);
/// How long closing waits for a flush. Unflushed writes are in the journal, which the next start reads.
const FLUSH: Duration = Duration::from_secs(5);
/// How often old records are trimmed and unfinished objects renamed.
const TICK: Duration = Duration::from_secs(1);

type JobReply = Box<dyn FnOnce(Result<(), Fault>) + Send>;
type JobWork = Box<dyn for<'a, 'b> FnOnce(Result<&'a mut Transaction<'b>, Fault>) -> JobReply + Send>;
/// Work done every second or so.
pub(crate) type Tick = Box<dyn FnMut(&mut Transaction<'_>) + Send>;

/// The durability that a job needs, and its place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Durable when answered.
    Durable,
    /// In the operating system's hands when answered: survives the process, not the machine.
    Written,
    /// Durable, and alone in its group; done on a full disk too.
    Alone,
    /// Durable, and may use the reserve of the disk, because it frees space.
    Frees,
}

struct WriterJob {
    run: JobWork,
    bytes: usize,
    demand: Demand,
    /// The route whose commit it is.
    route: Option<Arc<str>>,
}

/// A handle on the writer's thread.
pub(crate) struct Writer {
    jobs: Mutex<Option<Sender<WriterJob>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The parts that the writer's thread owns.
pub(crate) struct WriterSetup {
    /// The store's disk.
    pub disk: Disk,
    /// State kept between groups.
    pub memory: WriterMemory,
    /// The mark of the last sync.
    pub mark: MarkFile,
    /// Bytes of the disk that are left unused.
    pub reserve: u64,
    /// Gets the number of commits after every group.
    pub version: watch::Sender<u64>,
    /// Gets the reason once a write has failed.
    pub failed: watch::Sender<Option<String>>,
    /// Regular work.
    pub tick: Tick,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(setup: WriterSetup) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread =
            std::thread::Builder::new().name("esclusa-writer".to_owned()).spawn(move || setup.run(&receiver))?;
        Ok(Writer { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Queues `work` for one of the next groups, and calls `reply` when `demand` holds for it.
    pub(crate) fn submit<T, E>(
        &self,
        bytes: usize,
        demand: Demand,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        reply: impl FnOnce(Result<T, E>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        self.submit_of(None, bytes, demand, work, reply);
    }

    /// Like [`Self::submit`], for a commit of a route.
    pub(crate) fn submit_of<T, E>(
        &self,
        route: Option<Arc<str>>,
        bytes: usize,
        demand: Demand,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        reply: impl FnOnce(Result<T, E>) + Send + 'static,
    ) where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let run: JobWork = Box::new(move |transaction| {
            let result = transaction.map_err(E::from).and_then(|transaction| {
                let mark = transaction.mark();
                work(transaction).inspect_err(|_| transaction.rollback(&mark))
            });
            Box::new(move |durable| reply(result.and_then(|value| durable.map(|()| value).map_err(E::from))))
        });
        let sender = self.jobs.lock().clone();
        let job = WriterJob { run, bytes, demand, route };
        let refused = match sender {
            Some(sender) => sender.send(job).err().map(|error| error.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            (job.run)(Err(Fault::Permanent("the store is closed".to_owned())))(Ok(()));
        }
    }

    /// Like [`Self::submit`]; the calling task awaits the result.
    pub(crate) async fn perform<T, E>(
        &self,
        bytes: usize,
        demand: Demand,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        self.ask(None, bytes, demand, work).await
    }

    /// Like [`Self::perform`], for a commit of a route: durable.
    pub(crate) async fn commit<T, E>(
        &self,
        route: Arc<str>,
        bytes: usize,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        self.ask(Some(route), bytes, Demand::Durable, work).await
    }

    async fn ask<T, E>(
        &self,
        route: Option<Arc<str>>,
        bytes: usize,
        demand: Demand,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.submit_of(route, bytes, demand, work, move |result| {
            let _ = reply.send(result);
        });
        answer.await.unwrap_or_else(|_| Err(E::from(stopped())))
    }

    /// Like [`Self::submit`]; blocks the calling thread until the job is done. Not for runtime threads.
    pub(crate) fn perform_blocking<T, E>(
        &self,
        bytes: usize,
        demand: Demand,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let (reply, answer) = channel();
        self.submit(bytes, demand, work, move |result| {
            let _ = reply.send(result);
        });
        answer.recv().unwrap_or_else(|_| Err(E::from(stopped())))
    }

    /// Finishes the jobs that wait, then stops the thread.
    pub(crate) fn stop(&self) {
        drop(self.jobs.lock().take());
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            // The last handle may be dropped by a job on this very thread, which cannot join itself.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
        }
    }
}

fn stopped() -> Fault {
    Fault::Permanent("the writer of the store has stopped".to_owned())
}

/// Writes that are durable in the journal and not in the trees' files yet.
struct Unflushed {
    bytes: usize,
    /// Time of the last write.
    last: Instant,
}

impl Unflushed {
    fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.last = clock::monotonic();
    }

    /// Begins a flush if there is enough to flush; true if it did. Does nothing if the disk is nearly full: the journal already
    /// has these bytes, and the database takes no more writes after a flush that failed.
    fn flush(&mut self, disk: &Disk, reserve: u64) -> bool {
        let room = || disk.available().is_ok_and(|free| free >= reserve.saturating_add(self.bytes as u64));
        let worth = self.bytes >= WORTH_FLUSHING && room();
        if worth {
            self.bytes = 0;
            if let Err(error) = disk.flush() {
                tracing::warn!(error = describe(&error), "the store's memory could not be flushed");
            }
        }
        worth
    }
}

impl WriterSetup {
    fn run(mut self, jobs: &Receiver<WriterJob>) {
        let mut ticked = clock::monotonic();
        let mut memory = Unflushed { bytes: 0, last: ticked };
        let mut queue = JobQueue::default();
        loop {
            if queue.is_empty() {
                match jobs.recv_timeout(TICK.saturating_sub(ticked.elapsed())) {
                    Ok(job) => queue.push(job),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            queue.fill(jobs);
            if !queue.is_empty() {
                memory.add(self.group(&mut queue));
            }
            if ticked.elapsed() >= TICK {
                ticked = clock::monotonic();
                self.tick();
                if memory.last.elapsed() >= QUIET {
                    memory.flush(&self.disk, self.reserve);
                }
            }
        }
        if self.failed.borrow().is_some() {
            return;
        }
        if let Err(error) = self.disk.sync() {
            tracing::error!(error = describe(&error), "the store could not be synced when it was closed");
        }
        self.mark(true);
        if memory.flush(&self.disk, self.reserve) {
            let end = clock::monotonic() + FLUSH;
            while !self.disk.flushed() && clock::monotonic() < end {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Runs the next group; gives the estimated bytes of its jobs.
    fn group(&mut self, queue: &mut JobQueue) -> usize {
        let mut mode = PersistMode::Buffer;
        let (mut room, mut group) = (DiskBudget::of(&self.disk), queue.group());
        let mut transaction = Transaction::new(&self.disk, &mut self.memory, clock::wall_millis());
        let mut finishes = Vec::new();
        while let Some(job) = group.next(transaction.spent) {
            // One job that needs it makes the whole group durable: the sync costs the same.
            if job.demand != Demand::Written {
                mode = PersistMode::SyncData;
            }
            let refusal = match &*self.failed.borrow() {
                Some(reason) => Some(broken(reason)),
                None => room.take(&job, self.reserve).err(),
            };
            let finish = match refusal {
                Some(fault) => (job.run)(Err(fault)),
                None => (job.run)(Ok(&mut transaction)),
            };
            finishes.push(finish);
        }
        let bytes = group.end(transaction.spent);
        let writes = !transaction.is_empty();
        let result = finish(&mut transaction, mode, &self.failed);
        // A group without writes has synced nothing.
        if result.is_ok() && writes && mode == PersistMode::SyncData {
            self.mark(false);
        }
        // Before the answers: a task that has its answer finds its commit counted.
        if result.is_ok() {
            self.version.send_if_modified(|v| {
                std::mem::replace(v, self.memory.sequences.version) != self.memory.sequences.version
            });
        }
        finishes.into_iter().for_each(|finish| finish(result.clone()));
        bytes
    }

    /// Notes that everything written so far is durable.
    fn mark(&self, closed: bool) {
        let mark = Mark { batch: self.memory.batch, seqno: self.disk.database.visible_seqno(), closed };
        let written = self.mark.write(mark).and_then(|()| if closed { self.mark.sync() } else { Ok(()) });
        if let Err(error) = written {
            // An older mark is true as well.
            tracing::warn!(%error, "the mark of the last sync could not be written");
        }
    }

    fn tick(&mut self) {
        // A write that fails halfway ends the store, and this one can wait.
        if self.failed.borrow().is_some() || !DiskBudget::of(&self.disk).has(Demand::Frees, 0, self.reserve) {
            return;
        }
        let mut transaction = Transaction::new(&self.disk, &mut self.memory, clock::wall_millis());
        (self.tick)(&mut transaction);
        // `finish` has stored a failure in `failed`, which refuses every later job.
        let _ = finish(&mut transaction, PersistMode::Buffer, &self.failed);
    }
}

/// Writes the group, then runs the work that waits for it.
fn finish(
    transaction: &mut Transaction<'_>,
    mode: PersistMode,
    failed: &watch::Sender<Option<String>>,
) -> Result<(), Fault> {
    if !transaction.is_empty()
        && let Err(error) = transaction.write(Some(mode))
    {
        let reason = describe(&error);
        tracing::error!(reason, "a write to the store failed; nothing more is written until it is opened again");
        let fault = broken(&reason);
        failed.send_replace(Some(reason));
        return Err(fault);
    }
    transaction.take_after().into_iter().for_each(|work| work());
    Ok(())
}

fn broken(reason: &str) -> Fault {
    Fault::Permanent(format!(
        "the store stopped writing after an error of its disk: {reason}; nothing acknowledged is lost: mend the disk and start the router again"
    ))
}
