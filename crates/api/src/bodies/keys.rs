//! Bodies of service accounts and API keys.

use dabba_domain::{AccountId, ApiKeyId, Role, Timestamp, text::Name};
use dabba_engine::KeyAnswer;
use dabba_store::ApiKey;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Request for a service account.
#[derive(Deserialize, ToSchema)]
#[schema(as = ServiceAccountRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceAccountBody {
    #[schema(value_type = Name)]
    pub(crate) name: String,
    /// The role, which decides what the program may do. Staff of a restaurant also need a membership.
    pub(crate) role: Role,
}

/// Request for an API key.
#[derive(Deserialize, ToSchema)]
#[schema(as = ApiKeyRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyRequestBody {
    /// A name by which people recognize the key, such as the machine that uses it.
    #[schema(value_type = Name)]
    pub(crate) name: String,
    /// The scopes to which the key is restricted. They only restrict the rights of the account's role. Default: all scopes.
    pub(crate) scopes: Option<Vec<String>>,
    /// Time from which the key is refused, at most ten years from now. Default: the key does not expire.
    pub(crate) expires_at: Option<Timestamp>,
}

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct ApiKeyBody {
    id: ApiKeyId,
    /// The service account.
    account_id: AccountId,
    name: Name,
    /// The scopes to which the key is restricted; absent for all scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    created_at: Timestamp,
    /// The admin who created the key. An operator who worked on the database has an id without an account.
    created_by: AccountId,
    /// Time from which the key is refused; absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// Time at which the key was revoked, by itself or with its account.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    /// Time of a recent use of the key, recorded at most once a minute; absent if the key was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
}

impl From<ApiKey> for ApiKeyBody {
    fn from(key: ApiKey) -> Self {
        let ApiKey {
            id,
            account_id,
            name,
            scopes,
            created_at,
            created_by,
            expires_at,
            revoked_at,
            last_used_at,
            ..
        } = key;
        Self { id, account_id, name, scopes, created_at, created_by, expires_at, revoked_at, last_used_at }
    }
}

/// A new API key.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub(crate) struct CreatedApiKeyBody {
    #[serde(flatten)]
    key: ApiKeyBody,
    /// The key itself: `dk_` and 38 letters and digits. Only this response contains it, so store it now. Absent in the response
    /// to a retry: if the first response was lost, revoke the key and create another.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<KeyAnswer> for CreatedApiKeyBody {
    fn from(KeyAnswer { key, secret }: KeyAnswer) -> Self {
        Self { key: key.into(), secret: secret.map(|secret| secret.expose().to_owned()) }
    }
}

/// A page of API keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeyList)]
pub(crate) struct ApiKeyListBody {
    pub(crate) keys: Vec<ApiKeyBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}
