//! Revocations: they make earlier credentials of a subject void.
//!
//! A revocation names a subject and has a revision. A credential states the revision as of which it was issued. It is void if its
//! subject has a later revocation. Servers follow the revocations by revision. An API key and a session end with their own revocation
//! and with that of their account. To add a kind of subject, add a variant to [`Subject`].

use dabba_domain::{AccountId, ApiKeyId, Role, SessionId, Timestamp};
use uuid::Uuid;

/// Number of a revocation. Increases in commit order; 0 precedes the first revocation.
pub type RevocationRevision = i64;

/// Returns the minimum revision of a revocation at this time: the microseconds since 1970. A plain counter would go back when a
/// database is restored from a backup, or when a standby without the last commits takes over. Credentials issued before would
/// then survive later revocations, and running servers would not read these revocations.
pub fn least_revision(at: Timestamp) -> RevocationRevision {
    at.as_microsecond()
}

/// Owner of the credentials that a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The tokens, API keys and sessions of an account.
    Account(AccountId),
    /// An API key.
    ApiKey(ApiKeyId),
    /// A session. Its revocation is deleted with the session, some time after the session has ended.
    Session(SessionId),
}

impl Subject {
    const ACCOUNT: &'static str = "account";
    const API_KEY: &'static str = "api_key";
    const SESSION: &'static str = "session";

    /// Returns the kind of the subject as stores keep it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => Self::ACCOUNT,
            Self::ApiKey(_) => Self::API_KEY,
            Self::Session(_) => Self::SESSION,
        }
    }

    /// Returns the id of the subject.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
            Self::ApiKey(id) => id.uuid(),
            Self::Session(id) => id.uuid(),
        }
    }

    /// Parses a stored subject; `None` for a kind that only a newer version of Dabba knows.
    pub fn from_stored(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            Self::ACCOUNT => AccountId::from_uuid(id).ok().map(Self::Account),
            Self::API_KEY => ApiKeyId::from_uuid(id).ok().map(Self::ApiKey),
            Self::SESSION => SessionId::from_uuid(id).ok().map(Self::Session),
            _ => None,
        }
    }
}

/// The latest revocation of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Revision of the revocation. Credentials with a lower revision are void.
    pub revision: RevocationRevision,
    /// The subject; `None` for a kind that only a newer version of Dabba knows.
    pub subject: Option<Subject>,
    /// Time of the revocation.
    pub revoked_at: Timestamp,
}

/// Content of a caller's token, API key or session. A write that must not succeed after a revocation checks the
/// credential in its own transaction.
///
/// A credential of an account that no store knows is accepted: the operator signs tokens for such accounts, and revokes them by
/// account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub account_id: AccountId,
    /// The account's role.
    pub role: Role,
    /// Revision of the account's latest revocation when the credential was issued.
    pub as_of: RevocationRevision,
    /// The API key or the session; `None` for a signed token, which no store knows.
    pub kept: Option<KeptCredential>,
}

/// The use of a credential that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptCredential {
    /// The credential. It is void if it is unknown, revoked, or belongs to another account.
    pub id: CredentialId,
    /// Time of the use. An API key that has expired at this time is void. The caller has checked the expiry of a session, because
    /// the store learns later than the caller that a use has extended the session.
    pub at: Timestamp,
}

/// Id of a credential that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialId {
    /// An API key of a service account.
    ApiKey(ApiKeyId),
    /// A session of a person.
    Session(SessionId),
}

impl CredentialId {
    /// Returns the subject whose revocation ends only this credential.
    pub const fn subject(self) -> Subject {
        match self {
            Self::ApiKey(id) => Subject::ApiKey(id),
            Self::Session(id) => Subject::Session(id),
        }
    }
}
