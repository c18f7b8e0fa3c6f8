//! Statistics.

use async_trait::async_trait;
use dabba_domain::{Timestamp, statistics::Minute};
use dabba_store::{
    FeedLease, RollUp, RolledUp, StatisticsKey, StatisticsProgress, StatisticsRange, StatisticsRow,
    StatisticsStore, StoreError,
};

use super::EmptyStore;

#[async_trait]
impl StatisticsStore for EmptyStore {
    async fn statistics_progress(&self, _: usize) -> Result<Option<StatisticsProgress>, StoreError> {
        Ok(None)
    }
    async fn roll_up_statistics(
        &self,
        _: usize,
        _: &FeedLease,
        _: &RollUp,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<RolledUp, StoreError> {
        Ok(RolledUp::Added)
    }
    async fn set_statistics(&self, _: usize, _: &[StatisticsRow]) -> Result<(), StoreError> {
        Ok(())
    }
    async fn statistics(
        &self,
        _: usize,
        _: &StatisticsRange,
        _: Option<&StatisticsKey>,
        _: u32,
    ) -> Result<Vec<StatisticsRow>, StoreError> {
        Ok(Vec::new())
    }
    async fn delete_old_statistics(&self, _: Minute, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }
}
