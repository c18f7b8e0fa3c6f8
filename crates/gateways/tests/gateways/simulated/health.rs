//! Tests of the provider's health.

use dabba_domain::order::PaymentReport;
use dabba_gateways::simulated::{ProviderHealth, ledger::Operation};

use super::world::{Step, TOTAL, World, assert_unavailable, order, reported};

#[tokio::test(start_paused = true)]
async fn calls_have_no_effect_while_the_provider_is_down() {
    check_down(&World::in_process()).await;
}

#[tokio::test]
async fn calls_have_no_effect_while_the_provider_is_down_over_http() {
    check_down(&World::over_http().await).await;
}

async fn check_down(world: &World) {
    let (order_id, later_order) = (order(1), order(2));
    world.call_until_answered(order_id, Step::Authorize("tok_succeed")).await;
    world.provider.set_health(ProviderHealth::Down);
    for step in [Step::Capture, Step::Void, Step::Refund(1, 1)] {
        assert_unavailable(&world.call(order_id, step).await);
    }
    for token in ["tok_error_after", "tok_decline", "tok_slow", "tok_timeout"] {
        assert_unavailable(&world.call(later_order, Step::Authorize(token)).await);
    }
    assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL)]);
    assert_eq!(world.done(later_order), []);

    world.provider.set_health(ProviderHealth::Up);
    let captured = PaymentReport::Captured { reference: world.reference(order_id) };
    assert_eq!(world.call(order_id, Step::Capture).await, reported(captured));
    // Calls while the provider was down were not counted, so this is the first call.
    assert_unavailable(&world.call(later_order, Step::Authorize("tok_error_after")).await);
    assert_eq!(world.done(later_order), [(Operation::Authorize, TOTAL)]);
}

#[tokio::test(start_paused = true)]
async fn a_flapping_provider_fails_before_and_after_the_effect() {
    let world = World::in_process();
    world.provider.set_health(ProviderHealth::Flapping { percent: 30 });
    let (mut before, mut after) = (0, 0);
    for index in 0..1_000 {
        let order_id = order(index);
        if world.call(order_id, Step::Authorize("tok_succeed")).await.is_err() {
            let count = if world.done(order_id).is_empty() { &mut before } else { &mut after };
            *count += 1;
        }
        world.call_until_answered(order_id, Step::Authorize("tok_succeed")).await;
        assert_eq!(world.done(order_id), [(Operation::Authorize, TOTAL)]);
    }
    assert!((100..200).contains(&before), "{before} failed before their effect");
    assert!((100..200).contains(&after), "{after} failed after their effect");
}

#[tokio::test(start_paused = true)]
async fn flapping_with_0_and_100_percent() {
    let world = World::in_process();
    for index in 0..100 {
        world.provider.set_health(ProviderHealth::Flapping { percent: 100 });
        assert_unavailable(&world.call(order(index), Step::Authorize("tok_succeed")).await);
        world.provider.set_health(ProviderHealth::Flapping { percent: 0 });
        assert!(world.call(order(index), Step::Authorize("tok_succeed")).await.is_ok());
    }
}
