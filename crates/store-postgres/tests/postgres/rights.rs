//! Privileges of the database's user.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dabba_pg_cluster::Cluster;
use dabba_store::{Store, StoreError, conformance::Harness};
use dabba_store_postgres::{
    Ownership, PostgresOptions, PostgresStore, REQUIRED_PRIVILEGES, reading_privileges,
};

use crate::common::{LentCluster, fresh_database, open, own_database, randomness, session};

/// Number of roles that this process has created.
static ROLES: AtomicU64 = AtomicU64::new(0);

/// Returns a URL of the database whose sessions have a new role with exactly the listed privileges.
pub(crate) async fn restricted(url: &str, rights: &[(&str, &str)]) -> String {
    let name = format!("restricted_{}", ROLES.fetch_add(1, Ordering::Relaxed));
    let mut sql = format!("CREATE ROLE {name};");
    for (table, privilege) in rights {
        write!(sql, "GRANT {privilege} ON {table} TO {name};").unwrap();
    }
    session(url).await.batch_execute(&sql).await.unwrap();
    format!("{url}&options=-c%20role%3D{name}")
}

struct Restricted {
    store: Arc<PostgresStore>,
    _cluster: LentCluster,
}

impl Harness for Restricted {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
}

async fn with_needed_rights() -> Restricted {
    let (cluster, url) = own_database();
    let url = restricted(&url, REQUIRED_PRIVILEGES).await;
    Restricted { store: open(&url).await, _cluster: cluster }
}

// The whole suite passes for a user with only these privileges.
dabba_store::conformance_suite!(with_needed_rights());

/// A missing privilege is reported by name before the store is used. A store that only reads requires only the
/// privileges to read.
#[tokio::test]
async fn a_user_without_a_privilege_is_refused() {
    let url = fresh_database();
    let open = async |url: &str, reads_only| {
        let options = PostgresOptions { reads_only, ..PostgresOptions::default() };
        let opened = PostgresStore::open(url, &Ownership::sole(), &options, randomness()).await;
        match opened {
            Ok(store) => {
                store.close().await;
                Ok(())
            }
            Err(StoreError::Unfit(text)) => Err(text),
            Err(error) => panic!("{error:?}"),
        }
    };
    for missing in REQUIRED_PRIVILEGES {
        let rights: Vec<_> = REQUIRED_PRIVILEGES.iter().filter(|right| *right != missing).copied().collect();
        let url = restricted(&url, &rights).await;
        let (table, privilege) = missing;
        let text = open(&url, false).await.unwrap_err();
        assert!(text.contains(&format!("GRANT {privilege} on {table},")), "{text}");
        let is_needed = reading_privileges().contains(missing);
        assert_eq!(open(&url, true).await.is_ok(), !is_needed, "{missing:?}");
    }
}

/// Proves that a user who only reads needs no right on the secrets of webhook endpoints, and cannot read them.
#[tokio::test]
async fn a_user_who_only_reads_cannot_read_secrets() {
    let url = restricted(&fresh_database(), &reading_privileges()).await;
    let options = PostgresOptions { reads_only: true, ..PostgresOptions::default() };
    let store = PostgresStore::open(&url, &Ownership::sole(), &options, randomness()).await.unwrap();
    store.close().await;
    let session = session(&url).await;
    assert!(session.query("SELECT count(*) FROM orders", &[]).await.is_ok());
    for column in ["settings", "id"] {
        let refused =
            session.query(&format!("SELECT {column} FROM webhook_endpoints"), &[]).await.unwrap_err();
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("42501"), "{refused:?}");
    }
}

/// A user who may not change the schema gets an error that says how to migrate an old one, without texts of
/// libraries.
#[tokio::test]
async fn a_user_who_may_not_migrate_gets_advice() {
    let cluster = Cluster::shared().unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    session(&url).await.batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await.unwrap();
    let url = restricted(&url, &[]).await;
    let error = PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap_err();
    let StoreError::Unfit(text) = error else { panic!("{error:?}") };
    assert!(
        text.contains("run `dabba migrate` as the owner") && text.contains("permission denied"),
        "{text}"
    );
    assert!(!text.contains("asserting") && !text.contains("db error"), "{text}");
}
