//! Rules for passwords, and their hashes.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version};
use dabba_domain::{Problems, text::normalize_password};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;

use crate::{EngineConfig, Error, PasswordCost, Random};

/// Minimum length of a password, in characters (NIST SP 800-63B).
pub const MIN_PASSWORD_LENGTH: usize = 8;
/// Maximum length of a password, in bytes. It limits the work that a caller can cause.
pub const MAX_PASSWORD_LENGTH: usize = 256;

/// Minimum number of guesses that a password has to withstand, as estimated by zxcvbn. Passwords below it are common
/// passwords, or patterns of few parts such as a word with a digit.
const MIN_GUESSES: u64 = 1_000_000;
/// Maximum length of the name or address that a password is compared with, in characters.
const MAX_COMPARED: usize = 254;
/// Maximum number of passwords that wait to be hashed. Further requests are refused as overloaded, because they would
/// wait longer than their clients do.
const MAX_WAITING: usize = 64;

/// Adds the reasons why a new password, in its normal form, is refused.
fn check_password(problems: &mut Problems, pointer: &str, password: &str) {
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

/// Hashes and verifies passwords, a few at a time, outside the threads that serve requests.
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    /// Places for requests that wait for a permit.
    waiting: Semaphore,
    cost: PasswordCost,
    random: Arc<dyn Random>,
    /// Hash that is verified when there is no account, so that the answer takes the same time.
    decoy: tokio::sync::OnceCell<String>,
}

/// Returns whether a password is easy to guess for a person who knows these texts about its owner. Texts are compared
/// in the normal form NFKC, because letters that only look different, such as `ſ` or `ａ`, do not make a password harder
/// to guess.
fn is_easy(password: &str, about: &[String]) -> bool {
    let password: String = password.nfkc().collect();
    let mut parts = vec!["dabba".to_owned()];
    for text in about {
        let text: String = text.nfkc().take(MAX_COMPARED).collect();
        // The whole address, the parts before and after the @, each word, and all words joined without separators.
        parts.push(text.chars().filter(|character| character.is_alphanumeric()).collect());
        parts.extend(text.split(|character: char| !character.is_alphanumeric()).map(str::to_owned));
        if let Some((local, domain)) = text.split_once('@') {
            // The domain also without its last label: `gmail` of gmail.com.
            let name = domain.rsplit_once('.').map_or(domain, |(name, _)| name);
            let joined: String = domain.chars().filter(|character| *character != '.').collect();
            parts.extend([local.to_owned(), domain.to_owned(), name.to_owned(), joined]);
        }
        parts.push(text);
    }
    parts.retain(|part| !part.is_empty());
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    zxcvbn::zxcvbn(&password, &parts).guesses() < MIN_GUESSES
}

impl Passwords {
    pub(crate) fn new(config: &EngineConfig, random: Arc<dyn Random>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(config.concurrent_password_hashes.max(1))),
            waiting: Semaphore::new(MAX_WAITING),
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

    /// Returns whether a form of the password matches the hash; `false` if there is no hash.
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

    /// Adds the reasons why a new password, in its normal form, is refused, including that it is easy to guess for a
    /// person who knows these texts about its owner.
    pub(super) async fn check(
        &self,
        problems: &mut Problems,
        pointer: &str,
        password: &str,
        about: Vec<String>,
    ) -> Result<(), Error> {
        let before = problems.as_slice().len();
        check_password(problems, pointer, password);
        if problems.as_slice().len() > before {
            return Ok(());
        }
        let given = password.to_owned();
        if self.run(move || Ok(is_easy(&given, &about))).await? {
            problems.add(
                pointer,
                "is easy to guess: it is a common password, or close to one, to the name or to the e-mail address; choose \
                 a longer one, such as several words",
            );
        }
        Ok(())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let waiting = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(internal)?;
        drop(waiting);
        tokio::task::spawn_blocking(move || {
            let _permit = permit; // Held while the work runs, even if the caller stops waiting.
            work()
        })
        .await
        .map_err(internal)?
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

/// Returns the forms of a password that are verified against a hash: the normal form, in which passwords are hashed,
/// and the password as entered, which earlier versions hashed. Empty if the password is too long for any hash.
pub(super) fn forms_of(password: String) -> Vec<String> {
    let mut forms = vec![normalize_password(&password), password];
    forms.dedup();
    forms.retain(|form| form.len() <= MAX_PASSWORD_LENGTH);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;

    fn passwords() -> Passwords {
        let config = EngineConfig { password_cost: PasswordCost::MIN, ..EngineConfig::default() };
        Passwords::new(&config, Arc::new(SeededRandom::new(1)))
    }

    /// Proves that a password matches in every normal form, and that hashes from before the introduction of the normal
    /// form still match.
    #[tokio::test]
    async fn a_password_matches_in_every_form() {
        let (composed, decomposed) = ("caf\u{e9} \u{e9}t\u{e9}", "cafe\u{301}\u{a0}e\u{301}te\u{301}");
        let passwords = passwords();
        let verify =
            |given: &str, hash: &str| passwords.verify(forms_of(given.to_owned()), Some(hash.to_owned()));
        let hash = passwords.hash(normalize_password(decomposed)).await.unwrap();
        for given in [composed, decomposed] {
            assert!(verify(given, &hash).await.unwrap(), "{given:?}");
        }
        assert!(!verify("cafe ete", &hash).await.unwrap());
        let old = passwords.hash(decomposed.to_owned()).await.unwrap();
        assert!(verify(decomposed, &old).await.unwrap());
        assert!(!passwords.verify(forms_of(composed.to_owned()), None).await.unwrap());
    }

    /// Proves which passwords are easy to guess, and that replacing ASCII letters or spaces by similar characters makes
    /// no difference.
    #[test]
    fn common_passwords_are_easy_to_guess() {
        let about = ["ada.lovelace@example.org".to_owned(), "Ada King".to_owned()];
        for easy in [
            "password",
            "Password1",
            "passw0rd!",
            "12345678",
            "1234567890",
            "qwertyuiop",
            "iloveyou",
            "aaaaaaaa",
            "letmein1",
            "sunshine",
            "lovelace",
            "ada.lovelace",
            "AdaKing1",
            "ada.lovelace@example.org",
            "dabbadabba",
            "19900101",
            // The same passwords in letters that only look different.
            "paſſword",
            "ｐａｓｓｗｏｒｄ",
            "ｌｏｖｅｌａｃｅ",
            // The domain of the address.
            "example.org",
            "exampleorg",
            "Example1",
        ] {
            assert!(is_easy(easy, &about), "{easy}");
        }
        for hard in [
            "correct horse",
            "seven green kettles",
            "tr0ub4dor&3 x",
            "пароль из слов",
            "山田太郎の秘密の言葉",
            "🍜🍛🍣 lunch at noon",
        ] {
            assert!(!is_easy(hard, &about), "{hard}");
        }
        // A password that is easy for one person need not be easy for another.
        assert!(!is_easy("grzegorz brzeczyszczykiewicz", &about));
        assert!(is_easy("brzeczyszczykiewicz", &["Grzegorz Brzeczyszczykiewicz".to_owned()]));
    }

    /// Proves that a flood of passwords is refused beyond a limit instead of queued, and that the queued ones are
    /// hashed.
    #[tokio::test]
    async fn the_queue_of_passwords_is_bounded() {
        let passwords = passwords();
        let all = u32::try_from(passwords.permits.available_permits()).unwrap();
        let held = Arc::clone(&passwords.permits).acquire_many_owned(all).await.unwrap();
        let mut waiting: Vec<_> =
            (0..=MAX_WAITING).map(|_| Box::pin(passwords.hash("correct horse".into()))).collect();
        let mut refused = 0;
        for hash in &mut waiting {
            if let Some(outcome) = futures::FutureExt::now_or_never(hash.as_mut()) {
                assert!(matches!(outcome, Err(Error::Overloaded)), "{outcome:?}");
                refused += 1;
            }
        }
        assert_eq!(refused, 1);
        drop(held);
        waiting.truncate(MAX_WAITING);
        for hash in waiting {
            hash.await.unwrap();
        }
    }

    #[test]
    fn only_forms_that_can_match_a_hash_are_verified() {
        assert_eq!(forms_of("correct horse".into()), ["correct horse"]);
        assert_eq!(forms_of("e\u{301}".into()), ["\u{e9}", "e\u{301}"]);
        // Too long as entered, but not in its normal form.
        assert_eq!(forms_of("e\u{301}".repeat(100)), ["\u{e9}".repeat(100)]);
        assert_eq!(forms_of("x".repeat(MAX_PASSWORD_LENGTH + 1)), Vec::<String>::new());
    }
}
