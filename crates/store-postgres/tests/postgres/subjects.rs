//! Tasks that are not about orders: processed in one database, and kept in the directory of several. Tasks that this
//! program does not write: those whose kind cannot have their subject, and damaged tasks.

use std::sync::Arc;

use dabba_domain::{
    Bucket, OrderId, TaskId, Timestamp,
    task::{TaskQueue, TaskSubject},
};
use dabba_store::{
    BucketRange, CommitOutcome, NewTask, OrderStore as _, PageSize, ShardMap, ShardRange, ShardedStore,
    Store, StoreError, TaskRecord, TaskResolution, TaskRetry, TaskStore as _,
    conformance::{
        builders::World,
        damaged::{DamagedTask, DamagedTasks, damaged_numbers_stop_no_queue, damaged_tasks_hide_no_others},
        subjects::{Misfits, misfits_are_refused, reviews, unparked_tasks_are_worked},
    },
    encoding::clamped_nanoseconds,
};
use dabba_store_postgres::{LeaseClock, Ownership, PostgresOptions, PostgresStore, admin::Administration};
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::common::{fresh_database, open, open_with, randomness, session};

/// Claims due tasks. This is the statement of the published version before schema 12 (8eb1586), unchanged.
const PUBLISHED_CLAIM_DUE: &str = "\
    WITH moment AS MATERIALIZED ( \
        SELECT coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000) AS ns), \
    due AS ( \
        SELECT id FROM tasks \
        WHERE parked_at_ns IS NULL AND queue = $4 AND kind = ANY ($6) AND run_at_ns <= $1 \
            AND (leased_until_ns IS NULL OR leased_until_ns <= (SELECT ns FROM moment)) \
            AND bucket_of(id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
                AND (SELECT last_bucket FROM shard WHERE is_the_only_row) \
        ORDER BY run_at_ns, id LIMIT $3 FOR UPDATE SKIP LOCKED) \
    UPDATE tasks SET \
        leased_until_ns = least((SELECT ns FROM moment)::numeric + $2::bigint, 9223372036854775807)::bigint, attempts = tasks.attempts + 1 \
    FROM due WHERE tasks.id = due.id \
    RETURNING tasks.id, order_id, kind, payload::text, run_at_ns, attempts, \
        jsonb_array_length(failures)::bigint, last_error";

/// Lists parked tasks. This is the statement of the published version before schema 12 (8eb1586), unchanged.
const PUBLISHED_PARKED: &str = "\
    SELECT id, order_id, kind, payload::text, run_at_ns, attempts, parked_at_ns, failures::text FROM tasks \
    WHERE parked_at_ns IS NOT NULL AND resolved_at_ns IS NULL AND id > $1 AND kind = ANY ($3) \
        AND bucket_of(id) BETWEEN (SELECT first_bucket FROM shard WHERE is_the_only_row) \
            AND (SELECT last_bucket FROM shard WHERE is_the_only_row) \
    ORDER BY id LIMIT $2";

/// Kinds of tasks that this published version knows, and passes to its statements.
const PUBLISHED_KINDS: [&str; 8] = [
    "warn_unaccepted",
    "expire_unaccepted",
    "expire_unpaid",
    "authorize_payment",
    "capture_payment",
    "void_payment",
    "refund_payment",
    "review",
];

/// Workers lease and complete tasks that are not about orders, as soon as a kind for workers allows it.
#[tokio::test]
async fn tasks_without_an_order_are_worked() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(143);
    let at = world.in_seconds(5);
    let tasks = reviews(&mut world, at);
    for task in &tasks {
        assert!(store.enqueue_task(task).await.unwrap());
    }
    let unpark = "UPDATE tasks SET parked_at_ns = NULL";
    assert_eq!(session(&url).await.execute(unpark, &[]).await.unwrap(), 2);
    unparked_tasks_are_worked(store.clone(), &tasks, at).await;
    store.close().await;
}

/// A task that does not fit its kind is refused wherever it is read.
#[tokio::test]
async fn tasks_that_do_not_fit_their_kind_are_refused() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(144);
    let misfits = Misfits::placed(&*store, &mut world).await;
    let client = session(&url).await;
    for (id, parked_at_ns) in [(misfits.due_id, None), (misfits.parked_id, Some(1_i64))] {
        let insert = "INSERT INTO tasks (id, order_id, subject_kind, queue, kind, run_at_ns, parked_at_ns) \
            VALUES ($1, $2, $3, $4, $5, 1, $6)";
        let parameters: [&(dyn ToSql + Sync); 6] = [
            &id.uuid(),
            &misfits.subject.uuid(),
            &Misfits::SUBJECT_KIND,
            &Misfits::QUEUE,
            &Misfits::KIND,
            &parked_at_ns,
        ];
        client.execute(insert, &parameters).await.unwrap();
    }
    misfits_are_refused(store.clone(), &world, &misfits).await;
    store.close().await;
}

/// Writes the rows of damaged tasks.
async fn write_damaged(client: &tokio_postgres::Client, rows: &[DamagedTask]) {
    for row in rows {
        let DamagedTask { id, queue, kind, subject_kind, subject, payload, failures, attempts, parked_at_ns } =
            *row;
        let insert = "INSERT INTO tasks \
                (id, order_id, subject_kind, queue, kind, payload, failures, attempts, run_at_ns, parked_at_ns) \
            VALUES ($1, $2, $3, $4, $5, $6::text::json, $7::text::jsonb, $8, 1, $9)";
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &id.uuid(),
            &subject,
            &subject_kind,
            &queue,
            &kind,
            &payload,
            &failures,
            &attempts,
            &parked_at_ns,
        ];
        client.execute(insert, &parameters).await.unwrap();
    }
}

/// Proves that damaged tasks hide no other tasks, and stop no queue.
#[tokio::test]
async fn damaged_tasks_are_leased_and_listed_beside_others() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(148);
    let damaged = DamagedTasks::placed(&*store, &mut world).await;
    let client = session(&url).await;
    write_damaged(&client, &damaged.rows(DamagedTasks::PAYLOAD, DamagedTasks::FAILURES)).await;
    damaged_tasks_hide_no_others(store.clone(), &mut world, &damaged).await;
    write_damaged(&client, &damaged.rows_with_damaged_numbers()).await;
    damaged_numbers_stop_no_queue(store.clone(), &mut world, &damaged).await;
    store.close().await;
}

/// A server that knows only the schema before subjects leases no task about an account, and writes none. Its tasks of orders
/// are tasks of orders for newer servers. The older server is this program with the option `known_schema`: its statements are
/// those of this version, adapted to the earlier schema. The next test executes the statements of a published version.
#[tokio::test]
async fn an_older_server_leases_no_task_without_an_order() {
    let url = fresh_database();
    let lease_clock = LeaseClock::Caller;
    let older = PostgresOptions { known_schema: 11, lease_clock, ..PostgresOptions::default() };
    let (older, newer) = (open_with(&url, &older).await, open(&url).await);
    let mut world = World::new(146);
    let review = review(&mut world, 7);
    assert!(matches!(older.enqueue_task(&review).await, Err(StoreError::Unfit(_))));
    assert!(newer.enqueue_task(&review).await.unwrap());
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant, customer);
    let of_order = TaskRecord::from(commit.tasks[0].clone());
    older.commit(vec![commit]).await.unwrap();
    let far = world.in_seconds(1_000_000);
    assert_eq!(older.retry_task(review.id, far).await, Ok(TaskRetry::NeedsAdmin));
    let claimed = older.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap();
    assert_eq!(
        claimed.into_iter().map(|claimed| claimed.task).collect::<Vec<_>>(),
        std::slice::from_ref(&of_order)
    );
    let listed = older.parked_tasks(None, PageSize::DEFAULT).await.unwrap().tasks;
    assert_eq!(listed.iter().map(|parked| parked.task.id).collect::<Vec<_>>(), [review.id]);
    let claimed = newer.claim_due_tasks(TaskQueue::Deadlines, far, far, 10).await.unwrap();
    assert_eq!(
        claimed.into_iter().map(|claimed| claimed.task).collect::<Vec<_>>(),
        std::slice::from_ref(&of_order)
    );
    let resolution = TaskResolution { at: far, by: customer, reason: "done".to_owned() };
    assert_eq!(older.resolve_task(review.id, &resolution).await, Ok(true));
}

/// The published version before schema 12 claims the task of an order on the newest schema, and no task about a restaurant:
/// neither a review, which is parked from the start, nor a task for workers, whose kind only newer servers know. It lists
/// the review, as the migration states. With several databases it finds tasks by the bucket of the id.
#[tokio::test]
async fn a_published_server_claims_no_task_without_an_order() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(150);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant, customer);
    let of_order = commit.tasks[0].id;
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    let (subject, at) = (TaskSubject::Restaurant(restaurant), world.tick());
    let review = world.review_of(subject, at);
    assert!(store.enqueue_task(&review).await.unwrap());
    let client = session(&url).await;
    let insert = "INSERT INTO tasks (id, order_id, subject_kind, queue, kind, run_at_ns) \
        VALUES ($1, $2, 'restaurant', 'deadlines', 'remind_restaurant', 1)";
    let id = world.task_id_of(subject).uuid();
    assert_eq!(client.execute(insert, &[&id, &restaurant.uuid()]).await.unwrap(), 1);

    let (far, kinds) = (clamped_nanoseconds(world.in_seconds(1_000_000)), PUBLISHED_KINDS.to_vec());
    let ids = |rows: &[Row]| rows.iter().map(|row| row.get(0)).collect::<Vec<Uuid>>();
    let queue = TaskQueue::Deadlines.as_str();
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&far, &1_000_000_000_i64, &10_i64, &queue, &Some(far), &kinds];
    let claimed = client.query(PUBLISHED_CLAIM_DUE, &parameters).await.unwrap();
    assert_eq!(ids(&claimed), [of_order.uuid()]);
    let parked = client.query(PUBLISHED_PARKED, &[&Uuid::nil(), &10_i64, &kinds]).await.unwrap();
    assert_eq!(ids(&parked), [review.id.uuid()]);
    store.close().await;
}

/// A directory and another shard: the two halves of a split database.
struct Halves {
    urls: [String; 2],
    stores: [Arc<PostgresStore>; 2],
    router: ShardedStore,
}

impl Halves {
    /// Splits a database that contains these tasks and orders. Both halves still contain all rows.
    async fn of(world: &mut World, tasks: &[NewTask]) -> Self {
        let urls = [fresh_database(), fresh_database()];
        for url in &urls {
            let store = open(url).await;
            let mut copied = world.clone();
            for _ in 0..6 {
                let (restaurant, customer) = (copied.restaurant_id(), copied.account_id());
                let commit = copied.place(restaurant, customer);
                store.commit(vec![commit]).await.unwrap();
            }
            for task in tasks {
                assert!(store.enqueue_task(task).await.unwrap());
            }
            store.close().await;
        }
        let halves = [("main", "0-2047", true), ("south", "2048-4095", false)];
        let (mut stores, mut shards) = (Vec::new(), Vec::new());
        for ((name, range, is_directory), url) in halves.into_iter().zip(&urls) {
            let buckets: BucketRange = range.parse().unwrap();
            let ownership = Ownership { name: name.to_owned(), buckets, is_directory };
            let (first, last) = (i32::from(buckets.first().number()), i32::from(buckets.last().number()));
            let split = "UPDATE shard SET name = $1, first_bucket = $2, last_bucket = $3, is_directory = $4";
            session(url).await.execute(split, &[&name, &first, &last, &is_directory]).await.unwrap();
            let options = PostgresOptions { lease_clock: LeaseClock::Caller, ..PostgresOptions::default() };
            let store = PostgresStore::open(url, &ownership, &options, randomness()).await.unwrap();
            stores.push(Arc::new(store));
            shards.push(ShardRange { name: name.to_owned(), buckets, split_from: None });
        }
        let shared = stores.iter().map(|store| Arc::clone(store) as Arc<dyn Store>).collect();
        let router = ShardedStore::new(ShardMap::new(shards).unwrap(), shared).unwrap();
        Self { urls, stores: stores.try_into().unwrap(), router }
    }

    /// Returns the ids of all tasks in the database of a half, as the database itself counts them.
    async fn rows(&self, half: usize) -> Vec<Uuid> {
        let rows = "SELECT id FROM tasks WHERE subject_kind <> 'order' ORDER BY id";
        let rows = session(&self.urls[half]).await.query(rows, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Returns a review of an account, whose id has this bucket.
fn review(world: &mut World, bucket: u16) -> NewTask {
    let subject = TaskSubject::Account(world.account_id());
    let at = world.tick();
    let id = TaskId::generate(at, Bucket::new(bucket).unwrap(), 42);
    NewTask { id, ..world.review_of(subject, at) }
}

/// A task that is not about an order stays in the directory when a shard is split, whatever the bucket of its id: only the
/// directory lists, leases, resolves and keeps it, and a purge removes the copy in the new shard.
#[tokio::test(flavor = "multi_thread")]
async fn a_split_leaves_tasks_of_other_subjects_in_the_directory() {
    let mut world = World::new(145);
    let tasks = [7, 4_000, 2_048].map(|bucket| review(&mut world, bucket));
    let halves = Halves::of(&mut world, &tasks).await;
    let [directory, south] = &halves.stores;
    let expected: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let parked = async |store: &dyn Store| -> Vec<TaskId> {
        let page = store.parked_tasks(None, PageSize::DEFAULT).await.unwrap();
        page.tasks.iter().map(|parked| parked.task.id).collect()
    };
    assert_eq!(parked(&**directory).await, expected);
    assert_eq!(parked(&**south).await, []);
    assert_eq!(parked(&halves.router).await, expected);
    let now = world.in_seconds(1_000_000);
    let counted = async |store: &PostgresStore| store.measure(0, now).await.unwrap().parked;
    assert_eq!(counted(directory).await, [("review".to_owned(), 3)]);
    assert_eq!(counted(south).await, []);
    let all = async |store: &dyn Store| -> Vec<TaskSubject> {
        let all = store.all_tasks(None, PageSize::DEFAULT).await.unwrap().entries;
        all.iter().map(|stored| stored.task.subject).collect()
    };
    let of_orders =
        |subjects: &[TaskSubject]| subjects.iter().filter_map(|subject| subject.order_id()).count();
    let (kept, moved) = (all(&**directory).await, all(&**south).await);
    assert_eq!((kept.len() - of_orders(&kept), moved.len() - of_orders(&moved)), (3, 0));
    assert_eq!(of_orders(&kept) + of_orders(&moved), 6);
    assert_eq!(all(&halves.router).await.len(), 9);

    let refused = south.enqueue_task(&review(&mut world, 2_050)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let late = review(&mut world, 2_050);
    assert!(halves.router.enqueue_task(&late).await.unwrap());
    let resolution = TaskResolution { at: now, by: world.account_id(), reason: "done".to_owned() };
    for id in [tasks[1].id, late.id] {
        assert_eq!(south.retry_task(id, now).await, Ok(TaskRetry::NotParked));
        assert_eq!(halves.router.retry_task(id, now).await, Ok(TaskRetry::NeedsAdmin));
        assert_eq!(south.resolve_task(id, &resolution).await, Ok(false));
        assert_eq!(halves.router.resolve_task(id, &resolution).await, Ok(true));
        assert_eq!(halves.router.resolve_task(id, &resolution).await, Ok(false));
    }

    // The directory still has the parked tasks of orders that have moved: one that the new shard has too, and one that it has not.
    let [moved, gone] = [(4_000, 0..2), (4_001, 0..1)].map(|(bucket, halves_with_row)| {
        let bucket = Bucket::new(bucket).unwrap();
        (OrderId::generate(now, bucket, 43), TaskId::generate(now, bucket, 44), halves_with_row)
    });
    for (order_id, id, halves_with_row) in [&moved, &gone] {
        for url in &halves.urls[halves_with_row.clone()] {
            let insert = "INSERT INTO tasks (id, order_id, queue, kind, run_at_ns, parked_at_ns) \
                VALUES ($1, $2, 'payments', 'capture_payment', 1, 1)";
            session(url).await.execute(insert, &[&id.uuid(), &order_id.uuid()]).await.unwrap();
        }
    }
    for (_, id, halves_with_row) in [moved, gone] {
        let is_in_south = halves_with_row.contains(&1);
        let expected = if is_in_south { TaskRetry::Queued } else { TaskRetry::NotParked };
        assert_eq!(halves.router.retry_task(id, now).await, Ok(expected));
        assert_eq!(halves.router.retry_task(id, now).await, Ok(TaskRetry::NotParked));
        let park = "UPDATE tasks SET parked_at_ns = 1 WHERE id = $1";
        session(&halves.urls[1]).await.execute(park, &[&id.uuid()]).await.unwrap();
        assert_eq!(halves.router.resolve_task(id, &resolution).await, Ok(is_in_south));
        assert_eq!(halves.router.resolve_task(id, &resolution).await, Ok(false));
        assert_eq!(directory.resolve_task(id, &resolution).await, Ok(false));
    }

    for url in &halves.urls {
        session(url).await.batch_execute("UPDATE tasks SET parked_at_ns = NULL").await.unwrap();
    }
    let claimed = south.claim_due_tasks(TaskQueue::Deadlines, now, Timestamp::MAX, 100).await.unwrap();
    assert!(claimed.iter().all(|claimed| claimed.task.subject.order_id().is_some()), "{claimed:?}");
    let claimed =
        halves.router.claim_due_tasks(TaskQueue::Deadlines, now, Timestamp::MAX, 100).await.unwrap();
    let first = claimed.iter().find(|claimed| claimed.task.id == tasks[0].id).unwrap();
    assert!(halves.router.complete_task(first.lease).await.unwrap());

    for (half, (url, kept)) in halves.urls.iter().zip([3, 0]).enumerate() {
        let administration = Administration::new(url).unwrap();
        for repetition in 0..2 {
            let purged = administration.purge(|_| {}).await.unwrap();
            let rows = purged.iter().find(|purged| purged.table == "tasks").unwrap();
            assert!((rows.rows > 0) == (repetition == 0), "{purged:?}");
            assert_eq!(halves.rows(half).await.len(), kept);
        }
        administration.close().await;
    }
    halves.router.close().await;
}
