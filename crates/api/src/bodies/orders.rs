//! Bodies of orders, their histories and their ledgers.

use dabba_domain::{
    AccountId, Actor, Amount, Currency, DisplayCode, OrderId, RestaurantId, Timestamp,
    ledger::LedgerPosting,
    order::{
        AllowedAction, Closure, Contact, Effect, Event, Fulfilment, OrderStatus, OrderZone, PaymentMethod,
        PaymentReference, PaymentStatus, RefundState,
    },
    pricing::{Amounts, OrderFee, OrderLine, OrderTax},
    text::{Name, Note},
};
use dabba_outbound::public::{Audience, PublicOrder, PublicRecordedEvent};
use dabba_store::{OrderCursor, OrderPage};
use dabba_web::extract::Cursor;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

/// An order at one version, with the members that are meant for the caller's role.
#[derive(ToSchema)]
#[schema(as = Order)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicOrder writes")]
pub(crate) struct OrderDocument {
    id: OrderId,
    /// The short name of the order for people: five characters of the random end of its id, without I, L, O and U.
    /// Other orders may have the same code.
    #[schema(value_type = String, pattern = "^[0-9A-HJKMNP-TV-Z]{5}$")]
    display_code: DisplayCode,
    restaurant_id: RestaurantId,
    /// Name of the restaurant when the order was placed.
    restaurant_name: Name,
    /// The customer's account.
    customer_id: AccountId,
    /// The courier's account.
    courier_id: Option<AccountId>,
    status: OrderStatus,
    /// Number of the latest event; also the order's `ETag`.
    #[schema(minimum = 1)]
    version: u32,
    payment: PaymentDocument,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    /// Amount that the courier collects in cash at the door. Absent if there is nothing to collect, and when the order has
    /// ended.
    cash_to_collect: Option<Amount>,
    lines: Vec<OrderLine>,
    /// The fees. Absent without fees, and for orders of older versions of Dabba, whose only fee is in the amounts.
    #[schema(required = false)]
    fees: Vec<OrderFee>,
    /// The taxes. Absent without taxes, and for orders of older versions of Dabba, whose only tax is in the amounts.
    #[schema(required = false)]
    taxes: Vec<OrderTax>,
    fulfilment: Fulfilment,
    /// Delivery zone of the address, if the restaurant had delivery zones when the order was placed.
    delivery_zone: Option<OrderZone>,
    /// The person to contact.
    contact: Option<Contact>,
    /// A note to the restaurant.
    note: Option<Note>,
    /// Revision of the menu from which the order was priced.
    menu_revision: u32,
    placed_at: Timestamp,
    /// Time of the latest event.
    updated_at: Timestamp,
    /// Deadline for the restaurant's acceptance. Present once the order is confirmed.
    acceptance_deadline: Option<Timestamp>,
    /// Time at which the restaurant expects the food to be ready. Present once the restaurant has accepted.
    ready_by: Option<Timestamp>,
    /// How the order ended before the delivery, if it did.
    closure: Option<Closure>,
    /// The actions that the caller may take at this version.
    allowed_actions: Vec<AllowedAction>,
}

/// The payment of an order.
#[derive(ToSchema)]
#[schema(as = Payment)]
#[expect(dead_code, reason = "it describes what dabba_outbound::public::PublicOrder writes")]
pub(crate) struct PaymentDocument {
    method: PaymentMethod,
    status: PaymentStatus,
    /// Deadline of a payment by card. Present while the order waits for the payment.
    deadline: Option<Timestamp>,
    /// The payment provider's reference of the payment.
    reference: Option<PaymentReference>,
    /// The captured amount.
    captured: Amount,
    /// The refunded part of the captured amount.
    refunded: Amount,
    /// Completed and pending refunds, oldest first.
    #[schema(required = false)]
    refunds: Vec<RefundState>,
}

/// What a command would do. Nothing is changed.
#[derive(Serialize, ToSchema)]
#[schema(as = CommandPreview)]
pub(crate) struct CommandPreviewBody {
    /// The order as it would be after the command. Absent for a courier who does not carry the order yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<OrderDocument>)]
    pub(crate) order: Option<PublicOrder>,
    pub(crate) effect: Effect,
    /// Always `true`.
    #[schema(schema_with = only_true)]
    pub(crate) preview: bool,
}

fn only_true() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Boolean)
        .enum_values(Some([true]))
        .description(Some("Always `true`."))
        .build()
}

/// The response to a command: the order; to a preview, which has the member `preview`: what the command would do.
#[derive(ToSchema)]
#[schema(as = CommandResult)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes the responses of two kinds")]
pub(crate) enum CommandResultBody {
    Order(OrderDocument),
    Preview(CommandPreviewBody),
}

/// Maximum size of the orders of a page, in bytes, unless the page has a single order. Without it, a page of large orders would
/// take a large part of the memory for responses.
pub(crate) const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// A page of orders.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderList)]
pub(crate) struct OrderListBody {
    /// The orders. A page of large orders ends before `limit`, after 2 MiB.
    #[schema(value_type = Vec<OrderDocument>)]
    orders: Vec<Box<RawValue>>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Present and `true` if orders may be missing in this page because a shard did not answer in time. The missing
    /// orders are not on a later page either; request this page again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    incomplete: bool,
    /// Orders placed before this time may be missing in the response to a search by `code`, because the search reached
    /// one of its limits. Absent if all orders were searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    searched_since: Option<Timestamp>,
}

impl OrderListBody {
    /// Returns a page of orders as an audience sees them, each with the actions that the caller may take. Ends the page early at
    /// [`MAX_PAGE_BYTES`]. A page of a search has no position, so it states since when it is complete.
    pub(crate) fn new(
        page: &OrderPage,
        allowed_actions: Vec<Vec<AllowedAction>>,
        audience: Audience,
        search: Option<Search>,
    ) -> Result<Self, serde_json::Error> {
        let (mut orders, mut bytes) = (Vec::with_capacity(page.orders.len()), 0);
        for (order, allowed) in page.orders.iter().zip(allowed_actions) {
            let json = to_raw_value(&PublicOrder::new(order, allowed, audience))?;
            bytes += json.get().len();
            if bytes > MAX_PAGE_BYTES && !orders.is_empty() {
                break;
            }
            orders.push(json);
        }
        let last = page.orders.get(..orders.len()).and_then(<[_]>::last);
        let last = last.filter(|_| orders.len() < page.orders.len());
        let next = if search.is_some() { None } else { last.map(OrderCursor::after).or(page.next) };
        let searched_since =
            search.and_then(|Search { since }| since.max(last.map(|order| order.id.created_at())));
        let next_cursor = next.as_ref().map(Cursor::write);
        Ok(Self { orders, next_cursor, incomplete: page.incomplete, searched_since })
    }
}

/// A search whose result is one page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// Orders placed before this time may be missing; `None` if all orders were searched.
    pub(crate) since: Option<Timestamp>,
}

/// An event of an order, with the members that are meant for the caller's role. It describes what
/// `dabba_outbound::public::PublicRecordedEvent` writes.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedEvent)]
pub(crate) struct EventDocument {
    /// Number of the event in the order's history: 1, 2, 3, … without gaps.
    #[schema(minimum = 1)]
    version: u32,
    #[serde(flatten)]
    event: Event,
    /// Who caused the event.
    actor: Actor,
    at: Timestamp,
}

/// A page of an order's history.
#[derive(Serialize, ToSchema)]
#[schema(as = EventList)]
pub(crate) struct EventListBody {
    #[schema(value_type = Vec<EventDocument>)]
    pub(crate) events: Vec<PublicRecordedEvent>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// The ledger of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ledger)]
pub(crate) struct LedgerBody {
    /// The currency of every amount.
    pub(crate) currency: Currency,
    /// One posting for each event that moved money, oldest first. The entries of each posting sum to zero.
    pub(crate) postings: Vec<LedgerPosting>,
}
