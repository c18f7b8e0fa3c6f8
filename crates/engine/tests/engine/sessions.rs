//! Sessions and login links.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::Role;
use dabba_engine::{
    AccountPatch, Conditional, CredentialId, Engine, EngineConfig, Error, FoundSession, KeyUse, LoggedIn,
    MAX_SESSIONS, NewPassword, Principal, Registration, SecretToken, ServiceRegistration,
};
use dabba_store::{Account, PageSize, SessionStore as _};
use futures::future::join_all;
use jiff::SignedDuration;

use crate::{
    working::eventually,
    world::{World, config},
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Registers a person.
async fn person(world: &World, name: &str, role: Role) -> Account {
    let registration = Registration {
        email: format!("{name}@example.com"),
        name: name.into(),
        password: "long enough to be a password".into(),
        role,
    };
    world.engine.accounts.register(Some(&world.admin), registration).await.unwrap()
}

async fn log_in(engine: &Engine, account: &Account) -> LoggedIn {
    engine.accounts.log_in(account.clone(), Some("Mozilla/5.0")).await.unwrap()
}

/// Returns the caller of a session, as a request does.
async fn caller(engine: &Engine, secret: &SecretToken) -> Result<Principal, Error> {
    let found = found(engine, secret).await?.ok_or(Error::NotFound("session"))?;
    if found.is_revoked {
        return Err(Error::TokenRevoked);
    }
    if found.is_expired(engine.now()) {
        return Err(Error::WrongCredentials);
    }
    engine.accounts.admit(&found.principal, found.read_at).await?;
    engine.accounts.count_session_use(Some(&found), KeyUse::Accepted);
    Ok(found.principal)
}

async fn found(engine: &Engine, secret: &SecretToken) -> Result<Option<FoundSession>, Error> {
    match engine.accounts.cached_session(secret) {
        Some(cached) => Ok(cached),
        None => engine.accounts.read_session(secret).await,
    }
}

async fn redeem(engine: &Engine, token: &SecretToken) -> Result<LoggedIn, Error> {
    let account = engine.accounts.account_of_link(token).await?;
    engine.accounts.redeem_link(account, token, None).await
}

/// Proves that a session identifies its account, with the account's role and all scopes, and lists the account's restaurants.
#[tokio::test]
async fn a_session_has_the_rights_of_its_account() {
    let world = World::new().await;
    let accounts = &world.engine.accounts;
    let account = accounts.authenticate("staff@example.com", "long enough".into()).await.unwrap();
    let logged_in = log_in(&world.engine, &account).await;
    assert_eq!(logged_in.session.user_agent.as_deref(), Some("Mozilla/5.0"));
    let principal = caller(&world.engine, &logged_in.secret).await.unwrap();
    let kept = Some(CredentialId::Session(logged_in.session.id));
    assert_eq!(principal, Principal { kept, ..world.staff });
    world.engine.catalogue.pause(&principal, world.restaurant_id, None).await.unwrap();
    let restaurants = accounts.session_restaurants(&account).await.unwrap();
    let [restaurant] = &restaurants[..] else { panic!("{restaurants:?}") };
    assert_eq!((restaurant.id, restaurant.name.as_str()), (world.restaurant_id, "Tiffin Room"));
    let customer = person(&world, "ada", Role::Customer).await;
    assert_eq!(accounts.session_restaurants(&customer).await.unwrap(), []);
}

/// Proves that of two servers that redeem a link at once, one logs in, and that the link is void afterwards.
#[tokio::test]
async fn a_link_logs_in_once() {
    let world = World::new().await;
    let account = person(&world, "ada", Role::Courier).await;
    let link = world.engine.accounts.create_login_link(&world.admin, account.id).await.unwrap();
    let other = world.second_engine();
    let both = join_all([&*world.engine, &*other].map(|engine| redeem(engine, &link.token))).await;
    let [logged_in] = &both.iter().flatten().collect::<Vec<_>>()[..] else { panic!("{both:?}") };
    assert!(both.iter().any(|result| matches!(result, Err(Error::VoidLink))), "{both:?}");
    assert_eq!(caller(&world.engine, &logged_in.secret).await.unwrap().account_id, account.id);
    assert!(matches!(redeem(&world.engine, &link.token).await, Err(Error::VoidLink)));
}

/// Proves that a link is valid for ten minutes, and void after each change that ends the account's credentials.
#[tokio::test]
async fn a_link_ends() {
    let world = World::new().await;
    let accounts = &world.engine.accounts;
    let account = person(&world, "ada", Role::Courier).await;
    let link = async || accounts.create_login_link(&world.admin, account.id).await.unwrap();
    let (first, second) = (link().await, link().await);
    world.clock.advance(SignedDuration::from_millis(599_999));
    redeem(&world.engine, &first.token).await.unwrap();
    world.clock.advance(SignedDuration::from_millis(1));
    assert!(matches!(redeem(&world.engine, &second.token).await, Err(Error::VoidLink)));

    let revoked = link().await;
    accounts.revoke_tokens(&world.admin, account.id, None).await.unwrap();
    assert!(matches!(redeem(&world.engine, &revoked.token).await, Err(Error::VoidLink)));
    // The revocation may come after the first step of the login.
    let late = link().await;
    let authenticated = accounts.account_of_link(&late.token).await.unwrap();
    let new = NewPassword { password: "another long password".into(), current: None };
    accounts.set_password(&world.admin, account.id, new, None).await.unwrap();
    let redeemed = accounts.redeem_link(authenticated, &late.token, None).await;
    assert!(matches!(redeemed, Err(Error::VoidLink)), "{redeemed:?}");
    redeem(&world.engine, &link().await.token).await.unwrap();
}

/// Proves that only admins who are persons create links, and only for persons whose account is enabled.
#[tokio::test]
async fn links_are_created_by_admins() {
    let world = World::new().await;
    let accounts = &world.engine.accounts;
    let account = person(&world, "ada", Role::Courier).await;
    let registration = ServiceRegistration { name: "Till".into(), role: Role::Admin };
    let service = accounts.create_service_account(&world.admin, registration, None).await.unwrap().account;
    let program =
        Principal { holder: dabba_store::AccountHolder::Service, ..Principal::new(service.id, Role::Admin) };
    let own = Principal::new(account.id, Role::Courier);
    for by in [&world.staff, &world.customer, &own, &program] {
        let created = accounts.create_login_link(by, account.id).await;
        assert!(matches!(created, Err(Error::Forbidden(_))), "{by:?} {created:?}");
    }
    let created = accounts.create_login_link(&world.admin, service.id).await;
    assert!(matches!(created, Err(Error::Forbidden(_))), "{created:?}");
    let created = accounts.create_login_link(&world.admin, world.customer.account_id).await;
    assert!(matches!(created, Err(Error::NotFound("account"))), "{created:?}");
    let disable = AccountPatch { disabled: Some(true), ..AccountPatch::default() };
    accounts.change_account(&world.admin, account.id, disable, Conditional::default()).await.unwrap();
    let created = accounts.create_login_link(&world.admin, account.id).await;
    assert!(matches!(created, Err(Error::Invalid(_))), "{created:?}");
}

/// Proves that a session ends when it has not been used for its lifetime, that each use extends it, and that the lifetime depends
/// on the role.
#[tokio::test]
async fn uses_extend_a_session() {
    let world = World::new().await;
    for (role, lifetime) in [
        (Role::Restaurant, DAY * 30),
        (Role::Courier, DAY * 30),
        (Role::Customer, DAY * 30),
        (Role::Admin, SignedDuration::from_hours(12)),
    ] {
        let account = person(&world, role.as_str(), role).await;
        let secret = log_in(&world.engine, &account).await.secret;
        let almost = lifetime - SignedDuration::from_millis(1);
        for _ in 0..3 {
            world.clock.advance(almost);
            caller(&world.engine, &secret).await.unwrap();
        }
        world.clock.advance(lifetime);
        let expired = caller(&world.engine, &secret).await;
        assert!(matches!(expired, Err(Error::WrongCredentials)), "{role:?} {expired:?}");
        // It stays expired after the server has read it again.
        world.clock.advance(SignedDuration::from_mins(1));
        let expired = caller(&world.engine, &secret).await;
        assert!(matches!(expired, Err(Error::WrongCredentials)), "{role:?} {expired:?}");
    }
}

/// Proves that a server accepts a session that another server has extended, although this server knows an earlier expiry; and that
/// streams on this server end, because they do not read the directory.
#[tokio::test]
async fn another_server_extends_a_session() {
    let world = World::new().await;
    let other = world.second_engine();
    let account = person(&world, "ada", Role::Restaurant).await;
    let secret = log_in(&world.engine, &account).await.secret;
    let known = found(&other, &secret).await.unwrap().unwrap();
    world.clock.advance(DAY * 29);
    caller(&world.engine, &secret).await.unwrap();
    world.engine.accounts.write_pending_uses().await;
    assert!(other.accounts.admit(&known.principal, known.read_at).await.is_ok());
    other.accounts.is_still_admitted(&known.principal, known.read_at).unwrap();
    world.clock.advance(DAY * 2);
    let ended = other.accounts.is_still_admitted(&known.principal, known.read_at);
    assert!(matches!(ended, Err(Error::TokenRevoked)), "{ended:?}");
    caller(&other, &secret).await.unwrap();
    other.accounts.is_still_admitted(&known.principal, known.read_at).unwrap();
}

/// Proves that this server refuses a session at once after each way to end it, another server after a poll, a server that reads it
/// only then, and the directory before the poll.
#[tokio::test]
async fn an_ended_session_is_refused_everywhere() {
    let world = World::new().await;
    let often = EngineConfig { revocation_poll_interval: Duration::from_millis(20), ..config() };
    for way in ["logout", "revoke", "tokens", "disable", "role", "password", "delete"] {
        let account = person(&world, way, Role::Admin).await;
        let LoggedIn { secret, session, .. } = log_in(&world.engine, &account).await;
        let other = world.second_engine_with(often.clone());
        let principal = caller(&other, &secret).await.unwrap();
        caller(&world.engine, &secret).await.unwrap();
        let (accounts, admin) = (&world.engine.accounts, &world.admin);
        let patch = async |patch| {
            accounts.change_account(admin, account.id, patch, Conditional::default()).await.map(drop)
        };
        match way {
            "logout" => accounts.log_out(&found(&world.engine, &secret).await.unwrap().unwrap()).await,
            "revoke" => accounts.revoke_session(admin, account.id, session.id).await,
            "tokens" => accounts.revoke_tokens(admin, account.id, None).await.map(drop),
            "disable" => patch(AccountPatch { disabled: Some(true), ..AccountPatch::default() }).await,
            "role" => patch(AccountPatch { role: Some(Role::Courier), ..AccountPatch::default() }).await,
            "password" => {
                let new = NewPassword { password: "another long password".into(), current: None };
                accounts.set_password(admin, account.id, new, None).await.map(drop)
            }
            _ => accounts.delete_account(admin, account.id, None).await,
        }
        .unwrap();
        assert!(matches!(caller(&world.engine, &secret).await, Err(Error::TokenRevoked)), "{way}");
        let written = other.accounts.revoke_tokens(&principal, world.staff.account_id, None).await;
        assert!(matches!(written, Err(Error::TokenRevoked)), "{way}: {written:?}");
        let mut watching = tokio::task::JoinSet::new();
        watching.spawn(Arc::clone(&other.accounts).watch_revocations());
        eventually("the end is seen", async || caller(&other, &secret).await.is_err()).await;
        assert!(matches!(caller(&other, &secret).await, Err(Error::TokenRevoked)), "{way}");
        let late = world.second_engine();
        assert!(matches!(caller(&late, &secret).await, Err(Error::TokenRevoked)), "{way}");
        let listed = world.store.sessions(account.id, None, PageSize::DEFAULT).await.unwrap();
        assert!(listed[0].revoked_at.is_some(), "{way}");
        // A second logout changes nothing.
        accounts.log_out(&found(&late, &secret).await.unwrap().unwrap()).await.unwrap();
    }
}

/// Proves that no session is created after a change that ends the credentials with which the caller has authenticated.
#[tokio::test]
async fn a_login_with_an_old_password_fails() {
    let world = World::new().await;
    let accounts = &world.engine.accounts;
    let account = accounts.authenticate("staff@example.com", "long enough".into()).await.unwrap();
    let new = NewPassword { password: "another long password".into(), current: None };
    accounts.set_password(&world.admin, account.id, new, None).await.unwrap();
    let refused = accounts.log_in(account, None).await;
    assert!(matches!(refused, Err(Error::WrongCredentials)), "{refused:?}");
}

/// Proves that only the owner and admins list and end the sessions of an account.
#[tokio::test]
async fn sessions_belong_to_their_owner() {
    let world = World::new().await;
    let accounts = &world.engine.accounts;
    let account = person(&world, "ada", Role::Customer).await;
    let first = log_in(&world.engine, &account).await;
    // Ids of the same millisecond have no order.
    world.clock.advance(SignedDuration::from_secs(1));
    let second = log_in(&world.engine, &account).await;
    let owner = caller(&world.engine, &first.secret).await.unwrap();
    let page = PageSize::DEFAULT;
    for by in [&owner, &world.admin] {
        let listed = accounts.sessions(by, account.id, None, page).await.unwrap();
        assert_eq!(
            listed.iter().map(|session| session.id).collect::<Vec<_>>(),
            [first.session.id, second.session.id]
        );
        // The use is stored before the list is shown.
        assert_eq!(listed[0].last_used_at, Some(world.engine.now()));
        assert_eq!(accounts.session(by, account.id, second.session.id).await.unwrap(), listed[1]);
    }
    for by in [&world.staff, &world.customer] {
        let listed = accounts.sessions(by, account.id, None, page).await;
        assert!(matches!(listed, Err(Error::NotFound("account"))), "{listed:?}");
        let ended = accounts.revoke_session(by, account.id, second.session.id).await;
        assert!(matches!(ended, Err(Error::NotFound("account"))), "{ended:?}");
        // Nobody ends the session of another account under the own account's id.
        let ended = accounts.revoke_session(by, by.account_id, second.session.id).await;
        assert!(matches!(ended, Err(Error::NotFound("session"))), "{ended:?}");
    }
    accounts.revoke_session(&owner, account.id, second.session.id).await.unwrap();
    assert!(matches!(caller(&world.engine, &second.secret).await, Err(Error::TokenRevoked)));
    caller(&world.engine, &first.secret).await.unwrap();
    let unknown = accounts.sessions(&world.admin, world.customer.account_id, None, page).await;
    assert!(matches!(unknown, Err(Error::NotFound("account"))), "{unknown:?}");
}

/// Proves that with one login too many, the session that has been unused for the longest time ends on this server at once.
#[tokio::test]
async fn the_number_of_sessions_is_limited() {
    let world = World::new().await;
    let account = person(&world, "ada", Role::Courier).await;
    let first = log_in(&world.engine, &account).await;
    caller(&world.engine, &first.secret).await.unwrap();
    world.clock.advance(SignedDuration::from_secs(1));
    for _ in 1..MAX_SESSIONS {
        log_in(&world.engine, &account).await;
    }
    caller(&world.engine, &first.secret).await.unwrap();
    log_in(&world.engine, &account).await;
    let listed = world.store.sessions(account.id, None, PageSize::new(PageSize::MAX).unwrap()).await.unwrap();
    let revoked: Vec<_> = listed.iter().filter(|session| session.revoked_at.is_some()).collect();
    assert_eq!((listed.len(), revoked.len()), (51, 1));
    assert_eq!(revoked[0].id, first.session.id, "no use of it is written yet");
    assert!(matches!(caller(&world.engine, &first.secret).await, Err(Error::TokenRevoked)));
}

/// Proves that a cached session works while the directory is down, and is refused as unavailable after the time for tokens.
#[tokio::test]
async fn a_cached_session_works_without_the_directory() {
    let world = World::new().await;
    let account = person(&world, "ada", Role::Restaurant).await;
    let secret = log_in(&world.engine, &account).await.secret;
    let short = world.second_engine_with(EngineConfig {
        membership_max_stale_age: Duration::ZERO,
        revocation_poll_interval: Duration::ZERO,
        ..config()
    });
    caller(&world.engine, &secret).await.unwrap();
    found(&short, &secret).await.unwrap().unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    caller(&world.engine, &secret).await.unwrap();
    assert!(matches!(caller(&short, &secret).await, Err(Error::Unavailable)));
    let cold = world.second_engine();
    assert!(matches!(caller(&cold, &secret).await, Err(Error::Unavailable)));
}

/// Proves that a use that cannot be written stays pending, and extends the stored session later.
#[tokio::test]
async fn a_use_that_cannot_be_written_stays_pending() {
    let world = World::new().await;
    let account = person(&world, "ada", Role::Restaurant).await;
    let LoggedIn { secret, session, .. } = log_in(&world.engine, &account).await;
    world.clock.advance(DAY);
    caller(&world.engine, &secret).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    world.engine.accounts.write_pending_uses().await;
    world.store.hides_accounts.store(false, Ordering::SeqCst);
    let stored = async || world.store.session(session.id).await.unwrap().unwrap();
    assert_eq!(stored().await, session);
    world.engine.accounts.write_pending_uses().await;
    let used = stored().await;
    assert_eq!((used.last_used_at, used.expires_at), (Some(world.engine.now()), session.expires_at + DAY));
    // Less than a minute later, nothing is written.
    world.clock.advance(SignedDuration::from_secs(59));
    caller(&world.engine, &secret).await.unwrap();
    world.engine.accounts.write_pending_uses().await;
    assert_eq!(stored().await, used);
}

/// Proves that the maintenance deletes sessions a week after their end, and links after their expiry.
#[tokio::test]
async fn ended_sessions_and_links_are_deleted() {
    let world = World::new().await;
    let accounts = &world.engine.accounts;
    let account = person(&world, "ada", Role::Admin).await;
    let ended = log_in(&world.engine, &account).await;
    let expiring = log_in(&world.engine, &account).await;
    let link = accounts.create_login_link(&world.admin, account.id).await.unwrap();
    accounts.revoke_session(&world.admin, account.id, ended.session.id).await.unwrap();
    let deleted = async || world.engine.work.delete_expired_sessions().await.unwrap();
    assert_eq!(deleted().await, 0);
    world.clock.advance(SignedDuration::from_mins(10) + SignedDuration::from_millis(1));
    assert_eq!(deleted().await, 1);
    assert!(matches!(redeem(&world.engine, &link.token).await, Err(Error::VoidLink)));
    world.clock.advance(DAY * 7);
    assert_eq!(deleted().await, 1);
    let listed = world.store.sessions(account.id, None, PageSize::DEFAULT).await.unwrap();
    assert_eq!(listed, [expiring.session]);
    world.clock.advance(SignedDuration::from_hours(12));
    assert_eq!(deleted().await, 1);
    // The server that has cached a deleted session refuses it.
    assert!(caller(&world.engine, &expiring.secret).await.is_err());
}
