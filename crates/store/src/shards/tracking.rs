//! Tracking links: in the shard of their order.

use async_trait::async_trait;
use dabba_domain::{Bucket, OrderId, Timestamp};

use super::router::ShardedStore;
use crate::{StoreError, TrackingLink, TrackingLinkCreation, TrackingLinkHash, TrackingStore};

#[async_trait]
impl TrackingStore for ShardedStore {
    async fn create_tracking_link(
        &self,
        link: &TrackingLink,
        max: u32,
    ) -> Result<TrackingLinkCreation, StoreError> {
        let shard = self.shard(link.order_id.bucket());
        shard.answer(shard.store().create_tracking_link(link, max)).await
    }

    async fn tracked_order(
        &self,
        bucket: Bucket,
        hash: &TrackingLinkHash,
    ) -> Result<Option<OrderId>, StoreError> {
        let shard = self.shard(bucket);
        shard.answer(shard.store().tracked_order(bucket, hash)).await
    }

    async fn check_tracking_links(
        &self,
        due_until: Timestamp,
        unchanged_since: Timestamp,
        next_check_at: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let check = |store, limit| {
            TrackingStore::check_tracking_links(store, due_until, unchanged_since, next_check_at, limit)
        };
        let checked = self.distribute(limit, check, |count| *count).await?;
        Ok(checked.into_iter().sum())
    }
}
