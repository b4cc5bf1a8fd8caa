//! From where a request comes: the connection's address, or the one that a trusted proxy names.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::{
    adapters::client_address::ClientAddress,
    config::{LimitSettings, Network},
};

/// The client of a connection from `peer`.
///
/// What a trusted proxy writes and nobody can read is counted for the proxy, also if that is exempt: else whoever gets a
/// proxy to write it would have no limits.
pub fn of(peer: IpAddr, headers: &HeaderMap, limits: &LimitSettings) -> ClientAddress {
    let is_exempt = |address| is_in(&limits.exempt, address);
    // The last entry of the last line is the one that our own proxy wrote; a client can write those before.
    let line = headers.get_all(&limits.client_ip_header).iter().next_back();
    let Some(line) = line.filter(|_| is_in(&limits.trusted_proxies, peer)) else {
        return ClientAddress { network: peer.into(), is_exempt: is_exempt(peer) };
    };
    match line.to_str().ok().and_then(|line| address(line.rsplit(',').next()?)) {
        Some(client) => ClientAddress { network: client.into(), is_exempt: is_exempt(client) },
        None => ClientAddress { network: peer.into(), is_exempt: false },
    }
}

fn is_in(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// The address of an entry, with or without a port, brackets and quotes.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim().trim_matches('"');
    let inner = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    entry.parse().ok().or_else(with_port).or_else(inner)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::Config;

    /// The network of a client behind a trusted proxy on this machine that wrote `lines`, and whether it is exempt.
    fn behind(lines: &[&[u8]]) -> (String, bool) {
        let mut limits = Config::read(None).expect("the defaults are valid").limits;
        limits.trusted_proxies.push("127.0.0.1".to_owned().try_into().expect("a network"));
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line).expect("a value");
            headers.append(HeaderName::from_static("x-forwarded-for"), value);
        }
        let client = of("127.0.0.1".parse().expect("an address"), &headers, &limits);
        (client.network.to_string(), client.is_exempt)
    }

    #[test]
    fn entries_with_ports_and_brackets_are_read() {
        for (entry, network) in [
            ("198.51.100.7", "198.51.100.7"),
            ("198.51.100.7:5678", "198.51.100.7"),
            ("203.0.113.9, 198.51.100.7:5678 ", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::"),
            ("[2001:db8::1]", "2001:db8::"),
            ("[2001:db8::1]:443", "2001:db8::"),
            ("\"[2001:db8::1]:443\"", "2001:db8::"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:198.51.100.7]:1", "198.51.100.7"),
        ] {
            assert_eq!(behind(&[entry.as_bytes()]), (network.to_owned(), false), "{entry}");
        }
        let lines: [&[u8]; 2] = [b"203.0.113.9", b"198.51.100.7"];
        assert_eq!(behind(&lines), ("198.51.100.7".to_owned(), false));
    }

    #[test]
    fn an_entry_that_is_no_address_counts_for_the_proxy_with_limits() {
        let entries: [&[u8]; 7] =
            [b"unknown", b"", b"198.51.100.7,", b"_hidden", b"1.2.3", b"[::1", b"\xe4\xbd\xa0"];
        for entry in entries {
            assert_eq!(behind(&[entry]), ("127.0.0.1".to_owned(), false), "{entry:?}");
        }
        assert_eq!(behind(&[]), ("127.0.0.1".to_owned(), true), "the proxy itself");
        assert_eq!(behind(&[b"127.0.0.1:80"]), ("127.0.0.1".to_owned(), true));
    }

    #[test]
    fn nobody_else_is_believed() {
        let limits = Config::read(None).expect("the defaults are valid").limits;
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
        let client = of("198.51.100.7".parse().expect("an address"), &headers, &limits);
        assert_eq!((client.network.to_string(), client.is_exempt), ("198.51.100.7".into(), false));
    }
}
