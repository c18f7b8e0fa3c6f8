//! The body of an order and of its recorded events, for one audience.
//!
//! As in `content.rs`, each stored struct is taken apart by naming all its fields.

use dabba_domain::{
    Actor, Amount,
    order::{self, AllowedAction, OrderDetails, PaymentMethod, RecordedEvent, Version},
    pricing,
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{
    Audience, ObjectShape,
    content::{
        self, actor_of, amounts_of, contact_of, external_of, fee, fulfilment_of, line, refund_line, tax,
        tax_share, unavailable, zone_of,
    },
    shape::{Always, Members, Public as _, Seen, Words},
    table,
};

/// An order as an audience sees it. It serializes as JSON.
pub struct PublicOrder {
    order: table::Order,
    audience: Audience,
}

impl PublicOrder {
    /// Returns the order at its version for an audience, with the actions that the reader may take.
    pub fn new(order: &order::Order, allowed_actions: Vec<AllowedAction>, audience: Audience) -> Self {
        Self { order: body(order, allowed_actions), audience }
    }

    /// Returns the members of an order, with their audiences.
    pub fn object() -> ObjectShape {
        table::Order::object()
    }
}

impl Serialize for PublicOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.order.write(self.audience, serializer)
    }
}

/// How an order ended before the delivery, as an audience sees it. It serializes as JSON.
pub struct PublicClosure {
    closure: table::Closure,
    audience: Audience,
}

impl PublicClosure {
    /// Returns the closure for an audience.
    pub fn new(closure: &order::Closure, audience: Audience) -> Self {
        Self { closure: closure_of(closure), audience }
    }
}

impl Serialize for PublicClosure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.closure.write(self.audience, serializer)
    }
}

/// An event of an order's history as an audience sees it. It serializes as JSON. `data` is absent if the audience sees
/// nothing of the content. An event whose type only a newer version knows has its content for operations only.
pub struct PublicRecordedEvent {
    recorded: RecordedEvent,
    audience: Audience,
}

impl PublicRecordedEvent {
    /// Returns the event for an audience.
    pub const fn new(recorded: RecordedEvent, audience: Audience) -> Self {
        Self { recorded, audience }
    }

    /// Returns the number of the event in the order's history.
    pub const fn version(&self) -> Version {
        self.recorded.version
    }

    /// Returns the members of the actor of an event, with their audiences.
    pub fn actor() -> ObjectShape {
        table::Actor::object()
    }
}

impl Serialize for PublicRecordedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RecordedEvent { order_id: _, version, at, actor, event } = &self.recorded;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", version)?;
        map.serialize_entry("type", event.name())?;
        if let Some(data) = content::recorded_data(&self.recorded, self.audience) {
            map.serialize_entry("data", &data)?;
        }
        map.serialize_entry("actor", &Seen(&actor_of(actor), self.audience))?;
        map.serialize_entry("at", at)?;
        map.end()
    }
}

fn body(order: &order::Order, allowed_actions: Vec<AllowedAction>) -> table::Order {
    let cash_to_collect = cash_at_the_door(&order.details).filter(|_| !order.status.is_terminal());
    let payment_deadline = order.details.payment_deadline.filter(|_| order.awaits_payment());
    let order::Order {
        id,
        version,
        details,
        status,
        payment_status,
        captured,
        refunded,
        payment_reference,
        refunds,
        courier_id,
        acceptance_deadline,
        ready_by,
        closure,
        placed_at,
        updated_at,
        is_written_by_newer: _, // A matter of the server.
    } = order;
    let OrderDetails {
        terms_version: _, // The members state what the order has.
        restaurant_id,
        restaurant_name,
        customer_id,
        lines,
        fees,
        taxes,
        currency,
        amounts,
        fulfilment,
        delivery_zone,
        contact,
        payment_method,
        payment_deadline: _, // Shown while the order waits for the payment.
        note,
        menu_revision,
        stock_drawn: _, // Only the event shows it.
    } = &**details;
    table::Order {
        id: *id,
        display_code: id.display_code(),
        restaurant_id: *restaurant_id,
        restaurant_name: restaurant_name.clone(),
        customer_id: *customer_id,
        courier_id: *courier_id,
        status: *status,
        version: *version,
        payment: table::Payment {
            method: *payment_method,
            status: *payment_status,
            deadline: payment_deadline,
            reference: payment_reference.clone(),
            captured: *captured,
            refunded: *refunded,
            refunds: refunds.iter().map(refund).collect(),
        },
        currency: *currency,
        amounts: amounts_of(*amounts),
        cash_to_collect,
        lines: Always(lines.iter().map(line).collect()),
        fees: fees.iter().map(fee).collect(),
        taxes: taxes.iter().map(tax).collect(),
        fulfilment: fulfilment_of(fulfilment),
        delivery_zone: delivery_zone.as_ref().map(zone_of),
        contact: contact.as_ref().map(contact_of),
        note: note.clone(),
        menu_revision: *menu_revision,
        placed_at: *placed_at,
        updated_at: *updated_at,
        acceptance_deadline: *acceptance_deadline,
        ready_by: *ready_by,
        closure: closure.as_ref().map(closure_of),
        allowed_actions: Always(allowed_actions),
    }
}

/// Returns the amount that the courier of an order collects at the door; `None` if there is nothing to collect.
pub(super) fn cash_at_the_door(details: &OrderDetails) -> Option<Amount> {
    let is_cash_at_the_door = details.payment_method == PaymentMethod::Cash
        && details.fulfilment.kind() == pricing::FulfilmentKind::Delivery
        && !details.amounts.total.is_zero();
    is_cash_at_the_door.then_some(details.amounts.total)
}

fn refund(state: &order::RefundState) -> table::RefundOfOrder {
    let order::RefundState { status, failure, refund } = state;
    let order::Refund { number, amount, lines, taxes, reason, note, borne_by, external } = refund;
    table::RefundOfOrder {
        status: *status,
        failure: *failure,
        number: *number,
        amount: *amount,
        lines: lines.iter().copied().map(refund_line).collect(),
        taxes: taxes.iter().map(tax_share).collect(),
        reason: *reason,
        note: note.clone(),
        borne_by: *borne_by,
        external: external.as_ref().map(external_of),
    }
}

fn closure_of(closure: &order::Closure) -> table::Closure {
    match closure {
        order::Closure::Cancelled { by, reason, note, items, borne_by } => {
            let is_internal = matches!(by, Actor::Admin { .. } | Actor::System);
            table::Closure::Cancelled(table::ClosureCancelled {
                how: table::ClosureKind::Cancelled,
                by: actor_of(by),
                reason: *reason,
                note: note.clone().map(|text| Words { text, is_internal }),
                items: unavailable(items),
                borne_by: *borne_by,
            })
        }
        order::Closure::Rejected { reason, note, items } => {
            table::Closure::Rejected(table::ClosureRejected {
                how: table::ClosureKind::Rejected,
                reason: *reason,
                // Only the restaurant's staff reject orders.
                note: note.clone().map(|text| Words { text, is_internal: false }),
                items: unavailable(items),
            })
        }
        order::Closure::Expired { waited_for } => table::Closure::Expired(table::ClosureExpired {
            how: table::ClosureKind::Expired,
            waited_for: *waited_for,
        }),
        order::Closure::PaymentFailed { reason } => {
            table::Closure::PaymentFailed(table::ClosurePaymentFailed {
                how: table::ClosureKind::PaymentFailed,
                reason: *reason,
            })
        }
    }
}
