//! Accounts: registering, and one's own.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, text::Name};
use dabba_engine::{Registered, Registration};
use dabba_store::Account;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{KeyParameter, created, mark};
use crate::{
    App,
    extract::{Caller, JsonBody, MaybeCaller, MaybeKey, etag},
    limit::ClientAddress,
    problem::{BadToken, Failures, Missing, NotAllowed, NotRegistered, NotSignedIn, Result, WriteFailures},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(own_account))
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountBody {
    id: AccountId,
    /// Rises with every change. It is the `ETag`, too.
    #[schema(minimum = 1)]
    version: u32,
    /// The address by which its owner is known, in lower case. Absent if the account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Absent if the account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    role: Role,
    created_at: Timestamp,
    /// Since when nobody can use it; absent while it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    /// Since when it is deleted.
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

/// What someone gives to get an account.
#[derive(Deserialize, ToSchema)]
#[schema(as = Registration)]
#[serde(deny_unknown_fields)]
struct RegistrationBody {
    /// The address by which they will be known: ASCII characters, an internationalized domain in its ASCII form (`xn--…`).
    email: String,
    #[schema(value_type = Name)]
    name: String,
    /// At least 8 characters, at most 256 bytes in UTF-8, counted in the Unicode normal form NFC. Every normal form of it is
    /// the same password.
    #[schema(format = Password)]
    password: String,
    /// `customer`, when absent. Only an admin makes accounts with other roles.
    #[serde(default = "customer")]
    role: Role,
}

const fn customer() -> Role {
    Role::Customer
}

/// Registers an account
///
/// For everyone, as a customer; for admins, with any role. How often is limited by the client's
/// network, other than for admins. A password that is easy to guess is refused. A retry with the same key, and the same password, is answered with the account that the first request
/// made, and `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts", operation_id = "register",
    params(KeyParameter),
    request_body = RegistrationBody,
    responses(
        (status = 201, description = "The account.", body = AccountBody, headers(
            ("Location" = String, description = "Where the account is."),
            ("ETag" = String, description = "Its version."),
            ("Idempotency-Replayed" = String, description = "`true` for the answer to a retry."),
        )),
        BadToken, NotAllowed, NotRegistered, WriteFailures,
    ),
    security((), ("bearer" = [])),
)]
async fn register(
    State(app): State<Arc<App>>,
    client: ClientAddress,
    MaybeCaller(caller): MaybeCaller,
    MaybeKey(key): MaybeKey,
    JsonBody(body): JsonBody<RegistrationBody>,
) -> Result<Response> {
    if caller.is_none_or(|caller| caller.role != Role::Admin) {
        app.limits.check_account(client)?;
    }
    let RegistrationBody { email, name, password, role } = body;
    let registration = Registration { email, name, password, role };
    let Registered { account, replayed } =
        app.engine.register_under(caller.as_ref(), registration, key).await?;
    let location = format!("/v1/accounts/{}", account.id);
    let tag = etag(account.version);
    let mut response = Json(AccountBody::from(account)).into_response();
    response.headers_mut().insert(header::ETAG, tag);
    Ok(mark(created(response, &location)?, replayed))
}

/// The caller's own account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnAccount)]
struct OwnAccountBody {
    #[serde(flatten)]
    account: AccountBody,
    /// The restaurants for which they work.
    restaurants: Vec<RestaurantId>,
}

/// Reads the caller's own account
#[utoipa::path(
    get, path = "/v1/accounts/me", tag = "accounts", operation_id = "get_own_account",
    responses(
        (status = 200, description = "The account.", body = OwnAccountBody, headers(
            ("ETag" = String, description = "Its version."),
        )),
        NotSignedIn, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn own_account(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Response> {
    let account = app.engine.own_account(&caller).await?;
    let restaurants = app.engine.memberships(account.id).await?.to_vec();
    let tag = etag(account.version);
    let mut response = Json(OwnAccountBody { account: account.into(), restaurants }).into_response();
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}
