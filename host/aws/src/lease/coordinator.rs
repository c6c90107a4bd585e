//! Two tasks of each worker: one takes leases, one renews them. Neither waits for the pipeline (failures.md K7), and no
//! error ends them: they try again (K8, K9). They end when the source closes, but never between a request and its
//! answer: nobody could release a lease whose taking was not noticed.

use super::Lease;
use super::assign::{Candidate, Holder, LeaseWatch, choose};
use super::lease_table::{LeaseRows, LeaseTable, OtherRow, Written};
use super::registry::{Holding, LeaseRegistry};
use crate::lineage::{Descent, KnownShard, KnownShards, NewShard, Shard, ShardList, may_start, missing, report_gap};
use crate::retry::jitter;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::{Lag, LagFault};
use esclusa_flow::settings::Start;
use esclusa_flow::timestamp::Timestamp;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, timeout};

/// A lease that was just taken, with its shard.
#[derive(Debug)]
pub(crate) struct TakenLease {
    /// The lease as it is now.
    pub lease: Lease,
    /// This worker's hold on it.
    pub holding: Holding,
    /// When the worker that had it stops writing at the latest; `None`: it has stopped already.
    pub quiet: Option<Instant>,
}

/// Takes leases.
pub(crate) struct Coordinator {
    /// The leases.
    pub table: LeaseTable,
    /// The stream of the shards.
    pub stream: Arc<dyn ShardList>,
    /// The start of shards that exist at the first start of the group.
    pub start: Start,
    /// A shard waits for those that it came from.
    pub ordered: bool,
    /// The leases that this worker holds.
    pub registry: Arc<LeaseRegistry>,
    /// Sends taken leases to the source.
    pub taken: UnboundedSender<TakenLease>,
    /// How often shards are discovered, about.
    pub discovery: Duration,
    /// Shows the state of the shards.
    pub lag: Arc<Lag>,
    /// The leases of other workers as they were seen.
    pub watch: LeaseWatch,
    /// The shards as they were listed last, and when that is to be done again.
    pub listing: Option<(Vec<Shard>, Instant)>,
    /// Since when a lease that could be worked on has no owner.
    pub orphans: HashMap<String, Instant>,
    /// The rows of the table that are no leases, as they were reported last.
    pub others: Vec<OtherRow>,
    /// Becomes true when the source closes.
    pub closing: Receiver<bool>,
}

impl Coordinator {
    /// Works until the source closes.
    pub(crate) async fn run(mut self) {
        let (mut failures, mut closing) = (0u32, self.closing.clone());
        while !*closing.borrow() {
            let pause = match self.watched_round().await {
                Ok(unreadable) => {
                    failures = 0;
                    self.show(unreadable);
                    jitter(self.registry.duration / 3)
                }
                Err(fault) => {
                    self.show(Some(format!("cannot look after the leases: {fault}")));
                    tracing::warn!(worker = self.table.me(), error = %fault, "cannot look after the leases; trying again");
                    failures = failures.saturating_add(1);
                    jitter(
                        (self.registry.duration / 10).saturating_mul(1 << failures.min(5)).min(Duration::from_secs(30)),
                    )
                }
            };
            let rest = async {
                let changed = self.registry.changed.notified();
                if failures > 0 {
                    sleep(pause).await;
                } else if timeout(pause, changed).await.is_ok() {
                    // Several lanes often end at the same moment: after a short wait one round serves them all.
                    sleep(self.registry.duration / 100).await;
                }
            };
            unless_closing(&mut closing, rest).await;
        }
    }

    /// Shows what keeps shards from being read, or that nothing does.
    fn show(&self, message: Option<String>) {
        self.lag.set_fault(message.map(fault));
    }

    /// A round. One that does not end is shown too, but never given up: a lease that it takes would be nobody's.
    async fn watched_round(&mut self) -> Result<Option<String>, Fault> {
        let (lag, long) = (Arc::clone(&self.lag), self.registry.duration * 3);
        let mut round = pin!(self.round());
        if let Ok(done) = timeout(long, &mut round).await {
            return done;
        }
        let message = format!("cannot look after the leases: no answer for {} s", long.as_secs());
        lag.set_fault(Some(fault(message)));
        round.await
    }

    /// Gives leases to new shards and takes leases. What fails at one of these, or for one lease, does not stop the
    /// rest. `Some`: rows of shards that cannot be read.
    async fn round(&mut self) -> Result<Option<String>, Fault> {
        // Before the shards are listed: see `discover`.
        let mut rows = self.table.rows().await?;
        let discovered = self.discover(&mut rows).await;
        let taken = self.take_ready(&rows, discovered.is_ok()).await;
        discovered.and(taken)?;
        Ok(self.unreadable(rows))
    }

    /// Gives leases to shards that have none, and forgets those of shards that are done and gone.
    async fn discover(&mut self, rows: &mut LeaseRows) -> Result<(), Fault> {
        let (mut listed, fresh) = self.list(false).await?;
        // KCL deletes the lease of a finished shard once its children have leases. A list that is older than the rows
        // may still show the shard as open and without children: it would be read again.
        if !fresh && !missing(&listed, &known(Some(&listed), rows), self.start).is_empty() {
            (listed, _) = self.list(true).await?;
        }
        if self.add_missing(&listed, rows).await? {
            *rows = self.table.rows().await?;
        }
        self.forget_trimmed(&listed, &rows.leases).await
    }

    /// Takes leases whose shards may be read. `complete`: all shards have a lease.
    async fn take_ready(&mut self, rows: &LeaseRows, complete: bool) -> Result<(), Fault> {
        let (leases, now, mut result) = (&rows.leases, Instant::now(), Ok(()));
        self.watch.observe(leases, now);
        let known = known(self.listing.as_ref().map(|(shards, _)| &**shards), rows);
        let ready = |lease: &&Lease| !lease.finished() && (!self.ordered || may_start(&lease.parents, &known));
        let ready: Vec<&Lease> = leases.iter().filter(ready).collect();
        let candidates: Vec<_> = ready.iter().filter_map(|lease| self.candidate(lease, now)).collect();
        let chosen = choose(&candidates, self.table.me());
        for lease in ready.iter().filter(|lease| chosen.contains(&lease.key.as_str())) {
            if *self.closing.borrow() {
                return Ok(());
            }
            let alive = candidates.iter().any(|c| c.key == lease.key && matches!(c.holder, Holder::Other(_)));
            result = result.and(self.take(lease, alive).await);
        }
        self.note_orphans(&candidates, now);
        let settled = |candidate: &Candidate<'_>| {
            let living = matches!(candidate.holder, Holder::Other(_)) && self.watch.moving(candidate.key);
            living || self.registry.holds(candidate.key)
        };
        let all = candidates.len() == ready.len() && candidates.iter().all(settled);
        self.registry.note_round(complete && result.is_ok() && all);
        result
    }

    /// The shards, and whether the service was asked just now: if `again`, if its last answer is too old, or if a shard
    /// has ended since.
    async fn list(&mut self, again: bool) -> Result<(Vec<Shard>, bool), Fault> {
        let ended = self.registry.take_ended();
        if let Some((shards, due)) = &mut self.listing {
            if !again && !ended && Instant::now() < *due {
                return Ok((shards.clone(), false));
            }
            // If the service does not answer now, it is asked again in the next round.
            *due = Instant::now();
        }
        let shards = self.stream.list().await?;
        self.listing = Some((shards.clone(), Instant::now() + jitter(self.discovery)));
        Ok((shards, true))
    }

    async fn add_missing(&self, listed: &[Shard], rows: &LeaseRows) -> Result<bool, Fault> {
        let mut added = false;
        for new in missing(listed, &known(Some(listed), rows), self.start) {
            tracing::info!(shard = new.shard.id, start = ?new.start, "a new shard");
            if self.table.add(&Lease::new(&new)).await? && new.descent == Descent::Orphan {
                report_gap(&self.lag, self.stream.name(), new.shard);
            }
            added = true;
        }
        Ok(added)
    }

    /// Deletes the leases of finished shards that are not listed any more: their children were added before.
    async fn forget_trimmed(&self, listed: &[Shard], leases: &[Lease]) -> Result<(), Fault> {
        // A stream always has shards: an empty list is no evidence.
        let gone = |lease: &&Lease| lease.finished() && !listed.is_empty() && !listed.iter().any(|s| s.id == lease.key);
        // One lease always stays: without any the group would look new and start again.
        let rest = leases.len().saturating_sub(1);
        for lease in leases.iter().filter(gone).take(rest) {
            self.table.forget(&lease.key).await?;
        }
        Ok(())
    }

    /// Reports rows that are no leases, once each, and gives those of them that keep a shard from being read.
    fn unreadable(&mut self, rows: LeaseRows) -> Option<String> {
        let table = self.table.name();
        for row in rows.others.iter().filter(|row| !self.others.contains(row)) {
            match &row.unreadable {
                Some(why) => tracing::warn!(table, row = row.key, why, "a row of the lease table is left alone"),
                None => tracing::info!(table, row = row.key, "a row of the lease table is no lease; it is left alone"),
            }
        }
        self.others = rows.others;
        let (listed, _) = self.listing.as_ref()?;
        let mut stuck = self.others.iter().filter(|row| listed.iter().any(|shard| shard.id == row.key));
        let first = stuck.next()?;
        let why = first.unreadable.as_deref().unwrap_or("the row says that it is no lease of this stream");
        Some(format!(
            "lease table {table:?}: {} row(s) of shards cannot be read, and these shards are not: shard {:?}: {why}. correct or delete the row",
            stuck.count() + 1,
            first.key
        ))
    }

    /// `None`: the lease is free, but a lane of this worker's last hold has to end first.
    fn candidate<'a>(&self, lease: &'a Lease, now: Instant) -> Option<Candidate<'a>> {
        let holder = match lease.owner.as_deref() {
            Some(owner) if owner == self.table.me() => {
                if self.registry.holds(&lease.key) {
                    Holder::Me
                } else {
                    Holder::Nobody
                }
            }
            Some(owner) if !self.watch.expired(&lease.key, now, self.registry.duration) => Holder::Other(owner),
            _ => Holder::Nobody,
        };
        if holder == Holder::Nobody && self.registry.has_lane(&lease.key) {
            return None;
        }
        Some(Candidate { key: &lease.key, holder })
    }

    /// Takes a lease; its worker may be `alive`.
    async fn take(&self, seen: &Lease, alive: bool) -> Result<(), Fault> {
        let at = Instant::now();
        let written = self.table.take(seen).await;
        // Also if there was no answer: the lease may be this worker's by the table then, and is taken again.
        if alive && !matches!(written, Ok(Written::No(_))) {
            self.registry.note_theft(&seen.key);
        }
        if let Written::Yes(lease) = written? {
            // A lane of this worker reached the shard's end after the leases were read.
            if lease.finished() {
                return Ok(());
            }
            tracing::info!(shard = lease.key, before = seen.owner, worker = self.table.me(), "lease taken");
            let holding = self.registry.hold(&lease, at);
            let quiet = self.registry.quiet(&lease.key);
            // The source is gone: the lease expires by itself.
            let _ = self.taken.send(TakenLease { lease: *lease, holding, quiet });
        }
        Ok(())
    }

    /// A shard without owner is not read: an operator must see it (failures.md D1, K9).
    fn note_orphans(&mut self, candidates: &[Candidate<'_>], now: Instant) {
        let free = |key: &str| {
            candidates.iter().any(|c| c.key == key && c.holder == Holder::Nobody) && !self.registry.holds(key)
        };
        self.orphans.retain(|key, _| free(key));
        for candidate in candidates.iter().filter(|c| c.holder == Holder::Nobody && !self.registry.holds(c.key)) {
            self.orphans.entry(candidate.key.to_owned()).or_insert(now);
        }
        self.lag.set_unowned(self.orphans.len());
        for (shard, since) in &self.orphans {
            let waiting = now.saturating_duration_since(*since);
            if waiting > self.registry.duration * 3 {
                tracing::warn!(shard, seconds = waiting.as_secs(), "no worker reads this shard");
            }
        }
    }
}

/// A fault that is seen now.
fn fault(message: String) -> LagFault {
    LagFault { at: Timestamp::from(SystemTime::now()).millis(), message }
}

/// The shards that the group knows. A row that cannot be read may be of a shard that is not finished; it counts only if
/// that shard can still be read.
fn known(listed: Option<&[Shard]>, rows: &LeaseRows) -> KnownShards {
    let exists = |key: &str| listed.is_none_or(|listed| listed.iter().any(|shard| shard.id == key));
    let others = rows.others.iter().filter(|row| exists(&row.key));
    let others = others.map(|row| (row.key.clone(), KnownShard { finished: false, first: false }));
    let leases = rows.leases.iter();
    leases
        .map(|lease| (lease.key.clone(), KnownShard { finished: lease.finished(), first: lease.first }))
        .chain(others)
        .collect()
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // A closed channel means that the source is gone: the task did not end by itself.
        let source_ends = *self.closing.borrow() || self.closing.has_changed().is_err();
        self.show((!source_ends).then(|| "the task that looks after the leases broke: restart the router".to_owned()));
    }
}

impl Lease {
    fn new(NewShard { shard, start, descent }: &NewShard<'_>) -> Self {
        Lease {
            key: shard.id.clone(),
            owner: None,
            counter: 0,
            checkpoint: start.clone(),
            pending: None,
            parents: shard.parents.clone(),
            hashes: shard.hashes,
            opened: None,
            first: *descent == Descent::First,
        }
    }
}

/// Renews all leases that are held, at a third of their duration, until the source closes.
pub(crate) async fn renew(table: LeaseTable, registry: Arc<LeaseRegistry>, mut closing: Receiver<bool>) {
    let duration = registry.duration;
    while !*closing.borrow() {
        let renewals = registry.renewals();
        let results = join_all(renewals.iter().map(|(key, counter)| renew_one(&table, &registry, key, *counter))).await;
        for key in registry.overdue(Instant::now()) {
            tracing::warn!(shard = key, worker = table.me(), "the lease could not be renewed in time; it is given up");
            registry.lose(&key);
        }
        // Sooner after a failure, so that several tries are left before the lease expires.
        let failed = results.into_iter().any(|renewed| !renewed);
        unless_closing(&mut closing, sleep(jitter(if failed { duration / 12 } else { duration / 3 }))).await;
    }
}

/// Waits for `rest`, or until the source closes.
async fn unless_closing(closing: &mut Receiver<bool>, rest: impl Future<Output = ()>) {
    tokio::select! {
        // An error means that the source is gone.
        _ = closing.wait_for(|closing| *closing) => {}
        () = rest => {}
    }
}

/// True if the lease was renewed or is known to be lost.
async fn renew_one(table: &LeaseTable, registry: &LeaseRegistry, key: &str, counter: u64) -> bool {
    let at = Instant::now();
    match timeout(registry.duration / 3, table.renew(key, counter)).await {
        Ok(Ok(Written::Yes(lease))) => registry.renewed(key, lease.counter, at),
        // The answer to an earlier renewal was lost.
        Ok(Ok(Written::No(Some(lease)))) if lease.owner.as_deref() == Some(table.me()) => {
            registry.recounted(key, lease.counter);
            return false;
        }
        Ok(Ok(Written::No(_))) => {
            tracing::info!(shard = key, worker = table.me(), "lease lost");
            registry.lose(key);
        }
        Ok(Err(fault)) => {
            tracing::warn!(shard = key, error = %fault, "cannot renew the lease; trying again");
            return false;
        }
        Err(_) => return false,
    }
    true
}
