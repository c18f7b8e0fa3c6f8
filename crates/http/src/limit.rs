//! Rate limits of requests that are expensive or that guess passwords.
//!
//! The limits use the engine's clock, as all other code does. If that clock is set back, clients that have used up their requests
//! wait longer by that time; no client gets more requests.

mod buckets;
mod budget;
mod description;
mod logins;

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{Extensions, HeaderMap, request::Parts},
};
use dabba_engine::{Engine, Error};
use governor::{Quota, clock::Clock};

use self::{buckets::Buckets, budget::Budgets, logins::Logins};
pub(crate) use self::{
    budget::{Report, whole_seconds},
    description::describe,
    logins::Attempt,
};
use crate::{App, Network, Rate, RateLimits, config::at_least_one, problem::Problem};

/// The engine's clock, as the time since 1970.
#[derive(Clone)]
pub(crate) struct EngineClock(Arc<Engine>);

impl Clock for EngineClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().duration_since(dabba_domain::Timestamp::UNIX_EPOCH).unsigned_abs()
    }
}

impl Rate {
    fn quota(self) -> Quota {
        let replenished_in = (self.per / self.requests.get()).max(Duration::from_nanos(1));
        // The period is not zero, so `with_period` always returns a quota.
        Quota::with_period(replenished_in)
            .unwrap_or_else(|| Quota::per_second(self.requests))
            .allow_burst(self.requests)
    }
}

/// A refusal by a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// The limit's name and its rate; `None` if the limit only bounds the number of concurrent attempts.
    pub(crate) policy: Option<(&'static str, Rate)>,
    /// Time to wait before the next attempt.
    pub(crate) wait: Duration,
}

impl Refusal {
    const fn busy(wait: Duration) -> Self {
        Self { policy: None, wait }
    }
}

/// Registrations of each network, and of each site: a site may make ten times as many as a network.
struct Registrations {
    network: Buckets<EngineClock>,
    site: Buckets<EngineClock>,
    /// A random hash function, so that nobody can choose addresses that share a bucket.
    hashes: RandomState,
}

impl Registrations {
    /// The limit's name, as the `RateLimit` headers show it.
    const NAME: &str = "registrations";
    /// Factor of a site's limit over a network's limit.
    const OF_SITE: u32 = 10;

    fn new(engine: &Arc<Engine>, rate: Rate) -> Self {
        let of_site = Rate { requests: rate.requests.saturating_mul(at_least_one(Self::OF_SITE)), ..rate };
        let buckets = |rate| Buckets::new(Self::NAME, rate, EngineClock(Arc::clone(engine)));
        Self { network: buckets(rate), site: buckets(of_site), hashes: RandomState::new() }
    }

    fn check(&self, client: ClientAddress) -> Result<(), Refusal> {
        let network = self.hashes.hash_one(client);
        self.network.take(network)?;
        let taken = self.site.take(self.hashes.hash_one(client.site()));
        taken.inspect_err(|_| self.network.restore(network))
    }
}

/// All rate limits.
pub(crate) struct Limits {
    logins: Logins<EngineClock>,
    registrations: Registrations,
    pub(crate) budgets: Budgets,
}

impl Limits {
    pub(crate) fn new(engine: &Arc<Engine>, limits: &RateLimits) -> Self {
        Self {
            logins: Logins::new(limits, &EngineClock(Arc::clone(engine))),
            registrations: Registrations::new(engine, limits.accounts_per_address),
            budgets: Budgets::new(engine, limits),
        }
    }

    /// Begins an attempt to log in, or refuses it.
    pub(crate) fn begin_login(&self, client: ClientAddress, email: &str) -> Result<Attempt, Problem> {
        self.logins.begin(client, email).map_err(Problem::limited)
    }

    /// Ends an attempt. Only a wrong password counts as a failure.
    pub(crate) fn end_login<T>(
        &self,
        attempt: &Attempt,
        result: &Result<T, Error>,
        is_wrong: impl FnOnce(&Error) -> bool,
    ) {
        match result {
            Ok(_) => self.logins.succeeded(attempt),
            Err(error) if is_wrong(error) => {}
            Err(_) => self.logins.withdraw(attempt),
        }
    }

    /// Counts a registration, or refuses it.
    pub(crate) fn check_account(&self, client: ClientAddress) -> Result<(), Problem> {
        self.registrations.check(client).map_err(Problem::limited)
    }
}

/// Client address for rate limits. Of an IPv6 address only the network counts, because a client with one address of a network has
/// all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    pub(crate) fn new(address: IpAddr) -> Self {
        let IpAddr::V6(address) = address.to_canonical() else { return Self(address.to_canonical()) };
        let [a, b, c, d, ..] = address.segments();
        Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
    }

    /// Returns whether the site of this network may have other networks.
    const fn has_many_networks(self) -> bool {
        self.0.is_ipv6()
    }

    /// Returns the site of this network. For IPv6 the site is the first 48 bits, which providers assign to at most one customer
    /// (RFC 6177). For IPv4 the site is the address itself.
    fn site(self) -> Self {
        let IpAddr::V6(address) = self.0 else { return self };
        let [a, b, c, ..] = address.segments();
        Self(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into())
    }
}

impl FromRequestParts<Arc<App>> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(Self::new(client(&parts.extensions, &parts.headers, &app.config.trusted_proxies)))
    }
}

/// Returns the address of a request's client: the connection's address, or the address that trusted proxies report.
pub(crate) fn client(extensions: &Extensions, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    forwarded(peer, headers, proxies).to_canonical()
}

/// Returns the client's address behind trusted proxies. Each proxy appends the address of its own client to the header, so the
/// last address that is not a proxy's is the client's. The client may have forged the addresses before it.
fn forwarded(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    if !is_proxy(peer) {
        return peer;
    }
    let mut client = peer;
    let values = headers.get_all("x-forwarded-for").iter().rev();
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
}
