//! Catalogues in memory, so that pricing and `GET menu` read nothing from the store.
//!
//! An entry may be stale for a moment, until [`crate::Engine::watch_catalogues`] sees that another server
//! has changed it; an order priced from it is caught by the commit's guard.
//! Loads of one restaurant are carried out one after the other, so that an entry is never replaced
//! by an older one. A load reads the menu only if the menu has changed: an entry shares the menu with the entry
//! that it replaces.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use dabba_domain::{RestaurantId, Timestamp, menu::Menu, restaurant::Restaurant};
use dabba_store::{Catalogue, CatalogueGuard, Store, StoreError};
use moka::{future::Cache, ops::compute::Op};

use crate::Error;

/// A catalogue in memory, with room for what is made from it once and shown often.
#[derive(Debug)]
pub struct CatalogueEntry {
    /// The catalogue.
    pub catalogue: Catalogue,
    rendered: RwLock<Option<Rendered>>,
}

/// A representation of a menu, as it holds while so many marks have ended.
#[derive(Debug)]
struct Rendered {
    ended: usize,
    bytes: Bytes,
}

impl CatalogueEntry {
    pub(crate) const fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, rendered: RwLock::new(None) }
    }

    /// How many marks of unavailable items have ended at `now`: the part of a menu's state that changes by time.
    pub fn ended_at(&self, now: Timestamp) -> usize {
        self.catalogue.unavailable.ended_at(now)
    }

    /// The representation of this catalogue's menu at `now`. It is made at the first call, and again when the end of
    /// a mark has passed since.
    pub fn rendered(&self, now: Timestamp, render: impl FnOnce(&Catalogue) -> Bytes) -> Bytes {
        let ended = self.ended_at(now);
        let current = |rendered: &Option<Rendered>| {
            rendered
                .as_ref()
                .filter(|rendered| rendered.ended == ended)
                .map(|rendered| rendered.bytes.clone())
        };
        if let Some(bytes) = current(&self.rendered.read().unwrap_or_else(PoisonError::into_inner)) {
            return bytes;
        }
        let mut rendered = self.rendered.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have made it meanwhile.
        if let Some(bytes) = current(&rendered) {
            return bytes;
        }
        let bytes = render(&self.catalogue);
        *rendered = Some(Rendered { ended, bytes: bytes.clone() });
        bytes
    }

    /// The restaurant.
    pub const fn restaurant(&self) -> &Restaurant {
        &self.catalogue.restaurant
    }

    /// Its menu.
    pub fn menu(&self) -> &Menu {
        &self.catalogue.menu
    }
}

pub(crate) struct CatalogueCache {
    store: Arc<dyn Store>,
    entries: Cache<RestaurantId, Arc<CatalogueEntry>>,
}

impl CatalogueCache {
    pub(crate) fn new(store: Arc<dyn Store>, capacity: u64) -> Self {
        Self { store, entries: Cache::new(capacity) }
    }

    /// The catalogue as remembered; loaded when it is not.
    pub(crate) async fn get(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        match self.entries.get(&id).await {
            Some(entry) => Ok(entry),
            // Boxed, as all that is rare on the way of a request: what a future holds for its rare branches it
            // holds for every request.
            None => Box::pin(self.load(id, Load::Missing)).await?.ok_or(Error::NotFound("restaurant")),
        }
    }

    /// Remembers the catalogue of a restaurant that was created, unless it has been loaded since.
    pub(crate) async fn remember_new(&self, catalogue: Catalogue) -> Arc<CatalogueEntry> {
        let created = Arc::new(CatalogueEntry::new(catalogue));
        self.entries.entry(created.restaurant().id).or_insert(Arc::clone(&created)).await;
        created
    }

    /// The catalogue as the store has it now. To be called after each change, and when a commit
    /// says that the catalogue has changed.
    pub(crate) async fn refresh(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        Box::pin(self.load(id, Load::Always)).await?.ok_or(Error::NotFound("restaurant"))
    }

    /// Loads a catalogue again after a write, unless what is remembered contains the write. The write is done,
    /// so nothing that fails here is the caller's; what is not known any more is loaded when it is needed.
    pub(crate) async fn follow(&self, id: RestaurantId, contains: impl Fn(&CatalogueEntry) -> bool + Send) {
        if self.entries.get(&id).await.is_some_and(|entry| contains(&entry)) {
            return;
        }
        if let Err(error) = self.refresh(id).await {
            tracing::warn!(%error, "a changed catalogue cannot be read; it is read when it is needed next");
            self.entries.invalidate(&id).await;
        }
    }

    /// The catalogue after a write that has succeeded: as the store has it now, or as `written` where the store
    /// cannot be read. Never fails, since the write is done; what cannot be read is not remembered either.
    pub(crate) async fn after_write(&self, id: RestaurantId, written: Catalogue) -> Arc<CatalogueEntry> {
        match self.refresh(id).await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::debug!(%error, restaurant = %id, "a catalogue could not be read after it was changed");
                self.entries.invalidate(&id).await;
                Arc::new(CatalogueEntry::new(written))
            }
        }
    }

    /// Loads what is remembered of a restaurant again, unless it is of these revisions. What is not
    /// remembered stays so.
    pub(crate) async fn keep_up(&self, id: RestaurantId, now: CatalogueGuard) -> Result<(), StoreError> {
        let loaded = self.load(id, Load::Stale { now }).await;
        if matches!(loaded, Err(StoreError::WrittenByNewer(_))) {
            // Nothing is priced or decided by what a newer server has replaced.
            self.entries.invalidate(&id).await;
        }
        loaded.map(drop)
    }

    /// The restaurants that are remembered.
    pub(crate) fn remembered(&self) -> Vec<RestaurantId> {
        self.entries.iter().map(|(id, _)| *id).collect()
    }

    /// Whether a restaurant is remembered.
    pub(crate) fn remembers(&self, id: RestaurantId) -> bool {
        self.entries.contains_key(&id)
    }

    async fn load(&self, id: RestaurantId, when: Load) -> Result<Option<Arc<CatalogueEntry>>, StoreError> {
        let loaded = self
            .entries
            .entry(id)
            .and_try_compute_with(|remembered| async move {
                let remembered = remembered.map(moka::Entry::into_value);
                // Others may have loaded it while this call waited for its turn.
                let is_needed = match (when, &remembered) {
                    (Load::Always, _) | (Load::Missing, None) => true,
                    (Load::Missing, Some(_)) | (Load::Stale { .. }, None) => false,
                    (Load::Stale { now }, Some(entry)) => entry.catalogue.guard() != now,
                };
                if !is_needed {
                    return Ok(Op::Nop);
                }
                let known = remembered.as_deref().map(|entry| &entry.catalogue);
                Ok::<_, StoreError>(match self.store.catalogue_beyond(id, known).await? {
                    // What was rendered of it still holds.
                    Some(catalogue) if known.is_some_and(|known| known.guard() == catalogue.guard()) => {
                        Op::Nop
                    }
                    Some(catalogue) => Op::Put(Arc::new(CatalogueEntry::new(catalogue))),
                    None => Op::Remove,
                })
            })
            .await?;
        Ok(loaded.into_entry().map(moka::Entry::into_value))
    }
}

/// When a catalogue is loaded.
#[derive(Clone, Copy)]
enum Load {
    Missing,
    Always,
    /// When it is remembered, but not of these revisions.
    Stale {
        now: CatalogueGuard,
    },
}
