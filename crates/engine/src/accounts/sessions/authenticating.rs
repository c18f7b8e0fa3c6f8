//! Finding the caller of a request by its session.
//!
//! A session is read from the directory once and cached, like an API key ([`super::super::keys`]): revocations are followed, so a
//! cached session works while the directory is down, as long as tokens do. Unlike a key, a session expires later with each use.
//! Each server extends it in memory, and writes the uses in batches. A server that knows a session as expired reads it again,
//! because another server may have extended it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use dabba_domain::{SessionId, Timestamp};
use dabba_store::{
    Account, AccountHolder, CredentialId, MAX_SESSION_USES, SecretHash, Session, SessionUse, Store,
    StoreError,
};
use jiff::SignedDuration;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::{
    super::{
        Accounts,
        uses::{MAX_PENDING_USES, PendingUses, is_use_due},
    },
    SecretToken, session_lifetime,
};
use crate::{Error, KeyUse, Principal, Scopes, turns::Turns};

/// Maximum number of cached sessions.
const MAX_KNOWN: u64 = 100_000;
/// Time for which an unused session stays cached.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Maximum number of cached secrets that the directory does not know.
const MAX_UNKNOWN: u64 = 50_000;
/// Time for which a secret stays cached as unknown. A new one is never among them: nobody knows it before the login.
const UNKNOWN_FOR: Duration = Duration::from_mins(10);
/// Time after the expiry of a session within which another server may still write that it has extended the session.
const EXTENDED_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// Minimum time between two reads of an expired session.
const REREAD_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// A session that exists, as its account's caller. It may be revoked or expired.
#[derive(Clone, Debug)]
pub struct FoundSession {
    /// The caller.
    pub principal: Principal,
    /// The session.
    pub id: SessionId,
    /// Time of the read: later revocations are known by following them.
    pub read_at: Timestamp,
    /// Whether the session was already revoked when it was read.
    pub is_revoked: bool,
    expiry: Expiry,
    /// Time of the last recorded use, in seconds since 1970.
    recorded: Arc<AtomicI64>,
}

/// The expiry of a session as far as this server knows, in milliseconds since 1970. All copies of a session share it.
#[derive(Clone, Debug)]
struct Expiry(Arc<AtomicI64>);

impl Expiry {
    fn at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }

    fn extend(&self, until: Timestamp) {
        self.0.fetch_max(until.as_millisecond(), Ordering::Relaxed);
    }
}

impl FoundSession {
    fn new(session: &Session, account: &Account, read_at: Timestamp, expiry: Expiry) -> Self {
        Self {
            principal: Principal {
                account_id: account.id,
                holder: AccountHolder::Person,
                role: account.role,
                as_of: session.as_of,
                scopes: Scopes::ALL,
                kept: Some(CredentialId::Session(session.id)),
            },
            id: session.id,
            read_at,
            is_revoked: session.is_revoked(account),
            expiry,
            recorded: Arc::new(AtomicI64::new(session.last_used_at.map_or(i64::MIN, Timestamp::as_second))),
        }
    }

    /// Returns the time from which the session is refused, as far as this server knows.
    pub fn expires_at(&self) -> Timestamp {
        self.expiry.at()
    }

    /// Returns whether the session has expired at this time.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at() <= now
    }

    /// Returns whether the session is known as expired, and another server may have extended it.
    fn may_be_extended(&self, now: Timestamp) -> bool {
        self.is_expired(now)
            && self.read_at.duration_since(self.expires_at()) < EXTENDED_WITHIN
            && now.duration_since(self.read_at) >= REREAD_PAUSE
    }
}

/// The cached sessions, and the uses that wait to be written.
pub(crate) struct Sessions {
    /// Of the kind that never waits: with the other kind, housekeeping wakes the calling task, at real times.
    known: Cache<SecretHash, FoundSession>,
    expiries: Cache<SessionId, Expiry>,
    unknown: Cache<SecretHash, ()>,
    reads: Turns<SecretHash>,
    pending: PendingUses<SessionId, SessionUse>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(MAX_KNOWN)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KEPT_FOR)
                .build(),
            expiries: Cache::builder()
                .max_capacity(MAX_KNOWN)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(KEPT_FOR)
                .build(),
            unknown: Cache::builder().max_capacity(MAX_UNKNOWN).time_to_live(UNKNOWN_FOR).build(),
            reads: Turns::default(),
            pending: PendingUses::default(),
        }
    }

    /// Reads a session from the directory, and caches the result.
    async fn read(
        &self,
        hash: SecretHash,
        now: Timestamp,
        store: &dyn Store,
    ) -> Result<Option<FoundSession>, StoreError> {
        let Some((session, account)) = store.session_by_hash(&hash).await? else {
            self.known.invalidate(&hash);
            self.unknown.insert(hash, ());
            return Ok(None);
        };
        // This server may have extended the session and not written it yet, so the later time counts.
        let stored = Expiry(Arc::new(AtomicI64::new(session.expires_at.as_millisecond())));
        let expiry = self.expiries.get(&session.id).unwrap_or(stored);
        expiry.extend(session.expires_at);
        self.expiries.insert(session.id, expiry.clone());
        let found = FoundSession::new(&session, &account, now, expiry);
        self.known.insert(hash, found.clone());
        Ok(Some(found))
    }

    /// Returns whether a session has expired, as far as this server knows. A session that is no longer cached counts as expired.
    pub(in super::super) fn has_expired(&self, id: SessionId, now: Timestamp) -> bool {
        self.expiries.get(&id).is_none_or(|expiry| expiry.at() <= now)
    }

    /// Records a use, and extends the session by it.
    fn record_use(&self, found: &FoundSession, now: Timestamp) {
        if !is_use_due(&found.recorded, now) {
            return;
        }
        let expires_at = now.checked_add(session_lifetime(found.principal.role)).unwrap_or(Timestamp::MAX);
        // A use that is not written must not extend the session on this server alone.
        if self.pending.add(found.id, SessionUse { id: found.id, at: now, expires_at }) {
            found.expiry.extend(expires_at);
        }
    }

    /// Writes all pending uses.
    pub(in super::super) async fn write_uses(&self, store: &dyn Store) -> Result<(), StoreError> {
        // One round more than the pending uses need, because uses may be added meanwhile.
        for _ in 0..=MAX_PENDING_USES / MAX_SESSION_USES {
            let batch = self.pending.batch(MAX_SESSION_USES);
            if batch.is_empty() {
                break;
            }
            let uses: Vec<SessionUse> = batch.iter().map(|(_, used)| *used).collect();
            store.record_session_uses(&uses).await?;
            self.pending.remove_written(&batch);
        }
        Ok(())
    }
}

impl Accounts {
    /// Returns the cached result of a search for a session: the session, or that there is none. `None` if the session must be
    /// [read](Self::read_session).
    pub fn cached_session(&self, secret: &SecretToken) -> Option<Option<FoundSession>> {
        let hash = secret.hash();
        let Some(found) = self.sessions.known.get(&hash) else {
            return self.sessions.unknown.get(&hash).map(|()| None);
        };
        // If the server no longer knows all revocations since the read, the session is read again.
        let is_stale = self.revocations.forgot_since(&found.principal, found.read_at)
            || found.may_be_extended(self.clock.now());
        (!is_stale).then_some(Some(found))
    }

    /// Reads a session from the directory, once for all concurrent requests. `None` if there is none.
    pub async fn read_session(&self, secret: &SecretToken) -> Result<Option<FoundSession>, Error> {
        let hash = secret.hash();
        let read = async {
            match self.cached_session(secret) {
                // Another request has read the session in the meantime.
                Some(cached) => Ok(cached),
                None => self.sessions.read(hash, self.clock.now(), &*self.store).await,
            }
        };
        Ok(self.sessions.reads.run(hash, read).await?)
    }

    /// Counts a request with a session. The use of an accepted session is recorded, and extends it.
    pub fn count_session_use(&self, found: Option<&FoundSession>, outcome: KeyUse) {
        self.metrics.count_session_use(outcome);
        if let (Some(found), KeyUse::Accepted) = (found, outcome) {
            self.sessions.record_use(found, self.clock.now());
        }
    }
}
