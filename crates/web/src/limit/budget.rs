//! Budgets: maximum requests and bytes of each account or address in a time.
//!
//! Budgets are approximate, per server and in memory.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use axum::http::{header, request::Parts};
use dabba_domain::{AccountId, OrderId, Role};
use dabba_engine::{Engine, Principal};
use governor::{
    RateLimiter, clock::Clock as _, middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use super::EngineClock;
use crate::{
    ClientAddress,
    body_limit::{MAX_BODY_BYTES, is_above_limit},
    problem::Problem,
    quota::{AccountRates, Rate, RateLimits, Report},
    seen::Seen,
};

/// Number of checks after which keys with a full budget are removed, and the remaining keys are counted.
const CHECKS_BETWEEN_CLEANINGS: u32 = 1_024;
/// Maximum number of keys, with a tolerance of [`CHECKS_BETWEEN_CLEANINGS`]. While there are more keys, this budget limits
/// no client. To reach this number, clients need as many accounts or networks within a minute. One shared budget for all of them
/// would lock out all other clients.
const MAX_KEYS: usize = 200_000;

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, EngineClock, StateInformationMiddleware>;

/// One budget for each key.
struct Budget<K: Hash + Eq + Clone> {
    name: &'static str,
    /// Parameter `qu` of the policy; `None` if the budget counts requests.
    unit: Option<&'static str>,
    rate: Rate,
    keyed: Keyed<K>,
    clock: EngineClock,
    checks: AtomicU32,
    /// Whether the last count found too many keys.
    is_full: AtomicBool,
}

impl<K: Hash + Eq + Clone> Budget<K> {
    fn new(engine: &Arc<Engine>, name: &'static str, unit: Option<&'static str>, rate: Rate) -> Self {
        let clock = EngineClock(Arc::clone(engine));
        let keyed: Keyed<K> =
            RateLimiter::new(rate.quota(), DefaultKeyedStateStore::default(), clock.clone());
        Self { name, unit, rate, keyed, clock, checks: AtomicU32::new(0), is_full: AtomicBool::new(false) }
    }

    /// Spends an amount; an amount above the whole budget spends all of it. Adds the remaining budget to the report.
    fn spend(&self, key: &K, amount: u32, report: &mut Report) -> Result<(), Problem> {
        let checks = self.checks.fetch_add(1, Ordering::Relaxed);
        if checks % CHECKS_BETWEEN_CLEANINGS == CHECKS_BETWEEN_CLEANINGS - 1 {
            self.keyed.retain_recent();
            self.is_full.store(self.keyed.len() > MAX_KEYS, Ordering::Relaxed);
        }
        let amount = NonZeroU32::new(amount.min(self.rate.requests.get()));
        let Some(amount) = amount.filter(|_| !self.is_full.load(Ordering::Relaxed)) else { return Ok(()) };
        match self.keyed.check_key_n(key, amount) {
            Ok(Ok(state)) => {
                report.add(self.name, self.unit, self.rate, state.remaining_burst_capacity());
                Ok(())
            }
            Ok(Err(not_until)) => {
                report.add(self.name, self.unit, self.rate, 0);
                let wait = not_until.wait_time_from(self.clock.now());
                Err(Problem::too_many_requests(wait).with_policy(self.name, self.rate))
            }
            // Unreachable: the amount is at most the whole budget.
            Err(_) => Ok(()),
        }
    }
}

/// Budgets of the accounts with certain roles.
struct Accounts {
    writes: Option<Budget<AccountId>>,
    body_bytes: Option<Budget<AccountId>>,
}

impl Accounts {
    fn new(engine: &Arc<Engine>, rates: AccountRates) -> Self {
        let AccountRates { writes, body_bytes } = rates;
        Self {
            writes: writes.map(|rate| Budget::new(engine, "writes", None, rate)),
            body_bytes: body_bytes.map(|rate| Budget::new(engine, "body-bytes", Some("content-bytes"), rate)),
        }
    }
}

/// All budgets.
pub(super) struct Budgets {
    customers: Accounts,
    staff: Accounts,
    quotes: Option<Budget<ClientAddress>>,
    tracking: Option<Budget<OrderId>>,
}

impl Budgets {
    pub(super) fn new(engine: &Arc<Engine>, limits: &RateLimits) -> Self {
        Self {
            customers: Accounts::new(engine, limits.customers),
            staff: Accounts::new(engine, limits.staff),
            quotes: limits.quotes_per_address.map(|rate| Budget::new(engine, "quotes", None, rate)),
            tracking: limits.tracking_per_order.map(|rate| Budget::new(engine, "tracking", None, rate)),
        }
    }

    /// Counts a request by this account, or refuses it. A write counts as soon as its caller is known, so refused writes count
    /// too. Reads are not limited. Admins are not limited either, because they import menus and restaurants.
    pub(super) fn check_account(&self, caller: &Principal, parts: &Parts) -> Result<(), Problem> {
        let Some(Accounts { writes, body_bytes }) = self.of(caller) else { return Ok(()) };
        if parts.method.is_safe() {
            return Ok(());
        }
        let mut report = Report::default();
        let spend = |budget: &Option<Budget<AccountId>>, amount, report: &mut Report| {
            budget.as_ref().map_or(Ok(()), |budget| budget.spend(&caller.account_id, amount, report))
        };
        let spent =
            spend(writes, 1, &mut report).and_then(|()| spend(body_bytes, body_length(parts), &mut report));
        store(report, parts);
        spent
    }

    /// Counts a login that creates a session as a write by the account, or refuses it.
    pub(super) fn check_session(&self, caller: &Principal) -> Result<(), Problem> {
        let Some(Accounts { writes: Some(writes), .. }) = self.of(caller) else { return Ok(()) };
        writes.spend(&caller.account_id, 1, &mut Report::default())
    }

    /// Returns the budgets of a caller's role; `None` for admins.
    const fn of(&self, caller: &Principal) -> Option<&Accounts> {
        match caller.role {
            Role::Customer => Some(&self.customers),
            Role::Restaurant | Role::Courier => Some(&self.staff),
            Role::Admin => None,
        }
    }

    /// Counts a request by a link to an order, or refuses it. All links of an order share a budget, because every holder may pass them
    /// on.
    pub(super) fn check_tracking(&self, order_id: OrderId, request: &TrackingRequest) -> Result<(), Problem> {
        let Some(tracking) = &self.tracking else { return Ok(()) };
        let mut report = Report::default();
        let spent = tracking.spend(&order_id, 1, &mut report);
        if let Some(seen) = request.0.as_ref().filter(|_| !report.is_empty()) {
            seen.set_report(report);
        }
        spent
    }

    /// Counts a request for a quote, or refuses it. Quotes need no account and write nothing, but cost time.
    pub(super) fn check_quote(&self, client: ClientAddress, parts: &Parts) -> Result<(), Problem> {
        let Some(quotes) = &self.quotes else { return Ok(()) };
        let mut report = Report::default();
        let spent = quotes.spend(&client, 1, &mut report);
        store(report, parts);
        spent
    }
}

/// A request by a tracking link, before its order is known.
#[derive(Clone, Debug)]
pub struct TrackingRequest(Option<Seen>);

impl TrackingRequest {
    /// Returns the request with these parts.
    pub fn of(parts: &Parts) -> Self {
        Self(Seen::of(parts).cloned())
    }
}

/// Stores the report for the response, if the request has spent anything.
fn store(report: Report, parts: &Parts) {
    if !report.is_empty() {
        Seen::store_report(parts, report);
    }
}

/// Returns the length of a request's body. A body without a `Content-Length` counts as the maximum that is accepted without one.
/// A body that is refused before any of it is read counts as 0.
fn body_length(parts: &Parts) -> u32 {
    let Parts { headers, extensions, .. } = parts;
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match announced {
        Some(length) if is_above_limit(length, extensions) => 0,
        Some(length) => u32::try_from(length).unwrap_or(u32::MAX),
        None if headers.contains_key(header::TRANSFER_ENCODING) => {
            u32::try_from(MAX_BODY_BYTES).unwrap_or(u32::MAX)
        }
        None => 0,
    }
}
