//! Bodies of accounts.

use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, text::Name};
use dabba_store::Account;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountList)]
pub(crate) struct AccountListBody {
    pub(crate) accounts: Vec<AccountBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// Changes of an account. At least one member; omitted members stay unchanged.
#[derive(Deserialize, ToSchema)]
#[schema(as = AccountPatch)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountPatchBody {
    /// The name.
    pub(crate) name: Option<String>,
    /// The role. A change of the role ends all tokens and all memberships of the account. For admins.
    pub(crate) role: Option<Role>,
    /// `true` ends all tokens of the account and refuses logins until it is set to `false`. For admins.
    pub(crate) disabled: Option<bool>,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewPassword)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordBody {
    /// The rules are those of a registration.
    #[schema(format = Password)]
    pub(crate) password: String,
    /// The current password. Required for the caller's own account.
    #[schema(format = Password)]
    pub(crate) current_password: Option<String>,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountBody {
    id: AccountId,
    /// Increases with every change; also the account's `ETag`.
    #[schema(minimum = 1)]
    version: u32,
    /// The owner's e-mail address, in lower case. Absent if the account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Absent if the account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    role: Role,
    created_at: Timestamp,
    /// Time at which the account was disabled; absent if it is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    /// Time at which the account was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        let Account { id, email, name, role, created_at, version, disabled_at, deleted_at, .. } = account;
        let (email, name) = match deleted_at {
            Some(_) => (None, None),
            None => (Some(email), Some(name)),
        };
        Self { id, version, email, name, role, created_at, disabled_at, deleted_at }
    }
}

/// Request for an account.
#[derive(Deserialize, ToSchema)]
#[schema(as = Registration)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrationBody {
    /// The e-mail address of the new account: ASCII characters, an internationalized domain in its ASCII form (`xn--…`).
    pub(crate) email: String,
    #[schema(value_type = Name)]
    pub(crate) name: String,
    /// At least 8 characters, at most 256 bytes in UTF-8, counted in the Unicode normal form NFC. All normal forms of a text are
    /// the same password.
    #[schema(format = Password)]
    pub(crate) password: String,
    /// Default `customer`. Only an admin registers accounts with other roles.
    #[serde(default = "customer")]
    pub(crate) role: Role,
}

const fn customer() -> Role {
    Role::Customer
}

/// The caller's own account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnAccount)]
pub(crate) struct OwnAccountBody {
    #[serde(flatten)]
    pub(crate) account: AccountBody,
    /// The restaurants of which the account is a member.
    pub(crate) restaurants: Vec<RestaurantId>,
}
