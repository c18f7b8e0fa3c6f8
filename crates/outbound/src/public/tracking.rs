//! What a tracking link shows.

use dabba_domain::{
    order::{self, OrderDetails, OrderSteps, OrderWithSteps},
    pricing::OrderLine,
};
use dabba_engine::{Tracked, TrackedRestaurant};
use serde::{Serialize, Serializer};

use super::{
    Audience,
    content::{amounts_of, fee, fulfilment_of, line_option, location_of, tax, unavailable},
    shape::{Always, Public as _},
    table,
};

/// What a tracking link shows. It serializes as JSON.
pub struct PublicTracking(table::Tracking);

impl PublicTracking {
    /// Returns what a link shows of an order.
    pub fn new(tracked: &Tracked) -> Self {
        let Tracked { followed, allowed_actions, restaurant, now } = tracked;
        let TrackedRestaurant { id, name, time_zone, country, location } = restaurant;
        let restaurant = table::TrackedRestaurant {
            id: *id,
            name: name.clone(),
            time_zone: time_zone.clone(),
            country: country.clone().map(table::CountryCode),
            location: location.map(location_of),
        };
        let allowed_actions = Always(allowed_actions.clone());
        Self(table::Tracking { order: tracked_order(followed, allowed_actions), restaurant, now: *now })
    }
}

impl Serialize for PublicTracking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(Audience::Customer, serializer)
    }
}

fn tracked_order(
    followed: &OrderWithSteps,
    allowed_actions: Always<order::AllowedAction>,
) -> table::TrackedOrder {
    let OrderWithSteps { order, steps } = followed;
    let OrderSteps { confirmed_at, accepted_at, ready_at, picked_up_at, delivered_at, ended_at } = *steps;
    let order::Order {
        id,
        version,
        details,
        status,
        payment_status,
        captured,
        refunded,
        payment_reference: _, // Only the platform has access to the provider's account.
        refunds: _,           // Their sum is `refunded`; they have notes and bearers.
        courier_id: _,        // A person.
        acceptance_deadline,
        ready_by,
        closure,
        placed_at,
        updated_at,
        is_written_by_newer: _, // A matter of the server.
    } = order;
    let OrderDetails {
        terms_version: _,   // The members state what the order has.
        restaurant_id: _,   // The restaurant beside the order has it.
        restaurant_name: _, // The present name is beside the order.
        customer_id: _,     // A person.
        lines,
        fees,
        taxes,
        currency,
        amounts,
        fulfilment,
        delivery_zone: _, // The address says more.
        contact: _,       // A person.
        payment_method,
        payment_deadline: _, // The link's holder cannot pay.
        note: _,             // A free text may contain personal data.
        menu_revision: _,    // It only serves systems that store menus.
        stock_drawn: _,      // A matter of the restaurant.
    } = &**details;
    table::TrackedOrder {
        id: *id,
        display_code: id.display_code(),
        status: *status,
        version: *version,
        placed_at: *placed_at,
        updated_at: *updated_at,
        confirmed_at,
        accepted_at,
        ready_at,
        picked_up_at,
        delivered_at,
        ended_at,
        acceptance_deadline: *acceptance_deadline,
        ready_by: *ready_by,
        currency: *currency,
        amounts: amounts_of(*amounts),
        lines: Always(lines.iter().map(line_of).collect()),
        fees: fees.iter().map(fee).collect(),
        taxes: taxes.iter().map(tax).collect(),
        fulfilment: fulfilment_of(fulfilment),
        payment: table::TrackedPayment {
            method: *payment_method,
            status: *payment_status,
            captured: *captured,
            refunded: *refunded,
        },
        closure: closure.as_ref().map(closure_of),
        allowed_actions,
    }
}

fn line_of(line: &OrderLine) -> table::TrackedLine {
    let OrderLine {
        item,
        name,
        quantity,
        unit_price,
        total,
        options,
        note: _,  // A free text may contain personal data.
        parts: _, // The receipt shows them.
        rules: _, // The charged quantities of the options state their effect.
    } = line;
    table::TrackedLine {
        item: item.clone(),
        name: name.clone(),
        quantity: *quantity,
        unit_price: *unit_price,
        total: *total,
        options: options.iter().map(line_option).collect(),
    }
}

fn closure_of(closure: &order::Closure) -> table::TrackedClosure {
    let (how, reason, waited_for) = match closure {
        // Neither who ended the order nor in which words.
        order::Closure::Cancelled { by: _, reason, note: _, items: _, borne_by: _ } => {
            (table::ClosureKind::Cancelled, Some(reason.as_str()), None)
        }
        order::Closure::Rejected { reason, note: _, items: _ } => {
            (table::ClosureKind::Rejected, Some(reason.as_str()), None)
        }
        order::Closure::Expired { waited_for } => (table::ClosureKind::Expired, None, Some(*waited_for)),
        // The bank's reason is for the customer; the link's holder may be another person.
        order::Closure::PaymentFailed { reason: _ } => (table::ClosureKind::PaymentFailed, None, None),
    };
    table::TrackedClosure {
        how,
        reason: reason.map(table::ReasonName),
        waited_for,
        items: unavailable(closure.items()),
    }
}
