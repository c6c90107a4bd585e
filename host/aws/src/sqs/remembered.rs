//! Which routes are done with messages that are not deleted yet, by the ids of the messages: a receipt ends, an id stays.
//! A memory with an end; what it forgets is handled twice, which at-least-once permits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Most messages that are remembered, about 200 bytes each. Past it the oldest is forgotten.
const MOST: usize = 20_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Remembered {
    of: HashMap<Box<str>, (u64, Vec<Arc<str>>)>,
    /// Ids, the oldest first.
    order: BTreeMap<u64, Box<str>>,
    next: u64,
}

impl Remembered {
    /// A route is done with a message.
    pub fn note(&mut self, id: &str, route: &Arc<str>) {
        if let Some((_, routes)) = self.of.get_mut(id) {
            if !routes.contains(route) {
                routes.push(route.clone());
            }
            return;
        }
        self.of.insert(id.into(), (self.next, vec![route.clone()]));
        self.order.insert(self.next, id.into());
        self.next += 1;
        if self.order.len() > MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.of.remove(&oldest);
        }
    }

    /// True where a route is known to be done with a message.
    pub fn done(&self, id: &str, route: &Arc<str>) -> bool {
        self.of.get(id).is_some_and(|(_, routes)| routes.contains(route))
    }

    /// The message is deleted.
    pub fn forget(&mut self, id: &str) {
        if let Some((number, _)) = self.of.remove(id) {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_nothing_grows() {
        let (mut remembered, a, b): (_, Arc<str>, Arc<str>) = (Remembered::default(), "a".into(), "b".into());
        for id in 0..MOST + 1 {
            remembered.note(&id.to_string(), &a);
        }
        remembered.note("1", &b);
        assert!(!remembered.done("0", &a) && remembered.done("1", &a) && remembered.done("1", &b));
        assert!(!remembered.done("2", &b));
        for id in 0..MOST + 1 {
            remembered.forget(&id.to_string());
        }
        assert!(remembered.of.is_empty() && remembered.order.is_empty());
    }
}
