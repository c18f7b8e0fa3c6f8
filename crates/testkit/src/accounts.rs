//! Accounts of every role, with tokens.

use dabba_domain::{AccountId, Role};
use dabba_engine::{Engine, Principal, Registration};
use dabba_web::{SigningKey, issue_token};

/// Password of every account.
pub const PASSWORD: &str = "correct horse";

/// An account and a token for it.
#[derive(Clone, Debug)]
pub struct TestAccount {
    /// Id of the account.
    pub id: AccountId,
    /// Role of the account.
    pub role: Role,
    /// E-mail address of the account; its password is [`PASSWORD`].
    pub email: String,
    /// Bearer token for the account.
    pub token: String,
}

impl TestAccount {
    /// Registers an account with this name and role, and issues a token for it.
    pub(crate) async fn register(
        engine: &Engine,
        key: &SigningKey,
        lifetime: std::time::Duration,
        name: &str,
        role: Role,
    ) -> Self {
        // The first admin of a server can only be registered from outside the API.
        let platform = Principal::new(AccountId::from_uuid(PLATFORM).expect("a UUIDv7"), Role::Admin);
        let email = format!("{}@example.org", name.replace(' ', "-"));
        let registration =
            Registration { email: email.clone(), name: name.to_owned(), password: PASSWORD.to_owned(), role };
        let account = engine
            .accounts
            .register(Some(&platform), registration)
            .await
            .expect("registering an account should succeed");
        let bearer = Principal { as_of: account.revocation, ..Principal::new(account.id, role) };
        let token = issue_token(key, &bearer, engine.now(), lifetime);
        Self { id: account.id, role, email, token }
    }

    /// Returns the account as the engine's caller.
    pub const fn principal(&self) -> Principal {
        Principal::new(self.id, self.role)
    }
}

/// Id of an account that does not exist.
const PLATFORM: uuid::Uuid = uuid::Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000);
