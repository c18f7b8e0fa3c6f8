//! Accounts and their memberships in restaurants.

mod credentials;
mod edit;
mod keys;
mod sessions;

use std::fmt;

use async_trait::async_trait;
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, order::Version, text::Name};

pub use credentials::{CredentialRevocation, SecretHash};
pub use edit::{AccountChange, AccountEdit, AccountEditOutcome, EditedAccount};
pub use keys::{ApiKey, ApiKeyCreation, ApiKeyStore, MAX_KEY_USES, NewApiKey, scopes_of, stored_scopes};
pub use sessions::{
    LoginLink, LoginLinkCreation, MAX_SESSION_USES, NewLoginLink, NewSession, Session, SessionCreation,
    SessionStore, SessionUse,
};

use crate::{
    ClaimAt, ClaimOutcome, ClaimRecord, Credential, CredentialId, IdempotencyKey, PageSize, Resource,
    Revocation, RevocationRevision, StoreError, Subject, UnderKey,
};

/// Stores accounts and memberships.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Registers an account and claims the key in the same transaction. Registers nothing if the e-mail address already has an
    /// account, or if the caller's credential `by` is void. The key's scope is the claim's account alone.
    async fn create_account_under(
        &self,
        account: &Account,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountCreation>, StoreError>;

    /// Registers an account without an idempotency key and without a caller's credential.
    async fn create_account(&self, account: &Account) -> Result<AccountCreation, StoreError> {
        match self.create_account_under(account, None, None).await? {
            UnderKey::Ended(creation) => Ok(creation),
            UnderKey::Claimed(_) => Err(StoreError::Corrupt(
                "the store claimed an idempotency key, but the call had none".to_owned(),
            )),
        }
    }

    /// Claims a key in the scope of an account alone, for a resource that the caller creates afterwards elsewhere.
    async fn claim_for_account(
        &self,
        claim: ClaimAt<'_>,
        resource: &Resource,
        version: Version,
    ) -> Result<ClaimOutcome, StoreError>;

    /// Returns the record of a key in the scope of an account alone.
    async fn find_account_claim(
        &self,
        account_id: AccountId,
        key: &IdempotencyKey,
    ) -> Result<Option<ClaimRecord>, StoreError>;

    /// Returns the account with this id.
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError>;

    /// Returns the account with this e-mail address.
    async fn account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError>;

    /// Returns a page of accounts after the given account, ordered by id: all accounts, or only accounts with this holder and this
    /// role. Includes deleted accounts.
    async fn accounts(
        &self,
        holder: Option<AccountHolder>,
        role: Option<Role>,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError>;

    /// Changes an account and applies all consequences of the change ([`AccountEdit::applied_to`]) atomically. The store checks
    /// the conditions in this order and returns the first failure: the claim, the caller, the account, its version, that an
    /// enabled admin remains. A change without effect is `Done`; the store then writes nothing and claims no key. The key's scope
    /// is the claim's account alone.
    async fn edit_account_under(
        &self,
        edit: &AccountEdit,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<AccountEditOutcome>, StoreError>;

    /// Changes an account without an idempotency key.
    async fn edit_account(&self, edit: &AccountEdit) -> Result<AccountEditOutcome, StoreError> {
        match self.edit_account_under(edit, None).await? {
            UnderKey::Ended(outcome) => Ok(outcome),
            UnderKey::Claimed(_) => Err(StoreError::Corrupt(
                "the store claimed an idempotency key, but the call had none".to_owned(),
            )),
        }
    }

    /// Revokes all credentials of a subject, including a subject that no store knows. Returns the revision of the revocation;
    /// `None` if the caller's credential `by` is void.
    async fn revoke(
        &self,
        subject: Subject,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<Option<RevocationRevision>, StoreError>;

    /// Revokes an API key or a session of an account, and records the revocation of its subject. A session then expires at once. A
    /// credential that is already revoked does not change.
    async fn revoke_credential(
        &self,
        account_id: AccountId,
        id: CredentialId,
        by: Option<Credential>,
        at: Timestamp,
    ) -> Result<CredentialRevocation, StoreError>;

    /// Returns a page of the latest revocation of each subject after a revision, ordered by revision. A subject that is revoked
    /// again moves to its new revision.
    async fn revocations(&self, after: RevocationRevision, limit: u32)
    -> Result<Vec<Revocation>, StoreError>;

    /// Returns the revision of a subject's latest revocation; 0 if there is none.
    async fn revocation(&self, subject: Subject) -> Result<RevocationRevision, StoreError>;

    /// Adds an account to a restaurant's staff, or removes it. The caller has already checked that both exist.
    async fn set_membership(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
        is_member: bool,
        by: Option<Credential>,
    ) -> Result<MembershipChange, StoreError>;

    /// Adds an account to a restaurant's staff without a caller's credential.
    async fn add_member(&self, restaurant_id: RestaurantId, account_id: AccountId) -> Result<(), StoreError> {
        self.set_membership(restaurant_id, account_id, true, None).await.map(drop)
    }

    /// Removes an account from a restaurant's staff without a caller's credential. Returns `false` if there was no membership.
    async fn remove_member(
        &self,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<bool, StoreError> {
        let change = self.set_membership(restaurant_id, account_id, false, None).await?;
        Ok(change == MembershipChange::Done)
    }

    /// Returns a page of a restaurant's staff after the given account, ordered by id.
    async fn members(
        &self,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, StoreError>;

    /// Returns the restaurants whose staff includes an account, ordered by id.
    async fn memberships(&self, account_id: AccountId) -> Result<Vec<RestaurantId>, StoreError>;
}

/// Who uses an account.
///
/// Accounts of both holders have a role, memberships and revocations, which are found by the account's id. Only a person has a
/// password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountHolder {
    /// A person, who logs in.
    Person,
    /// A program, such as a point of sale, which uses API keys: the account is a service account.
    Service,
}

impl AccountHolder {
    /// Returns the holder's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
        }
    }

    /// Returns the holder with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Person, Self::Service].into_iter().find(|holder| holder.as_str() == name)
    }
}

/// Prefix of the stored address of a service account. The stored address has no `@`, so it never equals a real address, and an
/// older server never lets anybody log in with it.
const SERVICE: &str = "service:";

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// Who uses the account.
    pub holder: AccountHolder,
    /// E-mail address that identifies the owner, in lower case. That of a service account and of a deleted account is a text that
    /// is no address; see [`Account::address`].
    pub email: String,
    /// The owner's name.
    pub name: Name,
    /// The account's role.
    pub role: Role,
    /// Hash of the password, as a PHC string; empty if the account has no password.
    pub password_hash: String,
    /// Time of registration.
    pub created_at: Timestamp,
    /// Version; increases with every change.
    pub version: Version,
    /// Time since which the account is disabled, if it is.
    pub disabled_at: Option<Timestamp>,
    /// Time since which the account is deleted, if it is. A deleted account is disabled and has no address, name or password.
    pub deleted_at: Option<Timestamp>,
    /// Revision of the account's latest revocation; 0 if there is none. Tokens of the account state this revision.
    pub revocation: RevocationRevision,
}

impl Account {
    /// Returns a new service account. It has no address and no password.
    pub fn service(id: AccountId, name: Name, role: Role, created_at: Timestamp) -> Self {
        Self {
            id,
            holder: AccountHolder::Service,
            email: format!("{SERVICE}{id}"),
            name,
            role,
            password_hash: String::new(),
            created_at,
            version: 1,
            disabled_at: None,
            deleted_at: None,
            revocation: 0,
        }
    }

    /// Returns the e-mail address; `None` for a service account and a deleted account.
    pub fn address(&self) -> Option<&str> {
        let has_address = self.holder == AccountHolder::Person && self.deleted_at.is_none();
        has_address.then_some(self.email.as_str())
    }

    /// Returns whether the account belongs to an admin who can log in. A service account does not count: it registers no admins.
    pub fn is_enabled_admin(&self) -> bool {
        self.role == Role::Admin && self.holder == AccountHolder::Person && self.disabled_at.is_none()
    }

    /// Returns whether credentials that were issued as of a revision are valid: the account is enabled, and its credentials have
    /// not been revoked since.
    pub const fn accepts(&self, as_of: RevocationRevision) -> bool {
        self.disabled_at.is_none() && self.revocation <= as_of
    }
}

/// Outcome of a change of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// The membership was changed as requested.
    Done,
    /// The membership was already as requested.
    Unchanged,
    /// The caller's credential is void.
    CallerRevoked,
}

/// Shows only the id and the role: the other fields are personal data or secrets.
impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, role, .. } = self;
        formatter.debug_struct("Account").field("id", id).field("role", role).finish_non_exhaustive()
    }
}

/// Outcome of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountCreation {
    /// The account is registered.
    Created,
    /// The e-mail address already has an account.
    EmailTaken,
    /// The caller's credential is void.
    CallerRevoked,
}
