//! Accounts: registering, and one's own.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, text::Name};
use dabba_engine::{Registered, Registration};
use dabba_store::Account;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{KeyParameter, mark};
use crate::{
    App,
    extract::{Caller, JsonBody, MaybeCaller, MaybeKey},
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
    /// The address by which its owner is known, in lower case.
    email: String,
    name: Name,
    role: Role,
    created_at: Timestamp,
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        let Account { id, email, name, role, password_hash: _, created_at } = account;
        Self { id, email, name, role, created_at }
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
/// address. A retry with the same key, and the same password, is answered with the account that the first request
/// made, and `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts", operation_id = "register",
    params(KeyParameter),
    request_body = RegistrationBody,
    responses(
        (status = 201, description = "The account.", body = AccountBody, headers(
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
    app.limits.check_account(client)?;
    let RegistrationBody { email, name, password, role } = body;
    let registration = Registration { email, name, password, role };
    let Registered { account, replayed } =
        app.engine.register_under(caller.as_ref(), registration, key).await?;
    let response = (StatusCode::CREATED, Json(AccountBody::from(account))).into_response();
    Ok(mark(response, replayed))
}

/// The caller's own account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OwnAccount)]
struct OwnAccountBody {
    id: AccountId,
    /// The address by which its owner is known, in lower case.
    email: String,
    name: Name,
    role: Role,
    created_at: Timestamp,
    /// The restaurants for which they work.
    restaurants: Vec<RestaurantId>,
}

/// Reads the caller's own account
#[utoipa::path(
    get, path = "/v1/accounts/me", tag = "accounts", operation_id = "get_own_account",
    responses(
        (status = 200, description = "The account.", body = OwnAccountBody),
        NotSignedIn, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn own_account(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Json<OwnAccountBody>> {
    let AccountBody { id, email, name, role, created_at } = app.engine.own_account(&caller).await?.into();
    let restaurants = app.engine.memberships(id).await?.to_vec();
    Ok(Json(OwnAccountBody { id, email, name, role, created_at, restaurants }))
}
