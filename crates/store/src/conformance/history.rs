//! Events: the truth about an order (I4).

use std::sync::Arc;

use super::builders::{World, amount, customer, settings, staff};
use crate::{Change, Commit, CommitOutcome, Store};
use dabba_domain::{
    AccountId, Actor,
    order::{
        CancelReason, Command, CommandKind, Fulfilment, InterventionReason, Order, OrderStatus, RefundReason,
        RefundRequest, RejectReason, allowed_actions, fold,
    },
    text::Note,
};

/// Limit above the number of events of any order in these tests.
const MANY: u32 = 1_000;

/// Commits, and checks that the events are stored as decided, and that the stored state and the fold of the
/// stored events both equal the decided state.
pub(super) async fn commit_and_compare(store: &Arc<dyn Store>, commit: Commit) -> Order {
    let Change { order: decided, events: added } = commit.change.clone().unwrap();
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    let stored = store.order(decided.id).await.unwrap();
    let events = store.events(decided.id, 0, MANY).await.unwrap();
    assert!(events.ends_with(&added), "{events:?} should end with {added:?}");
    assert_eq!(fold(&events).unwrap().as_ref(), Some(&decided));
    assert_eq!(stored.as_ref(), Some(&decided));
    decided
}

/// Carries out commands one after the other, and compares after each command.
async fn live(store: &Arc<dyn Store>, world: &mut World, mut order: Order, steps: &[(Command, Actor)]) {
    for (command, actor) in steps {
        let commit = world.act(&order, command, actor);
        order = commit_and_compare(store, commit).await;
    }
}

/// After every step of a delivery with partial refunds, a collection, a rejection, cancellations by each
/// party and an expiry, the fold of the stored events equals the stored order.
pub async fn the_events_of_every_kind_of_end_fold_to_the_stored_order(store: Arc<dyn Store>) {
    let mut world = World::new(31);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let courier_id = world.account_id();
    let courier = Actor::Courier { account_id: courier_id };
    let admin = Actor::Admin { account_id: world.account_id() };
    let note = Some(Note::new("it's \"cold\"\n\\ 🥶").unwrap());
    let accept = Command::Accept { preparation_minutes: 25 };
    let cancel = Command::Cancel { reason: CancelReason::Other, note: note.clone(), items: Vec::new() };
    let refund = |amount| {
        Command::Refund(RefundRequest {
            note: note.clone(),
            ..RefundRequest::new(amount, RefundReason::Quality)
        })
    };
    let mut placed = Vec::new();
    for _ in 0..6 {
        let commit = world.place(restaurant, account);
        placed.push(commit_and_compare(&store, commit).await);
    }
    let details = dabba_domain::order::OrderDetails {
        fulfilment: Fulfilment::Collection,
        delivery_zone: None,
        contact: None,
        note: None,
        ..world.details(restaurant, account)
    };
    let collected = world.place_with(details);
    let collected = commit_and_compare(&store, collected).await;
    let staff = staff(&collected);

    let delivered = [
        (accept.clone(), staff),
        (Command::assign(world.account_id()), admin),
        (Command::assign(courier_id), admin),
        (Command::MarkReady, staff),
        (Command::PickUp, courier),
        (Command::deliver(), courier),
        (refund(Some(amount(1))), staff),
        (refund(Some(amount(500))), admin),
        (refund(None), admin),
    ];
    live(&store, &mut world, placed.remove(0), &delivered).await;
    let fetched = [(accept.clone(), staff), (Command::MarkReady, staff), (Command::deliver(), staff)];
    live(&store, &mut world, collected, &fetched).await;
    let rejected =
        [(Command::Reject { reason: RejectReason::TooBusy, note: note.clone(), items: Vec::new() }, staff)];
    live(&store, &mut world, placed.remove(0), &rejected).await;
    let by_customer = customer(&placed[0]);
    live(&store, &mut world, placed.remove(0), &[(cancel.clone(), by_customer)]).await;
    live(&store, &mut world, placed.remove(0), &[(accept, staff), (cancel.clone(), staff)]).await;
    live(&store, &mut world, placed.remove(0), &[(cancel, admin)]).await;

    let order = placed.remove(0);
    let deadline = order.acceptance_deadline.unwrap();
    let decision =
        dabba_domain::order::decide(&order, &Command::Expire, &Actor::System, &settings(), deadline);
    let expired = world.commit(decision.unwrap(), order.version);
    commit_and_compare(&store, expired).await;
}

/// The same for random lives: in each state, a random command that some actor may give.
pub async fn the_events_of_random_lives_fold_to_the_stored_order(store: Arc<dyn Store>) {
    let mut world = World::new(32);
    let restaurant = world.restaurant_id();
    for _ in 0..25 {
        let account = world.account_id();
        let placed = world.place(restaurant, account);
        let mut order = commit_and_compare(&store, placed).await;
        let courier_id = world.account_id();
        let actors = [
            Actor::customer(account),
            staff(&order),
            Actor::Courier { account_id: courier_id },
            Actor::Admin { account_id: account },
        ];
        for _ in 0..12 {
            let possible: Vec<(CommandKind, Actor)> = actors
                .iter()
                .flat_map(|actor| {
                    let allowed = allowed_actions(&order, actor, settings().refund_limit);
                    allowed.into_iter().map(|action| (action.command, *actor))
                })
                // Cancellation ends a life early, so it is chosen rarely.
                .filter(|(command, _)| *command != CommandKind::Cancel || world.below(4) == 0)
                .collect();
            if possible.is_empty() {
                break;
            }
            let (kind, actor) = possible[world.below(possible.len())];
            let command = command_of(&mut world, kind, &actor, &order, courier_id);
            let commit = world.act(&order, &command, &actor);
            order = commit_and_compare(&store, commit).await;
        }
    }
}

fn command_of(
    world: &mut World,
    kind: CommandKind,
    actor: &Actor,
    order: &Order,
    courier_id: AccountId,
) -> Command {
    // An admin must state why they act for a courier who has the food.
    let steps_in = matches!(actor, Actor::Admin { .. }) && order.status == OrderStatus::OutForDelivery;
    let reason = steps_in.then_some(InterventionReason::CourierUnreachable);
    match kind {
        CommandKind::Confirm => Command::Confirm,
        CommandKind::Accept => Command::Accept { preparation_minutes: 10 },
        CommandKind::Reject => Command::reject(RejectReason::Other),
        CommandKind::MarkReady => Command::MarkReady,
        CommandKind::AssignCourier => {
            // Assigning the same courier again would have no effect.
            let is_same = order.courier_id == Some(courier_id);
            let courier_id = if is_same { world.account_id() } else { courier_id };
            Command::AssignCourier { courier_id, reason, note: None }
        }
        CommandKind::PickUp => Command::PickUp,
        CommandKind::Deliver => Command::Deliver { reason, note: None },
        CommandKind::Cancel => Command::cancel(CancelReason::Other),
        CommandKind::Warn => Command::Warn,
        CommandKind::Expire => Command::Expire,
        CommandKind::Refund => {
            let part = order.refundable().minor() / 3;
            let amount = (part > 0 && world.below(2) == 0).then(|| amount(part));
            Command::Refund(RefundRequest::new(amount, RefundReason::Late))
        }
    }
}

/// Coordinates to the last bit, times to the nanosecond, and text in every script are stored exactly, in the
/// row and in the event.
pub async fn details_are_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(33);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    for _ in 0..200 {
        let commit = world.place(restaurant, account);
        commit_and_compare(&store, commit).await;
    }
}

/// An order's events can be read after any version, with any limit.
pub async fn events_are_read_in_pages(store: Arc<dyn Store>) {
    let mut world = World::new(34);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, account);
    let mut order = commit_and_compare(&store, placed).await;
    for _ in 0..5 {
        let courier_id = world.account_id();
        let assign = Command::assign(courier_id);
        let commit = world.act(&order, &assign, &Actor::Admin { account_id: account });
        order = commit_and_compare(&store, commit).await;
    }
    let all = store.events(order.id, 0, MANY).await.unwrap();
    assert_eq!(all.len(), 7);
    assert_eq!(store.events(order.id, 0, 3).await.unwrap(), all[..3]);
    assert_eq!(store.events(order.id, 3, 3).await.unwrap(), all[3..6]);
    assert_eq!(store.events(order.id, 6, 3).await.unwrap(), all[6..]);
    assert_eq!(store.events(order.id, 7, 3).await.unwrap(), []);
    assert_eq!(store.events(order.id, u32::MAX, 3).await.unwrap(), []);
    assert_eq!(store.events(order.id, 0, 0).await.unwrap(), []);
    assert_eq!(store.public_events(order.id, 0, MANY).await.unwrap(), all);
    assert_eq!(store.public_events(order.id, 3, 3).await.unwrap(), all[3..6]);
    assert_eq!(store.public_events(order.id, 7, 3).await.unwrap(), []);
}

/// Reading an unknown order is no error.
pub async fn an_unknown_order_has_no_events(store: Arc<dyn Store>) {
    let mut world = World::new(35);
    let restaurant = world.restaurant_id();
    let id = world.order_id(restaurant);
    assert_eq!(store.order(id).await.unwrap(), None);
    assert_eq!(store.events(id, 0, 10).await.unwrap(), []);
}
