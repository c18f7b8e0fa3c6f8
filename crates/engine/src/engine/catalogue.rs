//! The use cases of restaurants, menus and stock, as methods of the engine. Each calls the method of the part.

use std::sync::Arc;

use dabba_domain::{
    ExternalId, RestaurantId, Timestamp,
    menu::{Availability, MenuDocument},
    restaurant::{Revision, SettingsDocument},
    text::{Note, Slug},
};
use dabba_store::{IdempotencyKey, PageSize, RestaurantPage, StockLevel};

use crate::{
    CatalogueEntry, Conditional, Engine, Error, ExpectedMenu, Principal, RestaurantAnswer, StockAdjustment,
    StockAnswer,
};

impl Engine {
    /// Calls [`crate::Catalogues::create_restaurant`].
    pub async fn create_restaurant(
        &self,
        principal: &Principal,
        settings: SettingsDocument,
        menu: MenuDocument,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogue.create_restaurant(principal, settings, menu).await
    }

    /// Calls [`crate::Catalogues::create_restaurant_under`].
    pub async fn create_restaurant_under(
        &self,
        principal: &Principal,
        settings: SettingsDocument,
        menu: MenuDocument,
        key: Option<IdempotencyKey>,
    ) -> Result<RestaurantAnswer, Error> {
        self.catalogue.create_restaurant_under(principal, settings, menu, key).await
    }

    /// Calls [`crate::Catalogues::restaurant_by_external_id`].
    pub async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<Arc<CatalogueEntry>>, Error> {
        self.catalogue.restaurant_by_external_id(external_id).await
    }

    /// Calls [`crate::Catalogues::restaurants`].
    pub async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, Error> {
        self.catalogue.restaurants(after, is_closed, limit).await
    }

    /// Calls [`crate::Catalogues::close_restaurant`].
    pub async fn close_restaurant(
        &self,
        principal: &Principal,
        id: RestaurantId,
        reason: Note,
        key: Option<IdempotencyKey>,
    ) -> Result<RestaurantAnswer, Error> {
        self.catalogue.close_restaurant(principal, id, reason, key).await
    }

    /// Calls [`crate::Catalogues::reopen_restaurant`].
    pub async fn reopen_restaurant(
        &self,
        principal: &Principal,
        id: RestaurantId,
        key: Option<IdempotencyKey>,
    ) -> Result<RestaurantAnswer, Error> {
        self.catalogue.reopen_restaurant(principal, id, key).await
    }

    /// Calls [`crate::Catalogues::catalogue`].
    pub async fn catalogue(&self, id: RestaurantId) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogue.catalogue(id).await
    }

    /// Calls [`crate::Catalogues::replace_settings`].
    pub async fn replace_settings(
        &self,
        principal: &Principal,
        id: RestaurantId,
        settings: SettingsDocument,
        expected: Option<&[Revision]>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogue.replace_settings(principal, id, settings, expected).await
    }

    /// Calls [`crate::Catalogues::pause`].
    pub async fn pause(
        &self,
        principal: &Principal,
        id: RestaurantId,
        until: Option<Timestamp>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogue.pause(principal, id, until).await
    }

    /// Calls [`crate::Catalogues::pause_under`].
    pub async fn pause_under(
        &self,
        principal: &Principal,
        id: RestaurantId,
        until: Option<Timestamp>,
        conditional: Conditional,
    ) -> Result<RestaurantAnswer, Error> {
        self.catalogue.pause_under(principal, id, until, conditional).await
    }

    /// Calls [`crate::Catalogues::resume`].
    pub async fn resume(
        &self,
        principal: &Principal,
        id: RestaurantId,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogue.resume(principal, id).await
    }

    /// Calls [`crate::Catalogues::resume_under`].
    pub async fn resume_under(
        &self,
        principal: &Principal,
        id: RestaurantId,
        conditional: Conditional,
    ) -> Result<RestaurantAnswer, Error> {
        self.catalogue.resume_under(principal, id, conditional).await
    }

    /// Calls [`crate::Catalogues::replace_menu`].
    pub async fn replace_menu(
        &self,
        principal: &Principal,
        id: RestaurantId,
        document: MenuDocument,
        expected: Option<&[ExpectedMenu]>,
    ) -> Result<Arc<CatalogueEntry>, Error> {
        self.catalogue.replace_menu(principal, id, document, expected).await
    }

    /// Calls [`crate::Catalogues::set_availability`].
    pub async fn set_availability(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<Revision, Error> {
        self.catalogue.set_availability(principal, id, item, availability, expected).await
    }

    /// Calls [`crate::Catalogues::set_stock`].
    pub async fn set_stock(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
        remaining: Option<u32>,
        expected: Option<Revision>,
    ) -> Result<StockAnswer, Error> {
        self.catalogue.set_stock(principal, id, item, remaining, expected).await
    }

    /// Calls [`crate::Catalogues::adjust_stock`].
    pub async fn adjust_stock(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
        adjustment: StockAdjustment,
    ) -> Result<StockAnswer, Error> {
        self.catalogue.adjust_stock(principal, id, item, adjustment).await
    }

    /// Calls [`crate::Catalogues::stock`].
    pub async fn stock(&self, principal: &Principal, id: RestaurantId) -> Result<Vec<StockLevel>, Error> {
        self.catalogue.stock(principal, id).await
    }

    /// Calls [`crate::Catalogues::stock_of`].
    pub async fn stock_of(
        &self,
        principal: &Principal,
        id: RestaurantId,
        item: &Slug,
    ) -> Result<Option<StockLevel>, Error> {
        self.catalogue.stock_of(principal, id, item).await
    }

    /// Calls [`crate::Catalogues::watch_catalogues`].
    pub async fn watch_catalogues(self: Arc<Self>) {
        self.catalogue.watch_catalogues().await;
    }
}
