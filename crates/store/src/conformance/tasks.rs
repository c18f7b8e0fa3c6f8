//! Tasks: one worker at a time works on each, and none is lost.

use std::{collections::HashSet, sync::Arc, time::Duration};

use dabba_domain::{
    RestaurantId, TaskId, Timestamp,
    task::{TaskQueue, TaskSubject},
};

use super::{builders::World, parking::parked};
use crate::{ClaimedTask, Commit, CommitOutcome, NewTask, Store, TaskFailure, TaskLease, TaskRecord};

/// The smallest unit of time.
pub(super) const MOMENT: Duration = Duration::from_nanos(1);

/// Places an order of a new restaurant with exactly one task, due at `run_at`.
pub(super) async fn add_task(store: &Arc<dyn Store>, world: &mut World, run_at: Timestamp) -> NewTask {
    let restaurant = world.restaurant_id();
    add_task_of(store, world, restaurant, run_at).await
}

async fn add_task_of(
    store: &Arc<dyn Store>,
    world: &mut World,
    restaurant: RestaurantId,
    run_at: Timestamp,
) -> NewTask {
    let account = world.account_id();
    let mut commit = world.place(restaurant, account);
    commit.tasks.truncate(1);
    commit.tasks[0].run_at = run_at;
    let task = commit.tasks[0].clone();
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    task
}

/// Returns a commit that only completes a task.
pub(super) async fn completing(
    store: &Arc<dyn Store>,
    world: &mut World,
    lease: TaskLease,
    subject: TaskSubject,
) -> Commit {
    let order = store.order(subject.order_id().unwrap()).await.unwrap().unwrap();
    let repeated = world.repeat(&order, order.details.customer_id);
    Commit { claim: None, completes: Some(lease), ..repeated }
}

pub(super) fn failure(at: Timestamp, error: &str) -> TaskFailure {
    TaskFailure { at, error: error.to_owned() }
}

/// Adds a task that is due at `due` and claims it, together with other due tasks.
pub(super) async fn add_and_claim(store: &Arc<dyn Store>, world: &mut World, due: Timestamp) -> ClaimedTask {
    let task = add_task(store, world, due).await;
    let claimed =
        store.claim_due_tasks(TaskQueue::Deadlines, due, due + Duration::from_mins(1), 10).await.unwrap();
    claimed.into_iter().find(|claimed| claimed.task.id == task.id).unwrap()
}

fn ids(claimed: &[ClaimedTask]) -> Vec<TaskId> {
    claimed.iter().map(|claimed| claimed.task.id).collect()
}

/// A task is leased exactly from its due time on, to the nanosecond, with its content as written.
pub async fn a_task_is_not_leased_before_it_is_due(store: Arc<dyn Store>) {
    let mut world = World::new(51);
    let due = world.in_seconds(60);
    let task = add_task(&store, &mut world, due).await;
    assert_eq!(
        store.claim_due_tasks(TaskQueue::Deadlines, due - MOMENT, world.in_seconds(90), 10).await.unwrap(),
        []
    );
    let claimed = store.claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(90), 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!((&claimed[0].task, claimed[0].attempts), (&TaskRecord::from(task.clone()), 1));
    assert_eq!(claimed[0].last_error, None);
    assert_eq!(claimed[0].lease.task_id, task.id);
}

/// Tasks of one restaurant are leased in order of due time, at most the requested number.
pub async fn tasks_are_leased_by_due_time_up_to_the_limit(store: Arc<dyn Store>) {
    let mut world = World::new(52);
    let restaurant = world.restaurant_id();
    let mut expected = Vec::new();
    for seconds in [50, 10, 40, 20, 30] {
        let run_at = world.in_seconds(seconds);
        expected.push(add_task_of(&store, &mut world, restaurant, run_at).await);
    }
    expected.sort_by_key(|task| task.run_at);
    let expected: Vec<TaskId> = expected.iter().map(|task| task.id).collect();
    let (now, until) = (world.in_seconds(1_000), world.in_seconds(2_000));
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, now, until, 0).await.unwrap(), []);
    assert_eq!(
        ids(&store.claim_due_tasks(TaskQueue::Deadlines, now, until, 2).await.unwrap()),
        expected[..2]
    );
    assert_eq!(
        ids(&store.claim_due_tasks(TaskQueue::Deadlines, now, until, 10).await.unwrap()),
        expected[2..]
    );
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, now, until, 10).await.unwrap(), []);
}

/// Exactly the requested number of tasks of many restaurants is leased while enough remain. Each result is
/// ordered by due time.
pub async fn tasks_of_many_restaurants_are_leased_up_to_the_limit(store: Arc<dyn Store>) {
    let mut world = World::new(50);
    let mut added = HashSet::new();
    let restaurants: Vec<_> = (0..3).map(|_| world.restaurant_id()).collect();
    for index in 0..20 {
        let seconds = i64::try_from(world.below(100)).unwrap();
        let due = world.in_seconds(seconds);
        let restaurant = restaurants[index * index % 3];
        added.insert(add_task_of(&store, &mut world, restaurant, due).await.id);
    }
    let (now, until) = (world.in_seconds(1_000), world.in_seconds(2_000));
    let mut leased = HashSet::new();
    for (limit, expected) in [(1, 1), (2, 2), (10, 10), (4, 4), (10, 3), (10, 0)] {
        let claimed = store.claim_due_tasks(TaskQueue::Deadlines, now, until, limit).await.unwrap();
        assert_eq!(claimed.len(), expected);
        assert!(claimed.is_sorted_by_key(|claimed| claimed.task.run_at));
        leased.extend(ids(&claimed));
    }
    assert_eq!(leased, added);
}

/// No other worker gets a leased task before the lease expires, to the nanosecond.
pub async fn a_leased_task_is_not_leased_again(store: Arc<dyn Store>) {
    let mut world = World::new(53);
    let (due, until) = (world.in_seconds(10), world.in_seconds(40));
    let task = add_task(&store, &mut world, due).await;
    assert_eq!(ids(&store.claim_due_tasks(TaskQueue::Deadlines, due, until, 10).await.unwrap()), [task.id]);
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, due, until, 10).await.unwrap(), []);
    assert_eq!(
        store.claim_due_tasks(TaskQueue::Deadlines, until - MOMENT, world.in_seconds(90), 10).await.unwrap(),
        []
    );
    assert_eq!(
        ids(&store.claim_due_tasks(TaskQueue::Deadlines, until, world.in_seconds(90), 10).await.unwrap()),
        [task.id]
    );
}

/// Concurrent workers share the tasks; each task is leased once.
pub async fn a_task_is_leased_to_one_of_many_workers(store: Arc<dyn Store>) {
    let mut world = World::new(54);
    let mut added = HashSet::new();
    let due = world.in_seconds(10);
    for _ in 0..30 {
        added.insert(add_task(&store, &mut world, due).await.id);
    }
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, until) = (Arc::clone(&store), world.in_seconds(1_000));
        workers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim_due_tasks(TaskQueue::Deadlines, due, until, 3).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(ids(&claimed));
            }
        });
    }
    let leased: Vec<TaskId> = workers.join_all().await.concat();
    assert_eq!(leased.len(), added.len(), "a task was leased twice or not at all");
    assert_eq!(leased.into_iter().collect::<HashSet<_>>(), added);
}

/// After a worker died, another takes over the task, with a higher token and one more attempt.
pub async fn an_expired_lease_is_taken_over(store: Arc<dyn Store>) {
    let mut world = World::new(55);
    let due = world.in_seconds(10);
    let task = add_task(&store, &mut world, due).await;
    let mut last_token = 0;
    for attempt in 1..=4 {
        let now = world.in_seconds(i64::from(attempt) * 60);
        let claimed =
            store.claim_due_tasks(TaskQueue::Deadlines, now, now + Duration::from_mins(1), 10).await.unwrap();
        assert_eq!(ids(&claimed), [task.id]);
        assert_eq!(claimed[0].attempts, attempt);
        assert!(claimed[0].lease.token > last_token, "attempt {attempt}");
        last_token = claimed[0].lease.token;
    }
}

/// A task is completed in the transaction of its result, and cannot be completed again.
pub async fn a_commit_completes_a_task(store: Arc<dyn Store>) {
    let mut world = World::new(56);
    let due = world.in_seconds(10);
    let task = add_task(&store, &mut world, due).await;
    let claimed =
        store.claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(40), 10).await.unwrap().remove(0);
    let commit = completing(&store, &mut world, claimed.lease, task.subject).await;
    let twice = commit.clone();
    let outcomes = store.commit(vec![commit, twice]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Committed, CommitOutcome::LeaseLost]);
    let far = world.in_seconds(1_000_000);
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap(), []);
    assert!(!store.postpone_task(claimed.lease, far, None).await.unwrap());
}

/// A worker that returns after another took over is refused and changes nothing; the other completes the
/// task.
pub async fn a_commit_with_a_lost_lease_is_refused(store: Arc<dyn Store>) {
    let mut world = World::new(57);
    let due = world.in_seconds(10);
    let task = add_task(&store, &mut world, due).await;
    let late =
        store.claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(40), 10).await.unwrap().remove(0);
    let now = world.in_seconds(50);
    let holder =
        store.claim_due_tasks(TaskQueue::Deadlines, now, world.in_seconds(90), 10).await.unwrap().remove(0);
    let commit = completing(&store, &mut world, late.lease, task.subject).await;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::LeaseLost]);
    let never = world.lease_of_nothing(task.subject);
    let commit = completing(&store, &mut world, never, task.subject).await;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::LeaseLost]);
    let commit = completing(&store, &mut world, holder.lease, task.subject).await;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
}

/// Work that took longer than the lease still completes if no other worker took over.
pub async fn an_expired_lease_that_was_not_taken_over_still_completes(store: Arc<dyn Store>) {
    let mut world = World::new(58);
    let due = world.in_seconds(10);
    let task = add_task(&store, &mut world, due).await;
    let claimed =
        store.claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(40), 10).await.unwrap().remove(0);
    let mut commit = completing(&store, &mut world, claimed.lease, task.subject).await;
    commit.at = world.in_seconds(4_000);
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
}

/// A postponed task is leased again at its new time and in the order of that time, with its error and its
/// number of attempts.
pub async fn a_postponed_task_is_leased_again_with_its_error(store: Arc<dyn Store>) {
    let mut world = World::new(59);
    let (due, later) = (world.in_seconds(10), world.in_seconds(300));
    let task = add_task(&store, &mut world, due).await;
    let between = world.in_seconds(200);
    let other = add_task(&store, &mut world, between).await;
    let until = world.in_seconds(40);
    let claimed = store.claim_due_tasks(TaskQueue::Deadlines, due, until, 10).await.unwrap().remove(0);
    let failure = failure(due, "the gateway said: \"no\" ✗");
    assert!(store.postpone_task(claimed.lease, later, Some(&failure)).await.unwrap());
    assert_eq!(
        store.claim_due_tasks(TaskQueue::Deadlines, later - MOMENT, until, 10).await.unwrap().len(),
        1,
        "the other task"
    );
    let now = world.in_seconds(301);
    let again = store.claim_due_tasks(TaskQueue::Deadlines, now, world.in_seconds(400), 10).await.unwrap();
    assert_eq!(ids(&again), [other.id, task.id]);
    assert_eq!(again[1].task, TaskRecord::from(NewTask { run_at: later, ..task }));
    assert_eq!(again[1].attempts, 2);
    assert_eq!(again[1].last_error, Some(failure.error));
    assert!(again[1].lease.token > claimed.lease.token);
}

/// A task is postponed once, and only by its lease holder.
pub async fn a_task_is_postponed_only_by_its_holder(store: Arc<dyn Store>) {
    let mut world = World::new(60);
    let due = world.in_seconds(10);
    let task = add_task(&store, &mut world, due).await;
    let first =
        store.claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(20), 10).await.unwrap().remove(0);
    let now = world.in_seconds(30);
    let second =
        store.claim_due_tasks(TaskQueue::Deadlines, now, world.in_seconds(40), 10).await.unwrap().remove(0);
    assert!(!store.postpone_task(first.lease, now, Some(&failure(now, "too late"))).await.unwrap());
    assert!(store.postpone_task(second.lease, now, Some(&failure(now, "first time"))).await.unwrap());
    assert!(!store.postpone_task(second.lease, now, Some(&failure(now, "second time"))).await.unwrap());
    let commit = completing(&store, &mut world, second.lease, task.subject).await;
    assert_eq!(
        store.commit(vec![commit]).await.unwrap(),
        [CommitOutcome::LeaseLost],
        "the task was already postponed"
    );
    let third =
        store.claim_due_tasks(TaskQueue::Deadlines, now, world.in_seconds(40), 10).await.unwrap().remove(0);
    assert_eq!(third.last_error.as_deref(), Some("first time"));
    let never = world.lease_of_nothing(task.subject);
    assert!(!store.postpone_task(never, now, Some(&failure(now, "never"))).await.unwrap());
}

/// A task that is postponed without an error keeps its last error and its history.
pub async fn a_task_postponed_without_an_error_keeps_its_last_error(store: Arc<dyn Store>) {
    let mut world = World::new(61);
    let due = world.in_seconds(10);
    let first = add_and_claim(&store, &mut world, due).await;
    assert!(store.postpone_task(first.lease, due, Some(&failure(due, "no"))).await.unwrap());
    let second =
        store.claim_due_tasks(TaskQueue::Deadlines, due, world.in_seconds(20), 10).await.unwrap().remove(0);
    let later = world.in_seconds(30);
    assert!(store.postpone_task(second.lease, later, None).await.unwrap());
    assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, later - MOMENT, later, 10).await.unwrap(), []);
    let third =
        store.claim_due_tasks(TaskQueue::Deadlines, later, world.in_seconds(40), 10).await.unwrap().remove(0);
    assert_eq!((third.attempts, third.last_error.as_deref()), (3, Some("no")));
    assert!(store.park_task(third.lease, &failure(later, "never")).await.unwrap());
    let attempts: Vec<u32> =
        parked(&store, 1).await[0].failures.iter().map(|failed| failed.attempt).collect();
    assert_eq!(attempts, [1, 3]);
}
