//! What the provider did: the proof that money moved once.
//!
//! The ledger holds only what had an effect. A call that is repeated, fails before anything is done, or
//! finds that there is nothing to do leaves no entry. So whatever became of the calls, the ledger says what
//! became of the money.

use std::collections::HashMap;

use dabba_domain::{Amount, OrderId, Timestamp, order::PaymentReference};
use serde::{Deserialize, Serialize};

/// Something that the provider did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts all entries, of all orders: 1, 2, 3, …
    pub sequence: u64,
    /// When it was done.
    pub at: Timestamp,
    /// The order that the payment is for.
    pub order_id: OrderId,
    /// The payment.
    pub reference: PaymentReference,
    /// What was done.
    pub operation: Operation,
    /// How much it was done with.
    pub amount: Amount,
    /// The idempotency key of the call that brought it about.
    pub key: String,
}

/// What can be done with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The amount was set aside.
    Authorize,
    /// The amount that was set aside was collected.
    Capture,
    /// The amount that was set aside was let go of.
    Void,
    /// An amount was given back, of what had been collected.
    Refund,
    /// A refund failed after it was made: the amount came back.
    FailRefund,
    /// The payment was refused. No money moved.
    Decline,
}

/// What came of an order's payments, by the ledger. Amounts are in minor units. The largest sum that can be
/// told is that of the type, which a real order never reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How much was set aside, all in all.
    pub authorized: i64,
    /// How much was collected.
    pub captured: i64,
    /// How much was let go of without having been collected.
    pub voided: i64,
    /// Sum of the refunds that were not reversed.
    pub refunded: i64,
    /// Sum of the refunds that were reversed because they failed later.
    #[serde(default)]
    pub returned: i64,
    /// How many payments were authorized. More than one is a defect of the caller.
    pub authorizations: u32,
    /// How many payments were captured. More than one is a defect of the caller.
    pub captures: u32,
    /// How many payments were voided.
    pub voids: u32,
    /// How many refunds were made.
    pub refunds: u32,
    /// How many refunds failed after they were made.
    #[serde(default)]
    pub failed_refunds: u32,
    /// How many payments were declined.
    pub declines: u32,
}

impl Summary {
    /// The sum of these entries, which are all taken for those of one order.
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

/// The entries, and their sums.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    summaries: HashMap<OrderId, Summary>,
}

impl Ledger {
    /// Adds an entry and numbers it.
    pub(super) fn add(&mut self, mut entry: Entry) {
        entry.sequence = self.last_sequence() + 1;
        let summary = self.summaries.entry(entry.order_id).or_default();
        *summary = summary.with(&entry);
        self.entries.push(entry);
    }

    fn last_sequence(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.sequence)
    }

    /// The entries with a higher sequence, oldest first, and at most so many.
    pub(super) fn after(&self, sequence: u64, limit: usize) -> Vec<Entry> {
        // Sequences count from 1 without a gap, so each is the number of entries up to its own.
        let start = usize::try_from(sequence).unwrap_or(usize::MAX).min(self.entries.len());
        self.entries.iter().skip(start).take(limit).cloned().collect()
    }

    /// The sum of an order's entries.
    pub(super) fn summary(&self, order_id: OrderId) -> Summary {
        self.summaries.get(&order_id).copied().unwrap_or_default()
    }
}
