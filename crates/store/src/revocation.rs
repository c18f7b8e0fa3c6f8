//! Revocations: they make earlier credentials of a subject void.
//!
//! A revocation names a subject and has a revision. A credential states the revision as of which it was issued. It is void if its
//! subject has a later revocation. Servers follow the revocations by revision. An API key ends with its own revocation and with that
//! of its account. To add a kind of subject, add a variant to [`Subject`].

use dabba_domain::{AccountId, ApiKeyId, Role, Timestamp};
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
    /// The tokens and API keys of an account.
    Account(AccountId),
    /// An API key.
    ApiKey(ApiKeyId),
}

impl Subject {
    const ACCOUNT: &'static str = "account";
    const API_KEY: &'static str = "api_key";

    /// Returns the kind of the subject as stores keep it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => Self::ACCOUNT,
            Self::ApiKey(_) => Self::API_KEY,
        }
    }

    /// Returns the id of the subject.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
            Self::ApiKey(id) => id.uuid(),
        }
    }

    /// Parses a stored subject; `None` for a kind that only a newer version of Dabba knows.
    pub fn from_stored(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            Self::ACCOUNT => AccountId::from_uuid(id).ok().map(Self::Account),
            Self::API_KEY => ApiKeyId::from_uuid(id).ok().map(Self::ApiKey),
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

/// Content of a caller's token or API key. A write that must not succeed after a revocation checks the credential in its own transaction.
///
/// A credential of an account that no store knows is accepted: the operator signs tokens for such accounts, and revokes them by
/// account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub account_id: AccountId,
    /// The account's role.
    pub role: Role,
    /// Revision of the account's latest revocation when the token or the key was issued.
    pub as_of: RevocationRevision,
    /// The API key, if the credential is one. A key that is unknown, revoked or expired is void.
    pub api_key: Option<ApiKeyUse>,
}

/// The use of an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// The key.
    pub id: ApiKeyId,
    /// Time of the use, with which the expiry of the key is compared.
    pub at: Timestamp,
}
