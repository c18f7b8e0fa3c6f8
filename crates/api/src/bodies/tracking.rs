//! Bodies of tracking links.

use dabba_domain::{
    Amount, Currency, DisplayCode, OrderId, RestaurantId, Timestamp,
    menu::UnavailableItem,
    order::{AllowedAction, ExpiryReason, Fulfilment, OrderStatus, PaymentMethod, PaymentStatus},
    pricing::{Amounts, OrderFee, OrderLineOption, OrderTax},
    restaurant::Location,
    text::{Name, Slug},
};
use serde::Serialize;
use utoipa::ToSchema;

/// A new tracking link. Its holder follows the order, and may cancel it while the customer could.
#[derive(Serialize, ToSchema)]
#[schema(as = TrackingLink)]
pub(crate) struct TrackingLinkBody {
    /// The secret of the link. Only this response contains it.
    #[schema(pattern = "^[0-9a-f]{3}[0-9A-Za-z]{43}$")]
    pub(crate) token: String,
    /// Path of the page that shows the order, on this server.
    pub(crate) path: String,
    /// URL of the page that shows the order. Present if the server has the setting `public_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

/// What a tracking link shows.
#[derive(ToSchema)]
#[schema(as = Tracking)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicTracking writes")]
pub(crate) struct TrackingDocument {
    order: TrackedOrderDocument,
    restaurant: TrackedRestaurantDocument,
    /// Time of the server.
    now: Timestamp,
}

/// An order as a tracking link shows it: as to the order's customer, without accounts, contact and notes. The
/// address has its instructions for reaching the door.
#[derive(ToSchema)]
#[schema(as = TrackedOrder)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicTracking writes")]
pub(crate) struct TrackedOrderDocument {
    id: OrderId,
    /// Short name of the order for people, as in `Order`.
    #[schema(value_type = String, pattern = "^[0-9A-HJKMNP-TV-Z]{5}$")]
    display_code: DisplayCode,
    status: OrderStatus,
    /// Number of the latest event.
    #[schema(minimum = 1)]
    version: u32,
    placed_at: Timestamp,
    /// Time of the latest event.
    updated_at: Timestamp,
    /// Time at which the payment was certain.
    confirmed_at: Option<Timestamp>,
    /// Time at which the restaurant accepted the order.
    accepted_at: Option<Timestamp>,
    /// Time at which the food was ready.
    ready_at: Option<Timestamp>,
    /// Time at which the courier picked up the food.
    picked_up_at: Option<Timestamp>,
    /// Time at which the customer received the food.
    delivered_at: Option<Timestamp>,
    /// Time at which the order ended. The link is valid for 24 hours after it.
    ended_at: Option<Timestamp>,
    /// Deadline for the restaurant's acceptance. Present once the order is confirmed.
    acceptance_deadline: Option<Timestamp>,
    /// Time at which the restaurant expects the food to be ready. Present once the restaurant has accepted.
    ready_by: Option<Timestamp>,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    lines: Vec<TrackedLineDocument>,
    /// The fees. Absent without fees, and for orders of older versions of Dabba.
    fees: Option<Vec<OrderFee>>,
    /// The taxes. Absent without taxes, and for orders of older versions of Dabba.
    taxes: Option<Vec<OrderTax>>,
    fulfilment: Fulfilment,
    payment: TrackedPaymentDocument,
    /// How the order ended before the delivery, if it did.
    closure: Option<TrackedClosureDocument>,
    /// The actions that the link's holder may take at this version.
    allowed_actions: Vec<AllowedAction>,
}

/// A line of a tracked order, without its note.
#[derive(ToSchema)]
#[schema(as = TrackedLine)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicTracking writes")]
pub(crate) struct TrackedLineDocument {
    /// The item's id in the menu.
    item: Slug,
    /// The item's name.
    name: Name,
    /// Quantity.
    #[schema(minimum = 1, maximum = 99)]
    quantity: u32,
    /// Price of one item with its options.
    unit_price: Amount,
    /// `unit_price` × `quantity`.
    total: Amount,
    /// Chosen options. Absent if there are none.
    options: Option<Vec<OrderLineOption>>,
}

/// The payment of a tracked order.
#[derive(ToSchema)]
#[schema(as = TrackedPayment)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicTracking writes")]
pub(crate) struct TrackedPaymentDocument {
    method: PaymentMethod,
    status: PaymentStatus,
    /// The captured amount.
    captured: Amount,
    /// The refunded part of the captured amount.
    refunded: Amount,
}

/// How a tracked order ended before the delivery.
#[derive(ToSchema)]
#[schema(as = TrackedClosure)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicTracking writes")]
pub(crate) struct TrackedClosureDocument {
    /// `cancelled`, `rejected`, `expired` or `payment_failed`, as in `Closure`.
    how: String,
    /// The reason, as in `Closure`. Absent for `expired`.
    reason: Option<String>,
    /// What an expired order was waiting for.
    waited_for: Option<ExpiryReason>,
    /// Items that were unavailable. Absent if none was named.
    items: Option<Vec<UnavailableItem>>,
}

/// A restaurant as a tracking link shows it.
#[derive(ToSchema)]
#[schema(as = TrackedRestaurant)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicTracking writes")]
pub(crate) struct TrackedRestaurantDocument {
    id: RestaurantId,
    name: Name,
    /// The time zone, by its name in the IANA database.
    time_zone: String,
    /// The country, as an ISO 3166-1 alpha-2 code.
    country: Option<String>,
    location: Option<Location>,
}

/// A message of a tracking link's stream (server-sent events), by its fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the stream writes")]
pub(crate) struct TrackingMessage {
    /// `tracking`, `heartbeat` or `bye`.
    event: String,
    /// JSON in one line: `Tracking`, or the content of `heartbeat` or `bye`.
    data: String,
    /// Time after which a client reconnects, in milliseconds. Only in the first message.
    retry: Option<u32>,
}
