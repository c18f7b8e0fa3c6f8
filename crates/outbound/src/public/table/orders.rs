//! The table of an order's body, as the API and the webhooks with the payload `order` show it.
//!
//! What an event tells an audience, the order tells it too: the members have the audiences of the events from which they
//! follow.

use dabba_domain::{
    AccountId, Amount, Currency, DisplayCode, OrderId, RestaurantId, Timestamp,
    order::{
        AllowedAction, CancelReason, DeclineReason, ExpiryReason, OrderStatus, PaymentMethod,
        PaymentReference, PaymentStatus, RefundBearer, RefundFailureReason, RefundNumber, RefundReason,
        RefundStatus, RejectReason,
    },
    text::{Name, Note},
};
use serde::{Serialize, ser::Serializer};
use utoipa::ToSchema;

use super::{
    ACCOUNT, Actor, Amounts, BANK, BEARER, C, Contact, External, FREE_TEXT, Fee, Fulfilment, K, Line,
    NO_MONEY, NO_REFUND, NOT_FOR_DELIVERY, O, OrderZone, P, PERSONAL, PROVIDER, R, REFERENCE, RefundLine,
    Tax, TaxShare, UnavailableItem, WHEREABOUTS,
};
use crate::public::{
    Audience,
    shape::{Always, Members, Public, Shape, Words, public, reason_of},
};

const AUTHOR: &str = "The order does not state who wrote it, and it may be an admin; the history shows the other authors' words.";

public! {
    /// An order at one version.
    Order {
        /// Id of the order.
        id: OrderId = [C R K O P];
        /// Short name of the order for people: the random end of its id. Other orders may have the same code.
        display_code: DisplayCode = [C R K O P];
        /// Id of the restaurant.
        restaurant_id: RestaurantId = [C R K O P];
        /// Name of the restaurant when the order was placed.
        restaurant_name: Name = [C R K O P];
        /// Account of the customer.
        customer_id: AccountId = [C O] ACCOUNT;
        /// Account of the courier who carries the order.
        courier_id: Option<AccountId> = [R K O] ACCOUNT;
        /// Status.
        status: OrderStatus = [C R K O P];
        /// Number of the latest event.
        version: u32 = [C R K O P];
        /// Payment of the order.
        payment: Payment = [C R K O P];
        /// The currency of every amount.
        currency: Currency = [C R K O P];
        /// Amounts of the order.
        amounts: Amounts = [C R O P] NO_MONEY;
        /// Amount that the courier collects in cash at the door. Absent if there is nothing to collect, and when the order
        /// has ended.
        cash_to_collect: Option<Amount> = [K O] "The other audiences see the total and the payment method.";
        /// Lines of the order.
        lines: Always<Line> = [C R K O P];
        /// Fees of the order. Absent without fees, and for orders of older versions of Dabba, whose only fee is in the
        /// amounts.
        fees: Vec<Fee> = [C R O P] NO_MONEY;
        /// Taxes of the order. Absent without taxes, and for orders of older versions of Dabba, whose only tax is in the
        /// amounts.
        taxes: Vec<Tax> = [C R O P] NO_MONEY;
        /// Delivery or collection.
        fulfilment: Fulfilment = [C R K O P];
        /// Delivery zone of the address, if the restaurant had delivery zones.
        delivery_zone: Option<OrderZone> = [C R K O] WHEREABOUTS;
        /// Contact person.
        contact: Option<Contact> = [C R K O] PERSONAL;
        /// Note for the restaurant.
        note: Option<Note> = [C R O] FREE_TEXT;
        /// Revision of the menu from which the order was priced.
        menu_revision: u32 = [R O P] "It only serves systems that store menus.";
        /// Time at which the order was placed.
        placed_at: Timestamp = [C R K O P];
        /// Time of the latest event.
        updated_at: Timestamp = [C R K O P];
        /// Deadline by which the restaurant must accept. Present once the order is confirmed.
        acceptance_deadline: Option<Timestamp> = [C R O P] NOT_FOR_DELIVERY;
        /// Time at which the food should be ready. Present once the restaurant has accepted.
        ready_by: Option<Timestamp> = [C R K O P];
        /// How the order ended before the delivery, if it did.
        closure: Option<Closure> = [C R K O P];
        /// Actions that the caller may take at this version.
        allowed_actions: Always<AllowedAction> = [C R K O P];
    }

    /// The payment of an order.
    Payment {
        /// Payment method.
        method: PaymentMethod = [C R K O P];
        /// Status of the payment.
        status: PaymentStatus = [C R K O P];
        /// Deadline of a payment by card. Present while the order waits for the payment.
        deadline: Option<Timestamp> = [C R O P] "No courier carries an order that waits for its payment.";
        /// The payment provider's id of the payment.
        reference: Option<PaymentReference> = [O] REFERENCE;
        /// Captured amount.
        captured: Amount = [C R O P] NO_MONEY;
        /// Refunded part of the captured amount.
        refunded: Amount = [C R O P] NO_MONEY;
        /// Completed and pending refunds, oldest first.
        refunds: Vec<RefundOfOrder> = [C R O P] NO_REFUND;
    }

    /// A refund of an order, with its status.
    RefundOfOrder {
        /// Status of the refund.
        status: RefundStatus = [C R O P] NO_REFUND;
        /// Reason for the failure, if the provider gave one.
        failure: Option<RefundFailureReason> = [O] PROVIDER;
        /// Number of the refund within the order.
        number: RefundNumber = [C R O P] NO_REFUND;
        /// Refunded amount.
        amount: Amount = [C R O P] NO_REFUND;
        /// Refunded lines, if the refund is for certain lines.
        lines: Vec<RefundLine> = [C R O P] NO_REFUND;
        /// Taxes that the refund of lines returns. Absent for other refunds, and if the order does not state its taxes.
        taxes: Vec<TaxShare> = [C R O P] NO_REFUND;
        /// Reason for the refund.
        reason: RefundReason = [C R O P] NO_REFUND;
        /// Explanation in the actor's own words.
        note: Option<Note> = [O] AUTHOR;
        /// Bearer of the refund.
        borne_by: RefundBearer = [R O] BEARER;
        /// Present if the money went back at the payment provider without a request by Dabba.
        external: Option<External> = [C R O P] NO_REFUND;
    }

    /// Cancellation by an actor.
    ClosureCancelled {
        /// Way in which the order ended.
        how: ClosureKind = [C R K O P];
        /// Actor that cancelled the order.
        by: Actor = [C R K O P];
        /// Reason for the cancellation.
        reason: CancelReason = [C R K O P];
        /// Explanation in the actor's own words. Only operations sees the words of an admin.
        note: Option<Words> = [C R O] FREE_TEXT;
        /// Items that were unavailable.
        items: Vec<UnavailableItem> = [C R O P] NOT_FOR_DELIVERY;
        /// Bearer of the refunds that follow from the cancellation.
        borne_by: RefundBearer = [R O] BEARER;
    }

    /// Rejection by the restaurant.
    ClosureRejected {
        /// Way in which the order ended.
        how: ClosureKind = [C R K O P];
        /// Reason for the rejection.
        reason: RejectReason = [C R K O P];
        /// Explanation in the restaurant's own words.
        note: Option<Words> = [C R O] FREE_TEXT;
        /// Items that were unavailable.
        items: Vec<UnavailableItem> = [C R O P] NOT_FOR_DELIVERY;
    }

    /// Expiry, because the payment or the acceptance did not arrive by its deadline.
    ClosureExpired {
        /// Way in which the order ended.
        how: ClosureKind = [C R K O P];
        /// What the order was waiting for.
        waited_for: ExpiryReason = [C R K O P];
    }

    /// Failure of the payment.
    ClosurePaymentFailed {
        /// Way in which the order ended.
        how: ClosureKind = [C R K O P];
        /// Reason for the failure.
        reason: DeclineReason = [C O] BANK;
    }
}

/// Way in which an order ended before its delivery.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClosureKind {
    /// An actor cancelled the order.
    Cancelled,
    /// The restaurant rejected the order.
    Rejected,
    /// The payment or the acceptance did not arrive by its deadline.
    Expired,
    /// The payment failed.
    PaymentFailed,
}

/// The way in which an order ended before its delivery, with its content.
pub(crate) enum Closure {
    Cancelled(ClosureCancelled),
    Rejected(ClosureRejected),
    Expired(ClosureExpired),
    PaymentFailed(ClosurePaymentFailed),
}

impl Public for Closure {
    fn write<S: Serializer>(&self, audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Cancelled(closure) => closure.write(audience, serializer),
            Self::Rejected(closure) => closure.write(audience, serializer),
            Self::Expired(closure) => closure.write(audience, serializer),
            Self::PaymentFailed(closure) => closure.write(audience, serializer),
        }
    }

    fn shape() -> Shape {
        Shape::OneOf(vec![
            ("cancelled", ClosureCancelled::object()),
            ("rejected", ClosureRejected::object()),
            ("expired", ClosureExpired::object()),
            ("payment_failed", ClosurePaymentFailed::object()),
        ])
    }
}
