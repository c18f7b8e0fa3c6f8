//! Orders: sent to the restaurant's shard, or gathered from all shards.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{
    AccountId, OrderId, RestaurantId, Timestamp,
    order::{Order, OrderStatus, RecordedEvent, Version},
};
use futures::future::{join_all, try_join_all};

use super::{gather::most_severe, router::ShardedStore};
use crate::{
    ClaimRecord, CodeMatches, CodeQuery, Commit, CommitOutcome, IdempotencyKey, OrderCursor, OrderPage,
    OrderQuery, OrderScope, OrderStore, StoreError, check_order_count,
};

#[async_trait]
impl OrderStore for ShardedStore {
    async fn commit_shared(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        // Checks all commits before the first shard writes: a defect refuses the whole batch.
        batch.iter().try_for_each(|commit| commit.check())?;
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let bucket = first.restaurant_id.bucket();
        let shard = self.map.shard_of(bucket);
        if batch.iter().all(|commit| self.map.shard_of(commit.restaurant_id.bucket()) == shard) {
            let shard = self.shard(bucket);
            return shard.answer(shard.store().commit_shared(batch)).await;
        }
        self.commit_to_several(batch).await
    }

    async fn order(&self, id: OrderId) -> Result<Option<Order>, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().order(id)).await
    }

    /// Requests each order from the shard that its id determines. Fails if one of these shards fails.
    async fn orders(&self, ids: &[OrderId]) -> Result<Vec<Order>, StoreError> {
        check_order_count(ids)?;
        let mut of_shards: Vec<Vec<OrderId>> = vec![Vec::new(); self.shards.len()];
        for id in ids {
            of_shards[self.map.shard_of(id.bucket())].push(*id);
        }
        let asked = self.shards.iter().zip(&of_shards).filter(|(_, ids)| !ids.is_empty());
        let answers = asked.map(|(shard, ids)| shard.answer(shard.store().orders(ids)));
        Ok(try_join_all(answers).await?.concat())
    }

    async fn open_orders(
        &self,
        restaurant_id: RestaurantId,
        statuses: &[OrderStatus],
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<Order>, StoreError> {
        let shard = self.shard(restaurant_id.bucket());
        shard.answer(shard.store().open_orders(restaurant_id, statuses, before, limit)).await
    }

    async fn events(
        &self,
        id: OrderId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let shard = self.shard(id.bucket());
        shard.answer(shard.store().events(id, after, limit)).await
    }

    async fn list_orders(&self, query: &OrderQuery) -> Result<OrderPage, StoreError> {
        if let OrderScope::Restaurant(id) = query.scope {
            let shard = self.shard(id.bucket());
            return shard.answer(shard.store().list_orders(query)).await;
        }
        let (pages, is_any_missing) = self.ask_all(|store| store.list_orders(query)).await.pages()?;
        let mut merged = merge_pages(pages, query.limit.get() as usize);
        merged.incomplete |= is_any_missing;
        Ok(merged)
    }

    async fn orders_with_code(&self, query: &CodeQuery) -> Result<CodeMatches, StoreError> {
        let (found, is_any_missing) = self.ask_all(|store| store.orders_with_code(query)).await.pages()?;
        let mut merged = CodeMatches::merge(found, query.limit);
        merged.incomplete |= is_any_missing;
        Ok(merged)
    }

    async fn find_claim(
        &self,
        account_id: AccountId,
        restaurant_id: RestaurantId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        let shard = self.shard(restaurant_id.bucket());
        shard.answer(shard.store().find_claim(account_id, restaurant_id, key)).await
    }

    async fn delete_expired_keys(&self, claimed_before: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let delete = |store, limit| OrderStore::delete_expired_keys(store, claimed_before, limit);
        let deleted = self.distribute(limit, delete, |count| *count).await?;
        Ok(deleted.into_iter().sum())
    }
}

impl ShardedStore {
    /// Commits a batch that spans several shards, with one transaction per shard.
    ///
    /// If one shard fails, the writes of the others stay, so the outcome of the whole batch is then unknown.
    /// A caller that needs precise outcomes forms batches of one shard each.
    async fn commit_to_several(&self, batch: Vec<Arc<Commit>>) -> Result<Vec<CommitOutcome>, StoreError> {
        let size = batch.len();
        let mut parts: Vec<(Vec<usize>, Vec<Arc<Commit>>)> = vec![Default::default(); self.shards.len()];
        for (place, commit) in batch.into_iter().enumerate() {
            let (places, part) = &mut parts[self.map.shard_of(commit.restaurant_id.bucket())];
            places.push(place);
            part.push(commit);
        }
        let parts =
            self.shards.iter().zip(parts).enumerate().filter(|(_, (_, (places, _)))| !places.is_empty());
        let answers = join_all(parts.map(async |(index, (shard, (places, part)))| {
            let answer = shard.answer(shard.store().commit_shared(part)).await;
            let answer = answer.and_then(|outcomes| {
                if outcomes.len() == places.len() {
                    return Ok(outcomes);
                }
                // Some commits may be written; which ones is unknown.
                let text = format!("{} outcomes for {} commits", outcomes.len(), places.len());
                Err(shard.named(StoreError::OutcomeUnknown(text)))
            });
            (index, places, answer)
        }))
        .await;
        let mut outcomes: Vec<Option<CommitOutcome>> = vec![None; size];
        let mut failures = Vec::new();
        for (index, places, answer) in answers {
            match answer {
                Ok(of_part) => {
                    for (place, outcome) in places.into_iter().zip(of_part) {
                        outcomes[place] = Some(outcome);
                    }
                }
                Err(error) => failures.push((index, error)),
            }
        }
        let may_be_written = outcomes.contains(&Some(CommitOutcome::Committed))
            || failures.iter().any(|(_, error)| matches!(error, StoreError::OutcomeUnknown(_)));
        match outcomes.into_iter().collect::<Option<Vec<_>>>() {
            Some(outcomes) => Ok(outcomes),
            None if may_be_written => {
                let error = most_severe(failures);
                Err(StoreError::OutcomeUnknown(format!(
                    "part of the batch was or may have been written: {error}"
                )))
            }
            None => Err(most_severe(failures)),
        }
    }
}

/// Merges the pages of all shards into one page. All pages begin after the same position and have the full
/// limit each, so the merged page misses nothing.
fn merge_pages(pages: Vec<OrderPage>, limit: usize) -> OrderPage {
    let is_more_there = pages.iter().any(|page| page.next.is_some());
    let incomplete = pages.iter().any(|page| page.incomplete);
    let (orders, is_more_here) = merge(pages.into_iter().map(|page| page.orders).collect(), limit, |order| {
        std::cmp::Reverse(order.id)
    });
    let next = (is_more_here || is_more_there).then(|| orders.last().map(OrderCursor::after)).flatten();
    OrderPage { orders, next, incomplete }
}

/// Returns the first `limit` entries of several lists in their common order, and whether there are more.
pub(super) fn merge<T, K: Ord>(lists: Vec<Vec<T>>, limit: usize, key: impl Fn(&T) -> K) -> (Vec<T>, bool) {
    let mut merged: Vec<T> = lists.into_iter().flatten().collect();
    // The sort is stable, and fast on a concatenation of sorted runs.
    merged.sort_by_key(key);
    let is_more = merged.len() > limit;
    merged.truncate(limit);
    (merged, is_more)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Proves that reading merged pages of any size returns the lists of all shards as one list.
        #[test]
        fn merged_pages_are_the_pages_of_one_list(
            entries in proptest::collection::btree_map(0_u32..1_000, 0_usize..5, 0..80),
            limit in 1_usize..12,
        ) {
            let whole: Vec<u32> = entries.keys().copied().collect();
            let mut read: Vec<u32> = Vec::new();
            loop {
                let after = read.last().copied();
                // The page of a shard: at most `limit` entries after the position.
                let of_shard = |shard: usize| -> Vec<u32> {
                    let mine = entries.iter().filter(|(_, owner)| **owner == shard).map(|(entry, _)| *entry);
                    mine.filter(|entry| after.is_none_or(|after| *entry > after)).take(limit).collect()
                };
                let is_more_there = |page: &Vec<u32>| {
                    page.len() == limit && entries.keys().any(|entry| *entry > page[limit - 1])
                };
                let pages: Vec<Vec<u32>> = (0..5).map(of_shard).collect();
                let is_more_there = pages.iter().any(is_more_there);
                let (page, is_more_here) = merge(pages, limit, |entry| *entry);
                let rest = &whole[read.len()..];
                prop_assert_eq!(&page, &rest[..rest.len().min(limit)]);
                read.extend(page);
                prop_assert_eq!(is_more_here || is_more_there, read.len() < whole.len());
                if read.len() == whole.len() {
                    break;
                }
            }
        }
    }
}
