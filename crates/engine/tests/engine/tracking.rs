//! Tracking links: what they show, for how long, and what they may do.

use std::sync::Arc;

use dabba_domain::{
    Actor, Role, Via,
    order::{CancelReason, Command, CommandKind, Event, OrderStatus, RefundReason, RefundRequest},
};
use dabba_engine::{
    Conflict, Error, MAX_TRACKING_LINKS, Orders, Principal, TRACKED_AFTER_END, Tracked, TrackingToken,
};
use dabba_store::{IdempotencyKey, OrderStore as _};
use jiff::SignedDuration;

use crate::world::{World, accept, cancel, dal, key};

fn changed_mind() -> Command {
    Command::cancel(CancelReason::ChangedMind)
}

async fn link(world: &World) -> TrackingToken {
    let order = world.place(&dal(1), "tracked").await.unwrap().order;
    world.engine.orders.create_tracking_link(&world.customer, order.id).await.unwrap()
}

async fn read_link(orders: &Orders, token: &TrackingToken) -> Result<Tracked, Error> {
    orders.track(orders.linked_order(token).await?).await
}

async fn cancel_by(
    orders: &Orders,
    token: &TrackingToken,
    command: Command,
    key: Option<IdempotencyKey>,
) -> Result<Tracked, Error> {
    orders.cancel_by_link(orders.linked_order(token).await?, command, key, None).await
}

/// Proves that a link shows its own order with the times of its steps, as the clock of the server states them.
#[tokio::test]
async fn a_link_shows_the_steps_of_its_order() {
    let world = World::new().await;
    let order = world.place(&dal(1), "a").await.unwrap().order;
    let other = world.place(&dal(2), "b").await.unwrap().order;
    let orders = &world.engine.orders;
    let token = orders.create_tracking_link(&world.customer, order.id).await.unwrap();
    let of_other = orders.create_tracking_link(&world.customer, other.id).await.unwrap();
    world.clock.advance(SignedDuration::from_secs(60));
    world.act(&world.staff, order.id, accept()).await.unwrap();
    let accepted_at = world.engine.now();
    world.clock.advance(SignedDuration::from_secs(60));
    world.act(&world.staff, order.id, Command::MarkReady).await.unwrap();
    let ready_at = world.engine.now();
    world.clock.advance(SignedDuration::from_secs(60));
    world.act(&world.staff, order.id, Command::deliver()).await.unwrap();
    let delivered_at = world.engine.now();

    let tracked = read_link(orders, &token).await.unwrap();
    let (shown, steps) = (&tracked.followed.order, tracked.followed.steps);
    assert_eq!(*shown, orders.order(&world.admin, order.id).await.unwrap());
    assert_eq!(steps.confirmed_at, Some(order.placed_at));
    assert_eq!((steps.accepted_at, steps.ready_at), (Some(accepted_at), Some(ready_at)));
    assert_eq!((steps.delivered_at, steps.ended_at), (Some(delivered_at), Some(delivered_at)));
    assert_eq!(steps.picked_up_at, None, "the customer collected it");
    assert_eq!(tracked.restaurant.id, world.restaurant_id);
    assert_eq!(read_link(orders, &of_other).await.unwrap().followed.order.id, other.id);
}

/// Proves that a link is valid until 24 hours after the end of its order, whatever happens to the order after its end,
/// and that the maintenance deletes the link only after that.
#[tokio::test]
async fn a_link_ends_a_day_after_its_order() {
    let world = World::new().await;
    let orders = &world.engine.orders;
    let token = link(&world).await;
    let order_id = read_link(orders, &token).await.unwrap().followed.order.id;
    world.act(&world.staff, order_id, accept()).await.unwrap();
    // An open order is tracked for as long as it is open.
    world.clock.advance(SignedDuration::from_hours(72));
    world.engine.work.check_tracking_links().await.unwrap();
    read_link(orders, &token).await.unwrap();
    world.act(&world.staff, order_id, Command::MarkReady).await.unwrap();
    world.act(&world.staff, order_id, Command::deliver()).await.unwrap();
    world.clock.advance(SignedDuration::from_hours(23));
    let refund = RefundRequest::new(None, RefundReason::Late);
    world.act(&world.admin, order_id, Command::Refund(refund)).await.unwrap();
    world.clock.advance(SignedDuration::from_mins(59));
    read_link(orders, &token).await.unwrap();
    world.clock.advance(SignedDuration::from_mins(1));
    let expired = read_link(orders, &token).await;
    assert!(matches!(expired, Err(Error::NotFound(_))), "{expired:?}");
    assert!(matches!(cancel_by(orders, &token, changed_mind(), None).await, Err(Error::NotFound(_))));
    let late = orders.create_tracking_link(&world.customer, order_id).await;
    assert!(matches!(late, Err(Error::Conflict(Conflict::TrackingEnded))), "{late:?}");

    // The refund changed the order less than a day ago, so the link is deleted later than it ends.
    assert_eq!(world.engine.work.check_tracking_links().await.unwrap(), 1);
    assert_eq!(world.engine.work.check_tracking_links().await.unwrap(), 0, "once a day");
    world.clock.advance(TRACKED_AFTER_END);
    assert_eq!(world.engine.work.check_tracking_links().await.unwrap(), 1);
    world.clock.advance(TRACKED_AFTER_END);
    assert_eq!(world.engine.work.check_tracking_links().await.unwrap(), 0, "the link is deleted");
}

/// Proves that a cancellation with a link is the customer's, names its way in the history, and is repeated safely.
#[tokio::test]
async fn a_cancellation_by_link_is_the_customers() {
    let world = World::new().await;
    let orders = &world.engine.orders;
    let token = link(&world).await;
    let before = read_link(orders, &token).await.unwrap();
    let commands: Vec<_> = before.allowed_actions.iter().map(|action| action.command).collect();
    assert_eq!(commands, [CommandKind::Cancel]);

    let wrong = Command::cancel(CancelReason::KitchenClosed);
    let refused = cancel_by(orders, &token, wrong, None).await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    for _ in 0..2 {
        let cancelled = cancel_by(orders, &token, changed_mind(), Some(key("c"))).await.unwrap();
        let followed = &cancelled.followed;
        assert_eq!(followed.order.status, OrderStatus::Cancelled);
        assert_eq!(followed.steps.ended_at, Some(world.engine.now()));
        assert_eq!(cancelled.allowed_actions, []);
    }
    // The same command of the customer's own account was carried out before, too.
    let order_id = before.followed.order.id;
    world.act(&world.customer, order_id, changed_mind()).await.unwrap();
    let history = world.store.events(order_id, 0, 100).await.unwrap();
    let ends: Vec<_> =
        history.iter().filter(|event| matches!(event.event, Event::Cancelled { .. })).collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(
        ends[0].actor,
        Actor::Customer { account_id: world.customer.account_id, via: Some(Via::Link) }
    );
}

/// Proves that a link cannot cancel what its customer cannot, and that the refusal changes nothing.
#[tokio::test]
async fn an_accepted_order_is_not_cancelled_by_link() {
    let world = World::new().await;
    let orders = &world.engine.orders;
    let token = link(&world).await;
    let order_id = read_link(orders, &token).await.unwrap().followed.order.id;
    let accepted = world.act(&world.staff, order_id, accept()).await.unwrap().order;
    let refused = cancel_by(orders, &token, changed_mind(), None).await;
    assert!(matches!(refused, Err(Error::Conflict(Conflict::IllegalMove { .. }))), "{refused:?}");
    let now = read_link(orders, &token).await.unwrap();
    assert_eq!((now.followed.order, now.allowed_actions), (accepted, Vec::new()));
}

/// Proves that of a cancellation by link and an acceptance at the same time exactly one takes effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancellation_by_link_and_an_acceptance_exclude_each_other() {
    let world = Arc::new(World::new().await);
    for round in 0..20 {
        let order = world.place(&dal(1), &format!("round {round}")).await.unwrap().order;
        let token = world.engine.orders.create_tracking_link(&world.customer, order.id).await.unwrap();
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let by_link =
            tokio::spawn(
                async move { cancel_by(&one.engine.orders, &token, changed_mind(), None).await.is_ok() },
            );
        let by_staff = tokio::spawn(async move { two.act(&two.staff, order.id, accept()).await.is_ok() });
        let (cancelled, accepted) = (by_link.await.unwrap(), by_staff.await.unwrap());
        assert!(cancelled != accepted, "round {round}: {cancelled} {accepted}");
        let status = world.engine.orders.order(&world.admin, order.id).await.unwrap().status;
        let expected = if cancelled { OrderStatus::Cancelled } else { OrderStatus::Preparing };
        assert_eq!(status, expected);
    }
}

/// Proves who may create links, and that an order has at most the documented number.
#[tokio::test]
async fn links_are_created_by_customers_and_admins_up_to_the_limit() {
    let world = World::new().await;
    let orders = &world.engine.orders;
    let order = world.place(&dal(1), "a").await.unwrap().order;
    let stranger = Principal::new(world.staff.account_id, Role::Customer);
    let refused = orders.create_tracking_link(&stranger, order.id).await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    let by_staff = orders.create_tracking_link(&world.staff, order.id).await;
    assert!(matches!(by_staff, Err(Error::Forbidden(_))), "{by_staff:?}");
    let mut tokens = Vec::new();
    for number in 0..MAX_TRACKING_LINKS {
        let caller = [&world.customer, &world.admin][number as usize % 2];
        tokens.push(orders.create_tracking_link(caller, order.id).await.unwrap());
    }
    let full = orders.create_tracking_link(&world.admin, order.id).await;
    let is_full = |error: &Error| matches!(error, Error::Conflict(Conflict::TooManyTrackingLinks { limit }) if *limit == MAX_TRACKING_LINKS);
    assert!(full.as_ref().is_err_and(is_full), "{full:?}");
    for token in &tokens {
        assert_eq!(read_link(orders, token).await.unwrap().followed.order.id, order.id);
    }
    let unknown = TrackingToken::parse(&tokens[0].expose().replace(&tokens[0].expose()[40..], "000000"));
    assert!(matches!(read_link(orders, &unknown.unwrap()).await, Err(Error::NotFound(_))));
    world.act(&world.customer, order.id, cancel()).await.unwrap();
}
