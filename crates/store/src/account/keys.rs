//! API keys of service accounts.

use async_trait::async_trait;
use dabba_domain::{AccountId, ApiKeyId, Timestamp, text::Name};

use super::{Account, SecretHash};
use crate::{ClaimAt, Credential, PageSize, RevocationRevision, StoreError, UnderKey};

/// Stores API keys. The store knows the hash of a key's secret, and never the secret.
#[async_trait]
pub trait ApiKeyStore: Send + Sync {
    /// Creates a key and claims the idempotency key in the same transaction. The store checks the conditions in this order and
    /// returns the first failure: the claim, the caller `by`, the account, the number of its active keys. The key states the
    /// revision of the account's latest revocation in that transaction, whatever `key.as_of` is.
    async fn create_api_key_under(
        &self,
        new: &NewApiKey,
        by: Option<Credential>,
        claim: Option<ClaimAt<'_>>,
    ) -> Result<UnderKey<ApiKeyCreation>, StoreError>;

    /// Returns the key with this id.
    async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError>;

    /// Returns the key whose secret has this hash, and its account.
    async fn api_key_by_hash(&self, hash: &SecretHash) -> Result<Option<(ApiKey, Account)>, StoreError>;

    /// Returns a page of an account's keys after the given key, ordered by id. Includes revoked and expired keys.
    async fn api_keys(
        &self,
        account_id: AccountId,
        after: Option<ApiKeyId>,
        limit: PageSize,
    ) -> Result<Vec<ApiKey>, StoreError>;

    /// Records the times at which keys were used. A key keeps the latest time; an unknown key is ignored. Accepts at most
    /// [`MAX_KEY_USES`] entries with different ids.
    async fn record_key_uses(&self, uses: &[(ApiKeyId, Timestamp)]) -> Result<(), StoreError>;
}

/// Maximum number of entries of [`ApiKeyStore::record_key_uses`].
pub const MAX_KEY_USES: usize = 1_000;

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The key's id.
    pub id: ApiKeyId,
    /// The service account to which the key belongs.
    pub account_id: AccountId,
    /// The key's name, which an admin chose.
    pub name: Name,
    /// Names of the scopes to which the key is restricted; `None` for all scopes. May contain names that only a newer version of
    /// Dabba knows.
    pub scopes: Option<Vec<String>>,
    /// Revision of the account's latest revocation when the key was created. A later revocation of the account ends the key.
    pub as_of: RevocationRevision,
    /// Time of creation.
    pub created_at: Timestamp,
    /// The admin who created the key. An operator who worked on the database itself has an id without an account.
    pub created_by: AccountId,
    /// Time from which the key is refused, if it expires.
    pub expires_at: Option<Timestamp>,
    /// Time at which the key was revoked, by itself or together with its account.
    pub revoked_at: Option<Timestamp>,
    /// Time of a recent use of the key. It lags behind the latest use by up to a few minutes.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Returns whether the key is revoked: by itself, or by a revocation of its account.
    pub fn is_revoked(&self, account: &Account) -> bool {
        self.revoked_at.is_some() || !account.accepts(self.as_of)
    }

    /// Returns whether the key has expired at this time.
    pub fn is_expired(&self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= at)
    }
}

/// A key to create.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The key.
    pub key: ApiKey,
    /// Hash of its secret.
    pub hash: SecretHash,
    /// Maximum number of active keys of the account, including this one. A key is active until it is revoked or expires.
    pub max_active: u32,
}

/// Outcome of the creation of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiKeyCreation {
    /// The key as stored.
    Created(Box<ApiKey>),
    /// No service account has the id, or the account is deleted.
    NotFound,
    /// The account is disabled.
    Disabled,
    /// The account has the maximum number of active keys.
    TooMany,
    /// The caller's credential is void.
    CallerRevoked,
}

/// Returns the text that stores a key's scopes.
pub fn stored_scopes(scopes: &[String]) -> String {
    scopes.join(" ")
}

/// Returns the scopes of a stored text.
pub fn scopes_of(stored: &str) -> Vec<String> {
    stored.split_ascii_whitespace().map(str::to_owned).collect()
}
