//! Restaurants and menus: what their staff and the platform do with them.

use std::{collections::HashSet, sync::Arc};

use dabba_domain::{
    Problems, RestaurantId, Role, Timestamp,
    menu::{Availability, Menu, MenuDocument},
    restaurant::{Pause, Restaurant, Revision, SettingsDocument},
    text::Slug,
};
use dabba_store::{Catalogue, CatalogueUpdate, PageSize, RestaurantPage};

use crate::{CatalogueEntry, Conflict, Engine, Error, Principal};

impl Engine {
    /// Registers a restaurant. For admins.
    pub async fn create_restaurant(
        &self,
        principal: &Principal,
        settings: SettingsDocument,
        menu: MenuDocument,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        if principal.role != Role::Admin {
            return Err(Error::Forbidden("only an admin registers a restaurant".into()));
        }
        let settings = settings.validate().map_err(Error::Invalid)?;
        let menu = menu.validate().map_err(Error::Invalid)?;
        let id = self.new_restaurant_id();
        let restaurant = Restaurant { id, revision: 1, settings, pause: None, created_at: self.now() };
        if !self.store.create_restaurant(&restaurant, &menu).await? {
            return Err(Error::Internal(format!("the new restaurant id {id} is taken")));
        }
        let catalogue = Catalogue { restaurant, menu, menu_revision: 1, limited: HashSet::new() };
        Ok(self.catalogues.remember_new(catalogue).await)
    }

    /// A restaurant with its menu, from memory.
    pub async fn catalogue(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogues.get(id).await
    }

    /// A page of restaurants behind the given one, by id.
    pub async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        limit: PageSize,
    ) -> Result<RestaurantPage, Error> {
        Ok(self.store.restaurants(after, limit).await?)
    }

    /// Replaces a restaurant's settings, which have to be at one of the expected revisions, if any are given. For
    /// its staff and admins; some settings only an admin changes.
    pub async fn replace_settings(
        &self,
        principal: &Principal,
        id: RestaurantId,
        settings: SettingsDocument,
        expected: Option<&[Revision]>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.check_staff(principal, id).await?;
        let settings = settings.validate().map_err(Error::Invalid)?;
        self.update_restaurant(id, expected, |restaurant| {
            restaurant.settings.check_change(&settings, principal.role == Role::Admin)?;
            restaurant.settings = settings.clone();
            Ok(())
        })
        .await
    }

    /// Stops taking orders, until a time or until resumed. For the restaurant's staff and admins.
    pub async fn pause(
        &self,
        principal: &Principal,
        id: RestaurantId,
        until: Option<Timestamp>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.check_staff(principal, id).await?;
        if until.is_some_and(|until| until <= self.now()) {
            return Err(Error::Invalid(Problems::one("/until", "must be in the future")));
        }
        self.update_restaurant(id, None, |restaurant| {
            restaurant.pause = Some(Pause { until });
            Ok(())
        })
        .await
    }

    /// Takes orders again. For the restaurant's staff and admins.
    pub async fn resume(
        &self,
        principal: &Principal,
        id: RestaurantId,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.check_staff(principal, id).await?;
        self.update_restaurant(id, None, |restaurant| {
            restaurant.pause = None;
            Ok(())
        })
        .await
    }

    /// Replaces a restaurant's menu, which has to be at the expected revision, if one is given. For
    /// the restaurant's staff and admins.
    pub async fn replace_menu(
        &self,
        principal: &Principal,
        id: RestaurantId,
        menu: MenuDocument,
        expected: Option<Revision>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.check_staff(principal, id).await?;
        let menu = menu.validate().map_err(Error::Invalid)?;
        self.update_menu(id, expected, |_| Ok(Some(menu.clone()))).await
    }

    /// Says whether an item can be ordered. For the restaurant's staff and admins.
    pub async fn set_availability(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.check_staff(principal, id).await?;
        self.update_menu(id, None, |menu| {
            let present = menu.item(item.as_str()).ok_or(Error::NotFound("item"))?;
            if present.availability == availability {
                return Ok(None);
            }
            Ok(menu.with_availability(item.as_str(), availability))
        })
        .await
    }

    /// Changes a menu from what the store has now, again when someone else was quicker and the caller
    /// did not insist on a revision. `None` from `change` leaves it as it is.
    async fn update_menu(
        &self,
        id: RestaurantId,
        expected: Option<Revision>,
        change: impl Fn(&Menu) -> Result<Option<Menu>, Error>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        for _ in 0..self.config.max_decision_attempts {
            let entry = self.catalogues.refresh(id).await?;
            let current = entry.catalogue.menu_revision;
            if expected.is_some_and(|expected| expected != current) {
                return Err(Conflict::Revision { current }.into());
            }
            let Some(menu) = change(entry.menu())? else { return Ok(entry) };
            match self.store.replace_menu(id, &menu, current).await? {
                CatalogueUpdate::Done { .. } => return self.catalogues.refresh(id).await,
                CatalogueUpdate::Conflict { .. } => self.metrics.decision_retries.inc(),
                CatalogueUpdate::NotFound => return Err(Error::NotFound("restaurant")),
            };
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// Changes a restaurant from what the store has now, again when someone else was quicker and
    /// the caller did not insist on a revision.
    async fn update_restaurant(
        &self,
        id: RestaurantId,
        expected: Option<&[Revision]>,
        change: impl Fn(&mut Restaurant) -> Result<(), Error>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        for _ in 0..self.config.max_decision_attempts {
            let entry = self.catalogues.refresh(id).await?;
            let current = entry.restaurant().revision;
            if expected.is_some_and(|expected| !expected.contains(&current)) {
                return Err(Conflict::Revision { current }.into());
            }
            let mut restaurant = entry.restaurant().clone();
            change(&mut restaurant)?;
            match self.store.update_restaurant(&restaurant, current).await? {
                CatalogueUpdate::Done { revision } => {
                    let mut written = entry.catalogue.clone();
                    written.restaurant = Restaurant { revision, ..restaurant };
                    return Ok(self.catalogues.after_write(id, written).await);
                }
                CatalogueUpdate::Conflict { .. } => self.metrics.decision_retries.inc(),
                CatalogueUpdate::NotFound => return Err(Error::NotFound("restaurant")),
            };
        }
        Err(Conflict::TooManyChanges.into())
    }

    /// Lets staff of the restaurant and admins pass. To others the restaurant's doors are closed;
    /// that it exists is no secret.
    pub(crate) async fn check_staff(&self, principal: &Principal, id: RestaurantId) -> Result<(), Error> {
        let passes = match principal.role {
            Role::Admin => true,
            Role::Restaurant => self.works_for(principal.account_id, id).await?,
            Role::Customer | Role::Courier => false,
        };
        if passes { Ok(()) } else { Err(Error::Forbidden("only the restaurant's staff may do this".into())) }
    }
}
