//! The provider's ledger: it shows whether money moved only once.
//!
//! The ledger contains only effects. A retry, a call that fails before it has an effect, and a call that
//! finds nothing to do add no entry. So the ledger shows what happened to the money, whatever the callers
//! saw.

use std::collections::HashMap;

use dabba_domain::{Amount, OrderId, Timestamp, order::PaymentReference};
use serde::{Deserialize, Serialize};

/// One effect of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of the entry, counted over all orders: 1, 2, 3, …
    pub sequence: u64,
    /// The time of the effect.
    pub at: Timestamp,
    /// The order of the payment.
    pub order_id: OrderId,
    /// The payment.
    pub reference: PaymentReference,
    /// The operation.
    pub operation: Operation,
    /// The amount that the operation moved or, for a decline, would have moved.
    pub amount: Amount,
    /// The idempotency key of the call that caused the effect.
    pub key: String,
}

/// An operation on a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The amount was authorized.
    Authorize,
    /// The authorized amount was captured.
    Capture,
    /// The authorization was voided.
    Void,
    /// A captured amount was refunded.
    Refund,
    /// A refund failed after it had succeeded: the amount came back to the account.
    FailRefund,
    /// The payment was declined. No money moved.
    Decline,
}

/// The totals of an order's payments in the ledger. Amounts are in minor units. A total stops at the maximum
/// of its type, which a real order never reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Total of the authorized amounts.
    pub authorized: i64,
    /// Total of the captured amounts.
    pub captured: i64,
    /// Total of the voided amounts.
    pub voided: i64,
    /// Total of the refunds that did not fail.
    pub refunded: i64,
    /// Total of the refunds that failed after they had succeeded.
    #[serde(default)]
    pub returned: i64,
    /// Number of authorized payments. More than one is a defect of the caller.
    pub authorizations: u32,
    /// Number of captured payments. More than one is a defect of the caller.
    pub captures: u32,
    /// Number of voided payments.
    pub voids: u32,
    /// Number of refunds.
    pub refunds: u32,
    /// Number of refunds that failed after they had succeeded.
    #[serde(default)]
    pub failed_refunds: u32,
    /// Number of declined payments.
    pub declines: u32,
}

impl Summary {
    /// Returns the totals of these entries. It treats all of them as entries of one order.
    pub fn of<'entry>(entries: impl IntoIterator<Item = &'entry Entry>) -> Self {
        entries.into_iter().fold(Self::default(), Self::with)
    }

    fn with(mut self, entry: &Entry) -> Self {
        let mut nothing = 0;
        let (sum, count) = match entry.operation {
            Operation::Authorize => (&mut self.authorized, &mut self.authorizations),
            Operation::Capture => (&mut self.captured, &mut self.captures),
            Operation::Void => (&mut self.voided, &mut self.voids),
            Operation::Refund => (&mut self.refunded, &mut self.refunds),
            Operation::FailRefund => {
                self.refunded = self.refunded.saturating_sub(entry.amount.minor());
                (&mut self.returned, &mut self.failed_refunds)
            }
            Operation::Decline => (&mut nothing, &mut self.declines),
        };
        *sum = sum.saturating_add(entry.amount.minor());
        *count = count.saturating_add(1);
        self
    }
}

/// The entries, and the totals per order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    summaries: HashMap<OrderId, Summary>,
}

impl Ledger {
    /// Numbers an entry and appends it.
    pub(super) fn add(&mut self, mut entry: Entry) {
        entry.sequence = self.last_sequence() + 1;
        let summary = self.summaries.entry(entry.order_id).or_default();
        *summary = summary.with(&entry);
        self.entries.push(entry);
    }

    fn last_sequence(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.sequence)
    }

    /// Returns at most `limit` entries with a higher sequence, oldest first.
    pub(super) fn after(&self, sequence: u64, limit: usize) -> Vec<Entry> {
        // Sequences count from 1 without gaps, so a sequence equals the number of entries up to and including
        // its own.
        let start = usize::try_from(sequence).unwrap_or(usize::MAX).min(self.entries.len());
        self.entries.iter().skip(start).take(limit).cloned().collect()
    }

    /// Returns the totals of an order's entries.
    pub(super) fn summary(&self, order_id: OrderId) -> Summary {
        self.summaries.get(&order_id).copied().unwrap_or_default()
    }
}
