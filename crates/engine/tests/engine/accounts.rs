//! Accounts and passwords.

use std::{sync::atomic::Ordering, time::Duration};

use dabba_domain::Role;
use dabba_engine::{Conflict, EngineConfig, Error, Registration};

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
