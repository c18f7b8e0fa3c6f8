//! Accounts, for their owners and admins: changing, disabling and deleting accounts, setting passwords, and revoking tokens.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use dabba_domain::{AccountId, Role};
use dabba_engine::{AccountAnswer, AccountFilter, AccountPatch, Error, NewPassword};
use dabba_store::{Account, PageSize};
use dabba_web::{
    ClientAddress,
    extract::{
        Caller, CallerOrRevoked, FromParameters, IfMatch, InPath, JsonBody, MaybeKey, Parameters, QueryOf,
    },
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    lists,
    paths::AccountPath,
    writes::{AtVersion, ConditionalWrite, KeyParameter, Shown, Written, mark, tagged},
};
use crate::{
    app::App,
    bodies::accounts::{AccountBody, AccountListBody, AccountPatchBody, Holder, PasswordBody},
    problem::{
        BadParameter, Failures, Missing, NotAllowed, NotChanged, NotDeleted, NotRevoked, NotWritten, Result,
        TooOften, Unauthenticated, WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_accounts))
        .routes(routes!(get_account, change_account, delete_account))
        .routes(routes!(set_password))
        .routes(routes!(revoke_tokens))
}

fn represent(account: Account) -> Response {
    tagged(account.version, AccountBody::from(account))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct AccountListQuery {
    /// Only the account with this e-mail address.
    email: Option<String>,
    /// Only accounts with this holder: `service` for service accounts.
    holder: Option<Holder>,
    /// Only accounts with this role.
    role: Option<Role>,
    /// Maximum number of accounts in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<AccountId>,
}

impl FromParameters for AccountListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self {
            email: parameters.take("email", |value| Ok(value.to_owned())),
            holder: parameters.take("holder", |value| {
                Holder::from_name(value).ok_or_else(|| "must be person or service".to_owned())
            }),
            role: parameters.take("role", |value| {
                Role::from_name(value)
                    .ok_or_else(|| "must be customer, restaurant, courier or admin".to_owned())
            }),
            limit: parameters.take_limit(),
            cursor: parameters.take_cursor(),
        }
    }
}

/// Lists accounts
///
/// Oldest first, including service accounts and deleted accounts. For admins.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "accounts",
    params(AccountListQuery),
    responses(
        (status = 200, description = "A page of accounts.", body = AccountListBody),
        Unauthenticated, NotAllowed, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_accounts(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    QueryOf(query): QueryOf<AccountListQuery>,
) -> Result<Json<AccountListBody>> {
    let AccountListQuery { email, holder, role, limit, cursor } = query;
    let filter = AccountFilter { email, holder: holder.map(Into::into), role };
    let mut accounts = app.engine.accounts.accounts(&caller, filter, cursor, limit.and_one_more()).await?;
    let next_cursor = lists::next_cursor(&mut accounts, limit, |last| last.id);
    let accounts = accounts.into_iter().map(AccountBody::from).collect();
    Ok(Json(AccountListBody { accounts, next_cursor }))
}

/// Reads an account
///
/// For the account's owner and admins.
#[utoipa::path(
    get, path = "/v1/accounts/{account_id}", tag = "accounts",
    params(AccountPath),
    responses(Shown<AccountBody>, Unauthenticated, Missing, Failures),
    security(("bearer" = [])),
)]
async fn get_account(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<AccountId>,
) -> Result<Response> {
    Ok(represent(app.engine.accounts.account(&caller, id).await?))
}

/// Changes an account
///
/// The owner changes the name; an admin changes all members. The last enabled admin cannot be disabled or get another
/// role (409 `last_admin`), and only a person changes a role. If the change ends tokens or API keys, this server
/// refuses them at once with 401 `token_revoked`, and every other server within 5 s.
#[utoipa::path(
    patch, path = "/v1/accounts/{account_id}", tag = "accounts",
    params(AccountPath, AtVersion<AccountBody>, KeyParameter),
    request_body = AccountPatchBody,
    responses(Written<AccountBody>, NotWritten, NotChanged),
    security(("bearer" = [])),
)]
async fn change_account(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<AccountId>,
    ConditionalWrite(conditional): ConditionalWrite,
    JsonBody(AccountPatchBody { name, role, disabled }): JsonBody<AccountPatchBody>,
) -> Result<Response> {
    let patch = AccountPatch { name, role, disabled };
    let AccountAnswer { account, replayed } =
        app.engine.accounts.change_account(&caller, id, patch, conditional).await?;
    Ok(mark(represent(account), replayed))
}

/// Deletes an account
///
/// Customers delete their own account; admins delete any account. The name and the e-mail address are removed permanently, the
/// address can be registered again, and all tokens end. Orders keep the account's id; open orders go on.
#[utoipa::path(
    delete, path = "/v1/accounts/{account_id}", tag = "accounts",
    params(AccountPath, AtVersion<AccountBody>),
    responses(
        (status = 204, description = "The account is deleted."),
        NotWritten, NotDeleted,
    ),
    security(("bearer" = [])),
)]
async fn delete_account(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<AccountId>,
    condition: IfMatch,
) -> Result<StatusCode> {
    app.engine.accounts.delete_account(&caller, id, condition.into_versions()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a password
///
/// Callers set their own password and state the current one; an admin sets the passwords of others. All tokens of the account
/// end, including the caller's: log in again with the new password. A retry with the same key and body, and with the token that
/// the change has ended, gets the response to the first request. If the account has changed again since then, the retry gets 401
/// `token_revoked`.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/password", tag = "accounts",
    params(AccountPath, KeyParameter),
    request_body = PasswordBody,
    responses(
        (status = 204, description = "The password is set.", headers(
            ("Idempotency-Replayed" = String, description = "`true` for the response to a retry."),
        )),
        Unauthenticated, NotAllowed, Missing, NotChanged, TooOften, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn set_password(
    State(app): State<Arc<App>>,
    client: ClientAddress,
    CallerOrRevoked { principal: caller, is_revoked }: CallerOrRevoked,
    InPath(id): InPath<AccountId>,
    MaybeKey(key): MaybeKey,
    JsonBody(PasswordBody { password, current_password }): JsonBody<PasswordBody>,
) -> Result<Response> {
    let new = NewPassword { password, current: current_password };
    // The holder of a token may not try passwords more often than other callers. The limit's key is the account's id, because the
    // request states no e-mail address.
    let attempt = app.web.limits().begin_login(client, &id.to_string()).await?;
    let has_key = key.is_some();
    let set = if is_revoked {
        app.engine.accounts.retry_set_password(&caller, id, new, key).await
    } else {
        app.engine.accounts.set_password(&caller, id, new, key).await
    };
    // A retry with a revoked token also reveals whether the password of the caller's own account is right, so a refusal counts as
    // a wrong password.
    let is_retry = caller.account_id == id && has_key;
    let is_guess = |error: &Error| matches!(error, Error::TokenRevoked) && is_retry;
    app.web.limits().end_login(&attempt, &set, |error| is_guess(error) || is_wrong_password(error));
    let AccountAnswer { replayed, .. } = set?;
    Ok(mark(StatusCode::NO_CONTENT.into_response(), replayed))
}

/// Returns whether the current password was wrong.
fn is_wrong_password(error: &Error) -> bool {
    let Error::Invalid(problems) = error else { return false };
    problems.as_slice().iter().any(|problem| problem.pointer == "/current_password")
}

/// Revokes all tokens of an account
///
/// Of a service account: all its API keys. For the account's owner and admins. The caller's own token is revoked, too:
/// for one's own account, a retry gets 401 `token_revoked`, which confirms the revocation. An admin can also revoke the
/// tokens of an id without an account, which `dabba token` has printed.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/revoke-tokens", tag = "accounts",
    params(AccountPath, KeyParameter),
    responses(
        (status = 204, description = "The tokens are revoked.", headers(
            ("Idempotency-Replayed" = String, description = "`true` for the response to a retry."),
        )),
        Unauthenticated, Missing, NotRevoked, WriteFailures,
    ),
    security(("bearer" = [])),
)]
async fn revoke_tokens(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(id): InPath<AccountId>,
    MaybeKey(key): MaybeKey,
) -> Result<Response> {
    let replayed = app.engine.accounts.revoke_tokens(&caller, id, key).await?;
    Ok(mark(StatusCode::NO_CONTENT.into_response(), replayed))
}
