//! Use cases that create restaurants and close them permanently.

use std::sync::Arc;

use dabba_domain::{
    Bucket, ExternalId, Problems, RestaurantId,
    menu::{Menu, MenuDocument, UnavailableItems},
    restaurant::{PermanentClosure, Restaurant, RestaurantSettings, SettingsDocument},
    text::Note,
};
use dabba_store::{
    Catalogue, Claim, ClaimAt, ClaimOutcome, IdempotencyKey, PageSize, Resource, RestaurantCreation,
    RestaurantPage,
};

use super::{CatalogueEntry, Catalogues, restaurants::UpdateConditions};
use crate::{
    Conflict, Error, Principal, Scope,
    claims::{claim, is_same_request},
    writing::run_to_completion,
};

/// A restaurant after a write.
#[derive(Clone, Debug)]
pub struct RestaurantAnswer {
    /// The restaurant with its menu. For a replay: the current one, because settings have no history.
    pub entry: Arc<CatalogueEntry>,
    /// Whether this answer replays an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Catalogues {
    /// Creates a restaurant. For admins.
    pub async fn create_restaurant(
        &self,
        principal: &Principal,
        settings: SettingsDocument,
        menu: MenuDocument,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.create_restaurant_under(principal, settings, menu, None).await.map(|answer| answer.entry)
    }

    /// Creates a restaurant; with a key, exactly once. For admins.
    ///
    /// The key is claimed in the directory, together with the id of the new restaurant; then the restaurant is created
    /// in its own shard. A retry finds the id, and creates the restaurant if the first request did not get that far. So
    /// one key never creates two restaurants, although no transaction spans both shards.
    pub async fn create_restaurant_under(
        &self,
        principal: &Principal,
        settings: SettingsDocument,
        menu: MenuDocument,
        key: Option<IdempotencyKey>,
    ) -> Result<RestaurantAnswer, Error> {
        principal.require(Scope::WriteCatalogue)?;
        principal.require_admin("create a restaurant")?;
        let request = ("create_restaurant", &settings, &menu);
        let claim = key.map(|key| claim(principal.account_id, key, &request)).transpose()?;
        let settings = settings.validate().map_err(Error::Invalid)?;
        let menu = menu.validate().map_err(Error::Invalid)?;
        menu.check_taxes(&settings).map_err(Error::Invalid)?;
        let id = self.new_restaurant_id(settings.external_id.as_ref());
        let Some(claim) = claim else { return self.insert_restaurant(id, settings, menu, false).await };
        let id = self.claim_restaurant(id, &claim).await?;
        match self.catalogue_cache.get(id).await {
            Ok(entry) => {
                self.metrics.replays.inc();
                Ok(RestaurantAnswer { entry, replayed: true })
            }
            Err(Error::NotFound(_)) => self.insert_restaurant(id, settings, menu, true).await,
            Err(error) => Err(error),
        }
    }

    /// Returns a new restaurant id. Its bucket is that of the external id, or random without one; all orders of the
    /// restaurant have the same bucket.
    fn new_restaurant_id(&self, external_id: Option<&ExternalId>) -> RestaurantId {
        let bucket =
            external_id.map_or_else(|| Bucket::from_random(self.random.next_u64()), ExternalId::bucket);
        RestaurantId::generate(self.clock.now(), bucket, self.random.next_u64())
    }

    /// Claims a key for a restaurant. Returns `id`, or the id of an earlier request with the same key.
    async fn claim_restaurant(&self, id: RestaurantId, claim: &Claim) -> Result<RestaurantId, Error> {
        let at = ClaimAt { claim, at: self.clock.now() };
        match self.store.claim_for_account(at, &Resource::Restaurant(id), 1).await? {
            ClaimOutcome::Claimed => Ok(id),
            ClaimOutcome::Found(record) => match (is_same_request(&record, Some(claim))?, record.resource) {
                (true, Resource::Restaurant(id)) => Ok(id),
                _ => Err(Error::KeyReused),
            },
        }
    }

    /// Writes a new restaurant. `is_claimed` means that a key is claimed for the id, so that other requests with the
    /// key may write the same restaurant.
    async fn insert_restaurant(
        &self,
        id: RestaurantId,
        settings: RestaurantSettings,
        menu: Menu,
        is_claimed: bool,
    ) -> Result<RestaurantAnswer, Error> {
        let created_at = self.clock.now();
        let restaurant = Restaurant { id, revision: 1, settings, pause: None, closed: None, created_at };
        let (store, catalogue_cache) = (Arc::clone(&self.store), Arc::clone(&self.catalogue_cache));
        let created = run_to_completion(async move {
            let created = store.create_restaurant(&restaurant, &menu).await?;
            if created != RestaurantCreation::Created {
                return Ok(Err(created));
            }
            let catalogue = Catalogue {
                restaurant,
                unavailable: UnavailableItems::default().with(menu.document_availability()),
                menu: Arc::new(menu),
                menu_revision: 1,
                limited: Arc::default(),
                availability_revision: 1,
            };
            Ok(Ok(catalogue_cache.insert_new(catalogue)))
        });
        let refused = match created.await? {
            Ok(entry) => return Ok(RestaurantAnswer { entry, replayed: false }),
            Err(refused) => refused,
        };
        match refused {
            RestaurantCreation::IdTaken if is_claimed => {
                self.metrics.replays.inc();
                Ok(RestaurantAnswer { entry: self.catalogue_cache.get(id).await?, replayed: true })
            }
            RestaurantCreation::Created | RestaurantCreation::IdTaken => {
                Err(Error::Internal(format!("the new restaurant id {id} is taken")))
            }
            RestaurantCreation::ExternalIdTaken { by } => Err(Conflict::ExternalIdTaken { by }.into()),
        }
    }

    /// Returns the restaurant with this external id.
    pub async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<Arc<CatalogueEntry>>, Error> {
        match self.store.restaurant_by_external_id(external_id).await? {
            Some(id) => self.catalogue_cache.get(id).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns a page of restaurants with ids after `after`, ordered by id: all of them, only the permanently closed
    /// ones, or only the others.
    pub async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, Error> {
        Ok(self.store.restaurants(after, is_closed, limit).await?)
    }

    /// Closes a restaurant permanently: it accepts no new orders, and its open orders continue. A restaurant that is
    /// already closed for the same reason stays unchanged. For admins.
    pub async fn close_restaurant(
        &self,
        principal: &Principal,
        id: RestaurantId,
        reason: Note,
        key: Option<IdempotencyKey>,
    ) -> Result<RestaurantAnswer, Error> {
        principal.require(Scope::WriteCatalogue)?;
        principal.require_admin("close a restaurant permanently")?;
        let claim = key.map(|key| claim(principal.account_id, key, &("close", &reason))).transpose()?;
        let at = self.clock.now();
        self.update_restaurant_under(id, UpdateConditions { expected: None, claim }, |restaurant, _| {
            match &restaurant.closed {
                Some(closed) if closed.reason == reason => {}
                Some(closed) => return Err(Conflict::AlreadyClosed { since: closed.at }.into()),
                None => restaurant.closed = Some(PermanentClosure { at, reason: reason.clone() }),
            }
            Ok(())
        })
        .await
    }

    /// Reopens a restaurant that was closed permanently by mistake. Its settings, menu and pause are unchanged. For
    /// admins.
    pub async fn reopen_restaurant(
        &self,
        principal: &Principal,
        id: RestaurantId,
        key: Option<IdempotencyKey>,
    ) -> Result<RestaurantAnswer, Error> {
        principal.require(Scope::WriteCatalogue)?;
        principal.require_admin("reopen a restaurant")?;
        let claim = key.map(|key| claim(principal.account_id, key, &"reopen")).transpose()?;
        self.update_restaurant_under(id, UpdateConditions { expected: None, claim }, |restaurant, _| {
            restaurant.closed = None;
            Ok(())
        })
        .await
    }
}

/// Keeps the external id when settings are replaced. The new settings may omit it, but must not change it.
pub(super) fn keep_external_id(
    present: &RestaurantSettings,
    new: &mut RestaurantSettings,
) -> Result<(), Error> {
    match (&present.external_id, &new.external_id) {
        (_, None) => new.external_id.clone_from(&present.external_id),
        (present, new) if present == new => {}
        (Some(present), _) => {
            let text = format!("cannot be changed; omit it or send the current value {present}");
            return Err(Error::Invalid(Problems::one("/external_id", text)));
        }
        (None, _) => {
            let text = "can only be set when a restaurant is created; omit it";
            return Err(Error::Invalid(Problems::one("/external_id", text)));
        }
    }
    Ok(())
}
