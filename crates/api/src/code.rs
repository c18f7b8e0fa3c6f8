//! Codes of problems: those that every face shares, and those of this API's own refusals: conflicts, and expired cursors.

use std::borrow::Cow;

use axum::http::StatusCode;
use dabba_domain::{
    order::{CommandKind, Rejection},
    restaurant::NotAcceptingReason,
};
use dabba_engine::Obstacle;
pub(crate) use dabba_web::code::*;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

dabba_web::codes! {
    /// The codes of this API's own refusals, in the order of the documentation.
    pub(crate) CONFLICTS;

    /// The restaurant has paused.
    RESTAURANT_PAUSED, "restaurant_paused", CONFLICT, "The restaurant has paused taking orders";
    /// The restaurant is closed.
    RESTAURANT_CLOSED, "restaurant_closed", CONFLICT, "The restaurant is closed";
    /// The restaurant is closed permanently.
    RESTAURANT_CLOSED_PERMANENTLY, "restaurant_closed_permanently", CONFLICT, "The restaurant is closed permanently";
    /// The address is outside all delivery zones.
    OUTSIDE_DELIVERY_ZONES, "outside_delivery_zones", CONFLICT, "The restaurant does not deliver to the address";
    /// The order is too small to be delivered.
    BELOW_MINIMUM_ORDER, "below_minimum_order", CONFLICT, "The order is below the minimum for delivery";
    /// The payment provider does not accept the total.
    NOT_PAYABLE_BY_CARD, "not_payable_by_card", CONFLICT, "The total cannot be paid by card";
    /// Items are not available now.
    ITEMS_UNAVAILABLE, "items_unavailable", CONFLICT, "Items are not available";
    ITEMS_OUTSIDE_HOURS, "items_outside_hours", CONFLICT, "Items cannot be ordered at this time";
    OPTIONS_UNAVAILABLE, "options_unavailable", CONFLICT, "Options are not available";
    /// The stock of some items is lower than the order needs.
    OUT_OF_STOCK, "out_of_stock", CONFLICT, "Not enough in stock";
    /// The customer has too many open orders.
    TOO_MANY_OPEN_ORDERS, "too_many_open_orders", CONFLICT, "Too many open orders";
    /// The total differs from the expected total.
    MENU_CHANGED, "menu_changed", CONFLICT, "The price has changed";
    /// The order does not allow the command.
    ILLEGAL_MOVE, "illegal_move", CONFLICT, "The order does not allow this command";
    /// The order was accepted before, with other content.
    ALREADY_ACCEPTED, "already_accepted", CONFLICT, "The order is already accepted";
    /// The order was rejected before, with other content.
    ALREADY_REJECTED, "already_rejected", CONFLICT, "The order is already rejected";
    /// The order was cancelled before, with other content.
    ALREADY_CANCELLED, "already_cancelled", CONFLICT, "The order is already cancelled";
    /// A courier was assigned before, with other content.
    ALREADY_ASSIGNED, "already_assigned", CONFLICT, "A courier is already assigned";
    /// The order was delivered before, with other content.
    ALREADY_DELIVERED, "already_delivered", CONFLICT, "The order is already delivered";
    /// The amount exceeds the refundable amount.
    NOTHING_REFUNDABLE, "nothing_refundable", CONFLICT, "The amount cannot be refunded";
    /// The amount exceeds the refund limit of the restaurant's staff.
    REFUND_LIMIT, "refund_limit", CONFLICT, "The amount exceeds the restaurant's limit";
    /// Concurrent requests changed the same resource during each attempt.
    TOO_MANY_CHANGES, "too_many_changes", CONFLICT, "Too many concurrent changes";
    /// The stock has no limit that could be adjusted.
    STOCK_NOT_LIMITED, "stock_not_limited", CONFLICT, "The stock is not limited";
    /// The stock would be below zero or above its maximum.
    STOCK_OUT_OF_RANGE, "stock_out_of_range", CONFLICT, "The stock would be out of range";
    /// The task is a review, which an admin must do: no worker can retry it.
    REVIEW_NOT_RETRYABLE, "review_not_retryable", CONFLICT, "A review cannot be retried";
    /// Another restaurant has the external id.
    EXTERNAL_ID_TAKEN, "external_id_taken", CONFLICT, "Another restaurant has the external id";
    /// The restaurant is closed permanently, for another reason.
    ALREADY_CLOSED, "already_closed", CONFLICT, "The restaurant is already closed";
    /// Another account has the e-mail address.
    EMAIL_TAKEN, "email_taken", CONFLICT, "Another account has the e-mail address";
    /// The change would leave no enabled admin.
    LAST_ADMIN, "last_admin", CONFLICT, "This is the last enabled admin";
    /// The service account has the maximum number of active API keys.
    TOO_MANY_API_KEYS, "too_many_api_keys", CONFLICT, "The service account has too many API keys";
    /// The owner has the maximum number of webhook endpoints.
    TOO_MANY_WEBHOOK_ENDPOINTS, "too_many_webhook_endpoints", CONFLICT, "The owner has too many webhook endpoints";
    /// The order has the maximum number of tracking links.
    TOO_MANY_TRACKING_LINKS, "too_many_tracking_links", CONFLICT, "The order has too many tracking links";
    /// The order ended so long ago that it cannot be tracked any more.
    TRACKING_ENDED, "tracking_ended", CONFLICT, "The order ended too long ago";
    /// A position in the feed or in a stream no longer exists, because a database was restored or replaced.
    CURSOR_EXPIRED, "cursor_expired", GONE, "The cursor has expired";
}

/// Returns every code that this API uses, in the order of the documentation: conflicts between the shared codes with lower
/// and those with higher statuses.
pub(crate) fn all() -> Vec<Code> {
    let is_before_conflicts = |code: &&Code| code.status() < StatusCode::CONFLICT;
    let (before, after): (Vec<&Code>, Vec<&Code>) = SHARED.iter().partition(is_before_conflicts);
    before.into_iter().chain(CONFLICTS).chain(after).copied().collect()
}

/// Returns the code of the problem when this obstacle refuses an order.
pub(crate) const fn of_obstacle(obstacle: &Obstacle) -> Code {
    match obstacle {
        Obstacle::NotAccepting(NotAcceptingReason::ClosedPermanently { .. }) => RESTAURANT_CLOSED_PERMANENTLY,
        Obstacle::NotAccepting(NotAcceptingReason::Paused { .. }) => RESTAURANT_PAUSED,
        Obstacle::NotAccepting(NotAcceptingReason::Closed { .. }) => RESTAURANT_CLOSED,
        Obstacle::OutsideZones(_) => OUTSIDE_DELIVERY_ZONES,
        Obstacle::ItemsUnavailable(_) => ITEMS_UNAVAILABLE,
        Obstacle::ItemsOutsideHours(_) => ITEMS_OUTSIDE_HOURS,
        Obstacle::OptionsUnavailable(_) => OPTIONS_UNAVAILABLE,
        Obstacle::BelowMinimum(_) => BELOW_MINIMUM_ORDER,
        Obstacle::CardsNotAccepted | Obstacle::NotPayableByCard(_) => NOT_PAYABLE_BY_CARD,
        Obstacle::OutOfStock(_) => OUT_OF_STOCK,
    }
}

/// Returns the code of the problem when an order refuses a command for this reason.
pub(crate) const fn of_rejection(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::AmountNotRefundable { .. } => NOTHING_REFUNDABLE,
        Rejection::RefundLimit { .. } => REFUND_LIMIT,
        Rejection::Already { command: CommandKind::Accept } => ALREADY_ACCEPTED,
        Rejection::Already { command: CommandKind::Reject } => ALREADY_REJECTED,
        Rejection::Already { command: CommandKind::Cancel } => ALREADY_CANCELLED,
        Rejection::Already { command: CommandKind::AssignCourier } => ALREADY_ASSIGNED,
        Rejection::Already { command: CommandKind::Deliver } => ALREADY_DELIVERED,
        // Commands without content, and refunds, are never repeated with other content.
        Rejection::Already {
            command:
                CommandKind::Confirm
                | CommandKind::MarkReady
                | CommandKind::PickUp
                | CommandKind::Warn
                | CommandKind::Expire
                | CommandKind::Refund,
        }
        | Rejection::NotAParty
        | Rejection::RoleNotAllowed { .. }
        | Rejection::IllegalMove { .. }
        | Rejection::Invalid(_)
        | Rejection::PaymentTokenMismatch
        | Rejection::HistoryFull
        | Rejection::WrittenByNewer
        | Rejection::History(_) => ILLEGAL_MOVE,
    }
}

/// Schema of the codes' names.
pub(crate) struct CodeName;

impl PartialSchema for CodeName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .description(Some("Kind of the problem. The names never change; new ones may be added."))
            .enum_values(Some(all().iter().map(|code| code.as_str())))
            .into()
    }
}

impl ToSchema for CodeName {
    fn name() -> Cow<'static, str> {
        "ProblemCode".into()
    }
}
