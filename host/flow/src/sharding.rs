//! A lane's batch, split by key, so that a plugin handles several keys of it at the same time
//! (`parallelization_factor`). Pure.
//!
//! Only the calls are split: their outputs are put together again and committed as one, so that a lane has one position
//! and finishes a contiguous prefix as ever. Events with the same key are handled in order by the same call.

use crate::call_output::CallOutput;
use crate::event::Columns;
use crate::retry::mix_text;

/// How a batch is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharding {
    /// Most calls at the same time.
    pub factor: usize,
    /// Most events of a call.
    pub size: usize,
}

impl Sharding {
    /// Most events of a batch, all its calls together.
    #[must_use]
    pub fn events(self) -> usize {
        self.size.max(1).saturating_mul(self.factor.max(1))
    }

    /// Where a batch is cut, so that no call has more than `size` events: the first event of each part but the first.
    #[must_use]
    pub fn cuts(self, events: &Columns) -> Vec<u32> {
        let (mut cuts, mut counts) = (Vec::new(), vec![0usize; self.factor.max(1)]);
        for (index, event) in (0u32..).zip(events.iter()) {
            let place = self.place(event.key());
            if counts.get(place).is_some_and(|count| *count >= self.size.max(1)) {
                cuts.push(index);
                counts.fill(0);
            }
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
        }
        cuts
    }

    /// The calls for the events at `called`: positions in `called`, ascending. No call is empty.
    #[must_use]
    pub fn calls(self, events: &Columns, called: &[u32]) -> Vec<Vec<u32>> {
        let mut calls = vec![Vec::new(); self.factor.max(1)];
        for (position, event) in (0u32..).zip(called) {
            let place = events.get(*event as usize).map_or(0, |event| self.place(event.key()));
            if let Some(call) = calls.get_mut(place) {
                call.push(position);
            }
        }
        calls.retain(|call| !call.is_empty());
        calls
    }

    /// Which of the calls gets the events of a key.
    fn place(self, key: &str) -> usize {
        (mix_text(key) % self.factor.max(1) as u64) as usize
    }
}

impl CallOutput {
    /// Adds the output of a call whose event number `i` is event number `positions[i]` of this output's events.
    pub fn append(&mut self, other: CallOutput, positions: &[u32]) {
        // What names no event of the call was refused before.
        let position = |event: u32| positions.get(event as usize).copied();
        self.effects.extend(other.effects.into_iter().map(|mut effect| {
            effect.cause = effect.cause.and_then(position);
            effect
        }));
        self.outcomes.extend(other.outcomes.into_iter().filter_map(|mut outcome| {
            outcome.event = position(outcome.event)?;
            Some(outcome)
        }));
        self.replies.extend(other.replies.into_iter().filter_map(|mut reply| {
            reply.event = position(reply.event)?;
            Some(reply)
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call_output::{Disposition, EventOutcome, Reply};
    use crate::effect::{Action, Effect, SendMessage};
    use crate::event::NewEvent;
    use proptest::prelude::*;

    fn batch(keys: &[u8]) -> Columns {
        let mut columns = Columns::default();
        for (i, key) in keys.iter().enumerate() {
            let (id, key) = (i.to_string(), format!("key-{key}"));
            columns.push(&NewEvent { id: &id, key: &key, attempt: 1, ..NewEvent::default() }).unwrap();
        }
        columns
    }

    proptest! {
        #[test]
        fn every_event_has_one_call_and_a_key_has_one_too(
            keys in prop::collection::vec(0u8..20, 0..200), factor in 1usize..11, size in 1usize..50,
        ) {
            let (events, split) = (batch(&keys), Sharding { factor, size });
            let mut bounds = vec![0];
            bounds.extend(split.cuts(&events));
            bounds.push(keys.len() as u32);
            prop_assert!(bounds.windows(2).all(|w| w[0] < w[1] || keys.is_empty()));
            for part in bounds.windows(2) {
                let called: Vec<u32> = (part[0]..part[1]).collect();
                let calls = split.calls(&events, &called);
                prop_assert!(calls.len() <= factor);
                prop_assert!(calls.iter().all(|call| (1..=size).contains(&call.len()) && call.is_sorted()));
                let mut all = calls.concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..called.len() as u32).collect::<Vec<_>>());
                let owner = |key: u8| calls.iter().filter(|c| c.iter().any(|p| keys[called[*p as usize] as usize] == key)).count();
                prop_assert!((0u8..20).all(|key| owner(key) <= 1));
            }
            // A part ends only where a call is full.
            prop_assert!(bounds.len() == 2 || keys.len() > size);
        }
    }

    #[test]
    fn outputs_are_put_together_under_the_events_that_caused_them() {
        let send = |text: &str| {
            Action::Send(SendMessage { output: text.into(), key: None, data: Vec::new(), attributes: Vec::new() })
        };
        let output = |text: &str| CallOutput {
            effects: vec![Effect { cause: Some(1), action: send(text) }, Effect { cause: None, action: send(text) }],
            outcomes: vec![EventOutcome { event: 0, disposition: Disposition::Skip(text.into()) }],
            replies: vec![Reply { event: 1, status: 200, content_type: String::new(), body: Vec::new() }],
        };
        let mut all = CallOutput::default();
        all.append(output("even"), &[0, 2]);
        all.append(output("odd"), &[1, 3]);
        assert_eq!(all.effects.iter().map(|e| e.cause).collect::<Vec<_>>(), [Some(2), None, Some(3), None]);
        assert_eq!(all.outcomes.iter().map(|o| o.event).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(all.replies.iter().map(|r| r.event).collect::<Vec<_>>(), [2, 3]);
    }
}
