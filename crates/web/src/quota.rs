//! Rates of limits, and the `RateLimit` headers that report what remains of them.
//!
//! The headers follow draft-ietf-httpapi-ratelimit-headers.

use std::{fmt::Write as _, num::NonZeroU32, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use governor::Quota;

use crate::headers;

/// Rate limits of requests that are expensive or that guess passwords.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Maximum number of wrong passwords for one e-mail address from one client address. For one e-mail address from all client
    /// addresses that have failed before, ten times as many in ten times the time. Default 10 in 5 minutes.
    pub tokens_per_email: Rate,
    /// Maximum number of wrong passwords from one client address. Default 60 per minute.
    pub tokens_per_address: Rate,
    /// Maximum number of accounts registered from one client address, not counting registrations by admins. Default 20 per hour.
    pub accounts_per_address: Rate,
    /// Maximum number of quotes from one client address. `None`: no limit. Default 600 per minute.
    pub quotes_per_address: Option<Rate>,
    /// Maximum number of requests with the tracking links of one order, together. `None`: no limit. Default 120 per minute.
    pub tracking_per_order: Option<Rate>,
    /// Maximum writes of each customer. Default 120 requests and 1 MiB of bodies per minute.
    pub customers: AccountRates,
    /// Maximum writes of each account of staff or of a courier. Default 1,200 requests and 64 MiB of bodies per minute. Admins
    /// have no limit.
    pub staff: AccountRates,
}

impl Default for RateLimits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        Self {
            tokens_per_email: Rate { requests: at_least_one(10), per: MINUTE.saturating_mul(5) },
            tokens_per_address: Rate { requests: at_least_one(60), per: MINUTE },
            accounts_per_address: Rate { requests: at_least_one(20), per: MINUTE.saturating_mul(60) },
            quotes_per_address: Some(Rate { requests: at_least_one(600), per: MINUTE }),
            tracking_per_order: Some(Rate { requests: at_least_one(120), per: MINUTE }),
            customers: AccountRates::per_minute(120, 1024 * 1024),
            staff: AccountRates::per_minute(1_200, 64 * 1024 * 1024),
        }
    }
}

impl RateLimits {
    /// Returns limits that no client reaches. For tests, and for servers that no other client can reach.
    pub fn unlimited() -> Self {
        let rate = Rate { requests: NonZeroU32::MAX, per: Duration::from_secs(1) };
        let accounts = AccountRates { writes: None, body_bytes: None };
        Self {
            tokens_per_email: rate,
            tokens_per_address: rate,
            accounts_per_address: rate,
            quotes_per_address: None,
            tracking_per_order: None,
            customers: accounts,
            staff: accounts,
        }
    }
}

/// Maximum writes of one account. Refused and failed writes count too.
#[derive(Clone, Copy, Debug)]
pub struct AccountRates {
    /// Maximum number of write requests (all methods that do not read). `None`: no limit.
    pub writes: Option<Rate>,
    /// Maximum number of bytes in the bodies of write requests. `None`: no limit.
    pub body_bytes: Option<Rate>,
}

impl AccountRates {
    /// Returns limits per minute; 0 means no limit.
    pub fn per_minute(writes: u32, body_bytes: u32) -> Self {
        Self { writes: Rate::per_minute(writes), body_bytes: Rate::per_minute(body_bytes) }
    }
}

/// Maximum number of requests in a time. All may come at once; after that, capacity refills evenly over the time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Maximum number of requests.
    pub requests: NonZeroU32,
    /// Time in which the requests are allowed. The time per request is at least 1 nanosecond.
    pub per: Duration,
}

impl Rate {
    /// Returns a rate of `number` requests per minute; `None` (no limit) for 0.
    pub fn per_minute(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(|requests| Self { requests, per: Duration::from_mins(1) })
    }

    pub(crate) fn quota(self) -> Quota {
        let replenished_in = (self.per / self.requests.get()).max(Duration::from_nanos(1));
        // The period is not zero, so `with_period` always returns a quota.
        Quota::with_period(replenished_in)
            .unwrap_or_else(|| Quota::per_second(self.requests))
            .allow_burst(self.requests)
    }
}

pub(crate) const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// Remaining budgets after a request has spent from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    policy: String,
    limit: String,
}

impl Report {
    /// Adds the remaining budget of a limit. `unit` is `None` if the limit counts requests.
    pub(crate) fn add(&mut self, name: &str, unit: Option<&str>, rate: Rate, remaining: u32) {
        let quota = rate.requests.get();
        let until_whole = (rate.per / quota) * (quota - remaining.min(quota));
        self.push(name, unit, rate, remaining, whole_seconds(until_whole));
    }

    /// Returns the report of a limit that has nothing left for this number of seconds.
    pub(crate) fn exhausted(name: &str, rate: Rate, seconds: u64) -> Self {
        let mut report = Self::default();
        report.push(name, None, rate, 0, seconds);
        report
    }

    fn push(&mut self, name: &str, unit: Option<&str>, rate: Rate, remaining: u32, reset: u64) {
        let quota = rate.requests.get();
        let separator = if self.limit.is_empty() { "" } else { ", " };
        let unit = unit.map_or(String::new(), |unit| format!(";qu=\"{unit}\""));
        // Writing to a string cannot fail.
        let _ = write!(self.policy, "{separator}\"{name}\";q={quota};w={}{unit}", rate.per.as_secs().max(1));
        let _ = write!(self.limit, "{separator}\"{name}\";r={remaining};t={reset}");
    }

    /// Returns whether no budget was spent from.
    pub(crate) const fn is_empty(&self) -> bool {
        self.limit.is_empty()
    }

    /// Adds the report's headers to those of a response.
    pub(crate) fn write(&self, response: &mut HeaderMap) {
        for (name, text) in [(&headers::RATE_LIMIT_POLICY, &self.policy), (&headers::RATE_LIMIT, &self.limit)]
        {
            if let Ok(value) = HeaderValue::from_str(text) {
                response.append(name, value);
            }
        }
    }
}

/// Returns a time in seconds, rounded up.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
