//! Migrations, and the check of the schema.

use dabba_pg_cluster::Cluster;
use dabba_store::StoreError;
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};
use tokio::task::JoinSet;

use crate::common::{fresh_database, randomness, session};

async fn open_error(url: &str) -> StoreError {
    PostgresStore::open(url, &Ownership::sole(), &PostgresOptions::default(), randomness()).await.unwrap_err()
}

/// Servers that start at once migrate an empty database once, and all of them can open it.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_do_not_collide() {
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
    assert_eq!(applied, std::fs::read_dir(migrations).unwrap().count(), "each migration is made once");
}

/// A store does not open a database without a schema, or with one that it does not know.
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

/// Each migration that states nothing would shut out every older server.
#[tokio::test]
async fn every_migration_states_with_which_servers_it_is_compatible() {
    let client = session(&fresh_database()).await;
    let stated = "SELECT count(*) FROM schema_versions WHERE version >= 8";
    let stated: i64 = client.query_one(stated, &[]).await.unwrap().get(0);
    assert_eq!(stated, i64::from(PostgresOptions::NEWEST_SCHEMA) - 7);
}

/// A database that cannot hold every text is refused before anything is written to it, and one that was migrated
/// before this was checked when it is opened. Whatever its locale, an UTF-8 database is taken.
#[tokio::test]
async fn a_database_with_another_encoding_is_refused() {
    let cluster = Cluster::shared().unwrap();
    for (encoding, is_taken) in [("SQL_ASCII", false), ("LATIN1", false), ("EUC_JP", false), ("UTF8", true)] {
        let database = format!("in_{}", encoding.to_lowercase());
        let create =
            format!("CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        cluster.execute("postgres", &create).unwrap();
        let url = cluster.url(&database);
        let migrated = PostgresStore::migrate(&url, &Ownership::sole()).await;
        assert_eq!(migrated.is_ok(), is_taken, "{encoding}: {migrated:?}");
        if is_taken {
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

/// A dump that was restored into a younger cluster is refused: its feed would stand still.
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

/// History is kept by the database itself, whoever writes to it. What may be deleted is the history of
/// orders that the database has given away.
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
