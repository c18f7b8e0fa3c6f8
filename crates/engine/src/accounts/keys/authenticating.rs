//! Finding the caller of a request by its API key.
//!
//! A key is read from the directory once and cached: what is read never changes, except that the key is revoked, and
//! revocations are followed as those of tokens ([`super::super::revoked`]). So a cached key works while the directory is down,
//! as long as tokens do. Keys that the directory does not know are cached, too, apart from the known ones, so that guesses
//! evict no known key.
//!
//! The times of uses are collected in memory and written by a background part, so no request waits for them.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use dabba_domain::{ApiKeyId, Timestamp};
use dabba_store::{
    Account, AccountHolder, ApiKey, CredentialId, MAX_KEY_USES, SecretHash, Store, StoreError,
};
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{
    super::{
        Accounts,
        uses::{MAX_PENDING_USES, PendingUses, is_use_due},
    },
    ApiKeySecret,
};
use crate::{Error, Principal, Scope, Scopes, turns::Turns};

/// Maximum number of cached keys.
const MAX_KNOWN: u64 = 50_000;
/// Time for which an unused key stays cached.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Maximum number of cached keys that the directory does not know.
const MAX_UNKNOWN: u64 = 50_000;
/// Time for which a key stays cached as unknown. A new key is never among them: nobody knows it before it is created.
const UNKNOWN_FOR: Duration = Duration::from_mins(10);

/// Outcome of a request with an API key or a session, for the metrics.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum KeyUse {
    /// The credential is valid.
    Accepted,
    /// The text is no credential: it is incomplete or has a typo.
    Malformed,
    /// The credential is unknown.
    Unknown,
    /// The credential has expired.
    Expired,
    /// The credential or its account is revoked.
    Revoked,
}

impl KeyUse {
    /// Every outcome.
    pub(crate) const ALL: [Self; 5] =
        [Self::Accepted, Self::Malformed, Self::Unknown, Self::Expired, Self::Revoked];

    /// Returns the outcome's name in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

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
    /// Of the kind that never waits: with the other kind, housekeeping wakes the calling task, at real times.
    known: Cache<SecretHash, FoundKey>,
    unknown: Cache<SecretHash, ()>,
    reads: Turns<SecretHash>,
    pending: PendingUses<ApiKeyId, Timestamp>,
}

impl ApiKeys {
    pub(crate) fn new() -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(MAX_KNOWN)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KEPT_FOR)
                .build(),
            unknown: Cache::builder().max_capacity(MAX_UNKNOWN).time_to_live(UNKNOWN_FOR).build(),
            reads: Turns::default(),
            pending: PendingUses::default(),
        }
    }

    /// Reads a key from the directory, and caches the result.
    async fn read(
        &self,
        hash: SecretHash,
        now: Timestamp,
        store: &dyn Store,
    ) -> Result<Option<FoundKey>, StoreError> {
        let Some((key, account)) = store.api_key_by_hash(&hash).await? else {
            self.unknown.insert(hash, ());
            return Ok(None);
        };
        let found = FoundKey::new(&key, &account, now);
        self.known.insert(hash, found.clone());
        Ok(Some(found))
    }

    fn record_use(&self, found: &FoundKey, now: Timestamp) {
        if is_use_due(&found.recorded, now) {
            self.pending.add(found.id, now);
        }
    }

    /// Writes all pending uses.
    pub(in super::super) async fn write_uses(&self, store: &dyn Store) -> Result<(), StoreError> {
        // One round more than the pending uses need, because uses may be added meanwhile.
        for _ in 0..=MAX_PENDING_USES / MAX_KEY_USES {
            let uses = self.pending.batch(MAX_KEY_USES);
            if uses.is_empty() {
                break;
            }
            store.record_key_uses(&uses).await?;
            self.pending.remove_written(&uses);
        }
        Ok(())
    }
}

impl Accounts {
    /// Returns the cached result of a search for a key: the key, or that there is none. `None` if the key must be
    /// [read](Self::read_key).
    pub fn cached_key(&self, secret: &ApiKeySecret) -> Option<Option<FoundKey>> {
        let hash = secret.hash();
        let Some(found) = self.keys.known.get(&hash) else {
            return self.keys.unknown.get(&hash).map(|()| None);
        };
        // If the server no longer knows all revocations since the read, the key is read again.
        (!self.revocations.forgot_since(&found.principal, found.read_at)).then_some(Some(found))
    }

    /// Reads a key from the directory, once for all concurrent requests. `None` if there is none.
    pub async fn read_key(&self, secret: &ApiKeySecret) -> Result<Option<FoundKey>, Error> {
        let hash = secret.hash();
        let read = async {
            match self.cached_key(secret) {
                // Another request has read the key in the meantime.
                Some(cached) => Ok(cached),
                None => self.keys.read(hash, self.clock.now(), &*self.store).await,
            }
        };
        Ok(self.keys.reads.run(hash, read).await?)
    }

    /// Counts a request with a key. The use of an accepted key is recorded.
    pub fn count_key_use(&self, found: Option<&FoundKey>, outcome: KeyUse) {
        self.metrics.count_key_use(outcome);
        if let (Some(found), KeyUse::Accepted) = (found, outcome) {
            self.keys.record_use(found, self.clock.now());
        }
    }
}
