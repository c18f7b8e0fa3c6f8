//! The auditor's table of moves and the domain's are written down twice, and say the same.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor, Timestamp,
    order::{
        CancelReason, CommandKind, Event, Fulfilment, Order, RecordedEvent, RefundReason, RejectReason,
        decide,
    },
};
use dabba_sim::audit::{AuditOptions, audit};
use dabba_store::{
    Store,
    conformance::builders::{World, amount, customer, settings, staff},
};
use jiff::SignedDuration;

use crate::{
    embedded,
    lives::{Stage, put_with},
    random::command,
    tampering::Tampering,
};

const STAGES: [Stage; 6] = [
    Stage::Confirmed,
    Stage::Preparing,
    Stage::Ready,
    Stage::OutForDelivery,
    Stage::Delivered,
    Stage::Cancelled,
];

/// Parties to an order, and the same people of others.
fn actors(order: &Order, world: &mut World) -> Vec<Actor> {
    let other = world.account_id();
    let mut actors = vec![
        customer(order),
        Actor::Customer { account_id: other },
        staff(order),
        Actor::Restaurant { account_id: other, restaurant_id: world.restaurant_id() },
        Actor::Courier { account_id: other },
        Actor::Admin { account_id: other },
        Actor::System,
    ];
    actors.extend(order.courier_id.map(|account_id| Actor::Courier { account_id }));
    actors
}

/// What a command would lead to if nobody asked whether it is allowed.
fn events(kind: CommandKind, order: &Order, courier_id: AccountId, at: Timestamp) -> Vec<Event> {
    let (note, stock_returned) = (None, false);
    match kind {
        CommandKind::Confirm => vec![Event::Confirmed { acceptance_deadline: at }],
        CommandKind::Accept => vec![Event::Accepted { preparation_minutes: 25, ready_by: at }],
        CommandKind::Reject => vec![Event::Rejected { reason: RejectReason::TooBusy, note, stock_returned }],
        CommandKind::MarkReady => vec![Event::MarkedReady],
        CommandKind::AssignCourier => vec![Event::CourierAssigned { courier_id }],
        CommandKind::PickUp => vec![Event::PickedUp],
        CommandKind::Deliver => {
            vec![Event::Delivered, Event::PaymentCaptured { amount: order.details.amounts.total }]
        }
        CommandKind::Cancel => {
            vec![Event::Cancelled { reason: CancelReason::TooSlow, note, stock_returned }]
        }
        CommandKind::Expire => vec![Event::Expired { stock_returned }],
        CommandKind::Refund => {
            vec![Event::Refunded { amount: amount(700), reason: RefundReason::Late, note }]
        }
    }
}

/// Goes through every command by everybody on an order, and compares. Answers how many were legal, and how
/// many were not.
async fn compare(store: &Arc<dyn Store>, world: &mut World, order: &Order) -> (u32, u32) {
    let (mut legal, mut illegal) = (0, 0);
    // Late enough to expire.
    let at = order.updated_at + SignedDuration::from_hours(1);
    for actor in actors(order, world) {
        for kind in CommandKind::ALL {
            let courier_id = actor.account_id().unwrap_or(order.details.customer_id);
            let decided = decide(order, &command(*kind, courier_id), &actor, &settings(), at);
            if decided.as_ref().is_ok_and(|decision| decision.events.is_empty()) {
                continue; // Done before: nothing would be written.
            }
            let events = events(*kind, order, courier_id, at);
            let tampering = Tampering::new(Arc::clone(store), move |stored| {
                for event in events.clone() {
                    let version = stored.events.last().unwrap().version + 1;
                    let order_id = stored.order.id;
                    stored.events.push(RecordedEvent { order_id, version, at, actor, event });
                }
                stored.refold();
            });
            let report = audit(&tampering, &AuditOptions::at(at)).await.unwrap();
            let case = format!("{kind} by {actor:?} on {order:?}: {decided:?}\n{report}");
            assert_eq!(report.is_clean(), decided.is_ok(), "{case}");
            *(if decided.is_ok() { &mut legal } else { &mut illegal }) += 1;
        }
    }
    (legal, illegal)
}

/// Proves, for every command by everybody at every stage of an order, delivered or collected, that what it
/// would lead to is a breach for the auditor exactly where the domain refuses it.
#[tokio::test]
async fn the_auditor_and_the_domain_agree_on_every_move() {
    let (mut legal, mut illegal) = (0, 0);
    for (stage, is_collected) in STAGES.into_iter().flat_map(|stage| [(stage, false), (stage, true)]) {
        let (store, _directory) = embedded().await;
        let mut world = World::new(6);
        let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
        let mut details = world.details(restaurant_id, customer_id);
        if is_collected {
            details.fulfilment = Fulfilment::Collection;
        }
        let order = put_with(&*store, &mut world, stage, details).await;
        let (more_legal, more_illegal) = compare(&store, &mut world, &order).await;
        legal += more_legal;
        illegal += more_illegal;
    }
    assert!(legal > 40 && illegal > 600, "{legal} legal, {illegal} illegal");
}
