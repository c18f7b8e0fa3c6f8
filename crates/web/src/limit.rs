//! Rate limits of requests that are expensive or that guess passwords.
//!
//! The limits use the engine's clock, as all other code does. If that clock is set back, clients that have used up their requests
//! wait longer by that time; no client gets more requests.

mod buckets;
mod budget;
mod logins;
mod lookups;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use axum::http::request::Parts;
use dabba_domain::OrderId;
use dabba_engine::{Engine, Error, Principal};
use governor::clock::Clock;

use self::{
    buckets::Buckets,
    budget::Budgets,
    logins::{Logins, NETWORK},
    lookups::InFlight,
};
pub use self::{budget::TrackingRequest, logins::Attempt, lookups::Secrets};
use crate::{
    ClientAddress,
    problem::Problem,
    quota::{Rate, RateLimits, Report, at_least_one, whole_seconds},
};

/// The engine's clock, as the time since 1970.
#[derive(Clone)]
pub(crate) struct EngineClock(Arc<Engine>);

impl Clock for EngineClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().duration_since(dabba_domain::Timestamp::UNIX_EPOCH).unsigned_abs()
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

impl From<Refusal> for Problem {
    /// Returns the problem of a refusal by a limit. The response's headers report the limit.
    fn from(refusal: Refusal) -> Self {
        let Refusal { policy, wait } = refusal;
        let problem = Self::too_many_requests(wait);
        let Some((name, rate)) = policy else { return problem };
        let report = Report::exhausted(name, rate, whole_seconds(wait).max(1));
        problem.with_policy(name, rate).with_report(report)
    }
}

/// Name of the limit of tracking links that do not exist.
const UNKNOWN_LINKS: &str = "unknown-links";

/// Requests of one kind of each network, and of each site: a site may make ten times as many as a network.
struct PerClient {
    network: Buckets<EngineClock>,
    site: Buckets<EngineClock>,
    /// A random hash function, so that no client can choose addresses that share a bucket.
    hashes: RandomState,
}

impl PerClient {
    /// Factor of a site's limit over a network's limit.
    const OF_SITE: u32 = 10;

    /// `name` is the limit's name, as the `RateLimit` headers show it.
    fn new(name: &'static str, engine: &Arc<Engine>, rate: Rate) -> Self {
        let of_site = Rate { requests: rate.requests.saturating_mul(at_least_one(Self::OF_SITE)), ..rate };
        let buckets = |rate| Buckets::new(name, rate, EngineClock(Arc::clone(engine)));
        Self { network: buckets(rate), site: buckets(of_site), hashes: RandomState::new() }
    }

    fn check(&self, client: ClientAddress) -> Result<(), Refusal> {
        let network = self.hashes.hash_one(client);
        self.network.take(network)?;
        let taken = self.site.take(self.hashes.hash_one(client.site()));
        taken.inspect_err(|_| self.network.restore(network))
    }

    /// Returns the tokens that [`Self::check`] took.
    fn restore(&self, client: ClientAddress) {
        self.network.restore(self.hashes.hash_one(client));
        self.site.restore(self.hashes.hash_one(client.site()));
    }
}

/// All rate limits. Faces share them, so that a client has no more attempts with two faces than with one.
pub struct Limits {
    logins: Logins<EngineClock>,
    registrations: PerClient,
    unknown_links: PerClient,
    credentials_in_flight: InFlight,
    links_in_flight: InFlight,
    budgets: Budgets,
}

impl Limits {
    pub(crate) fn new(engine: &Arc<Engine>, limits: &RateLimits) -> Self {
        Self {
            logins: Logins::new(limits, &EngineClock(Arc::clone(engine))),
            registrations: PerClient::new("registrations", engine, limits.accounts_per_address),
            unknown_links: PerClient::new(UNKNOWN_LINKS, engine, limits.tokens_per_address),
            credentials_in_flight: InFlight::new(NETWORK),
            links_in_flight: InFlight::new(UNKNOWN_LINKS),
            budgets: Budgets::new(engine, limits),
        }
    }

    /// Begins an attempt to log in, or refuses it. Look-ups of secrets in flight share the budget of the client's network and
    /// do not refuse the attempt: it waits for them.
    pub async fn begin_login(&self, client: ClientAddress, email: &str) -> Result<Attempt, Problem> {
        let begun = self.credentials_in_flight.take(client, false, || self.logins.begin(client, email));
        begun.await.map_err(Problem::from)
    }

    /// Ends an attempt. Only a wrong password counts as a failure.
    pub fn end_login<T>(
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
    pub fn check_registration(&self, client: ClientAddress) -> Result<(), Problem> {
        self.registrations.check(client).map_err(Problem::from)
    }

    /// Counts a request by this account, or refuses it. A write counts as soon as its caller is known, so refused writes count
    /// too. Reads are not limited. Admins are not limited either, because they import menus and restaurants.
    pub(crate) fn check_account(&self, caller: &Principal, parts: &Parts) -> Result<(), Problem> {
        self.budgets.check_account(caller, parts)
    }

    /// Counts a login that creates a session as a write by the account, or refuses it: sessions are stored.
    pub fn check_session(&self, caller: &Principal) -> Result<(), Problem> {
        self.budgets.check_session(caller)
    }

    /// Counts a request by a link to an order, or refuses it.
    pub fn check_tracking(&self, order_id: OrderId, request: &TrackingRequest) -> Result<(), Problem> {
        self.budgets.check_tracking(order_id, request)
    }

    /// Counts a request for a quote, or refuses it. Quotes need no account and write nothing, but cost time.
    pub fn check_quote(&self, client: ClientAddress, parts: &Parts) -> Result<(), Problem> {
        self.budgets.check_quote(client, parts)
    }
}
