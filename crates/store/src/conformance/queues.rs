//! Task queues: each is worked independently, and each task keeps its content.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dabba_domain::{
    RestaurantId, TaskId, Timestamp,
    order::{RefundNumber, ReviewReason},
    task::{Task, TaskKind, TaskQueue, TaskSubject},
};

use super::builders::World;
use crate::{
    ClaimedTask, CommitOutcome, MAX_TASK_FAILURES, NewTask, PageSize, Store, TaskFailure, TaskRecord,
    TaskResolution, TaskRetry,
};

/// Returns a task of this kind with its content.
fn task_of(world: &mut World, kind: TaskKind) -> Task {
    match kind {
        TaskKind::WarnUnaccepted => Task::WarnUnaccepted,
        TaskKind::ExpireUnaccepted => Task::ExpireUnaccepted,
        TaskKind::ExpireUnpaid => Task::ExpireUnpaid,
        TaskKind::AuthorizePayment => Task::AuthorizePayment { token: world.payment_token() },
        TaskKind::CapturePayment => Task::CapturePayment,
        TaskKind::VoidPayment => Task::VoidPayment,
        TaskKind::RefundPayment => {
            let number = u32::try_from(world.below(1_000_000)).unwrap();
            Task::RefundPayment { number: RefundNumber::MIN.saturating_add(number) }
        }
        TaskKind::Review => Task::Review { reason: ReviewReason::PaymentVoided },
    }
}

/// Places an order with exactly these tasks.
async fn add(
    store: &Arc<dyn Store>,
    world: &mut World,
    restaurant: RestaurantId,
    tasks: &[(TaskKind, Timestamp)],
) -> Vec<NewTask> {
    let account = world.account_id();
    let mut commit = world.place_card(restaurant, account);
    let new_task = |(kind, run_at): &(TaskKind, Timestamp)| NewTask {
        id: world.task_id(commit.order_id),
        subject: TaskSubject::Order(commit.order_id),
        task: task_of(world, *kind),
        run_at: *run_at,
    };
    commit.tasks = tasks.iter().map(new_task).collect();
    let tasks = commit.tasks.clone();
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    tasks
}

fn ids<'a>(tasks: impl IntoIterator<Item = &'a NewTask>) -> Vec<TaskId> {
    tasks.into_iter().map(|task| task.id).collect()
}

async fn claim(store: &Arc<dyn Store>, queue: TaskQueue, now: Timestamp, limit: u32) -> Vec<ClaimedTask> {
    store.claim_due_tasks(queue, now, now + Duration::from_mins(1), limit).await.unwrap()
}

/// A task of each kind is returned exactly, by its queue and in the list of parked tasks.
pub async fn a_task_of_each_kind_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(81);
    let restaurant = world.restaurant_id();
    let due = world.in_seconds(10);
    let limit = PageSize::new(10).unwrap();
    for kind in TaskKind::ALL.iter().filter(|kind| !kind.needs_admin()) {
        let added = add(&store, &mut world, restaurant, &[(*kind, due)]).await;
        let claimed = claim(&store, kind.queue(), due, 10).await;
        let expected: Vec<TaskRecord> = added.iter().cloned().map(TaskRecord::from).collect();
        let tasks: Vec<TaskRecord> = claimed.iter().map(|claimed| claimed.task.clone()).collect();
        assert_eq!(tasks, expected);
        let failure = TaskFailure { at: due, error: "no".to_owned() };
        assert!(store.park_task(claimed[0].lease, &failure).await.unwrap());
        let parked = store.parked_tasks(None, limit).await.unwrap().tasks;
        assert_eq!(parked.last().unwrap().task, expected[0]);
        assert_eq!(store.retry_task(added[0].id, due).await.unwrap(), TaskRetry::Queued);
        let again = claim(&store, kind.queue(), due, 10).await;
        assert_eq!(again[0].task, expected[0]);
    }
}

/// A poll returns only tasks of the requested queue, ordered by due time. Leasing them does not lease tasks of another queue.
pub async fn tasks_are_leased_only_from_their_own_queue(store: Arc<dyn Store>) {
    let mut world = World::new(82);
    let mut all = Vec::new();
    for _ in 0..5 {
        let restaurant = world.restaurant_id();
        let mut due = || {
            let seconds = i64::try_from(world.below(100)).unwrap();
            world.in_seconds(seconds)
        };
        let kinds = TaskKind::ALL.iter().filter(|kind| !kind.needs_admin());
        let tasks: Vec<_> = kinds.map(|kind| (*kind, due())).collect();
        all.extend(add(&store, &mut world, restaurant, &tasks).await);
    }
    let now = world.in_seconds(1_000);
    for queue in TaskQueue::ALL {
        let mut expected = ids(all.iter().filter(|task| task.task.kind().queue() == *queue));
        let claimed = claim(&store, *queue, now, 100).await;
        assert!(claimed.is_sorted_by_key(|claimed| claimed.task.run_at));
        let mut claimed: Vec<TaskId> = claimed.iter().map(|claimed| claimed.task.id).collect();
        claimed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(claimed, expected, "{queue}");
        assert_eq!(claim(&store, *queue, now, 100).await, [], "{queue}: all tasks are leased");
    }
}

/// The first task of a queue is leased at once, whatever the number and age of the tasks in another queue.
pub async fn a_long_queue_does_not_delay_another(store: Arc<dyn Store>) {
    let mut world = World::new(83);
    let restaurant = world.restaurant_id();
    let (early, late) = (world.in_seconds(10), world.in_seconds(60));
    let payments = [(TaskKind::CapturePayment, early); 30];
    add(&store, &mut world, restaurant, &payments).await;
    let deadline = add(&store, &mut world, restaurant, &[(TaskKind::WarnUnaccepted, late)]).await;
    let claimed = claim(&store, TaskQueue::Deadlines, late, 1).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.task.id).collect::<Vec<_>>(), ids(&deadline));
    assert_eq!(claim(&store, TaskQueue::Payments, late, 100).await.len(), 30);
}

/// A leased task states its number of failures. Postponing without an error and losing the worker are no failures. A retry after
/// parking keeps the number.
pub async fn the_failures_of_a_task_are_counted(store: Arc<dyn Store>) {
    let mut world = World::new(84);
    let restaurant = world.restaurant_id();
    let due = world.in_seconds(10);
    add(&store, &mut world, restaurant, &[(TaskKind::AuthorizePayment, due)]).await;
    let no = TaskFailure { at: due, error: "no".to_owned() };
    let mut expected = 0;
    for (attempt, failure) in (1..).zip([None, Some(&no), None, Some(&no), Some(&no)]) {
        let claimed = claim(&store, TaskQueue::Payments, due, 10).await.remove(0);
        assert_eq!((claimed.attempts, claimed.failures), (attempt, expected));
        assert!(store.postpone_task(claimed.lease, due, failure).await.unwrap());
        expected += u32::from(failure.is_some());
    }
    let lost = claim(&store, TaskQueue::Payments, due, 10).await.remove(0);
    assert_eq!(lost.failures, expected);
    let now = world.in_seconds(600);
    let taken_over = claim(&store, TaskQueue::Payments, now, 10).await.remove(0);
    assert_eq!((taken_over.attempts, taken_over.failures), (7, expected));
    assert!(store.park_task(taken_over.lease, &no).await.unwrap());
    assert_eq!(store.retry_task(taken_over.task.id, now).await.unwrap(), TaskRetry::Queued);
    expected += 1;
    while expected < MAX_TASK_FAILURES {
        let claimed = claim(&store, TaskQueue::Payments, now, 10).await.remove(0);
        assert_eq!(claimed.failures, expected);
        assert!(store.postpone_task(claimed.lease, now, Some(&no)).await.unwrap());
        expected += 1;
    }
    for _ in 0..2 {
        let claimed = claim(&store, TaskQueue::Payments, now, 10).await.remove(0);
        assert_eq!(claimed.failures, MAX_TASK_FAILURES, "the number of recorded failures is limited");
        assert!(store.postpone_task(claimed.lease, now, Some(&no)).await.unwrap());
    }
}

/// Returns the number of parked tasks by kind, without kinds that have none, and the due time of the oldest overdue task of each
/// queue.
async fn measured(
    store: &Arc<dyn Store>,
    now: Timestamp,
) -> (BTreeMap<String, u64>, BTreeMap<&'static str, Timestamp>) {
    let (mut parked, mut overdue) = (BTreeMap::new(), BTreeMap::new());
    for shard in 0..store.shard_count() {
        let measured = store.measure(shard, now).await.unwrap();
        for (kind, count) in measured.parked.into_iter().filter(|(_, count)| *count > 0) {
            *parked.entry(kind).or_default() += count;
        }
        for (queue, due) in measured.overdue {
            let oldest = overdue.entry(queue.as_str()).or_insert(due);
            *oldest = due.min(*oldest);
        }
    }
    (parked, overdue)
}

/// Returns the number of due tasks of each queue that has any.
async fn due(store: &Arc<dyn Store>, now: Timestamp) -> BTreeMap<&'static str, u64> {
    let mut due = BTreeMap::new();
    for shard in 0..store.shard_count() {
        for (queue, count) in store.measure(shard, now).await.unwrap().due {
            *due.entry(queue.as_str()).or_default() += count;
        }
    }
    due.retain(|_, count| *count > 0);
    due
}

/// In each queue, the due tasks without a lease holder are counted, and the oldest one is measured. A task that is not
/// yet due or that is leased does not count; a task whose lease has expired counts again. A parked task counts by its
/// kind until it is resolved or retried, and is not overdue.
pub async fn waiting_and_parked_tasks_are_measured(store: Arc<dyn Store>) {
    let mut world = World::new(85);
    // The world's own clock advances with each generated id.
    let start = world.in_seconds(0);
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let none = (BTreeMap::new(), BTreeMap::new());
    assert_eq!(measured(&store, at(0)).await, none);
    let mut tasks = Vec::new();
    for (kind, seconds) in [
        (TaskKind::WarnUnaccepted, 10),
        (TaskKind::CapturePayment, 20),
        (TaskKind::RefundPayment, 30),
        (TaskKind::Review, 1),
    ] {
        let restaurant = world.restaurant_id();
        let due = at(seconds);
        tasks.extend(add(&store, &mut world, restaurant, &[(kind, due)]).await);
    }
    let review = BTreeMap::from([("review".to_owned(), 1)]);
    let overdue = |entries: &[(&'static str, u64)]| -> BTreeMap<&'static str, Timestamp> {
        entries.iter().map(|(queue, seconds)| (*queue, at(*seconds))).collect()
    };
    assert_eq!(measured(&store, at(5)).await, (review.clone(), BTreeMap::new()));
    let expected = overdue(&[("deadlines", 10), ("payments", 20)]);
    assert_eq!(measured(&store, at(25)).await, (review.clone(), expected));
    assert_eq!(due(&store, at(5)).await, BTreeMap::new());
    assert_eq!(due(&store, at(25)).await, BTreeMap::from([("deadlines", 1), ("payments", 1)]));

    assert_eq!(claim(&store, TaskQueue::Payments, at(25), 10).await.len(), 1);
    let expected = overdue(&[("deadlines", 10)]);
    assert_eq!(measured(&store, at(26)).await.1, expected, "a leased task is not overdue");
    assert_eq!(due(&store, at(26)).await, BTreeMap::from([("deadlines", 1)]));
    let expected = overdue(&[("deadlines", 10), ("payments", 30)]);
    assert_eq!(measured(&store, at(40)).await.1, expected);
    let expected = overdue(&[("deadlines", 10), ("payments", 20)]);
    assert_eq!(measured(&store, at(90)).await.1, expected, "the lease has expired");
    assert_eq!(due(&store, at(90)).await, BTreeMap::from([("deadlines", 1), ("payments", 2)]));

    let held = claim(&store, TaskQueue::Deadlines, at(90), 10).await.remove(0);
    let no = TaskFailure { at: at(91), error: "no".to_owned() };
    assert!(store.park_task(held.lease, &no).await.unwrap());
    let parked = BTreeMap::from([("review".to_owned(), 1), ("warn_unaccepted".to_owned(), 1)]);
    let later = at(1_000);
    assert_eq!(measured(&store, later).await, (parked, overdue(&[("payments", 20)])));
    let resolution = TaskResolution { at: later, by: world.account_id(), reason: "done".to_owned() };
    assert!(store.resolve_task(tasks[3].id, &resolution).await.unwrap());
    assert_eq!(store.retry_task(tasks[0].id, at(500)).await.unwrap(), TaskRetry::Queued);
    let expected = overdue(&[("deadlines", 500), ("payments", 20)]);
    assert_eq!(measured(&store, later).await, (BTreeMap::new(), expected));
}
