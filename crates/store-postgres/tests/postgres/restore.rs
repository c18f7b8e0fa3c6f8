//! Backups and restores.

use std::{env, fs, path::Path, time::Instant};

use dabba_pg_cluster::{Cluster, ClusterOptions};
use dabba_store::{
    CatalogueStore as _, CatalogueUpdate, ClaimAt, CursorVoid, FeedCursor, FeedStore as _, OrderStore as _,
    Store as _, UnderKey, conformance::builders::World,
};
use dabba_store_postgres::{PostgresStore, admin::Administration};

use crate::{
    common::{feed_after, open, own_cluster, restaurant, session, whole_feed},
    writers::{Acknowledged, Writers, assert_kept, assert_only},
};

/// Number of concurrent clients that place orders.
const WRITERS: u64 = 4;

/// Number of orders placed before the base backup, between the backup and the restore target, and after the target.
const ORDERS: usize = 200;

/// Environment variable that overrides [`ORDERS`], for measurements.
const ORDERS_VARIABLE: &str = "DABBA_RESTORE_ORDERS";

/// Checks after a restore, from `docs/guides/operator/backup.md`: each counts inconsistent rows.
const DOCUMENTED_CHECKS: [&str; 3] = [
    "SELECT count(*) FROM orders WHERE version <> (SELECT count(*) FROM order_events WHERE order_id = orders.id)",
    "SELECT count(*) FROM idempotency_keys \
     WHERE resource IS NULL AND NOT EXISTS (SELECT FROM orders WHERE orders.id = order_id)",
    "SELECT count(*) FROM order_events WHERE NOT EXISTS (SELECT FROM orders WHERE orders.id = order_id)",
];

fn count(cluster: &Cluster, table: &str) -> usize {
    cluster.execute("postgres", &format!("SELECT count(*) FROM {table}")).unwrap().parse().unwrap()
}

/// Changes a restaurant under an idempotency key, whose row contains the restaurant's id in `order_id`.
async fn change_restaurant_under_key(store: &PostgresStore) {
    // The seed differs from those of the writers.
    let mut world = World::new(2 * WRITERS);
    let id = restaurant(store, &mut world, "naan", 1).await;
    let found = store.catalogue(id).await.unwrap().unwrap().restaurant;
    let account_id = world.account_id();
    let claim = world.claim(account_id);
    let at = ClaimAt { claim: &claim, at: world.now() };
    let changed = store.update_restaurant_under(&found, found.revision, Some(at)).await.unwrap();
    assert!(matches!(changed, UnderKey::Ended(CatalogueUpdate::Done { .. })), "{changed:?}");
}

/// A base backup is made while orders are placed; then a table is dropped by mistake, and all data is lost. A restore
/// from the backup and the archive to a time before the mistake has every order acknowledged before that time, with
/// its whole history, and no order placed after it. Its feed can be read from the start and from earlier positions;
/// after the operator's command, cursors from before the restore are void. New orders can be placed, and they follow
/// the others in the feed. The documented checks find nothing, although a restaurant was changed under a key, which
/// belongs to no order.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_to_a_point_in_time_is_complete() {
    let orders = env::var(ORDERS_VARIABLE).map_or(ORDERS, |number| number.parse().unwrap());
    let (cluster, url) = own_cluster(&ClusterOptions::default().durable().with_archive());
    let store = open(&url).await;
    change_restaurant_under_key(&store).await;
    let writers = Writers::start(&store, 0..WRITERS);
    writers.wait_for("orders are placed", |all| all.len() >= orders).await;
    let backup = cluster.base_backup("base").unwrap();
    let before = writers.wait_for("orders follow the backup", |all| all.len() >= 2 * orders).await;
    let moment = session(&url).await.query_one("SELECT clock_timestamp()::text", &[]).await.unwrap();
    let moment: &str = moment.get(0);
    let noted = Instant::now();
    writers.wait_for("orders follow the moment", |all| all.len() >= before.len() + orders).await;
    let all = writers.finish().await;
    let sources = store.feed_sources();
    let passed = whole_feed(&store).await[orders].position;
    let incarnation = store.feed_end(0).await.unwrap().incarnation;
    let mut cursor = FeedCursor::default();
    cursor.set(&sources[0].name, incarnation, passed);
    cluster.execute("postgres", "DROP TABLE orders CASCADE").unwrap();
    cluster.archive_all().unwrap();
    cluster.kill().unwrap();
    fs::remove_dir_all(cluster.data_directory()).unwrap();

    let begun = Instant::now();
    let restored = cluster.restore(&backup, moment, &ClusterOptions::default().durable()).unwrap();
    let store = open(&restored.url("postgres")).await;
    let took = begun.elapsed();

    assert_kept(&store, &before).await;
    let there = count(&restored, "orders");
    assert_only(&restored, there);
    assert_eq!(count(&restored, "idempotency_keys WHERE resource IS NOT NULL"), 1);
    for check in DOCUMENTED_CHECKS {
        assert_eq!(restored.execute("postgres", check).unwrap(), "0", "{check}");
    }
    let after: Vec<&Acknowledged> = all.iter().filter(|one| one.begun > noted).collect();
    assert!(!after.is_empty());
    // Orders that were being placed at the target time may exist.
    assert!((before.len()..=all.len() - after.len()).contains(&there), "{} {there}", before.len());
    for Acknowledged { order_id, restaurant_id, claim, .. } in after {
        assert_eq!(store.order(*order_id).await.unwrap(), None);
        assert_eq!(store.find_claim(claim.account_id, *restaurant_id, &claim.key).await.unwrap(), None);
    }

    let feed = whole_feed(&store).await;
    assert_eq!(feed.len(), count(&restored, "order_events"));
    assert_eq!(feed_after(&store, passed).await, feed[orders + 1..]);
    // The operator's command makes every earlier cursor void, because positions after the moment are assigned again.
    let kept = store.feed_end(0).await.unwrap();
    assert_eq!(kept.incarnation, incarnation);
    assert_eq!(cursor.clone().resolve(&sources, &[Some(kept)]), Ok(vec![Some(passed)]));
    let administration = Administration::new(&restored.url("postgres")).unwrap();
    administration.renew_incarnation().await.unwrap();
    let renewed = store.feed_end(0).await.unwrap();
    assert_ne!(renewed.incarnation, incarnation);
    assert_eq!(renewed.position, kept.position);
    let void = CursorVoid::OtherIncarnation(sources[0].name.clone());
    assert_eq!(cursor.resolve(&sources, &[Some(renewed)]), Err(void));
    let writers = Writers::start(&store, WRITERS..2 * WRITERS);
    writers.wait_for("orders are placed again", |all| all.len() >= ORDERS).await;
    let again = writers.finish().await;
    assert_kept(&store, &again).await;
    assert_only(&restored, there + again.len());
    let end = feed.last().unwrap().position;
    assert_eq!(feed_after(&store, end).await.len(), count(&restored, "order_events") - feed.len());

    let mib = |directory: &Path| cluster.size_of(directory).unwrap() / (1_024 * 1_024);
    println!(
        "restore: {there} orders with {} events, {} MiB of data, from a base backup of {} MiB and {} MiB of log in {took:?}",
        feed.len(),
        mib(&restored.data_directory()),
        mib(&backup),
        mib(&cluster.archive()),
    );
}
