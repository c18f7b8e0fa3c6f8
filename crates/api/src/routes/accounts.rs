//! Accounts: registration, and the caller's own account.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use dabba_domain::Role;
use dabba_engine::{Registered, Registration};
use dabba_web::{
    ClientAddress,
    extract::{Caller, JsonBody, MaybeCaller, MaybeKey},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::writes::{Created, KeyParameter, created, mark, tagged};
use crate::{
    app::App,
    bodies::accounts::{AccountBody, OwnAccountBody, RegistrationBody},
    problem::{Failures, Missing, NotAllowed, NotRegistered, Result, Unauthenticated, WriteFailures},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(register)).routes(routes!(own_account))
}

/// Registers an account
///
/// Everyone can register as a customer; admins register accounts with any role. Registrations are limited per network of the
/// client, except for admins. A password that is easy to guess is refused. A retry with the same key and the same password gets
/// the account that the first request created, with `Idempotency-Replayed: true`.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts",
    params(KeyParameter),
    request_body = RegistrationBody,
    responses(Created<AccountBody>, Unauthenticated, NotAllowed, NotRegistered, WriteFailures),
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
        app.engine.accounts.register_under(caller.as_ref(), registration, key).await?;
    let location = format!("/v1/accounts/{}", account.id);
    let response = tagged(account.version, AccountBody::from(account));
    Ok(mark(created(response, &location)?, replayed))
}

/// Reads the caller's own account
#[utoipa::path(
    get, path = "/v1/accounts/me", tag = "accounts", operation_id = "get_own_account",
    responses(
        (status = 200, description = "The account.", body = OwnAccountBody, headers(
            ("ETag" = String, description = "The account's version."),
        )),
        Unauthenticated, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn own_account(State(app): State<Arc<App>>, Caller(caller): Caller) -> Result<Response> {
    let account = app.engine.accounts.own_account(&caller).await?;
    let restaurants = app.engine.accounts.own_memberships(&caller).await?.to_vec();
    Ok(tagged(account.version, OwnAccountBody { account: account.into(), restaurants }))
}
