//! Accounts: registration, and the caller's own account.

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
use dabba_web::{
    ClientAddress,
    extract::{Caller, JsonBody, MaybeCaller, MaybeKey, etag},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{KeyParameter, created, mark};
use crate::{
    app::App,
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
struct RegistrationBody {
    /// The e-mail address of the new account: ASCII characters, an internationalized domain in its ASCII form (`xn--…`).
    email: String,
    #[schema(value_type = Name)]
    name: String,
    /// At least 8 characters, at most 256 bytes in UTF-8, counted in the Unicode normal form NFC. All normal forms of a text are
    /// the same password.
    #[schema(format = Password)]
    password: String,
    /// Default `customer`. Only an admin registers accounts with other roles.
    #[serde(default = "customer")]
    role: Role,
}

const fn customer() -> Role {
    Role::Customer
}

/// Registers an account
///
/// Everyone can register as a customer; admins register accounts with any role. Registrations are limited per network of the
/// client, except for admins. A password that is easy to guess is refused. A retry with the same key and the same password gets
/// the account that the first request created, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts", operation_id = "register",
    params(KeyParameter),
    request_body = RegistrationBody,
    responses(
        (status = 201, description = "The account.", body = AccountBody, headers(
            ("Location" = String, description = "Path of the account."),
            ("ETag" = String, description = "The account's version."),
            ("Idempotency-Replayed" = String, description = "`true` for the response to a retry."),
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
        app.web.limits().check_registration(client)?;
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
    /// The restaurants of which the account is a member.
    restaurants: Vec<RestaurantId>,
}

/// Reads the caller's own account
#[utoipa::path(
    get, path = "/v1/accounts/me", tag = "accounts", operation_id = "get_own_account",
    responses(
        (status = 200, description = "The account.", body = OwnAccountBody, headers(
            ("ETag" = String, description = "The account's version."),
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
