//! Use cases of restaurants and menus, for their staff and for admins.

use std::sync::{Arc, Weak};

use dabba_domain::{
    Problems, RestaurantId, Role, Timestamp,
    menu::{Availability, Menu, MenuDocument, check_end},
    restaurant::{Pause, Restaurant, Revision, SettingsDocument},
    text::Slug,
};
use dabba_store::{
    Catalogue, CatalogueUpdate, Claim, ClaimAt, ClaimRecord, IdempotencyKey, MenuRevisions, Resource,
    UnderKey,
};
use serde::Serialize;

use super::{
    CatalogueEntry, CatalogueListener, CatalogueSubscription, Catalogues, RestaurantAnswer,
    registering::keep_external_id,
};
use crate::{
    Conflict, Error, Principal, Scope,
    claims::{claim, is_same_request},
    writing::run_to_completion,
};

impl Catalogues {
    /// Returns a restaurant with its menu from the cache.
    pub async fn entry(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogue_cache.get(id).await
    }

    /// Subscribes a listener to the changes of a restaurant's catalogue and of its stock by this process, until the
    /// subscription is dropped. Changes by other processes are known for catalogues that are cached.
    pub fn subscribe(
        &self,
        id: RestaurantId,
        listener: Weak<dyn CatalogueListener>,
    ) -> CatalogueSubscription {
        self.catalogue_cache.signals.subscribe(id, listener)
    }

    /// Replaces a restaurant's settings. With `expected`, the settings must be at one of these revisions. For the
    /// restaurant's staff and admins; some settings only an admin may change.
    pub async fn replace_settings(
        &self,
        principal: &Principal,
        id: RestaurantId,
        settings: SettingsDocument,
        expected: Option<&[Revision]>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        principal.require(Scope::WriteCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        let settings = settings.validate().map_err(Error::Invalid)?;
        self.update_restaurant(id, expected, |restaurant, menu| {
            let mut settings = settings.clone();
            keep_external_id(&restaurant.settings, &mut settings)?;
            restaurant.settings.check_change(&settings, principal.role == Role::Admin)?;
            menu.check_settings(&settings).map_err(Error::Invalid)?;
            restaurant.settings = settings;
            Ok(())
        })
        .await
    }

    /// Pauses a restaurant: it accepts no orders until a time, or until it is resumed. For the restaurant's staff and
    /// admins.
    pub async fn pause(
        &self,
        principal: &Principal,
        id: RestaurantId,
        until: Option<Timestamp>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.pause_under(principal, id, until, Conditional::default()).await.map(|answer| answer.entry)
    }

    /// Pauses a restaurant, like [`Self::pause`], with an expected revision and an idempotency key.
    pub async fn pause_under(
        &self,
        principal: &Principal,
        id: RestaurantId,
        until: Option<Timestamp>,
        conditional: Conditional,
    ) -> Result<RestaurantAnswer, Error> {
        principal.require(Scope::WriteCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        let conditions = conditional.on(principal, &("pause", until))?;
        if let Some(until) = until.filter(|until| *until <= self.clock.now()) {
            let text = format!("must be in the future, not {until}; omit it for a pause without an end");
            return Err(Error::Invalid(Problems::one("/until", text)));
        }
        self.update_restaurant_under(id, conditions, |restaurant, _| {
            restaurant.pause = Some(Pause::by_person(until));
            Ok(())
        })
        .await
    }

    /// Ends a restaurant's pause. For the restaurant's staff and admins.
    pub async fn resume(
        &self,
        principal: &Principal,
        id: RestaurantId,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.resume_under(principal, id, Conditional::default()).await.map(|answer| answer.entry)
    }

    /// Ends a restaurant's pause, like [`Self::resume`], with an expected revision and an idempotency key.
    pub async fn resume_under(
        &self,
        principal: &Principal,
        id: RestaurantId,
        conditional: Conditional,
    ) -> Result<RestaurantAnswer, Error> {
        principal.require(Scope::WriteCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        let conditions = conditional.on(principal, &"resume")?;
        self.update_restaurant_under(id, conditions, |restaurant, _| {
            restaurant.pause = None;
            Ok(())
        })
        .await
    }

    /// Replaces a restaurant's menu. With `expected`, the menu must be in one of these states. The write also sets the
    /// availability that the document states; availability that it does not state is kept. An entry without an id keeps
    /// the id that it has on the current menu. For the restaurant's staff and admins.
    pub async fn replace_menu(
        &self,
        principal: &Principal,
        id: RestaurantId,
        document: MenuDocument,
        expected: Option<&[ExpectedMenu]>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        principal.require(Scope::WriteCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        for _ in 0..self.max_attempts {
            let entry = self.catalogue_cache.refresh(id).await?;
            let current = entry.catalogue.menu_revisions();
            if expected.is_some_and(|expected| !expected.iter().any(|expected| expected.is_met_by(current))) {
                return Err(Conflict::MenuRevision { current }.into());
            }
            // Ids are matched against the menu that the write replaces: the write fails if the menu has changed by
            // then.
            let menu = Arc::new(document.validate_against(entry.menu()).map_err(Error::Invalid)?);
            let settings = &entry.restaurant().settings;
            menu.check_taxes(settings).map_err(Error::Invalid)?;
            if principal.role != Role::Admin {
                let checked = menu.check_remitted(entry.menu(), settings);
                checked.map_err(|problems| Error::Forbidden(problems.to_string()))?;
            }
            if is_as_stated(&entry.catalogue, &menu) {
                return Ok(entry);
            }
            let (store, catalogue_cache) = (Arc::clone(&self.store), Arc::clone(&self.catalogue_cache));
            let written = run_to_completion(async move {
                match store.replace_menu(id, &menu, current).await? {
                    CatalogueUpdate::Done { revision } => {
                        let written = with_menu(&entry.catalogue, &menu, revision);
                        Ok(Some(catalogue_cache.after_write(id, written).await))
                    }
                    CatalogueUpdate::Conflict { .. } => Ok(None),
                    CatalogueUpdate::NotFound => Err(Error::NotFound("restaurant")),
                }
            });
            if let Some(entry) = written.await? {
                return Ok(entry);
            }
            self.metrics.decision_retries.inc();
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// Sets whether an item can be ordered, and returns the revision of the availability. With `expected`, the
    /// availability must be at one of these revisions. For the restaurant's staff and admins.
    pub async fn set_availability(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<Revision, Error> {
        principal.require(Scope::WriteCatalogue)?;
        self.accounts.check_staff(principal, id).await?;
        if let Availability::Unavailable { until } = availability {
            let checked = check_end(until, self.clock.now());
            checked.map_err(|error| Error::Invalid(Problems::one("/until", error.to_string())))?;
        }
        let mut entry = self.catalogue_cache.get(id).await?;
        if entry.menu().item(item.as_str()).is_none() {
            // Another server may have just added the item to the menu.
            entry = self.catalogue_cache.refresh(id).await?;
            entry.menu().item(item.as_str()).ok_or(Error::NotFound("item"))?;
        }
        let (store, catalogue_cache) = (Arc::clone(&self.store), Arc::clone(&self.catalogue_cache));
        let (item, expected) = (item.clone(), expected.map(<[_]>::to_vec));
        run_to_completion(async move {
            match store.set_availability(id, &item, availability, expected.as_deref()).await? {
                CatalogueUpdate::Done { revision } => {
                    let mut written = entry.catalogue.clone();
                    written.unavailable = written.unavailable.with([(&item, availability)]);
                    written.availability_revision = revision;
                    catalogue_cache.after_write(id, written).await;
                    Ok(revision)
                }
                CatalogueUpdate::Conflict { current } => Err(Conflict::Revision { current }.into()),
                CatalogueUpdate::NotFound => Err(Error::NotFound("restaurant")),
            }
        })
        .await
    }

    /// Changes a restaurant without an idempotency key.
    async fn update_restaurant(
        &self,
        id: RestaurantId,
        expected: Option<&[Revision]>,
        change: impl Fn(&mut Restaurant, &Menu) -> Result<(), Error>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        let conditions = UpdateConditions { expected: expected.map(<[_]>::to_vec), claim: None };
        self.update_restaurant_under(id, conditions, change).await.map(|answer| answer.entry)
    }

    /// Changes a restaurant as the store has it now; the change also gets the menu. After a conflict the change is repeated on the new state, unless
    /// the caller expects a revision. A change without effect is not written. After the write, nothing can make the
    /// request fail.
    pub(super) async fn update_restaurant_under(
        &self,
        id: RestaurantId,
        conditions: UpdateConditions,
        change: impl Fn(&mut Restaurant, &Menu) -> Result<(), Error>,
    ) -> Result<RestaurantAnswer, Error> {
        let UpdateConditions { expected, claim } = conditions;
        for _ in 0..self.max_attempts {
            let entry = self.catalogue_cache.refresh(id).await?;
            let mut restaurant = entry.restaurant().clone();
            let current = restaurant.revision;
            let decided = match &expected {
                Some(expected) if !expected.contains(&current) => Err(Conflict::Revision { current }.into()),
                _ => change(&mut restaurant, entry.menu()),
            };
            if decided.is_err() || restaurant == *entry.restaurant() {
                // Nothing is written, so the store does not check the key here.
                return match self.claimed(&entry, claim.as_ref()).await? {
                    Some(record) => self.replay_restaurant(&record, entry, claim.as_ref()),
                    None => decided.map(|()| RestaurantAnswer { entry, replayed: false }),
                };
            }
            match self.write_restaurant(&entry, restaurant, claim.clone()).await? {
                UnderKey::Ended(Some(entry)) => return Ok(RestaurantAnswer { entry, replayed: false }),
                UnderKey::Ended(None) => self.metrics.decision_retries.inc(),
                UnderKey::Claimed(record) => return self.replay_restaurant(&record, entry, claim.as_ref()),
            };
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// Writes a changed restaurant if it is still at the revision of `before`. Returns its catalogue after the write;
    /// `None` on a conflict.
    async fn write_restaurant(
        &self,
        before: &Arc<CatalogueEntry>,
        restaurant: Restaurant,
        claim: Option<Claim>,
    ) -> Result<UnderKey<Option<Arc<CatalogueEntry>>>, Error> {
        let (store, catalogue_cache) = (Arc::clone(&self.store), Arc::clone(&self.catalogue_cache));
        let (before, at) = (Arc::clone(before), self.clock.now());
        let boards_checked_at = self.boards_checked_at(before.restaurant(), &restaurant, at);
        run_to_completion(async move {
            let (id, current) = (restaurant.id, before.restaurant().revision);
            if let Some(until) = boards_checked_at {
                store.postpone_board_checks(id, until).await?;
            }
            let claim_at = claim.as_ref().map(|claim| ClaimAt { claim, at });
            Ok(match store.update_restaurant_under(&restaurant, current, claim_at).await? {
                UnderKey::Ended(CatalogueUpdate::Done { revision }) => {
                    let mut written = before.catalogue.clone();
                    written.restaurant = Restaurant { revision, ..restaurant };
                    UnderKey::Ended(Some(catalogue_cache.after_write(id, written).await))
                }
                UnderKey::Ended(CatalogueUpdate::Conflict { .. }) => UnderKey::Ended(None),
                UnderKey::Ended(CatalogueUpdate::NotFound) => return Err(Error::NotFound("restaurant")),
                UnderKey::Claimed(record) => UnderKey::Claimed(record),
            })
        })
        .await
    }

    /// Returns the stored record of a key, if the key is claimed.
    async fn claimed(
        &self,
        entry: &CatalogueEntry,
        claim: Option<&Claim>,
    ) -> Result<Option<ClaimRecord>, Error> {
        let Some(claim) = claim else { return Ok(None) };
        Ok(self.store.find_claim(claim.account_id, entry.restaurant().id, &claim.key).await?)
    }

    fn replay_restaurant(
        &self,
        record: &ClaimRecord,
        entry: Arc<CatalogueEntry>,
        claim: Option<&Claim>,
    ) -> Result<RestaurantAnswer, Error> {
        let is_same =
            is_same_request(record, claim)? && record.resource == Resource::Restaurant(entry.restaurant().id);
        if !is_same {
            return Err(Error::KeyReused);
        }
        self.metrics.replays.inc();
        Ok(RestaurantAnswer { entry, replayed: true })
    }
}

/// Conditions of a change of a restaurant.
#[derive(Default)]
pub(super) struct UpdateConditions {
    /// Revisions that the restaurant must have (any one of them), if the caller states some.
    pub(super) expected: Option<Vec<Revision>>,
    /// The claim on the idempotency key of the change.
    pub(super) claim: Option<Claim>,
}

/// Conditions that a request states for a change.
#[derive(Clone, Debug, Default)]
pub struct Conditional {
    /// Revisions that the resource must have (any one of them), if the caller states some.
    pub expected: Option<Vec<Revision>>,
    /// Idempotency key of the change.
    pub key: Option<IdempotencyKey>,
}

impl Conditional {
    fn on(self, principal: &Principal, request: &impl Serialize) -> Result<UpdateConditions, Error> {
        let Self { expected, key } = self;
        let claim = key.map(|key| claim(principal.account_id, key, request)).transpose()?;
        Ok(UpdateConditions { expected, claim })
    }
}

/// Returns whether a catalogue already contains this menu, with the availability that its document states.
fn is_as_stated(present: &Catalogue, menu: &Menu) -> bool {
    present.menu.is_stored_as(menu)
        && present.unavailable.with(menu.document_availability()) == present.unavailable
}

/// Returns the catalogue after its menu was replaced.
fn with_menu(before: &Catalogue, menu: &Arc<Menu>, revision: Revision) -> Catalogue {
    let unavailable = before.unavailable.with(menu.document_availability());
    let is_changed = unavailable != before.unavailable;
    Catalogue {
        menu: Arc::clone(menu),
        menu_revision: revision,
        unavailable,
        availability_revision: before.availability_revision + u32::from(is_changed),
        ..before.clone()
    }
}

/// Required state of a menu that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedMenu {
    /// The menu's revision.
    pub menu: Revision,
    /// The availability's revision; absent: any revision.
    pub availability: Option<Revision>,
}

impl ExpectedMenu {
    fn is_met_by(self, current: MenuRevisions) -> bool {
        self.menu == current.menu
            && self.availability.is_none_or(|availability| availability == current.availability)
    }
}
