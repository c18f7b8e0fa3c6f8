//! Keeping up with what other servers change.
//!
//! Several servers work on the same databases, and each remembers catalogues. Each asks, again and again,
//! for the revisions of what it remembers, and loads what has moved: that is what guarantees that a change
//! is seen everywhere in bounded time. Where the store hints at changes they are seen at once; a hint that
//! is lost costs a moment and nothing else.
//!
//! Every shard is asked by itself, so that one that hangs holds up only its own restaurants.

use std::{collections::HashSet, sync::Arc, time::Duration};

use dabba_domain::RestaurantId;
use dabba_store::{Hint, MAX_REVISIONS, Need, StoreError};
use futures::{
    StreamExt as _,
    future::{join, join_all},
    stream,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    Engine,
    condition::{Condition, Transition},
};

/// Catalogues that are loaded at the same time, so that requests find room in the store.
const LOADS_AT_ONCE: usize = 4;

/// Hints that are followed together.
const HINTS_AT_ONCE: usize = MAX_REVISIONS;

/// The shortest interval at which revisions are asked for.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);

impl Engine {
    /// Loads the catalogues that are remembered and that others have changed, for as long as the engine
    /// lives: at the latest [`crate::EngineConfig::catalogue_poll_interval`] after the change, and what
    /// the store takes to answer. Runs until the future is dropped.
    pub async fn watch_catalogues(self: Arc<Self>) {
        let polls = join_all((0..self.store.shard_count()).map(async |shard| {
            let part = self.supervisor.part(format!("catalogue_watcher_{shard}"), Need::Helpful);
            self.supervisor.run(&part, || self.poll_catalogues(shard)).await;
        }));
        let part = self.supervisor.part("hint_follower", Need::Helpful);
        join(polls, self.supervisor.run(&part, || self.follow_hints())).await;
    }

    /// Asks for the revisions of what is remembered of a shard's restaurants, for ever.
    async fn poll_catalogues(&self, shard: usize) -> Result<(), String> {
        let period = self.config.catalogue_poll_interval.max(MIN_POLL_INTERVAL);
        let mut interval = interval_at(Instant::now() + period, period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut condition = Condition::default();
        loop {
            interval.tick().await;
            let mut remembered = self.catalogues.remembered();
            remembered.retain(|id| self.store.shard_of(id.bucket()) == shard);
            log(&mut condition, self.keep_up(&remembered).await);
        }
    }

    /// Follows the store's hints. Their end is unexpected while the store is open.
    async fn follow_hints(&self) -> Result<(), String> {
        let mut hints = self.store.hints().ready_chunks(HINTS_AT_ONCE);
        let mut condition = Condition::default();
        while let Some(hints) = hints.next().await {
            let mut changed: HashSet<RestaurantId> = HashSet::new();
            for hint in hints {
                match hint {
                    Hint::Catalogue(id) if self.catalogues.remembers(id) => drop(changed.insert(id)),
                    Hint::Catalogue(_) => {}
                    Hint::Tasks(queue) => self.nudges.nudge(&[queue]),
                }
            }
            if changed.is_empty() {
                continue;
            }
            let changed: Vec<_> = changed.into_iter().collect();
            log(&mut condition, self.keep_up(&changed).await);
        }
        Err("the store's hints ended".to_owned())
    }

    /// Loads those of these restaurants again of which what is remembered is not what the store has. One
    /// that cannot be loaded does not keep the others from it.
    async fn keep_up(&self, ids: &[RestaurantId]) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for ids in ids.chunks(MAX_REVISIONS) {
            let mut loads = stream::iter(self.store.revisions(ids).await?)
                .map(|(id, now)| self.catalogues.keep_up(id, now))
                .buffer_unordered(LOADS_AT_ONCE);
            while let Some(loaded) = loads.next().await {
                outcome = outcome.and(loaded);
            }
        }
        outcome
    }
}

/// Tells the log when keeping up begins to fail, and when it works again.
fn log(condition: &mut Condition, outcome: Result<(), StoreError>) {
    match condition.record(outcome) {
        Some(Transition::Failed(error)) => {
            tracing::warn!(%error, "changes of menus by other servers are not seen until the store answers");
        }
        Some(Transition::Recovered) => tracing::info!("changes of menus by other servers are seen again"),
        None => {}
    }
}
