//! Proves that every token behaves as the table says.

use std::{collections::BTreeSet, pin::pin};

use dabba_domain::{
    Money, OrderId,
    order::{DeclineReason, PaymentReport, RefundFailureReason},
};
use dabba_engine::{Clock as _, GatewayAnswer};
use dabba_gateways::simulated::{ledger::Operation, tokens};
use tokio::time::{Instant, timeout};

use super::world::{Step, TOTAL, World, amount, assert_unavailable, order, payment, reported};

/// The expected result of the first authorization calls.
#[derive(Clone, Copy)]
enum Expected {
    Authorized,
    /// The amount differs from the requested amount by this number of minor units.
    AuthorizedMore(i64),
    Declined(DeclineReason),
    Late,
    Pending,
    Lost,
    /// This number of calls fails without effect.
    FailsBefore(u32),
    FailsAfter,
    /// Each call may fail or succeed.
    Anything,
}

const TABLE: &[(&str, Expected)] = &[
    ("tok_succeed", Expected::Authorized),
    ("tok_decline", Expected::Declined(DeclineReason::CardDeclined)),
    ("tok_insufficient_funds", Expected::Declined(DeclineReason::InsufficientFunds)),
    ("tok_expired_card", Expected::Declined(DeclineReason::ExpiredCard)),
    ("tok_fraud", Expected::Declined(DeclineReason::SuspectedFraud)),
    ("tok_slow", Expected::Late),
    ("tok_pending", Expected::Pending),
    ("tok_timeout", Expected::Lost),
    ("tok_timeout_all", Expected::Lost),
    ("tok_error", Expected::FailsBefore(2)),
    ("tok_error_after", Expected::FailsAfter),
    ("tok_error_after_all", Expected::FailsAfter),
    ("tok_flap", Expected::Anything),
    ("tok_refund_fails_late", Expected::Authorized),
    ("tok_authorizes_less", Expected::AuthorizedMore(-10)),
    ("tok_authorizes_more", Expected::AuthorizedMore(10)),
    ("tok_captures_less", Expected::Authorized),
    ("tok_of_another_provider", Expected::Declined(DeclineReason::InvalidToken)),
];

#[test]
fn the_table_has_every_token() {
    let expected: BTreeSet<&str> = TABLE.iter().map(|(token, _)| *token).collect();
    let known: BTreeSet<&str> = tokens::known().collect();
    let missing: Vec<_> = known.difference(&expected).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(TABLE.len(), known.len() + 1, "the table must have exactly one unknown token");
}

#[tokio::test(start_paused = true)]
async fn every_token_behaves_as_the_table_says() {
    check_table(&World::in_process()).await;
}

#[tokio::test]
async fn every_token_behaves_as_the_table_says_over_http() {
    check_table(&World::over_http().await).await;
}

async fn check_table(world: &World) {
    for (index, (token, expected)) in (0..).zip(TABLE) {
        let order_id = order(index);
        check_first_calls(world, order_id, token, *expected).await;
        let report = world.call_until_answered(order_id, Step::Authorize(token)).await;
        let (became, operation) = match *expected {
            Expected::Declined(reason) => (PaymentReport::Declined { reason }, Operation::Decline),
            Expected::AuthorizedMore(more) => (authorized_for(world, order_id, more), Operation::Authorize),
            _ => (authorized(world, order_id), Operation::Authorize),
        };
        let more = if let Expected::AuthorizedMore(more) = *expected { more } else { 0 };
        assert_eq!(report, became, "{token}");
        assert_eq!(world.done(order_id), [(operation, TOTAL + more)], "{token}");
    }
}

async fn check_first_calls(world: &World, order_id: OrderId, token: &'static str, expected: Expected) {
    let call = || world.call(order_id, Step::Authorize(token));
    match expected {
        Expected::Authorized => {
            let answer = call().await;
            assert_eq!(answer, reported(authorized(world, order_id)), "{token}");
        }
        Expected::AuthorizedMore(more) => {
            let answer = call().await;
            assert_eq!(answer, reported(authorized_for(world, order_id, more)), "{token}");
        }
        Expected::Declined(reason) => {
            assert_eq!(call().await, reported(PaymentReport::Declined { reason }), "{token}");
        }
        Expected::Late => {
            let started = Instant::now();
            let answer = call().await;
            assert!(started.elapsed() >= world.delays.answer, "{token}: {:?}", started.elapsed());
            assert_eq!(answer, reported(authorized(world, order_id)), "{token}");
        }
        Expected::Pending => {
            assert_eq!(call().await, Ok(GatewayAnswer::Pending), "{token}");
            assert_eq!(call().await, Ok(GatewayAnswer::Pending), "{token}");
            assert_eq!(world.done(order_id), [], "{token}: a pending payment must have no entry");
        }
        Expected::Lost => {
            let mut lost = pin!(call());
            tokio::select! {
                answer = &mut lost => panic!("{token} must not be answered, but got {answer:?}"),
                () = world.wait_for_entry(order_id) => {}
            }
            assert!(timeout(world.call_timeout, lost).await.is_err(), "{token} must not be answered");
            assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL)], "{token}");
            assert_eq!(call().await, reported(authorized(world, order_id)), "{token}");
        }
        Expected::FailsBefore(times) => {
            for _ in 0..times {
                assert_unavailable(&call().await);
                assert_eq!(world.done(order_id), [], "{token}");
            }
            let answer = call().await;
            assert_eq!(answer, reported(authorized(world, order_id)), "{token}");
        }
        Expected::FailsAfter => {
            assert_unavailable(&call().await);
            assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL)], "{token}");
            assert_eq!(call().await, reported(authorized(world, order_id)), "{token}");
        }
        Expected::Anything => {}
    }
}

fn authorized(world: &World, order_id: OrderId) -> PaymentReport {
    PaymentReport::Authorized { reference: world.reference(order_id) }
}

fn authorized_for(world: &World, order_id: OrderId, more: i64) -> PaymentReport {
    PaymentReport::AuthorizedAmount { reference: world.reference(order_id), money: money(TOTAL + more) }
}

fn money(minor: i64) -> Money {
    let currency = payment(order(1), "authorize", TOTAL).currency;
    Money { amount: amount(minor), currency }
}

/// Verifies which tokens cause faults at later steps, as the table says.
#[tokio::test(start_paused = true)]
async fn only_some_tokens_cause_faults_at_later_steps() {
    let world = World::in_process();
    for (index, token) in (0..).zip(tokens::known()) {
        let order_id = order(index);
        if let PaymentReport::Declined { .. } =
            world.call_until_answered(order_id, Step::Authorize(token)).await
        {
            continue;
        }
        let captured = timeout(world.call_timeout, world.call(order_id, Step::Capture)).await;
        // The amounts that the token authorizes and captures.
        let (authorized, captured_amount) = match token {
            "tok_authorizes_less" => (TOTAL - 10, TOTAL - 10),
            "tok_authorizes_more" => (TOTAL + 10, TOTAL),
            "tok_captures_less" => (TOTAL, TOTAL - 10),
            _ => (TOTAL, TOTAL),
        };
        let reference = world.reference(order_id);
        let report = if captured_amount == TOTAL {
            PaymentReport::Captured { reference }
        } else {
            PaymentReport::CapturedAmount { reference, money: money(captured_amount) }
        };
        match token {
            "tok_flap" => {}
            "tok_timeout_all" => assert!(captured.is_err(), "{captured:?}"),
            "tok_error_after_all" => assert_unavailable(&captured.unwrap()),
            _ => assert_eq!(captured.unwrap(), reported(report), "{token}"),
        }
        world.call_until_answered(order_id, Step::Capture).await;
        let done = [(Operation::Authorize, authorized), (Operation::Capture, captured_amount)];
        assert_eq!(world.done(order_id), done, "{token}");
    }
}

/// Proves that half of the calls fail, about half of them after their effect.
#[tokio::test(start_paused = true)]
async fn a_flapping_token_fails_before_and_after_the_effect() {
    let world = World::in_process();
    let (mut before, mut after) = (0, 0);
    for index in 0..1_000 {
        let order_id = order(index);
        if world.call(order_id, Step::Authorize("tok_flap")).await.is_err() {
            let count = if world.done(order_id).is_empty() { &mut before } else { &mut after };
            *count += 1;
        }
    }
    assert!((200..300).contains(&before), "{before} failed before their effect");
    assert!((200..300).contains(&after), "{after} failed after their effect");
}

/// Proves that with this token the first refund of a payment succeeds at first, fails later and is then
/// reported as failed, and that the next refund succeeds.
#[tokio::test(start_paused = true)]
async fn the_first_refund_fails_late() {
    let world = World::in_process();
    let order_id = order(1);
    world.call(order_id, Step::Authorize("tok_refund_fails_late")).await.unwrap();
    world.call(order_id, Step::Capture).await.unwrap();
    let number = |it: u32| dabba_domain::order::RefundNumber::new(it).unwrap();
    let made = |it| reported(PaymentReport::Refunded { number: number(it) });
    assert_eq!(world.call(order_id, Step::Refund(1, TOTAL)).await, made(1));
    assert_eq!(world.call(order_id, Step::Refund(1, TOTAL)).await, made(1));
    assert_eq!(world.provider.summary(order_id).refunded, TOTAL);
    world.advance_to_decision();
    let reason = RefundFailureReason::CardClosed;
    let failed = PaymentReport::RefundRefused { number: number(1), reason };
    assert_eq!(world.call(order_id, Step::Refund(1, TOTAL)).await, reported(failed));
    assert_eq!(world.call(order_id, Step::Refund(2, TOTAL)).await, made(2));
    world.advance_to_decision();
    assert_eq!(world.call(order_id, Step::Refund(2, TOTAL)).await, made(2));
    let summary = world.provider.summary(order_id);
    assert_eq!((summary.refunded, summary.returned, summary.failed_refunds), (TOTAL, TOTAL, 1));
}

/// Proves that a void covers the whole authorized amount even if it differs from the requested amount, that
/// refunds never exceed the captured amount, and that a retry returns the same amount.
#[tokio::test(start_paused = true)]
async fn voids_and_refunds_use_the_amount_that_moved() {
    let world = World::in_process();
    let (less, captured) = (order(1), order(2));
    let authorized = world.call(less, Step::Authorize("tok_authorizes_less")).await;
    assert_eq!(world.call(less, Step::Authorize("tok_authorizes_less")).await, authorized);
    world.call(less, Step::Void).await.unwrap();
    assert_eq!(world.done(less), [(Operation::Authorize, TOTAL - 10), (Operation::Void, TOTAL - 10)]);
    world.call(captured, Step::Authorize("tok_captures_less")).await.unwrap();
    let first = world.call(captured, Step::Capture).await;
    assert_eq!(world.call(captured, Step::Capture).await, first);
    let number = dabba_domain::order::RefundNumber::MIN;
    let refused = PaymentReport::RefundRefused { number, reason: RefundFailureReason::NothingLeft };
    assert_eq!(world.call(captured, Step::Refund(1, TOTAL)).await, reported(refused));
    let reference = world.reference(captured);
    assert_eq!(world.provider.refund_manually(&reference, amount(TOTAL), world.clock.now()).len(), 1);
    assert_eq!(world.provider.summary(captured).refunded, TOTAL - 10);
}

/// Proves that money that was refunded by hand or is disputed cannot be refunded again, that a chargeback is
/// decided once, and that each of these changes is reported.
#[tokio::test(start_paused = true)]
async fn manual_refunds_and_chargebacks_are_reported_and_counted() {
    let world = World::in_process();
    let order_id = order(1);
    world.call(order_id, Step::Authorize("tok_succeed")).await.unwrap();
    world.call(order_id, Step::Capture).await.unwrap();
    let (provider, now) = (&world.provider, world.clock.now());
    let reference = world.reference(order_id);
    assert_eq!(provider.refund_manually(&reference, amount(600), now).len(), 1);
    assert_eq!(provider.open_chargeback(&reference).len(), 1);
    assert_eq!(provider.open_chargeback(&reference), [], "a chargeback is already open");
    assert_eq!(provider.refund_manually(&reference, amount(1), now), [], "nothing is left");
    let number = dabba_domain::order::RefundNumber::MIN;
    let refused = PaymentReport::RefundRefused { number, reason: RefundFailureReason::NothingLeft };
    assert_eq!(world.call(order_id, Step::Refund(1, 1)).await, reported(refused));
    assert_eq!(provider.close_chargeback(&reference, true, now).len(), 1);
    assert_eq!(provider.close_chargeback(&reference, true, now), [], "the chargeback is already decided");
    assert_eq!(provider.summary(order_id).refunded, 600);
    assert_eq!(provider.open_chargeback(&reference).len(), 1);
    assert_eq!(provider.close_chargeback(&reference, false, now).len(), 1);
    assert_eq!(provider.summary(order_id).refunded, TOTAL);
}
