//! The caller, identified by a bearer token (RFC 6750), which is a signed token of a person or an API key of a service account, or
//! by the cookie of a session.

use std::{
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use dabba_domain::Timestamp;
use dabba_engine::{ApiKeySecret, Error, FoundKey, KeyUse, Principal};
use dabba_store::CredentialId;
use tokio::time::timeout;

use super::session::{self, ByCookie};
use crate::{
    Admission, ClientAddress, Face, Secrets, address, code, cookie, problem::Problem, seen::Seen,
    token::Verified,
};

/// The caller; a request without a valid token is refused.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub Principal);

impl<F: Face> FromRequestParts<Arc<F>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        let session = Session::required(parts, &**face, false).await?.unless_revoked()?;
        Ok(Self(session.principal))
    }
}

/// The caller, if the request has a credential. A token that is not valid is refused and never ignored. A session that is not valid
/// is refused, too, except by a safe method: browsers send a cookie that has ended without being asked, and everyone may read what
/// needs no caller.
#[derive(Clone, Copy, Debug)]
pub struct MaybeCaller(pub Option<Principal>);

impl<F: Face> FromRequestParts<Arc<F>> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        let session = match Session::of(parts, &**face, false).await {
            Ok(session) => session.map(Session::unless_revoked).transpose(),
            Err(problem) => Err(problem),
        };
        match session {
            Ok(session) => Ok(Self(session.map(|session| session.principal))),
            Err(problem) if is_ignored(&problem, parts) => Ok(Self(None)),
            Err(problem) => Err(problem),
        }
    }
}

/// Maximum time to verify the credential of a [`KnownCaller`].
pub const KNOWN_CALLER_TIMEOUT: Duration = Duration::from_millis(500);

/// The caller, if the request has a valid credential. Never refuses: for what everyone may read, and of which some callers see
/// more. If the database that keeps the accounts does not verify the credential within [`KNOWN_CALLER_TIMEOUT`], the request
/// goes on without it.
#[derive(Clone, Copy, Debug)]
pub struct KnownCaller(pub Option<Principal>);

impl<F: Face> FromRequestParts<Arc<F>> for KnownCaller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Infallible> {
        let verified = timeout(KNOWN_CALLER_TIMEOUT, Session::of(parts, &**face, false)).await;
        let session = verified.ok().and_then(Result::ok).flatten();
        let session = session.and_then(|session| session.unless_revoked().ok());
        Ok(Self(session.map(|session| session.principal)))
    }
}

/// Returns whether a request goes on without its credential: a session that is not valid, and a safe method.
fn is_ignored(problem: &Problem, parts: &Parts) -> bool {
    problem.status() == StatusCode::UNAUTHORIZED
        && parts.method.is_safe()
        && !parts.headers.contains_key(header::AUTHORIZATION)
}

/// The caller, whose credential may be revoked. For retries of a request that has revoked the caller's
/// token.
#[derive(Clone, Copy, Debug)]
pub struct CallerOrRevoked {
    /// The caller.
    pub principal: Principal,
    /// Whether the credential is revoked.
    pub is_revoked: bool,
}

impl<F: Face> FromRequestParts<Arc<F>> for CallerOrRevoked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        let Session { principal, is_revoked, .. } = Session::required(parts, &**face, false).await?;
        Ok(Self { principal, is_revoked })
    }
}

/// The caller with what a long response needs to notice the end of the caller's rights; a request without a valid token is
/// refused, and so is a request by the cookie of a session that another site may have caused.
#[derive(Clone, Copy, Debug)]
pub struct CallerSession {
    /// The caller.
    pub principal: Principal,
    /// Time from which the server follows the revocations of the credential: its issue, or the read of an API key or a session.
    pub issued_at: Timestamp,
    /// Time at which the credential expires; `None` if it does not. `None` for a session, which uses extend: the engine knows its expiry
    /// ([`dabba_engine::Accounts::is_still_admitted`]).
    pub expires_at: Option<Timestamp>,
    /// Number that is equal for requests with the same credential. It is different in each process.
    pub credential: u64,
}

/// Makes the numbers of credentials, which reveal nothing about the credentials.
static CREDENTIALS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Returns a number that is equal for the same credential, and different in each process.
pub fn credential_number(credential: &str) -> u64 {
    CREDENTIALS.hash_one(credential)
}

impl<F: Face> FromRequestParts<Arc<F>> for CallerSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        let session = Session::required(parts, &**face, true).await?.unless_revoked()?;
        let Session { principal, issued_at, expires_at, .. } = session;
        let credential = match principal.kept {
            Some(id @ CredentialId::Session(_)) => CREDENTIALS.hash_one(id),
            _ => CREDENTIALS.hash_one(bearer_token(parts, &**face)?),
        };
        Ok(Self { principal, issued_at, expires_at, credential })
    }
}

/// Returns the token of a request; `None` if the request has none.
fn bearer_token<'a, F: Face>(parts: &'a Parts, face: &F) -> Result<Option<&'a str>, Problem> {
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = header
        .to_str()
        .ok()
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    token.map(Some).ok_or_else(|| {
        let operation = face.token_operation();
        Problem::unauthenticated(format!(
            "Authorization must be Bearer, a space, and a token from {operation} or an API key."
        ))
    })
}

/// A verified credential.
struct Session {
    principal: Principal,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    is_revoked: bool,
}

impl Session {
    /// Verifies the credential of a request, and counts the request in the caller's budget. `None` if the request has none. A
    /// request with an `Authorization` header does not use its cookie.
    async fn of<F: Face>(parts: &Parts, face: &F, is_stream: bool) -> Result<Option<Self>, Problem> {
        let Some(token) = bearer_token(parts, face)? else {
            let Some(text) = cookie::session_cookie(parts, face.web().config()) else { return Ok(None) };
            // Boxed, because most requests have a token, and every request would contain the future.
            let verified = Box::pin(ByCookie::verify(text, parts, face, is_stream)).await?;
            let (principal, issued_at) = (verified.session.principal, verified.session.read_at);
            return Ok(Some(Self {
                principal,
                issued_at,
                expires_at: None,
                is_revoked: verified.is_revoked,
            }));
        };
        if ApiKeySecret::is_claimed_by(token) {
            return Self::of_key(token, parts, face).await.map(Some);
        }
        let (web, operation) = (face.web(), face.token_operation());
        let verified = web.verifier().verify(token, web.engine().now());
        let Verified { principal, issued_at, expires_at } = verified
            .map_err(|error| Problem::invalid_token(format!("{error}; get a new one with {operation}")))?;
        let is_revoked = web.admit(&principal, issued_at, parts).await? == Admission::Revoked;
        let expires_at = Timestamp::from_second(expires_at).ok();
        Ok(Some(Self { principal, issued_at, expires_at, is_revoked }))
    }

    /// Like [`Self::of`], and refuses a request without a credential.
    async fn required<F: Face>(parts: &Parts, face: &F, is_stream: bool) -> Result<Self, Problem> {
        Self::of(parts, face, is_stream).await?.ok_or_else(|| no_token(face))
    }

    /// Refuses a revoked credential.
    fn unless_revoked(self) -> Result<Self, Problem> {
        if self.is_revoked { Err(revoked(&self.principal)) } else { Ok(self) }
    }

    /// Verifies an API key.
    async fn of_key<F: Face>(token: &str, parts: &Parts, face: &F) -> Result<Self, Problem> {
        let web = face.web();
        let accounts = &web.engine().accounts;
        let secret = ApiKeySecret::parse(token).map_err(|error| {
            accounts.count_key_use(None, KeyUse::Malformed);
            Problem::invalid_token(format!("{error}; copy the whole key"))
        })?;
        let found = find_key(&secret, parts, face).await?;
        let Some(found) = found else {
            accounts.count_key_use(None, KeyUse::Unknown);
            return Err(Problem::invalid_token(
                "the API key does not exist; use a key that an admin has created",
            ));
        };
        let FoundKey { principal, read_at, expires_at, is_revoked, .. } = found;
        if found.is_expired(web.engine().now()) {
            Seen::store_caller(parts, principal);
            accounts.count_key_use(None, KeyUse::Expired);
            return Err(Problem::invalid_token("the API key has expired; ask an admin for a new one"));
        }
        let is_revoked = if is_revoked {
            Seen::store_caller(parts, principal);
            true
        } else {
            web.admit(&principal, read_at, parts).await? == Admission::Revoked
        };
        let outcome = if is_revoked { KeyUse::Revoked } else { KeyUse::Accepted };
        accounts.count_key_use(Some(&found), outcome);
        Ok(Self { principal, issued_at: read_at, expires_at, is_revoked })
    }
}

/// Returns the key, from the cache or from the directory. Searches of the directory for keys that do not exist are limited per
/// network of the client.
async fn find_key<F: Face>(
    secret: &ApiKeySecret,
    parts: &Parts,
    face: &F,
) -> Result<Option<FoundKey>, Problem> {
    let accounts = &face.web().engine().accounts;
    if let Some(cached) = accounts.cached_key(secret) {
        return Ok(cached);
    }
    let (engine, secret) = (Arc::clone(face.web().engine()), secret.clone());
    search(async move { engine.accounts.read_key(&secret).await }, parts, face).await
}

/// Searches the directory for what a secret identifies. Refuses the search if the client's network has sent too many secrets that
/// do not exist.
pub(super) async fn search<F: Face, T: Send + 'static>(
    read: impl Future<Output = Result<Option<T>, Error>> + Send + 'static,
    parts: &Parts,
    face: &F,
) -> Result<Option<T>, Problem> {
    let web = face.web();
    let address = address::client(&parts.extensions, &parts.headers, &web.config().trusted_proxies);
    let client = ClientAddress::new(address);
    let is_unknown = |found: &Result<Option<T>, Error>| matches!(found, Ok(None));
    let found = web.limits().look_up(Secrets::Credentials, client, read, is_unknown).await?;
    found.map_err(|error| {
        Problem::of_error(error).unwrap_or_else(|conflict| Problem::internal(conflict.to_string()))
    })
}

/// Returns the problem of a revoked credential.
fn revoked(principal: &Principal) -> Problem {
    match principal.kept {
        Some(CredentialId::ApiKey(_)) => {
            Problem::new(code::TOKEN_REVOKED, "the API key was revoked; ask an admin for a new one")
        }
        Some(CredentialId::Session(_)) => session::revoked(),
        None => Problem::new(code::TOKEN_REVOKED, Error::TokenRevoked.to_string()),
    }
}

fn no_token<F: Face>(face: &F) -> Problem {
    let operation = face.token_operation();
    Problem::unauthenticated(format!(
        "This operation requires a token or an API key. Send it as Authorization: Bearer TOKEN; get a token with {operation}."
    ))
}
