//! The table of what a tracking link shows: to the link's holder, as to the order's customer, but without accounts,
//! contact and notes, because a link is passed on. The address keeps its instructions, because a person at the door may need
//! them.

use dabba_domain::{
    Amount, Currency, DisplayCode, OrderId, RestaurantId, Timestamp,
    order::{AllowedAction, ExpiryReason, OrderStatus, PaymentMethod, PaymentStatus},
    restaurant::Zone,
    text::{Name, Slug},
};
use serde::Serialize;

use super::{Amounts, C, ClosureKind, Fee, Fulfilment, LineOption, Location, Tax, UnavailableItem};
use crate::public::shape::{Always, public, reason_of};

const LINK: &str = "Only a tracking link shows it.";

/// The name of a reason of any kind of closure.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct ReasonName(pub(crate) &'static str);

/// A country by its code.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct CountryCode(pub(crate) String);

public! {
    /// What a tracking link shows.
    Tracking {
        /// The order.
        order: TrackedOrder = [C] LINK;
        /// The restaurant.
        restaurant: TrackedRestaurant = [C] LINK;
        /// Time of the server.
        now: Timestamp = [C] LINK;
    }

    /// An order as a tracking link shows it.
    TrackedOrder {
        /// Id of the order.
        id: OrderId = [C] LINK;
        /// Short name of the order for people.
        display_code: DisplayCode = [C] LINK;
        /// Status.
        status: OrderStatus = [C] LINK;
        /// Number of the latest event.
        version: u32 = [C] LINK;
        /// Time at which the order was placed.
        placed_at: Timestamp = [C] LINK;
        /// Time of the latest event.
        updated_at: Timestamp = [C] LINK;
        /// Time at which the payment was certain.
        confirmed_at: Option<Timestamp> = [C] LINK;
        /// Time at which the restaurant accepted the order.
        accepted_at: Option<Timestamp> = [C] LINK;
        /// Time at which the food was ready.
        ready_at: Option<Timestamp> = [C] LINK;
        /// Time at which the courier picked up the food.
        picked_up_at: Option<Timestamp> = [C] LINK;
        /// Time at which the customer received the food.
        delivered_at: Option<Timestamp> = [C] LINK;
        /// Time at which the order ended.
        ended_at: Option<Timestamp> = [C] LINK;
        /// Deadline by which the restaurant must accept.
        acceptance_deadline: Option<Timestamp> = [C] LINK;
        /// Time at which the food should be ready.
        ready_by: Option<Timestamp> = [C] LINK;
        /// The currency of every amount.
        currency: Currency = [C] LINK;
        /// Amounts of the order.
        amounts: Amounts = [C] LINK;
        /// Lines of the order.
        lines: Always<TrackedLine> = [C] LINK;
        /// Fees of the order. Absent without fees, and for orders of older versions of Dabba.
        fees: Vec<Fee> = [C] LINK;
        /// Taxes of the order. Absent without taxes, and for orders of older versions of Dabba.
        taxes: Vec<Tax> = [C] LINK;
        /// Delivery or collection.
        fulfilment: Fulfilment = [C] LINK;
        /// Payment of the order.
        payment: TrackedPayment = [C] LINK;
        /// How the order ended before the delivery, if it did.
        closure: Option<TrackedClosure> = [C] LINK;
        /// Actions that the link's holder may take.
        allowed_actions: Always<AllowedAction> = [C] LINK;
    }

    /// A line of a tracked order. It has no note: a free text may contain personal data.
    TrackedLine {
        /// The item's id in the menu.
        item: Slug = [C] LINK;
        /// The item's name.
        name: Name = [C] LINK;
        /// Quantity.
        quantity: u32 = [C] LINK;
        /// Price of one item with its options.
        unit_price: Amount = [C] LINK;
        /// `unit_price` × `quantity`.
        total: Amount = [C] LINK;
        /// Chosen options.
        options: Vec<LineOption> = [C] LINK;
    }

    /// The payment of a tracked order.
    TrackedPayment {
        /// Payment method.
        method: PaymentMethod = [C] LINK;
        /// Status of the payment.
        status: PaymentStatus = [C] LINK;
        /// Captured amount.
        captured: Amount = [C] LINK;
        /// Refunded part of the captured amount.
        refunded: Amount = [C] LINK;
    }

    /// The way in which a tracked order ended before its delivery.
    TrackedClosure {
        /// Way in which the order ended.
        how: ClosureKind = [C] LINK;
        /// Reason for the end.
        reason: Option<ReasonName> = [C] LINK;
        /// What an expired order was waiting for.
        waited_for: Option<ExpiryReason> = [C] LINK;
        /// Items that were unavailable.
        items: Vec<UnavailableItem> = [C] LINK;
    }

    /// A restaurant as a tracking link shows it.
    TrackedRestaurant {
        /// Id of the restaurant.
        id: RestaurantId = [C] LINK;
        /// Name of the restaurant.
        name: Name = [C] LINK;
        /// Time zone of the restaurant.
        time_zone: Zone = [C] LINK;
        /// Country of the restaurant.
        country: Option<CountryCode> = [C] LINK;
        /// Location of the restaurant.
        location: Option<Location> = [C] LINK;
    }
}
