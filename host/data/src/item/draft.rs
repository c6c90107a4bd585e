//! An item while it is changed. An attribute is found in constant time, however many the item has.

use super::{Item, Value};
use std::collections::HashMap;

/// Attributes that are looked through one by one: with fewer, that is faster than a map.
const FEW: usize = 32;

/// An item that is being changed. Attributes keep their order as long as none is removed.
#[derive(Debug, Clone, Default)]
pub struct ItemDraft {
    item: Item,
    /// Index of each attribute by its name, if there are more than [`FEW`].
    places: Option<HashMap<String, usize>>,
}

impl From<Item> for ItemDraft {
    fn from(item: Item) -> Self {
        let mut draft = ItemDraft { item, places: None };
        draft.grown();
        draft
    }
}

impl ItemDraft {
    /// The item as it is now.
    #[must_use]
    pub fn item(&self) -> &Item {
        &self.item
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.place(name).and_then(|at| self.item.0.get(at)).map(|(_, value)| value)
    }

    /// Sets an attribute, replacing its former value.
    pub fn set(&mut self, name: String, value: Value) {
        if let Some((_, old)) = self.place(&name).and_then(|at| self.item.0.get_mut(at)) {
            *old = value;
            return;
        }
        if let Some(places) = &mut self.places {
            places.insert(name.clone(), self.item.0.len());
        }
        self.item.0.push((name, value));
        self.grown();
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: &str) {
        let Some(at) = self.place(name) else { return };
        let Some(places) = &mut self.places else {
            self.item.0.remove(at);
            return;
        };
        places.remove(name);
        // Not `remove`: that would move every later attribute, and an item of thousands would take seconds to empty.
        self.item.0.swap_remove(at);
        if let Some(moved) = self.item.0.get(at).and_then(|(name, _)| places.get_mut(name)) {
            *moved = at;
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(name).copied(),
            None => self.item.0.iter().position(|(known, _)| known == name),
        }
    }

    fn grown(&mut self) {
        if self.places.is_none() && self.item.0.len() > FEW {
            let names = self.item.0.iter().enumerate().map(|(at, (name, _))| (name.clone(), at));
            self.places = Some(names.collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn changes_do_what_they_do_to_a_map(
            first in 0usize..80,
            changes in proptest::collection::vec((0usize..80, any::<Option<u8>>()), 0..200),
        ) {
            let name = |n: usize| format!("a{n}");
            let mut model: BTreeMap<String, Value> = (0..first).map(|n| (name(n), Value::Null)).collect();
            let mut draft = ItemDraft::from(model.clone().into_iter().collect::<Item>());
            for (n, change) in changes {
                match change {
                    Some(value) => {
                        model.insert(name(n), Value::Number(value.to_string()));
                        draft.set(name(n), Value::Number(value.to_string()));
                    }
                    None => {
                        model.remove(&name(n));
                        draft.remove(&name(n));
                    }
                }
                prop_assert_eq!(draft.get(&name(n)), model.get(&name(n)));
            }
            prop_assert_eq!(draft.item().0.len(), model.len());
            prop_assert!(model.iter().all(|(name, value)| draft.get(name) == Some(value)));
            prop_assert_eq!(draft.item().0.iter().cloned().collect::<BTreeMap<_, _>>(), model);
        }
    }
}
