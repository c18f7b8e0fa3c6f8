//! Consumers of the feed: each call names its shard.

use async_trait::async_trait;
use dabba_domain::Timestamp;

use super::router::ShardedStore;
use crate::{
    Checkpoint, ConsumerName, ConsumerStore, FeedLease, LeaseRequest, LeaseTaken, StoreError, StoredPosition,
};

#[async_trait]
impl ConsumerStore for ShardedStore {
    async fn take_feed_lease(
        &self,
        shard: usize,
        request: &LeaseRequest,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<LeaseTaken, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().take_feed_lease(0, request, now, until)).await
    }

    async fn renew_feed_lease(
        &self,
        shard: usize,
        lease: &FeedLease,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().renew_feed_lease(0, lease, now, until)).await
    }

    async fn release_feed_lease(
        &self,
        shard: usize,
        lease: &FeedLease,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().release_feed_lease(0, lease, now)).await
    }

    async fn feed_position(
        &self,
        shard: usize,
        group: &ConsumerName,
        consumer: Option<&ConsumerName>,
    ) -> Result<Option<StoredPosition>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().feed_position(0, group, consumer)).await
    }

    async fn own_feed_positions(
        &self,
        shard: usize,
        group: &ConsumerName,
        after: Option<&ConsumerName>,
        limit: u32,
    ) -> Result<Vec<(ConsumerName, StoredPosition)>, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().own_feed_positions(0, group, after, limit)).await
    }

    async fn checkpoint_feed(
        &self,
        shard: usize,
        lease: &FeedLease,
        checkpoint: &Checkpoint,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().checkpoint_feed(0, lease, checkpoint, now, until)).await
    }
}
