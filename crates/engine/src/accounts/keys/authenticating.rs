//! Finding the caller of a request by its API key.
//!
//! A key is read from the directory once and cached: what is read never changes, except that the key is revoked, and
//! revocations are followed as those of tokens ([`super::super::revoked`]). So a cached key works while the directory is down,
//! as long as tokens do. Keys that the directory does not know are cached, too, apart from the known ones, so that guesses
//! evict no known key.
//!
//! The times of uses are collected in memory and written by a background part, so no request waits for them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use dabba_domain::{ApiKeyId, Timestamp};
use dabba_store::{Account, AccountHolder, ApiKey, ApiKeyHash, MAX_KEY_USES, Need, Store, StoreError};
use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::time::{MissedTickBehavior, interval};

use super::{super::Accounts, ApiKeySecret};
use crate::{
    Error, Principal, Scope, Scopes,
    condition::{Condition, Transition},
    turns::Turns,
};

/// Maximum number of cached keys.
const MAX_KNOWN: u64 = 50_000;
/// Time for which an unused key stays cached.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Maximum number of cached keys that the directory does not know.
const MAX_UNKNOWN: u64 = 50_000;
/// Time for which a key stays cached as unknown. A new key is never among them: nobody knows it before it is created.
const UNKNOWN_FOR: Duration = Duration::from_mins(10);
/// Minimum time between two recorded uses of a key.
const USE_INTERVAL_SECONDS: i64 = 60;
/// Maximum number of uses that wait to be written. Beyond it, uses are not recorded.
const MAX_PENDING_USES: usize = 50_000;
/// Minimum interval at which uses are written.
const MIN_WRITE_INTERVAL: Duration = Duration::from_millis(1);

/// Outcome of a request with an API key, for the metrics.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum KeyUse {
    /// The key is valid.
    Accepted,
    /// The text is not a key: it is incomplete or has a typo.
    Malformed,
    /// The key is unknown.
    Unknown,
    /// The key has expired.
    Expired,
    /// The key or its account is revoked.
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
                api_key: Some(key.id),
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
    known: Cache<ApiKeyHash, FoundKey>,
    unknown: Cache<ApiKeyHash, ()>,
    reads: Turns<ApiKeyHash>,
    pending: Mutex<HashMap<ApiKeyId, Timestamp>>,
    write_interval: Duration,
}

impl ApiKeys {
    pub(crate) fn new(write_interval: Duration) -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(MAX_KNOWN)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KEPT_FOR)
                .build(),
            unknown: Cache::builder().max_capacity(MAX_UNKNOWN).time_to_live(UNKNOWN_FOR).build(),
            reads: Turns::default(),
            pending: Mutex::default(),
            write_interval: write_interval.max(MIN_WRITE_INTERVAL),
        }
    }

    /// Reads a key from the directory, and caches the result.
    async fn read(
        &self,
        hash: ApiKeyHash,
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
        let (recorded, second) = (found.recorded.load(Ordering::Relaxed), now.as_second());
        let is_due = second.saturating_sub(recorded) >= USE_INTERVAL_SECONDS;
        // Of concurrent requests, one records.
        if !is_due
            || found
                .recorded
                .compare_exchange(recorded, second, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < MAX_PENDING_USES {
            pending.insert(found.id, now);
        }
    }

    /// Returns uses to write. They stay pending until they are written, so that another caller of [`Self::write_uses`]
    /// does not take them for written.
    fn pending(&self) -> Vec<(ApiKeyId, Timestamp)> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut uses: Vec<_> = pending.iter().take(MAX_KEY_USES).map(|(id, at)| (*id, *at)).collect();
        drop(pending);
        // In one order, so that concurrent writes of the same keys wait for each other and do not deadlock.
        uses.sort_unstable();
        uses
    }

    /// Removes uses that are written. A later use of the same key stays.
    fn remove_written(&self, uses: &[(ApiKeyId, Timestamp)]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in uses {
            if pending.get(id) == Some(at) {
                pending.remove(id);
            }
        }
    }

    /// Writes all pending uses.
    async fn write_uses(&self, store: &dyn Store) -> Result<(), StoreError> {
        // One round more than the pending uses need, because uses may be added meanwhile.
        for _ in 0..=MAX_PENDING_USES / MAX_KEY_USES {
            let uses = self.pending();
            if uses.is_empty() {
                break;
            }
            store.record_key_uses(&uses).await?;
            self.remove_written(&uses);
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
        (!self.revocations.forgot_since(found.read_at)).then_some(Some(found))
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

    /// Writes the pending uses of keys now. If the directory does not answer, the uses stay pending, and the background
    /// part writes them later.
    pub async fn write_pending_key_uses(&self) {
        if let Err(error) = self.keys.write_uses(&*self.store).await {
            tracing::debug!(%error, "the times of uses of API keys stay pending");
        }
    }

    /// Writes the uses of keys in the background. Runs until the future is dropped.
    pub async fn write_key_uses(self: Arc<Self>) {
        let part = self.supervisor.part("key_use_writer", Need::Helpful);
        self.supervisor.run(&part, || self.write_key_uses_repeatedly()).await;
    }

    async fn write_key_uses_repeatedly(&self) -> Result<(), String> {
        let mut interval = interval(self.keys.write_interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut condition = Condition::default();
        loop {
            interval.tick().await;
            match condition.record(self.keys.write_uses(&*self.store).await) {
                Some(Transition::Failed(error)) => tracing::warn!(
                    %error,
                    "the times of uses of API keys are written when the database that keeps the accounts answers"
                ),
                Some(Transition::Recovered) => {
                    tracing::info!("the times of uses of API keys are written again");
                }
                None => {}
            }
        }
    }
}
