//! Accounts and memberships: all on the directory.

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId};

use super::router::ShardedStore;
use crate::{Account, AccountCreation, AccountStore, PageSize, StoreError};

#[async_trait]
impl AccountStore for ShardedStore {
    async fn create_account(&self, account: &Account) -> Result<AccountCreation, StoreError> {
        let directory = self.directory();
        directory.answer(directory.store().create_account(account)).await
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let directory = self.directory();
        directory.answer(directory.store().account(id)).await
    }

    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        let directory = self.directory();
        directory.answer(directory.store().account_by_email(email)).await
    }

    async fn add_member(&self, restaurant_id: RestaurantId, account_id: AccountId) -> Result<(), StoreError> {
        let directory = self.directory();
        directory.answer(directory.store().add_member(restaurant_id, account_id)).await
    }

    async fn remove_member(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<bool, StoreError> {
        let directory = self.directory();
        directory.answer(directory.store().remove_member(restaurant_id, account_id)).await
    }

    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError> {
        let directory = self.directory();
        directory.answer(directory.store().members(restaurant_id, after, limit)).await
    }

    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError> {
        let directory = self.directory();
        directory.answer(directory.store().memberships(account_id)).await
    }
}
