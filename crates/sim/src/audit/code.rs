//! What an audit can find, each kind with a code that scripts and people can rely on.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something is stored that must never be.
    Breach,
    /// What is stored may be, but somebody should look at it.
    Warning,
}

impl Severity {
    /// Its name in reports.
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
        pub enum Code {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as it is written. It never changes its meaning.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Whether it is a breach or a warning.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity),+ }
            }

            /// The invariant that is broken, by its number in `docs/ARCHITECTURE.md`; empty for a warning.
            pub const fn invariant(self) -> &'static str {
                match self { $(Self::$variant => $invariant),+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_start()),+ }
            }
        }
    };
}

codes! {
    /// The database file is damaged: its structure, or a row that refers to a row that is not there. The rest is looked at
    /// as far as it can be read.
    StorageDamaged "storage_damaged" Breach "I2",
    /// The order has no events.
    HistoryMissing "history_missing" Breach "I4",
    /// The stored events cannot be decoded.
    HistoryUnreadable "history_unreadable" Breach "I4",
    /// A newer version of Dabba wrote something about the order that this version does not understand. Only the numbering
    /// of its events is checked.
    WrittenByNewer "written_by_newer" Warning "",
    /// The events are not numbered 1, 2, 3, … without a gap.
    HistoryNumbering "history_numbering" Breach "I4",
    /// An event among the order's own says that it is another order's.
    HistoryForeign "history_foreign" Breach "I4",
    /// The first event is not that it was placed, or a later one is.
    HistoryStart "history_start" Breach "I4",
    /// The order's version is not the number of its events.
    HistoryVersion "history_version" Breach "I4",
    /// An event is earlier than the one before it.
    HistoryTime "history_time" Breach "I4",
    /// The order is not what its events make it.
    StateDiffers "state_differs" Breach "I4",
    /// The order is not in its restaurant's bucket.
    WrongBucket "wrong_bucket" Breach "I3",
    /// A move that does not exist from the status in which the order was.
    IllegalMove "illegal_move" Breach "I5",
    /// A move by somebody who may not make it in that status.
    IllegalActor "illegal_actor" Breach "I5",
    /// Something other than a step of its payment happened after the order had come to its end.
    MovedAfterEnd "moved_after_end" Breach "I5",
    /// It expired before its deadline, to be paid or to be accepted.
    ExpiredEarly "expired_early" Breach "I5",
    /// It is paid by card, and was confirmed while the money was not set aside.
    ConfirmedUnpaid "confirmed_unpaid" Breach "I5",
    /// A step of the payment by card that does not follow from where the payment was.
    IllegalPayment "illegal_payment" Breach "I5",
    /// An early end names items as unavailable that are not in the order, names one twice, or names some for another
    /// reason.
    ItemsNamed "items_named" Breach "I5",
    /// A line's total is not its quantity times its unit price, or its options cost more than the whole.
    LineTotal "line_total" Breach "I6",
    /// The subtotal is not the sum of the lines.
    Subtotal "subtotal" Breach "I6",
    /// The total is not subtotal + tax + delivery fee + tip − discount.
    Total "total" Breach "I6",
    /// The money was set aside more than once.
    AuthorizedTwice "authorized_twice" Breach "I8",
    /// Money was collected by card that was not set aside.
    CapturedUnauthorized "captured_unauthorized" Breach "I8",
    /// The money was collected more than once.
    CapturedTwice "captured_twice" Breach "I8",
    /// Cash was collected before the food was handed over.
    CapturedEarly "captured_early" Breach "I8",
    /// More was collected than the total.
    CapturedTooMuch "captured_too_much" Breach "I8",
    /// Less was collected than the total: by card at any time, in cash when the food was handed over.
    CapturedTooLittle "captured_too_little" Breach "I8",
    /// More was given back than was collected, or is more with what is about to be.
    RefundedTooMuch "refunded_too_much" Breach "I8",
    /// A refund does not have the next number.
    RefundNumber "refund_number" Breach "I8",
    /// A refund by card was paid or refused that was not waiting for that, or is not the one that was; or one was
    /// reversed that had not been paid.
    RefundUnrequested "refund_unrequested" Breach "I8",
    /// Refunds are for more of a line than was ordered, for none of it, or for a line that is not there.
    RefundLines "refund_lines" Breach "I8",
    /// The order ended before the customer had it, and money of theirs is still here, with no refund on
    /// its way.
    MoneyKept "money_kept" Breach "I8",
    /// The payment status does not fit what was collected and given back.
    PaymentStatus "payment_status" Breach "I8",
    /// The entries of a posting of its ledger do not sum to zero.
    LedgerSum "ledger_sum" Breach "I8",
    /// Its ledger does not give everyone what its events make theirs.
    LedgerDiffers "ledger_differs" Breach "I8",
    /// The payment provider has set money aside for the order more than once, or collected it.
    GatewayTwice "gateway_twice" Breach "I8",
    /// The payment provider has collected or given back what the order does not say, or knows no payment
    /// of it.
    GatewayDiffers "gateway_differs" Breach "I8",
    /// The order's payment is void or failed, and the payment provider still has money set aside for it.
    GatewayHolds "gateway_holds" Breach "I8",
    /// There is a task for the order, and no such order.
    TaskWithoutOrder "task_without_order" Breach "I3",
    /// A task is not in its order's bucket.
    TaskBucket "task_bucket" Breach "I3",
    /// It waits for something, and there is no task that will do it.
    TaskMissing "task_missing" Breach "I3",
    /// A key names an order that there is not, or that is another restaurant's.
    KeyOrder "key_order" Breach "I1",
    /// A key names a version that the order has not had.
    KeyVersion "key_version" Breach "I1",
    /// A key placed the order, and is not its customer's.
    KeyAccount "key_account" Breach "I1",
    /// Two keys placed the same order.
    PlacedTwice "placed_twice" Breach "I1",
    /// Of a limited item there are fewer than none.
    Oversold "oversold" Breach "I7",
    /// An early end says that stock went back that may not, or keeps stock that must go back.
    StockReturned "stock_returned" Breach "I7",
    /// It waits for the restaurant, long after the time for an answer.
    Unanswered "unanswered" Warning "",
    /// It waits for its payment by card, long after the time for it.
    Unpaid "unpaid" Warning "",
    /// The kitchen has been at it for long.
    Unready "unready" Warning "",
    /// It has been ready for long, and nobody came for it.
    NotPickedUp "not_picked_up" Warning "",
    /// It has been on its way for long.
    Undelivered "undelivered" Warning "",
    /// It ended early, and long after that it is not certain that no money is set aside for it.
    PaymentOpen "payment_open" Warning "",
    /// It was delivered long ago, and its payment by card has not been collected.
    Uncaptured "uncaptured" Warning "",
    /// The payment provider has collected or given back money, and the order has not learnt of it for long.
    GatewayAhead "gateway_ahead" Warning "",
    /// It ended early, and the payment provider refused to give the money back, or a refund failed late: somebody
    /// else has to give it back.
    RefundRefused "refund_refused" Warning "",
    /// A task should have been done long ago.
    TaskOverdue "task_overdue" Warning "",
    /// A task has failed too often and was put aside.
    TaskParked "task_parked" Warning "",
    /// A person has to look at it: a review is not resolved.
    ReviewOpen "review_open" Warning "",
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The codes as a Markdown table, for the documentation.
pub fn table() -> String {
    let mut text = String::from("| code | | invariant | meaning |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let (severity, invariant) = (code.severity().as_str(), code.invariant());
        let invariant = if invariant.is_empty() { "–" } else { invariant };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| `{code}` | {severity} | {invariant} | {} |", code.meaning());
    }
    text
}
