//! Addresses to listen on, by IP address or by name.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::{failure::Failure, redaction::shown};

/// Number of connections that the kernel queues until the server accepts them. The kernel drops attempts beyond it, and a client
/// retries after one second. A burst of connections from one client must not cost others that second. Linux lowers the value to
/// `net.core.somaxconn`, 4,096 by default.
const BACKLOG: u32 = 4_096;

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(String);

impl ListenAddress {
    /// Returns whether two listeners on these addresses certainly exclude each other: both have the same port and the same host,
    /// or one of the hosts stands for all addresses of the machine. Resolves no name.
    pub(crate) fn shares_port_with(&self, other: &Self) -> bool {
        let parts = |Self(text): &Self| {
            text.rsplit_once(':').map(|(host, port)| (host.to_ascii_lowercase(), port.to_owned()))
        };
        let (Some((host, port)), Some((other_host, other_port))) = (parts(self), parts(other)) else {
            return false;
        };
        let number = |port: &str| port.parse::<u16>().ok().filter(|port| *port != 0);
        if number(&port).is_none() || number(&port) != number(&other_port) {
            return false;
        }
        let address = |host: &str| match host {
            "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
            _ => host.trim_matches(['[', ']']).parse::<IpAddr>().ok(),
        };
        match (address(&host), address(&other_host)) {
            (Some(IpAddr::V6(address)), _) | (_, Some(IpAddr::V6(address))) if address.is_unspecified() => {
                true
            }
            (Some(IpAddr::V4(one)), Some(IpAddr::V4(other))) => {
                one == other || one.is_unspecified() || other.is_unspecified()
            }
            (one, other) => {
                if one.is_some() || other.is_some() {
                    one == other
                } else {
                    host == other_host
                }
            }
        }
    }

    /// Listens on the first address of the host that this machine has, IPv4 before IPv6. A port in use is a failure: a client
    /// that resolves the same name would reach another program. `option` names the option that gives the address.
    pub(crate) async fn bind(&self, option: &str) -> Result<TcpListener, Failure> {
        let Self(text) = self;
        let found = lookup_host(text.as_str()).await.map_err(|error| {
            Failure::new(format!(
                "listening on {text}: the name of the host has no address on this machine ({error})"
            ))
        })?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let mut tried = Vec::with_capacity(addresses.len());
        for address in addresses {
            match listen(address) {
                Ok(listener) => return Ok(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let resolved = address.to_string();
                    let name = if resolved == *text { String::new() } else { format!(" ({text})") };
                    return Err(Failure::new(format!(
                        "another process uses {resolved}{name}: stop it, or give another address with {option}"
                    )));
                }
                Err(error) => {
                    let is_elsewhere = error.kind() == io::ErrorKind::AddrNotAvailable;
                    tried.push(format!("{address} ({error})"));
                    if !is_elsewhere {
                        break;
                    }
                }
            }
        }
        Err(Failure::new(format!("listening on {text}: tried {}", tried.join(", "))))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server gets its port although connections of its predecessor are still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let shown = shown(text);
            format!("must be HOST:PORT, such as 127.0.0.1:8080, localhost:8080 or [::1]:8080, not {shown:?}")
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_name = |host: &str| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        let is_port = port.parse::<u16>().is_ok();
        if is_host && is_port { Ok(Self(text.to_owned())) } else { Err(wrong()) }
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["127.0.0.1:8080", "localhost:0", "[::1]:8080", "kitchen-1.example.org:65535"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in [
            "localhost",
            ":8080",
            "localhost:",
            "localhost:65536",
            "::1:8080",
            "[::1]",
            "a b:1",
            "http://h:1",
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.starts_with("must be HOST:PORT") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn listeners_that_exclude_each_other_are_detected() {
        for (one, other, excludes) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "127.0.0.1:8081", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:8080", "127.0.0.1:8080", true),
            ("0.0.0.0:8080", "localhost:8080", true),
            ("0.0.0.0:8080", "[::1]:8080", false),
            ("[::]:8080", "127.0.0.1:8080", true),
            ("[::1]:8080", "127.0.0.1:8080", false),
            ("10.0.0.7:8080", "127.0.0.1:8080", false),
            ("Kitchen:8080", "kitchen:8080", true),
            ("kitchen:8080", "127.0.0.1:8080", false),
        ] {
            let [first, second] = [one, other].map(|text| text.parse::<ListenAddress>().unwrap());
            assert_eq!(first.shares_port_with(&second), excludes, "{one} {other}");
            assert_eq!(second.shares_port_with(&first), excludes, "{other} {one}");
        }
    }

    /// Proves that a name is resolved, and that a port in use, a name without an address and an address of another
    /// machine are failures that name the address; for a port in use, also the option that gives another address.
    #[tokio::test]
    async fn a_name_is_resolved() {
        let listener = "localhost:0".parse::<ListenAddress>().unwrap().bind("--listen").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(address.ip().is_loopback());
        let taken = format!("localhost:{}", address.port()).parse::<ListenAddress>().unwrap();
        let failure = taken.bind("--listen").await.unwrap_err().to_string();
        assert!(
            failure.contains(&format!("another process uses {address} ({taken})"))
                && failure.contains("--listen"),
            "{failure}"
        );
        let plain = address.to_string().parse::<ListenAddress>().unwrap();
        let failure = plain.bind("--listen").await.unwrap_err().to_string();
        assert!(failure.contains(&format!("another process uses {address}: stop it")), "{failure}");
        let nowhere = "nowhere.invalid:1".parse::<ListenAddress>().unwrap();
        let failure = nowhere.bind("--listen").await.unwrap_err().to_string();
        assert!(failure.contains("nowhere.invalid:1") && failure.contains("no address"), "{failure}");
        let foreign = "192.0.2.1:0".parse::<ListenAddress>().unwrap();
        let failure = foreign.bind("--listen").await.unwrap_err().to_string();
        assert!(failure.contains("tried 192.0.2.1:0"), "{failure}");
    }
}
