//! The auditor on PostgreSQL. Not in the process of the other tests: one that starts a cluster holds, for a moment,
//! copies of the locks on embedded databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../audit/random.rs"]
mod random;

/// Proves that orders that live as the domain lets them give no cause for complaint, in PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_store_is_clean_after_random_lives() {
    let factory = tokio::task::block_in_place(dabba_testkit::postgres);
    random::assert_sound(&random::audit_of_lives(factory().await).await);
}
