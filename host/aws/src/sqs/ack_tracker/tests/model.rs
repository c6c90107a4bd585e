//! The ack tracker against a naive model: a queue and routes, every message by itself.

use super::*;
use proptest::prelude::*;

/// The state of a message of the model.
#[derive(Debug, Clone, PartialEq)]
enum Is {
    Visible,
    Hidden { receipt: String, until: Instant },
    Deleted,
}

/// A queue and routes, naively: every message by itself.
struct Model {
    acks: AckTracker,
    now: Instant,
    messages: Vec<Is>,
    routes: Vec<&'static str>,
    /// Route and message: handled to the end.
    done: HashSet<(&'static str, usize)>,
    /// Those that are remembered: if a route reads alone nothing is, the queue is asked to delete at once.
    known: HashSet<(&'static str, usize)>,
    waiting: HashMap<&'static str, Vec<(usize, Box<str>)>>,
    work: HashMap<&'static str, Vec<(usize, Box<str>)>>,
    receipts: usize,
}

const ALL: [&str; 3] = ["a", "b", "c"];

impl Model {
    fn new(messages: usize) -> Self {
        let (waiting, work) = (HashMap::new(), HashMap::new());
        let (now, messages, routes) = (Instant::now(), vec![Is::Visible; messages], vec!["a", "b"]);
        let (done, known) = (HashSet::new(), HashSet::new());
        Model { acks: acks(&["a", "b"]), now, messages, routes, done, known, waiting, work, receipts: 0 }
    }

    fn receive(&mut self, index: usize) {
        if self.messages[index] != Is::Visible {
            return;
        }
        self.receipts += 1;
        let handle = format!("r{}", self.receipts);
        let group = ["", "g", "h"][index % 3];
        let receipt = Receipt {
            handle: handle.as_str().into(),
            group: group.into(),
            received: self.now,
            until: self.now + VISIBILITY,
        };
        let given = self.acks.receive(&index.to_string(), &receipt);
        let expected: Vec<_> = ALL
            .into_iter()
            .filter(|route| self.routes.contains(route) && !self.known.contains(&(*route, index)))
            .collect();
        assert_eq!(
            given.iter().map(|route| &**route).collect::<Vec<_>>(),
            expected,
            "exactly those that did not do it"
        );
        for route in expected {
            self.waiting.entry(route).or_default().push((index, receipt.handle.clone()));
        }
        self.messages[index] = Is::Hidden { receipt: handle, until: receipt.until };
    }

    fn take(&mut self, route: &'static str) {
        let (acks, now) = (&mut self.acks, self.now);
        let waiting = self.waiting.entry(route).or_default();
        acks.lapse(waiting.iter().map(|(_, receipt)| &**receipt), now);
        waiting.retain(|(_, receipt)| acks.waits(route, receipt));
        if waiting.is_empty() {
            return;
        }
        let first = waiting.remove(0);
        acks.take(route, [&*first.1].into_iter());
        self.work.entry(route).or_default().push(first);
    }

    fn settle(&mut self, route: &'static str, back: bool) {
        let Some((index, receipt)) = self.work.entry(route).or_default().pop() else { return };
        let wait = back.then(|| Duration::from_secs(index as u64));
        if !back {
            self.done.insert((route, index));
            if self.routes.len() > 1 {
                assert!(self.acks.messages.contains_key(&receipt), "what is in work is held");
                self.known.insert((route, index));
            }
        }
        let changes = self.acks.settle(route, vec![(receipt, wait)], self.now);
        self.carry_out(&changes);
    }

    fn carry_out(&mut self, changes: &QueueChanges) {
        let mut stale = Vec::new();
        for (receipt, wait, delete) in
            changes.delete.iter().map(|(r, w)| (r, *w, true)).chain(changes.release.iter().map(|(r, w)| (r, *w, false)))
        {
            let valid = |is: &Is| matches!(is, Is::Hidden { receipt: held, .. } if **held == **receipt);
            let Some(index) = self.messages.iter().position(valid) else {
                stale.push(receipt.clone());
                continue;
            };
            if delete {
                let missing = self.routes.iter().find(|route| !self.done.contains(&(**route, index)));
                assert_eq!(missing, None, "message {index} is deleted, and a route has not done it");
                self.messages[index] = Is::Deleted;
            } else {
                self.messages[index] = Is::Hidden { receipt: receipt.to_string(), until: self.now + wait };
            }
        }
        self.acks.confirm(changes, &stale);
    }

    fn flush(&mut self) {
        let changes = self.acks.ready(self.now);
        self.carry_out(&changes);
        assert_eq!(self.acks.ready(self.now), QueueChanges::default());
    }

    /// Time passes; messages are extended meanwhile, or are not.
    fn pass(&mut self, time: Duration, extend: bool) {
        self.now += time;
        let extensions = if extend { self.acks.extensions(self.now) } else { Vec::new() };
        let (mut stale, now) = (Vec::new(), self.now);
        for (receipt, time) in &extensions {
            let valid = |is: &&mut Is| matches!(is, Is::Hidden { receipt: held, .. } if **held == **receipt);
            match self.messages.iter_mut().find(valid) {
                Some(Is::Hidden { until, .. }) if *until > now => *until = now + *time,
                _ => stale.push(receipt.clone()),
            }
        }
        self.acks.extended(now, &extensions);
        self.acks.lost(&stale, now);
        for is in &mut self.messages {
            if matches!(is, Is::Hidden { until, .. } if *until <= now) {
                *is = Is::Visible;
            }
        }
        if extend {
            let kept = |m: &&TrackedMessage| m.open() && !m.lost && m.receipt.received + LONGEST > now + VISIBILITY;
            assert!(self.acks.messages.values().filter(kept).all(|m| m.receipt.until >= now + VISIBILITY / 2));
        }
    }

    fn set(&mut self, route: &'static str, reads: bool) {
        self.routes.retain(|name| *name != route);
        if reads || self.routes.is_empty() {
            self.routes.push(route);
        } else {
            self.waiting.remove(route);
            self.work.remove(route);
        }
        self.acks.set_routes(names(&self.routes), self.now);
    }

    fn close(&mut self, route: &'static str) {
        self.waiting.remove(route);
        self.work.remove(route);
        self.acks.release_route(route, self.now);
    }

    fn drop_batch(&mut self, route: &'static str) {
        let receipts: Vec<_> = self.work.remove(route).unwrap_or_default().into_iter().map(|(_, r)| r).collect();
        self.acks.dropped(route, &receipts, self.now);
    }

    fn step(&mut self, (what, which, flag): (u8, u8, bool)) {
        let route = ALL[usize::from(which) % ALL.len()];
        match what {
            0..=2 => self.receive(usize::from(which) % self.messages.len()),
            3..=5 => self.take(route),
            6..=8 => self.settle(route, flag),
            9 => self.flush(),
            10 => self.pass(VISIBILITY / 3, true),
            11 => self.pass(VISIBILITY * u32::from(flag) + VISIBILITY / 3, false),
            12 => self.set(route, flag),
            13 => self.close(route),
            _ => self.drop_batch(route),
        }
    }

    /// Everybody does everything that is left.
    fn finish(&mut self) {
        for _ in 0..40 {
            (0..self.messages.len()).for_each(|index| self.receive(index));
            for route in self.routes.clone() {
                self.drop_batch(route);
                (0..self.messages.len()).for_each(|_| self.take(route));
                (0..self.messages.len()).for_each(|_| self.settle(route, false));
            }
            self.flush();
            self.pass(VISIBILITY / 2, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // Every route does every message, none is asked again for what it did, nothing is deleted before all did it, and
    // nothing stays behind: whatever the order, with messages released, dropped and lost, and routes that come and go.
    #[test]
    fn every_message_is_done_by_every_route(steps in prop::collection::vec((0u8..15, any::<u8>(), any::<bool>()), 0..150)) {
        let mut model = Model::new(7);
        steps.into_iter().for_each(|step| model.step(step));
        model.finish();
        prop_assert!(model.messages.iter().all(|is| *is == Is::Deleted), "{:?}", model.messages);
        prop_assert_eq!(model.acks.messages.values().filter(|message| message.open()).count(), 0);
        model.pass(LONGEST, true);
        prop_assert!(model.acks.ready.is_empty());
    }
}

// A lapse also releases earlier messages of the group that wait: if they were taken all the same, they would be settled
// after another consumer got them.
#[test]
fn a_message_that_lapses_takes_those_of_its_group_with_it() {
    let mut model = Model::new(7);
    let steps = [
        (0, 13, false),
        (3, 130, false),
        (0, 37, false),
        (3, 112, false),
        (6, 178, false),
        (10, 0, false),
        (10, 0, false),
        (0, 236, false),
        (11, 0, true),
        (3, 234, false),
        (9, 0, false),
        (6, 33, false),
    ];
    steps.into_iter().for_each(|step| model.step(step));
    model.finish();
    assert!(model.messages.iter().all(|is| *is == Is::Deleted), "{:?}", model.messages);
}
