//! Commands with valid content, and the actors that give them.

use dabba_domain::{
    Actor,
    menu::UnavailableItem,
    order::{
        CancelReason, Command, CommandKind, Decision, InterventionReason, Order, OrderStatus, RefundBearer,
        RefundLine, RefundReason, RefundRequest, RejectReason, Rejection, decide,
    },
    text::Slug,
};

use jiff::SignedDuration;
use proptest::prelude::*;

use crate::common::{
    COURIER, STRANGER, account, admin, amount, courier, customer, now, restaurant, settings, staff,
};

pub(crate) fn act(order: &Order, actor: &Actor, command: &Command) -> Result<Decision, Rejection> {
    decide(order, command, actor, &settings(), now())
}

pub(crate) fn must(order: &Order, actor: &Actor, command: &Command) -> Order {
    act(order, actor, command).unwrap_or_else(|rejection| panic!("{command:?}: {rejection}")).order
}

pub(crate) fn accept() -> Command {
    Command::Accept { preparation_minutes: 20 }
}
pub(crate) fn cancel() -> Command {
    Command::cancel(CancelReason::Other)
}
pub(crate) fn reject() -> Command {
    Command::reject(RejectReason::TooBusy)
}
pub(crate) fn assign() -> Command {
    Command::assign(account(COURIER))
}
pub(crate) fn refund(minor: Option<i64>) -> Command {
    Command::Refund(RefundRequest::new(minor.map(amount), RefundReason::Quality))
}

/// Returns a command of this kind with valid content.
pub(crate) fn command(kind: CommandKind) -> Command {
    match kind {
        CommandKind::Confirm => Command::Confirm,
        CommandKind::Accept => accept(),
        CommandKind::Reject => reject(),
        CommandKind::MarkReady => Command::MarkReady,
        CommandKind::AssignCourier => assign(),
        CommandKind::PickUp => Command::PickUp,
        CommandKind::Deliver => Command::deliver(),
        CommandKind::Cancel => cancel(),
        CommandKind::Warn => Command::Warn,
        CommandKind::Expire => Command::Expire,
        CommandKind::Refund => refund(Some(100)),
    }
}

/// Returns a command of this kind with content that is valid for this actor while the order has this status.
pub(crate) fn command_by(actor: &Actor, kind: CommandKind, status: OrderStatus) -> Command {
    let is_admin = matches!(actor, Actor::Admin { .. });
    let reason = (is_admin && status == OrderStatus::OutForDelivery).then_some(InterventionReason::Other);
    match kind {
        CommandKind::AssignCourier => {
            let is_courier = matches!(actor, Actor::Courier { .. });
            // A courier other than the one who may already carry the order.
            let courier_id = actor.account_id().filter(|_| is_courier).unwrap_or(account(77));
            Command::AssignCourier { courier_id, reason, note: None }
        }
        CommandKind::Deliver => Command::Deliver { reason, note: None },
        _ => command(kind),
    }
}

pub(crate) fn everyone() -> Vec<(&'static str, Actor)> {
    let stranger = account(STRANGER);
    vec![
        ("customer", customer()),
        ("staff", staff()),
        ("courier", courier()),
        ("admin", admin()),
        ("system", Actor::System),
        ("other customer", Actor::customer(stranger)),
        ("other staff", Actor::Restaurant { account_id: stranger, restaurant_id: restaurant(2) }),
        ("other courier", Actor::Courier { account_id: stranger }),
    ]
}

/// Returns any command, with valid or invalid content.
pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let cancel_reason = proptest::sample::select(CancelReason::ALL);
    let reject_reason = proptest::sample::select(RejectReason::ALL);
    prop_oneof![
        Just(Command::Confirm),
        (0_u32..2_000).prop_map(|preparation_minutes| Command::Accept { preparation_minutes }),
        (reject_reason, any_items()).prop_map(|(reason, items)| Command::Reject {
            reason,
            note: None,
            items
        }),
        Just(Command::MarkReady),
        (COURIER..7, any_intervention()).prop_map(|(number, reason)| Command::AssignCourier {
            courier_id: account(number),
            reason,
            note: None
        }),
        Just(Command::PickUp),
        any_intervention().prop_map(|reason| Command::Deliver { reason, note: None }),
        (cancel_reason, any_items()).prop_map(|(reason, items)| Command::Cancel {
            reason,
            note: None,
            items
        }),
        Just(Command::Warn),
        Just(Command::Expire),
        any_refund().prop_map(Command::Refund),
    ]
}

/// Returns these items, unavailable without an end.
pub(crate) fn unavailable(items: &[&str]) -> Vec<UnavailableItem> {
    items.iter().map(|item| UnavailableItem { item: Slug::new(item).unwrap(), until: None }).collect()
}

/// Returns items for an early end: none, items of an order, or other items, with an end that may have passed.
fn any_items() -> impl Strategy<Value = Vec<UnavailableItem>> {
    let until =
        proptest::option::of((-1_i64..1_000).prop_map(|seconds| now() + SignedDuration::from_secs(seconds)));
    let item = (proptest::sample::select(&["dal", "dal", "dal", "naan"][..]), until)
        .prop_map(|(item, until)| UnavailableItem { item: Slug::new(item).unwrap(), until });
    prop_oneof![2 => Just(Vec::new()), 3 => proptest::collection::vec(item, 1..3)]
}

fn any_intervention() -> impl Strategy<Value = Option<InterventionReason>> {
    proptest::option::of(proptest::sample::select(InterventionReason::ALL))
}

/// Returns any refund request: by amount, by lines, by both, or of all that is left; with any bearer.
pub(crate) fn any_refund() -> impl Strategy<Value = RefundRequest> {
    let amount = proptest::option::of((0_i64..2_000).prop_map(amount));
    let line = (0_u32..3, 0_u32..3).prop_map(|(line, quantity)| RefundLine { line, quantity });
    let lines = prop_oneof![3 => Just(Vec::new()), 2 => proptest::collection::vec(line, 1..3)];
    let borne_by = proptest::option::of(proptest::sample::select(RefundBearer::ALL));
    (amount, lines, borne_by).prop_map(|(amount, lines, borne_by)| RefundRequest {
        lines,
        borne_by,
        ..RefundRequest::new(amount, RefundReason::Late)
    })
}
