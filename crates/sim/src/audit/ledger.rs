//! The auditor's own books, with which it checks the domain's ledger.
//!
//! The domain records postings. The auditor computes the balance of each account after each event, from the
//! sale and the refunds, and never from the postings.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dabba_domain::{
    Amount,
    fee::FeeReceiver,
    ledger::{LedgerAccount, LedgerEntry, LedgerPosting, ledger},
    order::{Event, OrderDetails, RecordedEvent, Refund, RefundBearer, RefundNumber},
    pricing::{FulfilmentKind, TaxShare, TaxedPart},
    tax::Inclusion,
    text::Slug,
};

use super::{FindingCode, Findings};

/// Checks the ledger of a history. The history must have no other findings.
pub(super) fn check(events: &[RecordedEvent], findings: &mut Findings) {
    compare(events, &ledger(events), findings);
}

/// An account, and for taxes the id of the tax.
type Account = (LedgerAccount, Option<Slug>);
type Balances = BTreeMap<Account, i128>;

fn compare(events: &[RecordedEvent], postings: &[LedgerPosting], findings: &mut Findings) {
    let Some(Event::Placed(details)) = events.first().map(|recorded| &recorded.event) else { return };
    let mut postings = postings.iter();
    let mut books = Books::of(details);
    let mut taken: HashMap<RefundNumber, Taken> = HashMap::new();
    let mut chargebacks: HashMap<RefundNumber, &Refund> = HashMap::new();
    let mut found = Balances::new();
    for RecordedEvent { version, event, .. } in events {
        match event {
            Event::PaymentCaptured { amount } => books.sell(details, amount.minor().into()),
            Event::Refunded(refund) => {
                taken.insert(refund.number, books.refund(details, refund));
            }
            Event::ChargebackOpened(refund) => {
                chargebacks.insert(refund.number, refund);
                continue;
            }
            Event::ChargebackLost { number } => {
                let Some(refund) = chargebacks.get(number) else { continue };
                taken.insert(*number, books.refund(details, refund));
            }
            Event::RefundReversed { number, .. } | Event::ChargebackWon { number } => {
                // A chargeback that is won before it is lost moves no money.
                let Some(taken) = taken.remove(number) else { continue };
                books.restore(taken);
            }
            _ => continue,
        }
        let Some(posting) = postings.next().filter(|posting| posting.version == *version) else {
            let text = format!("the ledger has no posting for event {version}, {}", event.name());
            return findings.add(FindingCode::LedgerDiffers, text);
        };
        let sum: i128 = posting.entries.iter().map(|entry| i128::from(entry.amount)).sum();
        if sum != 0 {
            let text = format!("the entries of event {version} add up to {sum}");
            return findings.add(FindingCode::LedgerSum, text);
        }
        for LedgerEntry { account, tax, amount } in &posting.entries {
            *found.entry((*account, tax.clone())).or_default() += i128::from(*amount);
        }
        let expected = books.balances();
        if let Some(text) = difference(&found, &expected) {
            return findings.add(FindingCode::LedgerDiffers, format!("after event {version} {text}"));
        }
    }
    if let Some(posting) = postings.next() {
        let text = format!("the ledger has a posting for event {}, which moves no money", posting.version);
        findings.add(FindingCode::LedgerDiffers, text);
    }
}

fn difference(found: &Balances, expected: &Balances) -> Option<String> {
    let accounts: BTreeSet<&Account> = found.keys().chain(expected.keys()).collect();
    let balance = |of: &Balances, account: &Account| of.get(account).copied().unwrap_or(0);
    let account =
        accounts.into_iter().find(|account| balance(found, account) != balance(expected, account))?;
    let (found, expected) = (balance(found, account), balance(expected, account));
    let tax = account.1.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
    Some(format!("the balance of {:?}{tax} is {found}; it must be {expected}", account.0))
}

/// Places of the bearers: restaurant, platform, courier, authority.
const RESTAURANT: usize = 0;
const PLATFORM: usize = 1;
const COURIER: usize = 2;
const AUTHORITY: usize = 3;

/// The captured and refunded amounts, and the balances of everyone who holds a part.
#[derive(Clone)]
struct Books {
    captured: i128,
    refunded: i128,
    /// The balance of each tax, with its id; without an id if the order does not state its taxes.
    taxes: Vec<(Option<Slug>, i128)>,
    /// The balances of those who bear the part of a refund that is not tax.
    bearers: [i128; 4],
}

/// The amount that a refund took: of each tax, of each bearer, and in total.
struct Taken {
    taxes: Vec<i128>,
    bearers: [i128; 4],
    amount: i128,
}

impl Books {
    fn of(details: &OrderDetails) -> Self {
        let ids = details.taxes.iter().map(|tax| Some(tax.id.clone()));
        let ids: Vec<_> = if details.terms_version == 1 { vec![None] } else { ids.collect() };
        let taxes = ids.into_iter().map(|id| (id, 0)).collect();
        Self { captured: 0, refunded: 0, taxes, bearers: [0; 4] }
    }

    /// Undoes a refund that failed.
    fn restore(&mut self, taken: Taken) {
        self.refunded -= taken.amount;
        for ((_, balance), taken) in self.taxes.iter_mut().zip(taken.taxes) {
            *balance += taken;
        }
        for (balance, taken) in self.bearers.iter_mut().zip(taken.bearers) {
            *balance += taken;
        }
    }

    fn sell(&mut self, details: &OrderDetails, captured: i128) {
        let amounts = &details.amounts;
        let wide = |amount: Amount| i128::from(amount.minor());
        self.captured = captured;
        // The restaurant's staff keeps what a courier would get for a delivery.
        let is_delivered = details.fulfilment.kind() == FulfilmentKind::Delivery;
        let courier = if is_delivered { COURIER } else { RESTAURANT };
        let mut bearers = [0; 4];
        bearers[courier] += wide(amounts.tip);
        bearers[RESTAURANT] += wide(amounts.subtotal) - wide(amounts.discount);
        if details.terms_version == 1 {
            self.taxes[0].1 = wide(amounts.tax);
            bearers[PLATFORM] += wide(amounts.delivery_fee);
        } else {
            for ((_, balance), tax) in self.taxes.iter_mut().zip(&details.taxes) {
                *balance = wide(tax.amount);
            }
            let within = |parts: &[TaxedPart]| -> i128 {
                let shares = parts.iter().flat_map(|part| &part.taxes);
                let is_within = |share: &&TaxShare| {
                    details.taxes.iter().any(|tax| tax.id == share.tax && tax.included != Inclusion::No)
                };
                shares.filter(is_within).map(|share| wide(share.amount)).sum()
            };
            for line in &details.lines {
                bearers[RESTAURANT] -= within(&line.parts);
            }
            for fee in &details.fees {
                let receiver = match fee.receiver {
                    FeeReceiver::Restaurant => RESTAURANT,
                    FeeReceiver::Platform => PLATFORM,
                    FeeReceiver::Courier => courier,
                    FeeReceiver::Authority => AUTHORITY,
                };
                bearers[receiver] += wide(fee.amount) - within(&fee.parts);
            }
        }
        // The platform bears the difference between the captured amount and the total.
        bearers[PLATFORM] += captured - wide(amounts.total);
        self.bearers = bearers;
    }

    /// Takes a refund from the taxes and its bearers, and returns what it took.
    fn refund(&mut self, details: &OrderDetails, refund: &Refund) -> Taken {
        let before = self.clone();
        let amount = i128::from(refund.amount.minor());
        let tax = self.taxes.iter().map(|(_, balance)| balance).sum::<i128>();
        let left = self.captured - self.refunded - amount;
        let stated: Vec<i128> = self.taxes.iter().map(|(id, _)| stated(refund, id.as_ref())).collect();
        let mut share = if !refund.lines.is_empty() && details.terms_version == 1 {
            let food: i128 = refund.lines.iter().map(|it| price(details, it.line, it.quantity)).sum();
            amount - food
        } else if !refund.lines.is_empty() {
            stated.iter().sum()
        } else if refund.borne_by == RefundBearer::Restaurant {
            portion(tax, amount, tax + self.bearers[RESTAURANT].max(0))
        } else {
            portion(tax, amount, self.captured - self.refunded)
        };
        // The taxes must neither be negative together nor exceed what is left of the order.
        share = share.max(0);
        if tax - share > left {
            share = tax - left;
        }
        share = share.min(tax).min(amount);
        let fits = self.taxes.iter().zip(&stated).all(|((_, balance), stated)| stated <= balance);
        let shares = if !refund.lines.is_empty() && fits && stated.iter().sum::<i128>() == share {
            stated
        } else {
            largest_remainder(share, &self.taxes.iter().map(|(_, balance)| *balance).collect::<Vec<_>>())
        };
        for ((_, balance), share) in self.taxes.iter_mut().zip(shares) {
            *balance -= share;
        }
        self.refunded += amount;
        let rest = amount - share;
        match refund.borne_by {
            RefundBearer::Restaurant => self.bearers[RESTAURANT] -= rest,
            RefundBearer::Platform => self.bearers[PLATFORM] -= rest,
            RefundBearer::Everyone => self.share(rest),
        }
        let mut bearers = before.bearers;
        for (taken, left) in bearers.iter_mut().zip(self.bearers) {
            *taken -= left;
        }
        let taxes = before.taxes.iter().zip(&self.taxes).map(|((_, before), (_, after))| before - after);
        Taken { taxes: taxes.collect(), bearers, amount }
    }

    /// Takes `rest` from everyone with a positive balance.
    fn share(&mut self, rest: i128) {
        let held = self.bearers.map(|balance| balance.max(0));
        let whole: i128 = held.iter().sum();
        let taken = if whole <= rest { held.to_vec() } else { largest_remainder(rest, &held) };
        for (balance, taken) in self.bearers.iter_mut().zip(taken) {
            *balance -= taken;
        }
        // If the bearers hold less than this amount, the platform bears the difference, which was refunded without
        // Dabba.
        self.bearers[PLATFORM] -= (rest - whole).max(0);
    }

    fn balances(&self) -> Balances {
        let [restaurant, platform, courier, authority] = self.bearers;
        let accounts = [
            (LedgerAccount::Customer, -self.captured),
            (LedgerAccount::Refunds, self.refunded),
            (LedgerAccount::Restaurant, restaurant),
            (LedgerAccount::Platform, platform),
            (LedgerAccount::Courier, courier),
            (LedgerAccount::Authority, authority),
        ];
        let accounts = accounts.into_iter().map(|(account, balance)| ((account, None), balance));
        let taxes = self.taxes.iter().map(|(id, balance)| ((LedgerAccount::Tax, id.clone()), *balance));
        accounts.chain(taxes).collect()
    }
}

/// Returns the amount that a refund states for a tax.
fn stated(refund: &Refund, id: Option<&Slug>) -> i128 {
    let shares = refund.taxes.iter().filter(|share| Some(&share.tax) == id);
    shares.map(|share| i128::from(share.amount.minor())).sum()
}

/// Divides an amount: to each its exact share, rounded down, and then one unit at a time to the one that is furthest
/// below its exact share.
fn largest_remainder(amount: i128, held: &[i128]) -> Vec<i128> {
    let whole: i128 = held.iter().sum();
    if whole <= 0 {
        return vec![0; held.len()];
    }
    let mut taken: Vec<i128> = held.iter().map(|held| held * amount / whole).collect();
    while taken.iter().sum::<i128>() < amount {
        let owed = |place: usize| held[place] * amount - taken[place] * whole;
        let most = (1..held.len()).fold(0, |most, it| if owed(it) > owed(most) { it } else { most });
        taken[most] += 1;
    }
    taken
}

/// Returns the price of this quantity of a line without tax.
fn price(details: &OrderDetails, line: u32, quantity: u32) -> i128 {
    let unit_price = |line: usize| details.lines.get(line).map(|line| i128::from(line.unit_price.minor()));
    usize::try_from(line).ok().and_then(unit_price).unwrap_or(0) * i128::from(quantity)
}

/// Returns `amount` × `given` / `whole`, rounded half up; zero if `whole` is not positive.
const fn portion(amount: i128, given: i128, whole: i128) -> i128 {
    if whole <= 0 {
        return 0;
    }
    let (quotient, remainder) = (amount * given / whole, amount * given % whole);
    if remainder * 2 >= whole { quotient + 1 } else { quotient }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use dabba_domain::{
        Actor,
        order::{Fulfilment, Refund, RefundLine, RefundReason},
    };
    use dabba_store::conformance::builders::{World, amount};

    use super::*;

    /// Returns the history of an order whose total is captured, with these refunds.
    fn history(is_collected: bool, refunds: &[(RefundBearer, i64)]) -> Vec<RecordedEvent> {
        let refunds: Vec<_> = refunds.iter().map(|(bearer, minor)| (*bearer, *minor, Vec::new())).collect();
        history_of(is_collected, &refunds)
    }

    fn history_of(
        is_collected: bool,
        refunds: &[(RefundBearer, i64, Vec<RefundLine>)],
    ) -> Vec<RecordedEvent> {
        let mut world = World::new(21);
        let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
        let mut details = world.details(restaurant_id, customer_id);
        if is_collected {
            details.fulfilment = Fulfilment::Collection;
        }
        let total = details.amounts.total;
        let commit = world.place_with(details);
        let mut events = commit.change.unwrap().events;
        let mut happen = |event| {
            let last = events.last().unwrap();
            let (order_id, version, at) = (last.order_id, last.version + 1, last.at);
            events.push(RecordedEvent { order_id, version, at, actor: Actor::System, event });
        };
        happen(Event::delivered());
        happen(Event::PaymentCaptured { amount: total });
        for (number, (borne_by, minor, lines)) in (1..).zip(refunds) {
            let (number, reason) = (NonZeroU32::new(number).unwrap(), RefundReason::Late);
            let (amount, borne_by) = (Amount::from_minor(*minor).unwrap(), *borne_by);
            happen(Event::Refunded(Refund {
                number,
                amount,
                lines: lines.clone(),
                taxes: Vec::new(),
                reason,
                note: None,
                borne_by,
                external: None,
            }));
        }
        events
    }

    fn found(events: &[RecordedEvent], postings: &[LedgerPosting]) -> Vec<FindingCode> {
        let mut findings = Findings::of(events[0].order_id);
        compare(events, postings, &mut findings);
        findings.all.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn the_ledger_of_random_refunds_agrees_with_the_auditor() {
        let bearers = [RefundBearer::Restaurant, RefundBearer::Platform, RefundBearer::Everyone];
        let mut world = World::new(22);
        for case in 0..2_000_u32 {
            let mut left = 1_679;
            let mut refunds = Vec::new();
            while left > 0 && refunds.len() < 12 {
                let part = i64::try_from(world.below(600)).unwrap().clamp(1, left);
                left -= part;
                // The domain decides the amount of a refund of lines. The ledger divides any amount.
                let lines = vec![RefundLine { line: 0, quantity: 1 }; usize::from(world.below(4) == 0)];
                refunds.push((bearers[world.below(bearers.len())], part, lines));
            }
            let events = history_of(case % 2 == 0, &refunds);
            assert_eq!(found(&events, &ledger(&events)), [], "{refunds:?}");
        }
    }

    #[test]
    fn every_wrong_entry_is_found() {
        let refunds = [(RefundBearer::Restaurant, 700), (RefundBearer::Everyone, 979)];
        let events = history(false, &refunds);
        let sound = ledger(&events);
        for (place, posting) in sound.iter().enumerate() {
            for entry in 0..posting.entries.len() {
                let mut postings = sound.clone();
                postings[place].entries[entry].amount += 1;
                assert_eq!(found(&events, &postings), [FindingCode::LedgerSum], "{postings:?}");
                let other = (entry + 1) % posting.entries.len();
                postings[place].entries[other].amount -= 1;
                assert_eq!(found(&events, &postings), [FindingCode::LedgerDiffers], "{postings:?}");
            }
            let mut postings = sound.clone();
            postings.remove(place);
            assert_eq!(found(&events, &postings), [FindingCode::LedgerDiffers]);
        }
        let mut postings = sound;
        let mut more = postings[0].clone();
        more.entries = vec![LedgerEntry { account: LedgerAccount::Tax, tax: None, amount: 1 }];
        postings.push(more);
        assert_eq!(found(&events, &postings), [FindingCode::LedgerDiffers]);
    }

    #[test]
    fn portions_are_rounded_half_up() {
        assert_eq!([portion(1, 1, 2), portion(1, 1, 3), portion(2, 1, 3), portion(5, 0, 7)], [1, 0, 1, 0]);
        assert_eq!(portion(amount(5).minor().into(), 1, 0), 0);
    }
}
