//! Lineage of shards: which get a lease, at which position each starts, and which may be read now. Pure.
//!
//! In an ordered source a child is read only when all its parents are at their end (reliability K1, K2, D7). The start of the settings is
//! for shards that exist at the first start of the group; a descendant of a known shard starts at its oldest record
//! (K3).

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

/// The shards that the group knows, and whether each is finished.
pub(crate) type KnownShards = BTreeMap<String, bool>;

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
    let lineage = Lineage {
        shards: listed.iter().map(|shard| (shard.id.as_str(), shard)).collect(),
        known,
        rolled: known.keys().any(|id| !listed.iter().any(|shard| shard.id == *id)),
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for shard in listed {
        lineage.visit(shard, start, &mut seen, &mut found);
    }
    found
}

/// True if a shard with these parents may be read: the group has finished each parent, or never had it.
#[must_use]
pub(crate) fn may_start(parents: &[String], known: &KnownShards) -> bool {
    parents.iter().all(|parent| known.get(parent) != Some(&false))
}

struct Lineage<'a, 'k> {
    shards: BTreeMap<&'a str, &'a Shard>,
    known: &'k KnownShards,
    /// The group knew shards that are gone: it has been here for longer than anything that is listed.
    rolled: bool,
}

impl<'a> Lineage<'a, '_> {
    fn visit(&self, shard: &'a Shard, start: Start, seen: &mut BTreeSet<&'a str>, found: &mut Vec<NewShard<'a>>) {
        if !seen.insert(&shard.id) {
            return;
        }
        for parent in shard.parents.iter().filter_map(|parent| self.shards.get(parent.as_str())) {
            self.visit(parent, start, seen, found);
        }
        if self.known.contains_key(&shard.id) || self.succeeded(shard) {
            return;
        }
        let descent = self.descent(shard, self.shards.len());
        let start = match start {
            _ if descent != Descent::First => Checkpoint::TrimHorizon,
            Start::TrimHorizon => Checkpoint::TrimHorizon,
            Start::AtTimestamp(_) => Checkpoint::AtTimestamp,
            Start::Latest if !shard.closed => Checkpoint::Latest,
            Start::Latest => return,
        };
        found.push(NewShard { shard, start, descent });
    }

    /// True if it is closed and the group knows its children: it was left out on purpose, or it is done and forgotten.
    fn succeeded(&self, shard: &Shard) -> bool {
        shard.closed && self.shards.values().any(|s| s.parents.contains(&shard.id) && self.known.contains_key(&s.id))
    }

    /// Whether it came from a shard that the group knows. `depth` ends the search if a stream lists a circle of
    /// parents.
    fn descent(&self, shard: &Shard, depth: usize) -> Descent {
        let mut descent = Descent::First;
        for parent in &shard.parents {
            let continues = match self.shards.get(parent.as_str()) {
                _ if self.known.contains_key(parent) => true,
                Some(listed) => depth > 0 && self.descent(listed, depth - 1) != Descent::First,
                None if self.rolled => return Descent::Orphan,
                None => false,
            };
            if continues {
                descent = Descent::Continues;
            }
        }
        descent
    }
}

#[cfg(test)]
mod tests;
