//! The totals of a batch: one sum of contributions per key, and one write for each.

use crate::config::{AggregateSettings, Extreme};
use crate::contribution::Contribution;
use esclusa_plugin::tables::{self, TableError};
use esclusa_plugin::{Condition, Effects, EventError, Failure, Item, Update, Value, number};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The contribution of a batch to the totals of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Total {
    sums: Vec<String>,
    count: i64,
    extremes: Vec<String>,
    /// The one event that contributed; `None` if there are several.
    cause: Option<u32>,
}

/// The contributions of a batch, by key. Ordered, so that the same batch gives the same effects.
#[derive(Debug, Default)]
pub(crate) struct Totals(BTreeMap<Vec<String>, Total>);

impl Totals {
    /// Adds the contributions of an event: all of them or, on an error, none.
    ///
    /// # Errors
    /// [`EventError::Reject`] if a sum cannot be held any more.
    pub(crate) fn add(
        &mut self,
        settings: &AggregateSettings,
        event: u32,
        contributions: Vec<Contribution>,
    ) -> Result<(), EventError> {
        // On the side first: the second contribution may fail, and then the first must not count.
        let mut next: BTreeMap<Vec<String>, Total> = BTreeMap::new();
        for contribution in contributions {
            let former = next.get(&contribution.key).or_else(|| self.0.get(&contribution.key));
            let total = match former {
                Some(former) => merge(settings, former, &contribution, event)?,
                None => Total {
                    sums: contribution.sums,
                    count: contribution.count,
                    extremes: contribution.extremes,
                    cause: Some(event),
                },
            };
            next.insert(contribution.key, total);
        }
        self.0.append(&mut next);
        Ok(())
    }

    /// The writes. A key whose contributions add up to nothing is written all the same, so that the content of the
    /// table does not depend on how events were batched.
    ///
    /// # Errors
    /// [`Failure`] if the table does not answer.
    pub(crate) fn write<'a>(self, settings: &'a AggregateSettings, out: &mut Effects<'a>) -> Result<(), Failure> {
        for (key, total) in self.0 {
            let names = settings.key.names().map(Into::into);
            let key = Item(names.zip(key.into_iter().map(Value::from)).collect());
            let mut update = Update::new(&settings.table, key);
            for ((attribute, _), sum) in settings.sums.iter().zip(total.sums) {
                update = update.add(attribute, sum);
            }
            if let Some(attribute) = &settings.count {
                update = update.add(attribute, total.count.to_string());
            }
            if !settings.extremes.is_empty() {
                update = with_extremes(settings, update, total.extremes)?;
            }
            if !update.changes.is_empty() {
                out.push_for(total.cause, update);
            }
        }
        Ok(())
    }
}

fn merge(settings: &AggregateSettings, former: &Total, with: &Contribution, event: u32) -> Result<Total, EventError> {
    let add = |(sum, value): (&String, &String)| number::add(sum, value);
    let sums = former.sums.iter().zip(&with.sums).map(add).collect::<Result<_, _>>();
    let extremes = settings.extremes.iter().zip(former.extremes.iter().zip(&with.extremes));
    let extremes = extremes.map(|((_, _, which), (a, b))| if which.prefers(b, a) { b.clone() } else { a.clone() });
    Ok(Total {
        sums: sums.map_err(|error| EventError::Reject(format!("the sum cannot be held: {error}")))?,
        count: former.count + with.count,
        extremes: extremes.collect(),
        cause: former.cause.filter(|cause| *cause == event),
    })
}

/// Sets the extremes that are passed. This rests on the stored value, so the write is repeated on fresh reads if that has
/// changed meanwhile.
fn with_extremes<'a>(
    settings: &'a AggregateSettings,
    mut update: Update<'a>,
    values: Vec<String>,
) -> Result<Update<'a>, Failure> {
    let stored = match tables::get(&settings.table, &update.key) {
        Ok(stored) => stored.unwrap_or_default(),
        // The key comes from events. The router refuses the write with the same key, and gives up the event that it is of.
        Err(TableError::Invalid(_)) => Item::new(),
        Err(error) => return Err(error.into()),
    };
    let mut unchanged = Condition::new();
    for ((attribute, _, which), value) in settings.extremes.iter().zip(values) {
        match stored.get(attribute) {
            Some(Value::Number(kept)) if !which.prefers(&value, kept) => continue,
            Some(kept) => unchanged = unchanged.equal(attribute, kept.clone()),
            None => unchanged = unchanged.absent(attribute),
        }
        update = update.set(attribute, Value::Number(value.into()));
    }
    Ok(if unchanged.0.is_empty() { update } else { update.guard(unchanged.or_rerun()) })
}

impl Extreme {
    /// True if `new` is to be kept instead of `kept`.
    fn prefers(self, new: &str, kept: &str) -> bool {
        let order = number::compare(new, kept);
        order
            == Some(match self {
                Extreme::Min => Ordering::Less,
                Extreme::Max => Ordering::Greater,
            })
    }
}
