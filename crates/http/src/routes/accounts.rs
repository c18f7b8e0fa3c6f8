//! Accounts: registering, and one's own.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use dabba_domain::{AccountId, RestaurantId, Role, Timestamp, text::Name};
use dabba_engine::Registration;
use dabba_store::Account;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    extract::{Caller, JsonBody, MaybeCaller},
    limit::ClientAddress,
    problem::{BadBody, BadToken, Failures, Missing, NotAllowed, NotRegistered, NotSignedIn, Result},
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
/// address.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts", operation_id = "register",
    request_body = RegistrationBody,
    responses(
        (status = 201, description = "The account.", body = AccountBody),
        BadToken, NotAllowed, BadBody, NotRegistered, Failures,
    ),
    security((), ("bearer" = [])),
)]
async fn register(
    State(app): State<Arc<App>>,
    client: ClientAddress,
    MaybeCaller(caller): MaybeCaller,
    JsonBody(body): JsonBody<RegistrationBody>,
) -> Result<(StatusCode, Json<AccountBody>)> {
    app.limits.check_account(client)?;
    let RegistrationBody { email, name, password, role } = body;
    let account = app.engine.register(caller.as_ref(), Registration { email, name, password, role }).await?;
    Ok((StatusCode::CREATED, Json(account.into())))
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
