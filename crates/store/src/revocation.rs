//! Revocations: they make earlier credentials of a subject void.
//!
//! A revocation names a subject and has a revision. A credential states the revision as of which it was issued. It is void if its
//! subject has a later revocation. Servers follow the revocations by revision. Accounts are the only kind of subject so far. To
//! add a kind, such as API keys, add a variant to [`Subject`].

use dabba_domain::{AccountId, Role, Timestamp};
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
    /// The tokens of an account.
    Account(AccountId),
}

impl Subject {
    const ACCOUNT: &'static str = "account";

    /// Returns the kind of the subject as stores keep it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => Self::ACCOUNT,
        }
    }

    /// Returns the id of the subject.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
        }
    }

    /// Parses a stored subject; `None` for a kind that only a newer version of Dabba knows.
    pub fn from_stored(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            Self::ACCOUNT => AccountId::from_uuid(id).ok().map(Self::Account),
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

/// Content of a caller's token. A write that must not succeed after a revocation checks the credential in its own transaction.
///
/// A credential of an account that no store knows is accepted: the operator signs tokens for such accounts, and revokes them by
/// account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub account_id: AccountId,
    /// The account's role.
    pub role: Role,
    /// Revision of the account's latest revocation when the token was issued.
    pub as_of: RevocationRevision,
}
