//! Accounts, passwords, memberships and revocation of tokens.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::Role;
use dabba_engine::{AccountPatch, Conditional, Conflict, EngineConfig, Error, Principal, Registration};

use crate::{
    working::eventually,
    world::{World, config},
};

fn registration(email: &str, role: Role) -> Registration {
    Registration { email: email.into(), name: "Ada".into(), password: "correct horse".into(), role }
}

#[tokio::test]
async fn a_password_authenticates_only_its_own_account() {
    let world = World::new().await;
    let account =
        world.engine.accounts.register(None, registration("Ada@Example.com", Role::Customer)).await.unwrap();
    assert!(!account.password_hash.contains("correct horse"));
    for email in ["ada@example.com", " ADA@example.com "] {
        assert_eq!(
            world.engine.accounts.authenticate(email, "correct horse".into()).await.unwrap().id,
            account.id
        );
    }
    for (email, password) in [
        ("ada@example.com", "wrong horse"),
        ("bob@example.com", "correct horse"),
        ("", ""),
        ("ada@example.com", ""),
    ] {
        let refused = world.engine.accounts.authenticate(email, password.into()).await;
        assert!(matches!(refused, Err(Error::WrongCredentials)), "{email} {password}");
    }
    let again = world.engine.accounts.register(None, registration("ada@example.com", Role::Customer)).await;
    assert!(matches!(again, Err(Error::Conflict(Conflict::EmailTaken))));
}

#[tokio::test]
async fn only_admins_register_accounts_with_other_roles_than_customer() {
    let world = World::new().await;
    for role in [Role::Restaurant, Role::Courier, Role::Admin] {
        for principal in [None, Some(&world.customer), Some(&world.staff)] {
            let refused =
                world.engine.accounts.register(principal, registration("a@example.com", role)).await;
            assert!(matches!(refused, Err(Error::Forbidden(_))), "{role:?} by {principal:?}");
        }
        let email = format!("{}@example.com", role.as_str());
        world.engine.accounts.register(Some(&world.admin), registration(&email, role)).await.unwrap();
    }
}

#[tokio::test]
async fn every_problem_of_a_registration_is_listed() {
    let world = World::new().await;
    let bad = Registration {
        email: "nobody".into(),
        name: " ".into(),
        password: "short".into(),
        role: Role::Customer,
    };
    let Err(Error::Invalid(problems)) = world.engine.accounts.register(None, bad).await else {
        panic!("the registration is invalid")
    };
    let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/email", "/name", "/password"]);
}

#[tokio::test]
async fn a_removed_member_loses_access_at_once() {
    let world = World::new().await;
    let (engine, id) = (&world.engine, world.restaurant_id);
    engine.catalogue.pause(&world.staff, id, None).await.unwrap();
    engine.accounts.remove_member(&world.admin, id, world.staff.account_id).await.unwrap();
    assert!(matches!(engine.catalogue.pause(&world.staff, id, None).await, Err(Error::Forbidden(_))));
    let again = engine.accounts.remove_member(&world.admin, id, world.staff.account_id).await;
    assert!(matches!(again, Err(Error::NotFound("member"))));
}

/// Proves that cached memberships are used while the accounts cannot be read, until a maximum age, and that staff whose
/// memberships are not cached are refused.
#[tokio::test]
async fn cached_memberships_are_used_while_accounts_are_unavailable() {
    let at_once = EngineConfig { membership_max_age: Duration::ZERO, ..config() };
    let world = World::with(at_once.clone()).await;
    let id = world.restaurant_id;
    world.engine.catalogue.pause(&world.staff, id, None).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    world.engine.catalogue.resume(&world.staff, id).await.unwrap();
    let other = world.second_engine_with(at_once.clone());
    assert!(matches!(other.catalogue.pause(&world.staff, id, None).await, Err(Error::Unavailable)));

    world.store.hides_accounts.store(false, Ordering::SeqCst);
    let uncached =
        world.second_engine_with(EngineConfig { membership_max_stale_age: Duration::ZERO, ..at_once });
    uncached.catalogue.pause(&world.staff, id, None).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    assert!(matches!(uncached.catalogue.pause(&world.staff, id, None).await, Err(Error::Unavailable)));
}

/// Proves that a server refuses the token of a caller who was disabled on another server after a poll, and that a write
/// to the directory is refused before the poll.
#[tokio::test]
async fn a_revocation_by_another_server_is_followed() {
    let world = World::new().await;
    let account = async |email: &str, role| {
        let registered = world.engine.accounts.register(Some(&world.admin), registration(email, role)).await;
        Principal::new(registered.unwrap().id, role)
    };
    let (first, second) =
        (account("a@example.com", Role::Admin).await, account("b@example.com", Role::Admin).await);
    let now = world.engine.now();
    let other = world
        .second_engine_with(EngineConfig { revocation_poll_interval: Duration::from_millis(20), ..config() });
    other.accounts.admit(&second, now).await.unwrap();
    let disable = AccountPatch { disabled: Some(true), ..AccountPatch::default() };
    let accounts = &world.engine.accounts;
    accounts.change_account(&first, second.account_id, disable, Conditional::default()).await.unwrap();
    assert!(matches!(world.engine.accounts.admit(&second, now).await, Err(Error::TokenRevoked)));

    // The other server has not polled the revocation yet, so it admits the token; writes to the directory are refused.
    other.accounts.admit(&second, now).await.unwrap();
    let written = other.accounts.register(Some(&second), registration("c@example.com", Role::Admin)).await;
    assert!(matches!(written, Err(Error::TokenRevoked)), "{written:?}");
    let written = other.accounts.revoke_tokens(&second, first.account_id, None).await;
    assert!(matches!(written, Err(Error::TokenRevoked)), "{written:?}");
    let (id, member) = (world.restaurant_id, world.staff.account_id);
    let written = other.accounts.remove_member(&second, id, member).await;
    assert!(matches!(written, Err(Error::TokenRevoked)), "{written:?}");

    let mut watching = tokio::task::JoinSet::new();
    watching.spawn(Arc::clone(&other.accounts).watch_revocations());
    eventually("the revocation is seen", async || other.accounts.admit(&second, now).await.is_err()).await;
    assert!(matches!(other.accounts.admit(&second, now).await, Err(Error::TokenRevoked)));
    other.accounts.admit(&first, now).await.unwrap();
}

/// Proves that a server accepts tokens without reading revocations for as long as memberships may be stale, and that it
/// accepts none before the first read.
#[tokio::test]
async fn tokens_are_accepted_for_a_while_without_the_directory() {
    let world = World::new().await;
    let now = world.engine.now();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    let cold = world.second_engine_with(config());
    assert!(matches!(cold.accounts.admit(&world.customer, now).await, Err(Error::Unavailable)));
    world.store.hides_accounts.store(false, Ordering::SeqCst);
    let long = world.second_engine_with(config());
    let short = world.second_engine_with(EngineConfig {
        membership_max_stale_age: Duration::ZERO,
        revocation_poll_interval: Duration::ZERO,
        ..config()
    });
    long.accounts.admit(&world.customer, now).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    long.accounts.admit(&world.customer, now).await.unwrap();
    assert!(matches!(short.accounts.admit(&world.customer, now).await, Err(Error::Unavailable)));
}

/// Proves that memberships end on this server with the role restaurant, and that a disabled account cannot become a
/// member.
#[tokio::test]
async fn memberships_end_with_the_role() {
    let world = World::new().await;
    let (engine, id) = (&world.engine, world.restaurant_id);
    engine.catalogue.pause(&world.staff, id, None).await.unwrap();
    let change = async |patch: AccountPatch| {
        let whom = world.staff.account_id;
        engine.accounts.change_account(&world.admin, whom, patch, Conditional::default()).await.unwrap();
    };
    let disabled = |disabled| AccountPatch { disabled: Some(disabled), ..AccountPatch::default() };
    let role = |role| AccountPatch { role: Some(role), ..AccountPatch::default() };
    change(role(Role::Courier)).await;
    assert!(matches!(engine.catalogue.pause(&world.staff, id, None).await, Err(Error::Forbidden(_))));
    change(role(Role::Restaurant)).await;
    change(disabled(true)).await;
    let added = engine.accounts.add_member(&world.admin, id, world.staff.account_id).await;
    assert!(matches!(added, Err(Error::Invalid(_))), "{added:?}");
    change(disabled(false)).await;
    engine.accounts.add_member(&world.admin, id, world.staff.account_id).await.unwrap();
    engine.catalogue.pause(&world.staff, id, None).await.unwrap();
}
