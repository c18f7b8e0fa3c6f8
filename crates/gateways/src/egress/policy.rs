//! The rules for URLs that users enter.

use std::{fmt, net::IpAddr, str::FromStr};

use dabba_engine::{EgressUrlError, MAX_TARGET_URL_LENGTH};
use url::{Host, ParseError, Url};

use super::addresses::check_public;

/// The only scheme that needs no permission.
const SCHEME: &str = "https";
/// The ports that need no permission.
pub const PORTS: [u16; 2] = [443, 8443];
/// The name of this machine, which is allowed together with loopback addresses.
pub(super) const LOCALHOST: &str = "localhost";
/// The last labels of names that never belong to a public host (RFC 6761, 6762, 8375, 9476).
const LOCAL_LABELS: [&str; 4] = ["local", "localhost", "internal", "home.arpa"];
/// Maximum number of characters of a wrong value in an error text.
const MAX_SHOWN: usize = 64;

/// The rules for URLs that users enter: what is allowed beyond `https`, [`PORTS`] and public addresses.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Hosts for which scheme, port and addresses are not checked (the setting `webhook_allowed_hosts`).
    pub allowed_hosts: Vec<AllowedHost>,
    /// Whether loopback addresses, and the name `localhost` if it resolves to one, are allowed with any port and with
    /// `http`. For demonstrations.
    pub allow_loopback: bool,
}

/// A host and a port, such as `127.0.0.1:9000`, `[::1]:9000` or `hooks.internal:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host<String>,
    port: u16,
}

/// A text is not a host and a port. The text follows the name of the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must contain hosts with ports, such as 127.0.0.1:9000, [::1]:9000 or hooks.internal:8080, not {0}")]
pub struct AllowedHostError(String);

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (host, port) = text.rsplit_once(':')?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let is_plain = port_digits_are_plain(text) && is_plain_authority(host);
            let host = Host::parse(host).ok().filter(|_| is_plain)?;
            Some(Self { host: without_trailing_dot(host)?, port })
        };
        parse().ok_or_else(|| AllowedHostError(text.chars().take(MAX_SHOWN).collect()))
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Returns whether a port consists of digits only: Rust also parses `+80`.
fn port_digits_are_plain(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns whether a text contains nothing that ends or precedes a host in a URL, and no wildcard: an entry names one host.
fn is_plain_authority(text: &str) -> bool {
    is_plain(text) && !text.contains(['@', '/', '?', '#', '*'])
}

/// Returns whether programs agree on the interpretation of a URL. Parsers remove some control characters, and treat a
/// backslash as a slash.
fn is_plain(text: &str) -> bool {
    !text.contains(|character: char| character.is_whitespace() || character.is_control() || character == '\\')
}

/// Removes the dot at the end of a name; `None` if nothing remains.
fn without_trailing_dot(host: Host<String>) -> Option<Host<String>> {
    let Host::Domain(mut name) = host else { return Some(host) };
    if name.ends_with('.') {
        name.pop();
    }
    (!name.is_empty() && !name.ends_with('.')).then_some(Host::Domain(name))
}

/// A URL that the policy allows, and the check that remains for the addresses of its host.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    /// Whether the host is one of the allowed hosts, so that its addresses are not checked.
    pub(super) is_allowed_host: bool,
}

impl EgressPolicy {
    /// Parses a URL, normalizes it, and checks everything that can be checked without a lookup of the host's name. The
    /// parser follows the URL standard of the browsers: it turns all spellings of an IPv4 address (`0x7f.1`,
    /// `2130706433`, `127.1`, `0177.0.0.1`, digits of other scripts) into the same address, and names of other scripts
    /// into Punycode.
    pub(super) fn check(&self, text: &str) -> Result<Target, EgressUrlError> {
        let mut url = parse(text)?;
        let host = url.host().ok_or(EgressUrlError::Malformed)?.to_owned();
        let host = without_trailing_dot(host).ok_or(EgressUrlError::Malformed)?;
        let port = url.port_or_known_default().unwrap_or_default();
        if let Host::Domain(name) = &host {
            url.set_host(Some(name)).map_err(|_| EgressUrlError::Malformed)?;
        }
        if url.as_str().len() > MAX_TARGET_URL_LENGTH {
            return Err(EgressUrlError::TooLong);
        }
        let is_http = matches!(url.scheme(), SCHEME | "http");
        let is_named = self.allowed_hosts.iter().any(|allowed| allowed.host == host && allowed.port == port);
        let is_allowed_host = is_http && is_named;
        let is_loopback = is_http && self.allow_loopback && is_loopback(&host);
        if !is_allowed_host && !is_loopback {
            if url.scheme() != SCHEME {
                return Err(EgressUrlError::Scheme(url.scheme().to_owned()));
            }
            check_host(&host)?;
            if !PORTS.contains(&port) {
                return Err(EgressUrlError::Port(port));
            }
        }
        Ok(Target { url, is_allowed_host })
    }

    /// Returns whether the client may connect to an address to which a name resolved that is no allowed host.
    pub(super) fn allows_resolved(&self, name: &str, address: IpAddr) -> bool {
        // A public name must not lead to this machine, even in a demonstration.
        if self.allow_loopback && name.eq_ignore_ascii_case(LOCALHOST) {
            return address.is_loopback();
        }
        check_public(address).is_ok()
    }
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == LOCALHOST,
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn check_host(host: &Host<String>) -> Result<(), EgressUrlError> {
    let address = match host {
        Host::Domain(name) => {
            let is_local = |label: &str| name.strip_suffix(label).is_some_and(|rest| rest.ends_with('.'));
            // The search list of a resolver would complete a name of one label with a domain of the network.
            if !name.contains('.') || LOCAL_LABELS.iter().any(|label| is_local(label)) {
                return Err(EgressUrlError::LocalName(name.clone()));
            }
            return Ok(());
        }
        Host::Ipv4(address) => IpAddr::V4(*address),
        Host::Ipv6(address) => IpAddr::V6(*address),
    };
    check_public(address).map_err(|kind| EgressUrlError::Address { address, kind })
}

/// Parses a URL and refuses forms that programs interpret differently.
fn parse(text: &str) -> Result<Url, EgressUrlError> {
    if text.len() > MAX_TARGET_URL_LENGTH {
        return Err(EgressUrlError::TooLong);
    }
    if !is_plain(text) {
        return Err(EgressUrlError::Characters);
    }
    let (_, rest) = text.split_once("://").ok_or(EgressUrlError::Malformed)?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if authority.contains('@') {
        return Err(EgressUrlError::Credentials);
    }
    // The parser would skip further slashes, and take the next part as the host.
    if authority.is_empty() {
        return Err(EgressUrlError::Malformed);
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => {
            EgressUrlError::LocalName(authority.to_owned())
        }
        _ => EgressUrlError::Malformed,
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EgressUrlError::Credentials);
    }
    if url.fragment().is_some() {
        return Err(EgressUrlError::Fragment);
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
