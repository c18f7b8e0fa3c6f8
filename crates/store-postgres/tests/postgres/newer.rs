//! Servers of several versions on one database.

use std::sync::Arc;

use dabba_pg_cluster::Cluster;
use dabba_store::{
    CommitOutcome, OrderStore as _, Store as _, StoreError,
    conformance::{
        builders::World,
        damaged::damaged_restaurants_hide_no_others,
        formats::OwnRows,
        newer::{NewerRows, newer_rows_are_left_alone},
    },
};
use dabba_store_postgres::{
    Ownership, PostgresOptions, PostgresStore,
    admin::{Administration, Purged},
};
use tokio_postgres::Client;

use crate::common::{eventually, fresh_database, own_database, randomness, session};

/// A schema version that is newer than this program.
const NEWER: u32 = PostgresOptions::NEWEST_SCHEMA + 1;

async fn open(url: &str, options: &PostgresOptions) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(url, &Ownership::sole(), options, randomness()).await
}

/// Writes rows as a newer server would.
async fn write_newer(client: &Client, rows: &NewerRows) {
    let number = |number: u32| i32::try_from(number).unwrap();
    let version = i64::from(rows.version);
    let event = "INSERT INTO order_events (order_id, version, at_ns, type, actor, data) \
        SELECT order_id, version + 1, at_ns, $3, actor, $4::text::json FROM order_events \
        WHERE order_id = $1 AND version = $2::bigint - 1";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&rows.order_id.uuid(), &(version - 1), &NewerRows::EVENT, &NewerRows::DATA];
    assert_eq!(client.execute(event, &parameters).await.unwrap(), 1);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&rows.order_id.uuid(), &version, &NewerRows::KNOWN_EVENT, &NewerRows::NEW_DATA];
    assert_eq!(client.execute(event, &parameters).await.unwrap(), 1);
    let format = number(NewerRows::ORDER_FORMAT);
    let order = "UPDATE orders SET version = $2, format = $3 WHERE id = $1";
    client.execute(order, &[&rows.order_id.uuid(), &version, &format]).await.unwrap();
    let order = "UPDATE orders SET status = $2, format = $3 WHERE id = $1";
    client.execute(order, &[&rows.unreadable_id.uuid(), &NewerRows::STATUS, &format]).await.unwrap();
    let restaurant = "UPDATE restaurants SET format = $2 WHERE id = $1";
    let format = number(NewerRows::RESTAURANT_FORMAT);
    client.execute(restaurant, &[&rows.restaurant_id.uuid(), &format]).await.unwrap();
    let key = "UPDATE idempotency_keys SET fingerprint_version = $2 WHERE order_id = $1";
    let format = number(NewerRows::FINGERPRINT_VERSION);
    client.execute(key, &[&rows.claimed.order_id.uuid(), &format]).await.unwrap();
    let task = "INSERT INTO tasks (id, order_id, queue, kind, run_at_ns, parked_at_ns) VALUES ($1, $2, 'deadlines', $3, 1, 1)";
    client.execute(task, &[&rows.task_id.uuid(), &rows.order_id.uuid(), &NewerRows::KIND]).await.unwrap();
    let review = r#"INSERT INTO tasks (id, order_id, subject_kind, queue, kind, payload, run_at_ns, parked_at_ns)
        VALUES ($1, $2, $3, 'deadlines', 'review', '{"reason":{"type":"payment_voided"}}', 1, 1)"#;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&rows.subject_task_id.uuid(), &rows.order_id.uuid(), &NewerRows::SUBJECT_KIND];
    client.execute(review, &parameters).await.unwrap();
}

/// Makes the database state a schema version, and the lowest version of compatible servers.
async fn state_schema(client: &Client, version: u32, compatible_from: u32) {
    let state = format!(
        "UPDATE refinery_schema_history SET version = {version} WHERE version = (SELECT max(version) FROM refinery_schema_history); \
         DELETE FROM schema_versions WHERE version >= {version}; \
         INSERT INTO schema_versions VALUES ({version}, {compatible_from})"
    );
    client.batch_execute(&state).await.unwrap();
}

#[tokio::test]
async fn rows_of_a_newer_server_stay_unchanged() {
    let (_cluster, url) = own_database();
    let store = Arc::new(open(&url, &PostgresOptions::default()).await.unwrap());
    let mut world = World::new(141);
    let rows = NewerRows::placed(&*store, &mut world).await;
    write_newer(&session(&url).await, &rows).await;
    newer_rows_are_left_alone(store.clone(), &mut world, &rows).await;
    store.close().await;
}

/// Proves that a restaurant that cannot be decoded is named beside the other restaurants of a list.
#[tokio::test]
async fn a_damaged_restaurant_hides_no_other_one() {
    let url = fresh_database();
    let store = Arc::new(open(&url, &PostgresOptions::default()).await.unwrap());
    let mut world = World::new(149);
    let rows = OwnRows::written(&*store, &mut world).await;
    session(&url).await.batch_execute("UPDATE restaurants SET settings = '{}'").await.unwrap();
    let id = rows.order().details.restaurant_id;
    damaged_restaurants_hide_no_others(&*store, &mut world, id).await;
    store.close().await;
}

/// Returns the versions in the rows of [`OwnRows`].
async fn versions(client: &Client) -> [u32; 4] {
    let select = "SELECT (SELECT format FROM orders), (SELECT format FROM restaurants), \
        (SELECT min(fingerprint_version) FROM idempotency_keys), (SELECT max(fingerprint_version) FROM idempotency_keys)";
    let row = client.query_one(select, &[]).await.unwrap();
    [0, 1, 2, 3].map(|column: usize| u32::try_from(row.get::<_, i32>(column)).unwrap())
}

/// Each write of an order, of settings, of a menu and of a key states the version of its format although the column
/// has another default, and no write lowers a version that a newer server has stated.
#[tokio::test]
async fn each_write_states_its_format() {
    let url = fresh_database();
    let client = session(&url).await;
    let zero = "ALTER TABLE orders ALTER COLUMN format SET DEFAULT 0; \
        ALTER TABLE restaurants ALTER COLUMN format SET DEFAULT 0; \
        ALTER TABLE idempotency_keys ALTER COLUMN fingerprint_version SET DEFAULT 0";
    client.batch_execute(zero).await.unwrap();
    let store = open(&url, &PostgresOptions::default()).await.unwrap();
    let mut world = World::new(148);
    let mut rows = OwnRows::written(&store, &mut world).await;
    assert_eq!(versions(&client).await, OwnRows::VERSIONS);

    for (rewrite, before, after) in OwnRows::rewrites() {
        let set = format!("UPDATE orders SET format = {before}; UPDATE restaurants SET format = {before}");
        client.batch_execute(&set).await.unwrap();
        rows.rewrite(&store, &mut world, rewrite).await;
        assert_eq!(versions(&client).await[..2], after, "{rewrite:?} of rows at version {before}");
    }
    store.close().await;
}

/// A newer schema is used if it is compatible with this program, and stays unchanged. A running server stops using a
/// schema that becomes incompatible, and continues when the schema is compatible again.
#[tokio::test]
async fn a_newer_schema_is_used_while_it_is_compatible() {
    let url = fresh_database();
    let client = session(&url).await;
    let options = PostgresOptions::default();
    state_schema(&client, NEWER, PostgresOptions::NEWEST_SCHEMA).await;
    assert_eq!(PostgresStore::migrate(&url, &Ownership::sole()).await, Ok(0));
    let store = open(&url, &options).await.unwrap();
    store.ping().await.unwrap();

    state_schema(&client, NEWER, NEWER).await;
    let unfit = |error: &StoreError| matches!(error, StoreError::Unfit(text) if text.contains("upgrade"));
    assert!(unfit(&open(&url, &options).await.unwrap_err()));
    assert!(unfit(&PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap_err()));
    eventually("the running server notices", async || store.ping().await.is_err_and(|error| unfit(&error)))
        .await;

    state_schema(&client, NEWER, PostgresOptions::NEWEST_SCHEMA).await;
    eventually("the running server continues", async || store.ping().await.is_ok()).await;
    store.close().await;
}

/// A purge deletes nothing from a database with a newer schema, even if the schema is compatible, and stops when the
/// database is migrated meanwhile: a newer server may keep rows that this program would delete.
#[tokio::test]
async fn a_purge_refuses_a_newer_schema() {
    let cluster = Cluster::shared().unwrap();
    let database = cluster.create_database().unwrap();
    let url = cluster.url(&database);
    PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
    let store = open(&url, &PostgresOptions::default()).await.unwrap();
    let mut world = World::new(147);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant, customer);
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    store.close().await;
    let client = session(&url).await;
    let (first, last) =
        if restaurant.bucket().number() < 2_048 { (2_048_i32, 4_095_i32) } else { (0, 2_047) };
    let moved = "UPDATE shard SET name = 'south', first_bucket = $1, last_bucket = $2, is_directory = false";
    assert_eq!(client.execute(moved, &[&first, &last]).await.unwrap(), 1);
    let rows = async || -> (i64, i64) {
        let count = "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM orders)";
        let row = client.query_one(count, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let (tasks, orders) = rows().await;
    assert!(tasks > 0 && orders == 1);
    let administration = Administration::new(&url).unwrap();
    let assert_refused = |result: Result<(), StoreError>| {
        let is_refused =
            matches!(&result, Err(StoreError::Unfit(text)) if text.contains("use the newest version"));
        assert!(is_refused, "{result:?}");
    };

    state_schema(&client, NEWER, PostgresOptions::NEWEST_SCHEMA).await;
    assert!(administration.ownership().await.unwrap().is_some(), "the schema is compatible");
    assert_refused(administration.require_known_schema().await);
    assert_refused(administration.purge(|_| {}).await.map(drop));
    assert_eq!(rows().await, (tasks, orders));

    state_schema(&client, PostgresOptions::NEWEST_SCHEMA, 8).await;
    let migrate = format!("INSERT INTO schema_versions VALUES ({NEWER}, {})", PostgresOptions::NEWEST_SCHEMA);
    let migrate_meanwhile = |purged: Purged| {
        if purged.table == "tasks" {
            cluster.execute(&database, &migrate).unwrap();
        }
    };
    assert_refused(administration.purge(migrate_meanwhile).await.map(drop));
    assert_eq!(rows().await, (0, orders));
    administration.close().await;
}

/// A migration waits only briefly for a lock, because every later transaction would wait behind the migration. The
/// migration is retried, and succeeds when the lock is free.
#[tokio::test]
async fn a_migration_does_not_block_other_transactions() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    // The migration after version 7 adds columns to tables that are read all the time.
    let before = 7;
    PostgresStore::migrate_to(&url, &Ownership::sole(), before).await.unwrap();
    let holder = session(&url).await;
    holder.batch_execute("BEGIN; LOCK TABLE orders, restaurants IN ACCESS SHARE MODE").await.unwrap();
    holder.batch_execute("LOCK TABLE idempotency_keys, shard IN ACCESS SHARE MODE").await.unwrap();
    let migrating = tokio::spawn({
        let url = url.clone();
        async move { PostgresStore::migrate_to(&url, &Ownership::sole(), before + 1).await }
    });
    // The migration has waited for a lock and given up: a later reader is served while the lock is still held.
    let other = session(&url).await;
    eventually("the migration waits for a lock", async || {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL";
        other.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
    other.query_one("SELECT count(*) FROM orders", &[]).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(migrating.await.unwrap(), Ok(1));
}
