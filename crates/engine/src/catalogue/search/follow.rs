//! Filling the index of restaurants, and keeping it up to date with changes by other processes.

use std::sync::Arc;

use dabba_domain::{Bucket, RestaurantId, Timestamp, menu::UnavailableItems};
use dabba_store::{Catalogue, CatalogueGuard, MAX_REVISIONS, Need, PageSize, StoreError};
use futures::{StreamExt as _, stream};
use jiff::SignedDuration;
use tokio::time::sleep;

use super::Catalogues;
use crate::condition::{Condition, Transition};

/// Maximum number of restaurants read concurrently, so that requests are not crowded out of the store.
const LOADS_AT_ONCE: usize = 4;

/// Time by which the clock of another server may be behind: a sweep also lists restaurants that seem to be this old.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// How far the sweeps have read.
#[derive(Default)]
struct Progress {
    /// Time from which the next sweep lists restaurants, once a sweep has listed every restaurant: the time at which that
    /// sweep began, less [`CLOCK_TOLERANCE`].
    list_from: Option<Timestamp>,
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
        let (mut progress, mut condition) = (Progress::default(), Condition::default());
        loop {
            log(&mut condition, self.sweep(&mut progress).await);
            // A first listing that lacks a shard is repeated no sooner than a sweep, because it reads every restaurant of
            // the other shards.
            let pause = self.sweep_interval;
            let swept = sleep(pause);
            tokio::pin!(swept);
            loop {
                tokio::select! {
                    biased;
                    () = index.announcement.notified() => {
                        log(&mut condition, self.reread(&index.take_announced()).await);
                    }
                    () = &mut swept => break,
                }
            }
        }
    }

    /// Compares the index with the store: reads the changed restaurants, and lists those created since the sweep before.
    async fn sweep(&self, progress: &mut Progress) -> Result<(), StoreError> {
        let began = self.clock.now();
        if progress.list_from.is_some() {
            self.reread(&self.catalogue_cache.index.ids()).await?;
        }
        if self.list_from(progress.list_from).await? {
            progress.list_from = Some(began.checked_sub(CLOCK_TOLERANCE).unwrap_or(Timestamp::UNIX_EPOCH));
            self.catalogue_cache.index.complete();
        }
        Ok(())
    }

    /// Reads the restaurants created since a time, or all. Returns whether every shard answered.
    async fn list_from(&self, since: Option<Timestamp>) -> Result<bool, StoreError> {
        // The lowest id of the time.
        let mut position = since.map(|since| RestaurantId::generate(since, Bucket::FIRST, 0));
        let mut is_complete = true;
        loop {
            let page = self.store.restaurants(position, None, PageSize::LARGEST).await?;
            is_complete &= !page.incomplete;
            for restaurant in &page.restaurants {
                self.catalogue_cache.index.put(restaurant);
            }
            match page.restaurants.last() {
                Some(last) if page.restaurants.len() >= PageSize::MAX as usize => position = Some(last.id),
                _ => return Ok(is_complete),
            }
        }
    }

    /// Reads those of these restaurants that the index has at another revision or not at all. One that cannot be read does
    /// not prevent the reading of the others.
    async fn reread(&self, ids: &[RestaurantId]) -> Result<(), StoreError> {
        let index = &self.catalogue_cache.index;
        let mut outcome = Ok(());
        for ids in ids.chunks(MAX_REVISIONS) {
            let revisions = self.store.revisions(ids).await?.into_iter();
            let changed = revisions.filter(|(id, now)| index.revision(*id) != Some(now.restaurant_revision));
            let mut reads = stream::iter(changed)
                .map(|(id, now)| self.read_restaurant(id, now))
                .buffer_unordered(LOADS_AT_ONCE);
            while let Some(read) = reads.next().await {
                outcome = outcome.and(read);
            }
        }
        outcome
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
            Ok(None) | Err(StoreError::WrittenByNewer(_)) => index.remove(id),
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
