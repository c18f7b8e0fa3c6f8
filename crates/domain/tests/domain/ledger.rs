//! The ledger of an order: for any order and any refunds by any bearer.

use std::fmt::Write as _;

use dabba_domain::{
    ledger::{LedgerAccount, LedgerPosting, ledger},
    order::{
        Command, Event, OrderStatus, PaymentMethod, RefundBearer, RefundLine, RefundReason, RefundRequest,
    },
};
use proptest::prelude::*;

use crate::{
    bill::{Bill, Life, any_bill, any_method},
    common::{admin, amount, customer, delivery, placed, placed_by_card},
    moves::{any_refund, cancel},
    payments::{refund_paid, refused},
};

const ACCOUNTS: [LedgerAccount; 6] = [
    LedgerAccount::Customer,
    LedgerAccount::Refunds,
    LedgerAccount::Restaurant,
    LedgerAccount::Platform,
    LedgerAccount::Courier,
    LedgerAccount::Tax,
];

/// Returns the balance of an account after these postings.
fn balance(postings: &[LedgerPosting], account: LedgerAccount) -> i64 {
    let entries = postings.iter().flat_map(|posting| &posting.entries);
    entries.filter(|entry| entry.account == account).map(|entry| entry.amount).sum()
}

/// Returns the balance of each account after these postings, in the order of [`ACCOUNTS`].
pub(crate) fn balances(postings: &[LedgerPosting]) -> [i64; 6] {
    ACCOUNTS.map(|account| balance(postings, account))
}

fn by(borne_by: RefundBearer, minor: Option<i64>) -> Command {
    let request = RefundRequest::new(minor.map(amount), RefundReason::Quality);
    Command::Refund(RefundRequest { borne_by: Some(borne_by), ..request })
}

/// Gives a refund and, for a card, applies the provider's answer.
fn give_refund(life: &mut Life, command: &Command, agrees: bool) {
    if life.try_give(command, &admin()) {
        let number = life.order.refunds.last().unwrap().refund.number.get();
        life.receive(&if agrees { refund_paid(number) } else { refused(number) });
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

/// Prints the postings of a sale and its refunds as a text that a person can check.
#[test]
fn who_gets_what() {
    let mut text = String::new();
    for (kind, collects) in [("delivery", false), ("collection", true)] {
        for borne_by in RefundBearer::ALL {
            let mut life = bill(collects).delivered();
            give_refund(&mut life, &by(*borne_by, Some(500)), true);
            give_refund(&mut life, &by(*borne_by, None), true);
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
fn an_order_without_a_capture_has_an_empty_ledger() {
    assert_eq!(ledger(&[]), []);
    for placed in [placed(delivery()), placed_by_card(delivery())] {
        let mut life = Life { order: placed.order, history: placed.events };
        assert_eq!(ledger(&life.history), []);
        life.give(&cancel(), &customer());
        assert_eq!(ledger(&life.history), []);
    }
}

/// Proves that refunds of the food's full price that the restaurant bears leave the restaurant and the tax office at
/// zero. The courier and the platform keep their money, because they have done their work.
#[test]
fn a_full_refund_of_the_food_leaves_the_restaurant_at_zero() {
    let mut life = bill(false).delivered();
    let food = life.order.captured.minor() - 250 - 101;
    for minor in [1, 77, food - 78] {
        give_refund(&mut life, &by(RefundBearer::Restaurant, Some(minor)), true);
    }
    let total = life.order.captured.minor();
    assert_eq!(balances(&ledger(&life.history)), [-total, food, 0, 250, 101, 0]);
}

/// Proves that pending and refused refunds are not posted.
#[test]
fn only_money_that_has_moved_is_posted() {
    let mut life = bill(false).delivered();
    let sold = ledger(&life.history);
    life.give(&by(RefundBearer::Platform, Some(100)), &admin());
    assert_eq!(ledger(&life.history), sold);
    life.receive(&refused(1));
    assert_eq!(ledger(&life.history), sold);
    life.give(&by(RefundBearer::Platform, Some(100)), &admin());
    life.receive(&refund_paid(2));
    assert_eq!(ledger(&life.history).len(), 2);
}

/// Proves that the restaurant bears the refund of lines, and that everyone who still holds money bears the rest.
#[test]
fn everyone_bears_only_what_each_account_still_holds() {
    let bill = Bill { lines: vec![(1, 1_000)], delivery_fee: 200, tip: 300, discount: 0, ..bill(false) };
    let mut life = bill.delivered();
    assert_eq!(balances(&ledger(&life.history)), [-1_700, 0, 1_000, 200, 300, 200]);
    let line = vec![RefundLine { line: 0, quantity: 1 }];
    let request = RefundRequest { lines: line, ..RefundRequest::new(None, RefundReason::MissingItem) };
    give_refund(&mut life, &Command::Refund(request), true);
    assert_eq!(balances(&ledger(&life.history)), [-1_700, 1_200, 0, 200, 300, 0]);
    give_refund(&mut life, &by(RefundBearer::Everyone, None), true);
    assert_eq!(balances(&ledger(&life.history)), [-1_700, 1_700, 0, 0, 0, 0]);
}

/// Proves that the unit that rounding leaves over goes to the account with the largest remainder, not to the account that
/// holds most: of 50, 45 5/111, 4 56/111 and 50/111.
#[test]
fn what_rounding_leaves_goes_to_the_largest_remainder() {
    let bill =
        Bill { lines: vec![(1, 100)], tax_rate: 0, delivery_fee: 10, tip: 1, discount: 0, ..bill(false) };
    let mut life = bill.delivered();
    give_refund(&mut life, &by(RefundBearer::Everyone, Some(50)), true);
    assert_eq!(balances(&ledger(&life.history)), [-111, 50, 55, 5, 1, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Proves for any refunds of amounts and of lines, by any bearer, paid or refused:
    /// - each posting sums to zero; the customer paid the captured amount and got back the refunded amount;
    /// - the tax office returns the tax share: for lines the tax on them, and after a full refund all tax;
    /// - a refund that the restaurant or the platform bears changes no other account except the tax account;
    /// - a refund that everyone bears takes from no account more than the account still holds;
    /// - only the restaurant and the platform can have a negative balance, limited to what they bore alone;
    /// - a full refund that everyone bore leaves every account at zero.
    #[test]
    fn the_ledger_of_any_order_balances(
        bill in any_bill(any_method()),
        refunds in proptest::collection::vec((any_refund(), any::<bool>()), 0..12),
        only_everyone in any::<bool>(),
        in_full in proptest::option::of(proptest::sample::select(RefundBearer::ALL)),
    ) {
        let mut life = bill.delivered();
        for (mut request, agrees) in refunds {
            if only_everyone {
                request.borne_by = Some(RefundBearer::Everyone);
            }
            give_refund(&mut life, &Command::Refund(request), agrees);
        }
        if let Some(borne_by) = in_full && life.order.status != OrderStatus::Refunded {
            let borne_by = if only_everyone { RefundBearer::Everyone } else { borne_by };
            give_refund(&mut life, &by(borne_by, None), true);
        }
        let postings = ledger(&life.history);
        let mut owed = [0; 2];
        for (index, posting) in postings.iter().enumerate() {
            prop_assert_eq!(posting.entries.iter().map(|entry| entry.amount).sum::<i64>(), 0);
            prop_assert!(posting.entries.iter().all(|entry| entry.amount != 0));
            let recorded = &life.history[posting.version as usize - 1];
            prop_assert_eq!((recorded.at, recorded.event.name()), (posting.at, posting.event.as_str()));
            let Event::Refunded(refund) = &recorded.event else { continue };
            let (before, after) = (balances(&postings[..index]), balances(&postings[..=index]));
            let [_, _, restaurant, platform, courier, tax] = [0, 1, 2, 3, 4, 5].map(|it| before[it] - after[it]);
            let rest = refund.amount.minor() - tax;
            prop_assert!(tax >= 0 && after[5] >= 0 && after[5] <= after[2..].iter().sum::<i64>());
            match refund.borne_by {
                RefundBearer::Restaurant => {
                    prop_assert_eq!([restaurant, platform, courier], [rest, 0, 0]);
                    owed[0] += rest;
                }
                RefundBearer::Platform => {
                    prop_assert_eq!([restaurant, platform, courier], [0, rest, 0]);
                    owed[1] += rest;
                }
                RefundBearer::Everyone => {
                    for (taken, held) in [restaurant, platform, courier].into_iter().zip(&before[2..5]) {
                        prop_assert!((0..=(*held).max(0)).contains(&taken), "{before:?} to {after:?}");
                    }
                }
            }
            prop_assert!(after[4] >= 0 && after[2] >= -owed[0] && after[3] >= -owed[1]);
        }
        let [customer, refunds, others @ ..] = balances(&postings);
        prop_assert_eq!((customer, refunds), (-life.order.captured.minor(), life.order.refunded.minor()));
        if life.order.status == OrderStatus::Refunded {
            prop_assert_eq!(others[3], 0, "tax");
            prop_assert!(!only_everyone || others == [0; 4], "{others:?}");
        }
        let moved = life.history.iter().filter(|recorded| {
            matches!(recorded.event, Event::PaymentCaptured { .. } | Event::Refunded(_))
        });
        prop_assert_eq!(postings.len(), moved.count());
    }

    /// Proves that a refund that is reversed leaves every account as before: later refunds take the same amounts from the
    /// same accounts as without it.
    #[test]
    fn a_reversed_refund_changes_no_later_posting(
        bill in any_bill(Just(PaymentMethod::Card)),
        reversed in any_refund(),
        later in proptest::collection::vec(any_refund(), 1..4),
    ) {
        let entries = |life: &Life| -> Vec<_> {
            ledger(&life.history).into_iter().map(|posting| posting.entries).collect()
        };
        let (mut with, mut without) = (bill.delivered(), bill.delivered());
        give_refund(&mut with, &Command::Refund(reversed), true);
        with.receive(&refused(1));
        let before = entries(&with).len();
        for request in later {
            give_refund(&mut with, &Command::Refund(request.clone()), true);
            give_refund(&mut without, &Command::Refund(request), true);
        }
        prop_assert_eq!(&entries(&with)[before..], &entries(&without)[1..]);
    }

    /// Proves that a refund of lines returns exactly the tax on the lines, regardless of the bearer.
    #[test]
    fn refunds_of_lines_return_exactly_their_tax(
        bill in any_bill(any_method()).prop_map(|bill| Bill { discount: 0, ..bill }),
        bearers in proptest::collection::vec(proptest::sample::select(RefundBearer::ALL), 20),
    ) {
        let mut life = bill.delivered();
        for ((line, (quantity, price)), borne_by) in (0..).zip(&bill.lines).zip(&bearers) {
            let before = balances(&ledger(&life.history))[5];
            let lines = vec![RefundLine { line, quantity: *quantity }];
            let request = RefundRequest::new(None, RefundReason::WrongItem);
            let request = RefundRequest { lines, borne_by: Some(*borne_by), ..request };
            give_refund(&mut life, &Command::Refund(request), true);
            let amount = life.order.refunds.last().unwrap().refund.amount.minor();
            let returned = before - balances(&ledger(&life.history))[5];
            prop_assert_eq!(returned, amount - i64::from(*quantity) * price);
        }
        prop_assert_eq!(balances(&ledger(&life.history))[5], 0);
    }
}
