//! Whose an order's money is: for any order, and any refunds at anybody's cost.

use std::fmt::Write as _;

use dabba_domain::{
    ledger::{LedgerAccount, LedgerPosting, ledger},
    order::{Command, Event, PaymentMethod, RefundBearer, RefundReason, RefundRequest},
};
use proptest::prelude::*;

use crate::{
    bill::{Bill, Life, any_bill, any_method},
    common::{admin, amount, customer, delivery, placed, placed_by_card},
    moves::{any_refund, cancel},
    payments::{paid_back, refused},
};

const ACCOUNTS: [LedgerAccount; 6] = [
    LedgerAccount::Customer,
    LedgerAccount::Refunds,
    LedgerAccount::Restaurant,
    LedgerAccount::Platform,
    LedgerAccount::Courier,
    LedgerAccount::Tax,
];

/// What an account has after these postings.
fn balance(postings: &[LedgerPosting], account: LedgerAccount) -> i64 {
    let entries = postings.iter().flat_map(|posting| &posting.entries);
    entries.filter(|entry| entry.account == account).map(|entry| entry.amount).sum()
}

fn balances(postings: &[LedgerPosting]) -> [i64; 6] {
    ACCOUNTS.map(|account| balance(postings, account))
}

fn by(borne_by: RefundBearer, minor: Option<i64>) -> Command {
    let request = RefundRequest::new(minor.map(amount), RefundReason::Quality);
    Command::Refund(RefundRequest { borne_by: Some(borne_by), ..request })
}

/// Gives a refund, by card with the provider's answer.
fn give_back(life: &mut Life, command: &Command, agrees: bool) {
    if life.try_to(command, &admin()) {
        let number = life.order.refunds.last().unwrap().refund.number.get();
        life.hear(&if agrees { paid_back(number) } else { refused(number) });
    }
}

fn bill(collects: bool) -> Bill {
    Bill {
        lines: vec![(2, 650), (1, 333)],
        tax_rate: 2_000,
        delivery_fee: if collects { 0 } else { 250 },
        tip: 101,
        discount: 33,
        method: PaymentMethod::Card,
        collects,
    }
}

/// Who gets what of a sale, and who gives what back, as a text that a person can check.
#[test]
fn who_gets_what() {
    let mut text = String::new();
    for (kind, collects) in [("delivery", false), ("collection", true)] {
        for borne_by in RefundBearer::ALL {
            let mut life = bill(collects).delivered();
            give_back(&mut life, &by(*borne_by, Some(500)), true);
            give_back(&mut life, &by(*borne_by, None), true);
            writeln!(text, "{kind}, refunds borne by {borne_by}").unwrap();
            for posting in ledger(&life.history) {
                let entries: Vec<_> =
                    posting.entries.iter().map(|it| format!("{:?} {:+}", it.account, it.amount)).collect();
                writeln!(text, "  {} {}: {}", posting.version, posting.event, entries.join(", ")).unwrap();
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_order_of_which_nothing_was_collected_has_an_empty_ledger() {
    assert_eq!(ledger(&[]), []);
    for placed in [placed(delivery()), placed_by_card(delivery())] {
        let mut life = Life { order: placed.order, history: placed.events };
        assert_eq!(ledger(&life.history), []);
        life.give(&cancel(), &customer());
        assert_eq!(ledger(&life.history), []);
    }
}

/// Food that the restaurant gives back is given back with its tax; the courier and the platform have done
/// their work.
#[test]
fn food_given_back_by_the_restaurant_leaves_it_nothing() {
    let mut life = bill(false).delivered();
    let food = life.order.captured.minor() - 250 - 101;
    for minor in [1, 77, food - 78] {
        give_back(&mut life, &by(RefundBearer::Restaurant, Some(minor)), true);
    }
    let total = life.order.captured.minor();
    assert_eq!(balances(&ledger(&life.history)), [-total, food, 0, 250, 101, 0]);
}

/// What is asked for, or was refused, has not moved.
#[test]
fn only_money_that_has_moved_is_posted() {
    let mut life = bill(false).delivered();
    let sold = ledger(&life.history);
    life.give(&by(RefundBearer::Platform, Some(100)), &admin());
    assert_eq!(ledger(&life.history), sold);
    life.hear(&refused(1));
    assert_eq!(ledger(&life.history), sold);
    life.give(&by(RefundBearer::Platform, Some(100)), &admin());
    life.hear(&paid_back(2));
    assert_eq!(ledger(&life.history).len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Each posting sums to zero, the customer has paid what was collected and has back what was refunded,
    /// nobody but the restaurant and the platform ever owes anything, and tax is never given back twice.
    #[test]
    fn the_ledger_of_any_order_is_in_balance(
        bill in any_bill(any_method()),
        refunds in proptest::collection::vec((any_refund(), any::<bool>()), 0..12),
    ) {
        let mut life = bill.delivered();
        for (request, agrees) in refunds {
            give_back(&mut life, &Command::Refund(request), agrees);
        }
        let postings = ledger(&life.history);
        for (index, posting) in postings.iter().enumerate() {
            prop_assert_eq!(posting.entries.iter().map(|entry| entry.amount).sum::<i64>(), 0);
            prop_assert!(posting.entries.iter().all(|entry| entry.amount != 0));
            let recorded = &life.history[posting.version as usize - 1];
            prop_assert_eq!((recorded.at, recorded.event.name()), (posting.at, posting.event));
            let so_far = &postings[..=index];
            prop_assert!(balance(so_far, LedgerAccount::Tax) >= 0);
            prop_assert!(balance(so_far, LedgerAccount::Courier) >= 0);
        }
        prop_assert_eq!(balance(&postings, LedgerAccount::Customer), -life.order.captured.minor());
        prop_assert_eq!(balance(&postings, LedgerAccount::Refunds), life.order.refunded.minor());
        let moved = life.history.iter().filter(|recorded| {
            matches!(recorded.event, Event::PaymentCaptured { .. } | Event::Refunded(_))
        });
        prop_assert_eq!(postings.len(), moved.count());
    }

    /// In however many parts a sale is undone, in the end nobody keeps a penny and nobody lacks one; and on
    /// the way nobody gives back what they never got.
    #[test]
    fn a_sale_that_is_undone_leaves_nobody_anything(
        bill in any_bill(any_method()),
        parts in proptest::collection::vec(1_i64..500, 0..12),
    ) {
        let mut life = bill.delivered();
        let sold = balances(&ledger(&life.history));
        for part in parts {
            give_back(&mut life, &by(RefundBearer::Everyone, Some(part)), true);
            let held = balances(&ledger(&life.history));
            for account in 3..6 {
                prop_assert!((0..=sold[account]).contains(&held[account]), "{:?}", ACCOUNTS[account]);
            }
        }
        give_back(&mut life, &by(RefundBearer::Everyone, None), true);
        let total = life.order.captured.minor();
        prop_assert_eq!(balances(&ledger(&life.history)), [-total, total, 0, 0, 0, 0]);
    }

    /// The platform's goodwill costs nobody else anything.
    #[test]
    fn what_the_platform_bears_it_bears_alone(
        bill in any_bill(any_method()),
        parts in proptest::collection::vec(1_i64..500, 1..6),
    ) {
        let mut life = bill.delivered();
        let mut expected = balances(&ledger(&life.history));
        for part in parts {
            give_back(&mut life, &by(RefundBearer::Platform, Some(part)), true);
        }
        expected[1] = life.order.refunded.minor();
        expected[3] -= life.order.refunded.minor();
        prop_assert_eq!(balances(&ledger(&life.history)), expected);
    }
}
