//! Orders at a certain stage.

use dabba_domain::{
    Actor,
    order::{CancelReason, Command, Fulfilment, Order, OrderDetails},
};
use dabba_store::{
    Store,
    conformance::builders::{World, customer, staff},
};

use crate::random::write;

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Confirmed,
    Preparing,
    Ready,
    OutForDelivery,
    Delivered,
    Cancelled,
}

/// Puts an order to be delivered into a store, at a stage.
pub(crate) async fn put(store: &dyn Store, world: &mut World, stage: Stage) -> Order {
    let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
    let details = world.details(restaurant_id, customer_id);
    put_with(store, world, stage, details).await
}

/// The same with these details. One to be collected is not out for delivery at any time.
pub(crate) async fn put_with(
    store: &dyn Store,
    world: &mut World,
    stage: Stage,
    details: OrderDetails,
) -> Order {
    let is_delivered = details.fulfilment != Fulfilment::Collection;
    let commit = world.place_with(details);
    let mut order = write(store, commit).await;
    let courier_id = world.account_id();
    let (kitchen, courier) = (staff(&order), Actor::Courier { account_id: courier_id });
    let way = [
        (Stage::Preparing, Command::Accept { preparation_minutes: 20 }, kitchen),
        (Stage::Ready, Command::AssignCourier { courier_id }, courier),
        (Stage::Ready, Command::MarkReady, kitchen),
        (Stage::OutForDelivery, Command::PickUp, courier),
        (Stage::Delivered, Command::Deliver, if is_delivered { courier } else { kitchen }),
    ];
    if stage == Stage::Cancelled {
        let command = Command::Cancel { reason: CancelReason::ChangedMind, note: None };
        let commit = world.act(&order, &command, &customer(&order));
        return write(store, commit).await;
    }
    for (until, command, actor) in way {
        let is_couriers = matches!(command, Command::AssignCourier { .. } | Command::PickUp);
        if (until as u8) <= (stage as u8) && (is_delivered || !is_couriers) {
            let commit = world.act(&order, &command, &actor);
            order = write(store, commit).await;
        }
    }
    order
}
