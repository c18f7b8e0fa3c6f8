//! A BEGIN that fails after the statements of its transaction were sent.

use std::sync::Arc;

use dabba_domain::{
    RestaurantId, Role,
    restaurant::{Pause, Restaurant},
    statistics::{Minute, Statistic, Tally},
    task::TaskQueue,
};
use dabba_store::{
    AccountStore as _, BoardCheck, BoardKey, BoardStore as _, CatalogueStore as _, CatalogueUpdate,
    Checkpoint, CommitOutcome, ConnectedBoard, ConsumerName, ConsumerStore as _, DeviceId, EndedBoard,
    FeedPlace, FeedPosition, Incarnation, LeaseRequest, LeaseTaken, OrderStore as _, RollUp, RolledUp,
    StatisticsKey, StatisticsRow, StatisticsStore as _, Store as _, StoreError, TaskFailure, TaskStore as _,
    UNATTENDED_RECHECK,
    conformance::builders::{World, slug},
};
use dabba_store_postgres::{PostgresOptions, PostgresStore};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    common::{fresh_database, open, open_with, restaurant, session},
    proxy::{Cut, Gate, Proxy},
};

/// Every table that a store's writes touch.
const TABLES: &[&str] = &[
    "accounts",
    "boards",
    "api_keys",
    "sessions",
    "login_links",
    "revocations",
    "revocation_counter",
    "idempotency_keys",
    "memberships",
    "menus",
    "order_events",
    "orders",
    "restaurants",
    "stock",
    "tasks",
    "unavailable_items",
    "feed_consumers",
    "feed_leases",
    "statistics",
    "statistics_progress",
];

/// A store behind a proxy, and a session that reads its database.
struct Scene {
    proxy: Proxy,
    store: Arc<PostgresStore>,
    session: Client,
    world: World,
    restaurant: RestaurantId,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        let url = fresh_database();
        let proxy = Proxy::start().await;
        let options = PostgresOptions { pool_size: 1, ..PostgresOptions::default() };
        let store = open_with(&proxy.url(&url), &options).await;
        let mut world = World::new(seed);
        let restaurant = restaurant(&*open(&url).await, &mut world, "dal", 5).await;
        Self { proxy, store, session: session(&url).await, world, restaurant }
    }

    /// Returns all rows of all tables.
    async fn content(&self) -> String {
        let mut content = String::new();
        for table in TABLES {
            let all = format!(
                "SELECT coalesce(string_agg(row::text, ';' ORDER BY row::text), '') FROM {table} AS row"
            );
            content.push_str(self.session.query_one(&all, &[]).await.unwrap().get(0));
            content.push('\n');
        }
        content
    }

    /// Asserts that a write whose BEGIN is cancelled fails as unavailable and writes nothing.
    async fn writes_nothing<T: std::fmt::Debug>(
        &self,
        what: &str,
        write: impl AsyncFnOnce(&PostgresStore) -> Result<T, StoreError>,
    ) {
        let before = self.content().await;
        let cut = self.proxy.cut(&[Cut::CancellingBegin], Gate::Open);
        let result = write(&self.store).await;
        self.proxy.has_cut(cut).await;
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{what}: {result:?}");
        assert_eq!(self.content().await, before, "{what}");
    }
}

/// The statements of a batch are sent without waiting for BEGIN. None of them takes effect without it, neither in an
/// optimistic plan nor in a plan with a view. The same batch can be written afterwards.
#[tokio::test]
async fn a_batch_whose_begin_is_cancelled_writes_nothing() {
    let mut scene = Scene::new(151).await;
    let first = scene.world.place_taking(scene.restaurant, &[("dal", 1)]);
    let second = scene.world.place_taking(scene.restaurant, &[("dal", 2)]);
    let batch = vec![first.clone(), second];
    scene.writes_nothing("a batch", async |store| store.commit(batch.clone()).await).await;
    let outcomes = scene.store.commit(batch.clone()).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Committed, CommitOutcome::Committed]);
    // After a replay, the next batch begins with a view, which is read in a transaction of its own.
    assert!(matches!(scene.store.commit(vec![first]).await.unwrap()[0], CommitOutcome::Replayed { .. }));
    let third = scene.world.place_taking(scene.restaurant, &[("dal", 1)]);
    let before = scene.content().await;
    let cut = scene.proxy.cut(&[Cut::CancellingBegin], Gate::Open);
    assert!(scene.store.commit(vec![third.clone()]).await.is_err());
    scene.proxy.has_cut(cut).await;
    assert_eq!(scene.content().await, before);
    assert_eq!(scene.store.commit(vec![third]).await.unwrap(), [CommitOutcome::Committed]);
}

/// Every write of boards takes no effect if its BEGIN is cancelled.
#[tokio::test]
async fn no_write_of_boards_takes_effect_without_its_begin() {
    let mut scene = Scene::new(153).await;
    let (id, account_id) = (scene.restaurant, scene.world.account_id());
    let (now, ended_at) = (scene.world.now(), scene.world.in_seconds(10));
    let key = BoardKey { restaurant_id: id, device_id: DeviceId(Uuid::from_u128(7)) };
    let (device, connected_at) = (None, now);
    let boards = [ConnectedBoard { key, connection: 1, device, account_id, connected_at, is_new: true }];
    let ended = [EndedBoard { key, connection: 1, at: ended_at }];
    let later = scene.world.in_seconds(100_000);
    let check = BoardCheck { now: later, pause_after: Some(UNATTENDED_RECHECK), limit: 10 };
    scene.writes_nothing("connected", async |store| store.record_boards(&boards, now).await).await;
    scene.store.record_boards(&boards, now).await.unwrap();
    scene.writes_nothing("disconnected", async |store| store.disconnect_boards(&ended).await).await;
    scene.store.disconnect_boards(&ended).await.unwrap();
    scene.writes_nothing("postponed", async |store| store.postpone_board_checks(id, later).await).await;
    scene.writes_nothing("checked", async |store| store.check_boards(&check).await).await;
    let found = scene.store.check_boards(&check).await.unwrap().unattended;
    let [(restaurant, since)] = &found[..] else { panic!("{found:?}") };
    let paused = Restaurant { pause: Some(Pause::UNATTENDED), ..restaurant.clone() };
    let revision = restaurant.revision;
    scene
        .writes_nothing("paused", async |store| store.pause_unattended(&paused, revision, *since).await)
        .await;
    let done = scene.store.pause_unattended(&paused, revision, *since).await.unwrap();
    assert_eq!(done, Some(CatalogueUpdate::Done { revision: revision + 1 }));
}

/// Every kind of write of orders, accounts, the catalogue, tasks and the feed takes no effect either if its BEGIN is
/// cancelled.
#[tokio::test]
async fn no_write_takes_effect_without_its_begin() {
    let mut scene = Scene::new(152).await;
    let placed = scene.world.place_taking(scene.restaurant, &[("dal", 1)]);
    scene.store.commit(vec![placed]).await.unwrap();
    let (now, until, later) =
        (scene.world.now(), scene.world.in_seconds(60), scene.world.in_seconds(100_000));
    let account = scene.world.account(Role::Restaurant);
    let (restaurant, account_id) = (scene.restaurant, account.id);

    scene.writes_nothing("an account", async |store| store.create_account(&account).await).await;
    scene.store.create_account(&account).await.unwrap();
    scene.writes_nothing("a member", async |store| store.add_member(restaurant, account_id).await).await;
    scene.store.add_member(restaurant, account_id).await.unwrap();
    scene
        .writes_nothing("a former member", async |store| store.remove_member(restaurant, account_id).await)
        .await;
    scene
        .writes_nothing("stock", async |store| store.set_stock(restaurant, &slug("dal"), Some(9)).await)
        .await;
    scene
        .writes_nothing("claimed tasks", async |store| {
            store.claim_due_tasks(TaskQueue::Deadlines, later, scene.world.in_seconds(200_000), 10).await
        })
        .await;
    let claimed = scene.store.claim_due_tasks(TaskQueue::Deadlines, later, later, 10).await.unwrap();
    let lease = claimed[0].lease;
    scene
        .writes_nothing("a postponed task", async |store| store.postpone_task(lease, until, None).await)
        .await;
    let failure = TaskFailure { at: now, error: "injected by the test".into() };
    scene.writes_nothing("a parked task", async |store| store.park_task(lease, &failure).await).await;
    let group = LeaseRequest { group: ConsumerName::webhooks(), holder: ConsumerName::webhooks() };
    scene
        .writes_nothing("a lease of the feed", async |store| {
            store.take_feed_lease(0, &group, now, until).await
        })
        .await;
    let taken = scene.store.take_feed_lease(0, &group, now, until).await.unwrap();
    let LeaseTaken::Taken(lease) = taken else { panic!("the lease is free") };
    let place = FeedPlace { incarnation: Incarnation::new(1), position: FeedPosition::START };
    let checkpoint = Checkpoint { shared: Some((place, 1)), ..Checkpoint::default() };
    scene
        .writes_nothing("a checkpoint", async |store| {
            store.checkpoint_feed(0, &lease, &checkpoint, now, until).await
        })
        .await;
    scene.writes_nothing("deleted keys", async |store| store.delete_expired_keys(later, 10).await).await;
    assert_eq!(scene.store.delete_expired_keys(later, 10).await, Ok(1));
    scene.store.ping().await.unwrap();
}

/// Writes of statistics take no effect either if their BEGIN is cancelled, and a roll-up can be repeated afterwards.
#[tokio::test]
async fn no_statistics_are_written_without_a_begin() {
    let scene = Scene::new(153).await;
    let (now, until) = (scene.world.now(), scene.world.in_seconds(60));
    let request =
        LeaseRequest { group: ConsumerName::statistics(), holder: ConsumerName::new("holder").unwrap() };
    let taken = scene.store.take_feed_lease(0, &request, now, until).await.unwrap();
    let LeaseTaken::Taken(lease) = taken else { panic!("the lease is free") };
    let key = StatisticsKey::of_shard(Minute(1), Statistic::OrdersPlaced);
    let rows = vec![StatisticsRow { key, tally: Tally::one() }];
    scene.writes_nothing("statistics", async |store| store.set_statistics(0, &rows).await).await;
    let roll_up =
        RollUp { from: None, to: FeedPosition { transaction: 740, sequence: 1 }, complete_until: now, rows };
    scene
        .writes_nothing("a roll-up", async |store| {
            store.roll_up_statistics(0, &lease, &roll_up, now, until).await
        })
        .await;
    let added = scene.store.roll_up_statistics(0, &lease, &roll_up, now, until).await.unwrap();
    assert_eq!(added, RolledUp::Added);
    scene
        .writes_nothing("deleted statistics", async |store| store.delete_old_statistics(Minute(2), 10).await)
        .await;
    scene
        .writes_nothing("a released lease", async |store| store.release_feed_lease(0, &lease, now).await)
        .await;
}
