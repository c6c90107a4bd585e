//! Messages on their way to their outlets, from try to try. Whoever has them waits in between, and says where they are
//! kept meanwhile.

use crate::dead::{DeadLetter, Sender};
use crate::effect::Message;
use crate::engine::Outlet;
use crate::fault::Fault;
use crate::retry::Backoff;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    /// What is still to be sent, in order for each output.
    left: Vec<Message>,
    /// Failed tries of those that have any, by message id.
    tries: BTreeMap<String, u32>,
    /// Messages that were given up.
    pub dead: Vec<DeadLetter>,
}

/// What to do after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// The number of the wait: failed tries so far, less one, of the message that has most.
    pub round: u32,
    /// The least wait that an output asked for.
    pub least: Duration,
}

impl Again {
    /// How long to wait before the next try. An output that asks for more than the longest wait does not get it.
    #[must_use]
    pub fn wait(self, backoff: &Backoff, seed: u64) -> Duration {
        backoff.wait(self.round, seed).max(self.least.min(backoff.max))
    }
}

impl Outbox {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(messages: Vec<Message>) -> Self {
        Outbox { left: messages, tries: BTreeMap::new(), dead: Vec::new() }
    }

    /// How many messages were not sent: those that are still to be, and those that were given up.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.left.len().saturating_add(self.dead.len())
    }

    /// Sends what is left once, output by output and in order, and tells of what failed. A message that is refused for good
    /// is given up, and any after `retries` tries more than one. One that had to wait for another has used up none. `None`:
    /// nothing is left.
    pub async fn attempt(
        &mut self,
        outlets: &BTreeMap<String, Arc<dyn Outlet>>,
        sender: &Sender<'_>,
        retries: Option<u32>,
        mut failed: impl FnMut(&Message, &Fault),
    ) -> Option<Again> {
        let mut again = Again { round: 0, least: Duration::ZERO };
        let mut rest = std::mem::take(&mut self.left);
        while let Some(first) = rest.first() {
            let output = first.send.output.clone();
            let (mine, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|m| m.send.output == output);
            rest = others;
            let results = match outlets.get(&output) {
                Some(outlet) => outlet.send(&mine).await,
                None => vec![Err(Fault::Permanent("it is not in routes.toml any more".to_owned())); mine.len()],
            };
            let mut results = results.into_iter();
            for message in mine {
                let fault = match results.next() {
                    Some(Ok(())) => continue,
                    Some(Err(fault)) => fault,
                    None => Fault::Bug("an outlet gave too few results".to_owned()),
                };
                if matches!(fault, Fault::Held(_)) {
                    self.left.push(message);
                    continue;
                }
                failed(&message, &fault);
                let before = self.tries.get(&message.id).copied().unwrap_or_default();
                let tries = before.saturating_add(1);
                if matches!(fault, Fault::Permanent(_)) || retries.is_some_and(|retries| before >= retries) {
                    self.dead.push(DeadLetter::of_message(sender, message, &fault, tries));
                    continue;
                }
                if let Fault::Throttled { after, .. } = fault {
                    again.least = again.least.max(after);
                }
                again.round = again.round.max(before);
                self.tries.insert(message.id.clone(), tries);
                self.left.push(message);
            }
        }
        (!self.left.is_empty()).then_some(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxFuture;
    use crate::dead::Handler;
    use crate::effect::Send;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    /// Gives these results, and then nothing.
    struct Scripted(Mutex<Vec<Result<(), Fault>>>, Mutex<Vec<String>>);

    impl Outlet for Scripted {
        fn send<'a>(&'a self, messages: &'a [Message]) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
            self.1.lock().unwrap().extend(messages.iter().map(|m| m.id.clone()));
            let mut results = self.0.lock().unwrap();
            let some = messages.len().min(results.len());
            Box::pin(std::future::ready(results.drain(..some).collect()))
        }
    }

    fn message(id: &str, output: &str) -> Message {
        let send = Send { output: output.into(), key: Some("k".into()), data: vec![1], attributes: Vec::new() };
        Message { id: id.into(), send }
    }

    fn attempt(outbox: &mut Outbox, outlet: &Arc<Scripted>, retries: Option<u32>) -> (Option<Again>, usize) {
        let outlets = BTreeMap::from([("out".to_owned(), outlet.clone() as Arc<dyn Outlet>)]);
        let handler = Handler { kind: "queue".into(), plugin: "p.wasm".into(), digest: "d".into() };
        let sender = Sender { route: "r", source: "s", lane: "l", handler: &handler, now: 7 };
        let mut failures = 0;
        let again = match pin!(outbox.attempt(&outlets, &sender, retries, |_, _| failures += 1))
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(again) => again,
            Poll::Pending => panic!("nothing here waits"),
        };
        (again, failures)
    }

    #[test]
    fn what_failed_for_now_is_left_in_order_and_what_is_refused_is_a_whole_letter() {
        let slow = Fault::Throttled { after: Duration::from_secs(3), reason: "slow".into() };
        let results = vec![Err(slow), Ok(()), Err(Fault::Permanent("never".into())), Ok(()), Ok(())];
        let outlet = Arc::new(Scripted(Mutex::new(results), Mutex::default()));
        let mut outbox = Outbox::new(vec![
            message("1", "out"),
            message("x", "gone"),
            message("2", "out"),
            message("3", "out"),
            message("4", "out"),
        ]);
        let (again, failures) = attempt(&mut outbox, &outlet, None);
        assert_eq!((again, failures), (Some(Again { round: 0, least: Duration::from_secs(3) }), 3));
        assert_eq!((outbox.left.len(), outbox.unsent()), (1, 3));
        assert_eq!(attempt(&mut outbox, &outlet, None), (None, 0));
        assert_eq!(*outlet.1.lock().unwrap(), ["1", "2", "3", "4", "1"]);
        let events: Vec<_> = outbox.dead.iter().map(|l| (l.event.as_str(), l.output.as_deref(), l.attempts)).collect();
        assert_eq!(events, [("3", Some("out"), 1), ("x", Some("gone"), 1)]);
        let letter = &outbox.dead[0];
        assert_eq!((&*letter.kind, &*letter.plugin, &*letter.digest, &*letter.lane), ("queue", "p.wasm", "d", "l"));
        assert_eq!((&*letter.key, letter.died, letter.data.as_slice()), ("k", 7, &[1][..]));
    }

    #[test]
    fn an_output_is_waited_for_as_long_as_it_asks_and_no_longer_than_the_longest_wait() {
        let backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_secs(5) };
        let wait = |seconds| Again { round: 0, least: Duration::from_secs(seconds) }.wait(&backoff, 1);
        assert!(wait(0) <= Duration::from_millis(10));
        assert_eq!((wait(3), wait(86_400)), (Duration::from_secs(3), Duration::from_secs(5)));
    }

    #[test]
    fn what_waits_for_a_message_that_is_given_up_has_all_its_tries_left() {
        let fail = || Err(Fault::Transient("no".into()));
        let held = || Err(Fault::Held("behind it".into()));
        let results = vec![fail(), held(), fail(), held(), fail(), Ok(())];
        let outlet = Arc::new(Scripted(Mutex::new(results), Mutex::default()));
        let mut outbox = Outbox::new(vec![message("poison", "out"), message("good", "out")]);
        let wait = |round| Some(Again { round, least: Duration::ZERO });
        assert_eq!(attempt(&mut outbox, &outlet, Some(1)), (wait(0), 1));
        assert_eq!(attempt(&mut outbox, &outlet, Some(1)), (wait(0), 1), "the poison is given up");
        assert_eq!((outbox.dead.len(), outbox.dead[0].attempts), (1, 2));
        assert_eq!(attempt(&mut outbox, &outlet, Some(1)), (wait(0), 1), "its first try");
        assert_eq!(attempt(&mut outbox, &outlet, Some(1)), (None, 0));
        assert_eq!(outbox.unsent(), 1);
    }

    #[test]
    fn a_message_is_given_up_after_its_retries_and_one_without_answer_is_kept() {
        let outlet = Arc::new(Scripted(Mutex::default(), Mutex::default()));
        let mut outbox = Outbox::new(vec![message("1", "out")]);
        for round in 0..2 {
            assert_eq!(attempt(&mut outbox, &outlet, Some(2)).0, Some(Again { round, least: Duration::ZERO }));
        }
        assert_eq!(attempt(&mut outbox, &outlet, Some(2)).0, None);
        assert_eq!((outbox.dead.len(), outbox.dead[0].attempts), (1, 3));
    }
}
