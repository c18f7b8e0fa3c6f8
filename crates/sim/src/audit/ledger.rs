//! The auditor's own books, with which it checks the domain's ledger.
//!
//! The domain records postings. The auditor computes the balance of each account after each event, from the
//! sale and the refunds, and never from the postings.

use std::collections::HashMap;

use dabba_domain::{
    ledger::{LedgerAccount, LedgerPosting, ledger},
    order::{Event, OrderDetails, RecordedEvent, Refund, RefundBearer, RefundNumber},
    pricing::FulfilmentKind,
};

use super::{FindingCode, Findings};

/// Checks the ledger of a history. The history must have no other findings.
pub(super) fn check(events: &[RecordedEvent], findings: &mut Findings) {
    compare(events, &ledger(events), findings);
}

/// The accounts, in the order of the balances.
const ACCOUNTS: [LedgerAccount; 6] = [
    LedgerAccount::Customer,
    LedgerAccount::Refunds,
    LedgerAccount::Restaurant,
    LedgerAccount::Platform,
    LedgerAccount::Courier,
    LedgerAccount::Tax,
];

type Balances = [i128; ACCOUNTS.len()];

fn compare(events: &[RecordedEvent], postings: &[LedgerPosting], findings: &mut Findings) {
    let Some(Event::Placed(details)) = events.first().map(|recorded| &recorded.event) else { return };
    let mut postings = postings.iter();
    let mut books = Books::default();
    let mut taken: HashMap<RefundNumber, Taken> = HashMap::new();
    let mut chargebacks: HashMap<RefundNumber, &Refund> = HashMap::new();
    let mut found: Balances = [0; ACCOUNTS.len()];
    for RecordedEvent { version, event, .. } in events {
        match event {
            Event::PaymentCaptured { amount } => books.sell(details, amount.minor().into()),
            Event::Refunded(refund) => {
                let before = (books.tax, books.bearers);
                books.refund(details, refund);
                taken.insert(refund.number, books.taken_since(before, refund.amount.minor().into()));
            }
            Event::ChargebackOpened(refund) => {
                chargebacks.insert(refund.number, refund);
                continue;
            }
            Event::ChargebackLost { number } => {
                let Some(refund) = chargebacks.get(number) else { continue };
                let before = (books.tax, books.bearers);
                books.refund(details, refund);
                taken.insert(*number, books.taken_since(before, refund.amount.minor().into()));
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
        for (account, balance) in ACCOUNTS.iter().zip(&mut found) {
            let entries = posting.entries.iter().filter(|entry| entry.account == *account);
            *balance += entries.map(|entry| i128::from(entry.amount)).sum::<i128>();
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
    let mut accounts = ACCOUNTS.iter().zip(found.iter().zip(expected));
    let (account, (found, expected)) = accounts.find(|(_, (found, expected))| found != expected)?;
    Some(format!("the balance of {account:?} is {found}; it must be {expected}"))
}

/// The captured and refunded amounts, and the balances of everyone who holds a part.
#[derive(Default)]
struct Books {
    captured: i128,
    refunded: i128,
    tax: i128,
    /// The balances of restaurant, platform and courier, who bear the part of a refund that is not tax.
    bearers: [i128; 3],
}

/// The amount that a refund took: of the tax, of each bearer, and in total.
#[derive(Clone, Copy)]
struct Taken {
    tax: i128,
    bearers: [i128; 3],
    amount: i128,
}

impl Books {
    /// Returns what a refund of this amount took, from the balances before it.
    fn taken_since(&self, (tax, bearers): (i128, [i128; 3]), amount: i128) -> Taken {
        let mut taken = Taken { tax: tax - self.tax, bearers, amount };
        for (taken, left) in taken.bearers.iter_mut().zip(self.bearers) {
            *taken -= left;
        }
        taken
    }

    /// Undoes a refund that failed.
    fn restore(&mut self, taken: Taken) {
        self.tax += taken.tax;
        self.refunded -= taken.amount;
        for (balance, taken) in self.bearers.iter_mut().zip(taken.bearers) {
            *balance += taken;
        }
    }

    fn sell(&mut self, details: &OrderDetails, captured: i128) {
        let amounts = &details.amounts;
        let (fee, tip) = (i128::from(amounts.delivery_fee.minor()), i128::from(amounts.tip.minor()));
        // The restaurant's staff keeps the tip of a collection.
        let tip = if details.fulfilment.kind() == FulfilmentKind::Delivery { tip } else { 0 };
        self.captured = captured;
        self.tax = amounts.tax.minor().into();
        // The platform bears the difference between the captured amount and the total.
        let total = i128::from(amounts.total.minor());
        self.bearers = [total - self.tax - fee - tip, fee + captured - total, tip];
    }

    fn refund(&mut self, details: &OrderDetails, refund: &Refund) {
        let amount = i128::from(refund.amount.minor());
        let left = self.captured - self.refunded - amount;
        let mut tax = if !refund.lines.is_empty() {
            let food: i128 = refund.lines.iter().map(|it| price(details, it.line, it.quantity)).sum();
            amount - food
        } else if refund.borne_by == RefundBearer::Restaurant {
            portion(self.tax, amount, self.tax + self.bearers[0].max(0))
        } else {
            portion(self.tax, amount, self.captured - self.refunded)
        };
        // The tax balance must neither be negative nor exceed what is left of the order.
        tax = tax.max(0);
        if self.tax - tax > left {
            tax = self.tax - left;
        }
        tax = tax.min(self.tax).min(amount);
        self.tax -= tax;
        self.refunded += amount;
        let rest = amount - tax;
        match refund.borne_by {
            RefundBearer::Restaurant => self.bearers[0] -= rest,
            RefundBearer::Platform => self.bearers[1] -= rest,
            RefundBearer::Everyone => self.share(rest),
        }
    }

    /// Takes `rest` from everyone with a positive balance: the exact share of each, rounded down, and then
    /// one unit at a time from the account that is furthest below its exact share.
    fn share(&mut self, rest: i128) {
        let held = self.bearers.map(|balance| balance.max(0));
        let whole: i128 = held.iter().sum();
        if whole <= rest {
            // The bearers hold less than this amount. The platform bears the difference, which was refunded
            // without Dabba.
            for (balance, held) in self.bearers.iter_mut().zip(held) {
                *balance -= held;
            }
            self.bearers[1] -= rest - whole;
            return;
        }
        let mut taken = held.map(|held| held * rest / whole);
        while taken.iter().sum::<i128>() < rest {
            let owed = |place: usize| held[place] * rest - taken[place] * whole;
            let most = (1..held.len()).fold(0, |most, it| if owed(it) > owed(most) { it } else { most });
            taken[most] += 1;
        }
        for (balance, taken) in self.bearers.iter_mut().zip(taken) {
            *balance -= taken;
        }
    }

    const fn balances(&self) -> Balances {
        let [restaurant, platform, courier] = self.bearers;
        [-self.captured, self.refunded, restaurant, platform, courier, self.tax]
    }
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
        Actor, Amount,
        ledger::LedgerEntry,
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
        more.entries = vec![LedgerEntry { account: LedgerAccount::Tax, amount: 1 }];
        postings.push(more);
        assert_eq!(found(&events, &postings), [FindingCode::LedgerDiffers]);
    }

    #[test]
    fn portions_are_rounded_half_up() {
        assert_eq!([portion(1, 1, 2), portion(1, 1, 3), portion(2, 1, 3), portion(5, 0, 7)], [1, 0, 1, 0]);
        assert_eq!(portion(amount(5).minor().into(), 1, 0), 0);
    }
}
