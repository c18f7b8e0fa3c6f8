//! Sessions of persons, and one-time links that log a person in.

use async_trait::async_trait;
use dabba_domain::{AccountId, SessionId, Timestamp};

use super::{Account, SecretHash};
use crate::{Credential, PageSize, RevocationRevision, StoreError};

/// Stores sessions and login links. The store knows the hashes of their secrets, and never the secrets.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Creates a session. The store checks the conditions in this order and returns the first failure: the link, if `new` names
    /// one; the account. If the account then has more than `new.max_active` active sessions, those that have been unused for the
    /// longest time are revoked. A link is consumed in the same transaction, so it creates at most one session.
    async fn create_session(&self, new: &NewSession) -> Result<SessionCreation, StoreError>;

    /// Returns the session with this id.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// Returns the session whose secret has this hash, and its account.
    async fn session_by_hash(&self, hash: &SecretHash) -> Result<Option<(Session, Account)>, StoreError>;

    /// Returns a page of an account's sessions after the given session, ordered by id. Includes the ended sessions that are not
    /// deleted yet.
    async fn sessions(
        &self,
        account_id: AccountId,
        after: Option<SessionId>,
        limit: PageSize,
    ) -> Result<Vec<Session>, StoreError>;

    /// Records uses of sessions, which extend their expiry. A session keeps the latest times; an unknown session and a revoked one
    /// are ignored. Accepts at most [`MAX_SESSION_USES`] entries with different ids.
    async fn record_session_uses(&self, uses: &[SessionUse]) -> Result<(), StoreError>;

    /// Deletes at most `limit` sessions that expired before a time, with the revocations of these sessions. Returns the number of
    /// deleted sessions. A running server must no longer accept these sessions.
    async fn delete_expired_sessions(&self, expired_before: Timestamp, limit: u32)
    -> Result<u32, StoreError>;

    /// Creates a login link. The link states the revision of the account's latest revocation in that transaction, whatever
    /// `new.link.as_of` is. If the account then has more than `new.max_open` links, the oldest are deleted.
    async fn create_login_link(
        &self,
        new: &NewLoginLink,
        by: Option<Credential>,
    ) -> Result<LoginLinkCreation, StoreError>;

    /// Returns the login link whose token has this hash, and its account. Includes an expired link that is not deleted yet.
    async fn login_link(&self, hash: &SecretHash) -> Result<Option<(LoginLink, Account)>, StoreError>;

    /// Deletes at most `limit` login links that expired before a time. Returns the number of deleted links.
    async fn delete_expired_login_links(
        &self,
        expired_before: Timestamp,
        limit: u32,
    ) -> Result<u32, StoreError>;
}

/// Maximum number of entries of [`SessionStore::record_session_uses`].
pub const MAX_SESSION_USES: usize = 1_000;

/// A session of a person, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// The account that is logged in.
    pub account_id: AccountId,
    /// Revision of the account's latest revocation when the session was created. A later revocation of the account ends the
    /// session.
    pub as_of: RevocationRevision,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time from which the session is refused. Uses extend it; a revocation sets it to the time of the revocation.
    pub expires_at: Timestamp,
    /// Time of a recent use of the session. It lags behind the latest use by up to a few minutes.
    pub last_used_at: Option<Timestamp>,
    /// Time at which the session was revoked, by itself or together with its account.
    pub revoked_at: Option<Timestamp>,
    /// What the client called itself when it logged in, cut by the caller.
    pub user_agent: Option<String>,
}

impl Session {
    /// Returns whether the session is revoked: by itself, or by a revocation of its account.
    pub fn is_revoked(&self, account: &Account) -> bool {
        self.revoked_at.is_some() || !account.accepts(self.as_of)
    }
}

/// A session to create.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The session. `as_of` is the revision of the account that the caller has authenticated.
    pub session: Session,
    /// Hash of its secret.
    pub hash: SecretHash,
    /// The login link to consume, if a link logs the person in.
    pub link: Option<SecretHash>,
    /// Maximum number of active sessions of the account, including this one. A session is active until it is revoked or expires.
    pub max_active: u32,
}

/// Outcome of the creation of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCreation {
    /// The session exists.
    Created {
        /// The session as stored.
        session: Box<Session>,
        /// The sessions that ended because the account had too many, with the revisions of their revocations.
        ended: Vec<(SessionId, RevocationRevision)>,
    },
    /// The link does not exist, belongs to another account, has expired, or was used.
    NoLink,
    /// The account does not exist, is a service account, is disabled or deleted, or its credentials were revoked since the caller
    /// authenticated it.
    Void,
}

/// The use of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionUse {
    /// The session.
    pub id: SessionId,
    /// Time of the use.
    pub at: Timestamp,
    /// Time until which the use extends the session.
    pub expires_at: Timestamp,
}

/// A link that logs a person in once, without its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginLink {
    /// The account that the link logs in.
    pub account_id: AccountId,
    /// Revision of the account's latest revocation when the link was created. A later revocation of the account ends the link.
    pub as_of: RevocationRevision,
    /// Time of creation.
    pub created_at: Timestamp,
    /// The admin who created the link. An operator who worked on the database itself has an id without an account.
    pub created_by: AccountId,
    /// Time from which the link is refused.
    pub expires_at: Timestamp,
}

/// A login link to create.
#[derive(Clone, Debug)]
pub struct NewLoginLink {
    /// The link.
    pub link: LoginLink,
    /// Hash of its token.
    pub hash: SecretHash,
    /// Maximum number of links of the account, including this one.
    pub max_open: u32,
}

/// Outcome of the creation of a login link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginLinkCreation {
    /// The link as stored.
    Created(LoginLink),
    /// No account has the id, or the account is deleted.
    NotFound,
    /// The account is a service account, which cannot log in.
    Service,
    /// The account is disabled.
    Disabled,
    /// The caller's credential is void.
    CallerRevoked,
}
