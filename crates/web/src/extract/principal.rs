//! The caller, identified by a bearer token (RFC 6750).

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock},
};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use dabba_domain::Timestamp;
use dabba_engine::{Error, Principal};

use crate::{Admission, Face, code, problem::Problem, token::Verified};

/// The caller; a request without a valid token is refused.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub Principal);

impl<F: Face> FromRequestParts<Arc<F>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        match MaybeCaller::from_request_parts(parts, face).await? {
            MaybeCaller(Some(principal)) => Ok(Self(principal)),
            MaybeCaller(None) => Err(no_token(&**face)),
        }
    }
}

/// The caller, if the request has a token. A token that is not valid is refused and never ignored.
#[derive(Clone, Copy, Debug)]
pub struct MaybeCaller(pub Option<Principal>);

impl<F: Face> FromRequestParts<Arc<F>> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        match CallerOrRevoked::from_parts(parts, &**face).await? {
            Some(CallerOrRevoked { is_revoked: true, .. }) => {
                Err(Problem::new(code::TOKEN_REVOKED, Error::TokenRevoked.to_string()))
            }
            Some(CallerOrRevoked { principal, .. }) => Ok(Self(Some(principal))),
            None => Ok(Self(None)),
        }
    }
}

/// The caller, whose token may be revoked. For retries of a request that has revoked the caller's
/// token.
#[derive(Clone, Copy, Debug)]
pub struct CallerOrRevoked {
    /// The caller.
    pub principal: Principal,
    /// Whether the token is revoked.
    pub is_revoked: bool,
}

impl<F: Face> FromRequestParts<Arc<F>> for CallerOrRevoked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        Self::from_parts(parts, &**face).await?.ok_or_else(|| no_token(&**face))
    }
}

/// The caller with what a long response needs to notice the end of the caller's rights; a request without a valid token is
/// refused.
#[derive(Clone, Copy, Debug)]
pub struct CallerSession {
    /// The caller.
    pub principal: Principal,
    /// Time at which the credential was issued.
    pub issued_at: Timestamp,
    /// Time at which the credential expires; `None` if it does not.
    pub expires_at: Option<Timestamp>,
    /// Number that is equal for requests with the same credential. It is different in each process.
    pub credential: u64,
}

/// Makes the numbers of credentials, which reveal nothing about the credentials.
static CREDENTIALS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl<F: Face> FromRequestParts<Arc<F>> for CallerSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Problem> {
        let Caller(principal) = Caller::from_request_parts(parts, face).await?;
        let token = bearer_token(parts, &**face)?.unwrap_or_default();
        let credential = CREDENTIALS.hash_one(token);
        let verified = verified(token, &**face)?;
        let expires_at = Timestamp::from_second(verified.expires_at).ok();
        Ok(Self { principal, issued_at: verified.issued_at, expires_at, credential })
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
            "Authorization must be Bearer, a space, and a token from {operation}."
        ))
    })
}

fn verified<F: Face>(token: &str, face: &F) -> Result<Verified, Problem> {
    let (web, operation) = (face.web(), face.token_operation());
    let verified = web.verifier().verify(token, web.engine().now());
    verified.map_err(|error| Problem::invalid_token(format!("{error}; get a new one with {operation}")))
}

impl CallerOrRevoked {
    async fn from_parts<F: Face>(parts: &Parts, face: &F) -> Result<Option<Self>, Problem> {
        let Some(token) = bearer_token(parts, face)? else { return Ok(None) };
        let web = face.web();
        let Verified { principal, issued_at, .. } = verified(token, face)?;
        let is_revoked = web.admit(&principal, issued_at, parts).await? == Admission::Revoked;
        Ok(Some(Self { principal, is_revoked }))
    }
}

fn no_token<F: Face>(face: &F) -> Problem {
    let operation = face.token_operation();
    Problem::unauthenticated(format!(
        "This operation requires a token. Send it as Authorization: Bearer TOKEN; get one with {operation}."
    ))
}
