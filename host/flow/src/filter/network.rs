//! Ranges of network addresses, as in `10.0.0.0/8`.

use std::net::IpAddr;

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads an address, a slash and the number of leading bits.
    pub fn compile(text: &str) -> Result<Network, String> {
        let wrong = || format!("{text:?} is no range of addresses: write it as \"10.0.0.0/8\" or \"2001:db8::/32\"");
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = bits.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if bits > longest {
            return Err(format!("{text:?} has more than {longest} bits"));
        }
        Ok(Network { address, bits })
    }

    /// True where the text is an address of this range, of the same version.
    pub fn contains(&self, text: &str) -> bool {
        match (self.address, text.parse()) {
            (IpAddr::V4(a), Ok(IpAddr::V4(b))) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(32 - self.bits).unwrap_or_default() == 0
            }
            (IpAddr::V6(a), Ok(IpAddr::V6(b))) => {
                (a.to_bits() ^ b.to_bits()).checked_shr(128 - self.bits).unwrap_or_default() == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_range() {
        for (range, address, expected) in [
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
        ] {
            assert_eq!(Network::compile(range).unwrap().contains(address), expected, "{range} {address}");
        }
    }

    #[test]
    fn wrong_ranges_are_refused() {
        for range in ["10.0.0.1", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "x/8", "/8"] {
            assert!(Network::compile(range).is_err(), "{range}");
        }
    }
}
