//! Proves that the auditor finds nothing in what Dabba writes, and everything that a test plants.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod agreement;
mod gateway;
mod lives;
mod planted;
mod random;
mod running;
mod tampering;
mod workers;

use std::sync::Arc;

use dabba_sim::audit;
use dabba_store::Store;
use dabba_testkit::sqlite_in;
use tempfile::TempDir;

/// Returns an empty embedded store.
async fn embedded() -> (Arc<dyn Store>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite_in(directory.path())().await;
    (store, directory)
}

/// Proves that the documentation lists all codes.
#[test]
fn the_documentation_lists_every_code() {
    let documentation = include_str!("../../../../docs/guides/operator/audit.md");
    let table = audit::table();
    assert!(
        documentation.contains(&table),
        "docs/guides/operator/audit.md must contain this table:\n\n{table}"
    );
}
