//! Requests a second of a source, of each client and of all. The memory is bounded, however many clients there are.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// Clients that have an account of their own. Further ones share one, until others have been silent for long enough.
pub(crate) const CLIENTS: usize = 65_536;
/// Bytes of an account.
pub(crate) const CLIENT: usize = 96;

/// The limits of a source. As many requests as a second may have may come at once.
pub(super) struct RateLimits {
    start: Instant,
    per_client: Option<u32>,
    total: Option<u32>,
    accounts: Mutex<Accounts>,
}

/// For each account the time at which all that it has used is there again, since the start.
#[derive(Default)]
struct Accounts {
    clients: HashMap<IpAddr, Duration>,
    others: Duration,
    all: Duration,
}

impl RateLimits {
    /// Limits of so many requests a second; `None`: no limit.
    pub(super) fn new(per_client: Option<u32>, total: Option<u32>) -> Self {
        RateLimits { start: Instant::now(), per_client, total, accounts: Mutex::default() }
    }

    /// Counts a request of a client.
    ///
    /// # Errors
    /// It is one too many: the time after which the next one is taken.
    pub(super) fn check(&self, client: IpAddr) -> Result<(), Duration> {
        if self.per_client.is_none() && self.total.is_none() {
            return Ok(());
        }
        let (now, mut accounts) = (self.start.elapsed(), self.accounts.lock());
        // The client first: one that sends too much takes nothing from the others.
        if let Some(rate) = self.per_client {
            take(accounts.of(network(client), now), rate, now)?;
        }
        self.total.map_or(Ok(()), |rate| take(&mut accounts.all, rate, now))
    }
}

impl Accounts {
    /// The account of a client.
    fn of(&mut self, client: IpAddr, now: Duration) -> &mut Duration {
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&client) {
            // Clients that have used nothing of late count as new ones. Looking for them takes time, so that it is done
            // once a second at most: the account of the others is in use from then on.
            if self.others <= now {
                self.clients.retain(|_, full| *full > now);
            }
            if self.clients.len() >= CLIENTS {
                return &mut self.others;
            }
        }
        self.clients.entry(client).or_default()
    }
}

/// Takes one request from an account that gets `rate` requests a second and holds as many.
fn take(full: &mut Duration, rate: u32, now: Duration) -> Result<(), Duration> {
    let each = Duration::from_secs(1) / rate.max(1);
    let after = (*full).max(now).saturating_add(each);
    let wait = after.saturating_sub(now).saturating_sub(Duration::from_secs(1));
    if wait > Duration::ZERO {
        return Err(wait);
    }
    *full = after;
    Ok(())
}

/// The part of an address that a client cannot choose: of IPv6 the first half.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of so many requests are taken.
    fn taken(limits: &RateLimits, clients: impl Iterator<Item = IpAddr>) -> usize {
        clients.filter(|client| limits.check(*client).is_ok()).count()
    }

    #[test]
    fn a_client_that_sends_too_much_takes_nothing_from_the_others() {
        let limits = RateLimits::new(Some(3), Some(1_000));
        let greedy = taken(&limits, std::iter::repeat_n(ip("10.0.0.1"), 500));
        assert!((3..10).contains(&greedy), "{greedy}");
        assert_eq!(limits.check(ip("10.0.0.2")), Ok(()));
        let wait = limits.check(ip("10.0.0.1")).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn addresses_of_one_network_are_one_client_and_all_together_have_a_limit() {
        let limits = RateLimits::new(Some(2), None);
        let addresses = (1..100_u128).map(|at| IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) + at)));
        assert!(taken(&limits, addresses) < 10);
        let limits = RateLimits::new(None, Some(5));
        let many = (0..100_u8).map(|at| IpAddr::from([10, 0, 0, at]));
        assert!((5..15).contains(&taken(&limits, many)));
    }

    #[test]
    fn any_number_of_clients_takes_bounded_memory() {
        // An account of a client with one request a second is full again only after a second.
        let limits = RateLimits::new(Some(1), None);
        for at in 0..CLIENTS as u32 + 500 {
            let _ = limits.check(IpAddr::from((0x0a00_0000 + at).to_be_bytes()));
            if at > CLIENTS as u32 {
                break;
            }
        }
        assert_eq!(limits.accounts.lock().clients.len(), CLIENTS);
    }
}
