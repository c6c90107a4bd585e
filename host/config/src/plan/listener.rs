//! `[listener.NAME]` and what a source of kind `http` has on it, checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// `[listener.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpListener {
    /// The address to listen on; port 0: any free one.
    pub listen: SocketAddr,
    /// Certificate and key; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Pages of other sites that may call; `None`: none.
    pub cors: Option<Cors>,
    /// Proxies whose headers name the client.
    pub trusted_proxies: Vec<Network>,
    /// Most connections at the same time.
    pub max_connections: usize,
    /// How long requests are served after readiness has ended.
    pub drain_delay: Duration,
}

/// The files of a listener's certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Pages of other sites that may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Their origins; `*` alone: all.
    pub origins: Vec<String>,
    /// Methods that they may use.
    pub methods: Vec<String>,
    /// Headers that they may send.
    pub headers: Vec<String>,
    /// They may send cookies and passwords.
    pub credentials: bool,
    /// How long a browser may remember it.
    pub max_age: Duration,
}

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// One of them.
    pub address: IpAddr,
    /// How many bits they share.
    pub bits: u8,
}

/// What a source of kind `http` has on a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSource {
    /// The listener's name.
    pub listener: String,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// How a request proves who sent it; `None`: every request is taken.
    pub auth: Option<Auth>,
    /// How a request that comes again is known; `None`: not at all.
    pub idempotency: Option<Idempotency>,
    /// Requests a second of one client; `None`: without limit.
    pub per_client: Option<u32>,
    /// Requests a second of all clients; `None`: without limit.
    pub total: Option<u32>,
}

/// A method and a path with parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: String,
    /// As routes.toml has it, without the base path: the attribute `endpoint` of its events.
    pub pattern: String,
    /// The segments of the whole path.
    pub segments: Vec<Segment>,
}

/// A segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// This text, decoded.
    Text(String),
    /// Any text: a parameter of this name.
    Parameter(String),
}

/// How a request proves who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// One of these tokens.
    Bearer(Vec<Secret>),
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A signature over the body.
    Hmac {
        /// One of these secrets was used.
        secrets: Vec<Secret>,
        /// Whose signatures they are.
        scheme: SignatureScheme,
        /// How old a signature with a time may be.
        tolerance: Duration,
    },
}

/// Whose signatures a source takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// `x-hub-signature-256`.
    Github,
    /// `Stripe-Signature`.
    Stripe,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`. Their secrets are decoded already.
    StandardWebhooks,
}

/// How a request that comes again is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The place of the key in a request.
    pub key: KeyPlace,
    /// How long answers are kept.
    pub ttl: Duration,
}

/// The place of a key in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// The value of this header.
    Header(String),
    /// A text or number of the body, which is JSON: names with dots between them.
    Body(String),
}

/// Bytes that no log and no page shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Network {
    /// True if the address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (one, other, all) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (u128::from(one.to_bits()), u128::from(other.to_bits()), 32_u8),
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let differing = u32::from(all.saturating_sub(self.bits));
        (one ^ other).checked_shr(differing).unwrap_or(0) == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Method and whole path, as they can be written with an empty base path.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method)?;
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Text(text) => write!(f, "/{text}"),
            Segment::Parameter(name) => write!(f, "/{{{name}}}"),
        })
    }
}

impl Endpoint {
    /// What two endpoints that take the same requests have in common: method and path without names of parameters.
    #[must_use]
    pub fn shape(&self) -> (String, Vec<Option<&str>>) {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Text(text) => Some(text.as_str()),
            Segment::Parameter(_) => None,
        });
        (self.method.clone(), segments.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_share_its_bits() {
        let network = |address: &str, bits| Network { address: address.parse().unwrap(), bits };
        let has = |network: Network, address: &str| network.contains(address.parse().unwrap());
        assert!(has(network("10.0.0.0", 8), "10.255.1.2") && !has(network("10.0.0.0", 8), "11.0.0.0"));
        assert!(has(network("10.0.0.0", 8), "::ffff:10.1.1.1"), "as a dual-stack socket shows it");
        assert!(has(network("0.0.0.0", 0), "8.8.8.8") && !has(network("0.0.0.0", 0), "::1"));
        assert!(has(network("::", 0), "::1") && has(network("fd00::", 8), "fdff::1"));
        assert!(has(network("1.2.3.4", 32), "1.2.3.4") && !has(network("1.2.3.4", 32), "1.2.3.5"));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Auth::Bearer(vec![Secret(b"abc".to_vec())])), "Bearer([***])");
    }
}
