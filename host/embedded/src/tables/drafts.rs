//! The items that one commit changes, as its writes so far leave them. Each is read once and written once, however many of
//! the commit's writes change it, so that the work of the one writer is in proportion to the bytes that it writes.
//! The bytes that a commit reads and encodes on the way have a budget.

use super::{ItemChange, ItemTable, TableWrite, entries, move_entries};
use crate::codec::{push_item, read_item};
use crate::disk::Space;
use crate::streams::FeedChange;
use crate::transaction::Transaction;
use esclusa_flow::bounds;
use esclusa_flow::effect::AttributeChange;
use esclusa_flow::engine::CommitError;
use esclusa_flow::fault::Fault;
use esclusa_flow::item::draft::ItemDraft;
use esclusa_flow::item::{Item, Otherwise, Value, number};
use esclusa_flow::step_budget::{Exhausted, StepBudget};
use fjall::Slice;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Steps of a commit: a byte read, compared or encoded is one. It is about a tenth of a second, and far more than honest
/// batches take: a thousand updates of items of 10 KiB.
pub const STEPS: u64 = 64 << 20;
/// Steps for an attribute or a member of a set, besides its bytes: it is allocated, found and copied.
const ATTRIBUTE: usize = 32;

type Entries = Vec<Option<Vec<u8>>>;

/// The items that a commit has changed so far, by key.
#[derive(Default)]
pub(crate) struct Drafts(HashMap<Slice, DraftedItem>);

/// One of them.
struct DraftedItem {
    table: Arc<ItemTable>,
    /// As it is stored; `None`: it is absent.
    stored: Option<Slice>,
    /// The entries that lead to it, as it is stored.
    stored_entries: Entries,
    now: DraftImage,
    /// The entries that are to lead to it.
    entries: Entries,
}

/// An item, encoded or taken apart as it was needed last.
enum DraftImage {
    Absent,
    Encoded(Slice),
    Open(ItemDraft),
}

impl Drafts {
    /// Carries out a write on the items as earlier writes left them; false if its guard said skip. Adds the change to
    /// `changed` if the table has a change feed.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`] once the budget is used up, and the errors of the write itself.
    pub(crate) fn apply(
        &mut self,
        write: TableWrite,
        tx: &mut Transaction<'_>,
        changed: &mut Vec<FeedChange>,
        work: &mut StepBudget,
    ) -> Result<bool, CommitError> {
        let held = match self.0.get_mut(&write.key) {
            Some(held) => held,
            // The write does not depend on the stored item and no earlier write has touched it: it need not be read.
            None if write.is_blind() => {
                match write.change {
                    ItemChange::Put(bytes, _) => tx.put(Space::Items, write.key, bytes),
                    _ => tx.delete(Space::Items, write.key),
                }
                return Ok(true);
            }
            None => {
                let held = DraftedItem::load(&write.table, &write.key, tx, work)?;
                self.0.entry(write.key.clone()).or_insert(held)
            }
        };
        held.apply(write, changed, work)
    }

    /// Writes every item as it is now, and its index entries.
    ///
    /// # Errors
    /// [`CommitError::TooLarge`].
    pub(crate) fn write(self, tx: &mut Transaction<'_>, work: &mut StepBudget) -> Result<(), CommitError> {
        for (key, mut held) in self.0 {
            let bytes = held.now.encoded(work)?;
            // An item that came back to its stored form costs no write.
            if bytes == held.stored {
                continue;
            }
            move_entries(held.stored_entries, held.entries, &key, tx);
            match bytes {
                Some(bytes) => tx.put(Space::Items, key, bytes),
                None => tx.delete(Space::Items, key),
            }
        }
        Ok(())
    }
}

impl DraftedItem {
    fn load(
        table: &Arc<ItemTable>,
        key: &Slice,
        tx: &mut Transaction<'_>,
        work: &mut StepBudget,
    ) -> Result<DraftedItem, CommitError> {
        let stored = tx.get(Space::Items, key)?;
        let mut now = stored.clone().map_or(DraftImage::Absent, DraftImage::Encoded);
        let stored_entries = match now.open(work)? {
            // A stored item fits its indexes, or its commit would have been refused.
            Some(draft) => {
                entries(table, draft.item(), key).map_err(|why| Fault::Bug(format!("a stored item: {why}")))?
            }
            None => Entries::new(),
        };
        Ok(DraftedItem { table: table.clone(), stored, entries: stored_entries.clone(), stored_entries, now })
    }

    fn apply(
        &mut self,
        write: TableWrite,
        changed: &mut Vec<FeedChange>,
        work: &mut StepBudget,
    ) -> Result<bool, CommitError> {
        if let Some(guard) = &write.guard {
            let item = self.now.open(work)?;
            let get = |name: &str| item.as_ref().and_then(|item| item.get(name));
            if !guard.condition.holds_within(get, work)? {
                return match guard.otherwise {
                    Otherwise::Rerun => Err(CommitError::Conflict),
                    Otherwise::Skip => Ok(false),
                };
            }
        }
        let (table, expired, hops) = (self.table.clone(), write.expires, write.hops);
        let refuse = |why: String| {
            let why = format!("an item of table {:?}: {why}", table.name);
            CommitError::Refused(vec![(write.action, why)])
        };
        // Encoded only for tables with a feed: it is the costly part of a write.
        let old = if table.feed.is_some() { self.now.encoded(work)? } else { None };
        match write.change {
            ItemChange::Put(bytes, entries) => (self.now, self.entries) = (DraftImage::Encoded(bytes), entries),
            ItemChange::Delete => (self.now, self.entries) = (DraftImage::Absent, Entries::new()),
            ItemChange::Update(key, changes) => {
                let draft = self.now.open_or(key, work)?;
                for (name, change) in changes {
                    work.spend(name.len().saturating_add(change.size()).saturating_add(ATTRIBUTE))?;
                    carry_out(draft, name, change).map_err(refuse)?;
                }
                // Its parts are gone through to add up their bytes, and its attributes for each part of each index.
                let (attributes, keys) =
                    (draft.item().0.len(), table.indexes.len().saturating_mul(2).saturating_add(1));
                work.spend(draft.item().parts().saturating_add(attributes.saturating_mul(keys)))?;
                if let Err(why) = bounds::item(draft.item())
                    && !shrinks(self.stored.as_ref(), draft.item(), work)?
                {
                    return Err(refuse(why));
                }
                self.entries = super::entries(&table, draft.item(), &write.key).map_err(refuse)?;
            }
        }
        if let Some(feed) = &table.feed {
            let new = self.now.encoded(work)?;
            if !same(old.as_ref(), new.as_ref(), work)? {
                changed.push(FeedChange { feed: feed.clone(), old, new, expired, hops });
            }
        }
        Ok(true)
    }
}

impl DraftImage {
    /// The item to be changed; `None`: it is absent.
    fn open(&mut self, work: &mut StepBudget) -> Result<Option<&mut ItemDraft>, CommitError> {
        if let DraftImage::Encoded(bytes) = self {
            *self = DraftImage::Open(decoded(bytes, work)?.into());
        }
        Ok(if let DraftImage::Open(draft) = self { Some(draft) } else { None })
    }

    /// Likewise; an absent item begins with the attributes of `key`.
    fn open_or(&mut self, key: Item, work: &mut StepBudget) -> Result<&mut ItemDraft, CommitError> {
        if matches!(self, DraftImage::Absent) {
            *self = DraftImage::Open(key.into());
        }
        self.open(work)?.ok_or_else(|| Fault::Bug("an item that was made is absent".to_owned()).into())
    }

    /// The bytes that are stored.
    fn encoded(&mut self, work: &mut StepBudget) -> Result<Option<Slice>, Exhausted> {
        match self {
            DraftImage::Absent => Ok(None),
            DraftImage::Encoded(bytes) => Ok(Some(bytes.clone())),
            DraftImage::Open(draft) => {
                let mut bytes = Vec::with_capacity(256);
                push_item(draft.item(), &mut bytes);
                work.spend(bytes.len().saturating_add(draft.item().parts().saturating_mul(ATTRIBUTE)))?;
                let bytes = Slice::from(bytes);
                *self = DraftImage::Encoded(bytes.clone());
                Ok(Some(bytes))
            }
        }
    }
}

fn decoded(bytes: &[u8], work: &mut StepBudget) -> Result<Item, CommitError> {
    work.spend(bytes.len())?;
    let item = read_item(bytes).map_err(Fault::from)?;
    work.spend(item.parts().saturating_mul(ATTRIBUTE))?;
    Ok(item)
}

/// True if an item is no larger than it is stored: one from before there were caps may get smaller, and change in its size.
fn shrinks(stored: Option<&Slice>, item: &Item, work: &mut StepBudget) -> Result<bool, CommitError> {
    let Some(stored) = stored else { return Ok(false) };
    let stored = decoded(stored, work)?;
    Ok(item.0.len() <= stored.0.len() && item.size() <= stored.size())
}

fn carry_out(item: &mut ItemDraft, name: String, change: AttributeChange) -> Result<(), String> {
    match change {
        AttributeChange::Set(value) => item.set(name, value),
        AttributeChange::Remove => item.remove(&name),
        AttributeChange::Add(amount) => {
            let sum = match item.get(&name) {
                None => amount,
                Some(Value::Number(stored)) => {
                    number::add(stored, &amount).map_err(|e| format!("adding to the attribute {name:?}: {e}"))?
                }
                Some(other) => {
                    return Err(format!(
                        "the attribute {name:?} has type {}, a number cannot be added to it",
                        other.type_name()
                    ));
                }
            };
            item.set(name, Value::Number(sum));
        }
    }
    Ok(())
}

/// True if both are the same item: the order of attributes and of the members of sets carries no meaning.
fn same(old: Option<&Slice>, new: Option<&Slice>, work: &mut StepBudget) -> Result<bool, CommitError> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(old.is_none() && new.is_none()) };
    if old == new {
        return Ok(true);
    }
    let (old, new) = (decoded(old, work)?, ItemDraft::from(decoded(new, work)?));
    let equal = |(name, value): &(String, Value)| new.get(name).is_some_and(|other| same_value(value, other));
    Ok(old.0.len() == new.item().0.len() && old.0.iter().all(equal))
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::TextSet(a), Value::TextSet(b)) | (Value::NumberSet(a), Value::NumberSet(b)) => {
            a.len() == b.len() && a.iter().collect::<HashSet<_>>() == b.iter().collect::<HashSet<_>>()
        }
        _ => a == b,
    }
}
