//! The bucket range of a database, and the refusal of everything outside it.

use dabba_domain::{Bucket, OrderId, RestaurantId, Timestamp, restaurant::Restaurant, task::TaskQueue};
use dabba_store::{
    CatalogueStore as _, Commit, CommitOutcome, FeedPosition, FeedStore as _, OrderQuery, OrderScope,
    OrderStore as _, PageSize, Store as _, StoreError, TaskStore as _,
    conformance::builders::{World, menu, menu_at, slug},
};
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};

use crate::common::{eventually, fresh_database, open, own_database, randomness, session, whole_feed};

/// First bucket that the tests move to another database; all later ones move too.
const FIRST_MOVED: u16 = 2_048;

async fn move_buckets(url: &str) {
    let sql = format!(
        "BEGIN; LOCK TABLE shard IN ACCESS EXCLUSIVE MODE; UPDATE shard SET last_bucket = {}; COMMIT",
        FIRST_MOVED - 1
    );
    session(url).await.batch_execute(&sql).await.unwrap();
}

/// Returns the id of a restaurant whose bucket stays, or whose bucket moves.
fn restaurant_that(stays: bool, world: &mut World) -> RestaurantId {
    loop {
        let id = world.restaurant_id();
        if (id.bucket() < Bucket::new(FIRST_MOVED).unwrap()) == stays {
            return id;
        }
    }
}

async fn orders_of(store: &PostgresStore, scope: OrderScope) -> (Vec<OrderId>, bool) {
    let query = OrderQuery { scope, statuses: Vec::new(), after: None, limit: PageSize::DEFAULT };
    let page = store.list_orders(&query).await.unwrap();
    (page.orders.iter().map(|order| order.id).collect(), page.incomplete)
}

/// A store opens only a database with the ownership of the map: another name, range or role is refused, and so is a
/// database without ownership. Migrating records the ownership once.
#[tokio::test]
async fn a_database_with_another_ownership_is_refused() {
    let url = fresh_database();
    let sole = Ownership::sole();
    let half = "0-2047".parse().unwrap();
    for (ownership, part) in [
        (Ownership { name: "north".to_owned(), ..sole.clone() }, "\"north\""),
        (Ownership { buckets: half, ..sole.clone() }, "0-2047"),
        (Ownership { is_directory: false, ..sole.clone() }, "not the directory"),
    ] {
        let options = PostgresOptions::default();
        let opened = PostgresStore::open(&url, &ownership, &options, randomness()).await.unwrap_err();
        let migrated = PostgresStore::migrate(&url, &ownership).await.unwrap_err();
        for error in [opened, migrated] {
            let StoreError::Unfit(text) = error else { panic!("{error}") };
            assert!(text.contains(part) && text.contains("\"main\" with the buckets 0-4095"), "{text}");
        }
    }
    assert_eq!(PostgresStore::migrate(&url, &sole).await.unwrap(), 0);

    session(&url).await.batch_execute("DELETE FROM shard").await.unwrap();
    let error =
        PostgresStore::open(&url, &sole, &PostgresOptions::default(), randomness()).await.unwrap_err();
    assert!(error.to_string().contains("dabba migrate"), "{error}");
}

/// A database that contains restaurants cannot get an ownership whose buckets exclude some of them.
#[tokio::test]
async fn a_database_with_restaurants_outside_the_range_is_refused() {
    let url = fresh_database();
    let mut world = World::new(1);
    let restaurant = Restaurant { id: restaurant_that(false, &mut world), ..world.restaurant() };
    open(&url).await.create_restaurant(&restaurant, &menu(&["dal"])).await.unwrap();
    session(&url).await.batch_execute("DELETE FROM shard").await.unwrap();
    let half = Ownership { buckets: "0-2047".parse().unwrap(), ..Ownership::sole() };
    let error = PostgresStore::migrate(&url, &half).await.unwrap_err();
    assert!(error.to_string().contains("restaurants outside the buckets"), "{error}");
}

/// A store that does not know yet that buckets have moved writes nothing for them, not even in a batch with other
/// orders, which are written. Soon after, the store also refuses reads of those buckets.
#[tokio::test(flavor = "multi_thread")]
async fn moved_buckets_are_neither_written_nor_read() {
    let (_cluster, url) = own_database();
    let store = open(&url).await;
    let mut world = World::new(2);
    let customer = world.account_id();
    let (staying, moving) = (restaurant_that(true, &mut world), restaurant_that(false, &mut world));
    let moving_restaurant = Restaurant { id: moving, ..world.restaurant() };
    store.create_restaurant(&moving_restaurant, &menu(&["dal"])).await.unwrap();
    let before: Vec<Commit> = [staying, moving].map(|restaurant| world.place(restaurant, customer)).to_vec();
    store.commit(before.clone()).await.unwrap();
    let feed = whole_feed(&store).await;
    assert_eq!(feed.len(), 4);

    move_buckets(&url).await;
    let after: Vec<Commit> =
        [moving, staying, moving].map(|restaurant| world.place(restaurant, customer)).to_vec();
    let outcomes = store.commit(after.clone()).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Moved, CommitOutcome::Committed, CommitOutcome::Moved]);
    let again = store.commit(vec![before[1].clone()]).await.unwrap();
    assert_eq!(again, [CommitOutcome::Moved], "a key of a moved bucket is refused too");

    let unavailable = |error: StoreError| assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    unavailable(store.order(before[1].order_id).await.unwrap_err());
    unavailable(store.events(before[1].order_id, 0, 10).await.unwrap_err());
    unavailable(store.catalogue(moving).await.unwrap_err());
    unavailable(store.stock(moving).await.unwrap_err());
    unavailable(store.update_restaurant(&moving_restaurant, 1).await.unwrap_err());
    unavailable(store.replace_menu(moving, &menu(&["naan"]), menu_at(1)).await.unwrap_err());
    unavailable(store.set_stock(moving, &slug("dal"), Some(1)).await.unwrap_err());
    unavailable(store.create_restaurant(&moving_restaurant, &menu(&["dal"])).await.unwrap_err());
    let kept = [after[1].order_id, before[0].order_id];
    assert_eq!(orders_of(&store, OrderScope::Customer(customer)).await, (kept.to_vec(), true));
    // A cursor that advanced here would later skip the first events of the new shard.
    unavailable(store.feed(0, FeedPosition::START, 100).await.unwrap_err());
    unavailable(store.feed_end(0).await.unwrap_err());
    let due = store.claim_due_tasks(TaskQueue::Deadlines, Timestamp::MAX, Timestamp::MAX, 100).await.unwrap();
    assert!(
        !due.is_empty() && due.iter().all(|claimed| kept.contains(&claimed.task.subject.order_id().unwrap())),
        "{due:?}"
    );
}

/// A store that only reads notices moved buckets too.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_only_reads_notices_moved_buckets() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(3);
    let restaurant = restaurant_that(false, &mut world);
    let commit = world.place(restaurant, world.clone().account_id());
    store.commit(vec![commit.clone()]).await.unwrap();
    move_buckets(&url).await;
    eventually("the order is refused", || async { store.order(commit.order_id).await.is_err() }).await;
}

/// A store refuses to work in a database that turns out to belong to another shard, or to contain no shard, while the store is
/// open, and works again when the database is the shard's. A measurement shows the difference at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_shard_is_noticed_while_the_store_is_open() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(5);
    let (restaurant, customer) = (world.restaurant_id(), world.account_id());
    let commits = [world.place(restaurant, customer), world.place(restaurant, customer)];
    let client = session(&url).await;
    let difference = async || match store.measure(0, Timestamp::UNIX_EPOCH).await {
        Ok(measured) => measured.mismatch,
        Err(StoreError::Unfit(text)) => Some(text),
        Err(error) => panic!("{error}"),
    };
    let changes = [
        ("UPDATE shard SET name = 'north'", "UPDATE shard SET name = 'main'", "\"north\""),
        (
            "UPDATE shard SET is_directory = false",
            "UPDATE shard SET is_directory = true",
            "not the directory",
        ),
        ("ALTER TABLE shard RENAME TO away", "ALTER TABLE away RENAME TO shard", "42P01"),
    ];
    for (change, undo, expected) in changes {
        assert_eq!(difference().await, None, "{change}");
        client.batch_execute(change).await.unwrap();
        let text = difference().await.unwrap();
        assert!(text.contains(expected), "{change}: {text}");
        eventually("the store refuses to work", async || {
            matches!(store.ping().await, Err(StoreError::Unfit(_)))
        })
        .await;
        let refused = store.commit(vec![commits[0].clone()]).await;
        assert!(matches!(refused, Err(StoreError::Unfit(_))), "{change}: {refused:?}");
        client.batch_execute(undo).await.unwrap();
        eventually("the store works again", async || store.ping().await.is_ok()).await;
    }
    assert_eq!(
        store.commit(commits.to_vec()).await.unwrap(),
        [CommitOutcome::Committed, CommitOutcome::Committed]
    );

    // Buckets that have moved are a difference, too. The store still works for the other ones, also after another database.
    move_buckets(&url).await;
    assert!(difference().await.unwrap().contains("with the buckets 0-2047"));
    assert!(store.ping().await.is_ok());
    client.batch_execute("UPDATE shard SET name = 'north'").await.unwrap();
    eventually("the store refuses to work", async || store.ping().await.is_err()).await;
    client.batch_execute("UPDATE shard SET name = 'main'").await.unwrap();
    eventually("the store works again", async || store.ping().await.is_ok()).await;
}

/// Moving buckets waits for running writes, which are part of the moved data. Later writes are refused.
#[tokio::test(flavor = "multi_thread")]
async fn moving_buckets_waits_for_running_writes() {
    let url = fresh_database();
    let store = open(&url).await;
    let mut world = World::new(4);
    let restaurant = restaurant_that(false, &mut world);
    let customer = world.account_id();
    let (first, second) = (world.place(restaurant, customer), world.place(restaurant, customer));
    // The write stops in the middle, because another transaction is about to claim its key.
    let claim = first.claim.clone().unwrap();
    let blocker = session(&url).await;
    blocker.batch_execute("BEGIN").await.unwrap();
    let insert = "INSERT INTO idempotency_keys VALUES ($1, $2, gen_random_uuid(), 1, 0, $3, $4)";
    let (account, scope, key) = (claim.account_id.uuid(), restaurant.uuid(), claim.key.as_str());
    blocker.execute(insert, &[&account, &scope, &key, &vec![0_u8; 32]]).await.unwrap();
    let watcher = session(&url).await;
    let waiting = async |count: i64| {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        // The store's background read of its buckets may wait too.
        eventually("the expected number of sessions wait", || async {
            watcher.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= count
        })
        .await;
    };
    let writing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(vec![first]).await }
    });
    waiting(1).await;
    let moving = tokio::spawn({
        let url = url.clone();
        async move { move_buckets(&url).await }
    });
    waiting(2).await;
    let late = tokio::spawn(async move { store.commit(vec![second]).await });
    waiting(3).await;
    blocker.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(writing.await.unwrap().unwrap(), [CommitOutcome::Committed]);
    moving.await.unwrap();
    assert_eq!(late.await.unwrap().unwrap(), [CommitOutcome::Moved]);
}
