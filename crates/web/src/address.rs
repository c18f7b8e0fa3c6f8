//! Addresses of clients: behind trusted proxies, and as keys of limits.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap},
};

use crate::headers::FORWARDED_FOR;

/// A network, such as `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Returns whether the network contains an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        let ((own, own_width), (other, other_width)) = (bits(self.address), bits(address));
        let differ = own ^ other;
        own_width == other_width && (self.length == 0 || differ >> (128 - u32::from(self.length)) == 0)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a network; write an address such as 10.0.0.7, or a network such as 10.0.0.0/8 or fd00::/8"
            )
        };
        let (address, length) =
            text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let address = address.to_canonical();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(width), |length| length.trim().parse().map_err(|_| wrong()))?;
        if length > width { Err(wrong()) } else { Ok(Self { address, length }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

/// Client address for rate limits. Of an IPv6 address only the network counts, because a client with one address of a network has
/// all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    pub(crate) fn new(address: IpAddr) -> Self {
        let IpAddr::V6(address) = address.to_canonical() else { return Self(address.to_canonical()) };
        let [a, b, c, d, ..] = address.segments();
        Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
    }

    /// Returns whether the site of this network may have other networks.
    pub(crate) const fn has_many_networks(self) -> bool {
        self.0.is_ipv6()
    }

    /// Returns the site of this network. For IPv6 the site is the first 48 bits, which providers assign to at most one customer
    /// (RFC 6177). For IPv4 the site is the address itself.
    pub(crate) fn site(self) -> Self {
        let IpAddr::V6(address) = self.0 else { return self };
        let [a, b, c, ..] = address.segments();
        Self(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into())
    }
}

/// Returns the address of a request's client: the connection's address, or the address that trusted proxies report.
pub(crate) fn client(extensions: &Extensions, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    forwarded(peer, headers, proxies).to_canonical()
}

/// Returns whether a trusted proxy has sent a request.
pub(crate) fn is_from_proxy(extensions: &Extensions, proxies: &[Network]) -> bool {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    connection.is_some_and(|ConnectInfo(peer)| proxies.iter().any(|network| network.contains(peer.ip())))
}

/// Returns the client's address behind trusted proxies. Each proxy appends the address of its own client to the header, so the
/// last address that is not a proxy's is the client's. The client may have forged the addresses before it.
fn forwarded(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    if !is_proxy(peer) {
        return peer;
    }
    let mut client = peer;
    let values = headers.get_all(&FORWARDED_FOR).iter().rev();
    let mut addresses = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    while is_proxy(client) {
        // A text that is not an address hides all addresses before it.
        let Some(next) = addresses.next().and_then(|text| address_of(text.trim())) else { break };
        client = next;
    }
    client
}

/// Reads an address; some proxies write it with a port.
fn address_of(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that only trusted proxies are believed, in chains of any length.
    #[test]
    fn the_clients_address_is_the_last_one_that_is_not_a_proxys() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|text| text.parse().unwrap()).collect();
        let found = |peer: &str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            forwarded(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        assert_eq!(
            found("192.0.2.1", &["198.51.100.7"]),
            "192.0.2.1",
            "the header of a peer that is not a trusted proxy must be ignored"
        );
        assert_eq!(found("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(found("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.2.3.4"]), "198.51.100.7");
        assert_eq!(found("::ffff:10.0.0.1", &["198.51.100.7,10.2.3.4", "10.9.9.9"]), "198.51.100.7");
        assert_eq!(found("::1", &["198.51.100.7, unknown"]), "::1");
        assert_eq!(found("::1", &["198.51.100.7:443"]), "198.51.100.7");
        assert_eq!(found("::1", &["[2001:db8::1]:443, 10.0.0.1:80"]), "2001:db8::1");
        assert_eq!(found("10.0.0.1", &["10.0.0.2, 10.0.0.3"]), "10.0.0.2");
    }

    #[test]
    fn a_network_contains_the_addresses_of_its_prefix() {
        let cases = [
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::2", false),
        ];
        for (network, address, is_inside) in cases {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), is_inside, "{network} {address}");
            assert_eq!(parsed.to_string().parse::<Network>().unwrap(), parsed);
        }
        for wrong in
            ["", "proxy", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "fd00::/129", "10.0.0.0/8/8"]
        {
            let error = wrong.parse::<Network>().unwrap_err();
            assert!(error.contains("10.0.0.0/8"), "{wrong:?}: {error}");
        }
    }
}
