//! Lineage: which shards get a lease, where they start, and which may be read already. Pure.
//!
//! A child is read only when all its parents are at their end (reliability K1, K2, D7). The starting position of the
//! settings is for shards that exist at the first start of the group; whatever descends from a shard that the group
//! knows starts at its oldest record (K3).

use super::Checkpoint;
use crate::shards::Start;
use std::collections::{BTreeMap, BTreeSet};

/// A shard as its stream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: String,
    /// The shards that it came from: none, one, or the two of a merge.
    pub parents: Vec<String>,
    /// Nothing is written to it any more.
    pub closed: bool,
    /// The range of hash keys that it holds, both ends included.
    pub hashes: Option<(u128, u128)>,
}

/// The shards that the group knows, and whether each is finished.
pub type Known = BTreeMap<String, bool>;

/// The shards of `listed` that the group does not know and has to, each with its starting position; parents first,
/// so that whoever stops in between has told nobody of a child whose parent is unknown.
#[must_use]
pub fn missing<'a>(listed: &'a [Shard], known: &Known, start: Start) -> Vec<(&'a Shard, Checkpoint)> {
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

/// True where a shard with these parents may be read: each is finished, or nothing that concerns the group.
#[must_use]
pub fn may_start(parents: &[String], known: &Known) -> bool {
    parents.iter().all(|parent| known.get(parent) != Some(&false))
}

struct Lineage<'a, 'k> {
    shards: BTreeMap<&'a str, &'a Shard>,
    known: &'k Known,
    /// The group knew shards that are gone: it has been here for longer than anything that is listed.
    rolled: bool,
}

impl<'a> Lineage<'a, '_> {
    fn visit(
        &self,
        shard: &'a Shard,
        start: Start,
        seen: &mut BTreeSet<&'a str>,
        found: &mut Vec<(&'a Shard, Checkpoint)>,
    ) {
        if !seen.insert(&shard.id) {
            return;
        }
        for parent in shard.parents.iter().filter_map(|parent| self.shards.get(parent.as_str())) {
            self.visit(parent, start, seen, found);
        }
        if self.known.contains_key(&shard.id) || self.succeeded(shard) {
            return;
        }
        if self.descends(shard, self.shards.len()) {
            found.push((shard, Checkpoint::TrimHorizon));
            return;
        }
        match start {
            Start::TrimHorizon => found.push((shard, Checkpoint::TrimHorizon)),
            Start::AtTimestamp(_) => found.push((shard, Checkpoint::AtTimestamp)),
            Start::Latest if !shard.closed => found.push((shard, Checkpoint::Latest)),
            Start::Latest => {}
        }
    }

    /// Closed, and the group works on its children already: it was left out on purpose, or is done and forgotten.
    fn succeeded(&self, shard: &Shard) -> bool {
        shard.closed && self.shards.values().any(|s| s.parents.contains(&shard.id) && self.known.contains_key(&s.id))
    }

    /// It came from a shard that the group knows. `depth` ends the search where a stream lists a circle.
    fn descends(&self, shard: &Shard, depth: usize) -> bool {
        shard.parents.iter().any(|parent| match self.shards.get(parent.as_str()) {
            _ if self.known.contains_key(parent) => true,
            Some(listed) => depth > 0 && self.descends(listed, depth - 1),
            None => self.rolled,
        })
    }
}

#[cfg(test)]
mod tests;
