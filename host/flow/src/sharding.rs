//! The events of a batch, spread over several calls by key, so that a plugin handles several keys at the same time
//! (`parallelization_factor`). Pure.
//!
//! Only the calls are apart: their outputs are joined and committed together, so that a lane has one position and settles a
//! contiguous prefix, as without sharding. Events with the same key are handled in order by the same call.

use crate::call_output::CallOutput;
use crate::event::Columns;
use crate::index::{CallIndex, EventIndex};
use crate::retry::mix_text;

/// How the events of a batch are spread over calls.
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

    /// The first event of each part of a batch but the first, so that no call of a part has more than `size` events.
    #[must_use]
    pub fn part_starts(self, events: &Columns) -> Vec<EventIndex> {
        let (mut starts, mut counts) = (Vec::new(), vec![0usize; self.factor.max(1)]);
        for (index, event) in EventIndex::all(events.len()).zip(events.iter()) {
            let place = self.place(event.key());
            // Counted per call and not per part: one frequent key fills its call first.
            if counts.get(place).is_some_and(|count| *count >= self.size.max(1)) {
                starts.push(index);
                counts.fill(0);
            }
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
        }
        starts
    }

    /// The calls for the events at `called`: positions in `called`, ascending. No call is empty.
    #[must_use]
    pub fn calls(self, events: &Columns, called: &[EventIndex]) -> Vec<Vec<CallIndex>> {
        let mut calls = vec![Vec::new(); self.factor.max(1)];
        for (position, event) in CallIndex::all(called.len()).zip(called) {
            let place = events.get(event.at()).map_or(0, |event| self.place(event.key()));
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
    pub fn append(&mut self, other: CallOutput, positions: &[CallIndex]) {
        // Never `None`: `Grants::check` has refused outputs that name an event outside of their call.
        let position = |event: CallIndex| positions.get(event.at()).copied();
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
            let (events, sharding) = (batch(&keys), Sharding { factor, size });
            let mut bounds = vec![0];
            bounds.extend(sharding.part_starts(&events).iter().map(|start| start.0));
            bounds.push(keys.len() as u32);
            prop_assert!(bounds.windows(2).all(|w| w[0] < w[1] || keys.is_empty()));
            for part in bounds.windows(2) {
                let called: Vec<EventIndex> = (part[0]..part[1]).map(EventIndex).collect();
                let calls = sharding.calls(&events, &called);
                prop_assert!(calls.len() <= factor);
                prop_assert!(calls.iter().all(|call| (1..=size).contains(&call.len()) && call.is_sorted()));
                let mut all = calls.concat();
                all.sort_unstable();
                prop_assert_eq!(all, CallIndex::all(called.len()).collect::<Vec<_>>());
                let owner = |key: u8| calls.iter().filter(|c| c.iter().any(|p| keys[called[p.at()].at()] == key)).count();
                prop_assert!((0u8..20).all(|key| owner(key) <= 1));
            }
            // A part ends only when a call is full.
            prop_assert!(bounds.len() == 2 || keys.len() > size);
        }
    }

    #[test]
    fn outputs_are_put_together_under_the_events_that_caused_them() {
        let send = |text: &str| {
            Action::Send(SendMessage { output: text.into(), key: None, data: Vec::new(), attributes: Vec::new() })
        };
        let output = |text: &str| CallOutput {
            effects: vec![
                Effect { cause: Some(CallIndex(1)), action: send(text) },
                Effect { cause: None, action: send(text) },
            ],
            outcomes: vec![EventOutcome { event: CallIndex(0), disposition: Disposition::Skip(text.into()) }],
            replies: vec![Reply {
                event: CallIndex(1),
                status: 200,
                content_type: String::new(),
                headers: Vec::new(),
                body: Vec::new(),
            }],
        };
        let mut all = CallOutput::default();
        all.append(output("even"), &[CallIndex(0), CallIndex(2)]);
        all.append(output("odd"), &[CallIndex(1), CallIndex(3)]);
        assert_eq!(
            all.effects.iter().map(|e| e.cause.map(|cause| cause.0)).collect::<Vec<_>>(),
            [Some(2), None, Some(3), None]
        );
        assert_eq!(all.outcomes.iter().map(|o| o.event.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(all.replies.iter().map(|r| r.event.0).collect::<Vec<_>>(), [2, 3]);
    }
}
