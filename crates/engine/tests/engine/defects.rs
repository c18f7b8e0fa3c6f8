//! Outcomes for which a commit has no condition. Only a defect of a store can cause them, and each is an internal error.

use std::fmt::Debug;

use dabba_domain::{
    order::{DeclineReason, Order, PaymentReport},
    task::TaskQueue,
    text::Slug,
};
use dabba_engine::Error;
use dabba_store::{CommitOutcome, PageSize, StockShortage};
use jiff::SignedDuration;

use crate::{
    paying::PayingWorld,
    world::{World, accept, dal},
};

/// Maximum number of executions of a task until it is parked.
const MAX_EXECUTIONS: u32 = 100;

/// Returns the outcomes that need a claim of an idempotency key, a guard of the catalogue, or a draw from stock.
fn refusals_of_requests(order: &Order) -> [CommitOutcome; 5] {
    [
        CommitOutcome::Replayed { order_id: order.id, version: order.version },
        CommitOutcome::KeyReused,
        CommitOutcome::NewerClaim,
        CommitOutcome::CatalogueChanged,
        out_of_stock(),
    ]
}

fn out_of_stock() -> CommitOutcome {
    CommitOutcome::OutOfStock(vec![StockShortage { item: Slug::new("dal").unwrap(), available: 0 }])
}

/// Makes the store answer every commit with this outcome.
fn answer_with(world: &World, outcome: Option<&CommitOutcome>) {
    *world.store.answer.lock().unwrap() = outcome.cloned();
}

fn check_defect(result: &Result<impl Debug, Error>, outcome: &CommitOutcome) {
    let Err(Error::Internal(text)) = result else { panic!("{outcome:?}: {result:?}") };
    assert!(text.contains("has no condition"), "{outcome:?}: {text}");
}

/// Proves that a command without an idempotency key accepts no outcome but those of the order's version.
#[tokio::test]
async fn a_command_reports_an_impossible_outcome() {
    let world = World::new().await;
    let order = world.place(&dal(1), "a").await.unwrap().order;
    for outcome in refusals_of_requests(&order).into_iter().chain([CommitOutcome::LeaseLost]) {
        answer_with(&world, Some(&outcome));
        check_defect(&world.act(&world.staff, order.id, accept()).await, &outcome);
    }
    answer_with(&world, None);
    world.act(&world.staff, order.id, accept()).await.unwrap();
}

/// Proves that a placement that draws from no stock and completes no task is never out of stock and has no lease.
#[tokio::test]
async fn a_placement_reports_an_impossible_outcome() {
    let world = World::new().await;
    for outcome in [out_of_stock(), CommitOutcome::LeaseLost] {
        answer_with(&world, Some(&outcome));
        check_defect(&world.place(&dal(1), "a").await, &outcome);
    }
    answer_with(&world, None);
    assert!(!world.place(&dal(1), "a").await.unwrap().replayed);
}

/// Proves that a report of a payment provider is not acknowledged unless it is written: the provider sends it again.
#[tokio::test]
async fn a_report_of_a_provider_reports_an_impossible_outcome() {
    let world = PayingWorld::new().await;
    let order = world.place("tok_succeed").await;
    let report = PaymentReport::Declined { reason: DeclineReason::CardDeclined };
    let payments = &world.world.engine.payments;
    for outcome in refusals_of_requests(&order).into_iter().chain([CommitOutcome::LeaseLost]) {
        answer_with(&world.world, Some(&outcome));
        check_defect(&payments.record_payment(order.id, &report).await, &outcome);
    }
    answer_with(&world.world, None);
    payments.record_payment(order.id, &report).await.unwrap();
    assert!(world.read(order.id).await.version > order.version);
}

/// Proves that an impossible outcome counts as a failure of a task, so that the task is parked in the end.
#[tokio::test]
async fn a_task_with_an_impossible_outcome_is_parked() {
    let other = World::new().await.place_two("a").await;
    for outcome in refusals_of_requests(&other) {
        let world = World::new().await;
        let order = world.place_two("a").await;
        world.advance_to_deadline(&order);
        answer_with(&world, Some(&outcome));
        let mut executions = 0;
        while world.engine.work.run_next(TaskQueue::Deadlines).await.unwrap() {
            executions += 1;
            assert!(executions <= MAX_EXECUTIONS, "{outcome:?}: the task is not parked");
            // Longer than every pause between two attempts.
            world.clock.advance(SignedDuration::from_mins(10));
        }
        let page = world.engine.work.parked_tasks(&world.admin, None, PageSize::DEFAULT).await.unwrap();
        assert!(!page.tasks.is_empty(), "{outcome:?}");
        for failed in page.tasks.iter().flat_map(|task| &task.failures) {
            assert!(failed.failure.error.contains("has no condition"), "{outcome:?}: {failed:?}");
        }
        assert_eq!(world.read(order.id).await, order, "{outcome:?}");
    }
}
