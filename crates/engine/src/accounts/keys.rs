//! Service accounts and their API keys.
//!
//! A service account is an account like any other: admins read, change, disable and delete it with the same use cases,
//! and it has one role and memberships. It has no address and no password, so it cannot log in; it uses API keys.
//!
//! Only a person who is an admin creates service accounts and keys. A service account with the role admin does neither:
//! otherwise a leaked key could create keys that outlive its own revocation.

mod authenticating;
mod secret;

use std::time::Duration;

use dabba_domain::{AccountId, ApiKeyId, Bucket, Problems, Role, Timestamp, entry_count, one_of, text::Name};
use dabba_store::{
    Account, AccountCreation, AccountHolder, ApiKey, ApiKeyCreation, Claim, ClaimAt, ClaimRecord,
    CredentialId, IdempotencyKey, NewApiKey, PageSize, Resource, UnderKey,
};

pub(crate) use self::authenticating::ApiKeys;
pub use self::{
    authenticating::FoundKey,
    secret::{ApiKeyFormatError, ApiKeySecret},
};
use super::{AccountAnswer, Accounts};
use crate::{
    Conflict, Error, Principal, Scope,
    claims::{claim, is_same_request},
};

/// Maximum number of active keys of a service account: neither revoked nor expired. More than one, so that a new key can
/// replace an old one while both work.
pub const MAX_ACTIVE_KEYS: u32 = 20;

/// Maximum number of scopes in a request for a key. A scope may be repeated.
pub const MAX_KEY_SCOPES: usize = 64;

/// Maximum lifetime of a key that expires: about ten years.
const MAX_LIFETIME: Duration = Duration::from_hours(24 * 3_660);

/// Data of a new service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRegistration {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
}

/// Data of a new API key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRequest {
    /// The name.
    pub name: String,
    /// Names of the scopes to which the key is restricted; `None` for all scopes.
    pub scopes: Option<Vec<String>>,
    /// Time from which the key is refused, if it expires.
    pub expires_at: Option<Timestamp>,
}

/// An API key after its creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    /// The key; for a replay, as it is now.
    pub key: ApiKey,
    /// The secret. `None` for a replay: nothing knows it any more.
    pub secret: Option<ApiKeySecret>,
}

impl Accounts {
    /// Creates a service account; with a key, exactly once. For persons who are admins.
    pub async fn create_service_account(
        &self,
        principal: &Principal,
        registration: ServiceRegistration,
        key: Option<IdempotencyKey>,
    ) -> Result<AccountAnswer, Error> {
        check_manager(principal, "create service accounts")?;
        let ServiceRegistration { name, role } = registration;
        let name = Name::new(&name);
        let name = name.map_err(|error| Error::Invalid(Problems::one("/name", error.to_string())))?;
        let claim = key
            .map(|key| claim(principal.account_id, key, &("create_service_account", &name, role)))
            .transpose()?;
        let at = self.clock.now();
        let account = Account::service(self.new_account_id(), name, role, at);
        let claim_at = claim.as_ref().map(|claim| ClaimAt { claim, at });
        match self.store.create_account_under(&account, Some(principal.credential(at)), claim_at).await? {
            UnderKey::Ended(AccountCreation::Created) => Ok(AccountAnswer { account, replayed: false }),
            UnderKey::Ended(AccountCreation::CallerRevoked) => Err(Error::TokenRevoked),
            UnderKey::Ended(AccountCreation::EmailTaken) => {
                Err(Error::Internal("a new service account has the id of another account".into()))
            }
            UnderKey::Claimed(record) => match record.resource {
                Resource::Account(id) => self.replay_edit(id, &record, claim.as_ref()).await,
                _ => Err(Error::KeyReused),
            },
        }
    }

    /// Creates an API key of a service account; with an idempotency key, exactly once. For persons who are admins.
    ///
    /// Only this answer contains the secret. The answer to a retry does not, because the store knows only its hash.
    pub async fn create_api_key(
        &self,
        principal: &Principal,
        account_id: AccountId,
        request: KeyRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<KeyAnswer, Error> {
        check_manager(principal, "create API keys")?;
        let (mut problems, at) = (Problems::new(), self.clock.now());
        let name = problems.check("/name", Name::new(&request.name));
        let scopes = checked_scopes(&mut problems, request.scopes);
        // As stored and shown: in milliseconds.
        let expires_at =
            request.expires_at.map(|at| Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at));
        let claim = match (key, &name) {
            (Some(key), Some(name)) => {
                let request = ("create_api_key", account_id, name, &scopes, expires_at);
                Some(claim(principal.account_id, key, &request)?)
            }
            _ => None,
        };
        // The retry is checked first: the expiry of its key may have passed since.
        if let Some(claim) = &claim
            && let Some(record) = self.store.find_account_claim(claim.account_id, &claim.key).await?
        {
            return self.replay_key(account_id, &record, Some(claim)).await;
        }
        check_expiry(&mut problems, expires_at, at);
        problems.into_result().map_err(Error::Invalid)?;
        let name = name.ok_or_else(|| Error::Internal("a key without problems has no name".into()))?;
        let secret = ApiKeySecret::generate(&*self.random);
        let id = ApiKeyId::generate(at, Bucket::from_random(self.random.next_u64()), self.random.next_u64());
        let created_by = principal.account_id;
        let key = ApiKey {
            id,
            account_id,
            name,
            scopes,
            as_of: 0,
            created_at: at,
            created_by,
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let new = NewApiKey { key, hash: secret.hash(), max_active: MAX_ACTIVE_KEYS };
        let claim_at = claim.as_ref().map(|claim| ClaimAt { claim, at });
        match self.store.create_api_key_under(&new, Some(principal.credential(at)), claim_at).await? {
            UnderKey::Ended(ApiKeyCreation::Created(key)) => {
                Ok(KeyAnswer { key: *key, secret: Some(secret) })
            }
            UnderKey::Ended(ApiKeyCreation::NotFound) => Err(Error::NotFound("service account")),
            UnderKey::Ended(ApiKeyCreation::Disabled) => {
                Err(Error::Invalid(Problems::one("", "the service account is disabled; enable it first")))
            }
            UnderKey::Ended(ApiKeyCreation::TooMany) => {
                Err(Conflict::TooManyApiKeys { limit: MAX_ACTIVE_KEYS }.into())
            }
            UnderKey::Ended(ApiKeyCreation::CallerRevoked) => Err(Error::TokenRevoked),
            UnderKey::Claimed(record) => self.replay_key(account_id, &record, claim.as_ref()).await,
        }
    }

    /// Returns the answer to a retry with the same idempotency key: the key without its secret.
    async fn replay_key(
        &self,
        account_id: AccountId,
        record: &ClaimRecord,
        claim: Option<&Claim>,
    ) -> Result<KeyAnswer, Error> {
        let Resource::ApiKey(id) = record.resource else { return Err(Error::KeyReused) };
        if !is_same_request(record, claim)? {
            return Err(Error::KeyReused);
        }
        let key = self.stored_key(account_id, id).await?;
        self.metrics.replays.inc();
        Ok(KeyAnswer { key, secret: None })
    }

    /// Returns an API key, with its uses at this server. For admins.
    pub async fn api_key(
        &self,
        principal: &Principal,
        account_id: AccountId,
        id: ApiKeyId,
    ) -> Result<ApiKey, Error> {
        principal.require(Scope::ReadAccounts)?;
        principal.require_admin("read API keys")?;
        self.write_pending_uses().await;
        self.stored_key(account_id, id).await
    }

    async fn stored_key(&self, account_id: AccountId, id: ApiKeyId) -> Result<ApiKey, Error> {
        let key = self.store.api_key(id).await?;
        key.filter(|key| key.account_id == account_id).ok_or(Error::NotFound("API key"))
    }

    /// Returns a page of the keys of a service account with ids after `after`, ordered by id, including revoked and expired
    /// keys. The keys state their uses at this server until now, and their uses at other servers until the last
    /// background write. For admins.
    pub async fn api_keys(
        &self,
        principal: &Principal,
        account_id: AccountId,
        after: Option<ApiKeyId>,
        limit: PageSize,
    ) -> Result<Vec<ApiKey>, Error> {
        principal.require(Scope::ReadAccounts)?;
        principal.require_admin("list API keys")?;
        let account = self.store.account(account_id).await?;
        if account.is_none_or(|account| account.holder != AccountHolder::Service) {
            return Err(Error::NotFound("service account"));
        }
        self.write_pending_uses().await;
        Ok(self.store.api_keys(account_id, after, limit).await?)
    }

    /// Revokes an API key. A key that is already revoked does not change. For admins, also for service accounts: a program
    /// that finds a leaked key may revoke it. Then writes the pending uses, so that after a leak every server states
    /// that the key was used here.
    pub async fn revoke_api_key(
        &self,
        principal: &Principal,
        account_id: AccountId,
        id: ApiKeyId,
    ) -> Result<(), Error> {
        principal.require(Scope::WriteAccounts)?;
        principal.require_admin("revoke API keys")?;
        self.revoke_credential(Some(principal), account_id, CredentialId::ApiKey(id)).await?;
        self.write_pending_uses().await;
        Ok(())
    }
}

/// Checks that the caller manages service accounts. `what` completes the sentence "a service account cannot".
fn check_manager(principal: &Principal, what: &str) -> Result<(), Error> {
    principal.require(Scope::WriteAccounts)?;
    principal.require_admin(what)?;
    principal.require_person(what)
}

/// Returns the names of the scopes without repetition, in the order of [`Scope::ALL`]; `None` for all scopes.
fn checked_scopes(problems: &mut Problems, names: Option<Vec<String>>) -> Option<Vec<String>> {
    let names = names?;
    if names.len() > MAX_KEY_SCOPES {
        problems.add("/scopes", entry_count(1, MAX_KEY_SCOPES, names.len()));
        return None;
    }
    if names.is_empty() {
        problems.add("/scopes", entry_count(1, MAX_KEY_SCOPES, 0));
    }
    for (index, name) in names.iter().enumerate().filter(|(_, name)| Scope::from_name(name).is_none()) {
        problems.add(format!("/scopes/{index}"), one_of(Scope::ALL.map(Scope::as_str).join(", "), name));
    }
    let is_named = |scope: &Scope| names.iter().any(|name| name == scope.as_str());
    Some(Scope::ALL.into_iter().filter(is_named).map(|scope| scope.as_str().to_owned()).collect())
}

fn check_expiry(problems: &mut Problems, expires_at: Option<Timestamp>, now: Timestamp) {
    if let Some(Err(detail)) = expires_at.map(|expires_at| check_key_expiry(expires_at, now)) {
        problems.add("/expires_at", detail);
    }
}

/// Checks the expiry of a new key.
///
/// # Errors
///
/// What is allowed, if the key cannot have this expiry.
pub fn check_key_expiry(expires_at: Timestamp, now: Timestamp) -> Result<(), &'static str> {
    let lifetime = expires_at.duration_since(now);
    if lifetime.is_negative() || lifetime.is_zero() || lifetime.unsigned_abs() > MAX_LIFETIME {
        return Err("must be a time within the next ten years; omit it for a key that does not expire");
    }
    Ok(())
}
