//! Reads of an audit, gathered from all shards.

use async_trait::async_trait;
use dabba_domain::{RestaurantId, TaskId, text::Slug};
use futures::future::try_join_all;

use super::{gather::Gathered, orders::merge, router::ShardedStore};
use crate::{AuditStore, Listing, PageSize, ScopedKey, StoreError, StoredClaim, StoredStock, StoredTask};

#[async_trait]
impl AuditStore for ShardedStore {
    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let answers = self.shards.iter().map(async |shard| {
            let damage = shard.answer(shard.store().damage()).await?;
            let name = |text| format!("shard {}: {text}", shard.name());
            Ok::<_, StoreError>(damage.into_iter().map(name).collect::<Vec<_>>())
        });
        Ok(try_join_all(answers).await?.concat())
    }

    async fn all_tasks(
        &self,
        after: Option<TaskId>,
        limit: PageSize,
    ) -> Result<Listing<StoredTask>, StoreError> {
        let gathered = self.ask_all(|store| store.all_tasks(after, limit)).await;
        one_listing(gathered, limit, |stored| stored.task.id)
    }

    /// All keys of a scope are on one shard, so their order is that shard's order.
    async fn all_claims(
        &self,
        after: Option<&ScopedKey>,
        limit: PageSize,
    ) -> Result<Listing<StoredClaim>, StoreError> {
        let gathered = self
            .ask_all(|store| {
                let after = after.cloned();
                Box::pin(async move { store.all_claims(after.as_ref(), limit).await })
            })
            .await;
        one_listing(gathered, limit, |stored| (stored.key.account_id, stored.key.restaurant_id))
    }

    /// All items of a restaurant are on one shard, so their order is that shard's order.
    async fn all_stock(
        &self,
        after: Option<(RestaurantId, &Slug)>,
        limit: PageSize,
    ) -> Result<Listing<StoredStock>, StoreError> {
        let gathered = self
            .ask_all(|store| {
                let after = after.map(|(restaurant_id, item)| (restaurant_id, item.clone()));
                Box::pin(async move {
                    let after = after.as_ref().map(|(restaurant_id, item)| (*restaurant_id, item));
                    store.all_stock(after, limit).await
                })
            })
            .await;
        one_listing(gathered, limit, |stored| stored.restaurant_id)
    }
}

/// Merges the pages of all shards, which all begin after the same position, into one page.
fn one_listing<T, K: Ord>(
    gathered: Gathered<Listing<T>>,
    limit: PageSize,
    key: impl Fn(&T) -> K,
) -> Result<Listing<T>, StoreError> {
    let (pages, is_any_missing) = gathered.pages()?;
    let incomplete = is_any_missing || pages.iter().any(|page| page.incomplete);
    let lists = pages.into_iter().map(|page| page.entries).collect();
    let (entries, _) = merge(lists, limit.get() as usize, key);
    Ok(Listing { entries, incomplete })
}
