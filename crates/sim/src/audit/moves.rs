//! The legal moves and the actors who may make them: the auditor's own table, written from the documentation
//! and not from the code that it checks.

use dabba_domain::{
    AccountId, Actor,
    order::{Event, OrderDetails, OrderStatus, PaymentMethod},
    pricing::FulfilmentKind,
};

use OrderStatus::{
    Cancelled, Confirmed, Created, Delivered, OutForDelivery, Preparing, ReadyForPickup, Refunded,
};
use PaymentMethod::{Card, Cash};

/// The part of an actor in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The customer of the order.
    Customer,
    /// Staff of the restaurant.
    Staff,
    /// The assigned courier.
    Courier,
    /// A courier who assigns themselves while no other courier is assigned.
    Taker,
    Admin,
    System,
    /// The actor of the previous event, if that event requires a refund.
    Unwinder,
}

/// A legal move.
struct Move {
    /// The event's name.
    event: &'static str,
    from: &'static [OrderStatus],
    by: &'static [Part],
    /// The kind of order for which the move is legal; both kinds if `None`.
    only: Option<FulfilmentKind>,
    /// The payment method for which the move is legal; both methods if `None`.
    paid: Option<PaymentMethod>,
}

const fn legal(event: &'static str, from: &'static [OrderStatus], by: &'static [Part]) -> Move {
    Move { event, from, by, only: None, paid: None }
}

const fn legal_for(
    kind: FulfilmentKind,
    event: &'static str,
    from: &'static [OrderStatus],
    by: &'static [Part],
) -> Move {
    Move { event, from, by, only: Some(kind), paid: None }
}

const fn legal_when_paid(
    by_method: PaymentMethod,
    event: &'static str,
    from: &'static [OrderStatus],
    by: &'static [Part],
) -> Move {
    Move { event, from, by, only: None, paid: Some(by_method) }
}

/// All legal moves of a placed order. The rules of the payment's own state, and the time of a capture in
/// cash, are checked elsewhere.
const MOVES: &[Move] = &[
    legal("confirmed", &[Created], &[Part::System]),
    legal("accepted", &[Confirmed], &[Part::Staff]),
    legal("rejected", &[Confirmed], &[Part::Staff]),
    legal("acceptance_due", &[Confirmed], &[Part::System]),
    legal("expired", &[Confirmed], &[Part::System]),
    legal_when_paid(Card, "expired", &[Created], &[Part::System]),
    legal("marked_ready", &[Preparing], &[Part::Staff]),
    legal_for(
        FulfilmentKind::Delivery,
        "courier_assigned",
        &[Confirmed, Preparing, ReadyForPickup],
        &[Part::Taker, Part::Admin, Part::System],
    ),
    legal_for(FulfilmentKind::Delivery, "courier_assigned", &[OutForDelivery], &[Part::Admin]),
    legal_for(FulfilmentKind::Delivery, "picked_up", &[ReadyForPickup], &[Part::Courier]),
    legal_for(FulfilmentKind::Delivery, "delivered", &[OutForDelivery], &[Part::Courier, Part::Admin]),
    legal_for(FulfilmentKind::Collection, "delivered", &[ReadyForPickup], &[Part::Staff]),
    legal("cancelled", &[Created, Confirmed], &[Part::Customer, Part::Staff, Part::Admin]),
    legal("cancelled", &[Preparing, ReadyForPickup], &[Part::Staff, Part::Admin]),
    legal("cancelled", &[OutForDelivery], &[Part::Admin]),
    legal_when_paid(
        Card,
        "payment_authorized",
        &[Created, Preparing, ReadyForPickup, OutForDelivery, Delivered, Cancelled],
        &[Part::System],
    ),
    legal_when_paid(Card, "payment_failed", &[Created, Confirmed, Cancelled], &[Part::System]),
    legal_when_paid(
        Card,
        "payment_voided",
        &[Preparing, ReadyForPickup, OutForDelivery, Delivered, Cancelled],
        &[Part::System],
    ),
    legal_when_paid(
        Card,
        "payment_captured",
        &[Confirmed, Preparing, ReadyForPickup, OutForDelivery, Delivered, Cancelled],
        &[Part::System],
    ),
    legal_when_paid(
        Card,
        "refund_requested",
        &[Delivered, Cancelled],
        &[Part::Staff, Part::Admin, Part::Unwinder],
    ),
    // If the whole amount went back without Dabba, the order is refunded while a requested refund is still pending.
    legal_when_paid(Card, "refund_failed", &[Delivered, Cancelled, Refunded], &[Part::System]),
    legal_when_paid(Card, "refunded", &[Delivered, Cancelled, Refunded], &[Part::System]),
    legal_when_paid(Card, "refund_reversed", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "refunded elsewhere", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "chargeback_opened", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "chargeback_lost", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "chargeback_won", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "payment_differs", &[Created], &[Part::System]),
    legal_when_paid(Card, "payment_differs", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Cash, "refunded", &[Delivered, Cancelled], &[Part::Staff, Part::Admin]),
];

/// The statuses in which money can be captured.
const ONCE_COLLECTED: &[OrderStatus] =
    &[Confirmed, Preparing, ReadyForPickup, OutForDelivery, Delivered, Cancelled, Refunded];

/// The rule that a move violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Illegal {
    /// The move does not exist for the status.
    Move,
    /// The move exists, but not for this actor.
    Actor,
    /// The order had ended.
    AfterEnd,
}

/// Returns the name of an event in the table. A refund without Dabba has its own name, because its rules
/// differ from those of a refund by Dabba.
fn name_of(event: &Event) -> &str {
    match event {
        Event::Refunded(refund) if refund.external.is_some() => "refunded elsewhere",
        _ => event.name(),
    }
}

/// The part of an order's state that decides who may make a move.
pub(super) struct Position<'a> {
    pub(super) details: &'a OrderDetails,
    pub(super) status: OrderStatus,
    pub(super) courier_id: Option<AccountId>,
    /// The actor of the previous event, if that event requires a refund.
    pub(super) unwound_by: Option<Actor>,
}

impl Position<'_> {
    /// Checks that this event by this actor is legal now.
    pub(super) fn judge(&self, event: &Event, actor: &Actor) -> Result<(), Illegal> {
        let kind = self.details.fulfilment.kind();
        let mut from_here = MOVES
            .iter()
            .filter(|legal| legal.event == name_of(event) && legal.from.contains(&self.status))
            .filter(|legal| legal.only.is_none_or(|only| only == kind))
            .filter(|legal| legal.paid.is_none_or(|paid| paid == self.details.payment_method))
            .peekable();
        if from_here.peek().is_none() {
            let at_end = matches!(self.status, Delivered | Cancelled | Refunded);
            return Err(if at_end { Illegal::AfterEnd } else { Illegal::Move });
        }
        let is_theirs = from_here.any(|legal| legal.by.iter().any(|part| self.has_part(*part, event, actor)));
        if is_theirs { Ok(()) } else { Err(Illegal::Actor) }
    }

    fn has_part(&self, part: Part, event: &Event, actor: &Actor) -> bool {
        // Only an admin who replaces a courier states a reason.
        let steps_in = part == Part::Admin && self.status == OutForDelivery;
        if let Event::CourierAssigned { reason, .. } | Event::Delivered { reason, .. } = event
            && ((steps_in && reason.is_none()) || (part != Part::Admin && reason.is_some()))
        {
            return false;
        }
        match (part, actor) {
            (Part::Unwinder, actor) => self.unwound_by == Some(*actor),
            (Part::Customer, Actor::Customer { account_id, .. }) => *account_id == self.details.customer_id,
            (Part::Staff, Actor::Restaurant { restaurant_id, .. }) => {
                *restaurant_id == self.details.restaurant_id
            }
            (Part::Courier, Actor::Courier { account_id }) => self.courier_id == Some(*account_id),
            (Part::Taker, Actor::Courier { account_id }) => {
                let takes =
                    matches!(event, Event::CourierAssigned { courier_id, .. } if courier_id == account_id);
                takes && self.courier_id.is_none_or(|courier_id| courier_id == *account_id)
            }
            (Part::Admin, Actor::Admin { .. }) | (Part::System, Actor::System) => true,
            _ => false,
        }
    }
}
