//! People of every role, with accounts and tokens.

use dabba_domain::{AccountId, Role};
use dabba_engine::{Engine, Principal, Registration};
use dabba_http::{SigningKey, issue_token};

/// Everyone's password.
pub const PASSWORD: &str = "correct horse";

/// Someone with an account.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their account.
    pub id: AccountId,
    /// Its role.
    pub role: Role,
    /// Its e-mail address; the password is [`PASSWORD`].
    pub email: String,
    /// A token for it.
    pub token: String,
}

impl Person {
    /// Registers someone of this name.
    pub(crate) async fn register(
        engine: &Engine,
        key: &SigningKey,
        lifetime: std::time::Duration,
        name: &str,
        role: Role,
    ) -> Self {
        // The first admin of a server is made from outside the API, as here.
        let platform = Principal::new(AccountId::from_uuid(PLATFORM).expect("a UUIDv7"), Role::Admin);
        let email = format!("{}@example.org", name.replace(' ', "-"));
        let registration =
            Registration { email: email.clone(), name: name.to_owned(), password: PASSWORD.to_owned(), role };
        let account = engine.register(Some(&platform), registration).await.expect("an account can be made");
        let bearer = Principal { as_of: account.revocation, ..Principal::new(account.id, role) };
        let token = issue_token(key, &bearer, engine.now(), lifetime);
        Self { id: account.id, role, email, token }
    }

    /// As the engine knows them.
    pub const fn principal(&self) -> Principal {
        Principal::new(self.id, self.role)
    }
}

/// The id of an account that nobody has.
const PLATFORM: uuid::Uuid = uuid::Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000);
