//! Two tasks of each worker: one takes leases, one renews them. Neither waits for the pipeline (reliability K7), and no
//! error ends them: they try again (K8, K9). They end when the source closes, but never between a request and its
//! answer: nobody could release a lease whose taking was not noticed.

use super::Lease;
use super::assign::{Candidate, Holder, LeaseWatch, choose};
use super::lease_table::{LeaseTable, Written};
use super::registry::{Holding, LeaseRegistry};
use crate::lineage::{Descent, KnownShard, KnownShards, NewShard, Shard, ShardList, may_start, missing, report_gap};
use crate::retry::jitter;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::Start;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
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
    /// Becomes true when the source closes.
    pub closing: Receiver<bool>,
}

impl Coordinator {
    /// Works until the source closes.
    pub(crate) async fn run(mut self) {
        let (mut failures, mut closing) = (0u32, self.closing.clone());
        while !*closing.borrow() {
            let pause = match self.round().await {
                Ok(()) => {
                    failures = 0;
                    jitter(self.registry.duration / 3)
                }
                Err(fault) => {
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

    async fn round(&mut self) -> Result<(), Fault> {
        let listed = self.list().await?;
        let mut leases = self.table.leases().await?;
        if self.add_missing(&listed, &leases).await? {
            leases = self.table.leases().await?;
        }
        self.forget_trimmed(&listed, &leases).await?;
        let now = Instant::now();
        self.watch.observe(&leases, now);
        let known = known(&leases);
        let ready = |lease: &&Lease| !lease.finished() && (!self.ordered || may_start(&lease.parents, &known));
        let ready: Vec<&Lease> = leases.iter().filter(ready).collect();
        let candidates: Vec<_> = ready.iter().filter_map(|lease| self.candidate(lease, now)).collect();
        let chosen = choose(&candidates, self.table.me());
        for lease in ready.iter().filter(|lease| chosen.contains(&lease.key.as_str())) {
            if *self.closing.borrow() {
                return Ok(());
            }
            let alive = candidates.iter().any(|c| c.key == lease.key && matches!(c.holder, Holder::Other(_)));
            self.take(lease, alive).await?;
        }
        self.note_orphans(&candidates, now);
        let settled = |candidate: &Candidate<'_>| {
            let living = matches!(candidate.holder, Holder::Other(_)) && self.watch.moving(candidate.key);
            living || self.registry.holds(candidate.key)
        };
        self.registry.note_round(candidates.len() == ready.len() && candidates.iter().all(settled));
        Ok(())
    }

    /// The shards. The service is asked if its last answer is too old or a shard has ended since.
    async fn list(&mut self) -> Result<Vec<Shard>, Fault> {
        let ended = self.registry.take_ended();
        match &self.listing {
            Some((shards, due)) if !ended && Instant::now() < *due => Ok(shards.clone()),
            _ => {
                let shards = self.stream.list().await?;
                self.listing = Some((shards.clone(), Instant::now() + jitter(self.discovery)));
                Ok(shards)
            }
        }
    }

    async fn add_missing(&self, listed: &[Shard], leases: &[Lease]) -> Result<bool, Fault> {
        let mut added = false;
        let known = known(leases);
        for new in missing(listed, &known, self.start) {
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

    /// Takes a lease. Its worker, if it is `alive`, notices with its next renewal, or when a lease's duration has
    /// passed since the last one: until then it may write.
    async fn take(&self, seen: &Lease, alive: bool) -> Result<(), Fault> {
        let at = Instant::now();
        if let Written::Yes(lease) = self.table.take(seen).await? {
            // A lane of this worker reached the shard's end after the leases were read.
            if lease.finished() {
                return Ok(());
            }
            tracing::info!(shard = lease.key, before = seen.owner, worker = self.table.me(), "lease taken");
            let holding = self.registry.hold(&lease, at);
            let quiet = alive.then(|| Instant::now() + self.registry.duration);
            // The source is gone: the lease expires by itself.
            let _ = self.taken.send(TakenLease { lease: *lease, holding, quiet });
        }
        Ok(())
    }

    /// A shard without owner is not read: an operator must see it (reliability D1, K9).
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

/// The shards that the group knows.
fn known(leases: &[Lease]) -> KnownShards {
    let known = |lease: &Lease| KnownShard { finished: lease.finished(), first: lease.first };
    leases.iter().map(|lease| (lease.key.clone(), known(lease))).collect()
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
