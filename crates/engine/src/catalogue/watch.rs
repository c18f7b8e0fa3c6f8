//! Keeping cached catalogues up to date with changes by other servers.
//!
//! Several servers work on the same databases, and each caches catalogues. Each server polls the revisions of its
//! cached catalogues and reloads the changed ones. Polling guarantees that every server sees a change within a bounded
//! time. If the store sends hints of changes, servers see the changes at once; a lost hint only delays a change until
//! the next poll.
//!
//! A separate part polls each shard, so that a shard that hangs delays only its own restaurants.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dabba_domain::RestaurantId;
use dabba_store::{Hint, MAX_REVISIONS, Need, StoreError};
use futures::{
    StreamExt as _,
    future::{join, join_all},
    stream,
};
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::Catalogues;
use crate::condition::{Condition, Transition};

/// Maximum number of catalogues loaded concurrently, so that requests are not crowded out of the store.
const LOADS_AT_ONCE: usize = 4;

/// Maximum number of hints handled together.
const HINTS_AT_ONCE: usize = MAX_REVISIONS;

/// Minimum interval at which revisions are polled.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The cached restaurants that hints named, and that are not reloaded yet. Contains each at most once.
#[derive(Default)]
struct Changed {
    ids: Mutex<HashSet<RestaurantId>>,
    added: Notify,
}

impl Changed {
    fn add(&self, id: RestaurantId) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.added.notify_one();
    }

    fn take(&self) -> HashSet<RestaurantId> {
        std::mem::take(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Catalogues {
    /// Reloads cached catalogues that other servers have changed, within
    /// [`crate::EngineConfig::catalogue_poll_interval`] plus the response time of the store. Runs until the future is
    /// dropped.
    pub async fn watch_catalogues(self: Arc<Self>) {
        let polls = join_all((0..self.store.shard_count()).map(async |shard| {
            let part = self.supervisor.part(format!("catalogue_watcher_{shard}"), Need::Helpful);
            self.supervisor.run(&part, || self.poll_catalogues(shard)).await;
        }));
        let part = self.supervisor.part("hint_follower", Need::Helpful);
        join(polls, self.supervisor.run(&part, || self.follow_hints())).await;
    }

    /// Polls the revisions of a shard's cached catalogues.
    async fn poll_catalogues(&self, shard: usize) -> Result<(), String> {
        let period = self.poll_interval.max(MIN_POLL_INTERVAL);
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut condition = Condition::default();
        loop {
            interval.tick().await;
            let mut cached = self.catalogue_cache.cached_ids();
            cached.retain(|id| self.store.shard_of(id.bucket()) == shard);
            log(&mut condition, self.reload_stale(&cached).await);
        }
    }

    /// Handles the store's hints. The stream must not end while the store is open.
    async fn follow_hints(&self) -> Result<(), String> {
        let changed = Changed::default();
        // A shard that answers slowly delays the reloads, and not the hints about events and tasks.
        tokio::select! {
            biased;
            ended = self.read_hints(&changed) => ended,
            never = self.reload_changed(&changed) => match never {},
        }
    }

    async fn read_hints(&self, changed: &Changed) -> Result<(), String> {
        let mut hints = self.store.hints().ready_chunks(HINTS_AT_ONCE);
        while let Some(hints) = hints.next().await {
            for hint in hints {
                match hint {
                    Hint::Catalogue(id) if self.catalogue_cache.contains(id) => changed.add(id),
                    Hint::Tasks(queue) => self.signals.wake(&[queue]),
                    Hint::Events { shard } => self.commit_signals.announced(shard),
                    Hint::Catalogue(id) => self.catalogue_cache.index.announce(id),
                }
            }
        }
        Err("the store's hints ended".to_owned())
    }

    async fn reload_changed(&self, changed: &Changed) -> Infallible {
        let mut condition = Condition::default();
        loop {
            changed.added.notified().await;
            let ids: Vec<_> = changed.take().into_iter().collect();
            log(&mut condition, self.reload_stale(&ids).await);
        }
    }

    /// Reloads the cached catalogues of these restaurants that are stale. One that cannot be loaded does not prevent
    /// the loading of the others.
    async fn reload_stale(&self, ids: &[RestaurantId]) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for ids in ids.chunks(MAX_REVISIONS) {
            let mut loads = stream::iter(self.store.revisions(ids).await?)
                .map(|(id, now)| self.catalogue_cache.refresh_if_stale(id, now))
                .buffer_unordered(LOADS_AT_ONCE);
            while let Some(loaded) = loads.next().await {
                outcome = outcome.and(loaded);
            }
        }
        outcome
    }
}

/// Logs when updating the cached catalogues begins to fail, and when it works again.
fn log(condition: &mut Condition, outcome: Result<(), StoreError>) {
    match condition.record(outcome) {
        Some(Transition::Failed(error)) => {
            tracing::warn!(%error, "changes of menus by other servers are not seen until the store answers");
        }
        Some(Transition::Recovered) => tracing::info!("changes of menus by other servers are seen again"),
        None => {}
    }
}
