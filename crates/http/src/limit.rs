//! How often someone may ask, where asking is expensive or guesses passwords.
//!
//! The limits follow the engine's clock, as all else does. Where that is set back, those who have
//! used up their requests wait for so much longer; nobody gets more.

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
        // The period is not zero, so there always is a quota.
        Quota::with_period(replenished_in)
            .unwrap_or_else(|| Quota::per_second(self.requests))
            .allow_burst(self.requests)
    }
}

/// A refusal by a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// The limit's name and what it lets pass; `None` if it only bounds how much is under way.
    pub(crate) policy: Option<(&'static str, Rate)>,
    /// The time after which to try again.
    pub(crate) wait: Duration,
}

impl Refusal {
    const fn busy(wait: Duration) -> Self {
        Self { policy: None, wait }
    }
}

/// Registrations, by the client's network; ten times as many by its site.
struct Registrations {
    network: Buckets<EngineClock>,
    site: Buckets<EngineClock>,
    /// With keys of its own, so that nobody can choose addresses that share a bucket.
    hashes: RandomState,
}

impl Registrations {
    /// The limit's name, as the `RateLimit` headers show it.
    const NAME: &str = "registrations";
    /// How many times as many as of a network.
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
        taken.inspect_err(|_| self.network.give_back(network))
    }
}

/// Every limit.
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

    /// Lets somebody try a password, or not.
    pub(crate) fn begin_login(&self, client: ClientAddress, email: &str) -> Result<Attempt, Problem> {
        self.logins.begin(client, email).map_err(Problem::limited)
    }

    /// Counts an attempt by what came of it: only a wrong password counts as failed.
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

    /// Lets a registration pass, or not.
    pub(crate) fn check_account(&self, client: ClientAddress) -> Result<(), Problem> {
        self.registrations.check(client).map_err(Problem::limited)
    }
}

/// Where a request comes from. Of an IPv6 address only the network counts: whoever has one address in
/// it has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    pub(crate) fn new(address: IpAddr) -> Self {
        let IpAddr::V6(address) = address.to_canonical() else { return Self(address.to_canonical()) };
        let [a, b, c, d, ..] = address.segments();
        Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
    }

    /// Whether the site of the network may have others.
    const fn has_many_networks(self) -> bool {
        self.0.is_ipv6()
    }

    /// The site of the network: of IPv6 the first 48 bits, which providers give to one customer at most (RFC 6177); of IPv4 the
    /// address itself.
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

/// The address of a request's client: the connection's, or what trusted proxies say.
pub(crate) fn client(extensions: &Extensions, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let connection = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = connection.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    forwarded(peer, headers, proxies).to_canonical()
}

/// The client's address behind trusted proxies. Each of them appends the address that it was called from to the header, so the
/// last one that is not a proxy's is the client's. The client may have forged what precedes it.
fn forwarded(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    if !is_proxy(peer) {
        return peer;
    }
    let mut client = peer;
    let values = headers.get_all("x-forwarded-for").iter().rev();
    let mut addresses = values.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    while is_proxy(client) {
        // A text that is no address hides whatever stands before it.
        let Some(next) = addresses.next().and_then(|text| address_of(text.trim())) else { break };
        client = next;
    }
    client
}

/// Reads an address, which some proxies write with a port.
fn address_of(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that only trusted proxies are believed, through any number of them.
    #[test]
    fn the_last_address_that_is_not_a_proxys_is_the_clients() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "::1"].iter().map(|text| text.parse().unwrap()).collect();
        let found = |peer: &str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            forwarded(peer.parse().unwrap(), &headers, &proxies).to_string()
        };
        assert_eq!(found("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "anyone can write the header");
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
