//! Catalogues in memory, so that pricing and `GET menu` read nothing from the store.
//!
//! An entry may be stale for a moment; an order priced from it is caught by the commit's guard.
//! Loads of one restaurant are carried out one after the other, so that an entry is never replaced
//! by an older one.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use dabba_domain::{RestaurantId, menu::Menu, restaurant::Restaurant};
use dabba_store::{Catalogue, Store};
use moka::{future::Cache, ops::compute::Op};

use crate::Error;

/// A catalogue in memory, with room for what is made from it once and shown often.
#[derive(Debug)]
pub struct CatalogueEntry {
    /// The catalogue.
    pub catalogue: Catalogue,
    rendered: OnceLock<Bytes>,
}

impl CatalogueEntry {
    /// The representation of this catalogue's menu, made at the first call.
    pub fn rendered(&self, render: impl FnOnce(&Catalogue) -> Bytes) -> Bytes {
        self.rendered.get_or_init(|| render(&self.catalogue)).clone()
    }

    /// The restaurant.
    pub const fn restaurant(&self) -> &Restaurant {
        &self.catalogue.restaurant
    }

    /// Its menu.
    pub const fn menu(&self) -> &Menu {
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
            None => self.load(id, false).await,
        }
    }

    /// The catalogue as the store has it now. To be called after each change, and when a commit
    /// says that the catalogue has changed.
    pub(crate) async fn refresh(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        self.load(id, true).await
    }

    async fn load(&self, id: RestaurantId, again: bool) -> Result<Arc<CatalogueEntry>, Error> {
        let loaded = self
            .entries
            .entry(id)
            .and_try_compute_with(|remembered| async move {
                if remembered.is_some() && !again {
                    return Ok(Op::Nop); // Someone else loaded it while this call waited for its turn.
                }
                Ok::<_, Error>(match self.store.catalogue(id).await? {
                    Some(catalogue) => {
                        Op::Put(Arc::new(CatalogueEntry { catalogue, rendered: OnceLock::new() }))
                    }
                    None => Op::Remove,
                })
            })
            .await?;
        loaded.into_entry().map(moka::Entry::into_value).ok_or(Error::NotFound("restaurant"))
    }
}
