//! Bodies of orders, their histories and their ledgers.

use dabba_domain::{
    AccountId, Actor, Amount, Currency, DisplayCode, OrderId, RestaurantId, Timestamp,
    ledger::LedgerPosting,
    order::{
        AllowedAction, Closure, Contact, Effect, Event, Fulfilment, Order, OrderStatus, PaymentMethod,
        PaymentReference, PaymentStatus, RecordedEvent, RefundState,
    },
    pricing::{Amounts, OrderLine},
    text::{Name, Note},
};
use dabba_store::OrderPage;
use dabba_web::extract::Cursor;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

/// An order at one version, with the fields that its caller may see.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderBody<'a> {
    id: OrderId,
    /// The short name of the order for people: five characters of the random end of its id, without I, L, O and U.
    /// Other orders may have the same code.
    #[schema(value_type = String, pattern = "^[0-9A-HJKMNP-TV-Z]{5}$")]
    display_code: DisplayCode,
    restaurant_id: RestaurantId,
    /// Name of the restaurant when the order was placed.
    restaurant_name: &'a Name,
    /// The customer's account.
    customer_id: AccountId,
    /// The courier's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    courier_id: Option<AccountId>,
    status: OrderStatus,
    /// Number of the latest event; also the order's `ETag`.
    #[schema(minimum = 1)]
    version: u32,
    payment: PaymentBody<'a>,
    /// The currency of every amount.
    currency: Currency,
    amounts: Amounts,
    lines: &'a [OrderLine],
    fulfilment: &'a Fulfilment,
    /// The person to contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a Contact>,
    /// A note to the restaurant.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a Note>,
    /// Revision of the menu from which the order was priced.
    menu_revision: u32,
    placed_at: Timestamp,
    /// Time of the latest event.
    updated_at: Timestamp,
    /// Deadline for the restaurant's acceptance. Present once the order is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    acceptance_deadline: Option<Timestamp>,
    /// Time at which the restaurant expects the food to be ready. Present once the restaurant has accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_by: Option<Timestamp>,
    /// How the order ended before the delivery, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    closure: Option<&'a Closure>,
    /// The actions that the caller may take at this version.
    allowed_actions: Vec<AllowedAction>,
}

/// The payment of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
pub(crate) struct PaymentBody<'a> {
    method: PaymentMethod,
    status: PaymentStatus,
    /// Deadline of a payment by card. Present while the order waits for the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    /// The payment provider's reference of the payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a PaymentReference>,
    /// The captured amount.
    captured: Amount,
    /// The refunded part of the captured amount.
    refunded: Amount,
    /// Completed and pending refunds, oldest first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    refunds: &'a [RefundState],
}

impl<'a> OrderBody<'a> {
    pub(crate) fn new(order: &'a Order, allowed_actions: Vec<AllowedAction>) -> Self {
        let details = &*order.details;
        Self {
            id: order.id,
            display_code: order.id.display_code(),
            restaurant_id: details.restaurant_id,
            restaurant_name: &details.restaurant_name,
            customer_id: details.customer_id,
            courier_id: order.courier_id,
            status: order.status,
            version: order.version,
            payment: PaymentBody {
                method: details.payment_method,
                status: order.payment_status,
                deadline: details.payment_deadline.filter(|_| order.awaits_payment()),
                reference: order.payment_reference.as_ref(),
                captured: order.captured,
                refunded: order.refunded,
                refunds: &order.refunds,
            },
            currency: details.currency,
            amounts: details.amounts,
            lines: &details.lines,
            fulfilment: &details.fulfilment,
            contact: details.contact.as_ref(),
            note: details.note.as_ref(),
            menu_revision: details.menu_revision,
            placed_at: order.placed_at,
            updated_at: order.updated_at,
            acceptance_deadline: order.acceptance_deadline,
            ready_by: order.ready_by,
            closure: order.closure.as_ref(),
            allowed_actions,
        }
    }
}

/// What a command would do. Nothing is changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CommandPreview)]
pub(crate) struct CommandPreviewBody<'a> {
    /// The order as it would be after the command.
    pub(crate) order: OrderBody<'a>,
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
pub(crate) enum CommandResultBody<'a> {
    Order(OrderBody<'a>),
    Preview(CommandPreviewBody<'a>),
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderList)]
pub(crate) struct OrderListBody<'a> {
    orders: Vec<OrderBody<'a>>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Present and `true` if orders may be missing in this page because a shard did not answer in time. The missing
    /// orders are not on a later page either; request this page again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    incomplete: bool,
}

impl<'a> OrderListBody<'a> {
    /// Returns a page of orders, each with the actions that the caller may take.
    pub(crate) fn new(page: &'a OrderPage, allowed_actions: Vec<Vec<AllowedAction>>) -> Self {
        let orders = page.orders.iter().zip(allowed_actions);
        Self {
            orders: orders.map(|(order, allowed_actions)| OrderBody::new(order, allowed_actions)).collect(),
            next_cursor: page.next.as_ref().map(Cursor::write),
            incomplete: page.incomplete,
        }
    }
}

/// An event of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordedEvent)]
pub(crate) struct EventBody {
    /// Number of the event in the order's history: 1, 2, 3, … without gaps.
    #[schema(minimum = 1)]
    version: u32,
    #[serde(flatten)]
    event: Event,
    /// Who caused the event.
    actor: Actor,
    at: Timestamp,
}

impl From<RecordedEvent> for EventBody {
    fn from(recorded: RecordedEvent) -> Self {
        let RecordedEvent { order_id: _, version, at, actor, event } = recorded;
        Self { version, event, actor, at }
    }
}

/// A page of an order's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventList)]
pub(crate) struct EventListBody {
    pub(crate) events: Vec<EventBody>,
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
