//! The public events: their content by audience (I9), their schema, their envelope, and the generated pages.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod contract;
mod envelope;
mod lives;
mod page;
mod privacy;
mod withheld;

use std::path::PathBuf;

/// Compares a committed page with its current text. Writes it first if `DABBA_WRITE_DOCS` is set.
fn assert_current(name: &str, text: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference")).join(name);
    if std::env::var_os("DABBA_WRITE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/reference/{name} is stale; regenerate it: DABBA_WRITE_DOCS=1 cargo test --workspace --test public current"
    );
}
