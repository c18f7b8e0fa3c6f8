//! Orders at a certain stage.

use dabba_domain::{
    Actor,
    order::{CancelReason, Command, Order},
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

/// Puts an order at a stage into a store.
pub(crate) async fn put(store: &dyn Store, world: &mut World, stage: Stage) -> Order {
    let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant_id, customer_id);
    let mut order = write(store, commit).await;
    let courier_id = world.account_id();
    let (kitchen, courier) = (staff(&order), Actor::Courier { account_id: courier_id });
    let way = [
        (Stage::Preparing, Command::Accept { preparation_minutes: 20 }, kitchen),
        (Stage::Ready, Command::AssignCourier { courier_id }, courier),
        (Stage::Ready, Command::MarkReady, kitchen),
        (Stage::OutForDelivery, Command::PickUp, courier),
        (Stage::Delivered, Command::Deliver, courier),
    ];
    if stage == Stage::Cancelled {
        let command = Command::Cancel { reason: CancelReason::ChangedMind, note: None };
        let commit = world.act(&order, &command, &customer(&order));
        return write(store, commit).await;
    }
    for (until, command, actor) in way {
        if (until as u8) <= (stage as u8) {
            let commit = world.act(&order, &command, &actor);
            order = write(store, commit).await;
        }
    }
    order
}
