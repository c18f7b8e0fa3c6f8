//! A connection that is lost at COMMIT: the store resolves the outcome for the caller.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dabba_domain::{RestaurantId, TaskId, order::Command, task::TaskQueue};
use dabba_store::{
    CatalogueStore as _, CatalogueUpdate, Commit, CommitOutcome, OrderStore as _, StockChange, StockShortage,
    StoreError, TaskStore as _,
    conformance::builders::{World, draw, order_of, slug, staff},
};
use dabba_store_postgres::{PostgresOptions, PostgresStore};
use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::{
    common::{PATIENCE, eventually, eventually_some, fresh_database, open, open_with, restaurant, session},
    proxy::{Cut, Gate, Proxy},
};

/// Initial stock of dal.
const STOCK: u32 = 5;

/// A command that an order accepts only once.
const ACCEPT: Command = Command::Accept { preparation_minutes: 20 };

/// Result of a batch.
type Outcomes = Result<Vec<CommitOutcome>, StoreError>;

/// A store whose connections can be cut, another server on the same database, and a restaurant that sells dal.
struct Scene {
    proxy: Proxy,
    store: Arc<PostgresStore>,
    other: Arc<PostgresStore>,
    session: Client,
    world: World,
    restaurant: RestaurantId,
}

impl Scene {
    async fn new(seed: u64) -> Self {
        // The resolution must last until the test has made its changes.
        Self::with(seed, PostgresOptions { resolve_timeout: PATIENCE, ..PostgresOptions::default() }).await
    }

    async fn with(seed: u64, options: PostgresOptions) -> Self {
        let url = fresh_database();
        let proxy = Proxy::start().await;
        // One connection at a time, so that after a cut every call meets the gate.
        let options = PostgresOptions { pool_size: 1, ..options };
        let (store, other) = (open_with(&proxy.url(&url), &options).await, open(&url).await);
        let mut world = World::new(seed);
        let restaurant = restaurant(&other, &mut world, "dal", STOCK).await;
        Self { proxy, store, other, session: session(&url).await, world, restaurant }
    }

    /// Returns the commit of an order of this quantity of dal.
    fn place(&mut self, quantity: u32) -> Commit {
        self.world.place_taking(self.restaurant, &[("dal", quantity)])
    }

    /// Places an order, and returns its commit and a command on it without a key.
    async fn accept(&mut self) -> (Commit, Commit) {
        let placed = self.place(1);
        assert_eq!(self.other.commit(vec![placed.clone()]).await, Ok(vec![CommitOutcome::Committed]));
        let order = order_of(&placed);
        let accepted = self.world.act(&order, &ACCEPT, &staff(&order));
        (placed, accepted)
    }

    /// Commits a batch whose connections are cut at these points, and returns the store's result.
    async fn commit_cut(&self, cuts: &[Cut], batch: Vec<Commit>) -> Outcomes {
        let cut = self.proxy.cut(cuts, Gate::Open);
        let outcomes = self.store.commit(batch).await;
        self.proxy.has_cut(cut).await;
        outcomes
    }

    /// Does the same in the background. The first cut has been made when this returns, and new connections wait after
    /// it.
    async fn begin_cut(&self, cut: Cut, batch: Vec<Commit>) -> JoinHandle<Outcomes> {
        let cut = self.proxy.cut(&[cut], Gate::Waiting);
        let store = Arc::clone(&self.store);
        let running = tokio::spawn(async move { store.commit(batch).await });
        self.proxy.has_cut(cut).await;
        running
    }

    /// Waits until a session waits for a lock in this database.
    async fn wait_for_lock_waiter(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("a session waits for a lock", async || self.count(waiting).await > 0).await;
    }

    async fn count(&self, sql: &str) -> i64 {
        self.session.query_one(sql, &[]).await.unwrap().get(0)
    }

    async fn stock(&self) -> u32 {
        self.other.stock(self.restaurant).await.unwrap()[0].remaining
    }

    /// Asserts that the database contains the events of these commits once, the given stock of dal, and nothing else.
    async fn assert_contains_exactly(&self, commits: &[&Commit], dal_left: u32) {
        let (mut orders, mut events) = (Vec::new(), 0);
        for commit in commits {
            let change = commit.change.as_ref().unwrap();
            let stored = self.other.events(commit.order_id, commit.expected_version, 100).await.unwrap();
            assert_eq!(stored[..change.events.len()], change.events);
            events += i64::try_from(change.events.len()).unwrap();
            orders.push(commit.order_id);
        }
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(self.count("SELECT count(*) FROM order_events").await, events);
        assert_eq!(self.count("SELECT count(*) FROM orders").await, i64::try_from(orders.len()).unwrap());
        assert_eq!(self.stock().await, dal_left);
    }

    /// Returns the numbers of unknown outcomes, of resolved ones, and of those left unknown.
    fn counted(&self) -> [u64; 3] {
        let metrics = self.store.metrics();
        [&metrics.unknown_outcomes, &metrics.unknown_outcomes_resolved, &metrics.unknown_outcomes_unresolved]
            .map(Counter::get)
    }
}

/// If the connection is lost before COMMIT is sent, nothing was written, and the store reports that at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_commit_has_written_nothing() {
    let mut scene = Scene::new(1).await;
    let commit = scene.place(2);
    let outcome = scene.commit_cut(&[Cut::BeforeBegin], vec![commit.clone()]).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    scene.assert_contains_exactly(&[], STOCK).await;
    assert_eq!(scene.counted(), [0, 0, 0]);
    assert_eq!(scene.store.commit(vec![commit]).await, Ok(vec![CommitOutcome::Committed]));
}

/// COMMIT, its response, or both in turn are lost. The order exists once, the caller gets the outcome, and a retry of
/// the request returns the same order.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_once_wherever_the_connection_is_cut() {
    for (seed, cuts) in [
        &[Cut::BeforeCommit][..],
        &[Cut::AfterCommit],
        &[Cut::BeforeCommit, Cut::BeforeCommit],
        &[Cut::BeforeCommit, Cut::AfterCommit],
    ]
    .into_iter()
    .enumerate()
    {
        let mut scene = Scene::new(u64::try_from(seed).unwrap()).await;
        let commit = scene.place(2);
        let outcomes = scene.commit_cut(cuts, vec![commit.clone()]).await;
        assert_eq!(outcomes, Ok(vec![CommitOutcome::Committed]), "{cuts:?}");
        scene.assert_contains_exactly(&[&commit], STOCK - 2).await;
        assert_eq!(scene.counted(), [1, 1, 0], "{cuts:?}");

        let again = scene.place(2);
        let again = Commit { claim: commit.claim.clone(), ..again };
        let replayed = CommitOutcome::Replayed { order_id: commit.order_id, version: 2 };
        assert_eq!(scene.store.commit(vec![again]).await, Ok(vec![replayed]), "{cuts:?}");
        scene.assert_contains_exactly(&[&commit], STOCK - 2).await;
    }
}

/// A COMMIT that reaches the server late, while the store writes the same plan again, is detected: the result is
/// exactly one order.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_is_detected() {
    let mut scene = Scene::new(10).await;
    let batch = vec![scene.place(2), scene.place(1)];
    let running = scene.begin_cut(Cut::HoldingCommit, batch.clone()).await;
    scene.proxy.open_gate();
    scene.wait_for_lock_waiter().await;
    scene.proxy.deliver();
    assert_eq!(running.await.unwrap(), Ok(vec![CommitOutcome::Committed; 2]));
    scene.assert_contains_exactly(&[&batch[0], &batch[1]], STOCK - 3).await;
    assert_eq!(scene.counted(), [1, 1, 0]);
}

/// While a COMMIT is in transit, a change that would refuse the same order now does not prove that the order is not
/// written. A refusal would deny an order that exists.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_is_not_denied_because_the_catalogue_has_changed() {
    let mut scene = Scene::new(11).await;
    let catalogue = scene.other.catalogue(scene.restaurant).await.unwrap().unwrap();
    let commit = Commit { catalogue: Some(catalogue.guard()), ..scene.place(2) };
    let running = scene.begin_cut(Cut::HoldingCommit, vec![commit.clone()]).await;
    let changed = scene.other.update_restaurant(&catalogue.restaurant, catalogue.restaurant.revision).await;
    assert!(matches!(changed, Ok(CatalogueUpdate::Done { .. })), "{changed:?}");
    scene.proxy.open_gate();
    scene.wait_for_lock_waiter().await;
    scene.proxy.deliver();
    assert_eq!(running.await.unwrap(), Ok(vec![CommitOutcome::Committed]));
    scene.assert_contains_exactly(&[&commit], STOCK - 2).await;

    // Once the store knows that nothing is written, the same change refuses the order.
    let mut scene = Scene::new(12).await;
    let catalogue = scene.other.catalogue(scene.restaurant).await.unwrap().unwrap();
    let commit = Commit { catalogue: Some(catalogue.guard()), ..scene.place(2) };
    let running = scene.begin_cut(Cut::BeforeCommit, vec![commit]).await;
    scene.other.update_restaurant(&catalogue.restaurant, catalogue.restaurant.revision).await.unwrap();
    scene.proxy.open_gate();
    assert_eq!(running.await.unwrap(), Ok(vec![CommitOutcome::CatalogueChanged]));
    scene.assert_contains_exactly(&[], STOCK).await;
    assert_eq!(scene.counted(), [1, 1, 0]);
}

/// The transaction of a client that vanished does not stay open for long: the server ends it, and the second attempt
/// writes the batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrives_is_retried() {
    let resolve_timeout = Duration::from_secs(6);
    let options = PostgresOptions { resolve_timeout, ..PostgresOptions::default() };
    let mut scene = Scene::with(13, options).await;
    let commit = scene.place(2);
    let running = scene.begin_cut(Cut::HoldingCommit, vec![commit.clone()]).await;
    scene.proxy.open_gate();
    scene.wait_for_lock_waiter().await;
    assert_eq!(running.await.unwrap(), Ok(vec![CommitOutcome::Committed]));
    scene.assert_contains_exactly(&[&commit], STOCK - 2).await;
}

/// An order that was refused beside a written one stays refused, although the stock suffices by the time of the
/// resolution. If nothing was written, all orders of the batch are planned again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_stands_if_its_batch_is_written() {
    for (seed, cut) in [(20, Cut::AfterCommit), (21, Cut::BeforeCommit)] {
        let mut scene = Scene::new(seed).await;
        let batch = vec![scene.place(STOCK - 1), scene.place(2), scene.place(1)];
        let running = scene.begin_cut(cut, batch.clone()).await;
        scene.other.set_stock(scene.restaurant, &slug("dal"), Some(7)).await.unwrap();
        scene.proxy.open_gate();
        let outcomes = running.await.unwrap().unwrap();
        if cut == Cut::AfterCommit {
            let shortage = StockShortage { item: slug("dal"), available: 1 };
            let refused = CommitOutcome::OutOfStock(vec![shortage]);
            assert_eq!(outcomes, [CommitOutcome::Committed, refused, CommitOutcome::Committed]);
            scene.assert_contains_exactly(&[&batch[0], &batch[2]], 7).await;
        } else {
            assert_eq!(outcomes, vec![CommitOutcome::Committed; 3]);
            scene.assert_contains_exactly(&[&batch[0], &batch[1], &batch[2]], 0).await;
        }
        assert_eq!(scene.counted(), [1, 1, 0]);
    }
}

/// A command without a key takes effect once, even if the order has changed again since.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_a_key_takes_effect_once() {
    for (seed, cut) in [(30, Cut::BeforeCommit), (31, Cut::AfterCommit)] {
        let mut scene = Scene::new(seed).await;
        let (placed, accepted) = scene.accept().await;
        let running = scene.begin_cut(cut, vec![accepted.clone()]).await;
        let mut expected = vec![&placed, &accepted];
        let ready = scene.world.act(&order_of(&accepted), &Command::MarkReady, &staff(&order_of(&accepted)));
        if cut == Cut::AfterCommit {
            assert_eq!(scene.other.commit(vec![ready.clone()]).await, Ok(vec![CommitOutcome::Committed]));
            expected.push(&ready);
        }
        scene.proxy.open_gate();
        assert_eq!(running.await.unwrap(), Ok(vec![CommitOutcome::Committed]), "{cut:?}");
        scene.assert_contains_exactly(&expected, STOCK - 1).await;
        assert_eq!(scene.counted(), [1, 1, 0]);
    }
}

/// A lost command on an order that another caller has changed in the meantime has no effect. Its caller gets a
/// conflict, although the other change led to the same version.
#[tokio::test(flavor = "multi_thread")]
async fn another_change_of_the_same_version_is_a_conflict() {
    let mut scene = Scene::new(32).await;
    let (placed, accepted) = scene.accept().await;
    let order = order_of(&placed);
    let quicker = scene.world.act(&order, &ACCEPT, &staff(&order));
    let running = scene.begin_cut(Cut::BeforeCommit, vec![accepted]).await;
    assert_eq!(scene.other.commit(vec![quicker.clone()]).await, Ok(vec![CommitOutcome::Committed]));
    scene.proxy.open_gate();
    assert_eq!(running.await.unwrap(), Ok(vec![CommitOutcome::VersionConflict { current: 3 }]));
    scene.assert_contains_exactly(&[&placed, &quicker], STOCK - 1).await;
    assert_eq!(scene.counted(), [1, 1, 0]);
}

/// A commit that only completes a task: the task is completed by this worker, or by another worker after a takeover.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_completed_by_its_lease_holder() {
    for (seed, cut, is_taken_over) in
        [(40, Cut::BeforeCommit, false), (41, Cut::AfterCommit, false), (42, Cut::BeforeCommit, true)]
    {
        let mut scene = Scene::new(seed).await;
        let placed = scene.place(1);
        assert_eq!(scene.other.commit(vec![placed.clone()]).await, Ok(vec![CommitOutcome::Committed]));
        let due = scene.world.in_seconds(100_000);
        let claim = async |seconds: i64| {
            let until = scene.world.in_seconds(100_000 + seconds + 10);
            let now = scene.world.in_seconds(100_000 + seconds);
            scene.other.claim_due_tasks(TaskQueue::Deadlines, now, until, 10).await.unwrap()
        };
        let [claimed] = &claim(0).await[..] else { panic!("one task is due at {due}") };
        let task_id: TaskId = claimed.task.id;
        let completing = |lease| Commit {
            claim: None,
            completes: Some(lease),
            ..scene.world.clone().repeat(&order_of(&placed), order_of(&placed).details.customer_id)
        };
        let running = scene.begin_cut(cut, vec![completing(claimed.lease)]).await;
        let taken_over = if is_taken_over {
            // Claims skip locked rows, so this waits until the server has rolled the lost transaction back.
            eventually_some("the task is taken over", async || claim(20).await).await
        } else {
            Vec::new()
        };
        scene.proxy.open_gate();
        let outcome = running.await.unwrap();
        if is_taken_over {
            assert_eq!(outcome, Ok(vec![CommitOutcome::LeaseLost]));
            assert_eq!(taken_over[0].task.id, task_id);
            let outcome = scene.other.commit(vec![completing(taken_over[0].lease)]).await;
            assert_eq!(outcome, Ok(vec![CommitOutcome::Committed]));
        } else {
            assert_eq!(outcome, Ok(vec![CommitOutcome::Committed]), "{cut:?}");
        }
        assert_eq!(scene.count("SELECT count(*) FROM tasks").await, 0);
        assert_eq!(scene.counted(), [1, 1, 0]);
    }
}

/// A claimed key without a change has the same response, whichever server claimed it for the same request. But the
/// claim does not prove that the other commits of the batch are written.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_server_claimed_proves_nothing_about_the_batch() {
    let mut scene = Scene::new(50).await;
    let (placed, accepted) = scene.accept().await;
    assert_eq!(scene.other.commit(vec![accepted.clone()]).await, Ok(vec![CommitOutcome::Committed]));
    let repeated = scene.world.repeat(&order_of(&accepted), order_of(&placed).details.customer_id);
    for cut in [Cut::AfterCommit, Cut::BeforeCommit] {
        let repeated =
            Commit { claim: Some(scene.world.claim(scene.world.clone().account_id())), ..repeated.clone() };
        let outcomes = scene.commit_cut(&[cut], vec![repeated]).await;
        assert_eq!(outcomes, Ok(vec![CommitOutcome::Committed]));
    }
    let batch = vec![repeated.clone(), scene.place(1)];
    let running = scene.begin_cut(Cut::BeforeCommit, batch.clone()).await;
    assert_eq!(scene.other.commit(vec![repeated.clone()]).await, Ok(vec![CommitOutcome::Committed]));
    scene.proxy.open_gate();
    let replayed = CommitOutcome::Replayed { order_id: accepted.order_id, version: 3 };
    assert_eq!(running.await.unwrap(), Ok(vec![replayed, CommitOutcome::Committed]));
    scene.assert_contains_exactly(&[&placed, &accepted, &batch[1]], STOCK - 2).await;
}

/// A commit without evidence is not repeated: its outcome stays unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_evidence_is_not_repeated() {
    let mut scene = Scene::new(60).await;
    let (placed, _) = scene.accept().await;
    let nothing = scene.world.repeat(&order_of(&placed), order_of(&placed).details.customer_id);
    let returning = Commit { claim: None, stock: vec![StockChange::Return(draw("dal", 1))], ..nothing };
    let outcome = scene.commit_cut(&[Cut::AfterCommit], vec![returning]).await;
    assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
    assert_eq!(scene.stock().await, STOCK);
    assert_eq!(scene.counted(), [1, 0, 1]);
}

/// If the database becomes unavailable at COMMIT and stays so, the store reports an unknown outcome in bounded time.
/// When the database is back, the key shows the outcome.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_outcome_stays_unknown() {
    for (seed, cut) in [(70, Cut::BeforeCommit), (71, Cut::AfterCommit)] {
        let resolve_timeout = Duration::from_millis(500);
        let options = PostgresOptions { resolve_timeout, ..PostgresOptions::default() };
        let mut scene = Scene::with(seed, options).await;
        let commit = scene.place(2);
        scene.proxy.cut(&[cut], Gate::Refusing);
        let begun = Instant::now();
        let outcome = scene.store.commit(vec![commit.clone()]).await;
        assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))), "{outcome:?}");
        // The timeout is a documented limit. The upper bound is a multiple of it, because the machine may be busy.
        assert!((resolve_timeout..resolve_timeout * 10).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        assert_eq!(scene.counted(), [1, 0, 1]);

        scene.proxy.open_gate();
        let again = scene.store.commit(vec![commit.clone()]).await.unwrap();
        let replayed = CommitOutcome::Replayed { order_id: commit.order_id, version: 2 };
        assert_eq!(again, [if cut == Cut::AfterCommit { replayed } else { CommitOutcome::Committed }]);
        scene.assert_contains_exactly(&[&commit], STOCK - 2).await;
    }
}
