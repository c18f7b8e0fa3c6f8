//! Accounts: registration, passwords, and who works for which restaurant.

use std::{sync::Arc, time::Duration};

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};
use dabba_domain::{
    AccountId, Problems, RestaurantId, Role,
    text::{Name, opaque},
};
use dabba_store::{
    Account, AccountCreation, Claim, ClaimAt, ClaimRecord, IdempotencyKey, PageSize, Resource, Store,
    StoreError, UnderKey,
};
use moka::{future::Cache, ops::compute::Op};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    Conflict, Engine, EngineConfig, Error, PasswordCost, Principal, Random,
    orders::{claim, is_same_request},
    writing::to_the_end,
};

/// Shortest password, in characters (NIST SP 800-63B).
pub const MIN_PASSWORD_LENGTH: usize = 8;
/// Longest password, in bytes. Bounds the work that a caller can ask for.
pub const MAX_PASSWORD_LENGTH: usize = 256;
/// Longest e-mail address, in bytes (RFC 5321, with the path's brackets taken off).
pub const MAX_EMAIL_LENGTH: usize = 254;
/// Most memberships remembered.
const REMEMBERED_MEMBERSHIPS: u64 = 100_000;

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
        if password.chars().count() < MIN_PASSWORD_LENGTH {
            problems.add("/password", format!("must be at least {MIN_PASSWORD_LENGTH} characters"));
        }
        if password.len() > MAX_PASSWORD_LENGTH {
            problems.add("/password", format!("must be at most {MAX_PASSWORD_LENGTH} bytes"));
        }
        if password.chars().any(char::is_control) {
            problems.add("/password", "must not contain control characters");
        }
        problems.into_result().map_err(Error::Invalid)?;
        let (Some(email), Some(name)) = (email, name) else {
            return Err(Error::Internal("a registration without problems is incomplete".into()));
        };
        let role = registration.role;
        let id = self.new_account_id();
        let owner = principal.map_or(id, |principal| principal.account_id);
        let claim = key.map(|key| claim(owner, key, &("register", &email, &name, role))).transpose()?;
        let password_hash = self.passwords.hash(password.clone()).await?;
        let account = Account { id, email, name, role, password_hash, created_at: self.now() };
        let at = claim.as_ref().map(|claim| ClaimAt { claim, at: account.created_at });
        match self.store.create_account_under(&account, at).await? {
            UnderKey::Ended(AccountCreation::Created) => Ok(Registered { account, replayed: false }),
            UnderKey::Ended(AccountCreation::EmailTaken) => {
                let claim = claim.filter(|_| principal.is_none());
                let present = match claim {
                    Some(claim) => self.registered_under(&account.email, claim, password).await?,
                    None => None,
                };
                present.ok_or_else(|| Conflict::EmailTaken.into())
            }
            UnderKey::Claimed(record) => {
                let replayed = self.replay_registration(&record, claim.as_ref(), password).await?;
                replayed.ok_or(Error::KeyReused)
            }
        }
    }

    /// The account with this address, if it was registered under this key by a caller without an account.
    async fn registered_under(
        &self,
        email: &str,
        claim: Claim,
        password: String,
    ) -> Result<Option<Registered>, Error> {
        let Some(present) = self.store.account_by_email(email).await? else { return Ok(None) };
        match self.store.find_account_claim(present.id, &claim.key).await? {
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
        let fits = self.passwords.verify(vec![password], Some(account.password_hash.clone())).await?;
        if fits {
            self.metrics.replays.inc();
        }
        Ok(fits.then_some(Registered { account, replayed: true }))
    }

    /// The account with this address and password. Takes as long for an unknown address.
    pub async fn authenticate(&self, email: &str, password: String) -> Result<Account, Error> {
        let forms = forms_of(password);
        if forms.is_empty() {
            return Err(Error::WrongCredentials);
        }
        let email = normalise_email(email).map_err(|_| Error::WrongCredentials)?;
        let account = self.store.account_by_email(&email).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let fits = self.passwords.verify(forms, hash).await?;
        account.filter(|_| fits).ok_or(Error::WrongCredentials)
    }

    /// The caller's own account.
    pub async fn own_account(&self, principal: &Principal) -> Result<Account, Error> {
        self.store.account(principal.account_id).await?.ok_or(Error::NotFound("account"))
    }

    /// Makes an account a member of a restaurant's staff. For its staff and admins.
    pub async fn add_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<Account, Error> {
        self.check_staff(principal, restaurant_id).await?;
        self.catalogues.get(restaurant_id).await?;
        let account = self.store.account(account_id).await?.ok_or(Error::NotFound("account"))?;
        if account.role != Role::Restaurant {
            return Err(Error::Invalid(Problems::one("", "the account's role is not restaurant")));
        }
        let (store, memberships) = (Arc::clone(&self.store), self.memberships.clone());
        to_the_end(async move {
            store.add_member(restaurant_id, account_id).await?;
            memberships.forget(account_id).await;
            Ok(account)
        })
        .await
    }

    /// Ends a membership. For the restaurant's staff and admins.
    pub async fn remove_member(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        account_id: AccountId,
    ) -> Result<(), Error> {
        self.check_staff(principal, restaurant_id).await?;
        let (store, memberships) = (Arc::clone(&self.store), self.memberships.clone());
        let removed = to_the_end(async move {
            let removed = store.remove_member(restaurant_id, account_id).await?;
            memberships.forget(account_id).await;
            Ok(removed)
        })
        .await?;
        if removed { Ok(()) } else { Err(Error::NotFound("member")) }
    }

    /// A page of a restaurant's staff behind the given account, by id. For its staff and admins.
    pub async fn members(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        after: Option<AccountId>,
        limit: PageSize,
    ) -> Result<Vec<Account>, Error> {
        self.check_staff(principal, restaurant_id).await?;
        self.catalogues.get(restaurant_id).await?;
        Ok(self.store.members(restaurant_id, after, limit).await?)
    }

    /// The restaurants for which an account works.
    pub async fn memberships(&self, account_id: AccountId) -> Result<Arc<[RestaurantId]>, Error> {
        Ok(self.memberships.get(account_id, &*self.store).await?)
    }

    pub(crate) async fn works_for(&self, account_id: AccountId, id: RestaurantId) -> Result<bool, Error> {
        Ok(self.memberships(account_id).await?.contains(&id))
    }

    /// That an account exists and is a courier's.
    pub(crate) async fn check_courier(&self, courier_id: AccountId) -> Result<(), Error> {
        match self.store.account(courier_id).await? {
            Some(account) if account.role == Role::Courier => Ok(()),
            _ => Err(Error::Invalid(Problems::one("/courier_id", "is not the account of a courier"))),
        }
    }
}

/// Memberships in memory: for a short time, and for longer while they cannot be looked up. A clone shares them.
#[derive(Clone)]
pub(crate) struct MembershipCache {
    entries: Cache<AccountId, Memberships>,
    max_age: Duration,
    max_stale_age: Duration,
}

#[derive(Clone)]
struct Memberships {
    restaurants: Arc<[RestaurantId]>,
    looked_up_at: Instant,
    /// Until when they are used without looking.
    good_until: Instant,
}

impl Memberships {
    fn are_good(&self) -> bool {
        Instant::now() < self.good_until
    }
}

impl MembershipCache {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let (max_age, max_stale_age) =
            (config.membership_max_age, config.membership_max_stale_age.max(config.membership_max_age));
        let entries = Cache::builder()
            .max_capacity(REMEMBERED_MEMBERSHIPS)
            .time_to_live(max_stale_age.max(Duration::from_millis(1)))
            .build();
        Self { entries, max_age, max_stale_age }
    }

    /// The restaurants for which an account works, looked up when they are not remembered.
    async fn get(&self, account_id: AccountId, store: &dyn Store) -> Result<Arc<[RestaurantId]>, StoreError> {
        if let Some(remembered) = self.entries.get(&account_id).await.filter(Memberships::are_good) {
            return Ok(remembered.restaurants);
        }
        Box::pin(self.look_up_once(account_id, store)).await
    }

    /// Looks memberships up, once for all who ask meanwhile.
    async fn look_up_once(
        &self,
        account_id: AccountId,
        store: &dyn Store,
    ) -> Result<Arc<[RestaurantId]>, StoreError> {
        let entry = self.entries.entry(account_id);
        let looked_up = entry.and_try_compute_with(async |remembered| {
            let remembered = remembered.map(moka::Entry::into_value);
            if remembered.as_ref().is_some_and(Memberships::are_good) {
                return Ok(Op::Nop); // Someone else looked while this call waited for its turn.
            }
            self.look_up(account_id, remembered, store).await.map(Op::Put)
        });
        let entry = looked_up.await?.into_entry();
        Ok(entry.map(|entry| entry.into_value().restaurants).unwrap_or_default())
    }

    async fn look_up(
        &self,
        account_id: AccountId,
        remembered: Option<Memberships>,
        store: &dyn Store,
    ) -> Result<Memberships, StoreError> {
        let looked_up = store.memberships(account_id).await;
        let now = Instant::now();
        let good_until = now + self.max_age;
        match (looked_up, remembered) {
            (Ok(restaurants), _) => {
                Ok(Memberships { restaurants: restaurants.into(), looked_up_at: now, good_until })
            }
            (Err(error), Some(stale)) if now.duration_since(stale.looked_up_at) < self.max_stale_age => {
                tracing::warn!(%error, "memberships cannot be looked up; what is remembered is used");
                Ok(Memberships { good_until, ..stale })
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn forget(&self, account_id: AccountId) {
        self.entries.invalidate(&account_id).await;
    }
}

/// Hashes and verifies passwords, a few at a time and off the threads that serve requests.
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    cost: PasswordCost,
    random: Arc<dyn Random>,
    /// Verified against when there is no account, so that the answer takes as long.
    decoy: tokio::sync::OnceCell<String>,
}

impl Passwords {
    pub(crate) fn new(config: &EngineConfig, random: Arc<dyn Random>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(config.concurrent_password_hashes.max(1))),
            cost: config.password_cost,
            random,
            decoy: tokio::sync::OnceCell::new(),
        }
    }

    async fn hash(&self, password: String) -> Result<String, Error> {
        let argon2 = self.argon2()?;
        let mut salt = [0; 16];
        let (first, second) = salt.split_at_mut(8);
        first.copy_from_slice(&self.random.next_u64().to_le_bytes());
        second.copy_from_slice(&self.random.next_u64().to_le_bytes());
        self.run(move || {
            let hash = argon2.hash_password_with_salt(password.as_bytes(), &salt).map_err(internal)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether a form of the password fits the hash; `false` when there is none.
    async fn verify(&self, forms: Vec<String>, hash: Option<String>) -> Result<bool, Error> {
        let known = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.decoy.get_or_try_init(|| self.hash("nobody's password".into())).await?.clone(),
        };
        let argon2 = self.argon2()?;
        self.run(move || {
            let parsed = PasswordHash::new(&hash).map_err(internal)?;
            let fits = |form: &String| argon2.verify_password(form.as_bytes(), &parsed).is_ok();
            Ok(forms.iter().any(fits) && known)
        })
        .await
    }

    fn argon2(&self) -> Result<Argon2<'static>, Error> {
        let params = Params::new(self.cost.memory_kib, self.cost.iterations, 1, None).map_err(internal)?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(internal)?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit; // Held while the work runs, also when nobody waits for it any more.
            work()
        })
        .await
        .map_err(internal)?
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

/// The forms of a password that are tried against a hash: the normal form, in which passwords are hashed, and the password as
/// it was given, in which earlier versions hashed it. Empty if the password is too long for any hash.
fn forms_of(password: String) -> Vec<String> {
    let mut forms = vec![opaque(&password), password];
    forms.dedup();
    forms.retain(|form| form.len() <= MAX_PASSWORD_LENGTH);
    forms
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
    use crate::SeededRandom;

    fn passwords() -> Passwords {
        let config = EngineConfig { password_cost: PasswordCost::LEAST, ..EngineConfig::default() };
        Passwords::new(&config, Arc::new(SeededRandom::new(1)))
    }

    /// Proves that a password fits in every normal form, and that hashes of before passwords were normalized still fit.
    #[tokio::test]
    async fn a_password_fits_in_every_form() {
        let (composed, decomposed) = ("caf\u{e9} \u{e9}t\u{e9}", "cafe\u{301}\u{a0}e\u{301}te\u{301}");
        let passwords = passwords();
        let verify =
            |given: &str, hash: &str| passwords.verify(forms_of(given.to_owned()), Some(hash.to_owned()));
        let hash = passwords.hash(opaque(decomposed)).await.unwrap();
        for given in [composed, decomposed] {
            assert!(verify(given, &hash).await.unwrap(), "{given:?}");
        }
        assert!(!verify("cafe ete", &hash).await.unwrap());
        let old = passwords.hash(decomposed.to_owned()).await.unwrap();
        assert!(verify(decomposed, &old).await.unwrap());
        assert!(!passwords.verify(forms_of(composed.to_owned()), None).await.unwrap());
    }

    #[test]
    fn only_forms_that_a_hash_may_have_are_tried() {
        assert_eq!(forms_of("correct horse".into()), ["correct horse"]);
        assert_eq!(forms_of("e\u{301}".into()), ["\u{e9}", "e\u{301}"]);
        // Too long as it was given, but not in its normal form.
        assert_eq!(forms_of("e\u{301}".repeat(100)), ["\u{e9}".repeat(100)]);
        assert_eq!(forms_of("x".repeat(MAX_PASSWORD_LENGTH + 1)), Vec::<String>::new());
    }

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
