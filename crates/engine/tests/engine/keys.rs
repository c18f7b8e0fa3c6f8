//! Service accounts and API keys.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::{Role, Timestamp};
use dabba_engine::{
    AccountHolder, AccountPatch, ApiKeySecret, Conditional, Conflict, CredentialId, Engine, EngineConfig,
    Error, FoundKey, KeyAnswer, KeyRequest, KeyUse, MAX_ACTIVE_KEYS, Principal, Registration, Scope,
    ServiceRegistration,
};
use dabba_store::{ApiKeyStore as _, PageSize};
use futures::future::join_all;
use jiff::SignedDuration;

use crate::{
    working::eventually,
    world::{World, config, key},
};

fn till(role: Role) -> ServiceRegistration {
    ServiceRegistration { name: "Till".into(), role }
}

fn request() -> KeyRequest {
    KeyRequest { name: "Front desk".into(), ..KeyRequest::default() }
}

/// Creates a service account with a key.
async fn service(world: &World, role: Role, request: KeyRequest) -> (KeyAnswer, ApiKeySecret) {
    let accounts = &world.engine.accounts;
    let account = accounts.create_service_account(&world.admin, till(role), None).await.unwrap().account;
    let answer = accounts.create_api_key(&world.admin, account.id, request, None).await.unwrap();
    let secret = answer.secret.clone().unwrap();
    (answer, secret)
}

/// Returns the caller of a key, as a request does.
async fn caller(engine: &Engine, secret: &ApiKeySecret) -> Result<Principal, Error> {
    let found = found(engine, secret).await?.ok_or(Error::NotFound("API key"))?;
    if found.is_revoked {
        return Err(Error::TokenRevoked);
    }
    engine.accounts.admit(&found.principal, found.read_at).await?;
    engine.accounts.count_key_use(Some(&found), KeyUse::Accepted);
    Ok(found.principal)
}

async fn found(engine: &Engine, secret: &ApiKeySecret) -> Result<Option<FoundKey>, Error> {
    match engine.accounts.cached_key(secret) {
        Some(cached) => Ok(cached),
        None => engine.accounts.read_key(secret).await,
    }
}

/// Proves that a key identifies its service account, with the account's role and the key's scopes, and acts in them.
#[tokio::test]
async fn a_key_has_the_role_and_its_scopes() {
    let world = World::new().await;
    let scopes = Some(vec!["catalogue:write".to_owned(), "accounts:read".to_owned()]);
    let (answer, secret) = service(&world, Role::Restaurant, KeyRequest { scopes, ..request() }).await;
    let principal = caller(&world.engine, &secret).await.unwrap();
    assert_eq!(principal.account_id, answer.key.account_id);
    assert_eq!((principal.holder, principal.role), (AccountHolder::Service, Role::Restaurant));
    assert_eq!(principal.kept, Some(CredentialId::ApiKey(answer.key.id)));
    let contained: Vec<Scope> =
        Scope::ALL.into_iter().filter(|scope| principal.scopes.contains(*scope)).collect();
    assert_eq!(contained, [Scope::WriteCatalogue, Scope::ReadAccounts]);
    let id = world.restaurant_id;
    let catalogue = &world.engine.catalogue;
    assert!(matches!(catalogue.pause(&principal, id, None).await, Err(Error::Forbidden(_))));
    world.engine.accounts.add_member(&world.admin, id, principal.account_id).await.unwrap();
    catalogue.pause(&principal, id, None).await.unwrap();
    let refused = catalogue.stock(&principal, id).await;
    assert!(
        matches!(&refused, Err(Error::Forbidden(text)) if text.contains("catalogue:read")),
        "{refused:?}"
    );
}

/// Proves that only persons create service accounts, keys and accounts, enable accounts, change roles and add members, so that no
/// privilege outlives a leaked key.
#[tokio::test]
async fn only_persons_give_access() {
    let world = World::new().await;
    let (answer, secret) = service(&world, Role::Admin, request()).await;
    let service = caller(&world.engine, &secret).await.unwrap();
    let (accounts, account_id) = (&world.engine.accounts, answer.key.account_id);
    for by in [&service, &world.staff, &world.customer] {
        let created = accounts.create_service_account(by, till(Role::Admin), None).await;
        assert!(matches!(created, Err(Error::Forbidden(_))), "{created:?}");
        let created = accounts.create_api_key(by, account_id, request(), None).await;
        assert!(matches!(created, Err(Error::Forbidden(_))), "{created:?}");
    }
    let registration = Registration {
        email: "a@example.com".into(),
        name: "A".into(),
        password: "correct horse".into(),
        role: Role::Admin,
    };
    let registered = accounts.register(Some(&service), registration).await;
    assert!(matches!(registered, Err(Error::Forbidden(_))), "{registered:?}");
    let promote = AccountPatch { role: Some(Role::Admin), ..AccountPatch::default() };
    let (staff, none) = (world.staff.account_id, Conditional::default());
    let promoted = accounts.change_account(&service, staff, promote, none).await;
    assert!(matches!(promoted, Err(Error::Forbidden(_))), "{promoted:?}");
    let enable = AccountPatch { disabled: Some(false), ..AccountPatch::default() };
    let enabled = accounts.change_account(&service, staff, enable, Conditional::default()).await;
    assert!(matches!(enabled, Err(Error::Forbidden(_))), "{enabled:?}");
    let added = accounts.add_member(&service, world.restaurant_id, staff).await;
    assert!(matches!(added, Err(Error::Forbidden(_))), "{added:?}");
    // It may take access away, also from itself.
    accounts.revoke_tokens(&service, staff, None).await.unwrap();
    accounts.revoke_api_key(&service, account_id, answer.key.id).await.unwrap();
    assert!(matches!(caller(&world.engine, &secret).await, Err(Error::TokenRevoked)));
}

/// Proves that another server refuses a key after a poll, that this server refuses it at once, and that writes to the directory are
/// refused before the poll; for a revoked key and for each change that ends the account's credentials.
#[tokio::test]
async fn a_revoked_key_is_refused_everywhere() {
    let world = World::new().await;
    let often = EngineConfig { revocation_poll_interval: Duration::from_millis(20), ..config() };
    for way in ["key", "tokens", "disable", "role", "delete"] {
        let (answer, secret) = service(&world, Role::Admin, request()).await;
        let (id, account_id) = (answer.key.id, answer.key.account_id);
        let other = world.second_engine_with(often.clone());
        let principal = caller(&other, &secret).await.unwrap();
        caller(&world.engine, &secret).await.unwrap();
        let (accounts, admin) = (&world.engine.accounts, &world.admin);
        let patch = async |patch| {
            accounts.change_account(admin, account_id, patch, Conditional::default()).await.map(drop)
        };
        match way {
            "key" => accounts.revoke_api_key(admin, account_id, id).await,
            "tokens" => accounts.revoke_tokens(admin, account_id, None).await.map(drop),
            "disable" => patch(AccountPatch { disabled: Some(true), ..AccountPatch::default() }).await,
            "role" => patch(AccountPatch { role: Some(Role::Courier), ..AccountPatch::default() }).await,
            _ => accounts.delete_account(admin, account_id, None).await,
        }
        .unwrap();
        assert!(matches!(caller(&world.engine, &secret).await, Err(Error::TokenRevoked)), "{way}");
        let written = other.accounts.revoke_tokens(&principal, world.staff.account_id, None).await;
        assert!(matches!(written, Err(Error::TokenRevoked)), "{way}: {written:?}");
        let mut watching = tokio::task::JoinSet::new();
        watching.spawn(Arc::clone(&other.accounts).watch_revocations());
        eventually("the revocation is seen", async || caller(&other, &secret).await.is_err()).await;
        assert!(matches!(caller(&other, &secret).await, Err(Error::TokenRevoked)), "{way}");
        // A server that reads the key only now refuses it, too.
        let late = world.second_engine();
        assert!(matches!(caller(&late, &secret).await, Err(Error::TokenRevoked)), "{way}");
        if way == "disable" {
            patch(AccountPatch { disabled: Some(false), ..AccountPatch::default() }).await.unwrap();
            let enabled = accounts.create_api_key(admin, account_id, request(), None).await.unwrap();
            caller(&late, &enabled.secret.unwrap()).await.unwrap();
            assert!(matches!(caller(&late, &secret).await, Err(Error::TokenRevoked)), "{way}");
        }
    }
}

/// Proves that a cached key works while the directory is down, for as long as tokens do, and is refused as unavailable afterwards.
#[tokio::test]
async fn a_cached_key_works_without_the_directory() {
    let world = World::new().await;
    let (_, secret) = service(&world, Role::Restaurant, request()).await;
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
    // A key that is not cached cannot be judged.
    let cold = world.second_engine();
    assert!(matches!(caller(&cold, &secret).await, Err(Error::Unavailable)));
}

/// Proves that a key that does not exist is searched for once, and that later guesses of it need no store.
#[tokio::test]
async fn an_unknown_key_is_searched_for_once() {
    let world = World::new().await;
    let other = World::new().await;
    // The seed of both worlds is the same; the second key exists only in one of them.
    service(&world, Role::Restaurant, request()).await;
    let (_, _) = service(&other, Role::Restaurant, request()).await;
    let (_, secret) = service(&other, Role::Restaurant, request()).await;
    assert!(found(&world.engine, &secret).await.unwrap().is_none());
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    assert!(found(&world.engine, &secret).await.unwrap().is_none());
}

/// Proves that concurrent requests with the same key search for it once, whether it exists or not.
#[tokio::test]
async fn concurrent_requests_search_for_a_key_once() {
    let world = World::new().await;
    let other = World::new().await;
    let (_, known) = service(&world, Role::Restaurant, request()).await;
    service(&other, Role::Restaurant, request()).await;
    let (_, unknown) = service(&other, Role::Restaurant, request()).await;
    let engine = world.second_engine();
    for (secret, is_known) in [(known, true), (unknown, false)] {
        world.store.key_searches.store(0, Ordering::SeqCst);
        for key in join_all((0..20).map(|_| engine.accounts.read_key(&secret))).await {
            assert_eq!(key.unwrap().is_some(), is_known);
        }
        assert_eq!(world.store.key_searches.load(Ordering::SeqCst), 1);
    }
}

/// Proves that a key expires at its time by the server's clock, and that an expiry in the past or too far away is refused.
#[tokio::test]
async fn a_key_expires() {
    let world = World::new().await;
    let in_seconds = |seconds| Timestamp::from_second(world.engine.now().as_second() + seconds).unwrap();
    let (answer, secret) =
        service(&world, Role::Restaurant, KeyRequest { expires_at: Some(in_seconds(60)), ..request() }).await;
    for (seconds, is_expired) in [(59, false), (1, true)] {
        world.clock.advance(SignedDuration::from_secs(seconds));
        let found = found(&world.engine, &secret).await.unwrap().unwrap();
        assert_eq!(found.is_expired(world.engine.now()), is_expired);
    }
    for seconds in [0, -1, 11 * 366 * 86_400] {
        let request = KeyRequest { expires_at: Some(in_seconds(seconds)), ..request() };
        let created =
            world.engine.accounts.create_api_key(&world.admin, answer.key.account_id, request, None).await;
        let Err(Error::Invalid(problems)) = created else { panic!("{created:?}") };
        assert_eq!(problems.as_slice()[0].pointer, "/expires_at");
    }
}

/// Proves that a retry gets the key without its secret, also after the key has expired; that another request with the same
/// idempotency key is refused; and that a service account is created once.
#[tokio::test]
async fn a_retry_gets_no_secret() {
    let world = World::new().await;
    let (accounts, admin) = (&world.engine.accounts, &world.admin);
    let first = accounts.create_service_account(admin, till(Role::Courier), Some(key("a"))).await.unwrap();
    let again = accounts.create_service_account(admin, till(Role::Courier), Some(key("a"))).await.unwrap();
    assert_eq!((&again.account, again.replayed), (&first.account, true));
    let other = accounts.create_service_account(admin, till(Role::Admin), Some(key("a"))).await;
    assert!(matches!(other, Err(Error::KeyReused)));

    let account_id = first.account.id;
    let expires_at = Some(Timestamp::from_second(world.engine.now().as_second() + 60).unwrap());
    let request = KeyRequest { expires_at, ..request() };
    let create = async |request: &KeyRequest| {
        accounts.create_api_key(admin, account_id, request.clone(), Some(key("k"))).await
    };
    let created = create(&request).await.unwrap();
    assert!(created.secret.is_some());
    world.clock.advance(SignedDuration::from_mins(2));
    let again = create(&request).await.unwrap();
    assert_eq!((again.key, again.secret), (created.key, None));
    let other = create(&KeyRequest { name: "Other".into(), ..request }).await;
    assert!(matches!(other, Err(Error::KeyReused)), "{other:?}");
    assert_eq!(accounts.api_keys(admin, account_id, None, PageSize::DEFAULT).await.unwrap().len(), 1);
}

/// Proves that a service account has a limited number of active keys, and that a revoked key makes room for another.
#[tokio::test]
async fn active_keys_are_limited() {
    let world = World::new().await;
    let (answer, _) = service(&world, Role::Restaurant, request()).await;
    let (accounts, id) = (&world.engine.accounts, answer.key.account_id);
    let create = async || accounts.create_api_key(&world.admin, id, request(), None).await;
    for _ in 1..MAX_ACTIVE_KEYS {
        create().await.unwrap();
    }
    let refused = create().await;
    assert!(matches!(refused, Err(Error::Conflict(Conflict::TooManyApiKeys { limit: MAX_ACTIVE_KEYS }))));
    accounts.revoke_api_key(&world.admin, id, answer.key.id).await.unwrap();
    create().await.unwrap();
    let of_person = accounts.create_api_key(&world.admin, world.staff.account_id, request(), None).await;
    assert!(matches!(of_person, Err(Error::NotFound("service account"))), "{of_person:?}");
}

/// Proves that uses are written in the background, and at most once a minute for each key.
#[tokio::test]
async fn uses_are_written_in_the_background() {
    let often = EngineConfig { key_use_write_interval: Duration::from_millis(10), ..config() };
    let world = World::with(often).await;
    let (answer, secret) = service(&world, Role::Restaurant, request()).await;
    let used_at = async || world.store.api_key(answer.key.id).await.unwrap().unwrap().last_used_at;
    let first = world.engine.now();
    caller(&world.engine, &secret).await.unwrap();
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn(Arc::clone(&world.engine.accounts).write_key_uses());
    eventually("the first use is written", async || used_at().await == Some(first)).await;
    world.clock.advance(SignedDuration::from_secs(59));
    caller(&world.engine, &secret).await.unwrap();
    // Another key's use shows that the writer has run since.
    let (other, other_secret) = service(&world, Role::Courier, request()).await;
    caller(&world.engine, &other_secret).await.unwrap();
    let other_use = async || world.store.api_key(other.key.id).await.unwrap().unwrap().last_used_at;
    eventually("the other key's use is written", async || other_use().await.is_some()).await;
    assert_eq!(used_at().await, Some(first), "the key was used less than a minute ago");
    world.clock.advance(SignedDuration::from_secs(1));
    let later = world.engine.now();
    caller(&world.engine, &secret).await.unwrap();
    eventually("the later use is written", async || used_at().await == Some(later)).await;
    writing.shutdown().await;
    assert_eq!(world.engine.metrics().key_uses.get_or_create(&accepted()).get(), 4);
}

/// Proves that a use is stored before a key is read or listed, and with its revocation, without the background part:
/// after a leak, nobody may conclude that the key was not used.
#[tokio::test]
async fn a_use_is_stored_before_its_key_is_shown_or_revoked() {
    let world = World::new().await;
    let (accounts, admin, now) = (&world.engine.accounts, &world.admin, world.engine.now());
    for way in ["read", "listed", "revoked"] {
        let (answer, secret) = service(&world, Role::Restaurant, request()).await;
        let (id, account_id) = (answer.key.id, answer.key.account_id);
        caller(&world.engine, &secret).await.unwrap();
        let shown = match way {
            "read" => accounts.api_key(admin, account_id, id).await.unwrap(),
            "listed" => {
                accounts.api_keys(admin, account_id, None, PageSize::DEFAULT).await.unwrap().remove(0)
            }
            _ => {
                accounts.revoke_api_key(admin, account_id, id).await.unwrap();
                world.store.api_key(id).await.unwrap().unwrap()
            }
        };
        assert_eq!((shown.id, shown.last_used_at), (id, Some(now)), "{way}");
    }
}

/// Proves that a use that cannot be written stays pending, and delays no answer with an error.
#[tokio::test]
async fn a_use_that_cannot_be_written_stays_pending() {
    let world = World::new().await;
    let (answer, secret) = service(&world, Role::Restaurant, request()).await;
    caller(&world.engine, &secret).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    world.engine.accounts.write_pending_uses().await;
    world.store.hides_accounts.store(false, Ordering::SeqCst);
    assert_eq!(world.store.api_key(answer.key.id).await.unwrap().unwrap().last_used_at, None);
    world.engine.accounts.write_pending_uses().await;
    let stored = world.store.api_key(answer.key.id).await.unwrap().unwrap();
    assert_eq!(stored.last_used_at, Some(world.engine.now()));
}

fn accepted() -> dabba_engine::KeyUseLabel {
    dabba_engine::KeyUseLabel { outcome: KeyUse::Accepted.as_str() }
}
