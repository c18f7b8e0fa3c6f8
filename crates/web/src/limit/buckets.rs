//! Token buckets by key, in bounded memory.

use std::{convert::Infallible, sync::Arc, time::Duration};

use governor::{
    RateLimiter,
    clock::{Clock, Reference as _},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use moka::{policy::EvictionPolicy, sync::Cache};

use super::Refusal;
use crate::quota::Rate;

/// Maximum number of buckets of one limit. Above that, the least recently used bucket is evicted.
const MAX_BUCKETS: u64 = 65_536;

/// Minimum time for which an unused bucket is kept.
const MIN_IDLE: Duration = Duration::from_secs(1);

/// Buckets of a limit, by the hash of their key. A bucket's size does not depend on the key that a client sends.
#[derive(Clone)]
struct Table(Cache<u64, Arc<InMemoryState>>);

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.get_with(*key, Arc::default).measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

/// One limit, with a token bucket for each key.
pub(super) struct Buckets<C: Clock> {
    name: &'static str,
    rate: Rate,
    limiter: RateLimiter<u64, Table, C, NoOpMiddleware<C::Instant>>,
    table: Table,
    clock: C,
    /// Time at which the limiter started; the limiter counts its times from it.
    began: C::Instant,
    /// Time in which a bucket regains one token.
    interval: Nanos,
}

impl<C: Clock + Clone> Buckets<C> {
    pub(super) fn new(name: &'static str, rate: Rate, clock: C) -> Self {
        let quota = rate.quota();
        let interval = quota.replenish_interval();
        // A bucket that has not been used for this time is full again.
        let table = Cache::builder()
            .max_capacity(MAX_BUCKETS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(rate.per.max(MIN_IDLE))
            .build();
        let table = Table(table);
        let began = clock.now();
        let limiter = RateLimiter::new(quota, table.clone(), clock.clone());
        Self { name, rate, limiter, table, clock, began, interval: interval.into() }
    }

    /// Takes a token from the bucket of a key. If the bucket is empty, the refusal contains the time until the next
    /// token.
    pub(super) fn take(&self, key: u64) -> Result<(), Refusal> {
        self.limiter.check_key(&key).map_err(|not_until| Refusal {
            policy: Some((self.name, self.rate)),
            wait: not_until.wait_time_from(self.clock.now()),
        })
    }

    /// Returns one token to the bucket of a key. Evicts a bucket that is full again, so that it displaces no other
    /// bucket.
    pub(super) fn restore(&self, key: u64) {
        let now = self.clock.now().duration_since(self.began);
        let Ok(is_full) = self.table.measure_and_replace(&key, |full_at| {
            let full_at = full_at.unwrap_or(Nanos::from(0)).saturating_sub(self.interval);
            Ok::<_, Infallible>((full_at <= now, full_at))
        });
        if is_full {
            self.fill(key);
        }
    }

    /// Fills the bucket of a key.
    pub(super) fn fill(&self, key: u64) {
        self.table.0.invalidate(&key);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.table.0.run_pending_tasks();
        self.table.0.entry_count()
    }
}
