//! Tests the auditor on PostgreSQL, in their own process: a process that starts a cluster holds copies of the
//! locks on embedded databases for a moment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../audit/random.rs"]
mod random;

/// Proves that random orders that the domain allows cause no breach in PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_orders_in_postgresql_are_clean() {
    let factory = tokio::task::block_in_place(dabba_testkit::postgres);
    random::assert_sound(&random::audit_random_orders(factory().await).await);
}
