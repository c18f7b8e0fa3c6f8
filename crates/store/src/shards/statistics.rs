//! Statistics: each call names its shard, except the deletion of old rows.

use async_trait::async_trait;
use dabba_domain::{Timestamp, statistics::Minute};

use super::router::ShardedStore;
use crate::{
    FeedLease, RollUp, RolledUp, StatisticsKey, StatisticsProgress, StatisticsRange, StatisticsRow,
    StatisticsStore, StoreError,
};

#[async_trait]
impl StatisticsStore for ShardedStore {
    async fn statistics_progress(&self, shard: usize) -> Result<Option<StatisticsProgress>, StoreError> {
        self.ask_one(shard, |store| Box::pin(store.statistics_progress(0))).await
    }

    async fn roll_up_statistics(
        &self,
        shard: usize,
        lease: &FeedLease,
        roll_up: &RollUp,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<RolledUp, StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().roll_up_statistics(0, lease, roll_up, now, until)).await
    }

    async fn set_statistics(&self, shard: usize, rows: &[StatisticsRow]) -> Result<(), StoreError> {
        let shard = self.shard_at(shard)?;
        shard.answer(shard.store().set_statistics(0, rows)).await
    }

    async fn statistics(
        &self,
        shard: usize,
        range: &StatisticsRange,
        after: Option<&StatisticsKey>,
        limit: u32,
    ) -> Result<Vec<StatisticsRow>, StoreError> {
        self.ask_one(shard, move |store| Box::pin(store.statistics(0, range, after, limit))).await
    }

    async fn delete_old_statistics(&self, before: Minute, limit: u32) -> Result<u32, StoreError> {
        let delete = |store, limit| StatisticsStore::delete_old_statistics(store, before, limit);
        let deleted = self.distribute(limit, delete, |count| *count).await?;
        Ok(deleted.into_iter().sum())
    }
}
