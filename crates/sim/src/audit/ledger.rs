//! Whose the money of an order is: the auditor's own books, against which the domain's ledger is held.
//!
//! The domain adds postings up. The auditor says what each account has after each event, by what was
//! collected and by how much was given back out of whose pocket so far, and never by what it said before.

use dabba_domain::{
    ledger::{LedgerAccount, LedgerPosting, ledger},
    order::{Event, OrderDetails, RecordedEvent, RefundBearer},
    pricing::FulfilmentKind,
};

use super::{Code, Findings};

/// Compares the ledger of a history. To be asked only of one that is sound.
pub(super) fn check(events: &[RecordedEvent], findings: &mut Findings) {
    compare(events, &ledger(events), findings);
}

/// The accounts, in the order in which balances stand.
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
    let mut given = Given::default();
    let mut found: Balances = [0; ACCOUNTS.len()];
    for RecordedEvent { version, event, .. } in events {
        match event {
            Event::PaymentCaptured { amount } => given.captured = amount.minor().into(),
            Event::Refunded(refund) => {
                let amount = i128::from(refund.amount.minor());
                *match refund.borne_by {
                    RefundBearer::Restaurant => &mut given.by_restaurant,
                    RefundBearer::Platform => &mut given.by_platform,
                    RefundBearer::Everyone => &mut given.by_everyone,
                } += amount;
            }
            _ => continue,
        }
        let Some(posting) = postings.next().filter(|posting| posting.version == *version) else {
            let text = format!("the ledger says nothing of event {version}, {}", event.name());
            return findings.add(Code::LedgerDiffers, text);
        };
        let sum: i128 = posting.entries.iter().map(|entry| i128::from(entry.amount)).sum();
        if sum != 0 {
            let text = format!("the entries of event {version} make {sum}");
            return findings.add(Code::LedgerSum, text);
        }
        for (account, balance) in ACCOUNTS.iter().zip(&mut found) {
            let entries = posting.entries.iter().filter(|entry| entry.account == *account);
            *balance += entries.map(|entry| i128::from(entry.amount)).sum::<i128>();
        }
        let expected = balances(details, &given);
        if let Some(text) = difference(&found, &expected) {
            return findings.add(Code::LedgerDiffers, format!("after event {version} {text}"));
        }
    }
    if let Some(posting) = postings.next() {
        let text = format!("the ledger speaks of event {}, which moves no money", posting.version);
        findings.add(Code::LedgerDiffers, text);
    }
}

fn difference(found: &Balances, expected: &Balances) -> Option<String> {
    let mut accounts = ACCOUNTS.iter().zip(found.iter().zip(expected));
    let (account, (found, expected)) = accounts.find(|(_, (found, expected))| found != expected)?;
    Some(format!("the ledger gives {account:?} {found}; it is {expected}"))
}

/// What was collected, and what of it was given back, by who bears it.
#[derive(Default)]
struct Given {
    captured: i128,
    by_restaurant: i128,
    by_platform: i128,
    by_everyone: i128,
}

/// What every account has when so much was collected and given back.
fn balances(details: &OrderDetails, given: &Given) -> Balances {
    let amounts = &details.amounts;
    let (total, tax) = (i128::from(amounts.total.minor()), i128::from(amounts.tax.minor()));
    let (fee, tip) = (i128::from(amounts.delivery_fee.minor()), i128::from(amounts.tip.minor()));
    // The staff keeps the tip of what the customer collects.
    let tip = if details.fulfilment.kind() == FulfilmentKind::Delivery { tip } else { 0 };
    let Given { captured, by_restaurant, by_platform, by_everyone } = *given;
    // What the restaurant gives back is of its food, with the tax on that.
    let food_and_tax = total - fee - tip;
    let returned_tax = portion(tax, by_restaurant, food_and_tax) + portion(tax, by_everyone, total);
    let tax = tax - returned_tax.min(tax);
    let platform = fee - by_platform - portion(fee, by_everyone, total);
    let courier = tip - portion(tip, by_everyone, total);
    let refunded = by_restaurant + by_platform + by_everyone;
    // Everything else is the restaurant's, with what rounding leaves.
    let restaurant = captured - refunded - tax - platform - courier;
    [-captured, refunded, restaurant, platform, courier, tax]
}

/// `amount` × `given` / `whole`, rounded half up; nothing of nothing.
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
        order::{Fulfilment, Refund, RefundReason},
    };
    use dabba_store::conformance::builders::{World, amount};

    use super::*;

    /// An order of which all is collected, and given back by these in these parts.
    fn history(is_collected: bool, refunds: &[(RefundBearer, i64)]) -> Vec<RecordedEvent> {
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
        happen(Event::Delivered);
        happen(Event::PaymentCaptured { amount: total });
        for (number, (borne_by, minor)) in (1..).zip(refunds) {
            let (number, reason) = (NonZeroU32::new(number).unwrap(), RefundReason::Late);
            let (amount, borne_by) = (Amount::from_minor(*minor).unwrap(), *borne_by);
            happen(Event::Refunded(Refund {
                number,
                amount,
                lines: Vec::new(),
                reason,
                note: None,
                borne_by,
            }));
        }
        events
    }

    fn found(events: &[RecordedEvent], postings: &[LedgerPosting]) -> Vec<Code> {
        let mut findings = Findings::of(events[0].order_id);
        compare(events, postings, &mut findings);
        findings.all.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn the_ledger_of_what_anyone_gives_back_in_any_parts_is_the_auditors() {
        let bearers = [RefundBearer::Restaurant, RefundBearer::Platform, RefundBearer::Everyone];
        let mut world = World::new(22);
        for case in 0..2_000_u32 {
            let mut left = 1_679;
            let mut refunds = Vec::new();
            while left > 0 && refunds.len() < 12 {
                let part = i64::try_from(world.below(600)).unwrap().clamp(1, left);
                left -= part;
                refunds.push((bearers[world.below(bearers.len())], part));
            }
            let events = history(case % 2 == 0, &refunds);
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
                assert_eq!(found(&events, &postings), [Code::LedgerSum], "{postings:?}");
                let other = (entry + 1) % posting.entries.len();
                postings[place].entries[other].amount -= 1;
                assert_eq!(found(&events, &postings), [Code::LedgerDiffers], "{postings:?}");
            }
            let mut postings = sound.clone();
            postings.remove(place);
            assert_eq!(found(&events, &postings), [Code::LedgerDiffers]);
        }
        let mut postings = sound;
        let mut more = postings[0].clone();
        more.entries = vec![LedgerEntry { account: LedgerAccount::Tax, amount: 1 }];
        postings.push(more);
        assert_eq!(found(&events, &postings), [Code::LedgerDiffers]);
    }

    #[test]
    fn portions_are_rounded_half_up() {
        assert_eq!([portion(1, 1, 2), portion(1, 1, 3), portion(2, 1, 3), portion(5, 0, 7)], [1, 0, 1, 0]);
        assert_eq!(portion(amount(5).minor().into(), 1, 0), 0);
    }
}
