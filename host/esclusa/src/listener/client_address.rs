//! The client of a request: the other end of its connection, or if that is a trusted proxy, the client that it names.

use axum::http::HeaderMap;
use esclusa_config::plan::Network;
use std::net::{IpAddr, SocketAddr};

/// Most proxies that a request may have come through.
const MOST_PROXIES: usize = 32;

/// The address of the client of a request from `peer`: the nearest one on its way that is no trusted proxy. Headers of anybody else
/// count nothing, since a client can write into them what it likes.
pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut client = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(client) {
        return client;
    }
    // The proxy next to the router has written last, so addresses are read from the end.
    for address in forwarded_for(headers).into_iter().rev().take(MOST_PROXIES) {
        // An address that cannot be read ends the chain: the proxy that wrote it is the last that is known.
        let Some(address) = address else { break };
        client = address.to_canonical();
        if !is_trusted(client) {
            break;
        }
    }
    client
}

/// The addresses in `X-Forwarded-For`, or without it in `Forwarded`, in the order in which a request came by them.
fn forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| -> Vec<String> {
        let lines = headers.get_all(name).iter();
        lines.flat_map(|line| line.to_str().unwrap_or("?").split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let given = values("x-forwarded-for");
    if !given.is_empty() {
        return given.iter().map(|text| address(text)).collect();
    }
    values("forwarded").iter().map(|text| address(forwarded(text)?)).collect()
}

/// The value of `for` in an element of `Forwarded`: RFC 7239.
fn forwarded(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address, perhaps with a port: `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted = [("10.0.0.0", 8), ("::1", 128)];
        let trusted = trusted.map(|(address, bits)| Network { address: address.parse().unwrap(), bits });
        let headers: HeaderMap = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_names_the_client() {
        assert_eq!(client("8.8.8.8", &[("x-forwarded-for", "1.1.1.1")]), "8.8.8.8", "anybody can write this header");
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", "1.1.1.1")]), "1.1.1.1");
        assert_eq!(client("10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(client("::ffff:10.1.1.1", &[("x-forwarded-for", "1.1.1.1")]), "1.1.1.1");
    }

    #[test]
    fn what_the_client_wrote_in_front_counts_nothing() {
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.2.2.2")]), "1.1.1.1");
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.1.1.1")]), "1.1.1.1");
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", "1.1.1.1, unknown")]), "10.1.1.1");
        assert_eq!(client("10.1.1.1", &[("x-forwarded-for", "10.3.3.3, 10.2.2.2")]), "10.3.3.3");
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "1.1.1.1")];
        assert_eq!(client("10.1.1.1", &both), "1.1.1.1");
    }

    #[test]
    fn both_headers_take_addresses_with_ports_and_brackets() {
        let forwarded = r#"for=9.9.9.9, proto=https;For="[2001:db8::1]:4711";by=x"#;
        assert_eq!(client("::1", &[("forwarded", forwarded)]), "2001:db8::1");
        assert_eq!(client("::1", &[("x-forwarded-for", "1.1.1.1:99")]), "1.1.1.1");
        assert_eq!(client("::1", &[("x-forwarded-for", "[2001:db8::2]")]), "2001:db8::2");
    }
}
