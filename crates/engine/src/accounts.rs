//! Accounts: registration and passwords, changes, tokens that are revoked, and who works for which restaurant.

mod changing;
mod members;
mod passwords;
mod revoked;

use dabba_domain::{
    Problems, Role,
    text::{Name, opaque},
};
use dabba_store::{
    Account, AccountCreation, Claim, ClaimAt, ClaimRecord, IdempotencyKey, Resource, UnderKey,
};

pub use changing::{AccountAnswer, AccountFilter, AccountPatch, NewPassword};
pub(crate) use members::MembershipCache;
pub(crate) use passwords::Passwords;
pub use passwords::{MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH};
pub(crate) use revoked::Revocations;

use self::passwords::forms_of;
use crate::{
    Conflict, Engine, Error, Principal,
    orders::{claim, is_same_request},
};

/// Longest e-mail address, in bytes (RFC 5321, with the path's brackets taken off).
pub const MAX_EMAIL_LENGTH: usize = 254;
/// What someone gives to get an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// The address by which they will be known.
    pub email: String,
    /// Their name.
    pub name: String,
    /// Their password.
    pub password: String,
    /// What the account is for.
    pub role: Role,
}

/// An account that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The account.
    pub account: Account,
    /// Whether an earlier request with the same idempotency key made it.
    pub replayed: bool,
}

impl Engine {
    /// Makes an account. Anyone makes a customer's; only an admin makes others.
    pub async fn register(
        &self,
        principal: Option<&Principal>,
        registration: Registration,
    ) -> Result<Account, Error> {
        self.register_under(principal, registration, None).await.map(|registered| registered.account)
    }

    /// Makes an account, once for a key, if one is given.
    ///
    /// The key is the caller's. A caller without an account makes one, and the key is that account's: it is
    /// found by the e-mail address. The fingerprint of the request does not contain the password, since it is no
    /// password hash; a retry proves the password against the account's.
    pub async fn register_under(
        &self,
        principal: Option<&Principal>,
        registration: Registration,
        key: Option<IdempotencyKey>,
    ) -> Result<Registered, Error> {
        let by_admin = principal.is_some_and(|principal| principal.role == Role::Admin);
        if registration.role != Role::Customer && !by_admin {
            return Err(Error::Forbidden("only an admin makes an account with this role".into()));
        }
        let mut problems = Problems::new();
        let email = problems.check("/email", normalise_email(&registration.email));
        let name = problems.check("/name", Name::new(&registration.name));
        let password = opaque(&registration.password);
        let about = vec![registration.email, registration.name];
        self.passwords.check(&mut problems, "/password", &password, about).await?;
        let role = registration.role;
        let id = self.new_account_id();
        let owner = principal.map_or(id, |principal| principal.account_id);
        let (Some(email), Some(name)) = (email, name) else {
            problems.into_result().map_err(Error::Invalid)?;
            return Err(Error::Internal("a registration without problems is incomplete".into()));
        };
        let claim = key.map(|key| claim(owner, key, &("register", &email, &name, role))).transpose()?;
        if let Err(problems) = problems.into_result() {
            // An earlier version may have accepted the password. A retry is not judged again.
            let earlier = match claim {
                Some(claim) => self.registered_before(principal, &email, claim, password).await?,
                None => None,
            };
            return earlier.ok_or(Error::Invalid(problems));
        }
        let password_hash = self.passwords.hash(password.clone()).await?;
        let account = Account {
            id,
            email,
            name,
            role,
            password_hash,
            created_at: self.now(),
            version: 1,
            disabled_at: None,
            deleted_at: None,
            revocation: 0,
        };
        let by = principal.map(Principal::credential);
        let at = claim.as_ref().map(|claim| ClaimAt { claim, at: account.created_at });
        match self.store.create_account_under(&account, by, at).await? {
            UnderKey::Ended(AccountCreation::Created) => Ok(Registered { account, replayed: false }),
            UnderKey::Ended(AccountCreation::EmailTaken) => {
                let claim = claim.filter(|_| principal.is_none());
                let present = match claim {
                    Some(claim) => self.registered_before(None, &account.email, claim, password).await?,
                    None => None,
                };
                present.ok_or_else(|| Conflict::EmailTaken.into())
            }
            UnderKey::Ended(AccountCreation::CallerRevoked) => Err(Error::TokenRevoked),
            UnderKey::Claimed(record) => {
                let replayed = self.replay_registration(&record, claim.as_ref(), password).await?;
                replayed.ok_or(Error::KeyReused)
            }
        }
    }

    /// The account with this address, if the same request under this key has made it. The key of a caller without an account is
    /// the made account's.
    async fn registered_before(
        &self,
        principal: Option<&Principal>,
        email: &str,
        claim: Claim,
        password: String,
    ) -> Result<Option<Registered>, Error> {
        let owner = match principal {
            Some(principal) => principal.account_id,
            None => match self.store.account_by_email(email).await? {
                Some(present) => present.id,
                None => return Ok(None),
            },
        };
        match self.store.find_account_claim(owner, &claim.key).await? {
            Some(record) => self.replay_registration(&record, Some(&claim), password).await,
            None => Ok(None),
        }
    }

    /// The account that a key led to, if the request is the same.
    async fn replay_registration(
        &self,
        record: &ClaimRecord,
        claim: Option<&Claim>,
        password: String,
    ) -> Result<Option<Registered>, Error> {
        let Resource::Account(id) = record.resource else { return Ok(None) };
        if !is_same_request(record, claim)? {
            return Ok(None);
        }
        let Some(account) = self.store.account(id).await? else { return Ok(None) };
        // A deleted account has no password, and its own keys are not found by its address: the caller registered it for somebody.
        let fits = account.deleted_at.is_some()
            || self.passwords.verify(vec![password], Some(account.password_hash.clone())).await?;
        if fits {
            self.metrics.replays.inc();
        }
        Ok(fits.then_some(Registered { account, replayed: true }))
    }

    /// The account with this address and password. Takes as long for an unknown address, and for an account that is
    /// disabled, which is refused like a wrong password: strangers do not learn who has an account.
    pub async fn authenticate(&self, email: &str, password: String) -> Result<Account, Error> {
        let forms = forms_of(password);
        if forms.is_empty() {
            return Err(Error::WrongCredentials);
        }
        let email = normalise_email(email).map_err(|_| Error::WrongCredentials)?;
        let account = self.store.account_by_email(&email).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let fits = self.passwords.verify(forms, hash).await?;
        account.filter(|account| fits && account.disabled_at.is_none()).ok_or(Error::WrongCredentials)
    }
}

/// Why a text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an e-mail address such as name@example.org, of at most {MAX_EMAIL_LENGTH} characters: ASCII letters, digits \
     and punctuation, without spaces, with one @. Write an internationalized domain in its ASCII form (xn--…); an address \
     with other letters before the @ cannot be used"
)]
pub struct EmailError;

/// Checks an e-mail address as a registration does.
pub fn check_email(email: &str) -> Result<(), EmailError> {
    normalise_email(email).map(drop)
}

/// The address in the form by which accounts are told apart, which is in lower case: domains do not distinguish case (RFC
/// 5321, section 2.4), and no provider of note has two mailboxes that differ in case only. Only that it looks like an address is
/// checked; whether it is one, only a letter to it tells.
fn normalise_email(email: &str) -> Result<String, EmailError> {
    let email = email.trim();
    let well_formed = email.len() <= MAX_EMAIL_LENGTH
        && email.is_ascii()
        && email.bytes().all(|byte| byte.is_ascii_graphic())
        && email
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if well_formed { Ok(email.to_ascii_lowercase()) } else { Err(EmailError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_allowed() {
        for (given, kept) in
            [(" Ada@Example.ORG ", "ada@example.org"), ("a+b@xn--mnchen-3ya.de", "a+b@xn--mnchen-3ya.de")]
        {
            assert_eq!(normalise_email(given).as_deref(), Ok(kept));
        }
        for given in ["zoë@example.org", "ada@münchen.de", "ada@", "@b", "a@b@c", "a b@c", ""] {
            let text = normalise_email(given).unwrap_err().to_string();
            assert!(text.contains("ASCII") && text.contains("xn--"), "{text}");
        }
    }
}
