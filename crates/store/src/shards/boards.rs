//! Boards: in the shard of their restaurant.

use async_trait::async_trait;
use dabba_domain::{
    RestaurantId, Timestamp,
    restaurant::{Restaurant, Revision},
};

use futures::FutureExt as _;

use super::{router::ShardedStore, shard::Effect};
use crate::{
    Attendance, Board, BoardCheck, BoardStore, CatalogueUpdate, CheckedBoards, ConnectedBoard, EndedBoard,
    StoreError, check_board_count, check_revision_count,
};

impl ShardedStore {
    /// Divides items by the shards that hold their restaurants.
    pub(super) fn by_shard<T: Clone>(
        &self,
        items: &[T],
        restaurant: impl Fn(&T) -> RestaurantId,
    ) -> Vec<Vec<T>> {
        let mut of_shards = vec![Vec::new(); self.shards.len()];
        for item in items {
            of_shards[self.map.shard_of(restaurant(item).bucket())].push(item.clone());
        }
        of_shards
    }
}

/// Returns the shards for which there is something.
pub(super) fn concerned<T>(of_shards: &[Vec<T>]) -> Vec<usize> {
    (0..of_shards.len()).filter(|index| !of_shards[*index].is_empty()).collect()
}

#[async_trait]
impl BoardStore for ShardedStore {
    /// Writes to one shard after the other. A caller that must not wait for the other shards passes the boards of one shard.
    async fn record_boards(
        &self,
        boards: &[ConnectedBoard],
        now: Timestamp,
    ) -> Result<Vec<RestaurantId>, StoreError> {
        check_board_count(boards.len())?;
        let of_shards = self.by_shard(boards, |board| board.key.restaurant_id);
        let mut paused = Vec::new();
        for index in concerned(&of_shards) {
            let shard = self.shard_at(index)?;
            paused.extend(shard.answer(shard.store().record_boards(&of_shards[index], now)).await?);
        }
        Ok(paused)
    }

    /// Writes to one shard after the other, like [`BoardStore::record_boards`].
    async fn disconnect_boards(&self, ended: &[EndedBoard]) -> Result<(), StoreError> {
        check_board_count(ended.len())?;
        let of_shards = self.by_shard(ended, |board| board.key.restaurant_id);
        for index in concerned(&of_shards) {
            let shard = self.shard_at(index)?;
            shard.answer(shard.store().disconnect_boards(&of_shards[index])).await?;
        }
        Ok(())
    }

    async fn boards(&self, restaurant_id: RestaurantId, now: Timestamp) -> Result<Vec<Board>, StoreError> {
        let shard = self.shard(restaurant_id.bucket());
        shard.answer(shard.store().boards(restaurant_id, now)).await
    }

    async fn attendance(&self, ids: &[RestaurantId], now: Timestamp) -> Result<Vec<Attendance>, StoreError> {
        check_revision_count(ids)?;
        let of_shards = &self.by_shard(ids, |id| *id);
        let gathered = self
            .ask(&concerned(of_shards), Effect::None, |index, store| {
                let ids = of_shards[index].clone();
                Box::pin(async move { store.attendance(&ids, now).await })
            })
            .await;
        Ok(gathered.any()?.concat())
    }

    async fn check_boards(&self, check: &BoardCheck) -> Result<CheckedBoards, StoreError> {
        let count = |checked: &CheckedBoards| checked.checked;
        let checked = self.distribute(
            check.limit,
            |store, limit| {
                let check = BoardCheck { limit, ..*check };
                async move { store.check_boards(&check).await }.boxed()
            },
            count,
        );
        let checked = checked.await?;
        Ok(checked.into_iter().fold(CheckedBoards::default(), |mut all, checked| {
            all.checked += checked.checked;
            all.unattended.extend(checked.unattended);
            all
        }))
    }

    async fn postpone_board_checks(
        &self,
        restaurant_id: RestaurantId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let shard = self.shard(restaurant_id.bucket());
        shard.answer(shard.store().postpone_board_checks(restaurant_id, until)).await
    }

    async fn pause_unattended(
        &self,
        restaurant: &Restaurant,
        expected: Revision,
        since: Timestamp,
    ) -> Result<Option<CatalogueUpdate>, StoreError> {
        let shard = self.shard(restaurant.id.bucket());
        shard.answer(shard.store().pause_unattended(restaurant, expected, since)).await
    }
}
