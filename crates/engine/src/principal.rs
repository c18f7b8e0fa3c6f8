//! Callers of use cases.

use dabba_domain::{AccountId, Role};
use dabba_store::{Credential, RevocationRevision};

/// Caller of a use case: an account and its role, as stated by a verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The account.
    pub account_id: AccountId,
    /// The account's role.
    pub role: Role,
    /// The revision of the account's last revocation when the token was issued.
    pub as_of: RevocationRevision,
}

impl Principal {
    /// Returns a caller whose account was never revoked, or has no account in the store (an operator's token).
    pub const fn new(account_id: AccountId, role: Role) -> Self {
        Self { account_id, role, as_of: 0 }
    }

    /// Returns the credential that the store checks in a write that a revocation must prevent.
    pub(crate) const fn credential(&self) -> Credential {
        let Self { account_id, role, as_of } = *self;
        Credential { account_id, role, as_of }
    }
}
