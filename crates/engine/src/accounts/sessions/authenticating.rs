//! Finding the caller of a request by its session.
//!
//! A session is read once and cached, like an API key ([`super::super::credentials`]). Unlike a key, a session expires later with each
//! use. Each server extends it in memory, and writes the uses in batches. A server that knows a session as expired reads it again,
//! because another server may have extended it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use dabba_domain::{SessionId, Timestamp};
use dabba_store::{
    Account, AccountHolder, CredentialId, MAX_SESSION_USES, Session, SessionUse, Store, StoreError,
};
use jiff::SignedDuration;
use moka::sync::Cache;

use super::{
    super::{
        Accounts,
        credentials::{CachedCredentials, KeyUse, cache},
        uses::{PendingUses, is_use_due},
    },
    SecretToken, session_lifetime,
};
use crate::{Error, Principal, Scopes};

/// Maximum number of cached sessions.
const MAX_KNOWN: u64 = 100_000;
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
    cached: CachedCredentials<FoundSession>,
    expiries: Cache<SessionId, Expiry>,
    pending: PendingUses<SessionId, SessionUse>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            cached: CachedCredentials::new(MAX_KNOWN),
            expiries: cache(MAX_KNOWN),
            pending: PendingUses::default(),
        }
    }

    /// Returns the expiry of a session that was read, and caches it. This server may have extended the session and not written it
    /// yet, so the later time counts.
    fn expiry_of(&self, session: &Session) -> Expiry {
        let stored = Expiry(Arc::new(AtomicI64::new(session.expires_at.as_millisecond())));
        let expiry = self.expiries.get(&session.id).unwrap_or(stored);
        expiry.extend(session.expires_at);
        self.expiries.insert(session.id, expiry.clone());
        expiry
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
        let write = |uses: Vec<(SessionId, SessionUse)>| async move {
            let uses: Vec<SessionUse> = uses.into_iter().map(|(_, used)| used).collect();
            store.record_session_uses(&uses).await
        };
        self.pending.write(MAX_SESSION_USES, write).await
    }
}

impl Accounts {
    /// Returns the cached result of a search for a session: the session, or that there is none. `None` if the session must be
    /// [read](Self::read_session).
    pub fn cached_session(&self, secret: &SecretToken) -> Option<Option<FoundSession>> {
        // If the server no longer knows all revocations since the read, the session is read again.
        let is_stale = |found: &FoundSession| {
            self.revocations.forgot_since(&found.principal, found.read_at)
                || found.may_be_extended(self.clock.now())
        };
        self.sessions.cached.get(&secret.hash(), is_stale)
    }

    /// Reads a session from the directory, once for all concurrent requests. `None` if there is none.
    pub async fn read_session(&self, secret: &SecretToken) -> Result<Option<FoundSession>, Error> {
        let hash = secret.hash();
        let search = async {
            let now = self.clock.now();
            let found = self.store.session_by_hash(&hash).await?;
            Ok(found.map(|(session, account)| {
                FoundSession::new(&session, &account, now, self.sessions.expiry_of(&session))
            }))
        };
        Ok(self.sessions.cached.read(hash, || self.cached_session(secret), search).await?)
    }

    /// Counts a request with a session. The use of an accepted session is recorded, and extends it.
    pub fn count_session_use(&self, found: Option<&FoundSession>, outcome: KeyUse) {
        self.metrics.count_session_use(outcome);
        if let (Some(found), KeyUse::Accepted) = (found, outcome) {
            self.sessions.record_use(found, self.clock.now());
        }
    }
}
