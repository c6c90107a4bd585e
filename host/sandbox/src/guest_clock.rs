//! Time and random numbers as a guest sees them: a function of the batch, so that a redelivered batch gives the same output.
//!
//! No real clock and no real randomness reach a guest. `init` sees the Unix epoch and a seed made of the route's name
//! alone, so that an instance does not depend on the batch it is made for.

use esclusa_flow::event::{Columns, EVENT_WIDTH};
use esclusa_flow::retry::mix;

/// Step of the monotonic clock at each reading, in nanoseconds. Without it a loop that waits for time to pass would
/// never end.
pub(crate) const STEP: u64 = 10_000;

/// A clock that stands at the newest timestamp of the batch. Its monotonic time moves only when the guest reads it or waits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GuestClock {
    wall: u64,
    monotonic: u64,
}

impl GuestClock {
    /// The clock of a batch.
    pub(crate) fn of(columns: &Columns) -> Self {
        let wall = largest(&columns.timestamps);
        GuestClock { wall, monotonic: wall.saturating_mul(1_000_000) }
    }

    /// Wall clock in milliseconds since the Unix epoch; the same during the whole call.
    pub(crate) fn wall(&self) -> u64 {
        self.wall
    }

    /// Reads the monotonic clock, in nanoseconds.
    pub(crate) fn monotonic(&mut self) -> u64 {
        self.monotonic = self.monotonic.saturating_add(STEP);
        self.monotonic
    }

    /// Sets the monotonic clock to `when`, unless it is later already; takes no real time.
    pub(crate) fn wait_until(&mut self, when: u64) {
        self.monotonic = self.monotonic.max(when);
    }

    /// Moves the monotonic clock by so many nanoseconds; takes no real time.
    pub(crate) fn wait(&mut self, nanoseconds: u64) {
        self.monotonic = self.monotonic.saturating_add(nanoseconds);
    }
}

/// The largest number, 0 if there is none. Keeps eight maxima side by side: a single one would wait for itself at each number, which took
/// an eighth of a call that does nothing.
fn largest(numbers: &[u64]) -> u64 {
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut largest = [0; 8];
    for eight in eights {
        for (most, number) in largest.iter_mut().zip(eight) {
            *most = (*most).max(*number);
        }
    }
    largest.iter().chain(rest).copied().max().unwrap_or_default()
}

/// A generator of pseudo-random numbers. Not for secrets: anyone who knows the batch can compute them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuestRandom {
    state: u64,
}

impl GuestRandom {
    /// The numbers that `init` sees.
    pub(crate) fn of_route(route: &str) -> Self {
        GuestRandom { state: hash(0, route.as_bytes()) }
    }

    /// The numbers of a batch: from the route and the ids of all events.
    pub(crate) fn of(route: &str, columns: &Columns) -> Self {
        let id = |head: &[u32]| {
            let (at, length) = (*head.first()? as usize, *head.get(1)? as usize);
            columns.bytes.get(at..at.checked_add(length)?)
        };
        let ids = columns.events.chunks_exact(EVENT_WIDTH).filter_map(id);
        // Each id is hashed by itself, so that the processor works on several at once.
        GuestRandom { state: ids.fold(hash(0, route.as_bytes()), |state, id| fold(state, hash(0, id))) }
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        let number = mix(self.state);
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        number
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count.saturating_add(8));
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// Hashes a text with a seed. The length counts too, so that "ab", "c" and "a", "bc" differ.
fn hash(seed: u64, text: &[u8]) -> u64 {
    let (blocks, rest) = text.as_chunks::<16>();
    let mut last = [0; 16];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let folded = blocks.iter().chain([&last]).fold(seed, |state, block| {
        let block = u128::from_le_bytes(*block);
        fold(state ^ block as u64, (block >> 64) as u64)
    });
    fold(folded, text.len() as u64)
}

/// One step of a multiplicative hash: a full product, both halves mixed.
fn fold(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ 0x2545_f491_4f6c_dd1d).wrapping_mul(u128::from(word ^ 0x9e37_79b9_7f4a_7c15));
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use esclusa_flow::event::NewEvent;

    fn columns(ids: &[&str]) -> Columns {
        let mut columns = Columns::default();
        for (i, id) in ids.iter().enumerate() {
            columns.push(&NewEvent { id, timestamp: 1_000 + i as u64, ..NewEvent::default() }).unwrap();
        }
        columns
    }

    #[test]
    fn the_clock_stands_at_the_newest_timestamp_and_moves_by_being_read() {
        let mut clock = GuestClock::of(&columns(&["a", "b"]));
        assert_eq!(clock.wall(), 1_001);
        let first = clock.monotonic();
        assert_eq!(clock.monotonic(), first + STEP);
        clock.wait(5);
        assert_eq!(clock.monotonic(), first + 2 * STEP + 5);
        clock.wait_until(u64::MAX);
        assert_eq!(clock.monotonic(), u64::MAX);
    }

    #[test]
    fn the_largest_number_is_found_at_each_place() {
        for count in 0..20 {
            for at in 0..count {
                let mut numbers = vec![1; count];
                numbers[at] = u64::MAX;
                assert_eq!(largest(&numbers), u64::MAX, "{at} of {count}");
            }
        }
        assert_eq!((largest(&[]), largest(&[3]), largest(&[1, 2, 3, 4, 5, 6, 7, 8, 7])), (0, 3, 8));
    }

    #[test]
    fn equal_batches_give_equal_numbers_and_others_do_not() {
        let numbers = |route: &str, ids: &[&str]| GuestRandom::of(route, &columns(ids)).bytes(20);
        assert_eq!(numbers("r", &["a", "b"]), numbers("r", &["a", "b"]));
        assert_ne!(numbers("r", &["a", "b"]), numbers("s", &["a", "b"]));
        assert_ne!(numbers("r", &["a", "b"]), numbers("r", &["b", "a"]));
        assert_ne!(numbers("r", &["ab"]), numbers("r", &["a", "b"]));
        assert_ne!(numbers("r", &["a", "x", "c"]), numbers("r", &["a", "b", "c"]));
        assert_ne!(numbers("r", &["12345678"]), numbers("r", &["12345678\0"]));
    }
}
