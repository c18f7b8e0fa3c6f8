//! Tasks that are not about orders: written, completed and resolved without an order's commit.
//!
//! The only kind that may have other subjects is a review, which no worker receives. So the tests of stores unpark reviews
//! with their own SQL, and then check with [`unparked_tasks_are_worked`] that workers lease, return and complete them.

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    TaskId, Timestamp,
    task::{Task, TaskQueue, TaskSubject},
};
use futures::future::join_all;

use super::{
    builders::{World, order_of},
    parking::parked,
    tasks::{MOMENT, add_and_claim, failure},
};
use crate::{
    ClaimedTask, NewTask, PageSize, ParkedTask, RecordedTaskFailure, Store, StoreError, StoredTask,
    TaskRecord, TaskResolution, TaskRetry,
};

/// Returns a review of a restaurant and a review of an account, both due at `at`.
pub fn reviews(world: &mut World, at: Timestamp) -> [NewTask; 2] {
    let subjects = [TaskSubject::Restaurant(world.restaurant_id()), TaskSubject::Account(world.account_id())];
    subjects.map(|subject| world.review_of(subject, at))
}

async fn all_tasks(store: &Arc<dyn Store>) -> Vec<StoredTask> {
    store.all_tasks(None, PageSize::DEFAULT).await.unwrap().entries
}

fn is_corrupt<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Corrupt(_)))
}

/// A task about a restaurant or an account is returned exactly, among the tasks of orders, by the list of parked tasks
/// and by the list of all tasks.
pub async fn a_task_about_a_restaurant_or_an_account_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(151);
    let at = world.in_seconds(5);
    let mut expected = Vec::new();
    for _ in 0..3 {
        let due = world.in_seconds(10);
        let of_order = add_and_claim(&store, &mut world, due).await;
        assert!(store.park_task(of_order.lease, &failure(due, "no")).await.unwrap());
        expected.push((of_order.task, due));
        for review in reviews(&mut world, at) {
            assert!(store.enqueue_task(&review).await.unwrap());
            expected.push((review.into(), at));
        }
    }
    expected.sort_by_key(|(task, _)| task.id);
    for page_size in [1, 4, 100] {
        let found = parked(&store, page_size).await.into_iter().map(|parked| (parked.task, parked.parked_at));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{page_size}");
    }
    let stored = all_tasks(&store).await.into_iter().map(|stored| (stored.task, stored.parked_at.unwrap()));
    assert_eq!(stored.collect::<Vec<_>>(), expected);
    let mut count = 0;
    for shard in 0..store.shard_count() {
        let parked = store.measure(shard, at).await.unwrap().parked;
        count += parked.iter().filter(|(kind, _)| kind == "review").map(|(_, count)| count).sum::<u64>();
    }
    assert_eq!(count, 6);
}

/// Of many calls that enqueue a task with the same id, one writes it. A repeated call changes nothing.
pub async fn a_task_is_enqueued_once(store: Arc<dyn Store>) {
    let mut world = World::new(152);
    let at = world.in_seconds(5);
    let [review, other] = reviews(&mut world, at);
    let calls = join_all((0..8).map(|_| store.enqueue_task(&review))).await;
    let written = calls.into_iter().filter(|call| *call.as_ref().unwrap()).count();
    assert_eq!(written, 1);
    let same_id = NewTask { id: review.id, run_at: at + MOMENT, ..other };
    assert!(!store.enqueue_task(&same_id).await.unwrap());
    let expected = ParkedTask { task: review.into(), attempts: 0, parked_at: at, failures: Vec::new() };
    assert_eq!(parked(&store, 10).await, [expected]);
}

/// A task whose kind cannot have its subject is refused, and so is the task of an order. Nothing is written.
pub async fn a_task_that_does_not_fit_its_kind_is_refused(store: Arc<dyn Store>) {
    let mut world = World::new(153);
    let at = world.in_seconds(5);
    for review in reviews(&mut world, at) {
        for task in [Task::CapturePayment, Task::ExpireUnaccepted] {
            let refused = store.enqueue_task(&NewTask { task, ..review.clone() }).await;
            assert!(is_corrupt(&refused), "{refused:?}");
        }
    }
    let restaurant = world.restaurant_id();
    let order_id = world.order_id(restaurant);
    let review = world.review_of(TaskSubject::Order(order_id), at);
    let refused = store.enqueue_task(&review).await;
    assert!(is_corrupt(&refused), "{refused:?}");
    assert_eq!(all_tasks(&store).await, []);
}

/// A review of any subject is never leased and stays parked on a retry. An admin resolves it once.
pub async fn a_review_of_any_subject_is_resolved_once(store: Arc<dyn Store>) {
    let mut world = World::new(154);
    let (at, far) = (world.in_seconds(5), world.in_seconds(1_000_000));
    let resolution = TaskResolution { at: far, by: world.account_id(), reason: "done".to_owned() };
    for review in reviews(&mut world, at) {
        assert_eq!(store.retry_task(review.id, far).await.unwrap(), TaskRetry::NotParked);
        assert!(!store.resolve_task(review.id, &resolution).await.unwrap());
        assert!(store.enqueue_task(&review).await.unwrap());
        assert_eq!(store.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap(), []);
        assert_eq!(store.retry_task(review.id, far).await.unwrap(), TaskRetry::NeedsAdmin);
        assert!(store.resolve_task(review.id, &resolution).await.unwrap());
        assert!(!store.resolve_task(review.id, &resolution).await.unwrap(), "only once");
        assert_eq!(store.retry_task(review.id, far).await.unwrap(), TaskRetry::NotParked);
        assert_eq!(parked(&store, 10).await, []);
        assert!(!store.enqueue_task(&review).await.unwrap(), "a resolved task still exists");
    }
    assert!(all_tasks(&store).await.iter().all(|stored| stored.resolved_at == Some(far)));
}

/// The leased task of an order is not completed without a commit of the order.
pub async fn the_task_of_an_order_needs_a_commit(store: Arc<dyn Store>) {
    let mut world = World::new(155);
    let due = world.in_seconds(10);
    let claimed = add_and_claim(&store, &mut world, due).await;
    let refused = store.complete_task(claimed.lease).await;
    assert!(is_corrupt(&refused), "{refused:?}");
    // The row itself is about an order, whatever the lease states.
    let subject = TaskSubject::Account(world.account_id());
    assert!(!store.complete_task(crate::TaskLease { subject, ..claimed.lease }).await.unwrap());
    assert_eq!(all_tasks(&store).await.len(), 1);
}

async fn claim(store: &Arc<dyn Store>, now: Timestamp) -> Vec<ClaimedTask> {
    store.claim_due_tasks(TaskQueue::Deadlines, now, now + Duration::from_mins(1), 10).await.unwrap()
}

/// Checks that workers lease, postpone, complete and park these two tasks ([`reviews`]), which are due at `at` and which the
/// caller has unparked. Each step needs the latest lease.
pub async fn unparked_tasks_are_worked(store: Arc<dyn Store>, tasks: &[NewTask; 2], at: Timestamp) {
    let after = |seconds| at + Duration::from_secs(seconds);
    assert_eq!(claim(&store, at - MOMENT).await, []);
    let mut first = claim(&store, at).await;
    assert_eq!(first.len(), 2);
    for claimed in &first {
        let is_written = |task: &NewTask| TaskRecord::from(task.clone()) == claimed.task;
        assert!(tasks.iter().any(is_written), "{claimed:?}");
        assert_eq!((claimed.lease.subject, claimed.attempts), (claimed.task.subject, 1));
    }
    assert_eq!(claim(&store, after(1)).await, [], "both tasks are leased");
    first.sort_by_key(|claimed| claimed.task.id != tasks[0].id);

    let no = failure(after(2), "no");
    assert!(store.postpone_task(first[0].lease, after(10), Some(&no)).await.unwrap());
    assert!(!store.postpone_task(first[0].lease, after(10), None).await.unwrap(), "only once");
    assert_eq!(claim(&store, after(10) - MOMENT).await, []);
    let again = claim(&store, after(10)).await.remove(0);
    assert_eq!((again.task.id, again.attempts, again.failures), (tasks[0].id, 2, 1));
    assert_eq!(again.task, TaskRecord::from(NewTask { run_at: after(10), ..tasks[0].clone() }));
    for stale in [first[0].lease, crate::TaskLease { token: 3, ..again.lease }] {
        assert!(!store.complete_task(stale).await.unwrap());
        assert!(!store.park_task(stale, &no).await.unwrap());
        assert!(!store.postpone_task(stale, after(11), None).await.unwrap());
    }
    assert!(store.complete_task(again.lease).await.unwrap());
    assert!(!store.complete_task(again.lease).await.unwrap(), "only once");
    assert_eq!(all_tasks(&store).await.len(), 1);

    // The lease of the second task expires, and another worker takes over the task.
    let taken_over = claim(&store, after(600)).await.remove(0);
    assert_eq!((taken_over.task.id, taken_over.attempts), (tasks[1].id, 2));
    assert!(!store.complete_task(first[1].lease).await.unwrap());
    let failed = failure(after(601), "no again");
    assert!(store.park_task(taken_over.lease, &failed).await.unwrap());
    assert!(!store.complete_task(taken_over.lease).await.unwrap(), "a parked task has no lease");
    let failures = vec![RecordedTaskFailure { attempt: 2, failure: failed }];
    let expected = ParkedTask { task: tasks[1].clone().into(), attempts: 2, parked_at: after(601), failures };
    assert_eq!(parked(&store, 10).await, [expected]);
    assert_eq!(store.retry_task(tasks[1].id, at).await.unwrap(), TaskRetry::NeedsAdmin);
}

/// Tasks in a database whose kind cannot have their subject, for the tests of stores. Each store's test writes them with its own
/// SQL, and then checks the store with [`misfits_are_refused`].
pub struct Misfits {
    /// Task of an order, due beside these tasks.
    order: NewTask,
    /// Id of a due task with [`Misfits::KIND`], [`Misfits::QUEUE`] and [`Misfits::SUBJECT_KIND`].
    pub due_id: TaskId,
    /// Id of a parked task of the same kind, with the same subject.
    pub parked_id: TaskId,
    /// The id of the subject.
    pub subject: TaskSubject,
}

impl Misfits {
    /// Kind of the tasks.
    pub const KIND: &str = "capture_payment";
    /// Queue of the tasks.
    pub const QUEUE: &str = "payments";
    /// Kind of the subject.
    pub const SUBJECT_KIND: &str = "account";

    /// Places an order, and returns the ids for the tasks that the caller writes.
    pub async fn placed(store: &dyn Store, world: &mut World) -> Self {
        let (restaurant, customer) = (world.restaurant_id(), world.account_id());
        let commit = world.place(restaurant, customer);
        let order = NewTask { subject: TaskSubject::Order(order_of(&commit).id), ..commit.tasks[0].clone() };
        store.commit(vec![commit]).await.unwrap();
        let subject = TaskSubject::Account(world.account_id());
        Self { order, due_id: world.task_id_of(subject), parked_id: world.task_id_of(subject), subject }
    }
}

/// A task that does not fit its kind is never leased, never listed and never resolved, and does not delay the tasks beside it.
/// An audit reads it.
pub async fn misfits_are_refused(store: Arc<dyn Store>, world: &World, misfits: &Misfits) {
    let far = world.in_seconds(1_000_000);
    assert_eq!(store.claim_due_tasks(TaskQueue::Payments, far, far, 10).await.unwrap(), []);
    assert_eq!(claim(&store, far).await.remove(0).task.subject, misfits.order.subject);
    assert_eq!(parked(&store, 10).await, []);
    let by = world.clone().account_id();
    let resolution = TaskResolution { at: far, by, reason: "done".to_owned() };
    let resolved = store.resolve_task(misfits.parked_id, &resolution).await;
    assert!(is_corrupt(&resolved), "{resolved:?}");
    let retried = store.retry_task(misfits.parked_id, far).await;
    assert!(is_corrupt(&retried), "{retried:?}");
    let audited = all_tasks(&store).await.into_iter().filter(|stored| stored.task.check().is_err());
    let mut audited: Vec<_> = audited.map(|stored| (stored.task.id, stored.task.subject)).collect();
    audited.sort_unstable_by_key(|(id, _)| *id);
    let mut expected = [(misfits.due_id, misfits.subject), (misfits.parked_id, misfits.subject)];
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(audited, expected);
}
