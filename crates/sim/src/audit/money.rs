//! Whether the amounts of an order add up, and the money that moved fits them.
//!
//! All sums are made in `i128`, where what fits an amount cannot overflow. That amounts are not negative
//! and that there is a currency, their types say: a store cannot read an order without it.

use dabba_domain::{
    Amount,
    order::{Order, OrderStatus, PaymentMethod, PaymentStatus, RefundLine, RefundState, RefundStatus},
};

use super::{Code, Findings};

fn wide(amount: Amount) -> i128 {
    i128::from(amount.minor())
}

/// `differs` says that the payment provider captured something else than the total, and that this is recorded.
pub(super) fn check(order: &Order, differs: bool, findings: &mut Findings) {
    check_lines(order, findings);
    check_total(order, findings);
    let found = findings.all.len();
    check_moved(order, differs, findings);
    check_refunded_lines(order, findings);
    // Where the amounts are wrong, no payment status fits them. That of a payment by card is more than
    // amounts say: it is judged by the events.
    let is_in_cash = order.details.payment_method == PaymentMethod::Cash;
    if is_in_cash && findings.all.len() == found {
        check_payment_status(order, findings);
    }
}

fn check_lines(order: &Order, findings: &mut Findings) {
    for (index, line) in order.details.lines.iter().enumerate() {
        let (unit_price, total) = (wide(line.unit_price), wide(line.total));
        let expected = unit_price * i128::from(line.quantity);
        let options: i128 = line.options.iter().map(|option| wide(option.price)).sum();
        let place = format_args!("line {} ({})", index + 1, line.item);
        if total != expected {
            let text =
                format!("{place} has the total {total}; {} at {unit_price} make {expected}", line.quantity);
            findings.add(Code::LineTotal, text);
        }
        if options > unit_price {
            let text = format!("{place}: one costs {unit_price}, its options alone {options}");
            findings.add(Code::LineTotal, text);
        }
    }
}

fn check_total(order: &Order, findings: &mut Findings) {
    let amounts = &order.details.amounts;
    let lines: i128 = order.details.lines.iter().map(|line| wide(line.total)).sum();
    let subtotal = wide(amounts.subtotal);
    if subtotal != lines {
        findings.add(Code::Subtotal, format!("the subtotal is {subtotal}; the lines make {lines}"));
    }
    let total = wide(amounts.total);
    let parts = subtotal + wide(amounts.tax) + wide(amounts.delivery_fee) + wide(amounts.tip)
        - wide(amounts.discount);
    if total != parts {
        findings.add(Code::Total, format!("the total is {total}; its parts make {parts}"));
    }
}

/// Whether what was collected and given back fits the total and the status.
fn check_moved(order: &Order, differs: bool, findings: &mut Findings) {
    let total = wide(order.details.amounts.total);
    let (captured, refunded) = (wide(order.captured), wide(order.refunded));
    let waiting = sum_of(order, RefundStatus::Pending);
    if captured > total && !differs {
        findings.add(Code::CapturedTooMuch, format!("{captured} was collected; the total is {total}"));
    }
    // What goes back at the provider without Dabba asks nobody what is left.
    let is_all_ours = order.refunds.iter().all(|state| state.refund.external.is_none());
    if is_all_ours && refunded + waiting > captured {
        let text = format!("{refunded} was given back, {waiting} is about to be; {captured} was collected");
        findings.add(Code::RefundedTooMuch, text);
    }
    let ended_early = order.closure.is_some();
    let has_to_be_there = match order.details.payment_method {
        // Whoever hands the food over collects it, all of it.
        PaymentMethod::Cash => {
            matches!(order.status, OrderStatus::Delivered | OrderStatus::Refunded) && !ended_early
        }
        PaymentMethod::Card => matches!(
            order.payment_status,
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded
        ),
    };
    if has_to_be_there && captured < total && !differs {
        let text = format!("it is {}, and {captured} of {total} was collected", order.status);
        findings.add(Code::CapturedTooLittle, text);
    }
    let kept = captured - refunded - waiting;
    if ended_early && kept > 0 {
        let refused = sum_of(order, RefundStatus::Failed) + sum_of(order, RefundStatus::Reversed);
        if kept <= refused {
            let text =
                format!("it was not delivered, {kept} has to be given back, and {refused} was refused");
            findings.add(Code::RefundRefused, text);
        } else {
            findings.add(Code::MoneyKept, format!("it was not delivered, and {kept} has to be given back"));
        }
    }
}

/// What the refunds come to that are this far.
fn sum_of(order: &Order, status: RefundStatus) -> i128 {
    let refunds = order.refunds.iter().filter(|state| state.status == status);
    refunds.map(|state| wide(state.refund.amount)).sum()
}

/// Whether refunds of certain lines are of what was ordered. What was refused or has failed does not count.
fn check_refunded_lines(order: &Order, findings: &mut Findings) {
    let ordered = &order.details.lines;
    let mut refunded = vec![0_i128; ordered.len()];
    let is_back = |status| matches!(status, RefundStatus::Failed | RefundStatus::Reversed);
    let refunds = order.refunds.iter().filter(|state| !is_back(state.status));
    for RefundState { refund, .. } in refunds {
        let number = refund.number;
        for RefundLine { line, quantity } in &refund.lines {
            let place = usize::try_from(*line).unwrap_or(usize::MAX);
            let Some((ordered, refunded)) = ordered.get(place).zip(refunded.get_mut(place)) else {
                let text = format!("refund {number} is for line {line}, counted from 0; there is none");
                findings.add(Code::RefundLines, text);
                continue;
            };
            *refunded += i128::from(*quantity);
            if *quantity == 0 || *refunded > i128::from(ordered.quantity) {
                let text = format!(
                    "refund {number} is for {quantity} of line {line}; that makes {refunded} of {} ordered",
                    ordered.quantity
                );
                findings.add(Code::RefundLines, text);
            }
        }
    }
}

fn check_payment_status(order: &Order, findings: &mut Findings) {
    let (captured, refunded) = (wide(order.captured), wide(order.refunded));
    let handed_over = order.status == OrderStatus::Delivered;
    let expected = if captured == 0 && order.closure.is_some() {
        PaymentStatus::Voided
    } else if captured == 0 && !handed_over {
        PaymentStatus::Pending
    } else if refunded == 0 {
        PaymentStatus::Captured // Nothing too, where the total is nothing.
    } else if refunded < captured {
        PaymentStatus::PartiallyRefunded
    } else {
        PaymentStatus::Refunded
    };
    if order.payment_status != expected {
        let text = format!(
            "its payment is {}; with {captured} collected, {refunded} given back and the order {} it should \
             be {expected}",
            order.payment_status, order.status
        );
        findings.add(Code::PaymentStatus, text);
    }
}
