//! Which leases to take: what is expired, how many are ours to have, and whom to steal from. Pure.

use super::Lease;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tokio::time::Instant;

/// What was seen of the leases of others, and since when: a lease whose counter stands still for its duration on this
/// process' own clock is expired, whatever the clocks of others say (reliability X2).
#[derive(Debug, Default)]
pub struct LeaseWatch(HashMap<String, SeenLease>);

#[derive(Debug)]
struct SeenLease {
    counter: u64,
    owner: Option<String>,
    since: Instant,
    /// It has changed since it was seen first: whoever has it lives, or has lived until then.
    moved: bool,
}

impl LeaseWatch {
    /// Notes what the table holds at `now`.
    pub fn observe(&mut self, leases: &[Lease], now: Instant) {
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

    /// True where somebody was seen to take or to renew the lease.
    #[must_use]
    pub fn moving(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|seen| seen.moved)
    }

    /// True where nobody has renewed the lease for `duration`.
    #[must_use]
    pub fn expired(&self, key: &str, now: Instant, duration: Duration) -> bool {
        self.0.get(key).is_some_and(|seen| now.saturating_duration_since(seen.since) >= duration)
    }
}

/// A lease whose shard may be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The shard.
    pub key: &'a str,
    /// Who has it.
    pub holder: Holder<'a>,
}

/// Who has a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// This worker.
    Me,
    /// Nobody: released, expired, or ours by the table and not in our hands.
    Nobody,
    /// A worker that renews it.
    Other(&'a str),
}

/// The leases that `me` takes now. Each worker aims at its fair share, takes what nobody has, and where nothing of that
/// is left steals one from the worker that has most.
#[must_use]
pub fn choose<'a>(candidates: &[Candidate<'a>], me: &str) -> Vec<&'a str> {
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
    // Everybody takes in an order of its own, so that workers rarely want the same.
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
