//! The conformance suite on the embedded store.

#![expect(clippy::unwrap_used, reason = "a test ends with a panic")]

use std::sync::Arc;

use dabba_store::{Store, conformance::Harness};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct Fresh {
    store: Arc<SqliteStore>,
    _directory: TempDir,
}

impl Harness for Fresh {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
}

fn fresh() -> Fresh {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
    Fresh { store: Arc::new(store), _directory: directory }
}

dabba_store::conformance_suite!(async { fresh() });
