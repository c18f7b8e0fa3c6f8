//! Login: exchanges a password for a token.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use dabba_domain::Problems;
use dabba_engine::{Error, MAX_EMAIL_LENGTH, Principal};
use dabba_store::Account;
use dabba_web::{ClientAddress, Problem, extract::JsonBody, issue_token};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bodies::tokens::{CredentialsBody, TokenBody},
    problem::{BadBody, Failures, NotAuthenticated, Result},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create_token))
}

/// Exchanges a password for a token
///
/// Wrong passwords are limited by the e-mail address together with the client's network, and by each of them alone; right
/// passwords are not limited.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "accounts",
    request_body = CredentialsBody,
    responses(
        (status = 200, description = "A token.", body = TokenBody),
        BadBody, NotAuthenticated, Failures,
    ),
    security(()),
)]
async fn create_token(
    State(app): State<Arc<App>>,
    client: ClientAddress,
    JsonBody(CredentialsBody { email, password }): JsonBody<CredentialsBody>,
) -> Result<Response> {
    let account = authenticate(&app, client, &email, password).await?;
    let lifetime = app.web.config().token_lifetime;
    let body = TokenBody {
        access_token: issue_token(
            &app.web.config().signing_key,
            &Principal { as_of: account.revocation, ..Principal::new(account.id, account.role) },
            app.engine.now(),
            lifetime,
        ),
        token_type: "Bearer",
        expires_in: lifetime.as_secs(),
        account_id: account.id,
        role: account.role,
    };
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Returns the account with this address and password. Wrong passwords are limited.
pub(super) async fn authenticate(
    app: &App,
    client: ClientAddress,
    email: &str,
    password: String,
) -> Result<Account> {
    if email.len() > MAX_EMAIL_LENGTH {
        let text = format!("must be at most {MAX_EMAIL_LENGTH} characters");
        return Err(Problem::invalid(&Problems::one("/email", text)).into());
    }
    let attempt = app.web.limits().begin_login(client, email).await?;
    let authenticated = app.engine.accounts.authenticate(email, password).await;
    app.web.limits().end_login(&attempt, &authenticated, |error| matches!(error, Error::WrongCredentials));
    Ok(authenticated?)
}
