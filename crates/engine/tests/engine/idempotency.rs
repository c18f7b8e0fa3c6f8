//! Idempotency: repeated and concurrent requests, and retries of requests that would be refused now.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Bucket, Role,
    order::{Command, OrderStatus},
};
use dabba_engine::{CommandRequest, Conflict, Error, Principal};
use jiff::SignedDuration;

use crate::world::{World, accept, cancel, dal, key, start_of_time};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_with_one_key_place_one_order() {
    let world = Arc::new(World::new().await);
    let racers: Vec<_> = (0..64)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.place(&dal(2), "once").await.unwrap() })
        })
        .collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    let first = &answers[0].order;
    assert!(answers.iter().all(|answer| answer.order == *first));
    assert_eq!(world.orders().await, std::slice::from_ref(first));
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_customer() {
    let world = World::new().await;
    let first = world.place(&dal(1), "a").await.unwrap().order;
    assert!(matches!(world.place(&dal(2), "a").await, Err(Error::KeyReused)));
    let account_id = AccountId::generate(start_of_time(), Bucket::from_random(0), 400);
    let other = Principal::new(account_id, Role::Customer);
    let theirs = world.engine.orders.place(&other, world.restaurant_id, &dal(1), key("a")).await.unwrap();
    assert!(!theirs.replayed);
    assert_ne!(theirs.order.id, first.id);
}

/// Proves that a retry still gets its order when the first answer was lost and the restaurant has paused in the
/// meantime.
#[tokio::test]
async fn a_retry_is_answered_even_if_it_would_be_refused_now() {
    let world = World::new().await;
    let placed = world.place(&dal(1), "a").await.unwrap().order;
    world.engine.catalogue.pause(&world.staff, world.restaurant_id, None).await.unwrap();
    assert!(matches!(world.place(&dal(1), "b").await, Err(Error::Conflict(Conflict::NotOrderable(_)))));
    let again = world.place(&dal(1), "a").await.unwrap();
    assert_eq!((again.order, again.replayed), (placed, true));
    assert!(
        matches!(world.place(&dal(3), "a").await, Err(Error::KeyReused)),
        "a reused key is reported even while the restaurant is paused"
    );
}

#[tokio::test]
async fn a_replay_returns_the_version_of_the_original_answer() {
    let world = World::new().await;
    let placed = world.place(&dal(1), "a").await.unwrap().order;
    let request = |command, name: &str| CommandRequest {
        order_id: placed.id,
        command,
        key: Some(key(name)),
        expected_versions: Some(vec![placed.version]),
    };
    let accepted = world.engine.orders.act(&world.staff, &request(accept(), "accept")).await.unwrap().order;
    world.act(&world.staff, placed.id, Command::MarkReady).await.unwrap();
    world.act(&world.staff, placed.id, Command::deliver()).await.unwrap();

    assert_eq!(world.place(&dal(1), "a").await.unwrap().order, placed);
    let again = world.engine.orders.act(&world.staff, &request(accept(), "accept")).await.unwrap();
    assert_eq!((again.order, again.replayed), (accepted, true));
    // The same version is expected under a new key; this request comes too late.
    let late = world.engine.orders.act(&world.staff, &request(accept(), "another")).await;
    assert!(matches!(late, Err(Error::VersionMismatch { .. })));
    let reused = world.engine.orders.act(&world.staff, &request(Command::MarkReady, "accept")).await;
    assert!(matches!(reused, Err(Error::KeyReused)));
}

#[tokio::test]
async fn a_repeated_command_changes_nothing_and_its_key_is_not_stored() {
    let world = World::new().await;
    let order_id = world.place(&dal(1), "a").await.unwrap().order.id;
    let cancelled = world.act(&world.customer, order_id, cancel()).await.unwrap().order;
    let again = world.act(&world.customer, order_id, cancel()).await.unwrap();
    assert_eq!((again.order, again.replayed), (cancelled.clone(), false), "the command was executed before");
    let request =
        CommandRequest { order_id, command: cancel(), key: Some(key("c")), expected_versions: None };
    for _ in 0..2 {
        let answer = world.engine.orders.act(&world.customer, &request).await.unwrap();
        assert_eq!((answer.order, answer.replayed), (cancelled.clone(), false));
    }
    // So the key is still free, but a used key is not.
    let other = world.place(&dal(1), "b").await.unwrap().order.id;
    let request = CommandRequest { order_id: other, ..request };
    assert!(!world.engine.orders.act(&world.customer, &request).await.unwrap().replayed);
    let request = CommandRequest { order_id, ..request };
    let reused = world.engine.orders.act(&world.customer, &request).await;
    assert!(matches!(reused, Err(Error::KeyReused)), "{reused:?}");
}

#[tokio::test]
async fn keys_are_deleted_after_their_retention_and_not_before() {
    let world = World::new().await;
    world.place(&dal(1), "a").await.unwrap();
    world.clock.advance(SignedDuration::from_hours(7 * 24));
    assert_eq!(world.engine.work.delete_expired_keys().await.unwrap(), 0);
    assert!(world.place(&dal(1), "a").await.unwrap().replayed);
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(world.engine.work.delete_expired_keys().await.unwrap(), 1);
    assert!(!world.place(&dal(1), "a").await.unwrap().replayed);
    assert_eq!(world.orders().await.len(), 2);
}

#[tokio::test]
async fn strangers_can_neither_see_nor_change_an_order() {
    let world = World::new().await;
    let order = world.place(&dal(1), "a").await.unwrap().order;
    let account_id = AccountId::generate(start_of_time(), Bucket::from_random(0), 400);
    for role in [Role::Customer, Role::Restaurant, Role::Courier] {
        let stranger = Principal::new(account_id, role);
        assert!(matches!(
            world.engine.orders.order(&stranger, order.id).await,
            Err(Error::NotFound("order"))
        ));
        let limit = dabba_store::PageSize::DEFAULT;
        assert!(matches!(
            world.engine.orders.events(&stranger, order.id, 0, limit).await,
            Err(Error::NotFound("order"))
        ));
        assert!(matches!(world.act(&stranger, order.id, cancel()).await, Err(Error::NotFound("order"))));
    }
    assert_eq!(
        world.engine.orders.order(&world.customer, order.id).await.unwrap().status,
        OrderStatus::Confirmed
    );
}
