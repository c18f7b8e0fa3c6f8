//! Times of uses of API keys and sessions. They are collected in memory and written by a background part, so no request waits
//! for them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use dabba_domain::Timestamp;
use dabba_store::{Need, StoreError};
use tokio::time::{MissedTickBehavior, interval};

use super::Accounts;
use crate::condition::{Condition, Transition};

/// Minimum time between two recorded uses of a credential.
const USE_INTERVAL_SECONDS: i64 = 60;
/// Maximum number of uses of a kind that wait to be written. Beyond it, uses are not recorded.
const MAX_PENDING_USES: usize = 50_000;
/// Minimum interval at which uses are written.
const MIN_WRITE_INTERVAL: Duration = Duration::from_millis(1);

/// Returns whether a use is to be recorded, and notes it as recorded. `recorded` is the time of the last recorded use, in
/// seconds since 1970. Of concurrent uses, one is recorded.
pub(super) fn is_use_due(recorded: &AtomicI64, now: Timestamp) -> bool {
    let (last, second) = (recorded.load(Ordering::Relaxed), now.as_second());
    second.saturating_sub(last) >= USE_INTERVAL_SECONDS
        && recorded.compare_exchange(last, second, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// The uses that wait to be written, by credential.
pub(super) struct PendingUses<I, U>(Mutex<HashMap<I, U>>);

impl<I, U> Default for PendingUses<I, U> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<I: Copy + Ord + Hash, U: Copy + PartialEq> PendingUses<I, U> {
    fn lock(&self) -> MutexGuard<'_, HashMap<I, U>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a use, unless too many wait. Returns whether it was added.
    pub(super) fn add(&self, id: I, used: U) -> bool {
        let mut pending = self.lock();
        let has_place = pending.len() < MAX_PENDING_USES || pending.contains_key(&id);
        if has_place {
            pending.insert(id, used);
        }
        has_place
    }

    /// Writes all pending uses, at most `max` at a time.
    pub(super) async fn write<W>(
        &self,
        max: usize,
        write: impl Fn(Vec<(I, U)>) -> W,
    ) -> Result<(), StoreError>
    where
        W: Future<Output = Result<(), StoreError>>,
    {
        // One round more than the pending uses need, because uses may be added meanwhile.
        for _ in 0..=MAX_PENDING_USES / max {
            let uses = self.batch(max);
            if uses.is_empty() {
                break;
            }
            write(uses.clone()).await?;
            self.remove_written(&uses);
        }
        Ok(())
    }

    /// Returns uses to write. They stay pending until they are written, so that another writer does not take them for written.
    fn batch(&self, max: usize) -> Vec<(I, U)> {
        let pending = self.lock();
        let mut uses: Vec<_> = pending.iter().take(max).map(|(id, used)| (*id, *used)).collect();
        drop(pending);
        // In one order, so that concurrent writes of the same credentials wait for each other and do not deadlock.
        uses.sort_unstable_by_key(|(id, _)| *id);
        uses
    }

    /// Removes uses that are written. A later use of the same credential stays.
    fn remove_written(&self, uses: &[(I, U)]) {
        let mut pending = self.lock();
        for (id, used) in uses {
            if pending.get(id) == Some(used) {
                pending.remove(id);
            }
        }
    }
}

impl Accounts {
    /// Writes the pending uses of API keys and sessions now. If the directory does not answer, the uses stay pending, and the
    /// background part writes them later.
    pub async fn write_pending_uses(&self) {
        if let Err(error) = self.write_uses().await {
            tracing::debug!(%error, "the times of uses of API keys and sessions stay pending");
        }
    }

    async fn write_uses(&self) -> Result<(), StoreError> {
        self.keys.write_uses(&*self.store).await?;
        self.sessions.write_uses(&*self.store).await
    }

    /// Writes the uses of API keys and sessions in the background. Runs until the future is dropped.
    pub async fn write_key_uses(self: Arc<Self>) {
        let part = self.supervisor.part("key_use_writer", Need::Helpful);
        self.supervisor.run(&part, || self.write_uses_repeatedly()).await;
    }

    async fn write_uses_repeatedly(&self) -> Result<(), String> {
        let mut interval = interval(self.use_write_interval.max(MIN_WRITE_INTERVAL));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut condition = Condition::default();
        loop {
            interval.tick().await;
            match condition.record(self.write_uses().await) {
                Some(Transition::Failed(error)) => tracing::warn!(
                    %error,
                    "the times of uses of API keys and sessions are written when the database that keeps the accounts answers"
                ),
                Some(Transition::Recovered) => {
                    tracing::info!("the times of uses of API keys and sessions are written again");
                }
                None => {}
            }
        }
    }
}
