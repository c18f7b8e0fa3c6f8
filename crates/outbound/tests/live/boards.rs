//! Boards, on an engine whose store can fail.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use dabba_domain::{
    Actor, OrderId, RestaurantId,
    order::{CancelReason, Command, Order, OrderStatus, Version},
};
use dabba_engine::MAX_BOARD_ORDERS;
use dabba_outbound::{
    Filter, TypeSet,
    feed::Start,
    live::{
        EndReason, Item, Live, LiveConfig, MAX_READS,
        board::{BoardError, BoardMessage, BoardSnapshot, BoardStream, BoardSums, MAX_PART_ORDERS},
    },
};
use dabba_store::{
    Commit, CommitOutcome,
    conformance::builders::{World as Builder, order_of},
};
use dabba_testkit::PATIENCE;
use futures::{FutureExt as _, future::join_all};

use crate::{HEARTBEAT, OrderFault, World};

/// Number of orders of a commit.
const BATCH: usize = 250;

async fn open(world: &World, restaurant: RestaurantId) -> BoardStream {
    let session = world.session(&world.server.admin);
    world.live.board_stream(session, restaurant).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn next(stream: &mut BoardStream) -> BoardMessage {
    tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap()
}

/// Returns the next message that is no heartbeat.
async fn next_change(stream: &mut BoardStream) -> BoardMessage {
    loop {
        match next(stream).await {
            BoardMessage::Heartbeat(_) => {}
            message => return message,
        }
    }
}

/// Reads the whole snapshot.
async fn snapshot(stream: &mut BoardStream) -> Vec<BoardSnapshot> {
    let mut parts = Vec::new();
    loop {
        let BoardMessage::Snapshot(part) = next(stream).await else { panic!("the snapshot is first") };
        let is_last = part.part == part.parts;
        parts.push(part);
        if is_last {
            return parts;
        }
    }
}

/// Another process, which writes orders into the store of the world.
struct Other<'a> {
    world: &'a World,
    builder: Builder,
    restaurant: RestaurantId,
}

/// Returns a commit without its tasks. The builder's clock is months behind the server's, whose workers would end the
/// orders.
fn without_tasks(mut commit: Commit) -> Commit {
    commit.tasks.clear();
    commit
}

impl<'a> Other<'a> {
    fn new(world: &'a World, seed: u64) -> Self {
        Self { world, builder: Builder::new(seed), restaurant: world.restaurants[0] }
    }

    /// Places confirmed orders.
    async fn place(&mut self, count: usize) -> Vec<Order> {
        let customer = self.builder.account_id();
        let mut orders = Vec::new();
        while orders.len() < count {
            let missing = (count - orders.len()).min(BATCH);
            let place = |_| without_tasks(self.builder.place(self.restaurant, customer));
            let batch: Vec<_> = (0..missing).map(place).collect();
            orders.extend(batch.iter().map(order_of));
            let outcomes = self.world.faults.store().commit(batch).await.unwrap();
            assert!(outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed), "{outcomes:?}");
        }
        orders
    }

    /// Moves an order by a command.
    async fn act(&mut self, order: &mut Order, command: &Command, actor: &Actor) {
        let commit = without_tasks(self.builder.act(order, command, actor));
        *order = order_of(&commit);
        let outcomes = self.world.faults.store().commit(vec![commit]).await.unwrap();
        assert_eq!(outcomes, [CommitOutcome::Committed]);
    }

    async fn cancel(&mut self, order: &mut Order) {
        let actor = Actor::Admin { account_id: self.builder.account_id() };
        self.act(order, &Command::cancel(CancelReason::Other), &actor).await;
    }

    /// Assigns another courier, which any number of times changes an order.
    async fn assign(&mut self, order: &mut Order) {
        let courier_id = self.builder.account_id();
        let actor = Actor::Admin { account_id: self.builder.account_id() };
        self.act(order, &Command::assign(courier_id), &actor).await;
    }
}

/// Applies the messages of a board.
#[derive(Debug, Default)]
struct View(BTreeMap<OrderId, Version>);

impl View {
    fn apply(&mut self, message: &BoardMessage) {
        match message {
            BoardMessage::Snapshot(part) => {
                self.0.extend(part.orders.iter().map(|order| (order.id, order.version)));
            }
            BoardMessage::Order(order) => {
                let before = self.0.insert(order.id, order.version);
                assert!(before.is_none_or(|before| before < order.version));
            }
            BoardMessage::Gone(order) => assert!(self.0.remove(&order.id).is_some()),
            BoardMessage::Heartbeat(sums) => assert_eq!(*sums, self.sums()),
            BoardMessage::Restaurant(_) | BoardMessage::Item(_) | BoardMessage::End(_) => {}
        }
    }

    fn sums(&self) -> BoardSums {
        let bits = |id: &OrderId| u32::try_from(id.uuid().as_u128() & u128::from(u32::MAX)).unwrap();
        BoardSums {
            open: self.0.len(),
            versions: self.0.values().map(|version| u64::from(*version)).sum(),
            ids: self.0.keys().fold(0, |sum, id| sum ^ bits(id)),
        }
    }
}

/// Proves that a snapshot has parts of at most 100 orders, oldest first, of which only the first has the restaurant and
/// the items, and that a heartbeat states the sums.
#[tokio::test]
async fn a_snapshot_has_parts() {
    let world = World::start().await;
    let placed = Other::new(&world, 1).place(2 * MAX_PART_ORDERS + 1).await;
    let mut stream = open(&world, world.restaurants[0]).await;
    let parts = snapshot(&mut stream).await;
    let sizes: Vec<_> = parts.iter().map(|part| part.orders.len()).collect();
    assert_eq!(sizes, [MAX_PART_ORDERS, MAX_PART_ORDERS, 1]);
    for (index, part) in parts.iter().enumerate() {
        assert_eq!((part.part, part.parts, part.is_truncated), (index + 1, 3, false));
        assert_eq!((part.restaurant.is_some(), part.items.is_some()), (index == 0, index == 0));
    }
    let ids: Vec<_> = parts.iter().flat_map(|part| &part.orders).map(|order| order.id).collect();
    assert_eq!(ids, placed.iter().map(|order| order.id).collect::<Vec<_>>());
    let mut view = View::default();
    for part in parts {
        view.apply(&BoardMessage::Snapshot(part));
    }
    let heartbeat = next(&mut stream).await;
    assert!(matches!(heartbeat, BoardMessage::Heartbeat(_)), "{heartbeat:?}");
    view.apply(&heartbeat);
}

/// Proves that a board begins with the newest orders if there are too many, and shows the change of an older one.
#[tokio::test]
async fn a_board_begins_with_the_newest_orders() {
    let world = World::start().await;
    let mut other = Other::new(&world, 2);
    let max = MAX_BOARD_ORDERS as usize;
    let mut placed = other.place(max + 1).await;
    let board = world.live.board(world.restaurants[0]).await.unwrap();
    assert_eq!((board.part, board.parts, board.orders.len(), board.is_truncated), (1, 1, max, true));
    assert_eq!((board.orders[0].id, board.orders[max - 1].id), (placed[1].id, placed[max].id));
    let mut stream = open(&world, world.restaurants[0]).await;
    let parts = snapshot(&mut stream).await;
    assert!(parts.iter().all(|part| part.is_truncated));
    assert_eq!(parts.iter().map(|part| part.orders.len()).sum::<usize>(), max);
    other.assign(&mut placed[0]).await;
    let BoardMessage::Order(order) = next_change(&mut stream).await else { panic!("an order was expected") };
    assert_eq!((order.id, order.version), (placed[0].id, placed[0].version));
    other.cancel(&mut placed[0]).await;
    let BoardMessage::Gone(order) = next_change(&mut stream).await else { panic!("it should be gone") };
    assert_eq!((order.id, order.status), (placed[0].id, OrderStatus::Cancelled));
}

/// Proves that a board is read although all of it, and even a usual part of it, takes longer than the timeout of a read.
#[tokio::test]
async fn a_board_that_is_read_slowly_is_read_in_parts() {
    const ORDERS: usize = 120;
    let timeout_of_read = Duration::from_secs(1);
    let world = World::start().await;
    let placed = Other::new(&world, 7).place(ORDERS).await;
    world.faults.time_per_order.store(15, Ordering::SeqCst);
    let orders = &world.server.engine().orders;
    let board = orders.board_orders(world.restaurants[0], timeout_of_read).await.unwrap();
    assert!(!board.is_truncated);
    let ids: Vec<_> = board.orders.iter().map(|sized| sized.order.id).collect();
    assert_eq!(ids, placed.iter().map(|order| order.id).collect::<Vec<_>>());
}

/// Proves that the boards of a restaurant share the read of an order that another process has changed, that a change
/// of this process needs no read, and that the boards of other restaurants receive nothing.
#[tokio::test]
async fn boards_share_their_reads() {
    const BOARDS: usize = 20;
    let world = World::start().await;
    let mut boards = Vec::new();
    for _ in 0..BOARDS {
        boards.push(open(&world, world.restaurants[0]).await);
    }
    for stream in &mut boards {
        snapshot(stream).await;
    }
    let mut of_other = open(&world, world.restaurants[1]).await;
    snapshot(&mut of_other).await;
    let own = world.place(world.restaurants[0], "own").await;
    for stream in &mut boards {
        let BoardMessage::Order(order) = next_change(stream).await else { panic!("an order was expected") };
        assert_eq!(order.id.to_string(), own);
    }
    assert_eq!(world.faults.order_reads.load(Ordering::SeqCst), 0);
    let mut other = Other::new(&world, 3);
    let mut placed = other.place(1).await;
    for (place, change) in ["placed", "cancelled"].into_iter().enumerate() {
        for stream in &mut boards {
            match next_change(stream).await {
                BoardMessage::Order(order) if change == "placed" => assert_eq!(order.id, placed[0].id),
                BoardMessage::Gone(order) if change == "cancelled" => assert_eq!(order.id, placed[0].id),
                message => panic!("{message:?} after it was {change}"),
            }
        }
        assert_eq!(world.faults.order_reads.load(Ordering::SeqCst), place + 1);
        if change == "placed" {
            other.cancel(&mut placed[0]).await;
        }
    }
    for _ in 0..2 {
        let message = next(&mut of_other).await;
        assert!(matches!(message, BoardMessage::Heartbeat(_)), "{message:?}");
    }
}

/// Proves that a board that does not read keeps only the latest state of each order, however many changes there are, and
/// that it then leads to the present board; and that another board receives the changes meanwhile.
#[tokio::test]
async fn a_slow_board_coalesces() {
    const ORDERS: usize = 10;
    const CHANGES: usize = 1_000;
    /// Number of changes after which the other board must have received them.
    const EACH: usize = 100;
    let world = World::start().await;
    let mut other = Other::new(&world, 4);
    let mut orders = other.place(ORDERS).await;
    let mut slow = open(&world, world.restaurants[0]).await;
    let mut reading = open(&world, world.restaurants[0]).await;
    let (mut view, mut other_view) = (View::default(), View::default());
    for part in snapshot(&mut slow).await {
        view.apply(&BoardMessage::Snapshot(part));
    }
    for part in snapshot(&mut reading).await {
        other_view.apply(&BoardMessage::Snapshot(part));
    }
    for change in 1..=CHANGES {
        let order = &mut orders[change % ORDERS];
        other.assign(order).await;
        // Other processes poll for events, so waiting for each change would take minutes.
        while change % EACH == 0 && other_view.0[&order.id] < order.version {
            other_view.apply(&next(&mut reading).await);
        }
    }
    other.cancel(&mut orders[0]).await;
    while other_view.0.contains_key(&orders[0].id) {
        other_view.apply(&next(&mut reading).await);
    }
    let mut changes = 0;
    while let Some(message) = slow.next().now_or_never().flatten() {
        changes += usize::from(matches!(message, BoardMessage::Order(_) | BoardMessage::Gone(_)));
        view.apply(&message);
    }
    assert_eq!(changes, ORDERS);
    assert_eq!(view.0, other_view.0);
    assert_eq!(view.sums(), other_view.sums());
}

/// Proves that boards go on while changed orders cannot be read, and receive the changes afterwards; and that a board
/// cannot be opened then.
#[tokio::test]
async fn a_board_survives_failed_reads() {
    let world = World::start().await;
    let mut other = Other::new(&world, 5);
    let mut orders = other.place(2).await;
    let mut stream = open(&world, world.restaurants[0]).await;
    snapshot(&mut stream).await;
    world.faults.set_orders(OrderFault::Down);
    other.assign(&mut orders[0]).await;
    other.cancel(&mut orders[1]).await;
    while world.faults.order_reads.load(Ordering::SeqCst) < 2 {
        let message = next(&mut stream).await;
        assert!(matches!(message, BoardMessage::Heartbeat(_)), "{message:?}");
    }
    let refused = world.live.board_stream(world.session(&world.server.admin), world.restaurants[0]).await;
    assert!(matches!(refused, Err(BoardError::Engine(dabba_engine::Error::Unavailable))));
    world.faults.set_orders(OrderFault::None);
    let mut view = View(orders.iter().map(|order| (order.id, 0)).collect());
    for _ in 0..2 {
        view.apply(&next_change(&mut stream).await);
    }
    assert_eq!(view.0, BTreeMap::from([(orders[0].id, orders[0].version)]));
}

/// Proves that a board gets no heartbeats while its changes cannot be read, either because the feed does not answer or
/// because the orders do not, and gets them again afterwards.
#[tokio::test]
async fn a_board_that_may_be_out_of_date_gets_no_heartbeats() {
    const BEATS: usize = 12;
    let world = World::start().await;
    let mut other = Other::new(&world, 9);
    let mut orders = other.place(1).await;
    let config = LiveConfig {
        heartbeat: HEARTBEAT,
        max_board_lag: 5 * HEARTBEAT,
        max_streams_per_credential: 100,
        ..LiveConfig::default()
    };
    let live = Live::new(world.server.engine(), config);
    live.start();
    let session = world.session(&world.server.admin);
    let mut stream = live.board_stream(session, world.restaurants[0]).await.unwrap();
    snapshot(&mut stream).await;
    // The heartbeats of this stream go on, and show that time passes.
    let filter = Filter { restaurant: Some(world.restaurants[1]), types: TypeSet::ALL };
    let mut watch = live.feed_stream(session, Start::Now, filter).await.unwrap();
    for is_feed in [true, false] {
        if is_feed {
            world.faults.is_down[0].store(true, Ordering::SeqCst);
        } else {
            world.faults.set_orders(OrderFault::Down);
            other.assign(&mut orders[0]).await;
        }
        for _ in 0..BEATS {
            assert!(matches!(watch.next().await, Some(Item::Heartbeat { .. })));
        }
        while stream.next().now_or_never().flatten().is_some() {}
        for _ in 0..BEATS {
            assert!(matches!(watch.next().await, Some(Item::Heartbeat { .. })));
        }
        let message = stream.next().now_or_never();
        assert!(message.is_none(), "{message:?}");
        world.faults.is_down[0].store(false, Ordering::SeqCst);
        world.faults.set_orders(OrderFault::None);
        while !matches!(next(&mut stream).await, BoardMessage::Heartbeat(_)) {}
    }
}

/// Proves that a board ends with the rights of its caller although its snapshot is not read, and says so once.
#[tokio::test]
async fn an_ended_board_sends_nothing_more() {
    let world = World::start().await;
    Other::new(&world, 6).place(3 * MAX_PART_ORDERS).await;
    let mut stream = open(&world, world.restaurants[0]).await;
    let first = next(&mut stream).await;
    assert!(matches!(first, BoardMessage::Snapshot(BoardSnapshot { part: 1, parts: 3, .. })), "{first:?}");
    let end = stream.finish(EndReason::Shutdown);
    assert!(matches!(end, Some(BoardMessage::End(EndReason::Shutdown))), "{end:?}");
    assert!(stream.finish(EndReason::Lagging).is_none());
    assert!(stream.next().await.is_none());
}

/// Proves that boards begin anew if a change that was published is lost, as after the promotion of a standby that lacks
/// it.
#[tokio::test]
async fn a_board_ends_if_a_published_change_is_lost() {
    let world = World::start().await;
    let mut other = Other::new(&world, 7);
    let mut orders = other.place(1).await;
    let mut stream = open(&world, world.restaurants[0]).await;
    snapshot(&mut stream).await;
    world.faults.set_orders(OrderFault::Lost);
    other.assign(&mut orders[0]).await;
    let end = next_change(&mut stream).await;
    assert!(matches!(end, BoardMessage::End(EndReason::Lagging)), "{end:?}");
    world.faults.set_orders(OrderFault::None);
    let again = snapshot(&mut open(&world, world.restaurants[0]).await).await;
    assert_eq!(again[0].orders[0].version, orders[0].version);
}

/// Proves that an order that cannot be decoded does not prevent the changes of other orders.
#[tokio::test]
async fn a_damaged_order_does_not_stop_a_board() {
    let world = World::start().await;
    let mut other = Other::new(&world, 8);
    let mut orders = other.place(2).await;
    let mut stream = open(&world, world.restaurants[0]).await;
    snapshot(&mut stream).await;
    world.faults.set_orders(OrderFault::Damaged(orders[0].id));
    other.assign(&mut orders[0]).await;
    other.assign(&mut orders[1]).await;
    let BoardMessage::Order(order) = next_change(&mut stream).await else { panic!("an order was expected") };
    assert_eq!((order.id, order.version), (orders[1].id, orders[1].version));
    world.faults.set_orders(OrderFault::None);
    other.cancel(&mut orders[0]).await;
    let BoardMessage::Gone(order) = next_change(&mut stream).await else { panic!("it should be gone") };
    assert_eq!(order.id, orders[0].id);
}

/// Proves that boards and streams of a shard that hangs delay no board of another shard, and that the boards of the
/// shard that hangs are refused in time.
#[tokio::test]
async fn a_shard_that_hangs_delays_no_board_of_another_shard() {
    /// Maximum time for the board of the shard that answers. The reads of the other shard end after 5 s.
    const AT_ONCE: Duration = Duration::from_secs(3);
    let world = World::start().await;
    let [north, south] = world.restaurants;
    world.faults.set_orders(OrderFault::Hanging(south));
    let session = world.session(&world.server.admin);
    let opening: Vec<_> = (0..2 * MAX_READS)
        .map(|_| {
            let live = std::sync::Arc::clone(&world.live);
            tokio::spawn(async move { live.board_stream(session, south).await.map(drop) })
        })
        .collect();
    // Until the boards have joined and read.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    snapshot(&mut open(&world, north).await).await;
    let taken = began.elapsed();
    assert!(taken < AT_ONCE, "{taken:?}");
    for refused in tokio::time::timeout(PATIENCE, join_all(opening)).await.unwrap() {
        let refused = refused.unwrap();
        assert!(matches!(refused, Err(BoardError::Engine(dabba_engine::Error::Unavailable))), "{refused:?}");
    }
    world.faults.set_orders(OrderFault::None);
    snapshot(&mut open(&world, south).await).await;
}
