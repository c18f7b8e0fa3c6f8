//! Bodies of accounts.

use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, text::Name};
use dabba_store::{Account, AccountHolder};
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
    /// The role. A change of the role ends all tokens, API keys and memberships of the account. For admins who are persons.
    pub(crate) role: Option<Role>,
    /// `true` ends all tokens and API keys of the account and refuses logins until it is set to `false`. For admins.
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

/// Who uses an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AccountHolder)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Holder {
    /// A person, who logs in.
    Person,
    /// A program, which uses API keys: a service account.
    Service,
}

impl Holder {
    /// Returns the holder with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        AccountHolder::from_name(name).map(|holder| match holder {
            AccountHolder::Person => Self::Person,
            AccountHolder::Service => Self::Service,
        })
    }
}

impl From<Holder> for AccountHolder {
    fn from(holder: Holder) -> Self {
        match holder {
            Holder::Person => Self::Person,
            Holder::Service => Self::Service,
        }
    }
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountBody {
    id: AccountId,
    /// Increases with every change; also the account's `ETag`.
    #[schema(minimum = 1)]
    version: u32,
    /// `service` for a service account, which a program uses with API keys. Absent for a person's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<Holder>,
    /// The owner's e-mail address, in lower case. Absent if the account is deleted, and for a service account.
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
        let email = account.address().map(str::to_owned);
        let Account { id, holder, name, role, created_at, version, disabled_at, deleted_at, .. } = account;
        let holder = (holder == AccountHolder::Service).then_some(Holder::Service);
        let name = deleted_at.is_none().then_some(name);
        Self { id, version, holder, email, name, role, created_at, disabled_at, deleted_at }
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
