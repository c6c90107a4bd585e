//! Decides which leases to take: which have expired, how many this worker may have, and from which worker to steal.
//! Pure.

use super::Lease;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tokio::time::Instant;

/// The leases of other workers as they were seen, and since when. A lease whose counter stands still for its duration
/// has expired. Only this process' own clock counts (failures.md X2).
#[derive(Debug, Default)]
pub(crate) struct LeaseWatch(HashMap<String, SeenLease>);

#[derive(Debug)]
struct SeenLease {
    counter: u64,
    owner: Option<String>,
    since: Instant,
    /// It has changed since it was first seen: its worker lives, or lived until then.
    moved: bool,
}

impl LeaseWatch {
    /// Notes the leases of the table at `now`.
    pub(crate) fn observe(&mut self, leases: &[Lease], now: Instant) {
        self.0.retain(|key, _| leases.iter().any(|lease| lease.key == *key));
        for lease in leases {
            let fresh = |moved| SeenLease { counter: lease.counter, owner: lease.owner.clone(), since: now, moved };
            match self.0.entry(lease.key.clone()) {
                Entry::Vacant(vacant) => drop(vacant.insert(fresh(false))),
                Entry::Occupied(mut seen) if seen.get().counter != lease.counter || seen.get().owner != lease.owner => {
                    seen.insert(fresh(true));
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// True if the lease was seen to be taken or renewed.
    #[must_use]
    pub(crate) fn moving(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|seen| seen.moved)
    }

    /// True if the lease was not renewed for `duration`.
    #[must_use]
    pub(crate) fn expired(&self, key: &str, now: Instant, duration: Duration) -> bool {
        self.0.get(key).is_some_and(|seen| now.saturating_duration_since(seen.since) >= duration)
    }
}

/// A lease whose shard may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate<'a> {
    /// The shard.
    pub key: &'a str,
    /// Who has it.
    pub holder: Holder<'a>,
}

/// Who has a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder<'a> {
    /// This worker.
    Me,
    /// No worker: it is released or expired, or the table says that this worker has it, but it does not hold it.
    Nobody,
    /// A worker that renews it.
    Other(&'a str),
}

/// The leases that `me` takes now. Each worker aims at its fair number and takes free leases. If there are none left it
/// steals one lease from the worker that has most.
#[must_use]
pub(crate) fn choose<'a>(candidates: &[Candidate<'a>], me: &str) -> Vec<&'a str> {
    let mut loads: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut mine, mut free) = (0usize, Vec::new());
    for candidate in candidates {
        match candidate.holder {
            Holder::Me => mine += 1,
            Holder::Nobody => free.push(candidate.key),
            Holder::Other(worker) => *loads.entry(worker).or_default() += 1,
        }
    }
    let target = candidates.len().div_ceil(loads.len() + 1);
    let needed = target.saturating_sub(mine);
    // Each worker takes in an order of its own, so that two rarely want the same lease.
    let order = |key: &str| spread(me, key);
    free.sort_by_key(|key| order(key));
    free.truncate(needed);
    if !free.is_empty() || needed == 0 {
        return free;
    }
    let Some((victim, most)) = loads.into_iter().max_by_key(|(worker, load)| (*load, spread(me, worker))) else {
        return Vec::new();
    };
    // Below its target by one, a worker steals only from one above it: otherwise the two would take turns.
    let fair = if needed > 1 { target } else { target + 1 };
    if most < fair {
        return Vec::new();
    }
    let theirs = candidates.iter().filter(|candidate| candidate.holder == Holder::Other(victim));
    theirs.map(|candidate| candidate.key).min_by_key(|key| order(key)).into_iter().collect()
}

fn spread(me: &str, key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (me, key).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
