//! Payments by card: every step fails once at every possible place and is retried; afterwards the order is in the
//! expected state, and the provider's ledger agrees with it (I8).

use std::sync::Arc;

use dabba_domain::{
    Amount, Money,
    order::{
        CancelReason, Closure, Command, DeclineReason, ExpiryReason, Order, OrderStatus, PaymentReference,
        PaymentReport, PaymentStatus, RefundFailureReason,
    },
    task::TaskQueue,
};
use dabba_engine::{
    BreakerState, CommandRequest, Conflict, Error, GatewayError, Obstacle, ProviderNotice, ProviderObject,
};
use dabba_gateways::simulated::ProviderHealth;
use dabba_store::{AuditStore as _, OrderStore as _, PageSize, TaskStore as _};
use jiff::SignedDuration;

use crate::{
    faulty::STORE_FAILURES,
    paying::{CallFault, PayingWorld, dal_by_card, refund},
    world::{accept, cancel, dal},
};

/// A step of a payment, and the condition that holds after it.
struct Step {
    name: &'static str,
    is_done: fn(&Order) -> bool,
}

const STEPS: [Step; 4] = [
    Step { name: "authorize", is_done: |order| order.status == OrderStatus::Confirmed },
    Step { name: "capture", is_done: |order| order.payment_status == PaymentStatus::Captured },
    Step { name: "void", is_done: |order| order.payment_status == PaymentStatus::Voided },
    Step { name: "refund", is_done: |order| order.payment_status == PaymentStatus::PartiallyRefunded },
];

/// Returns an order for which the step is due.
async fn before(world: &PayingWorld, step: &Step) -> Order {
    if step.name == "refund" {
        let delivered = world.delivered("tok_succeed").await;
        return world.world.act(&world.world.admin, delivered.id, refund(Some(300))).await.unwrap().order;
    }
    let placed = world.place("tok_succeed").await;
    if step.name == "authorize" {
        return placed;
    }
    world.until(placed.id, "confirmed", |order| order.status == OrderStatus::Confirmed).await;
    let (who, command) = match step.name {
        "capture" => (&world.world.staff, accept()),
        _ => (&world.world.customer, cancel()),
    };
    world.world.act(who, placed.id, command).await.unwrap().order
}

/// Asserts that the step has its expected effect, and that nothing else happens.
async fn check(world: &PayingWorld, step: &Step, order: &Order, what: &str) {
    let what = format!("{}, {what}", step.name);
    let done = world.until(order.id, &what, step.is_done).await;
    world.settle(&done).await;
    world.check_ledgers(&done, &what);
    world.world.check_histories().await;
    let key_end = format!("-{}", step.name);
    let mut keys = world.gateway.keys.lock().unwrap().clone();
    keys.retain(|key| key.contains(&key_end));
    keys.dedup();
    assert_eq!(keys.len(), 1, "{what}: every retry has the same key: {keys:?}");
}

/// Proves that each step takes effect once, whatever store call fails.
#[tokio::test]
async fn each_step_takes_effect_once_under_store_faults() {
    for step in &STEPS {
        for (what, faults, fault) in STORE_FAILURES {
            let world = PayingWorld::new().await;
            let order = before(&world, step).await;
            faults(&world.world.store).fail_once(fault);
            check(&world, step, &order, what).await;
        }
    }
}

/// Proves that each step takes effect once when the call fails before or after its execution.
#[tokio::test]
async fn each_step_takes_effect_once_under_provider_faults() {
    for step in &STEPS {
        for fault in [CallFault::Before, CallFault::After] {
            let world = PayingWorld::new().await;
            let order = before(&world, step).await;
            world.gateway.fail_once(fault);
            check(&world, step, &order, &format!("{fault:?} the call")).await;
        }
    }
}

/// Proves that each step takes effect once when the worker dies between the call and the commit: another worker leases
/// the task after the lease expires.
#[tokio::test]
async fn each_step_takes_effect_once_when_the_worker_dies_after_the_call() {
    for step in &STEPS {
        let world = PayingWorld::new().await;
        let order = before(&world, step).await;
        world.gateway.fail_once(CallFault::Death);
        world.gateway.gate.shut();
        let engine = Arc::clone(&world.world.engine);
        let worker = tokio::spawn(async move { engine.work.run_next(TaskQueue::Payments).await });
        world.gateway.gate.until_blocked().await;
        worker.abort();
        world.gateway.gate.open();
        check(&world, step, &order, "the worker dies").await;
    }
}

/// Proves that no step is executed for an order that a newer version has written: the provider is not called, the task
/// is not parked, and the step is executed once as soon as a server understands the order.
#[tokio::test]
async fn no_step_of_an_order_written_by_a_newer_version_is_executed() {
    for step in &STEPS {
        let world = PayingWorld::new().await;
        let order = before(&world, step).await;
        let calls = || world.gateway.keys.lock().unwrap().len();
        let calls_before = calls();
        world.world.store.newer.lock().unwrap().insert(order.id);
        for _ in 0..40 {
            world.work_with(&world.world.engine).await;
            world.world.clock.advance(SignedDuration::from_secs(1));
        }
        assert_eq!(calls(), calls_before, "{}", step.name);
        let tasks = world.world.store.all_tasks(None, PageSize::DEFAULT).await.unwrap().entries;
        assert!(tasks.iter().any(|stored| stored.task.kind.queue() == TaskQueue::Payments), "{tasks:?}");
        assert!(tasks.iter().all(|stored| stored.parked_at.is_none()), "{tasks:?}");
        world.world.store.newer.lock().unwrap().clear();
        check(&world, step, &order, "a newer server").await;
    }
}

/// Proves that a worker whose call returns after another worker has leased and completed the task changes nothing.
#[tokio::test]
async fn a_worker_that_loses_its_lease_during_a_call_changes_nothing() {
    for step in &STEPS {
        let world = PayingWorld::new().await;
        let order = before(&world, step).await;
        world.gateway.gate.shut();
        let engine = Arc::clone(&world.world.engine);
        let late = tokio::spawn(async move { engine.work.run_next(TaskQueue::Payments).await });
        world.gateway.gate.until_blocked().await;
        // The first worker's lease expires while its call waits at the gate. The second worker's call waits there too.
        world.world.clock.advance(SignedDuration::from_secs(31));
        let other = Arc::clone(&world.world.engine);
        let overtaking = tokio::spawn(async move { other.work.run_next(TaskQueue::Payments).await });
        world.gateway.gate.until_blocked().await;
        world.gateway.gate.open();
        overtaking.await.unwrap().unwrap();
        late.await.unwrap().unwrap();
        check(&world, step, &order, "overtaken").await;
    }
}

/// Proves that every token leads to its documented end, and that the ledgers agree.
#[tokio::test]
async fn every_token_leads_to_its_documented_end() {
    let declined = [
        ("tok_decline", DeclineReason::CardDeclined),
        ("tok_insufficient_funds", DeclineReason::InsufficientFunds),
        ("tok_expired_card", DeclineReason::ExpiredCard),
        ("tok_fraud", DeclineReason::SuspectedFraud),
        ("tok_nobody_knows", DeclineReason::InvalidToken),
    ];
    for (token, reason) in declined {
        let world = PayingWorld::new().await;
        let id = world.place(token).await.id;
        let ended = world.until(id, "declined", |order| order.status.is_terminal()).await;
        assert_eq!(ended.closure, Some(Closure::PaymentFailed { reason }), "{token}");
        assert_eq!((ended.status, ended.payment_status), (OrderStatus::Cancelled, PaymentStatus::Failed));
        world.settle(&ended).await;
        world.check_ledgers(&ended, token);
    }
    for token in ["tok_succeed", "tok_error", "tok_error_after", "tok_error_after_all", "tok_flap"] {
        let world = PayingWorld::new().await;
        let delivered = world.delivered(token).await;
        world.world.act(&world.world.admin, delivered.id, refund(None)).await.unwrap();
        let refunded = world
            .until(delivered.id, "refunded", |order| {
                order.status.is_terminal() && order.payment_status == PaymentStatus::Refunded
            })
            .await;
        assert_eq!(refunded.status, OrderStatus::Refunded, "{token}");
        world.settle(&refunded).await;
        world.check_ledgers(&refunded, token);
    }
}

/// Proves that an order that is cancelled before its payment is requested is never charged.
#[tokio::test]
async fn a_cancellation_before_the_payment_request_charges_nothing() {
    let world = PayingWorld::new().await;
    let placed = world.place("tok_succeed").await;
    world.world.act(&world.world.customer, placed.id, cancel()).await.unwrap();
    let ended = world.until(placed.id, "void", |order| order.payment_status == PaymentStatus::Voided).await;
    world.settle(&ended).await;
    assert!(world.gateway.keys.lock().unwrap().is_empty(), "the provider was not called");
}

/// Proves that an order that is cancelled during the authorization is voided, whether or not the answer to the first
/// call arrived.
#[tokio::test]
async fn a_cancellation_during_the_authorization_voids_the_payment() {
    for fault in [None, Some(CallFault::Before), Some(CallFault::After)] {
        let world = PayingWorld::new().await;
        let placed = world.place("tok_succeed").await;
        if let Some(fault) = fault {
            world.gateway.fail_once(fault);
            world.work_with(&world.world.engine).await;
            world.world.act(&world.world.customer, placed.id, cancel()).await.unwrap();
        } else {
            world.gateway.gate.shut();
            let engine = Arc::clone(&world.world.engine);
            let worker = tokio::spawn(async move { engine.work.run_next(TaskQueue::Payments).await });
            world.gateway.gate.until_blocked().await;
            world.world.act(&world.world.customer, placed.id, cancel()).await.unwrap();
            world.gateway.gate.open();
            worker.await.unwrap().unwrap();
        }
        let is_void = |order: &Order| order.payment_status == PaymentStatus::Voided;
        let ended = world.until(placed.id, "void", is_void).await;
        assert_eq!(ended.status, OrderStatus::Cancelled, "{fault:?}");
        world.settle(&ended).await;
        let summary = world.gateway.provider.summary(placed.id);
        assert_eq!((summary.authorizations, summary.voids, summary.captured), (1, 1, 0), "{fault:?}");
    }
}

/// Proves that money that is captured while the order is cancelled is refunded in full, once.
#[tokio::test]
async fn a_cancellation_during_the_capture_refunds_the_payment() {
    let world = PayingWorld::new().await;
    let placed = world.place("tok_succeed").await;
    world.until(placed.id, "confirmed", |order| order.status == OrderStatus::Confirmed).await;
    world.world.act(&world.world.staff, placed.id, accept()).await.unwrap();
    world.gateway.gate.shut();
    let engine = Arc::clone(&world.world.engine);
    let capturing = tokio::spawn(async move { engine.work.run_next(TaskQueue::Payments).await });
    world.gateway.gate.until_blocked().await;
    let why = Command::cancel(CancelReason::KitchenClosed);
    world.world.act(&world.world.staff, placed.id, why).await.unwrap();
    world.gateway.gate.open();
    capturing.await.unwrap().unwrap();
    let is_back = |order: &Order| order.payment_status == PaymentStatus::Refunded;
    let ended = world.until(placed.id, "refunded", is_back).await;
    assert_eq!((ended.status, ended.refunds.len()), (OrderStatus::Refunded, 1));
    world.settle(&ended).await;
    world.check_ledgers(&ended, "cancelled while captured");
}

/// Proves that duplicate, late and reordered reports of the provider change nothing that is already decided.
#[tokio::test]
async fn late_and_duplicate_reports_change_nothing() {
    let world = PayingWorld::new().await;
    let order = world.delivered("tok_succeed").await;
    let reference = order.payment_reference.clone().unwrap();
    let number = std::num::NonZeroU32::MIN;
    for report in [
        PaymentReport::Authorized { reference: reference.clone() },
        PaymentReport::Captured { reference: reference.clone() },
        PaymentReport::Voided { reference },
        PaymentReport::Declined { reason: DeclineReason::CardDeclined },
        PaymentReport::NeverRequested,
        PaymentReport::Refunded { number },
        PaymentReport::RefundRefused { number, reason: RefundFailureReason::Other },
    ] {
        for _ in 0..2 {
            world.world.engine.payments.record_payment(order.id, &report).await.unwrap();
            assert_eq!(world.read(order.id).await, order, "{report:?}");
        }
    }
}

/// Proves that a payment that is reported before its call has returned is recorded once.
#[tokio::test]
async fn a_report_may_arrive_before_the_answer() {
    let world = PayingWorld::new().await;
    let placed = world.place("tok_succeed").await;
    world.gateway.gate.shut();
    let engine = Arc::clone(&world.world.engine);
    let worker = tokio::spawn(async move { engine.work.run_next(TaskQueue::Payments).await });
    world.gateway.gate.until_blocked().await;
    let payment = world.gateway.provider.payments(placed.id).remove(0);
    let report = PaymentReport::Authorized { reference: payment.reference };
    world.world.engine.payments.record_payment(placed.id, &report).await.unwrap();
    let reported = world.read(placed.id).await;
    assert_eq!(reported.status, OrderStatus::Confirmed);
    world.gateway.gate.open();
    worker.await.unwrap().unwrap();
    world.settle(&reported).await;
    world.check_ledgers(&reported, "reported first");
}

/// Proves that an order whose payment is not authorized by its deadline is cancelled, and that money that is authorized
/// afterwards is voided.
#[tokio::test]
async fn an_order_not_authorized_by_its_deadline_is_cancelled() {
    let world = PayingWorld::new().await;
    world.set_health(ProviderHealth::Down);
    let placed = world.place("tok_succeed").await;
    let deadline = placed.details.payment_deadline.unwrap();
    world.work_with(&world.world.engine).await;
    world.world.clock.advance(deadline.duration_since(world.world.engine.now()));
    let ended = world.until(placed.id, "expired", |order| order.status.is_terminal()).await;
    assert_eq!(ended.closure, Some(Closure::Expired { waited_for: ExpiryReason::Payment }));
    assert_eq!(ended.payment_status, PaymentStatus::Pending, "the state of the payment is unknown");
    world.set_health(ProviderHealth::Up);
    world.world.clock.advance(SignedDuration::from_mins(6));
    let is_void = |order: &Order| order.payment_status == PaymentStatus::Voided;
    let ended = world.until(placed.id, "voided", is_void).await;
    world.settle(&ended).await;
    world.check_ledgers(&ended, "late");
}

/// Proves that an unavailable provider gets few calls, that orders are accepted and deadlines enforced as usual, that
/// no task is parked however long the outage lasts, and that all tasks are executed after it.
#[tokio::test]
async fn an_unavailable_provider_delays_nothing_else() {
    let world = PayingWorld::new().await;
    world.set_health(ProviderHealth::Down);
    let mut placed = Vec::new();
    for number in 0..40 {
        let request = dal_by_card(2, "tok_succeed");
        placed.push(world.world.place(&request, &format!("card {number}")).await.unwrap().order);
    }
    let engine = &world.world.engine;
    let cash = world.world.place(&dal(1), "cash").await.unwrap().order;
    world.work_with(engine).await;
    let calls = world.gateway.keys.lock().unwrap().len();
    assert!(calls <= 5, "{calls} calls to an unavailable provider");
    assert_eq!(engine.payments.breaker_state(), Some(BreakerState::Open));
    assert!(placed.iter().all(|order| order.status == OrderStatus::Created));

    world.world.act(&world.world.staff, cash.id, accept()).await.unwrap();
    for _ in 0..60 {
        world.world.clock.advance(SignedDuration::from_secs(1));
        world.work_with(engine).await;
    }
    let calls = world.gateway.keys.lock().unwrap().len();
    assert!(calls <= 5 + 2 * 12, "more than two probes each time the breaker is half-open: {calls}");

    // The outage does not count as a failure of the tasks, however long it lasts.
    for _ in 0..300 {
        world.world.clock.advance(SignedDuration::from_mins(1));
        world.work_with(engine).await;
    }
    let parked = world.world.store.parked_tasks(None, PageSize::DEFAULT).await.unwrap();
    assert_eq!(parked.tasks, []);
    assert!(placed.iter().all(|order| order.details.payment_deadline.unwrap() < engine.now()));

    world.set_health(ProviderHealth::Up);
    for order in &placed {
        let is_settled = |order: &Order| order.payment_status == PaymentStatus::Voided;
        let settled = world.until(order.id, "executed after the outage", is_settled).await;
        assert_eq!(settled.closure, Some(Closure::Expired { waited_for: ExpiryReason::Payment }));
        world.check_ledgers(&settled, "executed after the outage");
    }
    assert_eq!(engine.payments.breaker_state(), Some(BreakerState::Closed));
}

/// Proves that cards are refused without a payment provider, before anything is written.
#[tokio::test]
async fn without_a_provider_no_cards_are_accepted() {
    let world = crate::world::World::new().await;
    let refused = world.place(&dal_by_card(1, "tok_succeed"), "a").await;
    let Err(Error::Conflict(Conflict::NotOrderable(obstacles))) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(obstacles, [Obstacle::CardsNotAccepted]);
    assert!(world.orders().await.is_empty());
}

/// Proves that a task that the provider keeps refusing is parked with the provider's errors, and that no money has
/// moved.
#[tokio::test]
async fn a_task_that_the_provider_keeps_refusing_is_parked() {
    let world = PayingWorld::new().await;
    let order = world.delivered("tok_succeed").await;
    // The key of the refund was used for another amount, so the provider refuses it.
    let payment = world.gateway.provider.payments(order.id).remove(0);
    let number = std::num::NonZeroU32::MIN;
    let other = dabba_engine::Payment {
        order_id: order.id,
        key: format!("{}-refund-1", order.id),
        amount: Amount::from_minor(1).unwrap(),
        currency: order.details.currency,
    };
    let now = world.world.engine.now();
    let _ = world.gateway.provider.refund(&other, &payment.reference, number, now);
    world.world.act(&world.world.admin, order.id, refund(Some(300))).await.unwrap();
    let limit = PageSize::DEFAULT;
    let mut parked = Vec::new();
    for _ in 0..200 {
        world.world.clock.advance(SignedDuration::from_mins(1));
        world.work_with(&world.world.engine).await;
        parked = world.world.store.parked_tasks(None, limit).await.unwrap().tasks;
        if !parked.is_empty() {
            break;
        }
    }
    assert_eq!(parked.len(), 1);
    assert!(parked[0].failures.iter().all(|failed| failed.failure.error.contains("refuses")), "{parked:?}");
    assert_eq!(world.read(order.id).await.refunded, Amount::ZERO);
    let request =
        CommandRequest { order_id: order.id, command: refund(None), key: None, expected_versions: None };
    let rest = world.world.engine.orders.act(&world.world.admin, &request).await.unwrap().order;
    assert_eq!(rest.refundable(), Amount::ZERO, "a pending refund is not refunded again");
    assert_eq!(world.world.store.events(order.id, 0, 100).await.unwrap().len(), rest.version as usize);
}

/// Proves that a notice without an order is looked up at the provider; that a notice that cannot be looked up is
/// refused, so that the provider sends it again, and changes nothing; and that a notice about an unknown order is
/// accepted.
#[tokio::test]
async fn a_notice_without_an_order_is_looked_up() {
    let world = PayingWorld::new().await;
    let order = world.delivered("tok_succeed").await;
    let engine = &world.world.engine;
    let reference = |name: &str| PaymentReference::new(name).unwrap();
    let notice = ProviderNotice::LookUp(ProviderObject::Refund(reference("re_hand")));
    let is_found = |found| *world.gateway.found.lock().unwrap() = found;
    for error in [GatewayError::Unavailable("no".into()), GatewayError::Refused("no".into())] {
        is_found(Err(error));
        assert!(matches!(engine.payments.record_notice(&notice).await, Err(Error::Unavailable)));
    }
    is_found(Ok(None));
    engine.payments.record_notice(&notice).await.unwrap();
    assert_eq!(world.read(order.id).await, order, "nothing has changed");
    let money = Money { amount: Amount::from_minor(300).unwrap(), currency: order.details.currency };
    let payment = order.payment_reference.clone().unwrap();
    let report = PaymentReport::ExternalRefund { payment, reference: reference("re_hand"), money };
    is_found(Ok(Some((order.id, report.clone()))));
    for _ in 0..2 {
        engine.payments.record_notice(&notice).await.unwrap();
    }
    let now = world.read(order.id).await;
    assert_eq!((now.version, now.refunded.minor()), (order.version + 1, 300), "once");
    let stranger = dabba_domain::OrderId::generate(order.placed_at, order.id.bucket(), 99);
    is_found(Ok(Some((stranger, report))));
    engine.payments.record_notice(&notice).await.unwrap();
    world.world.check_histories().await;
}
