//! The caller, identified by a bearer token (RFC 6750): a signed token of a person, or an API key of a service account.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use dabba_engine::{ApiKeySecret, Error, FoundKey, KeyUse, Principal};

use crate::{Admission, ClientAddress, Face, address, code, problem::Problem, seen::Seen, token::Verified};

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
            Some(CallerOrRevoked { is_revoked: true, principal }) => Err(revoked(&principal)),
            Some(CallerOrRevoked { principal, .. }) => Ok(Self(Some(principal))),
            None => Ok(Self(None)),
        }
    }
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
                "Authorization must be Bearer, a space, and a token from {operation} or an API key."
            )));
        };
        if ApiKeySecret::is_claimed_by(token) {
            return Self::from_key(token, parts, face).await.map(Some);
        }
        let web = face.web();
        let verified = web.verifier().verify(token, web.engine().now());
        let Verified { principal, issued_at, .. } = verified
            .map_err(|error| Problem::invalid_token(format!("{error}; get a new one with {operation}")))?;
        let is_revoked = web.admit(&principal, issued_at, parts).await? == Admission::Revoked;
        Ok(Some(Self { principal, is_revoked }))
    }

    /// Identifies the caller by an API key.
    async fn from_key<F: Face>(token: &str, parts: &Parts, face: &F) -> Result<Self, Problem> {
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
        let FoundKey { principal, read_at, is_revoked, .. } = found;
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
        Ok(Self { principal, is_revoked })
    }
}

/// Returns the key, from the cache or from the directory. Searches of the directory for keys that do not exist are limited per
/// network of the client.
async fn find_key<F: Face>(
    secret: &ApiKeySecret,
    parts: &Parts,
    face: &F,
) -> Result<Option<FoundKey>, Problem> {
    let web = face.web();
    let accounts = &web.engine().accounts;
    if let Some(cached) = accounts.cached_key(secret).await {
        return Ok(cached);
    }
    let address = address::client(&parts.extensions, &parts.headers, &web.config().trusted_proxies);
    let client = ClientAddress::new(address);
    web.limits().check_unknown_keys(client)?;
    let read = accounts.read_key(secret).await;
    let found = read.map_err(|error| {
        Problem::of_error(error).unwrap_or_else(|conflict| Problem::internal(conflict.to_string()))
    })?;
    if found.is_none() {
        web.limits().count_unknown_key(client);
    }
    Ok(found)
}

/// Returns the problem of a revoked credential.
fn revoked(principal: &Principal) -> Problem {
    let text = match principal.api_key {
        Some(_) => "the API key was revoked; ask an admin for a new one".to_owned(),
        None => Error::TokenRevoked.to_string(),
    };
    Problem::new(code::TOKEN_REVOKED, text)
}

fn no_token<F: Face>(face: &F) -> Problem {
    let operation = face.token_operation();
    Problem::unauthenticated(format!(
        "This operation requires a token or an API key. Send it as Authorization: Bearer TOKEN; get a token with {operation}."
    ))
}
