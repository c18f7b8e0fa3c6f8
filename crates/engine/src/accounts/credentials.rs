//! The credentials that the directory keeps: API keys and sessions.
//!
//! A credential is read from the directory once and cached: what is read never changes, except that the credential is revoked and
//! that a session expires later with each use. Revocations are followed as those of tokens ([`super::revoked`]). So a cached
//! credential works while the directory is down, as long as tokens do. Secrets that the directory does not know are cached, too,
//! apart from the known ones, so that guesses evict no known credential.
//!
//! The times of uses are collected in memory and written by a background part ([`super::uses`]).

use std::{hash::Hash, sync::Arc, time::Duration};

use dabba_domain::AccountId;
use dabba_store::{CredentialId, CredentialRevocation, SecretHash, StoreError};
use moka::{policy::EvictionPolicy, sync::Cache};

use super::Accounts;
use crate::{Error, Principal, turns::Turns, writing::run_to_completion};

/// Time for which an unused credential stays cached.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Maximum number of cached secrets of a kind that the directory does not know.
const MAX_UNKNOWN: u64 = 50_000;
/// Time for which a secret stays cached as unknown. A new secret is never among them: nobody knows it before the directory has it.
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

/// The cached credentials of a kind, by the hashes of their secrets.
pub(super) struct CachedCredentials<F> {
    known: Cache<SecretHash, F>,
    unknown: Cache<SecretHash, ()>,
    reads: Turns<SecretHash>,
}

/// Returns a cache from which unused entries are evicted. It is of the kind that never waits: with the other kind, housekeeping
/// wakes the calling task, at real times.
pub(super) fn cache<K, V>(max_count: u64) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder()
        .max_capacity(max_count)
        .eviction_policy(EvictionPolicy::lru())
        .time_to_idle(KEPT_FOR)
        .build()
}

impl<F: Clone + Send + Sync + 'static> CachedCredentials<F> {
    pub(super) fn new(max_known: u64) -> Self {
        Self {
            known: cache(max_known),
            unknown: Cache::builder().max_capacity(MAX_UNKNOWN).time_to_live(UNKNOWN_FOR).build(),
            reads: Turns::default(),
        }
    }

    /// Returns the cached result of a search: the credential, or that there is none. `None` if the credential must be
    /// [read](Self::read), because it is not cached or `is_stale`.
    #[expect(clippy::option_option, reason = "a credential is not cached, or cached as absent, or cached")]
    pub(super) fn get(&self, hash: &SecretHash, is_stale: impl FnOnce(&F) -> bool) -> Option<Option<F>> {
        match self.known.get(hash) {
            Some(found) => (!is_stale(&found)).then_some(Some(found)),
            None => self.unknown.get(hash).map(|()| None),
        }
    }

    /// Searches the directory, once for all concurrent requests, and caches the result. `cached` returns the
    /// [cached result](Self::get). `None` if there is no such credential.
    pub(super) async fn read(
        &self,
        hash: SecretHash,
        cached: impl FnOnce() -> Option<Option<F>>,
        search: impl Future<Output = Result<Option<F>, StoreError>>,
    ) -> Result<Option<F>, StoreError> {
        let read = async {
            if let Some(cached) = cached() {
                // Another request has read the credential in the meantime.
                return Ok(cached);
            }
            let found = search.await?;
            if let Some(found) = &found {
                self.known.insert(hash, found.clone());
            } else {
                self.known.invalidate(&hash);
                self.unknown.insert(hash, ());
            }
            Ok(found)
        };
        self.reads.run(hash, read).await
    }
}

impl Accounts {
    /// Revokes a credential of an account. A credential that is already revoked does not change. The caller has checked the rights of
    /// `by`; it is absent if the credential ends itself.
    pub(super) async fn revoke_credential(
        &self,
        by: Option<&Principal>,
        account_id: AccountId,
        id: CredentialId,
    ) -> Result<(), Error> {
        let (store, revocations, at) =
            (Arc::clone(&self.store), Arc::clone(&self.revocations), self.clock.now());
        let by = by.map(|principal| principal.credential(at));
        run_to_completion(async move {
            match store.revoke_credential(account_id, id, by, at).await? {
                CredentialRevocation::Done(revision) => {
                    revocations.note(id.subject(), revision, at);
                    Ok(())
                }
                CredentialRevocation::Unchanged => Ok(()),
                CredentialRevocation::NotFound => Err(Error::NotFound(match id {
                    CredentialId::ApiKey(_) => "API key",
                    CredentialId::Session(_) => "session",
                })),
                CredentialRevocation::CallerRevoked => Err(Error::TokenRevoked),
            }
        })
        .await
    }
}
