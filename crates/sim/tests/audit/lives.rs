//! Orders at a certain stage.

use dabba_domain::{
    Actor,
    order::{CancelReason, Command, Fulfilment, Order, OrderDetails, PaymentMethod, PaymentReport},
};
use dabba_store::{
    Store,
    conformance::builders::{World, customer, reference_of, staff},
};

use crate::random::{report, write};

/// The stage of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Only a card order stays at this stage.
    Created,
    Confirmed,
    Preparing,
    Ready,
    OutForDelivery,
    Delivered,
    Cancelled,
}

/// Stores a delivery order at a stage.
pub(crate) async fn put(store: &dyn Store, world: &mut World, stage: Stage) -> Order {
    let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
    let details = world.details(restaurant_id, customer_id);
    put_with(store, world, stage, details).await
}

/// Stores a delivery order that is paid by card, at a stage.
pub(crate) async fn put_by_card(store: &dyn Store, world: &mut World, stage: Stage) -> Order {
    let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
    let details = world.details_by_card(restaurant_id, customer_id);
    put_with(store, world, stage, details).await
}

/// Stores an order with these details at a stage. The steps of a card payment are carried out. A collection
/// order is never out for delivery.
pub(crate) async fn put_with(
    store: &dyn Store,
    world: &mut World,
    stage: Stage,
    details: OrderDetails,
) -> Order {
    let by_card = details.payment_method == PaymentMethod::Card;
    let is_delivered = details.fulfilment != Fulfilment::Collection;
    let commit = world.place_with(details);
    let mut order = write(store, commit).await;
    let reference = reference_of(&order);
    if by_card && stage != Stage::Created {
        order =
            report(store, world, &order, &PaymentReport::Authorized { reference: reference.clone() }).await;
    }
    let courier_id = world.account_id();
    let (kitchen, courier) = (staff(&order), Actor::Courier { account_id: courier_id });
    let way = [
        (Stage::Preparing, Command::Accept { preparation_minutes: 20 }, kitchen),
        (Stage::Ready, Command::assign(courier_id), courier),
        (Stage::Ready, Command::MarkReady, kitchen),
        (Stage::OutForDelivery, Command::PickUp, courier),
        (Stage::Delivered, Command::deliver(), if is_delivered { courier } else { kitchen }),
    ];
    if stage == Stage::Cancelled {
        let command = Command::cancel(CancelReason::Other);
        let commit = world.act(&order, &command, &customer(&order));
        let order = write(store, commit).await;
        return report(store, world, &order, &PaymentReport::Voided { reference }).await;
    }
    for (until, command, actor) in way {
        let is_couriers = matches!(command, Command::AssignCourier { .. } | Command::PickUp);
        if (until as u8) <= (stage as u8) && (is_delivered || !is_couriers) {
            let commit = world.act(&order, &command, &actor);
            order = write(store, commit).await;
            let reference = reference.clone();
            order = report(store, world, &order, &PaymentReport::Captured { reference }).await;
        }
    }
    order
}
