//! Reasons why a command is refused.

use super::{CommandKind, OrderStatus, evolve::HistoryError, lifecycle::roles};
use crate::{Amount, Problems, limits::MAX_ORDER_VERSION};

/// Reason why a command is refused. A refused command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The actor is not a party to the order, and must not learn that it exists.
    #[error("the caller is not a party to the order")]
    NotAParty,
    /// No actor in this role may ever give this command.
    #[error("{command} is not allowed for this role; allowed for {}", roles(*command))]
    RoleNotAllowed {
        /// The command.
        command: CommandKind,
    },
    /// The command was carried out before. Its content was different, as far as the order shows;
    /// [`is_repeat`](super::is_repeat) decides with the order's history.
    #[error("the order has already been {}, with different content", participle(*command))]
    Already {
        /// The command.
        command: CommandKind,
    },
    /// The command is not possible in the current status of the order.
    #[error("{command} is not possible while the order is {status}")]
    IllegalMove {
        /// The command.
        command: CommandKind,
        /// Status of the order.
        status: OrderStatus,
    },
    /// The content of the command is invalid for this actor, regardless of the order's status.
    #[error("{0}")]
    Invalid(Problems),
    /// The refund is zero, or more than is left to refund.
    #[error("{}", not_refundable(*refundable))]
    AmountNotRefundable {
        /// Amount that is left to refund, in minor units.
        refundable: Amount,
    },
    /// The refund exceeds the limit up to which the restaurant's staff may refund one order.
    #[error("the restaurant may refund at most {limit} minor units of an order; an admin may refund more", limit = limit.minor())]
    RefundLimit {
        /// The limit, in minor units.
        limit: Amount,
    },
    /// A payment by card requires a token, and a payment in cash must not have one.
    #[error("payment_token is required for a payment by card and must be absent for a payment in cash")]
    PaymentTokenMismatch,
    /// The order has the maximum number of events.
    #[error(
        "the order has the maximum of {MAX_ORDER_VERSION} events; it accepts only commands that end it, and refunds"
    )]
    HistoryFull,
    /// A newer version of Dabba wrote something about the order that this version does not understand. A server of the
    /// newer version can carry out the command.
    #[error("a newer version of Dabba wrote this order; only a server of that version may change it")]
    WrittenByNewer,
    /// The stored history of the order is inconsistent.
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn not_refundable(refundable: Amount) -> String {
    match refundable.minor() {
        0 => "nothing is left to refund".to_owned(),
        left => format!("the amount must be from 1 to {left} minor units, the amount that is left to refund"),
    }
}

/// Returns the participle that describes an order after a command.
const fn participle(command: CommandKind) -> &'static str {
    match command {
        CommandKind::Confirm => "confirmed",
        CommandKind::Accept => "accepted",
        CommandKind::Reject => "rejected",
        CommandKind::MarkReady => "marked as ready",
        CommandKind::AssignCourier => "assigned",
        CommandKind::PickUp => "picked up",
        CommandKind::Deliver => "delivered",
        CommandKind::Cancel => "cancelled",
        CommandKind::Warn => "warned of",
        CommandKind::Expire => "expired",
        CommandKind::Refund => "refunded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the text about a repeated command says what happened to the order.
    #[test]
    fn the_text_names_what_was_done_already() {
        let texts =
            CommandKind::ALL.iter().map(|command| Rejection::Already { command: *command }.to_string());
        let done: Vec<String> = texts
            .map(|text| {
                let rest = text.strip_prefix("the order has already been ").unwrap();
                rest.strip_suffix(", with different content").unwrap().to_owned()
            })
            .collect();
        let expected = [
            "confirmed",
            "accepted",
            "rejected",
            "marked as ready",
            "assigned",
            "picked up",
            "delivered",
            "cancelled",
            "warned of",
            "expired",
            "refunded",
        ];
        assert_eq!(done, expected);
    }
}
