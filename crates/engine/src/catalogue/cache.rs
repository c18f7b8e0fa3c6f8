//! Cache of catalogues, so that pricing and `GET menu` read nothing from the store.
//!
//! After another server has changed a catalogue, the cached entry is stale until
//! [`crate::Catalogues::watch_catalogues`] reloads it. The commit's guard refuses an order that was priced from a stale
//! entry. Loads of one restaurant run one after the other, so that an older catalogue never replaces a newer one. A
//! load reads the menu only if the menu has changed; otherwise the new entry shares the menu of the entry that it
//! replaces.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use dabba_domain::{RestaurantId, Timestamp, menu::Menu, restaurant::Restaurant};
use dabba_store::{Catalogue, CatalogueGuard, Store, StoreError};
use moka::sync::Cache;

use super::{RestaurantIndex, signals::CatalogueSignals};
use crate::{Error, turns::Turns};

/// A cached catalogue, and the cached representation of its menu.
#[derive(Debug)]
pub struct CatalogueEntry {
    /// The catalogue.
    pub catalogue: Catalogue,
    rendered: RwLock<Option<Rendered>>,
    hours: RwLock<Option<SteadyHours>>,
}

/// A period in which no opening of the menu starts or ends.
#[derive(Clone, Copy, Debug)]
struct SteadyHours {
    from: Timestamp,
    until: Timestamp,
}

/// A representation of a menu, valid in this state of the menu.
#[derive(Debug)]
struct Rendered {
    state: usize,
    bytes: Bytes,
}

impl CatalogueEntry {
    pub(crate) const fn new(catalogue: Catalogue) -> Self {
        Self { catalogue, rendered: RwLock::new(None), hours: RwLock::new(None) }
    }

    /// Returns a number for the part of a menu's state that changes with time: the number of marks of unavailable items and
    /// options that have ended at `now`, plus, if the menu has hours, the minute in which an opening next starts or ends,
    /// counted from 1970. Both only increase, so the same number means the same state.
    pub fn state_at(&self, now: Timestamp) -> usize {
        let ended = self.catalogue.unavailable.ended_at(now) + self.catalogue.menu.ended_at(now);
        let change = self.hours_change_after(now).map_or(0, |change| change.as_second() / 60);
        ended.saturating_add(usize::try_from(change).unwrap_or(0))
    }

    /// Returns the next moment at which an opening of the menu starts or ends. Computed once for the time until then.
    fn hours_change_after(&self, now: Timestamp) -> Option<Timestamp> {
        let known = *self.hours.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.filter(|known| known.from <= now && now < known.until) {
            return Some(known.until);
        }
        let until = self.menu().hours_change_after(&self.restaurant().settings.time_zone, now)?;
        let computed = SteadyHours { from: now, until };
        *self.hours.write().unwrap_or_else(PoisonError::into_inner) = Some(computed);
        Some(until)
    }

    /// Returns the representation of the menu at `now`. It is rendered at the first call, and again after the
    /// menu's state has changed.
    pub fn rendered(&self, now: Timestamp, render: impl FnOnce(&Catalogue) -> Bytes) -> Bytes {
        let state = self.state_at(now);
        let current = |rendered: &Option<Rendered>| {
            rendered
                .as_ref()
                .filter(|rendered| rendered.state == state)
                .map(|rendered| rendered.bytes.clone())
        };
        if let Some(bytes) = current(&self.rendered.read().unwrap_or_else(PoisonError::into_inner)) {
            return bytes;
        }
        let mut rendered = self.rendered.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have rendered it in the meantime.
        if let Some(bytes) = current(&rendered) {
            return bytes;
        }
        let bytes = render(&self.catalogue);
        *rendered = Some(Rendered { state, bytes: bytes.clone() });
        bytes
    }

    /// Returns the restaurant.
    pub const fn restaurant(&self) -> &Restaurant {
        &self.catalogue.restaurant
    }

    /// Returns the restaurant's menu.
    pub fn menu(&self) -> &Menu {
        &self.catalogue.menu
    }
}

pub(crate) struct CatalogueCache {
    store: Arc<dyn Store>,
    /// Of the kind that never waits: with the other kind, housekeeping wakes the calling task, at real times.
    entries: Cache<RestaurantId, Arc<CatalogueEntry>>,
    /// The loads.
    loads: Turns<RestaurantId>,
    /// Notified of every change of an entry.
    pub(super) signals: Arc<CatalogueSignals>,
    /// Receives every loaded restaurant.
    pub(super) index: RestaurantIndex,
}

impl CatalogueCache {
    pub(crate) fn new(store: Arc<dyn Store>, capacity: u64) -> Self {
        Self {
            store,
            entries: Cache::new(capacity),
            loads: Turns::default(),
            signals: Arc::default(),
            index: RestaurantIndex::default(),
        }
    }

    /// Returns the cached catalogue; loads it if it is not cached.
    pub(crate) async fn get(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        match self.entries.get(&id) {
            Some(entry) => Ok(entry),
            // Boxed, like all rare branches on the path of a request: a future has the size of its largest branch, even
            // if the branch is rarely taken.
            None => Box::pin(self.load(id, Load::Missing)).await?.ok_or(Error::NotFound("restaurant")),
        }
    }

    /// Caches the catalogue of a new restaurant, unless it has been loaded in the meantime.
    pub(crate) fn insert_new(&self, catalogue: Catalogue) -> Arc<CatalogueEntry> {
        let created = Arc::new(CatalogueEntry::new(catalogue));
        self.entries.entry(created.restaurant().id).or_insert(Arc::clone(&created));
        self.index.put(created.restaurant());
        created
    }

    /// Loads the catalogue from the store. Called when a commit reports that the catalogue has changed, and before
    /// decisions that need the current catalogue.
    pub(crate) async fn refresh(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        Box::pin(self.load(id, Load::Always)).await?.ok_or(Error::NotFound("restaurant"))
    }

    /// Loads a catalogue again after a write, unless the cached entry contains the write. The write is done, so an
    /// error here does not reach the caller; the entry is evicted instead, and loaded when it is next needed.
    pub(crate) async fn refresh_unless(
        &self,
        id: RestaurantId,
        contains: impl Fn(&CatalogueEntry) -> bool + Send,
    ) {
        if self.entries.get(&id).is_some_and(|entry| contains(&entry)) {
            return;
        }
        if let Err(error) = self.refresh(id).await {
            tracing::warn!(%error, "a changed catalogue cannot be read; it is evicted and read when it is next needed");
            self.evict(id);
        }
    }

    /// Returns the catalogue after a successful write: the one from the store, or `written` if the store cannot be
    /// read. Never fails, because the write is done. A catalogue that cannot be read is not cached.
    pub(crate) async fn after_write(&self, id: RestaurantId, written: Catalogue) -> Arc<CatalogueEntry> {
        match self.refresh(id).await {
            Ok(entry) => entry,
            Err(error) => {
                tracing::debug!(%error, restaurant = %id, "a catalogue could not be read after a change");
                self.evict(id);
                self.index.put(&written.restaurant);
                Arc::new(CatalogueEntry::new(written))
            }
        }
    }

    /// Loads a cached catalogue again, unless it is at these revisions. A catalogue that is not cached stays uncached.
    pub(crate) async fn refresh_if_stale(
        &self,
        id: RestaurantId,
        now: CatalogueGuard,
    ) -> Result<(), StoreError> {
        let loaded = self.load(id, Load::Stale { now }).await;
        if matches!(loaded, Err(StoreError::WrittenByNewer(_))) {
            // The cached entry must not be used for prices or decisions after a newer server has replaced it.
            self.evict(id);
        }
        loaded.map(drop)
    }

    fn evict(&self, id: RestaurantId) {
        self.entries.invalidate(&id);
        self.signals.changed(id);
    }

    /// Returns the restaurants with a cached catalogue.
    pub(crate) fn cached_ids(&self) -> Vec<RestaurantId> {
        self.entries.iter().map(|(id, _)| *id).collect()
    }

    /// Returns whether a restaurant's catalogue is cached.
    pub(crate) fn contains(&self, id: RestaurantId) -> bool {
        self.entries.contains_key(&id)
    }

    async fn load(&self, id: RestaurantId, when: Load) -> Result<Option<Arc<CatalogueEntry>>, StoreError> {
        self.loads.run(id, self.load_in_turn(id, when)).await
    }

    async fn load_in_turn(
        &self,
        id: RestaurantId,
        when: Load,
    ) -> Result<Option<Arc<CatalogueEntry>>, StoreError> {
        let cached = self.entries.get(&id);
        // Another call may have loaded the catalogue while this one waited for its turn.
        let is_needed = match (when, &cached) {
            (Load::Always, _) | (Load::Missing, None) => true,
            (Load::Missing, Some(_)) | (Load::Stale { .. }, None) => false,
            (Load::Stale { now }, Some(entry)) => entry.catalogue.guard() != now,
        };
        if !is_needed {
            return Ok(cached);
        }
        let known = cached.as_deref().map(|entry| &entry.catalogue);
        match self.store.catalogue_since(id, known).await? {
            // The cached representation of the menu is still valid.
            Some(catalogue) if known.is_some_and(|known| known.guard() == catalogue.guard()) => Ok(cached),
            Some(catalogue) => {
                let loaded = Arc::new(CatalogueEntry::new(catalogue));
                self.entries.insert(id, Arc::clone(&loaded));
                self.index.put(loaded.restaurant());
                self.signals.changed(id);
                Ok(Some(loaded))
            }
            None => {
                self.index.remove(id);
                self.evict(id);
                Ok(None)
            }
        }
    }
}

/// Condition under which a catalogue is loaded.
#[derive(Clone, Copy)]
enum Load {
    Missing,
    Always,
    /// If the catalogue is cached, but not at these revisions.
    Stale {
        now: CatalogueGuard,
    },
}
