//! Migrations, and the check of the schema.

use dabba_pg_cluster::Cluster;
use dabba_store::{CommitOutcome, OrderStore as _, Store as _, StoreError, conformance::builders::World};
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};
use dabba_store_sql::testing::every_migration_is_compatible_from;
use tokio::task::JoinSet;
use tokio_postgres::Row;

use crate::common::{eventually, fresh_database, open, randomness, session};

async fn open_error(url: &str) -> StoreError {
    PostgresStore::open(url, &Ownership::sole(), &PostgresOptions::default(), randomness()).await.unwrap_err()
}

/// Servers that start at the same time migrate an empty database once, and all of them can open it.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_together_migrate_once() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let mut starting = JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        starting.spawn(async move {
            let applied = PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap();
            PostgresStore::open(&url, &Ownership::sole(), &PostgresOptions::default(), randomness())
                .await
                .unwrap();
            applied
        });
    }
    let applied: usize = starting.join_all().await.into_iter().sum();
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    assert_eq!(applied, std::fs::read_dir(migrations).unwrap().count(), "each migration is applied once");
}

/// Key of the advisory lock that a migrating process holds.
const MIGRATION_LOCK: i64 = 0x64_61_62_62_61;

/// A server whose schema exists does not wait for another process that migrates. A server that must migrate waits.
#[tokio::test]
async fn only_a_migration_waits_for_another_one() {
    let migrated = fresh_database();
    let holder = session(&migrated).await;
    holder.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.unwrap();
    assert_eq!(PostgresStore::migrate(&migrated, &Ownership::sole()).await, Ok(0));

    let cluster = Cluster::shared().unwrap();
    let empty = cluster.url(&cluster.create_database().unwrap());
    let holder = session(&empty).await;
    holder.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.unwrap();
    let url = empty.clone();
    let waiting = tokio::spawn(async move { PostgresStore::migrate(&url, &Ownership::sole()).await });
    let asks = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'dabba migrate' \
                AND datname = current_database() AND query LIKE '%pg_try_advisory_lock%'";
    eventually("the migration asks for the lock", async || holder.query_one(asks, &[]).await.unwrap().get(0))
        .await;
    assert!(!waiting.is_finished());
    drop(holder);
    assert!(waiting.await.unwrap().unwrap() > 0);
}

/// A database is migrated and used whatever its default settings are.
#[tokio::test]
async fn defaults_of_a_database_do_not_matter() {
    let cluster = Cluster::shared().unwrap();
    let name = cluster.create_database().unwrap();
    for default in [
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "statement_timeout = '1ms'",
        "lock_timeout = '1ms'",
        "client_min_messages = debug1",
        "row_security = off",
    ] {
        cluster.execute("postgres", &format!("ALTER DATABASE {name} SET {default}")).unwrap();
    }
    let url = cluster.url(&name);
    // With several hosts, the URL asks for one that accepts writes.
    let url = format!("{url}&target_session_attrs=read-write");
    assert!(PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap() > 0);
    let store = open(&url).await;
    let mut world = World::new(31);
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant, account);
    assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    store.close().await;
}

/// A store does not open a database without a schema, or with an incompatible newer one.
#[tokio::test]
async fn a_database_with_another_schema_is_refused() {
    let cluster = Cluster::shared().unwrap();
    let empty = cluster.url(&cluster.create_database().unwrap());
    let error = open_error(&empty).await;
    assert!(matches!(&error, StoreError::Unfit(text) if text.contains("dabba migrate")), "{error}");

    let newer = fresh_database();
    session(&newer)
        .await
        .batch_execute("UPDATE refinery_schema_history SET version = version + 100")
        .await
        .unwrap();
    let error = open_error(&newer).await;
    assert!(matches!(&error, StoreError::Unfit(text) if text.contains("upgrade")), "{error}");
}

/// Every migration states its compatibility.
#[tokio::test]
async fn every_migration_states_with_which_servers_it_is_compatible() {
    let client = session(&fresh_database()).await;
    let stated = "SELECT version::bigint, compatible_from::bigint FROM schema_versions";
    let number = |row: &Row, column| u32::try_from(row.get::<_, i64>(column)).unwrap();
    let stated = client.query(stated, &[]).await.unwrap();
    let stated: Vec<_> = stated.iter().map(|row| (number(row, 0), number(row, 1))).collect();
    every_migration_is_compatible_from(PostgresOptions::NEWEST_SCHEMA, 8, &stated);
}

/// A database whose encoding cannot store every text is refused before anything is written to it. If such a database
/// was migrated before this check existed, it is refused when it is opened. A UTF-8 database with the locale C is
/// accepted.
#[tokio::test]
async fn a_database_with_another_encoding_is_refused() {
    let cluster = Cluster::shared().unwrap();
    for (encoding, is_accepted) in
        [("SQL_ASCII", false), ("LATIN1", false), ("EUC_JP", false), ("UTF8", true)]
    {
        let database = format!("in_{}", encoding.to_lowercase());
        let create =
            format!("CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        cluster.execute("postgres", &create).unwrap();
        let url = cluster.url(&database);
        let migrated = PostgresStore::migrate(&url, &Ownership::sole()).await;
        assert_eq!(migrated.is_ok(), is_accepted, "{encoding}: {migrated:?}");
        if is_accepted {
            continue;
        }
        for error in [migrated.unwrap_err(), open_error(&url).await] {
            let names_both = |text: &String| text.contains(encoding) && text.contains("ENCODING 'UTF8'");
            assert!(matches!(&error, StoreError::Unfit(text) if names_both(text)), "{error}");
        }
        let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
        assert_eq!(session(&url).await.query_one(tables, &[]).await.unwrap().get::<_, i64>(0), 0);
    }
}

/// A dump that was restored into a younger cluster is refused, because its feed would not advance.
#[tokio::test]
async fn a_database_from_another_cluster_is_refused() {
    let url = fresh_database();
    session(&url)
        .await
        .batch_execute(
            "INSERT INTO order_events (transaction_id, order_id, version, at_ns, type, actor) \
             VALUES ('1000000000', gen_random_uuid(), 1, 0, 'placed', '{}')",
        )
        .await
        .unwrap();
    let error = open_error(&url).await;
    assert!(matches!(&error, StoreError::Unfit(text) if text.contains("pg_resetwal")), "{error}");
}

/// The database itself protects the history of orders against every client. Only the history of orders that have
/// moved to another database may be deleted.
#[tokio::test]
async fn an_event_cannot_be_changed_or_deleted() {
    let client = session(&fresh_database()).await;
    let insert = "INSERT INTO order_events (order_id, version, at_ns, type, actor) \
                  VALUES ('01900000-0000-7fff-8000-000000000000', 1, 0, 'placed', '{}')";
    client.batch_execute(insert).await.unwrap();
    for sql in ["UPDATE order_events SET version = 1", "DELETE FROM order_events", "TRUNCATE order_events"] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "23001", "{sql}");
    }
    client.batch_execute("UPDATE shard SET last_bucket = 4094").await.unwrap();
    assert_eq!(client.execute("DELETE FROM order_events", &[]).await.unwrap(), 1);
}
