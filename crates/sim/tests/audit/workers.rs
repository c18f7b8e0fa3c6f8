//! Tests of an audit during the work of workers, which carry out tasks while the audit searches them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dabba_domain::{
    Actor,
    order::{Command, Decision, Order, PaymentReport, PaymentStatus, decide, settle},
    task::{Task, TaskQueue},
};
use dabba_sim::audit::{AuditOptions, audit};
use dabba_store::{
    ClaimedTask, Commit, CommitOutcome, Store,
    conformance::builders::{World, reference_of, settings},
};
use jiff::SignedDuration;

use crate::{embedded, random::ORDERS};

/// Pause of a worker that has found no task.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Returns a worker's decision about a task and the current order: every payment succeeds, and no restaurant
/// accepts.
fn carry_out(task: &Task, order: &Order) -> Decision {
    let reference = reference_of(order);
    let report = match task {
        Task::WarnUnaccepted => return command(&Command::Warn, order),
        Task::ExpireUnaccepted | Task::ExpireUnpaid => return command(&Command::Expire, order),
        Task::AuthorizePayment { .. } => PaymentReport::Authorized { reference },
        Task::CapturePayment if order.payment_status == PaymentStatus::Authorized => {
            PaymentReport::Captured { reference }
        }
        Task::CapturePayment => return Decision::unchanged(order),
        Task::VoidPayment => PaymentReport::Voided { reference },
        Task::RefundPayment { number } => PaymentReport::Refunded { number: *number },
        Task::Review { .. } => panic!("a review must not be claimable"),
    };
    settle(order, &report, &settings(), order.updated_at).unwrap()
}

/// Returns the decision about a command at its deadline; unchanged if the order has moved on.
fn command(command: &Command, order: &Order) -> Decision {
    let now = order.deadline().unwrap_or(order.updated_at);
    let decided = decide(order, command, &Actor::System, &settings(), now);
    decided.unwrap_or_else(|_| Decision::unchanged(order))
}

async fn work_one(store: &dyn Store, world: &mut World, claimed: &ClaimedTask) {
    loop {
        let order = store.order(claimed.task.subject.order_id().unwrap()).await.unwrap().unwrap();
        let decision = carry_out(claimed.task.content.as_ref().unwrap(), &order);
        let commit = Commit { completes: Some(claimed.lease), ..world.commit(decision, order.version) };
        match &store.commit(vec![commit]).await.unwrap()[..] {
            [CommitOutcome::Committed] => return,
            [CommitOutcome::VersionConflict { .. }] => {}
            outcomes => panic!("{outcomes:?}"),
        }
    }
}

/// Carries out tasks as soon as they exist, until it is stopped.
async fn work(store: Arc<dyn Store>, mut world: World, stop: Arc<AtomicBool>) {
    const BATCH: u32 = 10;
    let (now, until) = (world.in_seconds(100_000), world.in_seconds(100_060));
    while !stop.load(Ordering::Relaxed) {
        let mut is_idle = true;
        for queue in TaskQueue::ALL {
            for claimed in store.claim_due_tasks(*queue, now, until, BATCH).await.unwrap() {
                work_one(&*store, &mut world, &claimed).await;
                is_idle = false;
            }
        }
        if is_idle {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Proves that orders whose tasks are carried out during the audit cause no breach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_during_work_is_clean() {
    let (store, _directory) = embedded().await;
    let mut world = World::new(14);
    let mut options = AuditOptions::new(world.now());
    // The workers of this test carry out tasks long before they are due.
    options.now -= SignedDuration::from_hours(24);
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = [15, 16]
        .map(|seed| tokio::spawn(work(Arc::clone(&store), World::new(seed), Arc::clone(&stop))))
        .into();
    let mut audits = 0;
    for number in 0..ORDERS {
        let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
        let details = if number % 2 == 0 {
            world.details_by_card(restaurant_id, customer_id)
        } else {
            world.details(restaurant_id, customer_id)
        };
        let commit = world.place_with(details);
        assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
        if number % 10 == 0 {
            let report = audit(&*store, None, &options).await.unwrap();
            assert!(report.is_clean(), "{report}");
            audits += 1;
        }
    }
    loop {
        let report = audit(&*store, None, &options).await.unwrap();
        assert!(report.is_clean(), "{report}");
        audits += 1;
        if report.tasks == 0 {
            break;
        }
        assert!(!workers.iter().any(tokio::task::JoinHandle::is_finished), "a worker must not stop early");
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert!(audits > 20);
}
