//! Client addresses, as far as limits can tell them apart (clarification 27).

use std::{fmt, net::IpAddr};

/// An address of IPv4, or the /64 of IPv6 that one customer has, also for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientNetwork(IpAddr);

impl From<IpAddr> for ClientNetwork {
    /// An address of IPv4 that is mapped into IPv6 is one of IPv4.
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The network of the address.
    pub network: ClientNetwork,
    /// Do limits by address not apply to it (clarification 22)?
    pub is_exempt: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let network = |address: &str| {
            ClientNetwork::from(address.parse::<IpAddr>().expect("an address")).to_string()
        };
        assert_eq!(network("2001:db8:0:1:2:3:4:5"), network("2001:db8:0:1::9"));
        assert_ne!(network("2001:db8:0:1::9"), network("2001:db8:0:2::9"));
        assert_eq!(network("::ffff:198.51.100.7"), "198.51.100.7");
        assert_ne!(network("198.51.100.7"), network("198.51.100.8"));
    }
}
