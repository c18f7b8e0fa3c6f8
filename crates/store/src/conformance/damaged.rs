//! Tasks and restaurants whose rows this program cannot decode completely, for the tests of stores. Each store's test writes
//! the rows of [`DamagedTasks`] with its own SQL, and then checks the store with [`damaged_tasks_hide_no_others`].

use std::{sync::Arc, time::Duration};

use dabba_domain::{
    OrderId, RestaurantId, TaskId, Timestamp,
    restaurant::Restaurant,
    task::{Task, TaskKind, TaskQueue, TaskSubject},
};
use uuid::Uuid;

use super::{
    builders::{World, menu},
    parking::parked,
    tasks::failure,
};
use crate::{
    ClaimedTask, NewTask, PageSize, RecordedTaskFailure, Store, StoreError, TaskRecord, TaskResolution,
    TaskRetry,
};

/// Ids of the tasks that the caller writes, beside a task in the same queue.
pub struct DamagedTasks {
    /// A sound task, due beside the damaged task.
    sound: NewTask,
    /// Order of all tasks.
    pub order_id: OrderId,
    /// Id of a due task whose payload and failures are damaged.
    due_id: TaskId,
    /// Id of a parked review with the reason of a newer version and with damaged failures.
    review_id: TaskId,
    /// Ids of a due and of a parked task with a damaged subject and a damaged number of attempts.
    number_ids: [TaskId; 2],
    /// Ids of parked tasks whose kinds look like lists of known kinds. Only a newer version can know these kinds.
    list_ids: [TaskId; 2],
}

/// A row of the table `tasks`, due at once.
#[derive(Clone, Copy, Debug)]
pub struct DamagedTask {
    /// The task's id.
    pub id: TaskId,
    /// The queue.
    pub queue: &'static str,
    /// Kind of the task.
    pub kind: &'static str,
    /// Kind of the subject.
    pub subject_kind: &'static str,
    /// Id of the subject.
    pub subject: Uuid,
    /// Content of the task.
    pub payload: &'static str,
    /// Recorded failures of the task.
    pub failures: &'static str,
    /// Number of attempts.
    pub attempts: i64,
    /// Time at which the task was parked, if it is.
    pub parked_at_ns: Option<i64>,
}

impl DamagedTasks {
    /// Content that does not fit the kind of the task, but is JSON. A database may accept no other.
    pub const PAYLOAD: &str = r#"{"token":["tok_secret"]}"#;
    /// Recorded failures that are JSON, but no list.
    pub const FAILURES: &str = r#"{"damaged":true}"#;

    /// Places the order with the sound task, and returns the ids for the tasks that the caller writes.
    pub async fn placed(store: &dyn Store, world: &mut World) -> Self {
        let (restaurant, customer) = (world.restaurant_id(), world.account_id());
        let mut commit = world.place_card(restaurant, customer);
        let sound =
            NewTask { task: Task::CapturePayment, run_at: world.in_seconds(10), ..commit.tasks[0].clone() };
        commit.tasks = vec![sound.clone()];
        let order_id = commit.order_id;
        store.commit(vec![commit]).await.unwrap();
        let mut id = || world.task_id(order_id);
        let (due_id, review_id, number_ids, list_ids) = (id(), id(), [id(), id()], [id(), id()]);
        Self { sound, order_id, due_id, review_id, number_ids, list_ids }
    }

    /// Returns the rows that the caller writes, with this damaged content and these damaged failures.
    pub fn rows(&self, payload: &'static str, failures: &'static str) -> [DamagedTask; 4] {
        let due = DamagedTask {
            id: self.due_id,
            queue: "payments",
            kind: "authorize_payment",
            subject_kind: "order",
            subject: self.order_id.uuid(),
            payload,
            failures,
            attempts: 0,
            parked_at_ns: None,
        };
        let review = DamagedTask {
            id: self.review_id,
            queue: "deadlines",
            kind: "review",
            payload: r#"{"reason":{"type":"novel"}}"#,
            parked_at_ns: Some(1),
            ..due
        };
        let [of_restaurant, of_order] = self.list_ids;
        [
            due,
            review,
            DamagedTask {
                id: of_restaurant,
                kind: "review/order,review",
                subject_kind: "restaurant",
                ..review
            },
            DamagedTask { id: of_order, kind: "refund_payment,review", ..review },
        ]
    }

    /// Returns rows that the caller writes after the check of the other rows: tasks about an order with an id that no
    /// order can have, and with numbers of attempts that do not fit 32 bits.
    pub fn rows_with_damaged_numbers(&self) -> [DamagedTask; 2] {
        let [due, ..] = self.rows("{}", "[]");
        let [due_id, parked_id] = self.number_ids;
        let kind = "capture_payment";
        let due = DamagedTask { id: due_id, kind, subject: Uuid::nil(), attempts: i64::MAX, ..due };
        [due, DamagedTask { id: parked_id, attempts: -1, parked_at_ns: Some(1), ..due }]
    }

    fn check_due(&self, task: &TaskRecord) {
        assert_eq!((task.id, task.kind), (self.due_id, TaskKind::AuthorizePayment));
        assert_eq!(task.subject, TaskSubject::Order(self.order_id));
        let Err(StoreError::Corrupt(text)) = &task.content else { panic!("{task:?}") };
        assert!(text.contains(&self.due_id.to_string()) && !text.contains("secret"), "{text}");
    }

    fn check_review(&self, task: &TaskRecord) {
        assert_eq!((task.id, task.kind), (self.review_id, TaskKind::Review));
        let Err(StoreError::WrittenByNewer(text)) = &task.content else { panic!("{task:?}") };
        assert!(text.contains(&self.review_id.to_string()), "{text}");
        assert!(task.review_detail().unwrap().contains("newer version"));
    }
}

async fn claim(store: &Arc<dyn Store>, now: Timestamp) -> Vec<ClaimedTask> {
    let mut claimed =
        store.claim_due_tasks(TaskQueue::Payments, now, now + Duration::from_mins(1), 10).await.unwrap();
    claimed.sort_by_key(|claimed| claimed.task.id);
    claimed
}

/// A task with damaged content is leased, parked, listed, retried, resolved and audited like every other task, and so
/// are the tasks beside it. Damaged failures hide no task either, and the next failure replaces them.
pub async fn damaged_tasks_hide_no_others(store: Arc<dyn Store>, world: &mut World, damaged: &DamagedTasks) {
    let now = world.in_seconds(1_000);
    let claimed = claim(&store, now).await;
    let [sound, due] = &claimed[..] else { panic!("{claimed:?}") };
    assert_eq!(sound.task, TaskRecord::from(damaged.sound.clone()));
    damaged.check_due(&due.task);
    assert_eq!((due.attempts, due.failures), (1, 0));
    let no = failure(now, "no");
    assert!(store.park_task(due.lease, &no).await.unwrap());

    let listed = parked(&store, 1).await;
    let [due, review] = &listed[..] else { panic!("{listed:?}") };
    damaged.check_due(&due.task);
    damaged.check_review(&review.task);
    assert_eq!(due.failures, [RecordedTaskFailure { attempt: 1, failure: no.clone() }]);
    let [lost] = &review.failures[..] else { panic!("{review:?}") };
    assert!(lost.failure.error.contains("damaged"), "{lost:?}");
    let audited = store.all_tasks(None, PageSize::DEFAULT).await.unwrap().entries;
    let [sound, due, review] = &audited[..] else { panic!("{audited:?}") };
    assert!(sound.task.content.is_ok());
    damaged.check_due(&due.task);
    damaged.check_review(&review.task);

    assert_eq!(store.retry_task(damaged.due_id, now).await.unwrap(), TaskRetry::Queued);
    let again = claim(&store, now).await;
    let [again] = &again[..] else { panic!("{again:?}") };
    damaged.check_due(&again.task);
    assert_eq!((again.attempts, again.failures), (2, 1));
    assert!(store.park_task(again.lease, &no).await.unwrap());
    assert_eq!(store.retry_task(damaged.review_id, now).await.unwrap(), TaskRetry::NeedsAdmin);
    let resolution = TaskResolution { at: now, by: world.account_id(), reason: "done".to_owned() };
    for id in [damaged.due_id, damaged.review_id] {
        assert!(store.resolve_task(id, &resolution).await.unwrap());
    }
    assert_eq!(parked(&store, 10).await, []);
    for id in damaged.list_ids {
        let refused = store.resolve_task(id, &resolution).await;
        assert!(matches!(refused, Err(StoreError::WrittenByNewer(_))), "{refused:?}");
    }
}

/// Tasks with damaged ids of subjects and damaged numbers of attempts stop no queue and hide no task: they are leased,
/// parked, listed, audited, retried and resolved like every other task.
pub async fn damaged_numbers_stop_no_queue(store: Arc<dyn Store>, world: &mut World, damaged: &DamagedTasks) {
    // The lease of the check before has expired.
    let now = world.in_seconds(2_000);
    let claimed = claim(&store, now).await;
    let mut ids: Vec<TaskId> = claimed.iter().map(|claimed| claimed.task.id).collect();
    ids.sort_unstable();
    let [due_id, parked_id] = damaged.number_ids;
    let mut expected = [damaged.sound.id, due_id];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let due = claimed.into_iter().find(|claimed| claimed.task.id == due_id).unwrap();
    assert_eq!(due.task.subject, TaskSubject::Order(OrderId::unchecked(Uuid::nil())));
    assert_eq!(due.attempts, 1, "a damaged number begins again");
    assert!(store.park_task(due.lease, &failure(now, "no")).await.unwrap());
    let listed: Vec<(TaskId, u32)> =
        parked(&store, 10).await.iter().map(|parked| (parked.task.id, parked.attempts)).collect();
    assert_eq!(listed, [(due_id, 1), (parked_id, 0)]);
    let audited = store.all_tasks(None, PageSize::DEFAULT).await.unwrap().entries;
    let is_audited = |id: TaskId| audited.iter().any(|stored| stored.task.id == id);
    assert!(is_audited(due_id) && is_audited(parked_id), "{audited:?}");
    for id in [due_id, parked_id] {
        assert_eq!(store.retry_task(id, now).await.unwrap(), TaskRetry::Queued);
    }
    let again = claim(&store, now).await;
    let tokens: Vec<(TaskId, u32)> = again.iter().map(|again| (again.task.id, again.lease.token)).collect();
    assert_eq!(tokens, [(due_id, 2), (parked_id, 1)]);
    let resolution = TaskResolution { at: now, by: world.account_id(), reason: "done".to_owned() };
    for again in again {
        assert!(store.park_task(again.lease, &failure(now, "no")).await.unwrap());
        assert!(store.resolve_task(again.task.id, &resolution).await.unwrap());
    }
    assert_eq!(parked(&store, 10).await, []);
}

/// A restaurant that cannot be decoded, the only one in the store, hides no restaurant that is listed beside it: each page
/// has as many restaurants as requested, names the one that it cannot contain, and the last page is shorter.
pub async fn damaged_restaurants_hide_no_others(store: &dyn Store, world: &mut World, damaged: RestaurantId) {
    let mut sound: Vec<_> = (0..5).map(|_| world.restaurant()).collect();
    for restaurant in &sound {
        assert!(store.create_restaurant(restaurant, &menu(&["naan"])).await.unwrap().is_created());
    }
    sound.sort_by_key(|restaurant| restaurant.id);
    for size in 1..=6 {
        let limit = PageSize::new(size).unwrap();
        let (mut read, mut unreadable): (Vec<Restaurant>, Vec<_>) = (Vec::new(), Vec::new());
        loop {
            let after = read.last().map(|restaurant| restaurant.id);
            let page = store.restaurants(after, None, limit).await.unwrap();
            assert!(!page.incomplete && page.restaurants.len() <= size as usize);
            let is_last = page.restaurants.len() < size as usize;
            read.extend(page.restaurants);
            unreadable.extend(page.unreadable);
            if is_last {
                break;
            }
        }
        assert_eq!((&read, &unreadable), (&sound, &vec![damaged]), "{size}");
    }
}
