//! Whose the money of an order is: double entry, derived from the order's events.
//!
//! Every event that moves money is one posting, and the entries of a posting sum to zero: what one account
//! loses the others get. So the ledger of an order sums to zero at every version. Nothing is stored; the
//! history says it all.
//!
//! | what happens | who loses | who gets |
//! |---|---|---|
//! | the money is collected | the customer, the total | the restaurant its food less the discount, the tax office the tax, the platform the delivery fee, the courier the tip (the restaurant's staff when the customer collects) |
//! | a refund that the restaurant bears | the restaurant, and the tax office the tax on what is given back | the customer, as a refund |
//! | a refund that the platform bears | the platform | the customer, as a refund |
//! | a refund that everyone bears | everyone who got something, in proportion | the customer, as a refund |
//!
//! Shares are rounded half up over all refunds so far, and what rounding leaves is the restaurant's: once
//! all is given back, nobody keeps a penny and nobody lacks one.

use serde::Serialize;

use crate::{
    Amount, Timestamp,
    order::{Event, OrderDetails, RecordedEvent, Refund, RefundBearer, Version, share},
    pricing::FulfilmentKind,
};

/// An account of an order's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LedgerAccount {
    /// What the customer has paid, as a negative number.
    Customer,
    /// What the customer has got back.
    Refunds,
    /// What the restaurant gets.
    Restaurant,
    /// What the platform gets.
    Platform,
    /// What the courier gets.
    Courier,
    /// What the tax office gets.
    Tax,
}

/// One account's part in a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerEntry {
    /// The account.
    pub account: LedgerAccount,
    /// What it gets, in minor units of the order's currency; negative for what it loses.
    pub amount: i64,
}

/// What one event does to the accounts. Its entries sum to zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerPosting {
    /// The event's number.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub version: Version,
    /// When it happened.
    pub at: Timestamp,
    /// The event's name.
    pub event: &'static str,
    /// The entries, none of them zero.
    pub entries: Vec<LedgerEntry>,
}

/// The ledger that a history makes, from its first event on. Empty for an order of which no money has been
/// collected.
pub fn ledger(history: &[RecordedEvent]) -> Vec<LedgerPosting> {
    let Some(Event::Placed(details)) = history.first().map(|recorded| &recorded.event) else {
        return Vec::new();
    };
    let mut books = Books::new(details);
    let mut postings = Vec::new();
    for recorded in history {
        let entries = match &recorded.event {
            Event::PaymentCaptured { .. } => books.sale(),
            Event::Refunded(refund) => books.refund(refund),
            _ => continue,
        };
        let entries: Vec<_> = entries.into_iter().filter(|entry| entry.amount != 0).collect();
        let RecordedEvent { version, at, event, .. } = recorded;
        postings.push(LedgerPosting { version: *version, at: *at, event: event.name(), entries });
    }
    postings
}

/// What everyone got, and what of it has been given back so far.
struct Books {
    total: Amount,
    restaurant: i64,
    tax: Amount,
    platform: Amount,
    courier: Amount,
    /// Tax that has been given back.
    tax_returned: i64,
    /// Given back by the restaurant.
    by_restaurant: i64,
    /// Given back by everyone.
    by_everyone: i64,
}

impl Books {
    fn new(details: &OrderDetails) -> Self {
        let amounts = &details.amounts;
        let (courier, staff) = match details.fulfilment.kind() {
            FulfilmentKind::Delivery => (amounts.tip, Amount::ZERO),
            FulfilmentKind::Collection => (Amount::ZERO, amounts.tip),
        };
        Self {
            total: amounts.total,
            restaurant: amounts.subtotal.minor() - amounts.discount.minor() + staff.minor(),
            tax: amounts.tax,
            platform: amounts.delivery_fee,
            courier,
            tax_returned: 0,
            by_restaurant: 0,
            by_everyone: 0,
        }
    }

    fn sale(&self) -> Vec<LedgerEntry> {
        vec![
            entry(LedgerAccount::Customer, -self.total.minor()),
            entry(LedgerAccount::Restaurant, self.restaurant),
            entry(LedgerAccount::Tax, self.tax.minor()),
            entry(LedgerAccount::Platform, self.platform.minor()),
            entry(LedgerAccount::Courier, self.courier.minor()),
        ]
    }

    fn refund(&mut self, refund: &Refund) -> Vec<LedgerEntry> {
        let amount = refund.amount.minor();
        let mut entries = vec![entry(LedgerAccount::Refunds, amount)];
        match refund.borne_by {
            RefundBearer::Platform => entries.push(entry(LedgerAccount::Platform, -amount)),
            RefundBearer::Restaurant => {
                let food = self.total.minor() - self.platform.minor() - self.courier.minor();
                let food = Amount::from_minor(food).unwrap_or(self.total);
                let (before, after) = (self.by_restaurant, self.by_restaurant + amount);
                self.by_restaurant = after;
                let tax = self.return_tax(between(self.tax, before, after, food));
                entries.push(entry(LedgerAccount::Tax, -tax));
                entries.push(entry(LedgerAccount::Restaurant, tax - amount));
            }
            RefundBearer::Everyone => {
                let (before, after) = (self.by_everyone, self.by_everyone + amount);
                self.by_everyone = after;
                let tax = self.return_tax(between(self.tax, before, after, self.total));
                let platform = between(self.platform, before, after, self.total);
                let courier = between(self.courier, before, after, self.total);
                entries.push(entry(LedgerAccount::Tax, -tax));
                entries.push(entry(LedgerAccount::Platform, -platform));
                entries.push(entry(LedgerAccount::Courier, -courier));
                entries.push(entry(LedgerAccount::Restaurant, tax + platform + courier - amount));
            }
        }
        entries
    }

    /// So much tax, but no more than there was.
    fn return_tax(&mut self, tax: i64) -> i64 {
        let tax = tax.min(self.tax.minor() - self.tax_returned);
        self.tax_returned += tax;
        tax
    }
}

const fn entry(account: LedgerAccount, amount: i64) -> LedgerEntry {
    LedgerEntry { account, amount }
}

/// By how much the share of `part` grows while what is given back of `whole` grows from `before` to `after`.
fn between(part: Amount, before: i64, after: i64, whole: Amount) -> i64 {
    let share_of = |given: i64| share(part, i128::from(given), whole);
    // A share is at most the part, unless more than the whole is given back, which nothing allows.
    i64::try_from(share_of(after) - share_of(before)).unwrap_or(part.minor())
}
