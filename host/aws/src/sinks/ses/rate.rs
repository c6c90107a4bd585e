//! A rate: so many a second, evenly spread. Pure but for the time that it is given.

use std::time::Duration;
use tokio::time::Instant;

/// Hands out turns. Without a known rate every turn is now.
#[derive(Debug, Default)]
pub struct Rate {
    each: Duration,
    next: Option<Instant>,
}

impl Rate {
    /// Sets how many a second: the least of these; nothing, or less than a thousandth, sets no limit.
    pub fn set(&mut self, per_second: [Option<f64>; 2]) {
        let least = per_second.into_iter().flatten().filter(|rate| *rate >= 0.001).reduce(f64::min);
        self.each = least.map(|rate| Duration::from_secs_f64(rate.recip())).unwrap_or_default();
    }

    /// When the next `count` may go; they count as gone.
    pub fn turn(&mut self, now: Instant, count: usize) -> Instant {
        let turn = self.next.map_or(now, |next| next.max(now));
        self.next = Some(turn + self.each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // E9: the limit counts recipients, not mails.
    #[test]
    fn recipients_are_spread_over_time() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        assert_eq!((rate.turn(now, 5), rate.turn(now, 1)), (now, now), "no limit is known");
        rate.set([Some(10.0), Some(14.0)]);
        assert_eq!(rate.turn(now, 3), now);
        assert_eq!(rate.turn(now, 1), now + Duration::from_millis(300));
        let later = now + Duration::from_secs(60);
        assert_eq!(rate.turn(later, 1), later, "unused turns do not add up");
        rate.set([None, Some(0.0)]);
        assert_eq!(rate.turn(later + Duration::from_secs(1), 9), later + Duration::from_secs(1));
    }
}
