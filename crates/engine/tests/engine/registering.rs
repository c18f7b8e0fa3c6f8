//! Registration of restaurants and accounts with a key, and closing of restaurants.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::{
    ExternalId, Role,
    order::OrderStatus,
    restaurant::{NotAcceptingReason, SettingsDocument},
    text::Note,
};
use dabba_engine::{Conditional, Conflict, Error, Obstacle, Registration};

use crate::world::{World, accept, cancel, dal, key, menu_with_dal_at, settings};

fn settings_with(external_id: &str) -> SettingsDocument {
    SettingsDocument { external_id: Some(external_id.into()), ..settings() }
}

fn is_closed(obstacles: &[Obstacle]) -> bool {
    matches!(obstacles.first(), Some(Obstacle::NotAccepting(NotAcceptingReason::ClosedPermanently { .. })))
}

/// Proves that one key registers one restaurant, also when the first request ended between its two shards, and with
/// concurrent requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_registers_one_restaurant() {
    let world = Arc::new(World::new().await);
    let create = |world: Arc<World>, name: &'static str, price: i64| async move {
        let menu = menu_with_dal_at(price);
        world.engine.catalogue.create_restaurant_under(&world.admin, settings(), menu, Some(key(name))).await
    };
    world.store.refuses_restaurants.store(true, Ordering::SeqCst);
    assert!(matches!(create(Arc::clone(&world), "a", 1).await, Err(Error::Unavailable)));
    let first = create(Arc::clone(&world), "a", 1).await.unwrap();
    assert!(!first.replayed, "the first request created no restaurant");
    let again = create(Arc::clone(&world), "a", 1).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.entry.restaurant().id, first.entry.restaurant().id);
    assert!(matches!(create(Arc::clone(&world), "a", 2).await, Err(Error::KeyReused)));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..8 {
        running.spawn(create(Arc::clone(&world), "b", 1));
    }
    let answers: Vec<_> = running.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    let id = answers[0].entry.restaurant().id;
    assert!(answers.iter().all(|answer| answer.entry.restaurant().id == id));
}

/// Proves that an external id belongs to one restaurant, in the id's bucket, and does not change.
#[tokio::test]
async fn an_external_id_belongs_to_one_restaurant() {
    let world = World::new().await;
    let create =
        |settings| world.engine.catalogue.create_restaurant(&world.admin, settings, menu_with_dal_at(1));
    let first = create(settings_with("POS-7")).await.unwrap();
    let id = first.restaurant().id;
    let external_id = ExternalId::new("POS-7").unwrap();
    assert_eq!(id.bucket(), external_id.bucket());
    let found = world.engine.catalogue.restaurant_by_external_id(&external_id).await.unwrap().unwrap();
    assert_eq!(found.restaurant().id, id);
    let Err(Error::Conflict(Conflict::ExternalIdTaken { by })) = create(settings_with("POS-7")).await else {
        panic!("the external id is taken")
    };
    assert_eq!(by, id);
    let Err(Error::Invalid(problems)) = create(settings_with("two words")).await else { panic!("a space") };
    assert_eq!(problems.as_slice()[0].pointer, "/external_id");
    // The external id is kept, whether new settings name it or not, and cannot be added later.
    let replace = |id, settings| world.engine.catalogue.replace_settings(&world.admin, id, settings, None);
    let kept = replace(id, settings()).await.unwrap();
    assert_eq!(kept.restaurant().settings.external_id, Some(external_id));
    assert_eq!(kept.restaurant().revision, 1, "nothing has changed");
    for (restaurant, external_id) in [(id, "POS-8"), (world.restaurant_id, "POS-9")] {
        let refused = replace(restaurant, settings_with(external_id)).await;
        let Err(Error::Invalid(problems)) = refused else { panic!("{external_id}") };
        assert_eq!(problems.as_slice()[0].pointer, "/external_id");
    }
}

/// Proves that a closed restaurant accepts no orders, that its open orders continue, and that it can be reopened.
#[tokio::test]
async fn open_orders_of_a_closed_restaurant_continue() {
    let world = World::new().await;
    let id = world.restaurant_id;
    let placed = world.place(&dal(1), "a").await.unwrap().order;
    let second = world.place(&dal(1), "b").await.unwrap().order;
    let other = world.second_engine();
    other.catalogue.entry(id).await.unwrap();
    let reason = || Note::new("The lease has ended.").unwrap();
    let close =
        |reason, name| world.engine.catalogue.close_restaurant(&world.admin, id, reason, Some(key(name)));
    let refused = world.engine.catalogue.close_restaurant(&world.staff, id, reason(), None).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))));
    let closed = close(reason(), "close").await.unwrap();
    assert_eq!(closed.entry.restaurant().closed.as_ref().map(|closed| closed.reason.clone()), Some(reason()));
    assert!(close(reason(), "close").await.unwrap().replayed);
    let again = close(reason(), "another").await.unwrap();
    assert_eq!(
        (again.replayed, again.entry.restaurant().revision),
        (false, 2),
        "the restaurant was already closed"
    );
    let another = Note::new("Another reason.").unwrap();
    assert!(matches!(close(another.clone(), "close").await, Err(Error::KeyReused)));
    let refused = close(another, "third").await;
    assert!(matches!(refused, Err(Error::Conflict(Conflict::AlreadyClosed { .. }))));

    // No server accepts new orders, whether the restaurant is also paused or not; a retry is still a replay.
    for engine in [&world.engine, &other] {
        let refused = engine.orders.place(&world.customer, id, &dal(1), key("c")).await;
        let Err(Error::Conflict(Conflict::NotOrderable(obstacles))) = refused else {
            panic!("the restaurant is closed")
        };
        assert!(is_closed(&obstacles), "{obstacles:?}");
    }
    world.engine.catalogue.pause(&world.staff, id, None).await.unwrap();
    world.engine.catalogue.resume(&world.staff, id).await.unwrap();
    assert!(world.place(&dal(1), "a").await.unwrap().replayed);
    let quote = world.engine.orders.quote(id, dal(1).cart(), None).await.unwrap();
    assert!(is_closed(&quote.obstacles), "{:?}", quote.obstacles);
    // The staff continue the open orders.
    let accepted = world.act(&world.staff, placed.id, accept()).await.unwrap().order;
    assert_eq!(accepted.status, OrderStatus::Preparing);
    assert_eq!(
        world.act(&world.customer, second.id, cancel()).await.unwrap().order.status,
        OrderStatus::Cancelled
    );
    assert_eq!(world.orders().await.len(), 2);
    world.check_histories().await;

    world.engine.catalogue.reopen_restaurant(&world.admin, id, None).await.unwrap();
    world.place(&dal(1), "d").await.unwrap();
}

/// Proves that the retry of a pause does not pause a restaurant that was resumed in between, and that `If-Match` is
/// respected.
#[tokio::test]
async fn a_pause_is_made_once_for_a_key() {
    let world = World::new().await;
    let id = world.restaurant_id;
    let pause = |expected: Option<u32>, name| {
        let expected = expected.map(|revision| vec![revision]);
        let conditional = Conditional { expected, key: Some(key(name)) };
        world.engine.catalogue.pause_under(&world.staff, id, None, conditional)
    };
    assert!(matches!(pause(Some(9), "a").await, Err(Error::Conflict(Conflict::Revision { current: 1 }))));
    assert!(!pause(Some(1), "a").await.unwrap().replayed);
    world.engine.catalogue.resume(&world.staff, id).await.unwrap();
    let again = pause(Some(1), "a").await.unwrap();
    assert!(again.replayed && again.entry.restaurant().pause.is_none());
    let resume = Conditional { expected: None, key: Some(key("a")) };
    assert!(matches!(
        world.engine.catalogue.resume_under(&world.staff, id, resume).await,
        Err(Error::KeyReused)
    ));
    // A written change is answered as successful, even if it cannot be read afterwards.
    world.store.loses_catalogues_after_a_change.store(true, Ordering::SeqCst);
    let paused = pause(None, "b").await.unwrap();
    assert_eq!((paused.entry.restaurant().pause.is_some(), paused.entry.restaurant().revision), (true, 4));
    world.store.restore_catalogues();
    assert!(world.engine.catalogue.entry(id).await.unwrap().restaurant().pause.is_some());
}

fn registration(email: &str, password: &str) -> Registration {
    Registration { email: email.into(), name: "Ada".into(), password: password.into(), role: Role::Customer }
}

/// Proves that one key registers one account, for callers with and without an account, and that a retry must prove the
/// password.
#[tokio::test]
async fn one_key_registers_one_account() {
    let world = World::new().await;
    for (principal, email) in [(None, "ada@example.com"), (Some(&world.admin), "bea@example.com")] {
        let register = |email: &'static str, password, name| {
            world.engine.accounts.register_under(principal, registration(email, password), Some(key(name)))
        };
        let first = register(email, "long enough", "a").await.unwrap();
        assert!(!first.replayed);
        let again = register(email, "long enough", "a").await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.account, first.account);
        let other_password = register(email, "another password", "a").await;
        let other_key = register(email, "long enough", "b").await;
        assert!(matches!(other_key, Err(Error::Conflict(Conflict::EmailTaken))), "{email}");
        if principal.is_none() {
            assert!(matches!(other_password, Err(Error::Conflict(Conflict::EmailTaken))));
        } else {
            assert!(matches!(other_password, Err(Error::KeyReused)));
            let other = register("cleo@example.com", "long enough", "a").await;
            assert!(matches!(other, Err(Error::KeyReused)));
        }
    }
    // The key of a caller without an account belongs to the new account, so the next caller can use the same key.
    let next = world.engine.accounts.register_under(
        None,
        registration("dora@example.com", "long enough"),
        Some(key("a")),
    );
    assert!(!next.await.unwrap().replayed);
}
