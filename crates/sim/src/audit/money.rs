//! Checks that the amounts of an order add up, and that the captured and refunded amounts match them.
//!
//! All sums use `i128`, in which sums of amounts cannot overflow. The types guarantee that amounts are not
//! negative and that there is a currency; a store cannot read an order without them.

use dabba_domain::{
    Amount,
    order::{Order, OrderStatus, PaymentMethod, PaymentStatus, RefundLine, RefundState, RefundStatus},
    pricing::OrderLineOption,
};

use super::{FindingCode, Findings, itemization};

pub(super) fn wide(amount: Amount) -> i128 {
    i128::from(amount.minor())
}

/// Checks the amounts of an order. `differs` means that an event records that the payment provider captured
/// another amount than the total.
pub(super) fn check(order: &Order, differs: bool, findings: &mut Findings) {
    check_lines(order, findings);
    check_total(order, findings);
    itemization::check(&order.details, findings);
    let found = findings.all.len();
    check_moved(order, differs, findings);
    if check_refunded_lines(order, findings) {
        itemization::check_refunds(order, findings);
    }
    // If the amounts are wrong, no payment status matches them. The payment status of a card order depends on
    // more than amounts, so it is checked with the events.
    let is_in_cash = order.details.payment_method == PaymentMethod::Cash;
    if is_in_cash && findings.all.len() == found {
        check_payment_status(order, findings);
    }
}

fn check_lines(order: &Order, findings: &mut Findings) {
    for (index, line) in order.details.lines.iter().enumerate() {
        let (unit_price, total) = (wide(line.unit_price), wide(line.total));
        let expected = unit_price * i128::from(line.quantity);
        let charged = |option: &OrderLineOption| {
            wide(option.price) * i128::from(option.charged.or(option.quantity).unwrap_or(1))
        };
        let options: i128 = line.options.iter().map(charged).sum();
        let place = format_args!("line {} ({})", index + 1, line.item);
        if total != expected {
            let text =
                format!("{place} has the total {total}; {} × {unit_price} is {expected}", line.quantity);
            findings.add(FindingCode::LineTotal, text);
        }
        if options > unit_price {
            let text = format!("{place} has the unit price {unit_price}, but its options cost {options}");
            findings.add(FindingCode::LineTotal, text);
        }
    }
}

fn check_total(order: &Order, findings: &mut Findings) {
    let amounts = &order.details.amounts;
    let lines: i128 = order.details.lines.iter().map(|line| wide(line.total)).sum();
    let subtotal = wide(amounts.subtotal);
    if subtotal != lines {
        findings
            .add(FindingCode::Subtotal, format!("the subtotal is {subtotal}; the lines add up to {lines}"));
    }
    let total = wide(amounts.total);
    let fees = wide(amounts.delivery_fee) + wide(amounts.other_fees);
    let parts = subtotal + wide(amounts.tax) + fees + wide(amounts.tip) - wide(amounts.discount);
    if total != parts {
        findings.add(FindingCode::Total, format!("the total is {total}; its parts add up to {parts}"));
    }
}

/// Checks the captured and refunded amounts against the total and the status.
fn check_moved(order: &Order, differs: bool, findings: &mut Findings) {
    let total = wide(order.details.amounts.total);
    let (captured, refunded) = (wide(order.captured), wide(order.refunded));
    let waiting = sum_of(order, RefundStatus::Pending);
    if captured > total && !differs {
        findings.add(FindingCode::CapturedTooMuch, format!("{captured} was captured; the total is {total}"));
    }
    // A refund or chargeback at the provider is not limited by what the order has left.
    let is_all_ours = order.refunds.iter().all(|state| state.refund.external.is_none());
    if is_all_ours && refunded + waiting > captured {
        let text = format!("{refunded} was refunded and {waiting} is pending; {captured} was captured");
        findings.add(FindingCode::RefundedTooMuch, text);
    }
    let ended_early = order.closure.is_some();
    let has_to_be_there = match order.details.payment_method {
        // The person who hands the food over captures the whole total.
        PaymentMethod::Cash => {
            matches!(order.status, OrderStatus::Delivered | OrderStatus::Refunded) && !ended_early
        }
        PaymentMethod::Card => matches!(
            order.payment_status,
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded
        ),
    };
    if has_to_be_there && captured < total && !differs {
        let text = format!("it is {}, but only {captured} of {total} was captured", order.status);
        findings.add(FindingCode::CapturedTooLittle, text);
    }
    let kept = captured - refunded - waiting;
    if ended_early && kept > 0 {
        let refused = sum_of(order, RefundStatus::Failed) + sum_of(order, RefundStatus::Reversed);
        if kept <= refused {
            let text = format!(
                "it was not delivered, {kept} must be refunded, and refunds of {refused} were refused or failed"
            );
            findings.add(FindingCode::RefundRefused, text);
        } else {
            findings
                .add(FindingCode::MoneyKept, format!("it was not delivered, and {kept} must be refunded"));
        }
    }
}

/// Returns the total of the refunds with this status.
fn sum_of(order: &Order, status: RefundStatus) -> i128 {
    let refunds = order.refunds.iter().filter(|state| state.status == status);
    refunds.map(|state| wide(state.refund.amount)).sum()
}

/// Checks refunds of lines against the ordered quantities, and returns whether they are right. Refused and failed
/// refunds do not count.
fn check_refunded_lines(order: &Order, findings: &mut Findings) -> bool {
    let found = findings.all.len();
    let ordered = &order.details.lines;
    let mut refunded = vec![0_i128; ordered.len()];
    let is_back = |status| matches!(status, RefundStatus::Failed | RefundStatus::Reversed);
    let refunds = order.refunds.iter().filter(|state| !is_back(state.status));
    for RefundState { refund, .. } in refunds {
        let number = refund.number;
        for RefundLine { line, quantity } in &refund.lines {
            let place = usize::try_from(*line).unwrap_or(usize::MAX);
            let Some((ordered, refunded)) = ordered.get(place).zip(refunded.get_mut(place)) else {
                let text =
                    format!("refund {number} is for line {line} (counted from 0), which does not exist");
                findings.add(FindingCode::RefundLines, text);
                continue;
            };
            *refunded += i128::from(*quantity);
            if *quantity == 0 || *refunded > i128::from(ordered.quantity) {
                let text = format!(
                    "refund {number} is for {quantity} of line {line}: in total {refunded} of {} ordered",
                    ordered.quantity
                );
                findings.add(FindingCode::RefundLines, text);
            }
        }
    }
    findings.all.len() == found
}

fn check_payment_status(order: &Order, findings: &mut Findings) {
    let (captured, refunded) = (wide(order.captured), wide(order.refunded));
    let handed_over = order.status == OrderStatus::Delivered;
    let expected = if captured == 0 && order.closure.is_some() {
        PaymentStatus::Voided
    } else if captured == 0 && !handed_over {
        PaymentStatus::Pending
    } else if refunded == 0 {
        PaymentStatus::Captured // Also with a total of zero.
    } else if refunded < captured {
        PaymentStatus::PartiallyRefunded
    } else {
        PaymentStatus::Refunded
    };
    if order.payment_status != expected {
        let text = format!(
            "its payment is {}; with {captured} captured, {refunded} refunded and the order {} it should \
             be {expected}",
            order.payment_status, order.status
        );
        findings.add(FindingCode::PaymentStatus, text);
    }
}
