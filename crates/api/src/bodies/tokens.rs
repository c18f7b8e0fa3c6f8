//! Bodies of a login.

use dabba_domain::{AccountId, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Credentials of the account that needs a token.
#[derive(Deserialize, ToSchema)]
#[schema(as = Credentials)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialsBody {
    pub(crate) email: String,
    #[schema(format = Password)]
    pub(crate) password: String,
}

/// A token.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenBody {
    /// The token, to send as `Authorization: Bearer …`.
    pub(crate) access_token: String,
    /// Always `Bearer`.
    pub(crate) token_type: &'static str,
    /// Lifetime of the token, in seconds.
    pub(crate) expires_in: u64,
    pub(crate) account_id: AccountId,
    pub(crate) role: Role,
}
