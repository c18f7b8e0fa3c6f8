//! The session of a request, identified by its cookie.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, header, request::Parts},
};
use dabba_engine::{FoundSession, KeyUse, SecretToken};

use super::principal::search;
use crate::{
    Admission, Face, code,
    cookie::{self, Channel},
    problem::{Problem, Result},
    seen::Seen,
};

/// A request to log in with a session: refused if the response would show the session to a network, or if another site sent the
/// request.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    channel: Channel,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Secrets of the cookies of sessions that the request has. The response replaces the first of them. The sessions may not exist.
    pub replaced: Vec<SecretToken>,
}

impl LoginRequest {
    /// Returns the value of `Set-Cookie` that gives the client the session.
    pub fn set_cookie(&self, secret: &SecretToken) -> Result<HeaderValue> {
        self.channel.set_cookie(secret)
    }
}

impl<F: Face> FromRequestParts<Arc<F>> for LoginRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self> {
        let config = face.web().config();
        let channel = Channel::of_login(parts, config);
        // First, because a page over HTTPS has another origin than a server that takes the request for plain HTTP.
        cookie::check_login(channel, config)?;
        cookie::check_not_cross_site(parts, config)?;
        // A client without a browser's headers proves nothing, but it has the secret of each session that it replaces. The secrets
        // are looked up after the login, so a stale cookie spends no budget and refuses no login.
        let replaced = cookie::session_secrets(parts, config);
        let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self { channel, user_agent: user_agent.map(str::to_owned), replaced })
    }
}

/// The session of a request, for the operation that reads it. A request without a valid session is refused, also if it has a token.
#[derive(Clone, Debug)]
pub struct CurrentSession {
    /// The session.
    pub session: FoundSession,
    secret: SecretToken,
    channel: Channel,
}

impl CurrentSession {
    /// Returns the value of `Set-Cookie` that gives the client the same session, so that the browser keeps the cookie for longer.
    pub fn renew_cookie(&self) -> Result<HeaderValue> {
        self.channel.set_cookie(&self.secret)
    }
}

impl<F: Face> FromRequestParts<Arc<F>> for CurrentSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self> {
        let config = face.web().config();
        let cookie = cookie::session_cookie(parts, config).map(str::to_owned);
        let Some(cookie) = cookie.filter(|_| !parts.headers.contains_key(header::AUTHORIZATION)) else {
            return Err(Problem::unauthenticated(
                "There is no session: the request has no session cookie, or it has an Authorization header. Log in first.",
            ));
        };
        let verified = ByCookie::verify(&cookie, parts, &**face, false).await?;
        let ByCookie { session, secret, is_revoked } = verified;
        if is_revoked {
            return Err(revoked());
        }
        Ok(Self { session, secret, channel: Channel::of(parts, config) })
    }
}

/// The sessions of a request, for the operation that ends them. They may be void already.
#[derive(Debug)]
pub struct EndingSession {
    /// The sessions of the request that are known, first the one that counts.
    pub sessions: Vec<FoundSession>,
    /// Why one of the sessions could not be read. The handler returns this problem after it has ended the other sessions.
    pub failure: Option<Problem>,
    channel: Channel,
}

impl EndingSession {
    /// Returns the value of `Set-Cookie` that removes the cookie.
    pub fn clear_cookie(&self) -> Result<HeaderValue> {
        self.channel.clear_cookie()
    }
}

impl<F: Face> FromRequestParts<Arc<F>> for EndingSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self> {
        let config = face.web().config();
        cookie::check_not_cross_site(parts, config)?;
        let secrets = cookie::session_secrets(parts, config);
        if !secrets.is_empty() {
            cookie::check_by_cookie(parts, config, false)?;
        }
        let (mut sessions, mut failure) = (Vec::new(), None);
        for secret in &secrets {
            match find_session(secret, parts, &**face).await {
                Ok(found) => sessions.extend(found),
                Err(problem) => failure = failure.or(Some(problem)),
            }
        }
        if let Some(session) = sessions.first() {
            Seen::store_caller(parts, session.principal);
        }
        Ok(Self { sessions, failure, channel: Channel::of(parts, config) })
    }
}

/// A session that a cookie names. It is not expired, and may be revoked.
pub(super) struct ByCookie {
    pub(super) session: FoundSession,
    secret: SecretToken,
    pub(super) is_revoked: bool,
}

impl ByCookie {
    /// Verifies the text in the cookie of a request, and counts the request in the caller's budget.
    pub(super) async fn verify<F: Face>(
        text: &str,
        parts: &Parts,
        face: &F,
        is_stream: bool,
    ) -> Result<Self> {
        let web = face.web();
        let accounts = &web.engine().accounts;
        cookie::check_by_cookie(parts, web.config(), is_stream)?;
        let Some(secret) = SecretToken::parse(text) else {
            accounts.count_session_use(None, KeyUse::Malformed);
            return Err(no_session());
        };
        let Some(session) = find_session(&secret, parts, face).await? else {
            accounts.count_session_use(None, KeyUse::Unknown);
            return Err(no_session());
        };
        let is_revoked = if session.is_revoked {
            Seen::store_caller(parts, session.principal);
            true
        } else if session.is_expired(web.engine().now()) {
            Seen::store_caller(parts, session.principal);
            accounts.count_session_use(None, KeyUse::Expired);
            return Err(no_session());
        } else {
            web.admit(&session.principal, session.read_at, parts).await? == Admission::Revoked
        };
        let outcome = if is_revoked { KeyUse::Revoked } else { KeyUse::Accepted };
        accounts.count_session_use(Some(&session), outcome);
        Ok(Self { session, secret, is_revoked })
    }
}

/// Returns the session, from the cache or from the directory. Searches of the directory for sessions that do not exist are limited
/// per network of the client, together with those for API keys.
async fn find_session<F: Face>(
    secret: &SecretToken,
    parts: &Parts,
    face: &F,
) -> Result<Option<FoundSession>> {
    let accounts = &face.web().engine().accounts;
    if let Some(cached) = accounts.cached_session(secret) {
        return Ok(cached);
    }
    let (engine, secret) = (Arc::clone(face.web().engine()), secret.clone());
    search(async move { engine.accounts.read_session(&secret).await }, parts, face).await
}

/// Returns the problem of a revoked session.
pub(super) fn revoked() -> Problem {
    Problem::new(code::TOKEN_REVOKED, "the session was ended; log in again")
}

fn no_session() -> Problem {
    Problem::invalid_token("the session does not exist or has expired; log in again")
}
