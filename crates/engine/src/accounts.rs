//! Accounts: registration, passwords, changes, API keys, revocation of credentials, and memberships of restaurants.

mod changing;
mod keys;
mod members;
mod passwords;
mod registering;
mod revoked;

use std::sync::Arc;

use dabba_store::{Store, Supervisor};

pub use changing::{AccountAnswer, AccountFilter, AccountPatch, NewPassword};
pub(crate) use keys::ApiKeys;
pub use keys::{
    ApiKeyFormatError, ApiKeySecret, FoundKey, KeyAnswer, KeyRequest, KeyUse, MAX_ACTIVE_KEYS,
    ServiceRegistration,
};
pub(crate) use members::MembershipCache;
pub(crate) use passwords::Passwords;
pub use passwords::{MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH};
pub use registering::{EmailError, MAX_EMAIL_LENGTH, Registered, Registration, check_email};
pub(crate) use revoked::Revocations;

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
}
