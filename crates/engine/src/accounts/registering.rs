//! Registration of accounts, and login with a password.

use dabba_domain::{
    AccountId, Bucket, Problems, Role,
    text::{Name, normalize_password},
};
use dabba_store::{
    Account, AccountCreation, AccountHolder, Claim, ClaimAt, ClaimRecord, IdempotencyKey, Resource, UnderKey,
};

use super::{Accounts, passwords::forms_of};
use crate::{
    Conflict, Error, Principal, Scope,
    claims::{claim, is_same_request},
};

/// Maximum length of an e-mail address, in bytes (RFC 5321, without the angle brackets of the path).
pub const MAX_EMAIL_LENGTH: usize = 254;

/// Data of a new account.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// The e-mail address, which identifies the account.
    pub email: String,
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// The role.
    pub role: Role,
}

/// Result of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The account.
    pub account: Account,
    /// Whether this answer replays an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Accounts {
    /// Returns a new account id. Its bucket is random and has no meaning.
    pub(super) fn new_account_id(&self) -> AccountId {
        let bucket = Bucket::from_random(self.random.next_u64());
        AccountId::generate(self.clock.now(), bucket, self.random.next_u64())
    }

    /// Registers an account. Everyone may register a customer's account; other roles are for admins.
    pub async fn register(
        &self,
        principal: Option<&Principal>,
        registration: Registration,
    ) -> Result<Account, Error> {
        self.register_under(principal, registration, None).await.map(|registered| registered.account)
    }

    /// Registers an account; with a key, exactly once.
    ///
    /// The key belongs to the caller. The key of a caller without an account belongs to the new account, which a retry
    /// finds by the e-mail address. The fingerprint of the request does not contain the password, because it is not a
    /// password hash; a retry proves the password by verifying it against the account's hash.
    pub async fn register_under(
        &self,
        principal: Option<&Principal>,
        registration: Registration,
        key: Option<IdempotencyKey>,
    ) -> Result<Registered, Error> {
        if let Some(principal) = principal {
            principal.require(Scope::WriteAccounts)?;
            principal.require_person("register accounts")?;
        }
        let by_admin = principal.is_some_and(|principal| principal.role == Role::Admin);
        if registration.role != Role::Customer && !by_admin {
            return Err(Error::Forbidden("only an admin may register an account with this role".into()));
        }
        let mut problems = Problems::new();
        let email = problems.check("/email", normalise_email(&registration.email));
        let name = problems.check("/name", Name::new(&registration.name));
        let password = normalize_password(&registration.password);
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
            // An earlier version may have accepted the password. A retry is not checked again.
            let earlier = match claim {
                Some(claim) => self.registered_before(principal, &email, claim, password).await?,
                None => None,
            };
            return earlier.ok_or(Error::Invalid(problems));
        }
        let password_hash = self.passwords.hash(password.clone()).await?;
        let account = Account {
            id,
            holder: AccountHolder::Person,
            email,
            name,
            role,
            password_hash,
            created_at: self.clock.now(),
            version: 1,
            disabled_at: None,
            deleted_at: None,
            revocation: 0,
        };
        let by = principal.map(|principal| principal.credential(account.created_at));
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

    /// Returns the account with this address if the same request with this key created it. For a caller without an
    /// account, the key belongs to the created account.
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

    /// Returns the account that a key's record names, if the request is the same.
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
        // A deleted account has no password to verify. Its own keys cannot be found by its address, so the caller is an
        // admin or another account that registered it.
        let fits = account.deleted_at.is_some()
            || self.passwords.verify(vec![password], Some(account.password_hash.clone())).await?;
        if fits {
            self.metrics.replays.inc();
        }
        Ok(fits.then_some(Registered { account, replayed: true }))
    }

    /// Returns the account with this address and password. The check takes the same time for an unknown address, and a
    /// disabled account is refused like a wrong password, so that nobody can find out who has an account.
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

/// Error: the text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an e-mail address such as name@example.org, of at most {MAX_EMAIL_LENGTH} characters: ASCII letters, digits \
     and punctuation, without spaces, with one @. Write an internationalized domain in its ASCII form (xn--…); an address \
     with other letters before the @ cannot be used"
)]
pub struct EmailError;

/// Checks an e-mail address in the same way as a registration.
pub fn check_email(email: &str) -> Result<(), EmailError> {
    normalise_email(email).map(drop)
}

/// Returns the normal form of an address, which is lower case: domains are case-insensitive (RFC 5321, section 2.4),
/// and no major provider has two mailboxes that differ only in case. Only the form of the address is checked; only an
/// e-mail to the address could prove that it exists.
pub(super) fn normalise_email(email: &str) -> Result<String, EmailError> {
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
    fn the_error_of_an_address_names_the_allowed_forms() {
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
