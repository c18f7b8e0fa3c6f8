//! Filling the index of restaurants, and keeping it up to date with changes by other processes.

use std::{sync::Arc, time::Duration};

use dabba_domain::{Bucket, RestaurantId, Timestamp, menu::UnavailableItems};
use dabba_store::{Catalogue, CatalogueGuard, MAX_REVISIONS, Need, PageSize, StoreError};
use futures::{StreamExt as _, stream};
use jiff::SignedDuration;
use tokio::time::{Instant, sleep};

use super::Catalogues;
use crate::condition::{Condition, Transition};

/// Maximum number of restaurants read concurrently, so that requests are not crowded out of the store.
const LOADS_AT_ONCE: usize = 4;

/// Time by which the clock of another server may be behind: a sweep also lists restaurants that seem to be this old.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// Time after which a sweep lists all restaurants again, also those that an older listing should have found: another
/// program may have moved or restored them.
const LIST_ALL_INTERVAL: Duration = Duration::from_hours(1);

/// Maximum time between two listings of all restaurants while a shard is missing.
const MAX_LISTING_PAUSE: Duration = Duration::from_mins(2);

/// How far the sweeps have read.
struct Progress {
    /// Time from which the next sweep lists restaurants, once a sweep has listed every restaurant: the time at which that
    /// sweep began, less [`CLOCK_TOLERANCE`].
    list_from: Option<Timestamp>,
    /// Time from which on a sweep lists all restaurants.
    list_all_at: Instant,
    /// Time between two listings of all restaurants while a shard is missing.
    pause: Duration,
}

impl Catalogues {
    /// Fills the index for [`Catalogues::search`], and keeps it up to date. Runs until the future is dropped.
    pub async fn follow_restaurants(self: Arc<Self>) {
        let part = self.supervisor.part("restaurant_index", Need::Helpful);
        self.supervisor.run(&part, || self.follow_index()).await;
    }

    async fn follow_index(&self) -> Result<(), String> {
        let index = &self.catalogue_cache.index;
        index.begin();
        let mut condition = Condition::default();
        let mut progress =
            Progress { list_from: None, list_all_at: Instant::now(), pause: self.sweep_interval };
        loop {
            let swept = self.sweep(&mut progress).await;
            index.set_current(progress.list_from.is_some() && matches!(swept, Ok(true)));
            log(&mut condition, swept.map(drop));
            let swept = sleep(self.sweep_interval);
            tokio::pin!(swept);
            loop {
                tokio::select! {
                    biased;
                    () = index.announcement.notified() => {
                        log(&mut condition, self.reread(&index.take_announced()).await.map(drop));
                    }
                    () = &mut swept => break,
                }
            }
        }
    }

    /// Compares the index with the store: reads the changed restaurants, and lists those created since the sweep before.
    /// Returns whether every shard answered.
    async fn sweep(&self, progress: &mut Progress) -> Result<bool, StoreError> {
        let began = self.clock.now();
        let is_reread = self.reread(&self.catalogue_cache.index.ids()).await?;
        let now = Instant::now();
        if now >= progress.list_all_at {
            progress.list_from = None;
        } else if progress.list_from.is_none() {
            // A listing that lacked a shard is repeated after a pause, because it reads every restaurant of the others.
            return Ok(false);
        }
        let since = progress.list_from;
        let is_listed = self.list_from(since).await?;
        if is_listed {
            progress.list_from = Some(began.checked_sub(CLOCK_TOLERANCE).unwrap_or(Timestamp::UNIX_EPOCH));
            progress.pause = self.sweep_interval;
            if since.is_none() {
                progress.list_all_at = now + LIST_ALL_INTERVAL;
            }
        } else if since.is_none() {
            progress.list_all_at = now + progress.pause;
            progress.pause =
                (progress.pause * 2).clamp(self.sweep_interval, MAX_LISTING_PAUSE.max(self.sweep_interval));
        }
        Ok(is_reread && is_listed)
    }

    /// Reads the restaurants created since a time, or all. Returns whether every shard answered.
    async fn list_from(&self, since: Option<Timestamp>) -> Result<bool, StoreError> {
        let index = &self.catalogue_cache.index;
        // The lowest id of the time.
        let mut position = since.map(|since| RestaurantId::generate(since, Bucket::FIRST, 0));
        let (mut is_complete, mut unreadable) = (true, Vec::new());
        loop {
            let page = self.store.restaurants(position, None, PageSize::LARGEST).await?;
            is_complete &= !page.incomplete;
            unreadable.extend(page.unreadable);
            for restaurant in &page.restaurants {
                index.put(restaurant);
            }
            match page.restaurants.last() {
                Some(last) if page.restaurants.len() >= PageSize::MAX as usize => position = Some(last.id),
                _ => break,
            }
        }
        for id in unreadable {
            if index.omit(id) {
                tracing::warn!(restaurant = %id, "the search omits a restaurant that this server cannot decode");
            }
        }
        Ok(is_complete)
    }

    /// Reads those of these restaurants that the index has at another revision or not at all. One that cannot be read does
    /// not prevent the reading of the others. Returns whether the shards of all of them answered: those of a missing shard
    /// have no revision, and no restaurant is ever deleted.
    async fn reread(&self, ids: &[RestaurantId]) -> Result<bool, StoreError> {
        let index = &self.catalogue_cache.index;
        let (mut outcome, mut is_complete) = (Ok(()), true);
        for ids in ids.chunks(MAX_REVISIONS) {
            let revisions = self.store.revisions(ids).await?;
            is_complete &= revisions.len() >= ids.len();
            let changed = revisions
                .into_iter()
                .filter(|(id, now)| index.revision(*id) != Some(now.restaurant_revision));
            let mut reads = stream::iter(changed)
                .map(|(id, now)| self.read_restaurant(id, now))
                .buffer_unordered(LOADS_AT_ONCE);
            while let Some(read) = reads.next().await {
                outcome = outcome.and(read);
            }
        }
        outcome.map(|()| is_complete)
    }

    async fn read_restaurant(&self, id: RestaurantId, now: CatalogueGuard) -> Result<(), StoreError> {
        let index = &self.catalogue_cache.index;
        // With the current revision of the menu, the store does not read the menu, which the index does not need.
        let known = index.restaurant(id).map(|restaurant| Catalogue {
            restaurant: Arc::unwrap_or_clone(restaurant),
            menu: Arc::default(),
            menu_revision: now.menu_revision,
            limited: Arc::default(),
            unavailable: UnavailableItems::default(),
            availability_revision: now.availability_revision,
        });
        match self.store.catalogue_since(id, known.as_ref()).await {
            Ok(Some(catalogue)) => index.put(&catalogue.restaurant),
            // A restaurant that only a newer server understands is found by the newer servers.
            Ok(None) => index.remove(id),
            Err(StoreError::WrittenByNewer(_) | StoreError::Corrupt(_)) => {
                index.omit(id);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Logs when updating the index begins to fail, and when it works again.
fn log(condition: &mut Condition, outcome: Result<(), StoreError>) {
    match condition.record(outcome) {
        Some(Transition::Failed(error)) => {
            tracing::warn!(%error, "the search for restaurants does not see changes by other servers until the store answers");
        }
        Some(Transition::Recovered) => {
            tracing::info!("the search for restaurants sees changes by other servers again");
        }
        None => {}
    }
}
