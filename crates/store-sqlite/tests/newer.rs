//! A database that a newer version of Dabba has changed.

#![expect(clippy::unwrap_used, reason = "a test ends with a panic")]

use std::{path::Path, sync::Arc};

use dabba_store::{
    Store as _,
    conformance::{
        builders::World,
        newer::{NewerRows, newer_rows_are_left_alone},
    },
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
