//! Restaurants: each is on the shard of its bucket.

use async_trait::async_trait;
use dabba_domain::{
    ExternalId, RestaurantId,
    menu::{Availability, Menu},
    restaurant::{Restaurant, Revision},
    text::Slug,
};

use super::{boards::concerned, orders::merge, router::ShardedStore, shard::Effect};
use crate::{
    Catalogue, CatalogueGuard, CatalogueStore, CatalogueUpdate, ClaimAt, MenuRevisions, PageSize,
    RestaurantCreation, RestaurantPage, StockEdit, StockLevel, StockUpdate, StoreError, UnderKey,
    check_revision_count,
};

#[async_trait]
impl CatalogueStore for ShardedStore {
    async fn create_restaurant(
        &self,
        restaurant: &Restaurant,
        menu: &Menu,
    ) -> Result<RestaurantCreation, StoreError> {
        let shard = self.shard(restaurant.id.bucket());
        shard.answer(shard.store().create_restaurant(restaurant, menu)).await
    }

    async fn restaurant_by_external_id(
        &self,
        external_id: &ExternalId,
    ) -> Result<Option<RestaurantId>, StoreError> {
        let shard = self.shard(external_id.bucket());
        shard.answer(shard.store().restaurant_by_external_id(external_id)).await
    }

    async fn catalogue_since(
        &self,
        id: RestaurantId,
        known: Option<&Catalogue>,
    ) -> Result<Option<Catalogue>, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().catalogue_since(id, known)).await
    }

    async fn revisions(
        &self,
        ids: &[RestaurantId],
    ) -> Result<Vec<(RestaurantId, CatalogueGuard)>, StoreError> {
        check_revision_count(ids)?;
        let of_shards = &self.by_shard(ids, |id| *id);
        let gathered = self
            .ask(&concerned(of_shards), Effect::None, |index, store| {
                let ids = of_shards[index].clone();
                Box::pin(async move { store.revisions(&ids).await })
            })
            .await;
        Ok(gathered.any()?.concat())
    }

    async fn restaurants(
        &self,
        after: Option<RestaurantId>,
        is_closed: Option<bool>,
        limit: PageSize,
    ) -> Result<RestaurantPage, StoreError> {
        let gathered = self.ask_all(|store| store.restaurants(after, is_closed, limit)).await;
        let (pages, is_any_missing) = gathered.pages()?;
        let incomplete = is_any_missing || pages.iter().any(|page| page.incomplete);
        let (lists, unreadable): (_, Vec<_>) =
            pages.into_iter().map(|page| (page.restaurants, page.unreadable)).unzip();
        let (restaurants, _) = merge(lists, limit.get() as usize, |restaurant| restaurant.id);
        // Those behind the last restaurant of a full page belong to later pages.
        let last = restaurants.last().filter(|_| restaurants.len() >= limit.get() as usize);
        let mut unreadable = unreadable.concat();
        unreadable.retain(|id| last.is_none_or(|last| *id < last.id));
        unreadable.sort_unstable();
        Ok(RestaurantPage { restaurants, incomplete, unreadable })
    }

    async fn update_restaurant_under(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<CatalogueUpdate>, StoreError> {
        let shard = self.shard(restaurant.id.bucket());
        shard.answer(shard.store().update_restaurant_under(restaurant, expected, claim)).await
    }

    async fn replace_menu(
        &self,
        id: RestaurantId,
        menu: &Menu,
        expected: MenuRevisions,
    ) -> Result<CatalogueUpdate, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().replace_menu(id, menu, expected)).await
    }

    async fn set_availability(
        &self,
        id: RestaurantId,
        item: &Slug,
        availability: Availability,
        expected: Option<&[Revision]>,
    ) -> Result<CatalogueUpdate, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().set_availability(id, item, availability, expected)).await
    }

    async fn stock(&self, id: RestaurantId) -> Result<Vec<StockLevel>, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().stock(id)).await
    }

    async fn change_stock(
        &self,
        id: RestaurantId,
        item: &Slug,
        edit: &StockEdit<'_>,
    ) -> Result<StockUpdate, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().change_stock(id, item, edit)).await
    }
}
