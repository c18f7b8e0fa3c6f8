//! Failures of machines, and failover.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dabba_domain::{OrderId, Role};
use dabba_pg_cluster::{Cluster, ClusterOptions};
use dabba_store::{
    AccountChange, AccountEdit, AccountEditOutcome, AccountStore as _, CommitOutcome, FeedEvent,
    FeedPosition, FeedStore as _, MembershipChange, OrderStore as _, Store as _, StoreError,
    conformance::builders::World,
};
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};

use crate::{
    common::{POLL_INTERVAL, eventually, feed_after, open, open_with, own_cluster, whole_feed},
    writers::{Acknowledged, Writers, again, assert_kept, assert_only},
};

/// Number of concurrent clients that place orders.
const WRITERS: u64 = 4;

/// Number of orders before and after the failure.
const ORDERS: usize = 300;

/// Maximum time of a call that must not wait for a standby.
const PATIENCE: Duration = Duration::from_secs(20);

/// Name of the standby on the primary.
const STANDBY: &str = "second";

/// A primary, its synchronous standby, and the URL of the one that accepts writes.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    url: String,
}

fn pair() -> Pair {
    let options = ClusterOptions::default().durable().with_tcp();
    let (primary, _) = own_cluster(&options);
    let standby = primary.start_standby(STANDBY, &options).unwrap();
    primary.set("synchronous_standby_names", &format!("ANY 1 ({STANDBY})")).unwrap();
    primary.wait_until_synchronous(STANDBY).unwrap();
    let url = Cluster::url_of_primary(&[&primary, &standby], "postgres");
    Pair { primary, standby, url }
}

/// Reads the feed page by page until `stop` is set, and ignores temporary errors. Returns the events, and the position
/// to continue from.
async fn follow(store: Arc<PostgresStore>, stop: Arc<AtomicBool>) -> (Vec<FeedEvent>, FeedPosition) {
    let (mut read, mut position) = (Vec::new(), FeedPosition::START);
    while !stop.load(Ordering::Relaxed) {
        match store.feed(0, position, 100).await {
            Ok(page) if page.events.is_empty() => tokio::time::sleep(POLL_INTERVAL).await,
            Ok(page) => {
                position = page.events.last().map_or(position, |event| event.position);
                read.extend(page.events);
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }
    (read, position)
}

/// The primary's machine fails while orders are placed, and the standby is promoted. Clients that retry under their
/// keys continue by themselves, and so does a reader of the feed. Every acknowledged order exists with its whole
/// history, each key has created one order, and the feed skips and repeats nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_with_the_primary() {
    let Pair { primary, standby, url } = pair();
    let store = open(&url).await;
    let stop = Arc::<AtomicBool>::default();
    let follower = tokio::spawn(follow(Arc::clone(&store), Arc::clone(&stop)));
    let writers = Writers::start(&store, 0..WRITERS);
    writers.wait_for("orders are placed", |all| all.len() >= ORDERS).await;

    let killed = Instant::now();
    primary.kill().unwrap();
    let gone = Instant::now();
    standby.promote().unwrap();
    let promoted = Instant::now();
    // The primary cannot have acknowledged an attempt that began after its end.
    let is_after = |one: &&Acknowledged| one.begun > gone;
    writers
        .wait_for("orders are placed on the new primary", |all| all.iter().filter(is_after).count() >= ORDERS)
        .await;
    let failures = writers.failures();
    let acknowledged = writers.finish().await;
    stop.store(true, Ordering::Relaxed);
    let (mut followed, position) = follower.await.unwrap();

    // The store resolves the lost commits itself, so possibly no writer has seen an error.
    let unknown = store.metrics().unknown_outcomes.get();
    assert!(failures > 0 || unknown > 0, "no call was affected, so the test proves nothing");
    assert_kept(&store, &acknowledged).await;
    assert_only(&standby, acknowledged.len());
    followed.extend(feed_after(&store, position).await);
    let whole = whole_feed(&store).await;
    let positions = |events: &[FeedEvent]| events.iter().map(|event| event.position).collect::<Vec<_>>();
    assert_eq!(positions(&followed), positions(&whole));
    let first = acknowledged.iter().filter(is_after).map(|one| one.at).min().unwrap();
    println!(
        "failover: {} orders acknowledged, {failures} attempts failed; from the kill to the first order on the \
         new primary {:?}, of which the processes' end took {:?} and the promotion {:?}",
        acknowledged.len(),
        first - killed,
        gone - killed,
        promoted - gone,
    );
}

/// Returns the number of commits that have waited for a standby for more than one second, which is longer than the
/// statement timeout of [`impatient`].
fn waiting(primary: &Cluster) -> String {
    waiting_since(primary, "-infinity")
}

/// Returns the same for commits that began to wait after `since`, a time of the primary's clock.
fn waiting_since(primary: &Cluster, since: &str) -> String {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
         AND query_start > '{since}' AND query_start < clock_timestamp() - interval '1 second'"
    );
    primary.execute("postgres", &sql).unwrap()
}

/// Returns options with a short statement timeout. If this timeout ended the wait for a standby, the tests would
/// fail.
fn impatient() -> PostgresOptions {
    PostgresOptions { statement_timeout: Duration::from_millis(200), ..PostgresOptions::default() }
}

/// While its only standby is unavailable, a commit waits. It is not acknowledged, even after the statement timeout;
/// the order is not visible, and a retry under its key is not acknowledged either. The commit continues when the
/// standby is back, or when the operator removes the standby from the settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_a_standby_that_is_away() {
    let Pair { primary, standby, url } = pair();
    let store = open_with(&url, &impatient()).await;
    let mut world = World::new(11);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let commit = |first| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(vec![first]).await })
    };

    standby.kill().unwrap();
    let first = world.place(restaurant, customer);
    let held = commit(first.clone());
    eventually("the commit waits for the standby", async || waiting(&primary) == "1").await;
    assert!(!held.is_finished());
    assert_eq!(store.order(first.order_id).await.unwrap(), None);
    let retried = store.commit(vec![again(&mut world, &first)]).await;
    assert!(matches!(retried, Err(StoreError::Unavailable(_))), "{retried:?}");
    standby.restart().unwrap();
    assert_eq!(held.await.unwrap().unwrap(), [CommitOutcome::Committed]);
    let replayed = store.commit(vec![again(&mut world, &first)]).await.unwrap();
    assert_eq!(replayed, [CommitOutcome::Replayed { order_id: first.order_id, version: 2 }]);

    standby.kill().unwrap();
    let held = commit(world.place(restaurant, customer));
    eventually("the commit waits for the standby", async || waiting(&primary) == "1").await;
    primary.set("synchronous_standby_names", "").unwrap();
    assert_eq!(held.await.unwrap().unwrap(), [CommitOutcome::Committed]);
    assert_only(&primary, 2);
}

/// A primary crashes while a commit waits for the standby. After the restart, the primary has that commit and shows
/// it to readers, although the standby may not have it. A retry under its key, and a lookup of the key, are
/// acknowledged only when the standby has the commit: then the commit also survives the loss of the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_not_acknowledged_before_the_standby_has_it() {
    let Pair { primary, standby, url } = pair();
    let store = open_with(&url, &impatient()).await;
    let mut world = World::new(12);
    let first = world.place(world.clone().restaurant_id(), world.clone().account_id());
    standby.kill().unwrap();
    let held = tokio::spawn({
        let (store, first) = (Arc::clone(&store), first.clone());
        async move { store.commit(vec![first]).await }
    });
    eventually("the commit waits for the standby", async || waiting(&primary) == "1").await;
    primary.kill().unwrap();
    primary.restart().unwrap();
    let unknown = held.await.unwrap();
    assert!(matches!(unknown, Err(StoreError::OutcomeUnknown(_))), "{unknown:?}");
    eventually("the order can be read", async || matches!(store.order(first.order_id).await, Ok(Some(_))))
        .await;

    // The store has stopped resolving the outcome of the first commit. Its last attempt may still wait, or may begin
    // to wait only now.
    let retried_at = primary.execute("postgres", "SELECT clock_timestamp()").unwrap();
    let retried = tokio::spawn({
        let (store, retry) = (Arc::clone(&store), again(&mut world, &first));
        async move { store.commit(vec![retry]).await }
    });
    let looked_up = tokio::spawn({
        let (store, claim) = (Arc::clone(&store), first.claim.clone().unwrap());
        async move { store.find_claim(claim.account_id, first.restaurant_id, &claim.key).await }
    });
    eventually("both wait for the standby", async || waiting_since(&primary, &retried_at) == "2").await;
    assert!(!retried.is_finished() && !looked_up.is_finished());
    standby.restart().unwrap();
    let replayed = CommitOutcome::Replayed { order_id: first.order_id, version: 2 };
    assert_eq!(retried.await.unwrap().unwrap(), [replayed]);
    assert_eq!(looked_up.await.unwrap().unwrap().unwrap().order_id(), Some(first.order_id));

    primary.kill().unwrap();
    standby.promote().unwrap();
    assert!(store.order(first.order_id).await.unwrap().is_some());
    assert_only(&standby, 1);
}

/// The response that an account or a membership is unchanged acknowledges another server's write, so it waits until
/// the standby has that write.
#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_account_is_not_acknowledged_before_the_standby_has_it() {
    let Pair { primary, standby, url } = pair();
    let store = open_with(&url, &impatient()).await;
    let mut world = World::new(13);
    let (account, restaurant) = (world.account(Role::Restaurant), world.restaurant_id());
    store.create_account(&account).await.unwrap();
    standby.kill().unwrap();
    // Simulates a commit that became visible without the standby, because the primary was restarted during the wait.
    let written = format!(
        "BEGIN; SET LOCAL synchronous_commit = local; UPDATE accounts SET disabled_at_ns = 1 WHERE id = '{0}'; \
         INSERT INTO memberships (restaurant_id, account_id) VALUES ('{1}', '{0}'); COMMIT",
        account.id, restaurant
    );
    primary.execute("postgres", &written).unwrap();
    let disable = AccountEdit {
        id: account.id,
        change: AccountChange::Details { name: None, role: None, disabled: Some(true) },
        expected: None,
        by: None,
        at: world.now(),
    };
    let edited = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.edit_account(&disable).await }
    });
    let joined = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.set_membership(restaurant, account.id, true, None).await }
    });
    eventually("both wait for the standby", async || waiting(&primary) == "2").await;
    assert!(!edited.is_finished() && !joined.is_finished());
    standby.restart().unwrap();
    assert!(matches!(edited.await.unwrap().unwrap(), AccountEditOutcome::Done(_)));
    assert_eq!(joined.await.unwrap().unwrap(), MembershipChange::Unchanged);
}

/// Returns the events that a store reads from the start, or why it does not return any.
fn reading(store: &Arc<PostgresStore>) -> tokio::task::JoinHandle<Result<usize, StoreError>> {
    let store = Arc::clone(store);
    tokio::spawn(async move { Ok(store.feed(0, FeedPosition::START, 100).await?.events.len()) })
}

/// Returns the events of an order that a store reads for publication.
fn reading_history(
    store: &Arc<PostgresStore>,
    order: OrderId,
) -> tokio::task::JoinHandle<Result<usize, StoreError>> {
    let store = Arc::clone(store);
    tokio::spawn(async move { Ok(store.public_events(order, 0, 100).await?.len()) })
}

/// Proves I11 for events that are read from the history of an order: retries of webhooks and streams of an order. The
/// first read of a connection is returned only when the standby has its events; a read for the caller itself does not
/// wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_not_published_before_the_standby_has_it() {
    let Pair { primary, standby, url } = pair();
    let single = PostgresOptions { pool_size: 1, ..impatient() };
    let (store, other) = (open_with(&url, &single).await, open_with(&url, &impatient()).await);
    let mut world = World::new(15);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let commit = world.place(restaurant, customer);
    let order = commit.order_id;
    other.commit(vec![commit]).await.unwrap();
    standby.kill().unwrap();
    assert_eq!(store.events(order, 0, 100).await.unwrap().len(), 2);
    let held = reading_history(&store, order);
    eventually("the history waits for the standby", async || waiting(&primary) == "1").await;
    assert!(!held.is_finished());
    standby.restart().unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, held).await.unwrap().unwrap(), Ok(2));
    standby.kill().unwrap();
    let again = tokio::time::timeout(PATIENCE, reading_history(&store, order)).await.unwrap();
    assert_eq!(again.unwrap(), Ok(2), "later reads of the connection do not wait");
}

/// The first page that a connection reads is returned only when the standby has its events, because after a crash the
/// primary shows commits that no standby has. While the standby is away, one connection waits, although callers stop
/// waiting and ask again, and the store closes in the meantime. Later pages of the connection do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_not_published_before_the_standby_has_them() {
    let Pair { primary, standby, url } = pair();
    let (store, closed) = (open_with(&url, &impatient()).await, open_with(&url, &impatient()).await);
    let mut world = World::new(14);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    store.commit(vec![world.place(restaurant, customer)]).await.unwrap();
    standby.kill().unwrap();
    let given_up = reading(&store);
    eventually("the feed waits for the standby", async || waiting(&primary) == "1").await;
    assert!(!given_up.is_finished());
    given_up.abort();
    for refused in [reading(&store), reading(&store)] {
        let refused = refused.await.unwrap();
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(waiting(&primary), "1", "the calls share the wait");

    let held = reading(&closed);
    eventually("the other store waits too", async || waiting(&primary) == "2").await;
    tokio::time::timeout(PATIENCE, closed.close()).await.unwrap();
    assert!(matches!(held.await.unwrap(), Err(StoreError::Unavailable(_))));

    standby.restart().unwrap();
    eventually("the feed is read", async || matches!(reading(&store).await.unwrap(), Ok(2))).await;
    let single = PostgresOptions { pool_size: 1, ..impatient() };
    let single = open_with(&url, &single).await;
    assert_eq!(reading(&single).await.unwrap().unwrap(), 2);
    standby.kill().unwrap();
    let again = tokio::time::timeout(PATIENCE, reading(&single)).await.unwrap();
    assert_eq!(again.unwrap().unwrap(), 2);
    assert!(single.feed_end(0).await.is_ok());
}

/// A host that accepts connections but sends nothing, like a machine with a hanging disk, costs time only once,
/// although it is the first in the URL. Afterwards the host that responded is tried first.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_nothing_is_passed_over() {
    let (cluster, _) = own_cluster(&ClusterOptions::default().with_tcp());
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let addresses = format!("127.0.0.1:{},127.0.0.1:{}", mute.local_addr().unwrap().port(), cluster.port());
    std::thread::spawn({
        let asked = Arc::clone(&asked);
        move || {
            // The connections stay open for the lifetime of the process.
            let connections = mute.incoming().inspect(|_| {
                asked.fetch_add(1, Ordering::Relaxed);
            });
            connections.collect::<Vec<_>>()
        }
    });
    let url = format!(
        "postgresql://{}@{addresses}/postgres?target_session_attrs=read-write&sslmode=disable",
        cluster.user()
    );
    // The migration fails if it has no connection within the timeout, so the first host has not used up all of it.
    assert_eq!(PostgresStore::migrate(&url, &Ownership::sole()).await.unwrap(), 0);
    // Every call opens a new connection.
    let options = PostgresOptions { max_connection_age: Duration::ZERO, ..PostgresOptions::default() };
    let store = open_with(&url, &options).await;
    for _ in 0..5 {
        store.ping().await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "once by the migration and once by the store");
}
