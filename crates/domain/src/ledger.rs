//! The ledger of an order: double entry, derived from the order's events.
//!
//! Every event that moves money is one posting. The entries of a posting sum to zero, so the ledger of an order sums to
//! zero at every version. The ledger is not stored, because the events contain all its data.
//!
//! | event | accounts that pay | accounts that receive |
//! |---|---|---|
//! | the payment is captured | customer: the total | restaurant: the food less the discount; tax office: the tax; platform: the delivery fee; courier: the tip (the restaurant's staff if the customer collects) |
//! | a refund that the restaurant bears | tax office: the tax share of the refund; restaurant: the rest | customer, as a refund |
//! | a refund that the platform bears | tax office: the tax share of the refund; platform: the rest | customer, as a refund |
//! | a refund that everyone bears | tax office: the tax share of the refund; restaurant, platform and courier: the rest, in proportion to what each still holds | customer, as a refund |
//! | the payment provider captures more or less than the total | customer (more) or platform (less): the difference | platform (more) or customer (less) |
//! | a refund in the payment provider's dashboard | as for a refund that the platform bears | customer, as a refund |
//! | a chargeback is lost | as for a refund that the platform bears | customer, as a refund |
//! | a chargeback is won after it was lost | customer: the amount of the chargeback | every account what it had paid |
//! | a refund fails after it was reported as made (`refund_reversed`) | customer: the amount of the refund | every account what it had paid |
//!
//! **The tax share** of a refund is:
//! - for lines: the tax on these lines;
//! - for an amount that the restaurant bears: the amount times the portion of tax in what restaurant and tax office
//!   still hold, because the restaurant returns the price of its food, and only the food is taxed;
//! - for an amount that the platform or everyone bears: the amount times the portion of tax in all that is not refunded
//!   yet.
//!
//! The tax share is rounded half up to a minor unit. Its maximum is what the tax office still holds. Its minimum leaves
//! the tax office no more than what is left of the order. So after a full refund no tax is left, regardless of the
//! bearer.
//!
//! **The rest** may take the account of the restaurant or the platform below zero if that account alone bears the
//! refund. If everyone bears the refund, no account pays more than it still holds, and an account below zero pays
//! nothing. The rest is divided by the largest-remainder method; of equal remainders, the restaurant's comes first,
//! then the platform's. If more money went back than all accounts hold, because some of it went back without Dabba, the
//! platform bears the difference.

use std::{cmp::Reverse, collections::HashMap};

use serde::Serialize;

use crate::{
    Amount, Timestamp,
    order::{Event, OrderDetails, RecordedEvent, Refund, RefundBearer, RefundLine, RefundNumber, Version},
    pricing::FulfilmentKind,
};

/// An account of an order's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LedgerAccount {
    /// Payment of the customer, as a negative amount.
    Customer,
    /// Refunds to the customer.
    Refunds,
    /// Money of the restaurant.
    Restaurant,
    /// Money of the platform.
    Platform,
    /// Money of the courier.
    Courier,
    /// Tax.
    Tax,
}

/// Part of one account in a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerEntry {
    /// The account.
    pub account: LedgerAccount,
    /// Amount that the account receives, in minor units of the order's currency; negative if the account pays.
    pub amount: i64,
}

/// Changes of the accounts by one event. The entries sum to zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerPosting {
    /// Number of the event.
    #[cfg_attr(feature = "openapi", schema(value_type = u32, minimum = 1))]
    pub version: Version,
    /// Time of the event.
    pub at: Timestamp,
    /// Name of the event.
    pub event: String,
    /// Entries of the posting, without zero amounts.
    pub entries: Vec<LedgerEntry>,
}

/// Returns the ledger of an order from its complete history. Empty if no money has been captured.
pub fn ledger(history: &[RecordedEvent]) -> Vec<LedgerPosting> {
    let Some(Event::Placed(details)) = history.first().map(|recorded| &recorded.event) else {
        return Vec::new();
    };
    post(details, history)
}

/// Money that the customer pays and gets back. An amount that is zero is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomerMovements {
    /// Amount that the customer pays.
    pub paid: Option<Amount>,
    /// Amount that the customer gets back.
    pub returned: Option<Amount>,
}

/// Returns the customer's side of the postings of these events, which follow from a command. The history before them is
/// not needed: what a capture or a refund takes from the customer or returns does not depend on earlier postings.
pub fn customer_movements(details: &OrderDetails, events: &[RecordedEvent]) -> CustomerMovements {
    let postings = post(details, events);
    let sum = |account: LedgerAccount| -> i64 {
        let entries = postings.iter().flat_map(|posting| &posting.entries);
        entries.filter(|entry| entry.account == account).map(|entry| entry.amount).sum()
    };
    let amount = |minor| Amount::from_minor(minor).ok().filter(|amount| !amount.is_zero());
    CustomerMovements {
        paid: amount(-sum(LedgerAccount::Customer)),
        returned: amount(sum(LedgerAccount::Refunds)),
    }
}

/// Returns the postings of events of an order.
fn post(details: &OrderDetails, events: &[RecordedEvent]) -> Vec<LedgerPosting> {
    let mut books = Books::new(details);
    let mut refunds: HashMap<RefundNumber, Vec<LedgerEntry>> = HashMap::new();
    let mut chargebacks: HashMap<RefundNumber, &Refund> = HashMap::new();
    let mut postings = Vec::new();
    for recorded in events {
        let entries = match &recorded.event {
            Event::PaymentCaptured { amount } => books.sale(*amount),
            Event::Refunded(refund) => {
                let entries = books.refund(refund);
                refunds.insert(refund.number, entries.clone());
                entries
            }
            Event::ChargebackOpened(refund) => {
                chargebacks.insert(refund.number, refund);
                continue;
            }
            Event::ChargebackLost { number } => {
                let Some(refund) = chargebacks.get(number) else { continue };
                let entries = books.refund(refund);
                refunds.insert(*number, entries.clone());
                entries
            }
            // A chargeback that was won without being lost before has moved no money.
            Event::ChargebackWon { number } if !refunds.contains_key(number) => continue,
            Event::RefundReversed { number, .. } | Event::ChargebackWon { number } => {
                books.reverse(&refunds.remove(number).unwrap_or_default())
            }
            _ => continue,
        };
        let entries: Vec<_> = entries.into_iter().filter(|entry| entry.amount != 0).collect();
        let RecordedEvent { version, at, event, .. } = recorded;
        postings.push(LedgerPosting { version: *version, at: *at, event: event.name().to_owned(), entries });
    }
    postings
}

/// Amounts that the accounts hold after the sale and the refunds so far. Zero without a capture.
struct Books<'a> {
    details: &'a OrderDetails,
    restaurant: i64,
    tax: i64,
    platform: i64,
    courier: i64,
}

impl<'a> Books<'a> {
    const fn new(details: &'a OrderDetails) -> Self {
        Self { details, restaurant: 0, tax: 0, platform: 0, courier: 0 }
    }

    /// Posts the sale. If the provider captured more than the total, the platform receives the difference; if less, the
    /// platform bears it.
    fn sale(&mut self, captured: Amount) -> Vec<LedgerEntry> {
        let amounts = &self.details.amounts;
        let tip = amounts.tip.minor();
        let (courier, staff) = match self.details.fulfilment.kind() {
            FulfilmentKind::Delivery => (tip, 0),
            FulfilmentKind::Collection => (0, tip),
        };
        self.restaurant = amounts.subtotal.minor() - amounts.discount.minor() + staff;
        self.tax = amounts.tax.minor();
        self.platform = amounts.delivery_fee.minor() + captured.minor() - amounts.total.minor();
        self.courier = courier;
        vec![
            entry(LedgerAccount::Customer, -captured.minor()),
            entry(LedgerAccount::Restaurant, self.restaurant),
            entry(LedgerAccount::Tax, self.tax),
            entry(LedgerAccount::Platform, self.platform),
            entry(LedgerAccount::Courier, self.courier),
        ]
    }

    fn refund(&mut self, refund: &Refund) -> Vec<LedgerEntry> {
        let amount = refund.amount.minor();
        let tax = self.tax_share(refund);
        let rest = amount - tax;
        let [restaurant, platform, courier] = match refund.borne_by {
            RefundBearer::Restaurant => [rest, 0, 0],
            RefundBearer::Platform => [0, rest, 0],
            RefundBearer::Everyone => self.divide(rest),
        };
        self.tax -= tax;
        self.restaurant -= restaurant;
        self.platform -= platform;
        self.courier -= courier;
        vec![
            entry(LedgerAccount::Refunds, amount),
            entry(LedgerAccount::Tax, -tax),
            entry(LedgerAccount::Platform, -platform),
            entry(LedgerAccount::Courier, -courier),
            entry(LedgerAccount::Restaurant, -restaurant),
        ]
    }

    /// Reverses the posting of a refund: every account holds again what it held before the refund.
    fn reverse(&mut self, posted: &[LedgerEntry]) -> Vec<LedgerEntry> {
        let mut taken_back = Vec::with_capacity(posted.len());
        for LedgerEntry { account, amount } in posted {
            match account {
                LedgerAccount::Restaurant => self.restaurant -= amount,
                LedgerAccount::Tax => self.tax -= amount,
                LedgerAccount::Platform => self.platform -= amount,
                LedgerAccount::Courier => self.courier -= amount,
                LedgerAccount::Customer | LedgerAccount::Refunds => {}
            }
            taken_back.push(entry(*account, -amount));
        }
        taken_back
    }

    /// Returns the part of a refund that the tax office returns.
    fn tax_share(&self, refund: &Refund) -> i64 {
        let amount = refund.amount.minor();
        let left = self.restaurant + self.tax + self.platform + self.courier;
        let share = match (refund.lines.as_slice(), refund.borne_by) {
            ([], RefundBearer::Restaurant) => portion(self.tax, amount, self.restaurant.max(0) + self.tax),
            ([], RefundBearer::Platform | RefundBearer::Everyone) => portion(self.tax, amount, left),
            (lines, _) => amount - self.price_without_tax(lines),
        };
        // If the tax office kept more than all that is left, that tax could never be returned.
        let least = self.tax - (left - amount);
        share.max(least).min(self.tax).clamp(0, amount)
    }

    fn price_without_tax(&self, lines: &[RefundLine]) -> i64 {
        let ordered = &self.details.lines;
        let price = |it: &RefundLine| {
            let line = usize::try_from(it.line).ok().and_then(|line| ordered.get(line));
            line.map_or(0, |line| line.unit_price.minor().saturating_mul(i64::from(it.quantity)))
        };
        lines.iter().map(price).fold(0, i64::saturating_add)
    }

    /// Divides a refund that everyone bears among restaurant, platform and courier, in proportion to what each holds.
    fn divide(&self, rest: i64) -> [i64; 3] {
        let held = [self.restaurant, self.platform, self.courier].map(|held| i128::from(held.max(0)));
        let (rest, whole) = (i128::from(rest), held.iter().sum::<i128>());
        if whole <= rest {
            // More money went back than the accounts hold, because some of it went back without Dabba. The platform
            // bears the difference.
            let [restaurant, platform, courier] = held;
            let shares = [restaurant, platform + rest - whole, courier];
            return shares.map(|share| i64::try_from(share).unwrap_or(i64::MAX));
        }
        let mut shares = held.map(|held| held * rest / whole);
        let mut by_remainder = [0, 1, 2];
        by_remainder.sort_by_key(|account| Reverse(held[*account] * rest % whole));
        let missing = usize::try_from(rest - shares.iter().sum::<i128>()).unwrap_or(0);
        for account in by_remainder.into_iter().take(missing) {
            shares[account] += 1;
        }
        // No share exceeds what the account holds.
        shares.map(|share| i64::try_from(share).unwrap_or(i64::MAX))
    }
}

const fn entry(account: LedgerAccount, amount: i64) -> LedgerEntry {
    LedgerEntry { account, amount }
}

/// Returns `part` × `amount` / `whole`, rounded half up; zero if `whole` is not positive.
fn portion(part: i64, amount: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let (part, amount, whole) = (i128::from(part), i128::from(amount), i128::from(whole));
    i64::try_from((2 * part * amount + whole) / (2 * whole)).unwrap_or(i64::MAX)
}
