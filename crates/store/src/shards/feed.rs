//! The feed of each shard.
//!
//! Shards commit independently of each other, so an event that commits late would break any common order. A
//! restaurant's events are all on one shard, and callers read each shard in its own order.

use async_trait::async_trait;
use dabba_domain::{
    OrderId,
    order::{RecordedEvent, Version},
};

use super::{router::ShardedStore, shard::Effect};
use crate::{FeedEnd, FeedPage, FeedPosition, FeedStore, Store, StoreError};

#[async_trait]
impl FeedStore for ShardedStore {
    async fn feed(&self, shard: usize, after: FeedPosition, limit: u32) -> Result<FeedPage, StoreError> {
        self.ask_one(shard, move |store| Box::pin(store.feed(0, after, limit))).await
    }

    async fn feed_end(&self, shard: usize) -> Result<FeedEnd, StoreError> {
        self.ask_one(shard, |store| Box::pin(store.feed_end(0))).await
    }

    async fn public_events(
        &self,
        order: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let shard = self.shard(order.bucket());
        shard.answer(shard.store().public_events(order, after, limit)).await
    }
}

impl ShardedStore {
    /// Sends a read to the shard with this index, with the timeout of gathered calls: callers read all shards, and a
    /// shard that does not answer must not delay the others.
    pub(super) async fn ask_one<'a, T: Send>(
        &'a self,
        shard: usize,
        call: impl Fn(&'a dyn Store) -> futures::future::BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
    ) -> Result<T, StoreError> {
        self.shard_at(shard)?;
        let mut gathered = self.ask(&[shard], Effect::None, |_, store| call(store)).await;
        match gathered.failures.pop() {
            Some((_, error)) => Err(error),
            None => gathered
                .any()?
                .pop()
                .ok_or_else(|| StoreError::Unavailable("the shard gave no answer".to_owned())),
        }
    }
}
