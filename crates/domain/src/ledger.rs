//! The ledger of an order: double entry, derived from the order's events.
//!
//! Every event that moves money is one posting. The entries of a posting sum to zero, so the ledger of an order sums to
//! zero at every version. The ledger is not stored, because the events contain all its data.
//!
//! | event | accounts that pay | accounts that receive |
//! |---|---|---|
//! | the payment is captured | customer: the total | restaurant: the food less the discount; each tax; the receiver of each fee: the fee; courier: the tip (the restaurant's staff if the customer collects). Restaurant and receivers get their prices less the taxes that these include |
//! | a refund that the restaurant bears | the taxes: the tax share of the refund; restaurant: the rest | customer, as a refund |
//! | a refund that the platform bears | the taxes: the tax share of the refund; platform: the rest | customer, as a refund |
//! | a refund that everyone bears | the taxes: the tax share of the refund; restaurant, platform, courier and authority: the rest, in proportion to what each still holds | customer, as a refund |
//! | the payment provider captures more or less than the total | customer (more) or platform (less): the difference | platform (more) or customer (less) |
//! | a refund in the payment provider's dashboard | as for a refund that the platform bears | customer, as a refund |
//! | a chargeback is lost | as for a refund that the platform bears | customer, as a refund |
//! | a chargeback is won after it was lost | customer: the amount of the chargeback | every account what it had paid |
//! | a refund fails after it was reported as made (`refund_reversed`) | customer: the amount of the refund | every account what it had paid |
//!
//! **The tax share** of a refund is:
//! - for lines: the taxes on these lines;
//! - for an amount that the restaurant bears: the amount times the portion of tax in what restaurant and taxes still
//!   hold, because the restaurant returns the price of its food;
//! - for an amount that the platform or everyone bears: the amount times the portion of tax in all that is not refunded
//!   yet.
//!
//! The tax share is rounded half up to a minor unit. Its maximum is what the taxes still hold. Its minimum leaves the
//! taxes no more than what is left of the order. So after a full refund no tax is left, regardless of the bearer. The
//! share is divided over the taxes of the order: for lines as the refund states them, otherwise in proportion to what
//! each tax still holds.
//!
//! **The rest** may take the account of the restaurant or the platform below zero if that account alone bears the
//! refund. If everyone bears the refund, no account pays more than it still holds, and an account below zero pays
//! nothing. The rest and the tax share are divided by the largest-remainder method; of equal remainders, the
//! restaurant's comes first, then the platform's, and the taxes follow their order in the terms. If more money went back
//! than all accounts hold, because some of it went back without Dabba, the platform bears the difference.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    Amount, Timestamp,
    fee::FeeReceiver,
    order::{Event, OrderDetails, RecordedEvent, Refund, RefundBearer, RefundLine, RefundNumber, Version},
    pricing::{FulfilmentKind, TaxShare, TaxedPart},
    share::{divide, divide_all, portion},
    text::Slug,
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
    /// Taxes, each in entries of its own.
    Tax,
    /// Money of an authority that is no tax.
    Authority,
}

/// Part of one account in a posting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerEntry {
    /// The account.
    pub account: LedgerAccount,
    /// Id of the tax, for the account `tax`. Absent if the order does not state its taxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax: Option<Slug>,
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

/// The bearers of a refund that everyone bears, in the order of their amounts in [`Books`].
const BEARERS: [LedgerAccount; 4] =
    [LedgerAccount::Restaurant, LedgerAccount::Platform, LedgerAccount::Courier, LedgerAccount::Authority];
const RESTAURANT: usize = 0;
const PLATFORM: usize = 1;
const COURIER: usize = 2;
const AUTHORITY: usize = 3;

/// Amounts that the accounts hold after the sale and the refunds so far. Zero without a capture.
struct Books<'a> {
    details: &'a OrderDetails,
    bearers: [i64; BEARERS.len()],
    /// The taxes of the order, in its order. An order that does not state its taxes has one without an id.
    taxes: Vec<(Option<&'a Slug>, i64)>,
}

impl<'a> Books<'a> {
    fn new(details: &'a OrderDetails) -> Self {
        let ids: Vec<_> = if details.is_itemized() {
            details.taxes.iter().map(|tax| Some(&tax.id)).collect()
        } else {
            vec![None]
        };
        Self { details, bearers: [0; BEARERS.len()], taxes: ids.into_iter().map(|id| (id, 0)).collect() }
    }

    /// Posts the sale. If the provider captured more than the total, the platform receives the difference; if less, the
    /// platform bears it.
    fn sale(&mut self, captured: Amount) -> Vec<LedgerEntry> {
        let details = self.details;
        let amounts = &details.amounts;
        let is_delivered = details.fulfilment.kind() == FulfilmentKind::Delivery;
        // If the customer collects, the restaurant's staff does the work of the courier.
        let courier = if is_delivered { COURIER } else { RESTAURANT };
        self.bearers = [0; BEARERS.len()];
        self.bearers[RESTAURANT] = amounts.subtotal.minor() - amounts.discount.minor();
        self.bearers[PLATFORM] = captured.minor() - amounts.total.minor();
        self.bearers[courier] += amounts.tip.minor();
        if details.is_itemized() {
            for ((_, held), tax) in self.taxes.iter_mut().zip(&details.taxes) {
                *held = tax.amount.minor();
            }
            self.bearers[RESTAURANT] -= included(details, details.lines.iter().flat_map(|line| &line.parts));
            for fee in &details.fees {
                let receiver = match fee.receiver {
                    FeeReceiver::Restaurant => RESTAURANT,
                    FeeReceiver::Platform => PLATFORM,
                    FeeReceiver::Courier => courier,
                    FeeReceiver::Authority => AUTHORITY,
                };
                self.bearers[receiver] += fee.amount.minor() - included(details, &fee.parts);
            }
        } else {
            self.bearers[PLATFORM] += amounts.delivery_fee.minor();
            if let [(_, held)] = self.taxes.as_mut_slice() {
                *held = amounts.tax.minor();
            }
        }
        let mut entries = vec![entry(LedgerAccount::Customer, -captured.minor())];
        entries.extend(BEARERS.into_iter().zip(self.bearers).map(|(account, amount)| entry(account, amount)));
        entries.extend(self.taxes.iter().map(|(id, amount)| tax_entry(*id, *amount)));
        entries
    }

    fn refund(&mut self, refund: &Refund) -> Vec<LedgerEntry> {
        let amount = refund.amount.minor();
        let taxes = self.tax_shares(refund);
        let rest = amount - taxes.iter().sum::<i64>();
        let mut bearers = [0; BEARERS.len()];
        match refund.borne_by {
            RefundBearer::Restaurant => bearers[RESTAURANT] = rest,
            RefundBearer::Platform => bearers[PLATFORM] = rest,
            RefundBearer::Everyone => bearers = self.divide_among_all(rest),
        }
        let mut entries = vec![entry(LedgerAccount::Refunds, amount)];
        for ((id, held), tax) in self.taxes.iter_mut().zip(taxes) {
            *held -= tax;
            entries.push(tax_entry(*id, -tax));
        }
        for ((held, account), part) in self.bearers.iter_mut().zip(BEARERS).zip(bearers) {
            *held -= part;
            entries.push(entry(account, -part));
        }
        entries
    }

    /// Reverses the posting of a refund: every account holds again what it held before the refund.
    fn reverse(&mut self, posted: &[LedgerEntry]) -> Vec<LedgerEntry> {
        let mut taken_back = Vec::with_capacity(posted.len());
        for LedgerEntry { account, tax, amount } in posted {
            let bearer = BEARERS.iter().position(|bearer| bearer == account);
            let held = match bearer {
                Some(bearer) => self.bearers.get_mut(bearer),
                None if *account == LedgerAccount::Tax => {
                    let held = self.taxes.iter_mut().find(|(id, _)| *id == tax.as_ref());
                    held.map(|(_, held)| held)
                }
                None => None,
            };
            if let Some(held) = held {
                *held -= amount;
            }
            taken_back.push(LedgerEntry { account: *account, tax: tax.clone(), amount: -amount });
        }
        taken_back
    }

    /// Returns the part of a refund that each tax returns.
    fn tax_shares(&self, refund: &Refund) -> Vec<i64> {
        let held: Vec<i64> = self.taxes.iter().map(|(_, held)| *held).collect();
        let tax: i64 = held.iter().sum();
        let amount = refund.amount.minor();
        let left = self.bearers.iter().sum::<i64>() + tax;
        let stated: Vec<i64> = self.stated_shares(&refund.taxes);
        let share = match (refund.lines.as_slice(), refund.borne_by) {
            ([], RefundBearer::Restaurant) => portion(tax, amount, self.bearers[RESTAURANT].max(0) + tax),
            ([], RefundBearer::Platform | RefundBearer::Everyone) => portion(tax, amount, left),
            _ if self.details.is_itemized() => stated.iter().sum(),
            (lines, _) => amount - self.price_without_tax(lines),
        };
        // If the taxes kept more than all that is left, that tax could never be returned.
        let least = tax - (left - amount);
        let bounded = share.max(least).min(tax).clamp(0, amount);
        let is_as_stated = !refund.lines.is_empty()
            && bounded == stated.iter().sum::<i64>()
            && stated.iter().zip(&held).all(|(share, held)| share <= held);
        if is_as_stated { stated } else { divide_all(bounded, &held) }
    }

    /// Returns the shares that a refund states, in the order of the taxes.
    fn stated_shares(&self, stated: &[TaxShare]) -> Vec<i64> {
        let share = |id: Option<&Slug>| {
            let shares = stated.iter().filter(|share| Some(&share.tax) == id);
            shares.map(|share| share.amount.minor()).sum()
        };
        self.taxes.iter().map(|(id, _)| share(*id)).collect()
    }

    fn price_without_tax(&self, lines: &[RefundLine]) -> i64 {
        let ordered = &self.details.lines;
        let price = |it: &RefundLine| {
            let line = usize::try_from(it.line).ok().and_then(|line| ordered.get(line));
            line.map_or(0, |line| line.unit_price.minor().saturating_mul(i64::from(it.quantity)))
        };
        lines.iter().map(price).fold(0, i64::saturating_add)
    }

    /// Divides a refund that everyone bears among the bearers, in proportion to what each holds.
    fn divide_among_all(&self, rest: i64) -> [i64; BEARERS.len()] {
        let mut held = self.bearers.map(|held| held.max(0));
        let whole: i64 = held.iter().sum();
        if whole <= rest {
            // More money went back than the accounts hold, because some of it went back without Dabba. The platform
            // bears the difference.
            held[PLATFORM] += rest - whole;
            return held;
        }
        divide(rest, held)
    }
}

/// Returns the taxes that the prices of these parts include.
fn included<'a>(details: &OrderDetails, parts: impl IntoIterator<Item = &'a TaxedPart>) -> i64 {
    let is_included = |id: &Slug| details.taxes.iter().any(|tax| tax.id == *id && tax.included.is_included());
    let shares = parts.into_iter().flat_map(|part| &part.taxes).filter(|share| is_included(&share.tax));
    shares.map(|share| share.amount.minor()).sum()
}

const fn entry(account: LedgerAccount, amount: i64) -> LedgerEntry {
    LedgerEntry { account, tax: None, amount }
}

fn tax_entry(id: Option<&Slug>, amount: i64) -> LedgerEntry {
    LedgerEntry { account: LedgerAccount::Tax, tax: id.cloned(), amount }
}
