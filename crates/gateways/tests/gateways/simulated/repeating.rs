//! Tests of idempotency keys: a retry has no further effect, and a different request with the same key is
//! refused.

use dabba_domain::{
    Currency,
    order::{DeclineReason, PaymentReport, RefundFailureReason},
};
use dabba_engine::GatewayAnswer;
use dabba_gateways::simulated::{
    ledger::{Operation, Summary},
    tokens,
};

use super::world::{
    Step, TOTAL, World, amount, assert_refused, number, order, payment, reference, reported, token,
};

/// Number of retries after a step was answered.
const REPEATS: u32 = 3;

#[tokio::test(start_paused = true)]
async fn every_step_has_one_effect() {
    check_steps_have_one_effect(&World::in_process()).await;
}

#[tokio::test]
async fn every_step_has_one_effect_over_http() {
    check_steps_have_one_effect(&World::over_http().await).await;
}

async fn check_steps_have_one_effect(world: &World) {
    for (index, name) in (0..).zip(tokens::exact()) {
        let order_id = order(index);
        let first = world.call_until_answered(order_id, Step::Authorize(name)).await;
        for _ in 0..REPEATS {
            assert_eq!(world.call_until_answered(order_id, Step::Authorize(name)).await, first, "{name}");
        }
        if let PaymentReport::Declined { .. } = first {
            assert_eq!(world.done(order_id), [(Operation::Decline, TOTAL)], "{name}");
            continue;
        }
        let captured = PaymentReport::Captured { reference: world.reference(order_id) };
        let steps = [
            (Step::Capture, captured.clone()),
            (Step::Refund(1, 1_000), PaymentReport::Refunded { number: number(1) }),
            (
                Step::Refund(2, 1_501),
                PaymentReport::RefundRefused { number: number(2), reason: RefundFailureReason::NothingLeft },
            ),
            (Step::Refund(3, 1_500), PaymentReport::Refunded { number: number(3) }),
            (
                Step::Refund(4, 1),
                PaymentReport::RefundRefused { number: number(4), reason: RefundFailureReason::NothingLeft },
            ),
            (Step::Void, captured.clone()),
            (Step::Authorize(name), captured),
        ];
        for (step, report) in &steps {
            for _ in 0..=REPEATS {
                assert_eq!(&world.call_until_answered(order_id, *step).await, report, "{name}: {step:?}");
            }
        }
        let done = [
            (Operation::Authorize, TOTAL),
            (Operation::Capture, TOTAL),
            (Operation::Refund, 1_000),
            (Operation::Refund, 1_500),
        ];
        assert_eq!(world.done(order_id), done, "{name}");
        let summary = Summary {
            authorized: TOTAL,
            captured: TOTAL,
            refunded: TOTAL,
            authorizations: 1,
            captures: 1,
            refunds: 2,
            ..Summary::default()
        };
        assert_eq!(world.provider.summary(order_id), summary, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_voided_payment_stays_voided() {
    let world = World::in_process();
    let order_id = order(1);
    world.call_until_answered(order_id, Step::Authorize("tok_succeed")).await;
    let voided = PaymentReport::Voided { reference: world.reference(order_id) };
    for step in [Step::Void, Step::Void, Step::Capture, Step::Authorize("tok_succeed"), Step::Capture] {
        assert_eq!(world.call_until_answered(order_id, step).await, voided, "{step:?}");
    }
    let refused =
        PaymentReport::RefundRefused { number: number(1), reason: RefundFailureReason::NothingLeft };
    assert_eq!(world.call_until_answered(order_id, Step::Refund(1, 1)).await, refused);
    assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL), (Operation::Void, TOTAL)]);
}

/// A capture of a pending payment is pending too. A retry with the same key captures after the decision.
#[tokio::test(start_paused = true)]
async fn an_early_capture_can_be_retried() {
    let world = World::in_process();
    let order_id = order(1);
    let pending = Ok(GatewayAnswer::Pending);
    assert_eq!(world.call(order_id, Step::Authorize("tok_pending")).await, pending);
    assert_eq!(world.call(order_id, Step::Capture).await, pending);
    world.advance_to_decision();
    let captured = PaymentReport::Captured { reference: world.reference(order_id) };
    assert_eq!(world.call(order_id, Step::Capture).await, reported(captured));
    assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL), (Operation::Capture, TOTAL)]);
}

/// Proves that a payment that is voided while it is pending is not authorized later.
#[tokio::test(start_paused = true)]
async fn a_pending_payment_can_be_voided() {
    let world = World::in_process();
    let order_id = order(1);
    assert_eq!(world.call(order_id, Step::Authorize("tok_pending")).await, Ok(GatewayAnswer::Pending));
    let voided = PaymentReport::Voided { reference: world.reference(order_id) };
    assert_eq!(world.call(order_id, Step::Void).await, reported(voided.clone()));
    world.advance_to_decision();
    assert_eq!(world.call(order_id, Step::Authorize("tok_pending")).await, reported(voided));
    assert_eq!(world.done(order_id), [(Operation::Void, TOTAL)]);
}

#[tokio::test(start_paused = true)]
async fn a_reused_key_is_refused() {
    check_refusals(&World::in_process()).await;
}

#[tokio::test]
async fn a_reused_key_is_refused_over_http() {
    check_refusals(&World::over_http().await).await;
}

async fn check_refusals(world: &World) {
    let (order_id, other_order) = (order(1), order(2));
    world.call_until_answered(order_id, Step::Authorize("tok_succeed")).await;
    world.call_until_answered(order_id, Step::Capture).await;
    world.call_until_answered(order_id, Step::Refund(1, 1_000)).await;
    world.call_until_answered(other_order, Step::Authorize("tok_succeed")).await;
    let before = (world.done(order_id), world.done(other_order));
    let (gateway, own) = (&world.gateway, world.reference(order_id));
    let succeed = token("tok_succeed");
    let authorization = payment(order_id, "authorize", TOTAL);

    // The same key with another amount, currency, order, token or step.
    let mut changed = authorization.clone();
    changed.amount = amount(TOTAL + 1);
    assert_refused(&gateway.authorize(&changed, &succeed).await);
    let mut changed = authorization.clone();
    changed.currency = Currency::from_code("EUR").unwrap();
    assert_refused(&gateway.authorize(&changed, &succeed).await);
    let mut changed = authorization.clone();
    changed.order_id = other_order;
    assert_refused(&gateway.authorize(&changed, &succeed).await);
    assert_refused(&gateway.authorize(&authorization, &token("tok_slow")).await);
    assert_refused(&gateway.capture(&authorization, &own).await);
    assert_refused(&gateway.void(&payment(order_id, "capture", TOTAL), &own).await);
    assert_refused(&gateway.refund(&payment(order_id, "refund-1", 1_000), &own, number(2)).await);
    assert_refused(&gateway.refund(&payment(order_id, "refund-1", 999), &own, number(1)).await);

    // A new key with data that does not match the payment.
    assert_refused(&gateway.void(&payment(order_id, "void", TOTAL - 1), &own).await);
    assert_refused(&gateway.void(&payment(other_order, "void", TOTAL), &own).await);
    assert_refused(&gateway.void(&payment(order_id, "void", TOTAL), &reference("pay_unknown")).await);
    // The provider never accepts an amount of zero. The answer is a refused refund or a decline.
    let (refused, declined) = (
        PaymentReport::RefundRefused { number: number(2), reason: RefundFailureReason::NotAccepted },
        PaymentReport::Declined { reason: DeclineReason::NotAccepted },
    );
    let answer = gateway.refund(&payment(order_id, "refund-2", 0), &own, number(2)).await;
    assert_eq!(answer, reported(refused));
    let answer = gateway.authorize(&payment(order(3), "authorize", 0), &succeed).await;
    assert_eq!(answer, reported(declined));
    assert_refused(&gateway.authorize(&payment(order(3), "a key", TOTAL), &succeed).await);

    assert_eq!((world.done(order_id), world.done(other_order)), before, "a refused call must have no effect");
    assert_eq!(world.done(order(3)), []);
    // A key whose call was refused because of other data can still be used.
    let captured = PaymentReport::Captured { reference: own };
    assert_eq!(world.call(order_id, Step::Void).await, reported(captured));
}

/// Proves that the key identifies a payment: a caller who uses a new key pays a second time, and the ledger
/// shows it.
#[tokio::test(start_paused = true)]
async fn another_key_creates_another_payment() {
    let world = World::in_process();
    let order_id = order(1);
    let succeed = token("tok_succeed");
    for key in ["authorize", "authorize-again"] {
        world.gateway.authorize(&payment(order_id, key, TOTAL), &succeed).await.unwrap();
    }
    assert_eq!(world.provider.summary(order_id).authorizations, 2);
    assert_eq!(world.provider.payments(order_id).len(), 2);
}
