//! Changes of an account, and the consequences of each change.

use std::fmt;

use dabba_domain::{AccountId, Role, Timestamp, order::Version, text::Name};

use super::Account;
use crate::Credential;

/// A change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEdit {
    /// The account.
    pub id: AccountId,
    /// The change.
    pub change: AccountChange,
    /// Versions of which the account must have one, if the caller states any.
    pub expected: Option<Vec<Version>>,
    /// The caller's credential. `None` for an operator who works on the database itself.
    pub by: Option<Credential>,
    /// Time of the change.
    pub at: Timestamp,
}

/// Kind of change of an account.
#[derive(Clone, PartialEq, Eq)]
pub enum AccountChange {
    /// Sets the given fields and keeps the others. A new role and disabling revoke all credentials; a new role also removes all
    /// memberships.
    Details {
        /// The name.
        name: Option<Name>,
        /// The role.
        role: Option<Role>,
        /// Whether the account is disabled.
        disabled: Option<bool>,
    },
    /// Sets the password. Revokes all credentials.
    Password {
        /// Hash of the password, as a PHC string.
        hash: String,
    },
    /// Revokes all credentials: the tokens of a person, the API keys of a service account.
    RevokeTokens,
    /// Removes name, address and password permanently, disables the account, revokes all credentials and removes all memberships. The
    /// address can be registered again.
    Delete,
}

/// Omits the name and the password's hash.
impl fmt::Debug for AccountChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Details { name: _, role, disabled } => {
                let mut details = formatter.debug_struct("Details");
                details.field("role", role).field("disabled", disabled).finish_non_exhaustive()
            }
            Self::Password { .. } => formatter.write_str("Password { .. }"),
            Self::RevokeTokens => formatter.write_str("RevokeTokens"),
            Self::Delete => formatter.write_str("Delete"),
        }
    }
}

/// Outcome of a change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountEditOutcome {
    /// The account after the change.
    Done(Box<Account>),
    /// The account does not exist, or it is deleted.
    NotFound,
    /// The account has another version than expected.
    Conflict {
        /// The account's current version.
        current: Version,
    },
    /// The change would leave no enabled admin.
    LastAdmin,
    /// The caller's credential is void.
    CallerRevoked,
}

/// Result of applying a change to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditedAccount {
    /// The account after the change. Its `revocation` is the old value; the store sets the new one.
    pub account: Account,
    /// Whether the change revokes all credentials. The store then also marks the account's API keys as revoked.
    pub revokes: bool,
    /// Whether the change removes all memberships.
    pub leaves_restaurants: bool,
    /// Whether the account was an enabled admin and no longer is. Another enabled admin must then remain.
    pub steps_down: bool,
}

impl AccountEdit {
    /// Returns the account after the change and the consequences; `None` if the change has no effect.
    pub fn applied_to(&self, before: &Account) -> Option<EditedAccount> {
        let mut account = before.clone();
        let mut revokes = false;
        match &self.change {
            AccountChange::Details { name, role, disabled } => {
                account.name = name.clone().unwrap_or(account.name);
                account.role = role.unwrap_or(account.role);
                account.disabled_at = match disabled {
                    Some(true) => account.disabled_at.or(Some(self.at)),
                    Some(false) => None,
                    None => account.disabled_at,
                };
            }
            AccountChange::Password { hash } => {
                account.password_hash.clone_from(hash);
                revokes = true;
            }
            AccountChange::RevokeTokens => revokes = true,
            AccountChange::Delete => {
                account.email = format!("{DELETED}{}", account.id);
                account.name = Name::from_stored("");
                account.password_hash = String::new();
                account.disabled_at = account.disabled_at.or(Some(self.at));
                account.deleted_at = Some(self.at);
            }
        }
        let changes_role = account.role != before.role;
        let is_disabled = account.disabled_at.is_some() && before.disabled_at.is_none();
        revokes |= changes_role || is_disabled || account.deleted_at.is_some();
        if !revokes && account == *before {
            return None;
        }
        account.version = before.version.saturating_add(1);
        Some(EditedAccount {
            revokes,
            leaves_restaurants: changes_role || account.deleted_at.is_some(),
            steps_down: before.is_enabled_admin() && !account.is_enabled_admin(),
            account,
        })
    }
}

/// Prefix of the stored address of a deleted account. The stored address has no `@`, so it never equals a real address.
const DELETED: &str = "deleted:";

#[cfg(test)]
mod tests {
    use dabba_domain::Bucket;

    use super::*;
    use crate::AccountHolder;

    fn account(role: Role) -> Account {
        let at = Timestamp::UNIX_EPOCH;
        Account {
            id: AccountId::generate(at, Bucket::from_random(1), 1),
            holder: AccountHolder::Person,
            email: "ada@example.org".into(),
            name: Name::from_stored("Ada"),
            role,
            password_hash: "hash".into(),
            created_at: at,
            version: 1,
            disabled_at: None,
            deleted_at: None,
            revocation: 0,
        }
    }

    fn details(name: Option<&str>, role: Option<Role>, disabled: Option<bool>) -> AccountChange {
        AccountChange::Details { name: name.map(Name::from_stored), role, disabled }
    }

    fn edited(before: &Account, change: AccountChange) -> Option<EditedAccount> {
        let at = Timestamp::from_second(5).unwrap();
        AccountEdit { id: before.id, change, expected: None, by: None, at }.applied_to(before)
    }

    /// Proves which changes revoke tokens, remove memberships, and reduce the number of enabled admins.
    #[test]
    fn each_change_has_its_consequences() {
        let hash = || AccountChange::Password { hash: "other".into() };
        for (change, revokes, leaves, steps_down) in [
            (details(Some("Grace"), None, None), false, false, false),
            (details(None, Some(Role::Courier), None), true, true, true),
            (details(None, None, Some(true)), true, false, true),
            (hash(), true, false, false),
            (AccountChange::RevokeTokens, true, false, false),
            (AccountChange::Delete, true, true, true),
        ] {
            let edited = edited(&account(Role::Admin), change.clone()).unwrap();
            assert_eq!(
                (edited.revokes, edited.leaves_restaurants, edited.steps_down, edited.account.version),
                (revokes, leaves, steps_down, 2),
                "{change:?}"
            );
        }
    }

    /// Proves that setting the current values again is no change, and that enabling an account revokes no token.
    #[test]
    fn setting_the_current_values_is_no_change() {
        let courier = account(Role::Courier);
        for change in [details(None, None, None), details(Some("Ada"), Some(Role::Courier), Some(false))] {
            assert_eq!(edited(&courier, change), None);
        }
        let disabled = edited(&courier, details(None, None, Some(true))).unwrap().account;
        assert_eq!(edited(&disabled, details(None, None, Some(true))), None);
        let enabled = edited(&disabled, details(None, None, Some(false))).unwrap();
        assert!(!enabled.revokes && enabled.account.disabled_at.is_none());
        // A disabled admin is not counted as an admin, so deleting the account removes none.
        let admin = edited(&account(Role::Admin), details(None, None, Some(true))).unwrap().account;
        assert!(!edited(&admin, AccountChange::Delete).unwrap().steps_down);
    }

    /// Proves that a deleted account keeps no personal data.
    #[test]
    fn a_deleted_account_is_anonymous() {
        let before = account(Role::Customer);
        let deleted = edited(&before, AccountChange::Delete).unwrap().account;
        assert!(deleted.disabled_at.is_some() && deleted.deleted_at.is_some());
        assert_eq!((deleted.name.as_str(), deleted.password_hash.as_str()), ("", ""));
        assert_eq!(deleted.email, format!("deleted:{}", before.id));
        assert_eq!((deleted.id, deleted.role), (before.id, before.role));
    }
}
