//! The kinds of findings, each with a stable code for scripts and humans.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Stored data violates an invariant.
    Breach,
    /// The stored data is valid, but an operator should look at it.
    Warning,
}

impl Severity {
    /// Returns the name of the severity in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breach => "breach",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident $name:literal $severity:ident $invariant:literal,)+) => {
        /// A kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FindingCode {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl FindingCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the code as text. The meaning of a code never changes.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Returns whether the code is a breach or a warning.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),+ }
            }

            /// Returns the number of the violated invariant in `docs/explanation/architecture.md`; empty for a warning.
            pub const fn invariant(self) -> &'static str {
                match self { $(Self::$variant => $invariant),+ }
            }

            /// Returns the meaning of the code, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_start()),+ }
            }
        }
    };
}

codes! {
    /// The database file is damaged: its structure is broken, or a row refers to a row that does not exist.
    /// The audit reads the rest as far as possible.
    StorageDamaged "storage_damaged" Breach "I2",
    /// The order has no events.
    HistoryMissing "history_missing" Breach "I4",
    /// The stored events cannot be decoded.
    HistoryUnreadable "history_unreadable" Breach "I4",
    /// A newer version of Dabba wrote data of the order that this version does not know. The audit checks
    /// only the numbering of the order's events.
    WrittenByNewer "written_by_newer" Warning "",
    /// The events are not numbered 1, 2, 3, … without a gap.
    HistoryNumbering "history_numbering" Breach "I4",
    /// An event of the order names another order.
    HistoryForeign "history_foreign" Breach "I4",
    /// The first event is not `placed`, or a later event is.
    HistoryStart "history_start" Breach "I4",
    /// The order's version is not the number of its events.
    HistoryVersion "history_version" Breach "I4",
    /// An event is earlier than the event before it.
    HistoryTime "history_time" Breach "I4",
    /// The stored order differs from the result of its events.
    StateDiffers "state_differs" Breach "I4",
    /// The order is not in its restaurant's bucket.
    WrongBucket "wrong_bucket" Breach "I3",
    /// A move that does not exist for the status of the order.
    IllegalMove "illegal_move" Breach "I5",
    /// A move by an actor who may not make it in that status.
    IllegalActor "illegal_actor" Breach "I5",
    /// An event other than a step of the payment happened after the end of the order.
    MovedAfterEnd "moved_after_end" Breach "I5",
    /// The order expired before its payment deadline or its acceptance deadline.
    ExpiredEarly "expired_early" Breach "I5",
    /// The order is paid by card and was confirmed before the money was authorized.
    ConfirmedUnpaid "confirmed_unpaid" Breach "I5",
    /// A step of a card payment that does not follow from the state of the payment.
    IllegalPayment "illegal_payment" Breach "I5",
    /// A rejection or cancellation names items as unavailable that are not in the order, names an item twice,
    /// or names items although its reason is another one.
    ItemsNamed "items_named" Breach "I5",
    /// The total of a line is not quantity × unit price, or its options cost more than the unit price.
    LineTotal "line_total" Breach "I6",
    /// The subtotal is not the sum of the lines.
    Subtotal "subtotal" Breach "I6",
    /// The total is not subtotal + tax + delivery fee + other fees + tip − discount.
    Total "total" Breach "I6",
    /// The parts of a line or a fee do not add up to it, or the fees do not add up to the amounts.
    Parts "parts" Breach "I6",
    /// A tax, its base or its share in a line or a fee differs from the amount that its rate gives, or the added taxes
    /// do not add up to the amounts.
    Taxes "taxes" Breach "I6",
    /// The money was authorized more than once.
    AuthorizedTwice "authorized_twice" Breach "I8",
    /// Money was captured by card without an authorization.
    CapturedUnauthorized "captured_unauthorized" Breach "I8",
    /// The money was captured more than once.
    CapturedTwice "captured_twice" Breach "I8",
    /// Cash was captured before the food was handed over.
    CapturedEarly "captured_early" Breach "I8",
    /// More than the total was captured.
    CapturedTooMuch "captured_too_much" Breach "I8",
    /// Less than the total was captured: by card at any time, in cash when the food was handed over.
    CapturedTooLittle "captured_too_little" Breach "I8",
    /// The refunds, including pending ones, exceed the captured amount.
    RefundedTooMuch "refunded_too_much" Breach "I8",
    /// A refund does not have the next number.
    RefundNumber "refund_number" Breach "I8",
    /// A card refund was paid or refused that was not pending or that differs from the pending refund, or a
    /// refund was reversed that was not paid.
    RefundUnrequested "refund_unrequested" Breach "I8",
    /// Refunds are for a larger quantity of a line than was ordered, for a quantity of zero, or for a line
    /// that does not exist.
    RefundLines "refund_lines" Breach "I8",
    /// A refund of lines differs from the prices and taxes of its lines, or refunds of a line return more than its
    /// taxes.
    RefundTaxes "refund_taxes" Breach "I8",
    /// The order ended early, and money of the customer is left without a pending refund.
    MoneyKept "money_kept" Breach "I8",
    /// The payment status does not match the captured and refunded amounts.
    PaymentStatus "payment_status" Breach "I8",
    /// The entries of a posting in the ledger do not add up to zero.
    LedgerSum "ledger_sum" Breach "I8",
    /// The balances in the ledger differ from the balances that follow from the events.
    LedgerDiffers "ledger_differs" Breach "I8",
    /// The payment provider authorized or captured money for the order more than once.
    GatewayTwice "gateway_twice" Breach "I8",
    /// The payment provider captured or refunded an amount that does not match the order, or has no payment
    /// for the order.
    GatewayDiffers "gateway_differs" Breach "I8",
    /// The payment of the order is void or failed, but the payment provider still holds an authorization.
    GatewayHolds "gateway_holds" Breach "I8",
    /// A task refers to an order that does not exist.
    TaskWithoutOrder "task_without_order" Breach "I3",
    /// A task is not in the bucket of its order.
    TaskBucket "task_bucket" Breach "I3",
    /// A task has a subject that a task of its kind cannot have. Workers leave it, and nobody can retry or
    /// resolve it.
    TaskSubject "task_subject" Breach "I3",
    /// The content of a task cannot be decoded, so no worker can execute it, and no newer version of Dabba wrote its order.
    /// Workers park such a task.
    TaskUnreadable "task_unreadable" Breach "I3",
    /// The order waits for a step, and no task will carry it out.
    TaskMissing "task_missing" Breach "I3",
    /// A key names an order that does not exist or that belongs to another restaurant.
    KeyOrder "key_order" Breach "I1",
    /// A key names a version that the order has not had.
    KeyVersion "key_version" Breach "I1",
    /// A key placed the order but belongs to another account than the order.
    KeyAccount "key_account" Breach "I1",
    /// Two keys placed the same order.
    PlacedTwice "placed_twice" Breach "I1",
    /// The stock of a limited item is negative.
    Oversold "oversold" Breach "I7",
    /// A rejection, cancellation or expiry returns stock that it must not return, or keeps stock that it must
    /// return.
    StockReturned "stock_returned" Breach "I7",
    /// The order is unanswered long after its acceptance deadline.
    Unanswered "unanswered" Warning "",
    /// The card payment is open long after its deadline.
    Unpaid "unpaid" Warning "",
    /// The order has been in preparation for too long.
    Unready "unready" Warning "",
    /// The order has been ready for too long without being picked up.
    NotPickedUp "not_picked_up" Warning "",
    /// The order has been out for delivery for too long.
    Undelivered "undelivered" Warning "",
    /// The order ended early long ago, and its card authorization may still exist.
    PaymentOpen "payment_open" Warning "",
    /// The order was delivered long ago, and its card payment is not captured.
    Uncaptured "uncaptured" Warning "",
    /// The payment provider captured or refunded money long ago, and the order does not know it.
    GatewayAhead "gateway_ahead" Warning "",
    /// The order ended early, and the payment provider refused the refund, or the refund failed later: an
    /// operator must refund the money in another way.
    RefundRefused "refund_refused" Warning "",
    /// A task is overdue.
    TaskOverdue "task_overdue" Warning "",
    /// A task is parked: it has failed too often or cannot be decoded.
    TaskParked "task_parked" Warning "",
    /// A review task is open: an operator must handle and resolve it.
    ReviewOpen "review_open" Warning "",
}

impl fmt::Display for FindingCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl Serialize for FindingCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Returns the codes as a Markdown table for the documentation.
pub fn table() -> String {
    let mut text = String::from("| code | | invariant | meaning |\n|---|---|---|---|\n");
    for code in FindingCode::ALL {
        let (severity, invariant) = (code.severity().as_str(), code.invariant());
        let invariant = if invariant.is_empty() { "–" } else { invariant };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "| `{code}` | {severity} | {invariant} | {} |", code.meaning());
    }
    text
}
