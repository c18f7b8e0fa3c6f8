//! Accounts: registration, passwords, changes, API keys, sessions, revocation of credentials, and memberships of restaurants.

mod changing;
mod credentials;
mod keys;
mod members;
mod passwords;
mod registering;
mod revoked;
mod sessions;
mod uses;

use std::{sync::Arc, time::Duration};

use dabba_store::{Store, Supervisor};

pub use changing::{AccountAnswer, AccountFilter, AccountPatch, NewPassword};
pub use credentials::KeyUse;
pub(crate) use keys::ApiKeys;
pub use keys::{
    ApiKeyFormatError, ApiKeySecret, FoundKey, KeyAnswer, KeyRequest, MAX_ACTIVE_KEYS, MAX_KEY_SCOPES,
    ServiceRegistration, check_key_expiry,
};
pub(crate) use members::MembershipCache;
pub(crate) use passwords::Passwords;
pub use passwords::{MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH};
pub use registering::{EmailError, MAX_EMAIL_LENGTH, Registered, Registration, check_email};
pub(crate) use revoked::Revocations;
pub(crate) use sessions::{ENDED_SESSIONS_KEPT_FOR, Sessions};
pub use sessions::{
    FoundSession, LOGIN_LINK_LIFETIME, LoggedIn, MAX_LOGIN_LINKS, MAX_SESSION_RESTAURANTS, MAX_SESSIONS,
    MAX_USER_AGENT_LENGTH, NewLink, SecretToken, SessionRestaurant, session_lifetime,
};

use crate::{Clock, EngineMetrics, Random, catalogue::CatalogueCache};

/// Use cases of accounts, their tokens and their memberships.
pub struct Accounts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Arc<EngineMetrics>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) catalogue_cache: Arc<CatalogueCache>,
    pub(crate) passwords: Passwords,
    pub(crate) memberships: MembershipCache,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) keys: ApiKeys,
    pub(crate) sessions: Sessions,
    pub(crate) use_write_interval: Duration,
}
