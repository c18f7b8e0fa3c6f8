//! Refunds in small and coarse steps: every remaining amount can be refunded.

use dabba_domain::{
    ledger::ledger,
    order::{Command, OrderStatus, RefundBearer, RefundReason, RefundRequest},
};
use proptest::prelude::*;

use crate::{
    bill::{Bill, Life, any_bill, any_method},
    common::{admin, amount},
    ledger::balances,
    moves::any_refund,
    payments::{refund_paid, refused},
};

/// Step in which payment providers accept amounts, in currencies with three decimals.
const STEP: i64 = 10;

/// Gives a refund if the provider accepts its amount, as the engine does, and applies the provider's answer.
fn refund_in_steps(life: &mut Life, command: &Command, agrees: bool) {
    let mut tried = life.clone();
    if !tried.try_give(command, &admin()) {
        return;
    }
    let refund = &tried.order.refunds.last().unwrap().refund;
    let number = refund.number.get();
    if refund.amount.minor() % STEP != 0 {
        return;
    }
    tried.receive(&if agrees { refund_paid(number) } else { refused(number) });
    *life = tried;
}

/// Returns the bill with a total that the provider accepts, by increasing the tip.
fn in_steps(bill: Bill) -> Bill {
    let missing = (STEP - bill.amounts().total.minor() % STEP) % STEP;
    Bill { tip: bill.tip + missing, ..bill }
}

fn request(minor: Option<i64>, borne_by: RefundBearer) -> Command {
    let request = RefundRequest::new(minor.map(amount), RefundReason::Late);
    Command::Refund(RefundRequest { borne_by: Some(borne_by), ..request })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Proves that an order whose total is a multiple of the provider's step can always be refunded in full, after any
    /// refunds of amounts and of lines, paid or failed.
    #[test]
    fn the_remaining_amount_can_be_refunded_at_once(
        bill in any_bill(any_method()),
        refunds in proptest::collection::vec((any_refund(), any::<bool>()), 0..12),
    ) {
        let mut life = in_steps(bill).delivered();
        for (request, agrees) in refunds {
            refund_in_steps(&mut life, &Command::Refund(request), agrees);
            prop_assert_eq!(life.order.refundable().minor() % STEP, 0);
        }
        if life.order.status != OrderStatus::Refunded {
            refund_in_steps(&mut life, &request(None, RefundBearer::Everyone), true);
        }
        prop_assert_eq!(life.order.status, OrderStatus::Refunded);
        prop_assert_eq!(life.order.refunded, life.order.captured);
    }

    /// Proves, for refunds of one minor unit each and any bearers, that every posting sums to zero, that the tax
    /// account ends at zero, and that all accounts together sum to zero.
    #[test]
    fn refunds_of_single_minor_units_balance_the_ledger(
        price in 1_i64..40, tax_rate in 0_u32..3_000, extras in (0_i64..8, 0_i64..8), method in any_method(),
        bearers in proptest::collection::vec(proptest::sample::select(RefundBearer::ALL), 80),
        only_everyone in any::<bool>(),
    ) {
        let (delivery_fee, tip) = extras;
        let bill = Bill { lines: vec![(1, price)], tax_rate, delivery_fee, tip, discount: 0, method, collects: false };
        let mut life = bill.delivered();
        for bearer in bearers {
            let bearer = if only_everyone { RefundBearer::Everyone } else { bearer };
            let before = balances(&ledger(&life.history));
            if !life.try_give(&request(Some(1), bearer), &admin()) {
                break;
            }
            life.receive(&refund_paid(life.order.refunds.last().unwrap().refund.number.get()));
            let after = balances(&ledger(&life.history));
            prop_assert_eq!(after.iter().sum::<i64>(), 0);
            let changed = before[2..].iter().zip(&after[2..]).filter(|(before, after)| before != after);
            prop_assert_eq!(changed.count(), 1, "one minor unit is taken from one account");
        }
        prop_assert_eq!(life.order.status, OrderStatus::Refunded);
        let [_, refunds, others @ ..] = balances(&ledger(&life.history));
        prop_assert_eq!((refunds, others[3]), (life.order.captured.minor(), 0));
        prop_assert!(!only_everyone || others == [0; 4], "{:?}", others);
    }
}

/// Proves that a line whose price is not a multiple of the step cannot be refunded alone, but with the rest of the
/// order, or with other lines if their sum is a multiple.
#[test]
fn a_line_that_is_no_multiple_of_the_step_is_refunded_with_the_rest() {
    use dabba_domain::order::RefundLine;
    let bill = Bill {
        lines: vec![(1, 1_005), (1, 1_005)],
        tax_rate: 0,
        delivery_fee: 0,
        tip: 0,
        discount: 0,
        method: dabba_domain::order::PaymentMethod::Card,
        collects: true,
    };
    let lines = |places: &[u32]| {
        let lines = places.iter().map(|line| RefundLine { line: *line, quantity: 1 }).collect();
        Command::Refund(RefundRequest { lines, ..RefundRequest::new(None, RefundReason::MissingItem) })
    };
    let mut life = bill.delivered();
    refund_in_steps(&mut life, &lines(&[0]), true);
    assert_eq!(life.order.refunded, amount(0));
    let mut both = life.clone();
    refund_in_steps(&mut both, &lines(&[0, 1]), true);
    assert_eq!(both.order.status, OrderStatus::Refunded);
    refund_in_steps(&mut life, &request(Some(1_000), RefundBearer::Restaurant), true);
    refund_in_steps(&mut life, &request(None, RefundBearer::Restaurant), true);
    assert_eq!(life.order.status, OrderStatus::Refunded);
}
