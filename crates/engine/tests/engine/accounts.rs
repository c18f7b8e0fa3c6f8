//! Accounts and passwords.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dabba_domain::Role;
use dabba_engine::{AccountPatch, Conditional, Conflict, EngineConfig, Error, Principal, Registration};

use crate::world::{World, config};

fn registration(email: &str, role: Role) -> Registration {
    Registration { email: email.into(), name: "Ada".into(), password: "correct horse".into(), role }
}

#[tokio::test]
async fn a_password_opens_its_account_and_no_other() {
    let world = World::new().await;
    let account = world.engine.register(None, registration("Ada@Example.com", Role::Customer)).await.unwrap();
    assert!(!account.password_hash.contains("correct horse"));
    for email in ["ada@example.com", " ADA@example.com "] {
        assert_eq!(world.engine.authenticate(email, "correct horse".into()).await.unwrap().id, account.id);
    }
    for (email, password) in [
        ("ada@example.com", "wrong horse"),
        ("bob@example.com", "correct horse"),
        ("", ""),
        ("ada@example.com", ""),
    ] {
        let refused = world.engine.authenticate(email, password.into()).await;
        assert!(matches!(refused, Err(Error::WrongCredentials)), "{email} {password}");
    }
    let again = world.engine.register(None, registration("ada@example.com", Role::Customer)).await;
    assert!(matches!(again, Err(Error::Conflict(Conflict::EmailTaken))));
}

#[tokio::test]
async fn only_admins_make_other_accounts_than_customers() {
    let world = World::new().await;
    for role in [Role::Restaurant, Role::Courier, Role::Admin] {
        for principal in [None, Some(&world.customer), Some(&world.staff)] {
            let refused = world.engine.register(principal, registration("a@example.com", role)).await;
            assert!(matches!(refused, Err(Error::Forbidden(_))), "{role:?} by {principal:?}");
        }
        let email = format!("{}@example.com", role.as_str());
        world.engine.register(Some(&world.admin), registration(&email, role)).await.unwrap();
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
    let Err(Error::Invalid(problems)) = world.engine.register(None, bad).await else {
        panic!("it is invalid")
    };
    let pointers: Vec<_> = problems.as_slice().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/email", "/name", "/password"]);
}

#[tokio::test]
async fn a_membership_opens_one_restaurant_and_ends_at_once() {
    let world = World::new().await;
    let (engine, id) = (&world.engine, world.restaurant_id);
    engine.pause(&world.staff, id, None).await.unwrap();
    engine.remove_member(&world.admin, id, world.staff.account_id).await.unwrap();
    assert!(matches!(engine.pause(&world.staff, id, None).await, Err(Error::Forbidden(_))));
    let again = engine.remove_member(&world.admin, id, world.staff.account_id).await;
    assert!(matches!(again, Err(Error::NotFound("member"))));
}

/// Proves that staff that was at work goes on when nobody can look up who works where, and that this has an
/// end; who is not remembered does not get in.
#[tokio::test]
async fn memberships_are_remembered_while_they_cannot_be_looked_up() {
    let at_once = EngineConfig { membership_max_age: Duration::ZERO, ..config() };
    let world = World::with(at_once.clone()).await;
    let id = world.restaurant_id;
    world.engine.pause(&world.staff, id, None).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    world.engine.resume(&world.staff, id).await.unwrap();
    let other = world.second_engine_with(at_once.clone());
    assert!(matches!(other.pause(&world.staff, id, None).await, Err(Error::Unavailable)));

    world.store.hides_accounts.store(false, Ordering::SeqCst);
    let forgetful =
        world.second_engine_with(EngineConfig { membership_max_stale_age: Duration::ZERO, ..at_once });
    forgetful.pause(&world.staff, id, None).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    assert!(matches!(forgetful.pause(&world.staff, id, None).await, Err(Error::Unavailable)));
}

/// Proves that a token of a caller who was disabled on another server is refused there after a poll, and that a write to the
/// directory refuses it before that.
#[tokio::test]
async fn a_revocation_by_another_server_is_followed() {
    let world = World::new().await;
    let account = async |email: &str, role| {
        let registered = world.engine.register(Some(&world.admin), registration(email, role)).await;
        Principal::new(registered.unwrap().id, role)
    };
    let (first, second) =
        (account("a@example.com", Role::Admin).await, account("b@example.com", Role::Admin).await);
    let now = world.engine.now();
    let other = world
        .second_engine_with(EngineConfig { revocation_poll_interval: Duration::from_millis(20), ..config() });
    other.admit(&second, now).await.unwrap();
    let disable = AccountPatch { disabled: Some(true), ..AccountPatch::default() };
    world.engine.change_account(&first, second.account_id, disable, Conditional::default()).await.unwrap();
    assert!(matches!(world.engine.admit(&second, now).await, Err(Error::TokenRevoked)));

    // The other server has not heard of it, so a request passes there; the write does not.
    other.admit(&second, now).await.unwrap();
    let written = other.register(Some(&second), registration("c@example.com", Role::Admin)).await;
    assert!(matches!(written, Err(Error::TokenRevoked)), "{written:?}");
    let written = other.revoke_tokens(&second, first.account_id, None).await;
    assert!(matches!(written, Err(Error::TokenRevoked)), "{written:?}");
    let (id, member) = (world.restaurant_id, world.staff.account_id);
    let written = other.remove_member(&second, id, member).await;
    assert!(matches!(written, Err(Error::TokenRevoked)), "{written:?}");

    let mut watching = tokio::task::JoinSet::new();
    watching.spawn(Arc::clone(&other).watch_revocations());
    while other.admit(&second, now).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(other.admit(&second, now).await, Err(Error::TokenRevoked)));
    other.admit(&first, now).await.unwrap();
}

/// Proves that a server goes on while it cannot read revocations, for as long as memberships may be stale; and that it
/// admits nobody before it has read them once, and again as soon as it has.
#[tokio::test]
async fn tokens_are_taken_for_a_while_without_the_directory() {
    let world = World::new().await;
    let now = world.engine.now();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    let cold = world.second_engine_with(config());
    assert!(matches!(cold.admit(&world.customer, now).await, Err(Error::Unavailable)));
    world.store.hides_accounts.store(false, Ordering::SeqCst);
    let long = world.second_engine_with(config());
    let short = world.second_engine_with(EngineConfig {
        membership_max_stale_age: Duration::ZERO,
        revocation_poll_interval: Duration::ZERO,
        ..config()
    });
    long.admit(&world.customer, now).await.unwrap();
    world.store.hides_accounts.store(true, Ordering::SeqCst);
    long.admit(&world.customer, now).await.unwrap();
    assert!(matches!(short.admit(&world.customer, now).await, Err(Error::Unavailable)));
}

/// Proves that memberships end on this server with the role that they are for, and that a disabled account is neither made
/// a member nor assigned.
#[tokio::test]
async fn a_role_ends_with_all_that_it_opened() {
    let world = World::new().await;
    let (engine, id) = (&world.engine, world.restaurant_id);
    engine.pause(&world.staff, id, None).await.unwrap();
    let change = async |patch: AccountPatch| {
        let whom = world.staff.account_id;
        engine.change_account(&world.admin, whom, patch, Conditional::default()).await.unwrap();
    };
    let disabled = |disabled| AccountPatch { disabled: Some(disabled), ..AccountPatch::default() };
    let role = |role| AccountPatch { role: Some(role), ..AccountPatch::default() };
    change(role(Role::Courier)).await;
    assert!(matches!(engine.pause(&world.staff, id, None).await, Err(Error::Forbidden(_))));
    change(role(Role::Restaurant)).await;
    change(disabled(true)).await;
    let added = engine.add_member(&world.admin, id, world.staff.account_id).await;
    assert!(matches!(added, Err(Error::Invalid(_))), "{added:?}");
    change(disabled(false)).await;
    engine.add_member(&world.admin, id, world.staff.account_id).await.unwrap();
    engine.pause(&world.staff, id, None).await.unwrap();
}
