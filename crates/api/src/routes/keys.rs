//! Service accounts and API keys, for admins.
//!
//! A service account is an account: the operations on accounts and members read, change, disable and delete it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dabba_domain::{AccountId, ApiKeyId};
use dabba_engine::{AccountAnswer, KeyRequest, ServiceRegistration};
use dabba_store::PageSize;
use dabba_web::extract::{Caller, FromParameters, InPath, JsonBody, MaybeKey, Parameters, QueryOf};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    lists,
    paths::{AccountPath, ApiKeyPath},
    writes::{Created, KeyParameter, created, mark, tagged},
};
use crate::{
    app::App,
    bodies::{
        accounts::AccountBody,
        keys::{ApiKeyBody, ApiKeyListBody, ApiKeyRequestBody, CreatedApiKeyBody, ServiceAccountBody},
    },
    problem::{
        BadParameter, Failures, Missing, NoApiKey, NoServiceAccount, NotAllowed, NotWritten, Result,
        Unauthenticated, WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_service_account))
        .routes(routes!(create_api_key, list_api_keys))
        .routes(routes!(get_api_key, revoke_api_key))
}

/// Creates a service account
///
/// A service account is an account for a program, such as a point of sale. It has one role and memberships, no e-mail address and
/// no password; the program uses API keys. The other operations on accounts read, change, disable and delete it. For admins who
/// are persons.
#[utoipa::path(
    post, path = "/v1/service-accounts", tag = "accounts",
    params(KeyParameter),
    request_body = ServiceAccountBody,
    responses(Created<AccountBody>, Unauthenticated, NotAllowed, NoServiceAccount, WriteFailures),
    security(("bearer" = [])),
)]
async fn create_service_account(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    MaybeKey(key): MaybeKey,
    JsonBody(ServiceAccountBody { name, role }): JsonBody<ServiceAccountBody>,
) -> Result<Response> {
    let registration = ServiceRegistration { name, role };
    let AccountAnswer { account, replayed } =
        app.engine.accounts.create_service_account(&caller, registration, key).await?;
    let location = format!("/v1/accounts/{}", account.id);
    let response = tagged(account.version, AccountBody::from(account));
    Ok(mark(created(response, &location)?, replayed))
}

/// Creates an API key
///
/// The response contains the key's secret, which nothing shows again; a retry with the same `Idempotency-Key` gets the key without
/// it. A service account has at most 20 active keys (409 `too_many_api_keys`), so that a new key can replace an old one while
/// both work. For admins who are persons: a service account creates no keys, because they would outlive its own.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/keys", tag = "accounts",
    params(AccountPath, KeyParameter),
    request_body = ApiKeyRequestBody,
    responses(
        (status = 201, description = "The key.", body = CreatedApiKeyBody, headers(
            ("Location" = String, description = "Path of the key."),
            ("Idempotency-Replayed" = String, description = "`true` for the response to a retry."),
        )),
        NotWritten, NoApiKey,
    ),
    security(("bearer" = [])),
)]
async fn create_api_key(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(account_id): InPath<AccountId>,
    MaybeKey(key): MaybeKey,
    JsonBody(ApiKeyRequestBody { name, scopes, expires_at }): JsonBody<ApiKeyRequestBody>,
) -> Result<Response> {
    let request = KeyRequest { name, scopes, expires_at };
    let answer = app.engine.accounts.create_api_key(&caller, account_id, request, key).await?;
    let (replayed, id) = (answer.secret.is_none(), answer.key.id);
    let mut response = Json(CreatedApiKeyBody::from(answer)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(mark(created(response, &format!("/v1/accounts/{account_id}/keys/{id}"))?, replayed))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct ApiKeyListQuery {
    /// Maximum number of keys in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<ApiKeyId>,
}

impl FromParameters for ApiKeyListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

/// Lists the API keys of a service account
///
/// Oldest first, including revoked and expired keys, without their secrets. For admins.
#[utoipa::path(
    get, path = "/v1/accounts/{account_id}/keys", tag = "accounts",
    params(AccountPath, ApiKeyListQuery),
    responses(
        (status = 200, description = "A page of keys.", body = ApiKeyListBody),
        Unauthenticated, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_api_keys(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(account_id): InPath<AccountId>,
    QueryOf(ApiKeyListQuery { limit, cursor }): QueryOf<ApiKeyListQuery>,
) -> Result<Json<ApiKeyListBody>> {
    let mut keys = app.engine.accounts.api_keys(&caller, account_id, cursor, limit.and_one_more()).await?;
    let next_cursor = lists::next_cursor(&mut keys, limit, |last| last.id);
    Ok(Json(ApiKeyListBody { keys: keys.into_iter().map(ApiKeyBody::from).collect(), next_cursor }))
}

/// Reads an API key
///
/// Without its secret. For admins.
#[utoipa::path(
    get, path = "/v1/accounts/{account_id}/keys/{key_id}", tag = "accounts",
    params(ApiKeyPath),
    responses(
        (status = 200, description = "The key.", body = ApiKeyBody),
        Unauthenticated, NotAllowed, Missing, Failures,
    ),
    security(("bearer" = [])),
)]
async fn get_api_key(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((account_id, key_id)): InPath<(AccountId, ApiKeyId)>,
) -> Result<Json<ApiKeyBody>> {
    Ok(Json(app.engine.accounts.api_key(&caller, account_id, key_id).await?.into()))
}

/// Revokes an API key
///
/// This server refuses the key at once with 401 `token_revoked`, and every other server within 5 s. The key remains in the list
/// with the time of its revocation. A key that is already revoked does not change. For admins.
#[utoipa::path(
    delete, path = "/v1/accounts/{account_id}/keys/{key_id}", tag = "accounts",
    params(ApiKeyPath),
    responses(
        (status = 204, description = "The key is revoked."),
        NotWritten,
    ),
    security(("bearer" = [])),
)]
async fn revoke_api_key(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((account_id, key_id)): InPath<(AccountId, ApiKeyId)>,
) -> Result<StatusCode> {
    app.engine.accounts.revoke_api_key(&caller, account_id, key_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
