//! Rows that this program does not write itself: those of a newer version of Dabba, damaged tasks, and tasks with
//! unusual subjects. Also the versions by which a program recognizes rows of a newer program.

#![expect(clippy::unwrap_used, reason = "a test ends with a panic")]

use std::{path::Path, sync::Arc, time::Duration};

use dabba_domain::task::TaskQueue;
use dabba_store::{
    CatalogueStore as _, OrderQuery, OrderScope, OrderStore as _, PageSize, Store as _, StoreError,
    TaskStore as _,
    conformance::{
        builders::World,
        damaged::{
            DamagedTask, DamagedTasks, damaged_numbers_stop_no_queue, damaged_restaurants_hide_no_others,
            damaged_tasks_hide_no_others,
        },
        formats::OwnRows,
        newer::{NewerRows, newer_rows_are_left_alone},
        subjects::{Misfits, misfits_are_refused, reviews, unparked_tasks_are_worked},
    },
    transfer::{PageLimit, Source as _, TABLES},
};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::{Connection, params};

/// Writes the rows of a newer version.
fn write_newer(path: &Path, rows: &NewerRows) {
    let connection = Connection::open(path).unwrap();
    let write = |sql: &str, parameters: &[&dyn rusqlite::ToSql]| {
        assert_eq!(connection.execute(sql, parameters).unwrap(), 1, "{sql}");
    };
    let order_id = rows.order_id.uuid().into_bytes();
    let event = "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
         SELECT order_id, ?2, at_ns, ?3, actor, ?4 FROM order_events WHERE order_id = ?1 AND version = ?2 - 1";
    write(event, params![order_id, rows.version - 1, NewerRows::EVENT, NewerRows::DATA]);
    write(event, params![order_id, rows.version, NewerRows::KNOWN_EVENT, NewerRows::NEW_DATA]);
    let format = NewerRows::ORDER_FORMAT;
    write(
        "UPDATE orders SET version = ?2, format = ?3 WHERE id = ?1",
        params![order_id, rows.version, format],
    );
    let unreadable = rows.unreadable_id.uuid().into_bytes();
    write(
        "UPDATE orders SET status = ?2, format = ?3 WHERE id = ?1",
        params![unreadable, NewerRows::STATUS, format],
    );
    write(
        "UPDATE restaurants SET format = ?2 WHERE id = ?1",
        params![rows.restaurant_id.uuid().into_bytes(), NewerRows::RESTAURANT_FORMAT],
    );
    write(
        "UPDATE idempotency_keys SET fingerprint_version = ?2 WHERE order_id = ?1",
        params![rows.claimed.order_id.uuid().into_bytes(), NewerRows::FINGERPRINT_VERSION],
    );
    write(
        "INSERT INTO tasks (id, order_id, queue, kind, run_at_ns, parked_at_ns) VALUES (?1, ?2, 'deadlines', ?3, 1, 1)",
        params![rows.task_id.uuid().into_bytes(), order_id, NewerRows::KIND],
    );
    write(
        "INSERT INTO tasks (id, order_id, subject_kind, queue, kind, payload, run_at_ns, parked_at_ns) \
         VALUES (?1, ?2, ?3, 'deadlines', 'review', '{\"reason\":{\"type\":\"payment_voided\"}}', 1, 1)",
        params![rows.subject_task_id.uuid().into_bytes(), order_id, NewerRows::SUBJECT_KIND],
    );
}

#[tokio::test]
async fn rows_of_a_newer_version_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let open = || Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let store = open();
    let mut world = World::new(142);
    let rows = NewerRows::placed(&*store, &mut world).await;
    store.close().await;
    write_newer(&path, &rows);
    let store = open();
    newer_rows_are_left_alone(store.clone(), &mut world, &rows).await;
    store.close().await;
}

/// Makes a statement that omits the column of a version write 0.
fn default_versions_to_0(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let zero = "PRAGMA writable_schema = ON; \
        UPDATE sqlite_schema SET sql = replace(replace(sql, \
            ' format INTEGER NOT NULL DEFAULT 1', ' format INTEGER NOT NULL DEFAULT 0'), \
            ' fingerprint_version INTEGER NOT NULL DEFAULT 1', ' fingerprint_version INTEGER NOT NULL DEFAULT 0') \
        WHERE name IN ('orders', 'restaurants', 'idempotency_keys')";
    connection.execute_batch(zero).unwrap();
    drop(connection);
    let connection = Connection::open(path).unwrap();
    let count = "SELECT (SELECT count(*) FROM pragma_table_info('orders') WHERE name = 'format' AND dflt_value = '0') \
        + (SELECT count(*) FROM pragma_table_info('restaurants') WHERE name = 'format' AND dflt_value = '0') \
        + (SELECT count(*) FROM pragma_table_info('idempotency_keys') \
            WHERE name = 'fingerprint_version' AND dflt_value = '0')";
    assert_eq!(connection.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap(), 3);
}

/// Proves that the error for an undecodable order names it, whether the row is read alone or in a list, and that an undecodable
/// restaurant is named beside the other restaurants of a list.
#[tokio::test]
async fn an_undecodable_row_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let open = || SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
    let mut world = World::new(149);
    let store = open();
    let rows = OwnRows::written(&store, &mut world).await;
    store.close().await;
    let damage = "UPDATE orders SET status = 'eaten'; UPDATE restaurants SET settings = '{}'";
    Connection::open(&path).unwrap().execute_batch(damage).unwrap();

    let store = open();
    let (order_id, restaurant_id) = (rows.order().id, rows.order().details.restaurant_id);
    let query =
        OrderQuery { scope: OrderScope::All, statuses: Vec::new(), after: None, limit: PageSize::DEFAULT };
    let order = format!("order {order_id} cannot be decoded: eaten");
    for result in [store.order(order_id).await.map(drop), store.list_orders(&query).await.map(drop)] {
        assert!(matches!(&result, Err(StoreError::Corrupt(text)) if text.starts_with(&order)), "{result:?}");
    }
    let restaurant = format!("restaurant {restaurant_id} cannot be decoded: ");
    let result = store.catalogue(restaurant_id).await;
    assert!(matches!(&result, Err(StoreError::Corrupt(text)) if text.starts_with(&restaurant)), "{result:?}");
    damaged_restaurants_hide_no_others(&store, &mut world, restaurant_id).await;
    store.close().await;
}

/// Returns the versions in the rows of [`OwnRows`].
fn versions(path: &Path) -> [u32; 4] {
    let select = "SELECT (SELECT format FROM orders), (SELECT format FROM restaurants), \
        (SELECT min(fingerprint_version) FROM idempotency_keys), (SELECT max(fingerprint_version) FROM idempotency_keys)";
    let read = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
    Connection::open(path).unwrap().query_row(select, [], read).unwrap()
}

/// Proves that each write of an order, of settings, of a menu and of a key states the version of its format although the column
/// has another default, and that no write lowers a version that a newer program has stated.
#[tokio::test]
async fn each_write_states_its_format() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    default_versions_to_0(&path);
    let open = || SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
    let mut world = World::new(148);
    let store = open();
    let mut rows = OwnRows::written(&store, &mut world).await;
    store.close().await;
    assert_eq!(versions(&path), OwnRows::VERSIONS);

    for (rewrite, before, after) in OwnRows::rewrites() {
        let set = format!("UPDATE orders SET format = {before}; UPDATE restaurants SET format = {before}");
        Connection::open(&path).unwrap().execute_batch(&set).unwrap();
        let store = open();
        rows.rewrite(&store, &mut world, rewrite).await;
        store.close().await;
        assert_eq!(versions(&path)[..2], after, "{rewrite:?} of rows at version {before}");
    }
}

/// Proves that workers lease and complete tasks that are not about orders, as soon as a kind for workers allows it.
#[tokio::test]
async fn tasks_without_an_order_are_worked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let open = || Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let store = open();
    let mut world = World::new(143);
    let at = world.in_seconds(5);
    let tasks = reviews(&mut world, at);
    for task in &tasks {
        assert!(store.enqueue_task(task).await.unwrap());
    }
    store.close().await;
    let unparked = Connection::open(&path).unwrap().execute("UPDATE tasks SET parked_at_ns = NULL", []);
    assert_eq!(unparked.unwrap(), 2);
    let store = open();
    unparked_tasks_are_worked(store.clone(), &tasks, at).await;
    store.close().await;
}

/// Proves that a task that does not fit its kind is refused wherever it is read.
#[tokio::test]
async fn tasks_that_do_not_fit_their_kind_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let open = || Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let store = open();
    let mut world = World::new(144);
    let misfits = Misfits::placed(&*store, &mut world).await;
    store.close().await;
    let connection = Connection::open(&path).unwrap();
    for (id, parked_at_ns) in [(misfits.due_id, None), (misfits.parked_id, Some(1))] {
        let insert = "INSERT INTO tasks (id, order_id, subject_kind, queue, kind, run_at_ns, parked_at_ns) \
            VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)";
        let (id, subject) = (id.uuid().into_bytes(), misfits.subject.uuid().into_bytes());
        let parameters =
            params![id, subject, Misfits::SUBJECT_KIND, Misfits::QUEUE, Misfits::KIND, parked_at_ns];
        connection.execute(insert, parameters).unwrap();
    }
    drop(connection);
    let store = open();
    misfits_are_refused(store.clone(), &world, &misfits).await;
    store.close().await;
}

/// Writes the rows of damaged tasks.
fn write_damaged(path: &Path, rows: &[DamagedTask]) {
    let connection = Connection::open(path).unwrap();
    let insert = "INSERT INTO tasks \
            (id, order_id, subject_kind, queue, kind, payload, failures, attempts, run_at_ns, parked_at_ns) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9)";
    for row in rows {
        let DamagedTask { id, queue, kind, subject_kind, subject, payload, failures, attempts, parked_at_ns } =
            *row;
        let (id, subject) = (id.uuid().into_bytes(), subject.into_bytes());
        let parameters =
            params![id, subject, subject_kind, queue, kind, payload, failures, attempts, parked_at_ns];
        connection.execute(insert, parameters).unwrap();
    }
}

/// Proves that damaged tasks, also those with damaged JSON, hide no other tasks.
#[tokio::test]
async fn damaged_tasks_are_leased_and_listed_beside_others() {
    for (payload, failures) in [(DamagedTasks::PAYLOAD, DamagedTasks::FAILURES), ("{", "[{")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dabba.db");
        SqliteStore::migrate(&path).unwrap();
        let open = || Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
        let store = open();
        let mut world = World::new(148);
        let damaged = DamagedTasks::placed(&*store, &mut world).await;
        store.close().await;
        write_damaged(&path, &damaged.rows(payload, failures));
        let store = open();
        damaged_tasks_hide_no_others(store.clone(), &mut world, &damaged).await;
        store.close().await;
        write_damaged(&path, &damaged.rows_with_damaged_numbers());
        let store = open();
        damaged_numbers_stop_no_queue(store.clone(), &mut world, &damaged).await;
        store.close().await;
    }
}

/// Proves that a row that cannot be decoded at all stops no queue: the task beside it is leased, at each expiry of a lease.
#[tokio::test]
async fn a_row_that_cannot_be_decoded_stops_no_queue() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let open = || Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
    let store = open();
    let mut world = World::new(150);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant, customer);
    let sound = commit.tasks[0].id;
    store.commit(vec![commit]).await.unwrap();
    store.close().await;
    let insert = "INSERT INTO tasks (id, order_id, queue, kind, run_at_ns) \
        SELECT x'01', x'02', queue, kind, 1 FROM tasks WHERE id = ?1";
    let connection = Connection::open(&path).unwrap();
    // Only damage of the file gets past the checks of the table.
    connection.pragma_update(None, "ignore_check_constraints", true).unwrap();
    assert_eq!(connection.execute(insert, params![sound.uuid().into_bytes()]).unwrap(), 1);
    connection.close().unwrap();
    let store = open();
    for hours in 1..3 {
        let now = world.in_seconds(hours * 3_600);
        let lease_until = now + Duration::from_mins(1);
        let claimed = store.claim_due_tasks(TaskQueue::Deadlines, now, lease_until, 10).await.unwrap();
        assert_eq!(claimed.iter().map(|claimed| claimed.task.id).collect::<Vec<_>>(), [sound]);
    }
    store.close().await;
}

/// Proves that the export of a task whose content is not JSON fails with an error that names the task and the column,
/// and that other damaged content is exported.
#[tokio::test]
async fn an_export_names_the_task_that_cannot_be_copied() {
    let tasks = TABLES.iter().find(|table| table.name == "tasks").unwrap();
    for (payload, is_copied) in [(DamagedTasks::PAYLOAD, true), ("{", false)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dabba.db");
        SqliteStore::migrate(&path).unwrap();
        let open = || Arc::new(SqliteStore::open(&path, &SqliteOptions::default()).unwrap());
        let store = open();
        let mut world = World::new(149);
        let damaged = DamagedTasks::placed(&*store, &mut world).await;
        store.close().await;
        let rows = damaged.rows(payload, DamagedTasks::FAILURES);
        write_damaged(&path, &rows);
        let store = open();
        match store.page(tasks, None, PageLimit::DEFAULT).await {
            Ok(page) => assert!(is_copied && page.rows.len() == rows.len() + 1, "{page:?}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!is_copied && text.contains(&rows[0].id.to_string()), "{text}");
                assert!(text.contains("tasks.payload") && text.contains("correct the value"), "{text}");
            }
        }
        store.close().await;
    }
}
