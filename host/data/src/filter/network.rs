//! Ranges of network addresses, as in `10.0.0.0/8`.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first and the last address of a range.
pub(super) type Network = (IpAddr, IpAddr);

/// Ranges, ascending and without those that lie within another one. Two ranges never overlap otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Networks(Vec<Network>);

/// Reads an address, a slash and the number of leading bits.
pub(super) fn compile(text: &str) -> Result<Network, String> {
    let wrong = || format!("{text:?} is no range of addresses: write it as \"10.0.0.0/8\" or \"2001:db8::/32\"");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u32 = bits.parse().map_err(|_| wrong())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if bits > longest {
        return Err(format!("{text:?} has more than {longest} bits"));
    }
    Ok(match address {
        IpAddr::V4(address) => {
            let rest = u32::MAX.checked_shr(bits).unwrap_or_default();
            let bits = address.to_bits();
            (Ipv4Addr::from_bits(bits & !rest).into(), Ipv4Addr::from_bits(bits | rest).into())
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(bits).unwrap_or_default();
            let bits = address.to_bits();
            (Ipv6Addr::from_bits(bits & !rest).into(), Ipv6Addr::from_bits(bits | rest).into())
        }
    })
}

impl Networks {
    /// Ranges in any order.
    pub(super) fn new(mut networks: Vec<Network>) -> Networks {
        networks.sort_unstable_by_key(|(first, last)| (*first, Reverse(*last)));
        networks.dedup_by(|next, kept| next.1 <= kept.1);
        Networks(networks)
    }

    /// True if there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Comparisons that a search takes at most.
    pub(super) fn steps(&self) -> usize {
        self.0.len().checked_ilog2().unwrap_or_default() as usize + 2
    }

    /// True if the text is an address of one of the ranges, of the same version.
    pub(super) fn contain(&self, text: &str) -> bool {
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        let after = self.0.partition_point(|(first, _)| *first <= address);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| address <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [(&str, &str, bool); 15] = [
        ("10.0.0.0/24", "10.0.0.255", true),
        ("10.0.0.0/24", "10.0.1.0", false),
        ("10.0.0.7/24", "10.0.0.9", true),
        ("0.0.0.0/0", "255.1.2.3", true),
        ("1.2.3.4/32", "1.2.3.4", true),
        ("1.2.3.4/32", "1.2.3.5", false),
        ("10.0.0.0/8", "::ffff:10.0.0.1", false),
        ("10.0.0.0/8", "10.1", false),
        ("10.0.0.0/8", "", false),
        ("2001:db8::/32", "2001:db8:1::1", true),
        ("2001:db8::/32", "2001:db9::", false),
        ("::/0", "::1", true),
        ("::1/128", "::1", true),
        ("::/0", "10.0.0.1", false),
        ("128.0.0.0/1", "127.0.0.1", false),
    ];

    #[test]
    fn an_address_is_in_its_range() {
        for (range, address, expected) in RANGES {
            let networks = Networks::new(vec![compile(range).unwrap()]);
            assert_eq!(networks.contain(address), expected, "{range} {address}");
        }
    }

    #[test]
    fn one_search_finds_what_each_range_alone_finds() {
        for size in 1..=RANGES.len() {
            for some in RANGES.windows(size) {
                let ranges: Vec<Network> = some.iter().map(|(range, ..)| compile(range).unwrap()).collect();
                let together = Networks::new(ranges.clone());
                for (_, address, _) in RANGES {
                    let expected = ranges.iter().any(|range| Networks::new(vec![*range]).contain(address));
                    assert_eq!(together.contain(address), expected, "{some:?} {address}");
                }
            }
        }
    }

    #[test]
    fn wrong_ranges_are_refused() {
        for range in ["10.0.0.1", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "x/8", "/8"] {
            assert!(compile(range).is_err(), "{range}");
        }
    }
}
