//! Accounts, and which of them work for which restaurant.

use std::fmt;

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, order::Version, text::Name};

use crate::{ClaimAt, ClaimOutcome, ClaimRecord, IdempotencyKey, PageSize, Resource, StoreError, UnderKey};

/// Keeps accounts and memberships.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Registers an account, unless its e-mail address has one. The key is in the scope of the claim's account
    /// alone, and is claimed together with the registration.
    async fn create_account_under(
        &self,
        account: &Account,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError>;

    /// Registers an account without a key.
    async fn create_account(&self, account: &Account) -> Result<AccountCreation, StoreError> {
        match self.create_account_under(account, None).await? {
            UnderKey::Ended(creation) => Ok(creation),
            UnderKey::Claimed(_) => {
                Err(StoreError::Corrupt("a key was claimed that was not given".to_owned()))
            }
        }
    }

    /// Claims a key in the scope of an account alone, for a resource that is created after that, elsewhere.
    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError>;

    /// The record of a key in the scope of an account alone.
    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError>;

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
#[derive(Clone, PartialEq, Eq)]
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

/// Only what identifies the account: the rest is personal data or a secret.
impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, role, .. } = self;
        formatter.debug_struct("Account").field("id", id).field("role", role).finish_non_exhaustive()
    }
}

/// How a registration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreation {
    /// The account exists.
    Created,
    /// The e-mail address has an account.
    EmailTaken,
}
