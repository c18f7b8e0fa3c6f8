//! Sessions of persons, for Dabba's own pages, and one-time links that log a person in.
//!
//! A session is a credential that the directory keeps, like an API key, so it can be listed and revoked. Its secret is in a cookie.
//! A session has all rights of the account's role.

mod authenticating;
mod token;

use std::sync::Arc;

use dabba_domain::{AccountId, Bucket, Problems, RestaurantId, Role, SessionId, Timestamp, text::Name};
use dabba_store::{
    Account, CredentialId, LoginLink, LoginLinkCreation, NewLoginLink, NewSession, PageSize, SecretHash,
    Session, SessionCreation, Subject,
};
use futures::{StreamExt as _, stream};
use jiff::SignedDuration;

pub(crate) use self::authenticating::Sessions;
pub use self::{authenticating::FoundSession, token::SecretToken};
use super::{Accounts, changing::check_owner};
use crate::{Error, Principal, Scope, writing::run_to_completion};

/// Maximum number of active sessions of an account: neither revoked nor expired. With another login, the session that has been
/// unused for the longest time ends.
pub const MAX_SESSIONS: u32 = 50;

/// Time for which a login link is valid.
pub const LOGIN_LINK_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// Maximum number of login links of an account that wait to be used. With another link, the oldest ends.
pub const MAX_LOGIN_LINKS: u32 = 20;

/// Maximum length of the stored text by which a client calls itself, in characters. The rest is cut off.
pub const MAX_USER_AGENT_LENGTH: usize = 200;

/// Maximum number of restaurants that a session lists.
pub const MAX_SESSION_RESTAURANTS: usize = 100;

/// Number of restaurants that are read concurrently for a session.
const RESTAURANTS_AT_ONCE: usize = 8;

/// Time for which sessions stay listed after their end. Servers must have learned of a revocation within this time, because the
/// revocation is deleted with the session.
pub(crate) const ENDED_SESSIONS_KEPT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Lifetime of a session of an admin without a use.
const LIFETIME_OF_ADMINS: SignedDuration = SignedDuration::from_hours(12);

/// Lifetime of other sessions without a use.
const LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Returns the time after the latest use for which a session of this role is valid.
pub const fn session_lifetime(role: Role) -> SignedDuration {
    match role {
        Role::Admin => LIFETIME_OF_ADMINS,
        Role::Customer | Role::Restaurant | Role::Courier => LIFETIME,
    }
}

/// A session after a login.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The session.
    pub session: Session,
    /// The account.
    pub account: Account,
    /// The secret of the session.
    pub secret: SecretToken,
}

/// A login link after its creation.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// The link.
    pub link: LoginLink,
    /// The token of the link.
    pub token: SecretToken,
}

/// A restaurant for which the account of a session works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRestaurant {
    /// The restaurant's id.
    pub id: RestaurantId,
    /// The restaurant's name.
    pub name: Name,
}

impl Accounts {
    /// Creates a session for an account whose password was verified ([`Self::authenticate`]). `user_agent` is what the client
    /// calls itself.
    pub async fn log_in(&self, account: Account, user_agent: Option<&str>) -> Result<LoggedIn, Error> {
        self.create_session(account, None, user_agent, Error::WrongCredentials).await
    }

    /// Returns the account that a login link logs in, without using the link.
    pub async fn account_of_link(&self, token: &SecretToken) -> Result<Account, Error> {
        let found = self.store.login_link(&token.hash()).await?;
        let (link, account) = found.ok_or(Error::VoidLink)?;
        let is_valid = self.clock.now() < link.expires_at && account.accepts(link.as_of);
        if is_valid { Ok(account) } else { Err(Error::VoidLink) }
    }

    /// Creates a session for the account of a login link ([`Self::account_of_link`]), and uses up the link.
    pub async fn redeem_link(
        &self,
        account: Account,
        token: &SecretToken,
        user_agent: Option<&str>,
    ) -> Result<LoggedIn, Error> {
        self.create_session(account, Some(token.hash()), user_agent, Error::VoidLink).await
    }

    /// Creates a session. `refusal` is the error if the account or the link is void by now.
    async fn create_session(
        &self,
        account: Account,
        link: Option<SecretHash>,
        user_agent: Option<&str>,
        refusal: Error,
    ) -> Result<LoggedIn, Error> {
        let (at, secret) = (self.clock.now(), SecretToken::generate(&*self.random));
        let id = SessionId::generate(at, Bucket::from_random(self.random.next_u64()), self.random.next_u64());
        let session = Session {
            id,
            account_id: account.id,
            as_of: account.revocation,
            created_at: at,
            expires_at: at.checked_add(session_lifetime(account.role)).unwrap_or(Timestamp::MAX),
            last_used_at: None,
            revoked_at: None,
            user_agent: user_agent.and_then(stored_user_agent),
        };
        let new = NewSession { session, hash: secret.hash(), link, max_active: MAX_SESSIONS };
        let (store, revocations) = (Arc::clone(&self.store), Arc::clone(&self.revocations));
        let created = run_to_completion(async move {
            let created = store.create_session(&new).await?;
            if let SessionCreation::Created { ended, .. } = &created {
                for (id, revision) in ended {
                    revocations.note(Subject::Session(*id), *revision, at);
                }
            }
            Ok(created)
        });
        match created.await? {
            SessionCreation::Created { session, .. } => Ok(LoggedIn { session: *session, account, secret }),
            SessionCreation::NoLink | SessionCreation::Void => Err(refusal),
        }
    }

    /// Returns the restaurants for which an account works, with their names, at most [`MAX_SESSION_RESTAURANTS`]. Omits
    /// restaurants that cannot be read now: one shard that is down must not keep anybody from logging in.
    pub async fn session_restaurants(&self, account: &Account) -> Result<Vec<SessionRestaurant>, Error> {
        if account.role != Role::Restaurant {
            return Ok(Vec::new());
        }
        let ids = self.memberships_of(account.id).await?;
        let ids: Vec<_> = ids.iter().copied().take(MAX_SESSION_RESTAURANTS).collect();
        let named = stream::iter(ids).map(async |id| match self.catalogue_cache.get(id).await {
            Ok(entry) => Some(SessionRestaurant { id, name: entry.restaurant().settings.name.clone() }),
            Err(error) => {
                tracing::warn!(restaurant = %id, %error, "a session omits a restaurant that cannot be read");
                None
            }
        });
        Ok(named.buffered(RESTAURANTS_AT_ONCE).filter_map(std::future::ready).collect().await)
    }

    /// Ends the session of a cookie that a new login has replaced. Does nothing if there is no such session, or if it has ended.
    pub async fn end_replaced(&self, secret: &SecretToken) -> Result<(), Error> {
        let found = match self.cached_session(secret) {
            Some(cached) => cached,
            None => self.read_session(secret).await?,
        };
        match found {
            Some(session) => self.log_out(&session).await,
            None => Ok(()),
        }
    }

    /// Ends a session. Does nothing if it has ended.
    pub async fn log_out(&self, found: &FoundSession) -> Result<(), Error> {
        // A session that this server already knows as ended needs no transaction.
        let is_known = self.is_still_admitted(&found.principal, found.read_at);
        if found.is_revoked || matches!(is_known, Err(Error::TokenRevoked)) {
            return Ok(());
        }
        match self.revoke_credential(None, found.principal.account_id, CredentialId::Session(found.id)).await
        {
            // Deleted, some time after its end.
            Err(Error::NotFound(_)) => Ok(()),
            ended => ended,
        }
    }

    /// Returns a page of the sessions of an account with ids after `after`, ordered by id, including the sessions that ended in the
    /// last seven days. They state their uses at this server until now, and their uses at other servers until the last background
    /// write. For the account's owner and admins.
    pub async fn sessions(
        &self,
        principal: &Principal,
        account_id: AccountId,
        after: Option<SessionId>,
        limit: PageSize,
    ) -> Result<Vec<Session>, Error> {
        principal.require(Scope::ReadAccounts)?;
        check_owner(principal, account_id)?;
        self.store.account(account_id).await?.ok_or(Error::NotFound("account"))?;
        self.write_pending_uses().await;
        Ok(self.store.sessions(account_id, after, limit).await?)
    }

    /// Returns a session. For the account's owner and admins.
    pub async fn session(
        &self,
        principal: &Principal,
        account_id: AccountId,
        id: SessionId,
    ) -> Result<Session, Error> {
        principal.require(Scope::ReadAccounts)?;
        check_owner(principal, account_id)?;
        let session = self.store.session(id).await?;
        session.filter(|session| session.account_id == account_id).ok_or(Error::NotFound("session"))
    }

    /// Revokes a session of an account. A session that is already revoked does not change. For the account's owner and admins.
    pub async fn revoke_session(
        &self,
        principal: &Principal,
        account_id: AccountId,
        id: SessionId,
    ) -> Result<(), Error> {
        principal.require(Scope::WriteAccounts)?;
        check_owner(principal, account_id)?;
        self.revoke_credential(Some(principal), account_id, CredentialId::Session(id)).await
    }

    /// Creates a link that logs in the person of an account once, within [`LOGIN_LINK_LIFETIME`]. For persons who are admins: a
    /// leaked API key could otherwise give access that outlives the key.
    pub async fn create_login_link(
        &self,
        principal: &Principal,
        account_id: AccountId,
    ) -> Result<NewLink, Error> {
        principal.require(Scope::WriteAccounts)?;
        principal.require_admin("create login links")?;
        principal.require_person("create login links")?;
        let (at, token) = (self.clock.now(), SecretToken::generate(&*self.random));
        let link = LoginLink {
            account_id,
            as_of: 0,
            created_at: at,
            created_by: principal.account_id,
            expires_at: at.checked_add(LOGIN_LINK_LIFETIME).unwrap_or(Timestamp::MAX),
        };
        let new = NewLoginLink { link, hash: token.hash(), max_open: MAX_LOGIN_LINKS };
        match self.store.create_login_link(&new, Some(principal.credential(at))).await? {
            LoginLinkCreation::Created(link) => Ok(NewLink { link, token }),
            LoginLinkCreation::NotFound => Err(Error::NotFound("account")),
            LoginLinkCreation::Service => {
                Err(Error::Forbidden("a service account cannot log in; create an API key for it".into()))
            }
            LoginLinkCreation::Disabled => {
                Err(Error::Invalid(Problems::one("", "the account is disabled; enable it first")))
            }
            LoginLinkCreation::CallerRevoked => Err(Error::TokenRevoked),
        }
    }
}

/// Returns the text by which a client calls itself, as it is stored: without control characters, cut; `None` if nothing is left.
fn stored_user_agent(text: &str) -> Option<String> {
    let printed = text.chars().filter(|character| !character.is_control());
    let stored: String = printed.take(MAX_USER_AGENT_LENGTH).collect();
    let stored = stored.trim();
    (!stored.is_empty()).then(|| stored.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_client_is_cut() {
        let long = "é".repeat(MAX_USER_AGENT_LENGTH + 1);
        for (given, stored) in [
            (" Mozilla/5.0 (X11) ", Some("Mozilla/5.0 (X11)")),
            ("a\u{0}b\u{7f}\nc", Some("abc")),
            ("", None),
            (" \t", None),
            (&long, Some(&long[..2 * MAX_USER_AGENT_LENGTH])),
        ] {
            assert_eq!(stored_user_agent(given).as_deref(), stored, "{given:?}");
        }
    }
}
