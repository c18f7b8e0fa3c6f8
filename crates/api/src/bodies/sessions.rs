//! Bodies of sessions and login links.

use dabba_domain::{AccountId, RestaurantId, SessionId, Timestamp, text::Name};
use dabba_engine::{NewLink, SessionRestaurant};
use dabba_store::Session;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::accounts::AccountBody;
use crate::config::ApiConfig;

/// Request for a session: either `email` and `password`, or `link_token`.
#[derive(Deserialize, ToSchema)]
#[schema(as = SessionRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionRequestBody {
    pub(crate) email: Option<String>,
    #[schema(format = Password)]
    pub(crate) password: Option<String>,
    /// The token of a login link.
    #[schema(format = Password)]
    pub(crate) link_token: Option<String>,
}

/// The session of the caller.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    pub(crate) id: SessionId,
    /// The account that is logged in.
    pub(crate) account: AccountBody,
    /// The restaurants for which the account works, at most 100.
    pub(crate) restaurants: Vec<SessionRestaurantBody>,
    /// Time from which the session is refused. Each use extends it.
    pub(crate) expires_at: Timestamp,
    pub(crate) server: SessionServerBody,
}

/// A restaurant for which the account of a session works.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionRestaurant)]
pub(crate) struct SessionRestaurantBody {
    id: RestaurantId,
    name: Name,
}

impl From<SessionRestaurant> for SessionRestaurantBody {
    fn from(SessionRestaurant { id, name }: SessionRestaurant) -> Self {
        Self { id, name }
    }
}

/// The server that has responded.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionServer)]
pub(crate) struct SessionServerBody {
    /// Version of Dabba.
    pub(crate) version: &'static str,
    /// Commit of the build, or `unknown`.
    pub(crate) build: &'static str,
    /// The server's time.
    pub(crate) now: Timestamp,
    /// Present and `true` if the server simulates card payments: no money moves, and the provider's test cards work.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub(crate) simulated_payments: bool,
}

/// A session of an account, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionInfo)]
pub(crate) struct SessionInfoBody {
    id: SessionId,
    created_at: Timestamp,
    /// Time of a recent use of the session, recorded at most once a minute; absent if no use is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<Timestamp>,
    /// Time from which the session is refused; for a revoked session the time of the revocation.
    expires_at: Timestamp,
    /// Time at which the session was revoked, by itself or with its account.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    /// What the client called itself at the login, at most 200 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    /// Whether the request is made with this session.
    current: bool,
}

impl SessionInfoBody {
    pub(crate) fn new(session: Session, current: Option<SessionId>) -> Self {
        let Session { id, created_at, expires_at, last_used_at, revoked_at, user_agent, .. } = session;
        let current = current == Some(id);
        Self { id, created_at, last_used_at, expires_at, revoked_at, user_agent, current }
    }
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionList)]
pub(crate) struct SessionListBody {
    pub(crate) sessions: Vec<SessionInfoBody>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// A new login link.
#[derive(Serialize, ToSchema)]
#[schema(as = LoginLink)]
pub(crate) struct LoginLinkBody {
    /// The account that the link logs in.
    account_id: AccountId,
    /// The token of the link, which logs in once. Only this response contains it.
    link_token: String,
    /// Time from which the link is refused.
    expires_at: Timestamp,
    /// Path of the page that logs in, with the token in its fragment, which browsers do not send to servers. For another page after
    /// the login, add `&next=` and its path.
    path: String,
    /// URL of the page that logs in, with the token in its fragment. Present if the server has the setting `public_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl LoginLinkBody {
    pub(crate) fn new(NewLink { link, token }: NewLink, config: &ApiConfig) -> Self {
        let link_token = token.expose();
        let path = format!("/login#{link_token}");
        let url = config.address_of(&path);
        Self { account_id: link.account_id, link_token, expires_at: link.expires_at, path, url }
    }
}
