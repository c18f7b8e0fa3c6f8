//! The use cases of accounts, as methods of the engine. Each calls the method of the part.

use std::sync::Arc;

use dabba_domain::{AccountId, RestaurantId, Timestamp, order::Version};
use dabba_store::{Account, IdempotencyKey, PageSize};

use crate::{
    AccountAnswer, AccountFilter, AccountPatch, Conditional, Engine, Error, NewPassword, Principal,
    Registered, Registration,
};

impl Engine {
    /// Calls [`crate::Accounts::register`].
    pub async fn register(
        &self,
        principal: Option<&Principal>,
        registration: Registration,
    ) -> Result<Account, Error> {
        self.accounts.register(principal, registration).await
    }

    /// Calls [`crate::Accounts::register_under`].
    pub async fn register_under(
        &self,
        principal: Option<&Principal>,
        registration: Registration,
        key: Option<IdempotencyKey>,
    ) -> Result<Registered, Error> {
        self.accounts.register_under(principal, registration, key).await
    }

    /// Calls [`crate::Accounts::authenticate`].
    pub async fn authenticate(&self, email: &str, password: String) -> Result<Account, Error> {
        self.accounts.authenticate(email, password).await
    }

    /// Calls [`crate::Accounts::admit`].
    pub async fn admit(&self, principal: &Principal, issued_at: Timestamp) -> Result<(), Error> {
        self.accounts.admit(principal, issued_at).await
    }

    /// Calls [`crate::Accounts::watch_revocations`].
    pub async fn watch_revocations(self: Arc<Self>) {
        self.accounts.watch_revocations().await;
    }

    /// Calls [`crate::Accounts::own_account`].
    pub async fn own_account(&self, principal: &Principal) -> Result<Account, Error> {
        self.accounts.own_account(principal).await
    }

    /// Calls [`crate::Accounts::account`].
    pub async fn account(&self, principal: &Principal, id: AccountId) -> Result<Account, Error> {
        self.accounts.account(principal, id).await
    }

    /// Calls [`crate::Accounts::accounts`].
    pub async fn accounts(
        &self,
        principal: &Principal,
        filter: AccountFilter,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, Error> {
        self.accounts.accounts(principal, filter, after, limit).await
    }

    /// Calls [`crate::Accounts::change_account`].
    pub async fn change_account(
        &self,
        principal: &Principal,
        id: AccountId,
        patch: AccountPatch,
        conditions: Conditional,
    ) -> Result<AccountAnswer, Error> {
        self.accounts.change_account(principal, id, patch, conditions).await
    }

    /// Calls [`crate::Accounts::set_password`].
    pub async fn set_password(
        &self,
        principal: &Principal,
        id: AccountId,
        new: NewPassword,
        key: Option<IdempotencyKey>,
    ) -> Result<AccountAnswer, Error> {
        self.accounts.set_password(principal, id, new, key).await
    }

    /// Calls [`crate::Accounts::retry_set_password`].
    pub async fn retry_set_password(
        &self,
        principal: &Principal,
        id: AccountId,
        new: NewPassword,
        key: Option<IdempotencyKey>,
    ) -> Result<AccountAnswer, Error> {
        self.accounts.retry_set_password(principal, id, new, key).await
    }

    /// Calls [`crate::Accounts::revoke_tokens`].
    pub async fn revoke_tokens(
        &self,
        principal: &Principal,
        id: AccountId,
        key: Option<IdempotencyKey>,
    ) -> Result<bool, Error> {
        self.accounts.revoke_tokens(principal, id, key).await
    }

    /// Calls [`crate::Accounts::delete_account`].
    pub async fn delete_account(
        &self,
        principal: &Principal,
        id: AccountId,
        expected: Option<Vec<Version>>,
    ) -> Result<(), Error> {
        self.accounts.delete_account(principal, id, expected).await
    }

    /// Calls [`crate::Accounts::add_member`].
    pub async fn add_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<Account, Error> {
        self.accounts.add_member(principal, restaurant_id, account_id).await
    }

    /// Calls [`crate::Accounts::remove_member`].
    pub async fn remove_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<(), Error> {
        self.accounts.remove_member(principal, restaurant_id, account_id).await
    }

    /// Calls [`crate::Accounts::members`].
    pub async fn members(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, Error> {
        self.accounts.members(principal, restaurant_id, after, limit).await
    }

    /// Calls [`crate::Accounts::memberships`].
    pub async fn memberships(&self, account_id: AccountId) -> Result<Arc<[RestaurantId]>, Error> {
        self.accounts.memberships(account_id).await
    }
}
