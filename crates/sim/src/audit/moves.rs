//! Which moves are legal and who may make them: the auditor's own table, written down from the
//! documentation and not from the code that it is held against.

use dabba_domain::{
    AccountId, Actor,
    order::{Event, OrderDetails, OrderStatus, PaymentMethod},
    pricing::FulfilmentKind,
};

use OrderStatus::{
    Cancelled, Confirmed, Created, Delivered, OutForDelivery, Preparing, ReadyForPickup, Refunded,
};
use PaymentMethod::{Card, Cash};

/// Somebody's part in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The customer whose order it is.
    Customer,
    /// Staff of the restaurant that cooks it.
    Staff,
    /// The courier to whom it is assigned.
    Courier,
    /// A courier who takes it for themselves while it is no other's.
    Taker,
    Admin,
    System,
    /// Whoever made it so, with the event before, that what is collected has to go back.
    Unwinder,
}

/// A legal move.
struct Move {
    /// The event's name.
    event: &'static str,
    from: &'static [OrderStatus],
    by: &'static [Part],
    /// For which kind of order; both, when `None`.
    only: Option<FulfilmentKind>,
    /// For which way to pay; both, when `None`.
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

/// All legal moves of an order that has been placed. What a payment allows, beside the order's status, is
/// judged elsewhere, and so is when cash is collected.
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
    legal_when_paid(Card, "refund_failed", &[Delivered, Cancelled], &[Part::System]),
    legal_when_paid(Card, "refunded", &[Delivered, Cancelled], &[Part::System]),
    legal_when_paid(Card, "refund_reversed", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "refunded elsewhere", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "chargeback_opened", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "chargeback_lost", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "chargeback_won", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Card, "payment_differs", &[Created], &[Part::System]),
    legal_when_paid(Card, "payment_differs", ONCE_COLLECTED, &[Part::System]),
    legal_when_paid(Cash, "refunded", &[Delivered, Cancelled], &[Part::Staff, Part::Admin]),
];

/// The statuses in which money can have been collected.
const ONCE_COLLECTED: &[OrderStatus] =
    &[Confirmed, Preparing, ReadyForPickup, OutForDelivery, Delivered, Cancelled, Refunded];

/// What a move breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Illegal {
    /// There is no such move from there.
    Move,
    /// There is, but not for whoever made it.
    Actor,
    /// The order was at its end.
    AfterEnd,
}

/// The name under which an event stands in the table. Money that went back without Dabba is another matter than
/// money that Dabba refunds.
fn name_of(event: &Event) -> &str {
    match event {
        Event::Refunded(refund) if refund.external.is_some() => "refunded elsewhere",
        _ => event.name(),
    }
}

/// An order as far as it matters to who may move it.
pub(super) struct Position<'a> {
    pub(super) details: &'a OrderDetails,
    pub(super) status: OrderStatus,
    pub(super) courier_id: Option<AccountId>,
    /// Who made it so, with the event before, that what is collected has to go back.
    pub(super) unwound_by: Option<Actor>,
}

impl Position<'_> {
    /// Whether this may happen now, and through this actor.
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
        let is_theirs = from_here.any(|legal| legal.by.iter().any(|part| self.plays(*part, event, actor)));
        if is_theirs { Ok(()) } else { Err(Illegal::Actor) }
    }

    fn plays(&self, part: Part, event: &Event, actor: &Actor) -> bool {
        // Only an admin who steps in for a courier gives a reason.
        let steps_in = part == Part::Admin && self.status == OutForDelivery;
        if let Event::CourierAssigned { reason, .. } | Event::Delivered { reason, .. } = event
            && ((steps_in && reason.is_none()) || (part != Part::Admin && reason.is_some()))
        {
            return false;
        }
        match (part, actor) {
            (Part::Unwinder, actor) => self.unwound_by == Some(*actor),
            (Part::Customer, Actor::Customer { account_id }) => *account_id == self.details.customer_id,
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
