//! Accounts, and which of them work for which restaurant.

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, text::Name};

use crate::{PageSize, StoreError};

/// Keeps accounts and memberships.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Registers an account, unless its e-mail address has one.
    async fn create_account(&self, account: &Account) -> Result<AccountCreation, StoreError>;

    /// The account with this id.
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError>;

    /// The account with this e-mail address.
    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError>;

    /// Makes an account a member of a restaurant's staff; nothing happens when it is one. The
    /// caller has seen that both exist.
    async fn add_member(&self, restaurant_id: RestaurantId, account_id: AccountId) -> Result<(), StoreError>;

    /// Ends a membership. `false` when there was none.
    async fn remove_member(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<bool, StoreError>;

    /// A page of a restaurant's staff behind the given account, by id.
    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError>;

    /// The restaurants for which an account works, by id.
    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError>;
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The address by which its owner is known, in lower case.
    pub email: String,
    /// Its owner's name.
    pub name: Name,
    /// What it is for.
    pub role: Role,
    /// The password's hash, as a PHC string.
    pub password_hash: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreation {
    /// The account exists.
    Created,
    /// The e-mail address has an account.
    EmailTaken,
}
