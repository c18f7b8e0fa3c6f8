//! Accounts and memberships: all on the directory.

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, order::Version};

use super::router::ShardedStore;
use crate::{
    Account, AccountCreation, AccountStore, ClaimAt, ClaimOutcome, ClaimRecord, IdempotencyKey, PageSize,
    Resource, StoreError, UnderKey,
};

#[async_trait]
impl AccountStore for ShardedStore {
    async fn create_account_under(
        &self,
        account: &Account,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().create_account_under(account, claim)).await
    }

    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().claim_for_account(claim, resource, version)).await
    }

    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().find_account_claim(account_id, key)).await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().account(id)).await
    }

    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().account_by_email(email)).await
    }

    async fn add_member(&self, restaurant_id: RestaurantId, account_id: AccountId) -> Result<(), StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().add_member(restaurant_id, account_id)).await
    }

    async fn remove_member(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<bool, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().remove_member(restaurant_id, account_id)).await
    }

    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().members(restaurant_id, after, limit)).await
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        let directory = self.directory_shard();
        directory.answer(directory.store().memberships(account_id)).await
    }
}
