//! Violations of orders that are paid by card.

use dabba_domain::{
    Actor,
    order::{
        DeclineReason, Event, ExpiryReason, Order, PaymentStatus, RecordedEvent, Refund, RefundBearer,
        RefundFailureReason, RefundLine, RefundNumber, RefundStatus,
    },
    pricing::{Amounts, TaxShare},
};
use dabba_sim::audit::FindingCode;
use dabba_store::conformance::builders::{amount, customer, reference_of, staff};
use jiff::SignedDuration;

use super::{
    CONSISTENT, DAY, Planted, SOON, TASKS_NOT_DUE, admin, append_event, append_event_after, cancel,
    cancel_at_the_cost_of, change_details, collect, expired, more_than, refund_of, total,
};
use crate::{
    lives::Stage,
    tampering::{Stored, Tamper},
};

const fn plant(code: FindingCode, stage: Stage, tamper: Tamper) -> Planted {
    Planted { code, stage, by_card: true, later: SOON, tamper, gateway: CONSISTENT, lists: TASKS_NOT_DUE }
}

const fn wait(code: FindingCode, stage: Stage, tamper: Tamper) -> Planted {
    Planted { code, stage, by_card: true, later: DAY, tamper, gateway: CONSISTENT, lists: TASKS_NOT_DUE }
}

fn report(stored: &mut Stored, event: Event) {
    append_event(stored, Actor::System, event);
}

fn authorized(order: &Order) -> Event {
    Event::PaymentAuthorized { reference: reference_of(order) }
}

const fn failed() -> Event {
    Event::PaymentFailed { reason: DeclineReason::Other, stock_returned: false }
}

const fn reversed() -> Event {
    Event::RefundReversed { number: RefundNumber::MIN, reason: RefundFailureReason::Other }
}

fn request(stored: &mut Stored, refund: Refund) {
    let actor = staff(&stored.order);
    append_event(stored, actor, Event::RefundRequested(refund));
}

fn request_lines(stored: &mut Stored, number: u32, line: u32, quantity: u32) {
    let lines = vec![RefundLine { line, quantity }];
    request(stored, Refund { lines, ..refund_of(number, amount(100)) });
}

/// Requests a refund of one of the two units of the first line, which cost 450 each, with a tax of 90.
fn request_taxed(stored: &mut Stored, minor: i64, tax: i64) {
    let lines = vec![RefundLine { line: 0, quantity: 1 }];
    let share = TaxShare { tax: stored.order.details.taxes[0].id.clone(), amount: amount(tax) };
    request(stored, Refund { lines, taxes: vec![share], ..refund_of(1, amount(minor)) });
}

/// Returns the refund, borne by everyone, as for an order that ends early.
fn borne_by_everyone(refund: Refund) -> Refund {
    Refund { borne_by: RefundBearer::Everyone, ..refund }
}

/// Removes the last event of a kind, as if it had never happened.
fn remove_last_event(stored: &mut Stored, name: &str) {
    let place = stored.events.iter().rposition(|recorded| recorded.event.name() == name).unwrap();
    stored.events.remove(place);
    for (version, recorded) in (1..).zip(&mut stored.events) {
        recorded.version = version;
    }
    stored.refold();
}

const AFTER_PAYMENT_DEADLINE: SignedDuration = SignedDuration::from_mins(16);

pub(super) const PLANTED: &[Planted] = &[
    plant(FindingCode::StateDiffers, Stage::Confirmed, |stored| stored.order.payment_reference = None),
    plant(FindingCode::StateDiffers, Stage::Delivered, |stored| {
        request(stored, refund_of(1, amount(1)));
        stored.order.refunds.clear();
    }),
    plant(FindingCode::StateDiffers, Stage::Delivered, |stored| {
        request(stored, refund_of(1, amount(1)));
        stored.order.refunds[0].status = RefundStatus::Failed;
    }),
    plant(FindingCode::IllegalMove, Stage::Confirmed, |stored| {
        let acceptance_deadline = stored.order.placed_at;
        report(stored, Event::AcceptanceDue { acceptance_deadline });
    }),
    plant(FindingCode::IllegalMove, Stage::Created, |stored| {
        append_event_after(stored, AFTER_PAYMENT_DEADLINE, Actor::System, expired(ExpiryReason::Restaurant));
        report(stored, Event::PaymentVoided);
    }),
    plant(FindingCode::IllegalActor, Stage::Created, |stored| {
        let actor = customer(&stored.order);
        append_event(stored, actor, failed());
    }),
    plant(FindingCode::IllegalActor, Stage::Delivered, |stored| {
        let actor = customer(&stored.order);
        append_event(stored, actor, Event::RefundRequested(refund_of(1, amount(1))));
    }),
    plant(FindingCode::ExpiredEarly, Stage::Created, |stored| report(stored, expired(ExpiryReason::Payment))),
    plant(FindingCode::MovedAfterEnd, Stage::Cancelled, |stored| {
        let acceptance_deadline = stored.order.acceptance_deadline.unwrap();
        report(stored, Event::AcceptanceDue { acceptance_deadline });
    }),
    plant(FindingCode::ConfirmedUnpaid, Stage::Created, |stored| {
        let acceptance_deadline = stored.order.placed_at + DAY;
        report(stored, Event::Confirmed { acceptance_deadline });
    }),
    plant(FindingCode::IllegalPayment, Stage::Cancelled, |stored| report(stored, failed())),
    plant(FindingCode::IllegalPayment, Stage::Cancelled, |stored| report(stored, Event::PaymentVoided)),
    plant(FindingCode::IllegalPayment, Stage::Confirmed, |stored| {
        // The platform bears an admin's cancellation only after the restaurant has begun.
        let actor = admin(&stored.order);
        cancel_at_the_cost_of(stored, actor, RefundBearer::Platform);
    }),
    plant(FindingCode::IllegalPayment, Stage::Preparing, |stored| {
        let (actor, refund) = (staff(&stored.order), borne_by_everyone(refund_of(1, total(stored))));
        cancel_at_the_cost_of(stored, actor, RefundBearer::Restaurant);
        append_event(
            stored,
            actor,
            Event::RefundRequested(Refund { borne_by: RefundBearer::Restaurant, ..refund }),
        );
    }),
    plant(FindingCode::IllegalPayment, Stage::Preparing, |stored| {
        let (actor, refund) = (admin(&stored.order), borne_by_everyone(refund_of(1, total(stored))));
        cancel_at_the_cost_of(stored, actor, RefundBearer::Platform);
        append_event(stored, actor, Event::RefundRequested(refund));
    }),
    plant(FindingCode::IllegalPayment, Stage::Preparing, |stored| {
        // The platform bears the refund of the admin's own decision, even if the cancellation does not say
        // so.
        let (actor, refund) = (admin(&stored.order), borne_by_everyone(refund_of(1, total(stored))));
        cancel_at_the_cost_of(stored, actor, RefundBearer::Everyone);
        append_event(stored, actor, Event::RefundRequested(refund));
    }),
    plant(FindingCode::IllegalPayment, Stage::Delivered, |stored| {
        // Only an admin may name another bearer than the restaurant for the refund of a delivered order.
        request(stored, borne_by_everyone(refund_of(1, amount(1))));
    }),
    plant(FindingCode::IllegalPayment, Stage::Confirmed, |stored| {
        // Nothing is authorized for a total of zero.
        change_details(stored, |details| {
            for line in &mut details.lines {
                (line.unit_price, line.total) = (amount(0), amount(0));
                line.options.clear();
                line.parts.clear();
            }
            details.fees.clear();
            details.taxes.clear();
            details.amounts = Amounts::default();
        });
    }),
    plant(FindingCode::AuthorizedTwice, Stage::Cancelled, |stored| {
        let event = authorized(&stored.order);
        report(stored, event);
    }),
    plant(FindingCode::AuthorizedTwice, Stage::Confirmed, |stored| {
        let (actor, ready_by) = (staff(&stored.order), stored.order.updated_at + DAY);
        append_event(stored, actor, Event::Accepted { preparation_minutes: 20, ready_by });
        report(stored, Event::PaymentVoided);
        let event = authorized(&stored.order);
        report(stored, event);
    }),
    plant(FindingCode::CapturedUnauthorized, Stage::Cancelled, |stored| {
        collect(stored);
        let refund = borne_by_everyone(refund_of(1, total(stored)));
        report(stored, Event::RefundRequested(refund));
    }),
    plant(FindingCode::CapturedTwice, Stage::Delivered, collect),
    plant(FindingCode::CapturedTooLittle, Stage::Preparing, |stored| {
        stored.events.last_mut().unwrap().event = Event::PaymentCaptured { amount: amount(1) };
        stored.refold();
    }),
    plant(FindingCode::RefundedTooMuch, Stage::Delivered, |stored| {
        let amount = more_than(total(stored));
        request(stored, refund_of(1, amount));
    }),
    plant(FindingCode::RefundedTooMuch, Stage::Delivered, |stored| {
        let all = total(stored);
        request(stored, refund_of(1, amount(1)));
        request(stored, refund_of(2, all));
    }),
    plant(FindingCode::RefundNumber, Stage::Delivered, |stored| request(stored, refund_of(2, amount(1)))),
    plant(FindingCode::RefundUnrequested, Stage::Delivered, |stored| {
        report(stored, Event::Refunded(refund_of(1, amount(1))));
    }),
    plant(FindingCode::RefundUnrequested, Stage::Delivered, |stored| {
        request(stored, refund_of(1, amount(1)));
        report(stored, Event::Refunded(refund_of(1, amount(2))));
    }),
    plant(FindingCode::RefundUnrequested, Stage::Delivered, |stored| {
        request(stored, refund_of(1, amount(1)));
        report(stored, Event::Refunded(refund_of(1, amount(1))));
        report(stored, Event::RefundFailed { number: RefundNumber::MIN, reason: None });
    }),
    plant(FindingCode::RefundUnrequested, Stage::Delivered, |stored| {
        request(stored, refund_of(1, amount(1)));
        report(stored, Event::Refunded(refund_of(1, amount(1))));
        report(stored, reversed());
        stored.events.push(RecordedEvent {
            version: stored.events.last().unwrap().version + 1,
            ..stored.events.last().unwrap().clone()
        });
        stored.order.version += 1;
    }),
    plant(FindingCode::StateDiffers, Stage::Delivered, |stored| {
        request(stored, refund_of(1, amount(1)));
        report(stored, Event::Refunded(refund_of(1, amount(1))));
        report(stored, reversed());
        stored.order.refunded = amount(1);
    }),
    plant(FindingCode::IllegalActor, Stage::Delivered, |stored| {
        request(stored, refund_of(1, amount(1)));
        report(stored, Event::Refunded(refund_of(1, amount(1))));
        let actor = staff(&stored.order);
        append_event(stored, actor, reversed());
    }),
    plant(FindingCode::RefundLines, Stage::Delivered, |stored| request_lines(stored, 1, 0, 3)),
    plant(FindingCode::RefundLines, Stage::Delivered, |stored| request_lines(stored, 1, 2, 1)),
    plant(FindingCode::RefundLines, Stage::Delivered, |stored| request_lines(stored, 1, 0, 0)),
    plant(FindingCode::RefundLines, Stage::Delivered, |stored| {
        request_lines(stored, 1, 1, 1);
        request_lines(stored, 2, 1, 1);
    }),
    plant(FindingCode::RefundTaxes, Stage::Delivered, |stored| request_taxed(stored, 539, 90)),
    plant(FindingCode::RefundTaxes, Stage::Delivered, |stored| request_taxed(stored, 541, 91)),
    plant(FindingCode::MoneyKept, Stage::Confirmed, |stored| {
        collect(stored);
        cancel(stored);
    }),
    plant(FindingCode::PaymentStatus, Stage::Confirmed, |stored| {
        stored.order.payment_status = PaymentStatus::Pending;
    }),
    wait(FindingCode::Unpaid, Stage::Created, |_| {}),
    wait(FindingCode::PaymentOpen, Stage::Confirmed, cancel),
    wait(FindingCode::PaymentOpen, Stage::Created, |stored| {
        let actor = customer(&stored.order);
        cancel_at_the_cost_of(stored, actor, RefundBearer::Everyone);
    }),
    wait(FindingCode::Uncaptured, Stage::Delivered, |stored| remove_last_event(stored, "payment_captured")),
    plant(FindingCode::RefundRefused, Stage::Confirmed, |stored| {
        collect(stored);
        cancel(stored);
        let (actor, refund) = (customer(&stored.order), borne_by_everyone(refund_of(1, total(stored))));
        append_event(stored, actor, Event::RefundRequested(refund.clone()));
        report(stored, Event::Refunded(refund));
        report(stored, reversed());
    }),
    plant(FindingCode::RefundRefused, Stage::Confirmed, |stored| {
        collect(stored);
        cancel(stored);
        let (actor, refund) = (customer(&stored.order), borne_by_everyone(refund_of(1, total(stored))));
        append_event(stored, actor, Event::RefundRequested(refund));
        report(stored, Event::RefundFailed { number: RefundNumber::MIN, reason: None });
    }),
];
