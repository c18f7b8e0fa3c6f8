//! Consumers of the feed and webhooks: the database's clock, and splits.

use std::time::Duration;

use dabba_domain::{Bucket, Timestamp, WebhookEndpointId};
use dabba_store::{
    Checkpoint, ConsumerName, ConsumerStore as _, DueFailures, FeedLease, FeedPlace, FeedPosition,
    Incarnation, LeaseRequest, LeaseTaken, PageSize, WebhookFailure, WebhookFault, WebhookStore as _,
    conformance::builders::World,
};
use dabba_store_postgres::{
    PostgresOptions, PostgresStore,
    admin::{Administration, Purged},
};

use crate::common::{fresh_database, open, open_with, session};

async fn take(store: &PostgresStore, holder: &str, now: Timestamp, lease: Duration) -> Option<FeedLease> {
    let holder = ConsumerName::new(holder).unwrap();
    let request = LeaseRequest { group: ConsumerName::webhooks(), holder };
    match store.take_feed_lease(0, &request, now, now + lease).await.unwrap() {
        LeaseTaken::Taken(lease) => Some(lease),
        LeaseTaken::Held { .. } => None,
    }
}

/// Proves that the lease of a group lasts for its time on the database's clock, whatever time the callers pass: neither
/// a caller far in the future takes it over, nor does its holder lose it by a clock that is ahead. A token is at least
/// the database's time.
#[tokio::test]
async fn feed_leases_follow_the_databases_clock() {
    let url = fresh_database();
    let store = open_with(&url, &PostgresOptions::default()).await;
    let past = World::new(1).now();
    let (far, hour) = (past + Duration::from_hours(24 * 3_650), Duration::from_hours(1));
    let expired = take(&store, "first", far, Duration::ZERO).await.unwrap();
    let lease = take(&store, "second", past, hour).await.unwrap();
    assert!(lease.token > expired.token);
    for now in [past, past + 2 * hour, far] {
        assert_eq!(take(&store, "third", now, hour).await, None, "at {now}");
        assert!(store.renew_feed_lease(0, &lease, now, now + hour).await.unwrap(), "at {now}");
        let checkpoint = Checkpoint::default();
        assert!(store.checkpoint_feed(0, &lease, &checkpoint, now, now + hour).await.unwrap(), "at {now}");
        assert!(!store.checkpoint_feed(0, &expired, &checkpoint, now, now + hour).await.unwrap());
    }
    let session = session(&url).await;
    let row = session.query_one("SELECT extract(epoch FROM now())::bigint * 1000000", &[]).await.unwrap();
    assert!(lease.token > row.get::<_, i64>(0) - 60_000_000, "a restored token is below every later one");
    // After a restore, a lease of before has expired: its token alone does not suffice.
    session.execute("UPDATE feed_leases SET until_ns = 1", &[]).await.unwrap();
    assert!(!store.checkpoint_feed(0, &lease, &Checkpoint::default(), far, far + hour).await.unwrap());
    assert_eq!(take(&store, "third", past, hour).await.map(|next| next.token > lease.token), Some(true));
}

fn failure(world: &mut World, endpoint: WebhookEndpointId, bucket: u16) -> WebhookFailure {
    let (at, random) = (world.tick(), world.random());
    WebhookFailure {
        endpoint,
        order: dabba_domain::OrderId::generate(at, Bucket::new(bucket).unwrap(), random),
        next_version: 1,
        attempts: 1,
        next_attempt_at: at,
        first_failed_at: at,
        fault: WebhookFault { at, status: None, error: "timeout".to_owned() },
        dead_at: None,
    }
}

/// Proves that a shard neither delivers nor lists failures of orders that a split has moved to another shard, and that
/// a purge deletes exactly these. The position of the consumers stays.
#[tokio::test]
async fn failures_of_moved_orders_are_skipped_and_purged() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(2);
    let (at, random) = (world.tick(), world.random());
    let endpoint = WebhookEndpointId::generate(at, Bucket::FIRST, random);
    let (kept, moved) = (failure(&mut world, endpoint, 7), failure(&mut world, endpoint, 4_000));
    let hour = Duration::from_hours(1);
    let lease = take(&store, "holder", at, hour).await.unwrap();
    let position = FeedPosition { transaction: 740, sequence: 17 };
    let checkpoint = Checkpoint {
        shared: Some((FeedPlace { incarnation: Incarnation::new(5), position }, 1)),
        failures: vec![kept.clone(), moved.clone()],
        ..Checkpoint::default()
    };
    assert!(store.checkpoint_feed(0, &lease, &checkpoint, at, at + hour).await.unwrap());
    session(&url).await.execute("UPDATE shard SET last_bucket = 2047", &[]).await.unwrap();
    let due = DueFailures { endpoints: vec![(endpoint, 10)], due_at: world.now(), limit: 10 };
    let found = store.due_webhook_failures(0, &lease, &due, at).await.unwrap().unwrap();
    assert_eq!(found, std::slice::from_ref(&kept));
    let listed = store.webhook_failures(endpoint, false, None, PageSize::DEFAULT).await.unwrap();
    assert_eq!(listed.failures, std::slice::from_ref(&kept));
    let by_key = store.webhook_failures_of(0, &[kept.key(), moved.key()]).await.unwrap();
    assert_eq!(by_key, [kept]);
    let administration = Administration::new(&url).unwrap();
    let purged = administration.purge(|_| ()).await.unwrap();
    administration.close().await;
    assert!(purged.contains(&Purged { table: "webhook_failures", rows: 1 }), "{purged:?}");
    let stored = store.feed_position(0, &lease.group, None).await.unwrap().unwrap();
    assert_eq!(stored.place.position, position);
}
