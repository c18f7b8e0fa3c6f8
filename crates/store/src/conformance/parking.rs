//! Tasks that failed too often: parked, then retried or resolved, with their failures.

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    TaskId,
    order::{RefundFailureReason, RefundNumber, ReviewReason},
    task::{Task, TaskQueue, TaskSubject},
};

use super::{
    builders::World,
    tasks::{MOMENT, add_and_claim, add_task, completing, failure},
};
use crate::{
    CommitOutcome, MAX_TASK_FAILURES, NewTask, PageSize, ParkedTask, RecordedTaskFailure, Store,
    TaskResolution, TaskRetry,
};

/// Returns all parked tasks, read in pages of `page_size`.
pub(super) async fn parked(store: &Arc<dyn Store>, page_size: u32) -> Vec<ParkedTask> {
    let limit = PageSize::new(page_size).unwrap();
    let mut parked = Vec::<ParkedTask>::new();
    loop {
        let page = store.parked_tasks(parked.last().map(|last| last.task.id), limit).await.unwrap();
        assert!(!page.incomplete);
        let is_last = page.tasks.len() < limit.get() as usize;
        parked.extend(page.tasks);
        if is_last {
            return parked;
        }
    }
}

/// A parked task is not leased any more, its lease is void, and it lists all failures in order.
pub async fn a_parked_task_keeps_its_whole_history(store: Arc<dyn Store>) {
    let mut world = World::new(62);
    let due = world.in_seconds(10);
    let task = add_task(&store, &mut world, due).await;
    let errors = ["first: \"✗\"", "second\n", "third: \\u0041 {}"];
    let mut expected = Vec::new();
    let mut last = None;
    for (attempt, error) in (1..).zip(errors) {
        let now = due + Duration::from_secs(u64::from(attempt));
        let claimed = store
            .claim_due_tasks(TaskQueue::Deadlines, now, now + Duration::from_mins(1), 10)
            .await
            .unwrap()
            .remove(0);
        let failure = failure(now + MOMENT, error);
        expected.push(RecordedTaskFailure { attempt, failure: failure.clone() });
        if attempt < 3 {
            assert!(store.postpone_task(claimed.lease, due, Some(&failure)).await.unwrap());
        } else {
            assert_eq!(parked(&store, 10).await, [], "the task is not parked yet");
            assert!(store.park_task(claimed.lease, &failure).await.unwrap());
            assert!(!store.park_task(claimed.lease, &failure).await.unwrap(), "only once");
            last = Some((claimed.lease, failure.at));
        }
    }
    let (lease, parked_at) = last.unwrap();
    assert_eq!(
        parked(&store, 10).await,
        [ParkedTask { task: task.clone().into(), attempts: 3, parked_at, failures: expected }]
    );
    let far = world.in_seconds(1_000_000);
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap(), []);
    assert!(!store.postpone_task(lease, far, None).await.unwrap());
    let commit = completing(&store, &mut world, lease, task.subject).await;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::LeaseLost]);
}

/// A worker that has lost the lease cannot park the task.
pub async fn a_task_is_parked_only_by_its_holder(store: Arc<dyn Store>) {
    let mut world = World::new(63);
    let due = world.in_seconds(10);
    let first = add_and_claim(&store, &mut world, due).await;
    let now = world.in_seconds(600);
    let second =
        store.claim_due_tasks(TaskQueue::Deadlines, now, world.in_seconds(700), 10).await.unwrap().remove(0);
    let failure = failure(now, "too late");
    assert!(!store.park_task(first.lease, &failure).await.unwrap());
    assert_eq!(parked(&store, 10).await, []);
    let commit = completing(&store, &mut world, second.lease, second.task.subject).await;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    let never = world.lease_of_nothing(second.task.subject);
    assert!(!store.park_task(never, &failure).await.unwrap());
}

/// In pages of any size, the parked tasks of all restaurants form one list ordered by id.
pub async fn parked_tasks_are_listed_by_id(store: Arc<dyn Store>) {
    let mut world = World::new(64);
    let due = world.in_seconds(10);
    let mut expected = Vec::new();
    for _ in 0..7 {
        let claimed = add_and_claim(&store, &mut world, due).await;
        assert!(store.park_task(claimed.lease, &failure(due, "no")).await.unwrap());
        expected.push(claimed.task.id);
    }
    add_task(&store, &mut world, due).await;
    expected.sort_unstable();
    for page_size in [1, 3, 7, 100] {
        let found: Vec<TaskId> =
            parked(&store, page_size).await.iter().map(|parked| parked.task.id).collect();
        assert_eq!(found, expected, "{page_size}");
    }
}

/// A retried task is leased from its new time on, and keeps its history.
pub async fn a_parked_task_is_retried_on_request(store: Arc<dyn Store>) {
    let mut world = World::new(65);
    let (due, later) = (world.in_seconds(10), world.in_seconds(300));
    let claimed = add_and_claim(&store, &mut world, due).await;
    let id = claimed.task.id;
    assert_eq!(store.retry_task(id, due).await.unwrap(), TaskRetry::NotParked);
    assert!(store.park_task(claimed.lease, &failure(due, "no")).await.unwrap());
    assert_eq!(store.retry_task(id, later).await.unwrap(), TaskRetry::Queued);
    assert_eq!(
        store.retry_task(id, due).await.unwrap(),
        TaskRetry::NotParked,
        "the task is no longer parked"
    );
    assert_eq!(parked(&store, 10).await, []);
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, later - MOMENT, later, 10).await.unwrap(), []);
    let again = store
        .claim_due_tasks(TaskQueue::Deadlines, later, world.in_seconds(400), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((again.task.id, again.attempts, again.last_error.as_deref()), (id, 2, Some("no")));
    assert!(again.lease.token > claimed.lease.token);
    assert!(store.park_task(again.lease, &failure(later, "no again")).await.unwrap());
    assert_eq!(parked(&store, 10).await[0].failures.len(), 2);
    let unknown = world.task_id_of(claimed.task.subject);
    assert_eq!(
        store.retry_task(unknown, due).await.unwrap(),
        TaskRetry::NotParked,
        "the task does not exist"
    );
}

/// A resolved task is not listed, not leased and not resolved again.
pub async fn a_resolved_task_is_never_leased_again(store: Arc<dyn Store>) {
    let mut world = World::new(66);
    let due = world.in_seconds(10);
    let claimed = add_and_claim(&store, &mut world, due).await;
    let resolution = TaskResolution {
        at: world.in_seconds(20),
        by: world.account_id(),
        reason: "done by hand ✓".to_owned(),
    };
    let id = claimed.task.id;
    assert!(!store.resolve_task(id, &resolution).await.unwrap(), "the task is not parked");
    assert!(store.park_task(claimed.lease, &failure(due, "no")).await.unwrap());
    assert!(store.resolve_task(id, &resolution).await.unwrap());
    assert!(!store.resolve_task(id, &resolution).await.unwrap(), "only once");
    assert_eq!(store.retry_task(id, due).await.unwrap(), TaskRetry::NotParked);
    assert_eq!(parked(&store, 10).await, []);
    let far = world.in_seconds(1_000_000);
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap(), []);
}

/// The store keeps a limited number of failures per task: the latest.
pub async fn the_history_of_a_task_is_bounded(store: Arc<dyn Store>) {
    let mut world = World::new(67);
    let due = world.in_seconds(10);
    add_task(&store, &mut world, due).await;
    let maximum = MAX_TASK_FAILURES;
    for _ in 0..maximum + 2 {
        let claimed = store
            .claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(60), 10)
            .await
            .unwrap()
            .remove(0);
        assert!(store.postpone_task(claimed.lease, due, Some(&failure(due, "no"))).await.unwrap());
    }
    let claimed =
        store.claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(60), 10).await.unwrap().remove(0);
    assert!(store.park_task(claimed.lease, &failure(due, "the last")).await.unwrap());
    let failures = parked(&store, 10).await.remove(0).failures;
    let attempts: Vec<u32> = failures.iter().map(|failed| failed.attempt).collect();
    assert_eq!(attempts, (4..=maximum + 3).collect::<Vec<_>>());
    assert_eq!(failures.last().unwrap().failure.error, "the last");
}

/// A task for admins is parked with its reason when it is written. It is never leased, a retry leaves it
/// parked, and it is resolved like every other task.
pub async fn a_task_for_admins_is_parked_from_the_start(store: Arc<dyn Store>) {
    let mut world = World::new(68);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let mut commit = world.place(restaurant, customer);
    let reason =
        ReviewReason::RefundReversed { number: RefundNumber::MIN, reason: RefundFailureReason::CardClosed };
    let review = NewTask {
        id: world.task_id(commit.order_id),
        subject: TaskSubject::Order(commit.order_id),
        task: Task::Review { reason },
        run_at: commit.at,
    };
    commit.tasks = vec![review.clone()];
    let at = commit.at;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    let expected =
        ParkedTask { task: review.clone().into(), attempts: 0, parked_at: at, failures: Vec::new() };
    assert_eq!(parked(&store, 10).await, std::slice::from_ref(&expected));
    let far = world.in_seconds(1_000_000);
    assert_eq!(store.retry_task(review.id, far).await.unwrap(), TaskRetry::NeedsAdmin);
    assert_eq!(parked(&store, 10).await, [expected]);
    for queue in TaskQueue::ALL {
        assert_eq!(store.claim_due_tasks(*queue, far, far, 10).await.unwrap(), []);
    }
    let resolution = TaskResolution { at: far, by: customer, reason: "refunded by hand".to_owned() };
    assert!(store.resolve_task(review.id, &resolution).await.unwrap());
    assert_eq!(parked(&store, 10).await, []);
    assert_eq!(store.retry_task(review.id, far).await.unwrap(), TaskRetry::NotParked);
}
