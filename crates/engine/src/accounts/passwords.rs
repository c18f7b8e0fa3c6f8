//! Passwords: which are taken, and their hashes.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};
use dabba_domain::{Problems, text::opaque};
use tokio::sync::Semaphore;

use crate::{EngineConfig, Error, PasswordCost, Random};

/// Shortest password, in characters (NIST SP 800-63B).
pub const MIN_PASSWORD_LENGTH: usize = 8;
/// Longest password, in bytes. Bounds the work that a caller can ask for.
pub const MAX_PASSWORD_LENGTH: usize = 256;

/// Adds what keeps a new password, in its normal form, from being taken.
pub(super) fn check_password(problems: &mut Problems, pointer: &str, password: &str) {
    if password.chars().count() < MIN_PASSWORD_LENGTH {
        problems.add(pointer, format!("must be at least {MIN_PASSWORD_LENGTH} characters"));
    }
    if password.len() > MAX_PASSWORD_LENGTH {
        problems.add(pointer, format!("must be at most {MAX_PASSWORD_LENGTH} bytes"));
    }
    if password.chars().any(char::is_control) {
        problems.add(pointer, "must not contain control characters");
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

    pub(super) async fn hash(&self, password: String) -> Result<String, Error> {
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
    pub(super) async fn verify(&self, forms: Vec<String>, hash: Option<String>) -> Result<bool, Error> {
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
pub(super) fn forms_of(password: String) -> Vec<String> {
    let mut forms = vec![opaque(&password), password];
    forms.dedup();
    forms.retain(|form| form.len() <= MAX_PASSWORD_LENGTH);
    forms
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
}
