//! Revocations: from when on what was issued to someone is void.
//!
//! A revocation names a subject and has a revision. A credential states the revision as of which it was issued, and
//! is void if its subject has a later revocation. Servers follow the revocations by their revision. Accounts are the subjects so
//! far. To add a kind, such as API keys: a variant of [`Subject`].

use dabba_domain::{AccountId, Role, Timestamp};
use uuid::Uuid;

/// The number of a revocation. Ascends in the order of the commits; 0 precedes the first one.
pub type RevocationRevision = i64;

/// The least revision of a revocation at this time: the microseconds since 1970. A counter alone would go back when a database is
/// restored from a backup or a standby takes over that lacks the last commits; what was issued before would survive revocations that
/// follow, and running servers would not read them.
pub fn least_revision(at: Timestamp) -> RevocationRevision {
    at.as_microsecond()
}

/// Whose credentials a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The tokens of an account.
    Account(AccountId),
}

impl Subject {
    const ACCOUNT: &'static str = "account";

    /// The kind, as stores keep it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => Self::ACCOUNT,
        }
    }

    /// The id.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Account(id) => id.uuid(),
        }
    }

    /// Reads a stored subject; `None` for a kind that only a newer version knows.
    pub fn from_stored(kind: &str, id: Uuid) -> Option<Self> {
        match kind {
            Self::ACCOUNT => AccountId::from_uuid(id).ok().map(Self::Account),
            _ => None,
        }
    }
}

/// The last revocation of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What was issued at a lower revision is void.
    pub revision: RevocationRevision,
    /// Whose credentials; `None` for a kind that only a newer version knows.
    pub subject: Option<Subject>,
    /// When.
    pub revoked_at: Timestamp,
}

/// What a caller's token states. A write that must not follow a revocation checks it in its own transaction.
///
/// An account that is in no store passes: the operator signs tokens for such accounts, and revokes them by their id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub account_id: AccountId,
    /// Its role.
    pub role: Role,
    /// The revision of the account's last revocation when the token was issued.
    pub as_of: RevocationRevision,
}
