//! The caller, identified by a bearer token (RFC 6750).

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use dabba_engine::{Error, Principal};

use crate::{App, observe::Seen, problem::Problem, token::Verified};

/// The caller; a request without a valid token is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match MaybeCaller::from_request_parts(parts, app).await? {
            MaybeCaller(Some(principal)) => Ok(Self(principal)),
            MaybeCaller(None) => Err(no_token()),
        }
    }
}

/// The caller, if the request has a token. A token that is not valid is refused and never ignored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaybeCaller(pub(crate) Option<Principal>);

impl FromRequestParts<Arc<App>> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match CallerOrRevoked::from_parts(parts, app).await? {
            Some(CallerOrRevoked { is_revoked: true, .. }) => Err(Error::TokenRevoked.into()),
            Some(CallerOrRevoked { principal, .. }) => Ok(Self(Some(principal))),
            None => Ok(Self(None)),
        }
    }
}

/// The caller, whose token may be revoked. For retries of a request that has revoked the caller's
/// token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallerOrRevoked {
    pub(crate) principal: Principal,
    pub(crate) is_revoked: bool,
}

impl FromRequestParts<Arc<App>> for CallerOrRevoked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        Self::from_parts(parts, app).await?.ok_or_else(no_token)
    }
}

impl CallerOrRevoked {
    async fn from_parts(parts: &Parts, app: &App) -> Result<Option<Self>, Problem> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let token = header
            .to_str()
            .ok()
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let Some(token) = token else {
            return Err(Problem::unauthenticated(
                "Authorization must be Bearer, a space, and a token from POST /v1/tokens.",
            ));
        };
        let Verified { principal, issued_at, .. } = app
            .verifier
            .verify(token, app.engine.now())
            .map_err(|error| Problem::invalid_token(error.to_string()))?;
        Seen::note(parts, principal);
        let is_revoked = match app.engine.admit(&principal, issued_at).await {
            Ok(()) => false,
            Err(Error::TokenRevoked) => true,
            Err(error) => return Err(error.into()),
        };
        if !is_revoked {
            app.limits.budgets.check_account(&principal, parts)?;
        }
        Ok(Some(Self { principal, is_revoked }))
    }
}

fn no_token() -> Problem {
    Problem::unauthenticated(
        "This operation requires a token. Send it as Authorization: Bearer TOKEN; get one with POST /v1/tokens.",
    )
}
