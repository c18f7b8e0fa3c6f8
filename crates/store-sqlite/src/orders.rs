//! Orders: the most frequently used part of the contract.

pub(crate) mod commit;
pub(crate) mod list;
pub(crate) mod read;

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, OrderId, RestaurantId, Timestamp,
    order::{Order, OrderStatus, RecordedEvent, Version},
};
use dabba_store::encoding::{EncodedCommit, clamped_nanoseconds};
use dabba_store::{
    ClaimRecord, CodeMatches, CodeQuery, Commit, CommitOutcome, IdempotencyKey, OrderPage, OrderQuery,
    OrderStore, StoreError, check_order_count,
};

use crate::{SqliteStore, claims};

#[async_trait]
impl OrderStore for SqliteStore {
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        // Checking and encoding happen on the caller's thread, to relieve the writer.
        let batch = batch.into_iter().map(EncodedCommit::new).collect::<Result<Vec<_>, _>>()?;
        self.writer.write(move |transaction| commit::commit_batch(transaction, &batch)).await
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        self.readers.read(move |connection| read::order(connection, id)).await
    }

    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        check_order_count(ids)?;
        let ids = ids.to_vec();
        self.readers
            .read(move |connection| {
                ids.into_iter().filter_map(|id| read::order(connection, id).transpose()).collect()
            })
            .await
    }

    async fn open_orders(
        &self,
        restaurant_id: RestaurantId,
        statuses: &[OrderStatus],
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Order>, StoreError> {
        let statuses = statuses.to_vec();
        self.readers
            .read(move |connection| list::open_orders(connection, restaurant_id, &statuses, before, limit))
            .await
    }

    async fn events(
        &self,
        id: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.readers.read(move |connection| read::events(connection, id, after, limit)).await
    }

    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        let query = query.clone();
        self.readers.read(move |connection| list::list_orders(connection, &query)).await
    }

    async fn orders_with_code(&self, query: &CodeQuery) -> Result<CodeMatches, StoreError> {
        let query = *query;
        self.readers.read(move |connection| list::orders_with_code(connection, &query)).await
    }

    async fn find_claim(
        &self,
        account_id: AccountId,
        restaurant_id: RestaurantId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        let key = key.clone();
        self.readers
            .read(move |connection| claims::find_in(connection, account_id, Some(restaurant_id), &key))
            .await
    }

    async fn delete_expired_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let claimed_before = clamped_nanoseconds(claimed_before);
        self.writer
            .write(move |transaction| commit::delete_expired_keys(transaction, claimed_before, limit))
            .await
    }
}
