//! Sessions, which Dabba's own pages use, and one-time login links.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dabba_domain::{AccountId, Problems, SessionId, Timestamp};
use dabba_engine::{Error, Principal, SecretToken, SessionRestaurant};
use dabba_store::{Account, CredentialId, PageSize, Session};
use dabba_web::{
    ClientAddress, Problem, Secrets,
    extract::{
        Caller, CurrentSession, EndingSession, FromParameters, InPath, JsonBody, LoginRequest, Parameters,
        QueryOf,
    },
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    lists,
    paths::{AccountPath, SessionPath},
    tokens::authenticate,
};
use crate::{
    app::App,
    bodies::sessions::{
        LoginLinkBody, SessionBody, SessionInfoBody, SessionListBody, SessionRequestBody, SessionServerBody,
    },
    problem::{
        BadBody, BadParameter, Failures, Missing, NoLoginLink, NotAllowed, NotLoggedIn, NotLoggedOut,
        NotWritten, Result, TooOften, Unauthenticated, WriteFailures,
    },
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create_session, get_session, delete_session))
        .routes(routes!(list_sessions))
        .routes(routes!(revoke_session))
        .routes(routes!(create_login_link))
}

/// The way to log in.
enum Login {
    Password { email: String, password: String },
    Link { token: String },
}

impl Login {
    fn of(body: SessionRequestBody) -> Result<Self> {
        match body {
            SessionRequestBody { email: Some(email), password: Some(password), link_token: None } => {
                Ok(Self::Password { email, password })
            }
            SessionRequestBody { email: None, password: None, link_token: Some(token) } => {
                Ok(Self::Link { token })
            }
            _ => {
                let problems = Problems::one("", "must contain either email and password, or link_token");
                Err(Problem::invalid(&problems).into())
            }
        }
    }
}

/// Logs in with a session
///
/// For pages of this server in a browser; other clients use `POST /v1/tokens`. The response sets the cookie of the session:
/// `__Host-dabba` with `Secure` over HTTPS, `dabba` on plain HTTP. Over plain HTTP the login is refused with 403 `insecure_login`,
/// unless the client calls the server by a loopback name such as `localhost`, or the operator allows it. A session ends when it has
/// not been used for 30 days, that of an admin for 12 hours. An account has at most 50 active sessions: with another login, the one
/// that has been unused for the longest time ends. A login ends the sessions of all cookies of the request; a refused login ends
/// nothing. Wrong passwords are limited as those of `POST /v1/tokens`.
#[utoipa::path(
    post, path = "/v1/session", tag = "accounts",
    request_body = SessionRequestBody,
    responses(
        (status = 200, description = "The session.", body = SessionBody, headers(
            ("Set-Cookie" = String, description = "The cookie of the session."),
        )),
        BadBody, NotLoggedIn, WriteFailures,
    ),
    security(()),
)]
async fn create_session(
    State(app): State<Arc<App>>,
    login: LoginRequest,
    client: ClientAddress,
    JsonBody(body): JsonBody<SessionRequestBody>,
) -> Result<Response> {
    let (account, link) = match Login::of(body)? {
        Login::Password { email, password } => (authenticate(&app, client, &email, password).await?, None),
        Login::Link { token } => {
            let token = SecretToken::parse(&token).ok_or(Error::VoidLink)?;
            (account_of_link(&app, client, &token).await?, Some(token))
        }
    };
    let principal = Principal { as_of: account.revocation, ..Principal::new(account.id, account.role) };
    app.web.limits().check_session(&principal)?;
    // Read before the session exists, so that a failure leaves no session behind.
    let restaurants = app.engine.accounts.session_restaurants(&account).await?;
    let user_agent = login.user_agent.as_deref();
    let logged_in = match &link {
        None => app.engine.accounts.log_in(account, user_agent).await?,
        Some(token) => app.engine.accounts.redeem_link(account, token, user_agent).await?,
    };
    end_replaced(&app, &login, &logged_in.session).await;
    let session = logged_in.session;
    let body = body_of(&app, session.id, session.expires_at, logged_in.account, restaurants);
    Ok(with_cookie(Json(body).into_response(), login.set_cookie(&logged_in.secret)?))
}

/// Ends the sessions whose cookies a login has: the browser drops the cookie that the response replaces, so the person could not log
/// out of its session any more. The new session exists already, because a refused login must end nothing. A failure is logged and
/// does not refuse the login, whose link may be used up.
async fn end_replaced(app: &App, login: &LoginRequest, new: &Session) {
    for secret in &login.replaced {
        if let Err(error) = app.engine.accounts.end_replaced(secret).await {
            tracing::warn!(
                %error, account_id = %new.account_id, session_id = %new.id,
                "a login could not end a session that it replaces; that session stays listed until it ends"
            );
        }
    }
}

/// Returns the account of a login link. Guesses of tokens are limited per network, together with those of API keys.
async fn account_of_link(app: &App, client: ClientAddress, token: &SecretToken) -> Result<Account> {
    let (engine, token) = (Arc::clone(&app.engine), token.clone());
    let read = async move { engine.accounts.account_of_link(&token).await };
    let is_unknown = |found: &std::result::Result<_, _>| matches!(found, Err(Error::VoidLink));
    Ok(app.web.limits().look_up(Secrets::Credentials, client, read, is_unknown).await??)
}

fn body_of(
    app: &App,
    id: SessionId,
    expires_at: Timestamp,
    account: Account,
    restaurants: Vec<SessionRestaurant>,
) -> SessionBody {
    SessionBody {
        id,
        account: account.into(),
        restaurants: restaurants.into_iter().map(Into::into).collect(),
        expires_at,
        server: SessionServerBody {
            version: env!("CARGO_PKG_VERSION"),
            build: app.config.build,
            now: app.engine.now(),
            simulated_payments: app.config.has_simulated_payments,
        },
    }
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::SET_COOKIE, cookie);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Reads the session of the caller
///
/// For a page that begins: it learns who is logged in, and the server's time. The response sets the cookie again, so that the browser
/// keeps it. A request with a token in place of the cookie has no session (401).
#[utoipa::path(
    get, path = "/v1/session", tag = "accounts",
    responses(
        (status = 200, description = "The session.", body = SessionBody, headers(
            ("Set-Cookie" = String, description = "The cookie of the session, with a new expiry."),
        )),
        Unauthenticated, NotAllowed, TooOften, Failures,
    ),
    security(("session" = [])),
)]
async fn get_session(State(app): State<Arc<App>>, current: CurrentSession) -> Result<Response> {
    let session = &current.session;
    let account = app.engine.accounts.own_account(&session.principal).await?;
    let restaurants = app.engine.accounts.session_restaurants(&account).await?;
    let body = body_of(&app, session.id, session.expires_at(), account, restaurants);
    Ok(with_cookie(Json(body).into_response(), current.renew_cookie()?))
}

/// Logs out
///
/// Ends the session and removes its cookie. If the request has cookies of several sessions, all of them end. This server refuses the
/// sessions at once, and every other server within 5 s. Also succeeds without a session.
#[utoipa::path(
    delete, path = "/v1/session", tag = "accounts",
    responses(
        (status = 204, description = "The caller has no session.", headers(
            ("Set-Cookie" = String, description = "Removes the cookie."),
        )),
        NotLoggedOut, WriteFailures,
    ),
    security((), ("session" = [])),
)]
async fn delete_session(State(app): State<Arc<App>>, ending: EndingSession) -> Result<Response> {
    let mut failure = None;
    for session in &ending.sessions {
        // The other sessions end also if this one does not.
        failure = failure.or(app.engine.accounts.log_out(session).await.err());
    }
    let cookie = ending.clear_cookie()?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    if let Some(problem) = ending.failure {
        return Err(problem.into());
    }
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), cookie))
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
struct SessionListQuery {
    /// Maximum number of sessions in the page. 1 to 100; default 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: PageSize,
    /// The `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<SessionId>,
}

impl FromParameters for SessionListQuery {
    fn take_from(parameters: &mut Parameters) -> Self {
        Self { limit: parameters.take_limit(), cursor: parameters.take_cursor() }
    }
}

/// Lists the sessions of an account
///
/// Oldest first, including the sessions that ended in the last seven days. For the account's owner and admins.
#[utoipa::path(
    get, path = "/v1/accounts/{account_id}/sessions", tag = "accounts",
    params(AccountPath, SessionListQuery),
    responses(
        (status = 200, description = "A page of sessions.", body = SessionListBody),
        Unauthenticated, NotAllowed, Missing, BadParameter, Failures,
    ),
    security(("bearer" = [])),
)]
async fn list_sessions(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(account_id): InPath<AccountId>,
    QueryOf(SessionListQuery { limit, cursor }): QueryOf<SessionListQuery>,
) -> Result<Json<SessionListBody>> {
    let listed = app.engine.accounts.sessions(&caller, account_id, cursor, limit.and_one_more()).await;
    let mut sessions = listed?;
    let next_cursor = lists::next_cursor(&mut sessions, limit, |last| last.id);
    let current = match caller.kept {
        Some(CredentialId::Session(id)) => Some(id),
        _ => None,
    };
    let sessions = sessions.into_iter().map(|session| SessionInfoBody::new(session, current)).collect();
    Ok(Json(SessionListBody { sessions, next_cursor }))
}

/// Ends a session
///
/// This server refuses the session at once with 401 `token_revoked`, and every other server within 5 s. A session that was already
/// revoked does not change. For the account's owner and admins.
#[utoipa::path(
    delete, path = "/v1/accounts/{account_id}/sessions/{session_id}", tag = "accounts",
    params(SessionPath),
    responses(
        (status = 204, description = "The session is revoked."),
        NotWritten,
    ),
    security(("bearer" = [])),
)]
async fn revoke_session(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath((account_id, session_id)): InPath<(AccountId, SessionId)>,
) -> Result<StatusCode> {
    app.engine.accounts.revoke_session(&caller, account_id, session_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Creates a login link
///
/// The link logs in the person of the account once, within 10 minutes, without a password. It ends with the credentials of the
/// account, such as by a new password. An account has at most 20 unused links: with another one, the oldest ends. For admins who are
/// persons.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/login-links", tag = "accounts",
    params(AccountPath),
    responses(
        (status = 201, description = "The link.", body = LoginLinkBody),
        NotWritten, NoLoginLink,
    ),
    security(("bearer" = [])),
)]
async fn create_login_link(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    InPath(account_id): InPath<AccountId>,
) -> Result<Response> {
    let link = app.engine.accounts.create_login_link(&caller, account_id).await?;
    let mut response = (StatusCode::CREATED, Json(LoginLinkBody::new(link, &app.config))).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
