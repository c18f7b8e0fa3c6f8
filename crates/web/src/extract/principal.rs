//! The caller, identified by a bearer token (RFC 6750).

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
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

impl CallerOrRevoked {
    async fn from_parts<F: Face>(parts: &Parts, face: &F) -> Result<Option<Self>, Problem> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let token = header
            .to_str()
            .ok()
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let operation = face.token_operation();
        let Some(token) = token else {
            return Err(Problem::unauthenticated(format!(
                "Authorization must be Bearer, a space, and a token from {operation}."
            )));
        };
        let web = face.web();
        let verified = web.verifier().verify(token, web.engine().now());
        let Verified { principal, issued_at, .. } = verified
            .map_err(|error| Problem::invalid_token(format!("{error}; get a new one with {operation}")))?;
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
