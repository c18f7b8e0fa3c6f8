//! Finding the caller of a request by its API key. A key is read once and cached ([`super::super::credentials`]).

use std::sync::{Arc, atomic::AtomicI64};

use dabba_domain::{ApiKeyId, Timestamp};
use dabba_store::{Account, AccountHolder, ApiKey, CredentialId, MAX_KEY_USES, Store, StoreError};

use super::{
    super::{
        Accounts,
        credentials::{CachedCredentials, KeyUse},
        uses::{PendingUses, is_use_due},
    },
    ApiKeySecret,
};
use crate::{Error, Principal, Scope, Scopes};

/// Maximum number of cached keys.
const MAX_KNOWN: u64 = 50_000;

/// A key that exists, as its account's caller. It may be revoked or expired.
#[derive(Clone, Debug)]
pub struct FoundKey {
    /// The caller.
    pub principal: Principal,
    /// Time of the read: later revocations are known by following them.
    pub read_at: Timestamp,
    /// Whether the key was already revoked when it was read.
    pub is_revoked: bool,
    /// Time from which the key is refused, if it expires.
    pub expires_at: Option<Timestamp>,
    id: ApiKeyId,
    /// Time of the last recorded use, in seconds since 1970.
    recorded: Arc<AtomicI64>,
}

impl FoundKey {
    fn new(key: &ApiKey, account: &Account, read_at: Timestamp) -> Self {
        let scopes = key.scopes.as_ref().map_or(Scopes::ALL, |names| {
            // A scope of a newer version allows nothing on this server.
            names.iter().filter_map(|name| Scope::from_name(name)).collect()
        });
        Self {
            principal: Principal {
                account_id: account.id,
                holder: AccountHolder::Service,
                role: account.role,
                as_of: key.as_of,
                scopes,
                kept: Some(CredentialId::ApiKey(key.id)),
            },
            read_at,
            is_revoked: key.is_revoked(account),
            id: key.id,
            expires_at: key.expires_at,
            recorded: Arc::new(AtomicI64::new(key.last_used_at.map_or(i64::MIN, Timestamp::as_second))),
        }
    }

    /// Returns whether the key has expired at this time.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// The cached keys, and the uses that wait to be written.
pub(crate) struct ApiKeys {
    cached: CachedCredentials<FoundKey>,
    pending: PendingUses<ApiKeyId, Timestamp>,
}

impl ApiKeys {
    pub(crate) fn new() -> Self {
        Self { cached: CachedCredentials::new(MAX_KNOWN), pending: PendingUses::default() }
    }

    fn record_use(&self, found: &FoundKey, now: Timestamp) {
        if is_use_due(&found.recorded, now) {
            self.pending.add(found.id, now);
        }
    }

    /// Writes all pending uses.
    pub(in super::super) async fn write_uses(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.pending.write(MAX_KEY_USES, |uses| async move { store.record_key_uses(&uses).await }).await
    }
}

impl Accounts {
    /// Returns the cached result of a search for a key: the key, or that there is none. `None` if the key must be
    /// [read](Self::read_key).
    pub fn cached_key(&self, secret: &ApiKeySecret) -> Option<Option<FoundKey>> {
        // If the server no longer knows all revocations since the read, the key is read again.
        let is_stale = |found: &FoundKey| self.revocations.forgot_since(&found.principal, found.read_at);
        self.keys.cached.get(&secret.hash(), is_stale)
    }

    /// Reads a key from the directory, once for all concurrent requests. `None` if there is none.
    pub async fn read_key(&self, secret: &ApiKeySecret) -> Result<Option<FoundKey>, Error> {
        let hash = secret.hash();
        let search = async {
            let now = self.clock.now();
            let found = self.store.api_key_by_hash(&hash).await?;
            Ok(found.map(|(key, account)| FoundKey::new(&key, &account, now)))
        };
        Ok(self.keys.cached.read(hash, || self.cached_key(secret), search).await?)
    }

    /// Counts a request with a key. The use of an accepted key is recorded.
    pub fn count_key_use(&self, found: Option<&FoundKey>, outcome: KeyUse) {
        self.metrics.count_key_use(outcome);
        if let (Some(found), KeyUse::Accepted) = (found, outcome) {
            self.keys.record_use(found, self.clock.now());
        }
    }
}
