//! The database's clock: reading it, and its use for leases.

use std::time::Duration;

use dabba_domain::{Timestamp, task::TaskQueue};
use dabba_store::{CommitOutcome, OrderStore as _, Store as _, TaskStore as _, conformance::builders::World};
use dabba_store_postgres::PostgresOptions;

use crate::common::{fresh_database, open_with, session};

/// The store returns the time of the database's clock.
#[tokio::test]
async fn the_databases_clock_is_read() {
    let url = fresh_database();
    let store = open_with(&url, &PostgresOptions::default()).await;
    let session = session(&url).await;
    let read = async || -> Timestamp {
        let row =
            session.query_one("SELECT extract(epoch FROM clock_timestamp())::float8", &[]).await.unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "microseconds of this century fit")]
        Timestamp::from_microsecond((row.get::<_, f64>(0) * 1e6) as i64).unwrap()
    };
    let (before, at, after) = (read().await, store.time().await.unwrap().unwrap(), read().await);
    let rounding = Duration::from_millis(1);
    assert!(before - rounding <= at && at <= after + rounding, "{before} {at} {after}");
}

/// A lease lasts for its time on the database's clock, whatever time the callers pass. A caller far in the future
/// does not take the lease over. A lease of zero length expires at once, also for a caller in the past.
#[tokio::test]
async fn leases_follow_the_databases_clock() {
    let store = open_with(&fresh_database(), &PostgresOptions::default()).await;
    let mut world = World::new(1);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let placed = world.place(restaurant, customer);
    assert_eq!(store.commit(vec![placed.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    let due = placed.tasks[0].run_at;
    let far = due + Duration::from_hours(24 * 365);
    let claim = async |now: Timestamp, lease: Duration| {
        store.claim_due_tasks(TaskQueue::Deadlines, now, now + lease, 10).await.unwrap()
    };
    assert_eq!(claim(due - Duration::from_nanos(1), Duration::from_mins(5)).await, [], "the task is not due");
    let first = claim(far, Duration::ZERO).await.remove(0);
    let second = claim(due, Duration::from_mins(5)).await.remove(0);
    assert!(second.lease.token > first.lease.token);
    for now in [due, due + Duration::from_mins(10), far] {
        assert_eq!(claim(now, Duration::from_mins(5)).await, [], "at {now}");
    }
    assert!(store.postpone_task(second.lease, due, None).await.unwrap());
    assert_eq!(claim(due, Duration::from_mins(5)).await.len(), 1, "the task was returned");
}
