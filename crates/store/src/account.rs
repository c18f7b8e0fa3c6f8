//! Accounts, and which of them work for which restaurant.

mod edit;

use std::fmt;

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, order::Version, text::Name};

pub use edit::{AccountChange, AccountEdit, AccountEditOutcome, EditedAccount};

use crate::{
    ClaimAt, ClaimOutcome, ClaimRecord, Credential, IdempotencyKey, PageSize, Resource, Revocation,
    RevocationRevision, StoreError, Subject, UnderKey,
};

/// Keeps accounts and memberships.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Registers an account, unless its e-mail address has one, or what the caller `by` proved is void. The key is in the
    /// scope of the claim's account alone, and is claimed together with the registration.
    async fn create_account_under(
        &self,
        account: &Account,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError>;

    /// Registers an account without a key, for nobody in particular.
    async fn create_account(&self, account: &Account) -> Result<AccountCreation, StoreError> {
        match self.create_account_under(account, None, None).await? {
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

    /// A page of accounts behind the given one, by id: all, or those with this role. Deleted ones are among them.
    async fn accounts(
        &self,
        role: Option<Role>,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError>;

    /// Changes an account, with all that follows ([`AccountEdit::applied_to`]), as one. The conditions are checked in this
    /// order, and the first that fails is the outcome: the claim, the caller, the account, its version, that an enabled
    /// admin is left. A change that changes nothing is `Done`; it writes nothing and claims no key. The key is in the scope
    /// of the claim's account alone.
    async fn edit_account_under(
        &self,
        edit: &AccountEdit,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError>;

    /// Changes an account without a key.
    async fn edit_account(&self, edit: &AccountEdit) -> Result<AccountEditOutcome, StoreError> {
        match self.edit_account_under(edit, None).await? {
            UnderKey::Ended(outcome) => Ok(outcome),
            UnderKey::Claimed(_) => {
                Err(StoreError::Corrupt("a key was claimed that was not given".to_owned()))
            }
        }
    }

    /// Ends everything that was issued to a subject, also to one that is in no store. Returns the revision; `None` if what
    /// the caller `by` proved is void.
    async fn revoke(
        &self,
        subject: Subject,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError>;

    /// A page of the last revocations of all subjects behind a revision, in their order. A subject that is revoked again
    /// moves to its new revision.
    async fn revocations(&self, after: RevocationRevision, limit: u32)
    -> Result<Vec<Revocation>, StoreError>;

    /// The revision of a subject's last revocation; 0 if there was none.
    async fn revocation(&self, subject: Subject) -> Result<RevocationRevision, StoreError>;

    /// Makes an account a member of a restaurant's staff, or ends that. The caller has seen that both exist.
    async fn set_membership(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
        by: Option<Credential>,
    ) -> Result<MembershipChange, StoreError>;

    /// Makes an account a member of a restaurant's staff, for nobody in particular.
    async fn add_member(&self, restaurant_id: RestaurantId, account_id: AccountId) -> Result<(), StoreError> {
        self.set_membership(restaurant_id, account_id, true, None).await.map(drop)
    }

    /// Ends a membership, for nobody in particular. `false` when there was none.
    async fn remove_member(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<bool, StoreError> {
        let change = self.set_membership(restaurant_id, account_id, false, None).await?;
        Ok(change == MembershipChange::Done)
    }

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
    /// Rises with every change.
    pub version: Version,
    /// Since when nobody can use it.
    pub disabled_at: Option<Timestamp>,
    /// Since when it is deleted: disabled, and without address, name and password.
    pub deleted_at: Option<Timestamp>,
    /// The revision of its last revocation; 0 if there was none. A token states it.
    pub revocation: RevocationRevision,
}

impl Account {
    /// Whether it can administrate.
    pub fn is_enabled_admin(&self) -> bool {
        self.role == Role::Admin && self.disabled_at.is_none()
    }
}

/// How a change of a membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// It is as asked now, and was not before.
    Done,
    /// It was so before.
    Unchanged,
    /// What the caller proved is void.
    CallerRevoked,
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
    /// What the caller proved is void.
    CallerRevoked,
}
