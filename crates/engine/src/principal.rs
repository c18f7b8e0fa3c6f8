//! Callers of use cases, and what their credentials allow.
//!
//! The role decides what a caller may do; [`crate::Accounts`] also knows for which restaurants an account works. The
//! scopes of a credential only restrict these rights: each use case with a caller requires one scope before anything
//! else. Only [`crate::Orders::allowed_actions`] returns no actions instead.

use std::fmt;

use dabba_domain::{AccountId, Role, Timestamp};
use dabba_store::{AccountHolder, Credential, CredentialId, KeptCredential, RevocationRevision, Subject};

use crate::Error;

/// Caller of a use case, as stated by a verified credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The account.
    pub account_id: AccountId,
    /// Who uses the account.
    pub holder: AccountHolder,
    /// The account's role.
    pub role: Role,
    /// The revision of the account's last revocation when the credential was issued.
    pub as_of: RevocationRevision,
    /// The scopes of the credential.
    pub scopes: Scopes,
    /// The API key or the session; `None` for a signed token.
    pub kept: Option<CredentialId>,
}

impl Principal {
    /// Returns a person with all rights of the role, whose account was never revoked, or has no account in the store (an
    /// operator's token).
    pub const fn new(account_id: AccountId, role: Role) -> Self {
        let (holder, scopes) = (AccountHolder::Person, Scopes::ALL);
        Self { account_id, holder, role, as_of: 0, scopes, kept: None }
    }

    /// Returns the subjects whose revocations end the credential.
    pub(crate) fn revocation_subjects(&self) -> impl Iterator<Item = Subject> {
        [Some(Subject::Account(self.account_id)), self.kept.map(CredentialId::subject)].into_iter().flatten()
    }

    /// Returns the credential that the store checks in a write that a revocation must prevent. `at` is the time of the
    /// write.
    pub(crate) fn credential(&self, at: Timestamp) -> Credential {
        let Self { account_id, role, as_of, .. } = *self;
        let kept = self.kept.map(|id| KeptCredential { id, at });
        Credential { account_id, role, as_of, kept }
    }

    /// Returns whether the credential is a session.
    pub const fn is_session(&self) -> bool {
        matches!(self.kept, Some(CredentialId::Session(_)))
    }

    /// Refuses a credential without this scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Error::Forbidden(format!(
                "the credential does not include the scope {scope}; use a credential that includes it"
            )))
        }
    }

    /// Refuses a credential that may not read events.
    pub(crate) fn require_events(&self) -> Result<(), Error> {
        if self.scopes.contains(Scope::PartnerEvents) { Ok(()) } else { self.require(Scope::ReadEvents) }
    }

    /// Returns whether the caller receives events as a partner: its credential is restricted to the events of partners.
    pub const fn is_partner(&self) -> bool {
        self.scopes.contains(Scope::PartnerEvents) && !self.scopes.contains(Scope::ReadEvents)
    }

    /// Refuses service accounts. `what` completes the sentence "a service account cannot".
    pub(crate) fn require_person(&self, what: &str) -> Result<(), Error> {
        match self.holder {
            AccountHolder::Person => Ok(()),
            AccountHolder::Service => Err(Error::Forbidden(format!(
                "a service account cannot {what}; log in as a person who may do it"
            ))),
        }
    }

    /// Refuses callers who are not admins. `what` completes the sentence "only an admin may".
    pub(crate) fn require_admin(&self, what: &str) -> Result<(), Error> {
        match self.role {
            Role::Admin => Ok(()),
            _ => Err(Error::Forbidden(format!("only an admin may {what}"))),
        }
    }
}

/// A group of use cases. A credential can be restricted to some groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read orders, their events and their ledger.
    ReadOrders,
    /// Place orders, and give commands on orders.
    WriteOrders,
    /// Read what only staff sees of a restaurant, such as the stock.
    ReadCatalogue,
    /// Change restaurants, menus, availability and stock.
    WriteCatalogue,
    /// Read accounts and memberships.
    ReadAccounts,
    /// Change accounts and memberships, and create and revoke credentials.
    WriteAccounts,
    /// Read parked tasks.
    ReadTasks,
    /// Retry and resolve parked tasks.
    WriteTasks,
    /// Read the events of many orders.
    ReadEvents,
    /// Read the events of many orders as a partner, with fewer personal data.
    PartnerEvents,
    /// Read webhook endpoints, and the results of their deliveries.
    ReadWebhooks,
    /// Create, change and replay webhook endpoints, which receive the events of many orders.
    WriteWebhooks,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 12] = [
        Self::ReadOrders,
        Self::WriteOrders,
        Self::ReadCatalogue,
        Self::WriteCatalogue,
        Self::ReadAccounts,
        Self::WriteAccounts,
        Self::ReadTasks,
        Self::WriteTasks,
        Self::ReadEvents,
        Self::PartnerEvents,
        Self::ReadWebhooks,
        Self::WriteWebhooks,
    ];

    /// Returns the scope's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOrders => "orders:read",
            Self::WriteOrders => "orders:write",
            Self::ReadCatalogue => "catalogue:read",
            Self::WriteCatalogue => "catalogue:write",
            Self::ReadAccounts => "accounts:read",
            Self::WriteAccounts => "accounts:write",
            Self::ReadTasks => "tasks:read",
            Self::WriteTasks => "tasks:write",
            Self::ReadEvents => "events:read",
            Self::PartnerEvents => "events:partner",
            Self::ReadWebhooks => "webhooks:read",
            Self::WriteWebhooks => "webhooks:write",
        }
    }

    /// Returns the scope with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scopes(u16);

impl Scopes {
    /// No restriction: every scope, including those that later versions add.
    pub const ALL: Self = Self(u16::MAX);

    /// Returns whether the set contains a scope.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}
