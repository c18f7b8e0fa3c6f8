//! The list of the public events: names, when they happen, and their members.

use super::{
    Member,
    shape::Members,
    table::{
        Acceptance, Accepted, Cancelled, ChargebackDecided, Common, CourierAssigned, Delivered, Expired,
        Known, PaymentAuthorized, PaymentCaptured, PaymentDiffers, PaymentFailed, Placed, Plain, Refund,
        RefundRefused, Rejected, Withheld,
    },
};

/// Description of a type of event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDescription {
    /// Short name, such as `placed`.
    pub name: &'static str,
    /// When the event happens.
    pub happens: &'static str,
    /// Members of `data` that the event adds to the common members.
    pub members: Vec<Member>,
}

/// Returns the members of `data` that every event has.
pub fn common_members() -> Vec<Member> {
    [Common::object().members, Known::object().members].concat()
}

/// Returns the members of `data` of an event whose content is withheld.
pub(super) fn withheld_members() -> Vec<Member> {
    [Common::object().members, Withheld::object().members].concat()
}

fn event<T: Members>(name: &'static str, happens: &'static str) -> EventDescription {
    EventDescription { name, happens, members: T::object().members }
}

/// Returns the descriptions of all events.
pub fn events() -> Vec<EventDescription> {
    [progress(), payments(), refunds()].concat()
}

fn progress() -> Vec<EventDescription> {
    vec![
        event::<Placed>(
            "placed",
            "A customer placed the order. This is always the first event, and only the first.",
        ),
        event::<Acceptance>("confirmed", "The payment is certain. The restaurant has to accept the order."),
        event::<Acceptance>(
            "acceptance_due",
            "Dabba warned the restaurant that its time to accept is running out.",
        ),
        event::<Accepted>("accepted", "The restaurant accepted the order and prepares the food."),
        event::<Rejected>("rejected", "The restaurant rejected the order. The order ends."),
        event::<Plain>("marked_ready", "The food is ready."),
        event::<CourierAssigned>(
            "courier_assigned",
            "A courier took the order, or an admin assigned a courier. A later assignment replaces an earlier one.",
        ),
        event::<Plain>("picked_up", "The courier picked up the food."),
        event::<Delivered>("delivered", "The customer received the food."),
        event::<Cancelled>(
            "cancelled",
            "The customer, the restaurant or an admin cancelled the order. The order ends.",
        ),
        event::<Expired>(
            "expired",
            "The payment or the acceptance did not arrive by its deadline. The order ends.",
        ),
    ]
}

fn payments() -> Vec<EventDescription> {
    vec![
        event::<PaymentAuthorized>("payment_authorized", "The payment provider authorized the payment."),
        event::<PaymentCaptured>(
            "payment_captured",
            "The payment was captured. A payment in cash is captured by the delivery.",
        ),
        event::<PaymentFailed>(
            "payment_failed",
            "The payment failed. An order that was waiting for the payment ends.",
        ),
        event::<Plain>(
            "payment_voided",
            "The authorization was voided, or the payment was never authorized.",
        ),
        event::<PaymentDiffers>(
            "payment_differs",
            "The payment provider authorized or captured another amount or currency than agreed.",
        ),
    ]
}

fn refunds() -> Vec<EventDescription> {
    vec![
        event::<Refund>("refund_requested", "Dabba requested a refund from the payment provider."),
        event::<Refund>(
            "refunded",
            "The customer received a refund. It has the number of the request, if there was one.",
        ),
        event::<RefundRefused>("refund_failed", "The payment provider refused the refund."),
        event::<RefundRefused>(
            "refund_reversed",
            "A refund failed after the payment provider had reported it as made.",
        ),
        event::<Refund>("chargeback_opened", "The customer opened a chargeback at their bank."),
        event::<ChargebackDecided>(
            "chargeback_lost",
            "The chargeback was decided in the customer's favour: the customer keeps the money.",
        ),
        event::<ChargebackDecided>(
            "chargeback_won",
            "The chargeback was decided against the customer: the platform has the money again.",
        ),
    ]
}
