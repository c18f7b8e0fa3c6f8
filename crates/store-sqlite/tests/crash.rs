//! Test that a store that is killed repeatedly in the middle of its work loses no acknowledged write and
//! shows nothing incomplete (I2, I3).
//!
//! The parent test starts a child process that writes as fast as it can and prints its acknowledged writes to
//! its standard output. After some acknowledgements, the parent kills the child with `SIGKILL`, opens the
//! same database and inspects it. The test proves what survives the death of the process. That a commit is
//! also on the disk depends on `synchronous=FULL`, which only a power failure would test.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends with a panic")]

use std::{
    collections::HashMap,
    env,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use dabba_domain::{
    OrderId, RestaurantId,
    order::{self, CancelReason, Event, RecordedEvent, fold},
    task::TaskQueue,
};
use dabba_store::{
    CatalogueStore as _, Commit, CommitOutcome, FeedPosition, IdempotencyKey, OrderStore as _, Store as _,
    TaskStore as _,
    conformance::builders::{World, customer, feed_after, menu, order_of, slug, staff},
};
use dabba_store_sqlite::{SqliteOptions, SqliteStore};

/// Number of times that the child is killed.
const ROUNDS: u64 = 25;
/// Number of writers in the child.
const WRITERS: u64 = 4;
/// Maximum number of orders in a batch of the child.
const LARGEST_BATCH: usize = 8;
/// Maximum number of acknowledgements after which the child is killed.
const MAX_ACKNOWLEDGED: usize = 300;
/// Stock of the limited item; more than all rounds draw.
const STOCK: u32 = 1_000_000;
/// Environment variables that pass the database's path and the round to the child.
const CHILD_DATABASE: &str = "DABBA_CRASH_DATABASE";
const CHILD_ROUND: &str = "DABBA_CRASH_ROUND";
/// Prefix that distinguishes the child's lines from the test runner's lines.
const ACKNOWLEDGED: &str = "acknowledged ";

/// Returns the restaurant, which is the same in every process.
fn the_restaurant() -> dabba_domain::restaurant::Restaurant {
    World::new(1_000).restaurant()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_kill() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dabba.db");
    SqliteStore::migrate(&path).unwrap();
    let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
    let restaurant = the_restaurant();
    assert!(store.create_restaurant(&restaurant, &menu(&["naan"])).await.unwrap().is_created());
    store.set_stock(restaurant.id, &slug("naan"), Some(STOCK)).await.unwrap();
    store.close().await;

    let mut world = World::new(1_001);
    let mut inspector = Inspector::default();
    for round in 0..ROUNDS {
        // In some rounds the child is killed at its first line of output, while it opens the database.
        let patience = if round % 8 == 7 { 0 } else { 1 + world.below(MAX_ACKNOWLEDGED) };
        let acknowledged = run_and_kill(&path, round, patience);
        assert!(acknowledged.len() >= patience, "the child ended by itself");
        let store = SqliteStore::open(&path, &SqliteOptions::default()).unwrap();
        inspector.inspect(&store, restaurant.id, &acknowledged).await;
        store.close().await;
    }
    let minimum = usize::try_from(ROUNDS).unwrap();
    assert!(inspector.histories.len() > minimum, "only {} orders", inspector.histories.len());
    let connection = rusqlite::Connection::open(&path).unwrap();
    let integrity: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}

/// Starts a child, kills it after `patience` acknowledgements, and returns all acknowledgements: each is an
/// order and its minimum version.
fn run_and_kill(path: &Path, round: u64, patience: usize) -> Vec<(OrderId, u32)> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD_DATABASE, path)
        .env(CHILD_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut is_killed = false;
    // Lines that the child wrote before the kill are still in the pipe, and count as acknowledged.
    for line in lines {
        let line = line.unwrap();
        // The kill may have cut off the last line, which then no client has read.
        let parsed = line.strip_prefix(ACKNOWLEDGED).and_then(|rest| rest.strip_suffix('.')?.split_once(' '));
        if let Some((id, version)) = parsed {
            acknowledged.push((id.parse().unwrap(), version.parse().unwrap()));
        }
        if !is_killed && acknowledged.len() >= patience {
            kill(&mut child);
            is_killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success(), "the child ended by itself");
    acknowledged
}

/// Sends `SIGKILL`, which the child cannot handle.
fn kill(child: &mut Child) {
    child.kill().unwrap();
}

/// Knowledge of the parent about the database from earlier rounds.
#[derive(Default)]
struct Inspector {
    position: FeedPosition,
    histories: HashMap<OrderId, Vec<RecordedEvent>>,
}

impl Inspector {
    /// Inspects all new events, and everything that depends on them.
    async fn inspect(
        &mut self,
        store: &SqliteStore,
        restaurant: RestaurantId,
        acknowledged: &[(OrderId, u32)],
    ) {
        let mut touched = Vec::new();
        for event in feed_after(store, 0, self.position).await {
            self.position = event.position;
            touched.push(event.order_id);
            self.histories.entry(event.order_id).or_default().push(event.decode().unwrap());
        }
        for (id, version) in acknowledged {
            let history = self.histories.get(id).unwrap_or_else(|| panic!("{id:?} was lost"));
            assert!(history.len() >= *version as usize, "{id:?} has lost version {version}");
        }
        touched.sort();
        touched.dedup();
        for id in touched {
            self.inspect_order(store, restaurant, id).await;
        }
        self.inspect_tasks(store).await;
        let taken: u32 = self.histories.values().map(|history| stock_taken(history)).sum();
        assert_eq!(store.stock(restaurant).await.unwrap()[0].remaining, STOCK - taken);
    }

    /// Checks that the order is whole: all its events, its state, and its key.
    async fn inspect_order(&self, store: &SqliteStore, restaurant: RestaurantId, id: OrderId) {
        let history = &self.histories[&id];
        let numbers: Vec<u32> = history.iter().map(|event| event.version).collect();
        assert_eq!(numbers, (1..=u32::try_from(history.len()).unwrap()).collect::<Vec<_>>(), "{id:?}");
        assert_eq!(store.events(id, 0, u32::MAX).await.unwrap(), *history);
        let folded = fold(history).unwrap();
        assert_eq!(store.order(id).await.unwrap(), folded);
        let account = folded.unwrap().details.customer_id;
        let claim = store.find_claim(account, restaurant, &key_of(id)).await.unwrap();
        let claim = claim.unwrap_or_else(|| panic!("{id:?} has no claim"));
        assert_eq!((claim.order_id(), claim.version), (Some(id), 2));
    }

    /// Checks that each order has its task. The leases expire at the moment of the claim, so that the tasks
    /// are due again in the next round.
    async fn inspect_tasks(&self, store: &SqliteStore) {
        let far = World::new(0).in_seconds(100_000_000);
        let mut with_task: Vec<OrderId> = store
            .claim_due_tasks(TaskQueue::Deadlines, far, far, u32::MAX)
            .await
            .unwrap()
            .iter()
            .map(|claimed| claimed.task.subject.order_id().unwrap())
            .collect();
        with_task.sort();
        let mut all: Vec<OrderId> = self.histories.keys().copied().collect();
        all.sort();
        assert_eq!(with_task, all);
    }
}

/// Returns how much of the limited item an order holds.
fn stock_taken(history: &[RecordedEvent]) -> u32 {
    let Some(Event::Placed(details)) = history.first().map(|first| &first.event) else { return 0 };
    let drawn = &details.stock_drawn;
    let returned = history.iter().flat_map(|recorded| recorded.event.returned_stock(drawn));
    drawn.iter().map(|draw| draw.quantity).sum::<u32>() - returned.map(|draw| draw.quantity).sum::<u32>()
}

/// Returns the key of an order: its id, so that the parent knows the key.
fn key_of(id: OrderId) -> IdempotencyKey {
    IdempotencyKey::new(&id.to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other test starts this test in a separate process"]
async fn child_that_is_killed() {
    let path = env::var_os(CHILD_DATABASE).expect("started by the other test");
    let round: u64 = env::var(CHILD_ROUND).unwrap().parse().unwrap();
    let store = Arc::new(SqliteStore::open(Path::new(&path), &SqliteOptions::default()).unwrap());
    let restaurant = the_restaurant().id;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let world = World::new(2_000 + round * WRITERS + writer);
        writers.spawn(write_without_end(Arc::clone(&store), world, restaurant));
    }
    writers.join_all().await;
}

/// Places orders, and accepts or cancels some of them in the same batch or a later one.
async fn write_without_end(store: Arc<SqliteStore>, mut world: World, restaurant: RestaurantId) {
    let mut left_from_before: Option<order::Order> = None;
    loop {
        let mut batch: Vec<Commit> = Vec::new();
        if let Some(order) = left_from_before.take() {
            batch.push(next_step(&mut world, &order));
        }
        for _ in 0..=world.below(LARGEST_BATCH) {
            let quantity = 1 + u32::try_from(world.below(3)).unwrap();
            let mut placed = world.place_taking(restaurant, &[("naan", quantity)]);
            placed.claim.as_mut().unwrap().key = key_of(placed.order_id);
            let order = order_of(&placed);
            batch.push(placed);
            match world.below(3) {
                0 => batch.push(next_step(&mut world, &order)),
                1 => left_from_before = Some(order),
                _ => {}
            }
        }
        let mut lines = String::new();
        for commit in &batch {
            writeln!(lines, "{ACKNOWLEDGED}{} {}.", commit.order_id, order_of(commit).version).unwrap();
        }
        let size = batch.len();
        assert_eq!(store.commit(batch).await.unwrap(), vec![CommitOutcome::Committed; size]);
        // The lines are written at once, so that the writers' lines do not mix.
        let mut output = std::io::stdout().lock();
        output.write_all(lines.as_bytes()).unwrap();
        output.flush().unwrap();
    }
}

fn next_step(world: &mut World, order: &order::Order) -> Commit {
    if world.below(2) == 0 {
        world.act(order, &order::Command::Accept { preparation_minutes: 20 }, &staff(order))
    } else {
        let reason = CancelReason::Other;
        world.act(order, &order::Command::cancel(reason), &customer(order))
    }
}
