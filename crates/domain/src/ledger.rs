//! Whose the money of an order is: double entry, derived from the order's events.
//!
//! Every event that moves money is one posting, and the entries of a posting sum to zero: what one account
//! loses the others get. So the ledger of an order sums to zero at every version. Nothing is stored; the
//! history says it all.
//!
//! | what happens | who loses | who gets |
//! |---|---|---|
//! | the money is captured | the customer, the total | the restaurant its food less the discount, the tax office the tax, the platform the delivery fee, the courier the tip (the restaurant's staff when the customer collects) |
//! | a refund that the restaurant bears | the tax office the refund's tax share, the restaurant the rest | the customer, as a refund |
//! | a refund that the platform bears | the tax office the refund's tax share, the platform the rest | the customer, as a refund |
//! | a refund that everyone bears | the tax office the refund's tax share; restaurant, platform and courier the rest, in proportion to what each still holds | the customer, as a refund |
//! | the payment provider captures another amount than the total | the platform the difference, or the customer | the other |
//! | a refund in the payment provider's dashboard | as one that the platform bears | the customer, as a refund |
//! | a chargeback is lost | as a refund that the platform bears | the customer, as a refund |
//! | a chargeback is won after it was lost | the customer, what it was | everyone what they had borne of it |
//! | a refund fails after it was reported as made (`refund_reversed`) | the customer, what the refund was | everyone what they had borne of it |
//!
//! **The tax share** of a refund:
//! - of lines: the tax on these lines;
//! - of an amount that the restaurant bears: the part that tax is of what restaurant and tax office still hold,
//!   because the restaurant returns the price of its food, and the food is what is taxed;
//! - of an amount that the platform or everyone bears: the part that tax is of all that is not refunded yet.
//!
//! The tax share is rounded half up to a minor unit. It is never more than the tax office still holds, and
//! never so little that the tax office would hold more than what is left of the order: after a full refund no
//! tax is left, regardless of the bearer.
//!
//! **The rest** may take the account of the restaurant or of the platform below zero when that account alone
//! bears it. When everyone bears it, it takes from no account more than the account still holds, and nothing
//! from an account below zero. The rest is divided by largest remainder; of equal remainders the restaurant's
//! comes first, then the platform's. Where more went back than all of them hold, because some of it went back
//! without Dabba, the platform bears what is missing.

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
    pub event: String,
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
    let mut refunds: HashMap<RefundNumber, Vec<LedgerEntry>> = HashMap::new();
    let mut chargebacks: HashMap<RefundNumber, &Refund> = HashMap::new();
    let mut postings = Vec::new();
    for recorded in history {
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
            // One that was won before it was lost has moved no money.
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

/// What each account holds of the sale after the refunds so far. Without a capture that is nothing.
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

    /// What the provider captured beyond the total, or below it, the platform has or lacks.
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

    /// Takes a refund's posting back: every account holds again what it held before the refund.
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

    /// What of a refund the tax office returns.
    fn tax_share(&self, refund: &Refund) -> i64 {
        let amount = refund.amount.minor();
        let left = self.restaurant + self.tax + self.platform + self.courier;
        let share = match (refund.lines.as_slice(), refund.borne_by) {
            ([], RefundBearer::Restaurant) => portion(self.tax, amount, self.restaurant.max(0) + self.tax),
            ([], RefundBearer::Platform | RefundBearer::Everyone) => portion(self.tax, amount, left),
            (lines, _) => amount - self.price_without_tax(lines),
        };
        // Tax that would be more than all that is left could never be returned.
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

    /// Divides what everyone bears among restaurant, platform and courier, in proportion to what each holds.
    fn divide(&self, rest: i64) -> [i64; 3] {
        let held = [self.restaurant, self.platform, self.courier].map(|held| i128::from(held.max(0)));
        let (rest, whole) = (i128::from(rest), held.iter().sum::<i128>());
        if whole <= rest {
            // More went back than anyone holds, because some of it went back without Dabba. The platform bears that.
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
        // A share is at most what the account holds.
        shares.map(|share| i64::try_from(share).unwrap_or(i64::MAX))
    }
}

const fn entry(account: LedgerAccount, amount: i64) -> LedgerEntry {
    LedgerEntry { account, amount }
}

/// `part` × `amount` / `whole`, rounded half up; nothing of nothing.
fn portion(part: i64, amount: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let (part, amount, whole) = (i128::from(part), i128::from(amount), i128::from(whole));
    i64::try_from((2 * part * amount + whole) / (2 * whole)).unwrap_or(i64::MAX)
}
