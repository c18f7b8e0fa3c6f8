//! Who calls, by their bearer token (RFC 6750).

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use dabba_engine::Principal;

use crate::{App, observe::Seen, problem::Problem, token::Verified};

/// The caller; without a valid token the request is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller(pub(crate) Principal);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match MaybeCaller::from_request_parts(parts, app).await? {
            MaybeCaller(Some(principal)) => Ok(Self(principal)),
            MaybeCaller(None) => Err(Problem::unauthenticated(
                "This operation needs a token: Authorization: Bearer, and a token from POST /v1/tokens.",
            )),
        }
    }
}

/// The caller, when there is a token. One that is not valid is refused, not overlooked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaybeCaller(pub(crate) Option<Principal>);

impl FromRequestParts<Arc<App>> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else { return Ok(Self(None)) };
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
        app.engine.admit(&principal, issued_at).await?;
        app.limits.budgets.check_account(&principal, parts)?;
        Ok(Self(Some(principal)))
    }
}
