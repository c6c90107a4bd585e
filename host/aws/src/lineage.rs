//! Lineage of shards: which get a lease, at which position each starts, and which may be read now. Pure.
//!
//! In an ordered source a child is read only when all its parents are at their end (failures.md K1, K2, D7). The start of the settings is
//! for shards that exist at the first start of the group; a descendant of a known shard starts at its oldest record
//! (K3). A shard without a lease is over if descendants that have one hold all its hash keys: KCL has deleted its lease,
//! or the group left it out at its start.

use crate::position::Checkpoint;
use esclusa_flow::BoxFuture;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::Lag;
use esclusa_flow::settings::Start;
use std::collections::{BTreeMap, BTreeSet};

/// A shard as its stream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Its name.
    pub id: String,
    /// The shards that it came from: none, one, or the two of a merge.
    pub parents: Vec<String>,
    /// Nothing is written to it any more.
    pub closed: bool,
    /// The range of hash keys that it holds, both ends included.
    pub hashes: Option<(u128, u128)>,
}

/// A stream whose shards can be listed.
pub(crate) trait ShardList: Send + Sync {
    /// The stream for people: kind and name.
    fn name(&self) -> &str;

    /// The stream for machines: the same text in every process that reads it, and another one for every other stream.
    fn identity(&self) -> &str;

    /// All shards that can be read at present.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Shard>, Fault>>;
}

/// Counts and logs a gap: the shard came from one that was trimmed before the group knew of it.
pub(crate) fn report_gap(lag: &Lag, stream: &str, shard: &Shard) {
    lag.add_gap();
    tracing::error!(
        stream,
        shard = shard.id,
        parents = ?shard.parents,
        "gap: the shard came from one that was trimmed before the route knew of it"
    );
}

/// A shard that the group knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownShard {
    /// Everything of it is done.
    pub finished: bool,
    /// The group may have started with it: if it left out the shards that it came from, it did so on purpose.
    pub first: bool,
}

/// The shards that the group knows.
pub(crate) type KnownShards = BTreeMap<String, KnownShard>;

/// A shard that the group does not know yet and must read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewShard<'a> {
    /// The shard.
    pub shard: &'a Shard,
    /// Where it starts.
    pub start: Checkpoint,
    /// How it relates to the group.
    pub descent: Descent,
}

/// How a shard relates to a group that did not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descent {
    /// The group starts with it.
    First,
    /// It descends from a shard that the group knows.
    Continues,
    /// It came from a shard that was trimmed before the group knew of it: the records of that one were never read.
    Orphan,
}

/// The shards of `listed` that the group does not know yet and must read. Parents come first: a process that stops in
/// between has then added no child whose parent is unknown.
#[must_use]
pub(crate) fn missing<'a>(listed: &'a [Shard], known: &KnownShards, start: Start) -> Vec<NewShard<'a>> {
    let mut lineage = Lineage::of(listed, known);
    let mut seen = BTreeSet::new();
    for shard in listed {
        lineage.look_below(shard, &mut seen);
    }
    let mut found = Vec::new();
    for shard in listed {
        lineage.visit(shard, start, &mut found);
    }
    found
}

/// True if a shard with these parents may be read: the group has finished each parent, or never had it.
#[must_use]
pub(crate) fn may_start(parents: &[String], known: &KnownShards) -> bool {
    parents.iter().all(|parent| known.get(parent).is_none_or(|known| known.finished))
}

/// A range of hash keys, both ends included.
type HashRange = (u128, u128);

struct Lineage<'a, 'k> {
    shards: BTreeMap<&'a str, &'a Shard>,
    /// The shards that came from each.
    children: BTreeMap<&'a str, Vec<&'a Shard>>,
    known: &'k KnownShards,
    /// The group knew shards that are gone: it has been here for longer than anything that is listed.
    rolled: bool,
    /// Shards without a lease that are done and forgotten, or were left out on purpose.
    over: BTreeSet<&'a str>,
    /// The hash keys of each shard's descendants that the group knows.
    passed: BTreeMap<&'a str, Vec<HashRange>>,
    /// Shards of which the group has read a descendant that it did not start with.
    begun: BTreeSet<&'a str>,
    /// How each shard that was visited relates to the group.
    descents: BTreeMap<&'a str, Descent>,
}

impl<'a, 'k> Lineage<'a, 'k> {
    fn of(listed: &'a [Shard], known: &'k KnownShards) -> Self {
        let shards: BTreeMap<_, _> = listed.iter().map(|shard| (shard.id.as_str(), shard)).collect();
        let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for shard in listed {
            for parent in &shard.parents {
                children.entry(parent.as_str()).or_default().push(shard);
            }
        }
        let rolled = known.keys().any(|id| !shards.contains_key(id.as_str()));
        let (over, passed, begun, descents) = Default::default();
        Lineage { shards, children, known, rolled, over, passed, begun, descents }
    }

    /// Finds out what the leases of its descendants say of a shard and of all below it. KCL deletes the lease of a
    /// finished shard once each of its children has one, so leases may be missing over several generations.
    fn look_below(&mut self, shard: &'a Shard, seen: &mut BTreeSet<&'a str>) {
        if !seen.insert(&shard.id) {
            return;
        }
        let children = self.children.get(shard.id.as_str()).cloned().unwrap_or_default();
        for child in &children {
            self.look_below(child, seen);
        }
        let begun = |child: &Shard| match self.known.get(&child.id) {
            Some(known) => !known.first,
            None => self.begun.contains(child.id.as_str()),
        };
        if children.iter().any(|child| begun(child)) {
            self.begun.insert(&shard.id);
        }
        let passed = children.iter().flat_map(|child| match self.known.contains_key(&child.id) {
            true => child.hashes.into_iter().collect(),
            false => self.passed.get(child.id.as_str()).cloned().unwrap_or_default(),
        });
        let passed = joined(passed.collect());
        let over = match shard.hashes {
            Some((first, last)) if children.iter().all(|child| child.hashes.is_some()) => {
                passed.iter().any(|(low, high)| *low <= first && last <= *high)
            }
            _ => {
                let over = |child: &&Shard| self.known.contains_key(&child.id) || self.over.contains(child.id.as_str());
                !children.is_empty() && children.iter().all(over)
            }
        };
        if shard.closed && over {
            self.over.insert(&shard.id);
        }
        self.passed.insert(&shard.id, passed);
    }

    fn visit(&mut self, shard: &'a Shard, start: Start, found: &mut Vec<NewShard<'a>>) {
        if self.descents.contains_key(shard.id.as_str()) {
            return;
        }
        // Ends the search if a stream lists a circle of parents.
        self.descents.insert(&shard.id, Descent::First);
        for parent in &shard.parents {
            if let Some(parent) = self.shards.get(parent.as_str()).copied() {
                self.visit(parent, start, found);
            }
        }
        let descent = self.descent(shard);
        self.descents.insert(&shard.id, descent);
        if self.known.contains_key(&shard.id) || self.over.contains(shard.id.as_str()) {
            return;
        }
        let start = match start {
            _ if descent != Descent::First => Checkpoint::TrimHorizon,
            Start::TrimHorizon => Checkpoint::TrimHorizon,
            Start::AtTimestamp(_) => Checkpoint::AtTimestamp,
            Start::Latest if !shard.closed => Checkpoint::Latest,
            Start::Latest => return,
        };
        found.push(NewShard { shard, start, descent });
    }

    /// Whether it came from a shard that the group knows, or knew: its parents were visited before.
    fn descent(&self, shard: &Shard) -> Descent {
        let mut descent = Descent::First;
        for parent in &shard.parents {
            let parent = parent.as_str();
            let continues = self.known.contains_key(parent)
                || self.begun.contains(parent)
                || self.descents.get(parent).is_some_and(|parent| *parent != Descent::First);
            if !continues && self.rolled && !self.shards.contains_key(parent) {
                return Descent::Orphan;
            }
            if continues {
                descent = Descent::Continues;
            }
        }
        descent
    }
}

/// The same hash keys as ranges that neither meet nor overlap.
fn joined(mut ranges: Vec<HashRange>) -> Vec<HashRange> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = next.0 <= last.1.saturating_add(1);
        if joins {
            last.1 = last.1.max(next.1);
        }
        joins
    });
    ranges
}

#[cfg(test)]
mod tests;
