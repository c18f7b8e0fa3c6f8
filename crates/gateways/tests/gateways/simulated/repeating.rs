//! A key stands for one request: repeated, it has one effect; with another request, it is refused.

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

/// How often each step is repeated after it was answered.
const REPEATS: u32 = 3;

#[tokio::test(start_paused = true)]
async fn every_step_is_done_once() {
    check_steps_are_done_once(&World::in_process()).await;
}

#[tokio::test]
async fn every_step_is_done_once_over_http() {
    check_steps_are_done_once(&World::over_http().await).await;
}

async fn check_steps_are_done_once(world: &World) {
    for (index, name) in (0..).zip(tokens::exact()) {
        let order_id = order(index);
        let first = world.insist(order_id, Step::Authorize(name)).await;
        for _ in 0..REPEATS {
            assert_eq!(world.insist(order_id, Step::Authorize(name)).await, first, "{name}");
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
                assert_eq!(&world.insist(order_id, *step).await, report, "{name}: {step:?}");
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
async fn what_was_voided_stays_so() {
    let world = World::in_process();
    let order_id = order(1);
    world.insist(order_id, Step::Authorize("tok_succeed")).await;
    let voided = PaymentReport::Voided { reference: world.reference(order_id) };
    for step in [Step::Void, Step::Void, Step::Capture, Step::Authorize("tok_succeed"), Step::Capture] {
        assert_eq!(world.insist(order_id, step).await, voided, "{step:?}");
    }
    let refused =
        PaymentReport::RefundRefused { number: number(1), reason: RefundFailureReason::NothingLeft };
    assert_eq!(world.insist(order_id, Step::Refund(1, 1)).await, refused);
    assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL), (Operation::Void, TOTAL)]);
}

/// To collect what is not decided is asked again later, with the same key, and then it is done.
#[tokio::test(start_paused = true)]
async fn a_step_that_was_too_early_can_be_repeated() {
    let world = World::in_process();
    let order_id = order(1);
    let pending = Ok(GatewayAnswer::Pending);
    assert_eq!(world.call(order_id, Step::Authorize("tok_pending")).await, pending);
    assert_eq!(world.call(order_id, Step::Capture).await, pending);
    world.let_it_be_decided();
    let captured = PaymentReport::Captured { reference: world.reference(order_id) };
    assert_eq!(world.call(order_id, Step::Capture).await, reported(captured));
    assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL), (Operation::Capture, TOTAL)]);
}

/// What is let go of before it is decided is not set aside later.
#[tokio::test(start_paused = true)]
async fn what_is_not_decided_can_be_voided() {
    let world = World::in_process();
    let order_id = order(1);
    assert_eq!(world.call(order_id, Step::Authorize("tok_pending")).await, Ok(GatewayAnswer::Pending));
    let voided = PaymentReport::Voided { reference: world.reference(order_id) };
    assert_eq!(world.call(order_id, Step::Void).await, reported(voided.clone()));
    world.let_it_be_decided();
    assert_eq!(world.call(order_id, Step::Authorize("tok_pending")).await, reported(voided));
    assert_eq!(world.done(order_id), [(Operation::Void, TOTAL)]);
}

#[tokio::test(start_paused = true)]
async fn a_key_with_another_request_is_refused() {
    check_refusals(&World::in_process()).await;
}

#[tokio::test]
async fn a_key_with_another_request_is_refused_over_http() {
    check_refusals(&World::over_http().await).await;
}

async fn check_refusals(world: &World) {
    let (order_id, other_order) = (order(1), order(2));
    world.insist(order_id, Step::Authorize("tok_succeed")).await;
    world.insist(order_id, Step::Capture).await;
    world.insist(order_id, Step::Refund(1, 1_000)).await;
    world.insist(other_order, Step::Authorize("tok_succeed")).await;
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

    // What does not fit the payment, with a key of its own.
    assert_refused(&gateway.void(&payment(order_id, "void", TOTAL - 1), &own).await);
    assert_refused(&gateway.void(&payment(other_order, "void", TOTAL), &own).await);
    assert_refused(&gateway.void(&payment(order_id, "void", TOTAL), &reference("pay_unknown")).await);
    // An amount of nothing is never accepted: that is an answer.
    let (refused, declined) = (
        PaymentReport::RefundRefused { number: number(2), reason: RefundFailureReason::NotAccepted },
        PaymentReport::Declined { reason: DeclineReason::NotAccepted },
    );
    let answer = gateway.refund(&payment(order_id, "refund-2", 0), &own, number(2)).await;
    assert_eq!(answer, reported(refused));
    let answer = gateway.authorize(&payment(order(3), "authorize", 0), &succeed).await;
    assert_eq!(answer, reported(declined));
    assert_refused(&gateway.authorize(&payment(order(3), "a key", TOTAL), &succeed).await);

    assert_eq!((world.done(order_id), world.done(other_order)), before, "what is refused is not done");
    assert_eq!(world.done(order(3)), []);
    // A key that was refused for what stood beside it is still good.
    let captured = PaymentReport::Captured { reference: own };
    assert_eq!(world.call(order_id, Step::Void).await, reported(captured));
}

/// Keys make calls the same, not orders: a caller that draws a new one pays twice, and the ledger shows it.
#[tokio::test(start_paused = true)]
async fn another_key_is_another_payment() {
    let world = World::in_process();
    let order_id = order(1);
    let succeed = token("tok_succeed");
    for key in ["authorize", "authorize-again"] {
        world.gateway.authorize(&payment(order_id, key, TOTAL), &succeed).await.unwrap();
    }
    assert_eq!(world.provider.summary(order_id).authorizations, 2);
    assert_eq!(world.provider.payments(order_id).len(), 2);
}
