//! The board of a restaurant: the orders that its staff works on now, the restaurant, and the items that are not simply
//! available; and a stream of their changes.
//!
//! A stream subscribes, then reads the present state, then sends it in parts, then sends the state of each order after
//! each change. A change that the snapshot contains already is removed by its version. So nothing depends on a cursor: a
//! client that was interrupted connects again and replaces everything.
//!
//! | module | what it does |
//! |---|---|
//! | `rooms` | the boards of a shard, by restaurant, and what has changed for them |
//! | `reader` | reads the changed orders and restaurants, once for all boards |
//! | `shown` | the orders that a board shows, and their sums |
//! | `tray` | the buffer of a board, which coalesces by order |
//! | `kitchen` | how a restaurant and its items look at a moment |

mod kitchen;
mod reader;
mod rooms;
mod shown;
mod tray;

use std::{collections::VecDeque, future::poll_fn, sync::Arc, time::Duration};

use dabba_domain::{RestaurantId, order::Order};
use dabba_engine::{BoardOrders, CatalogueEntry, Error, SizedOrder};
use dabba_store::FeedPosition;
use tokio::time::timeout;

pub(super) use self::rooms::Rooms;
pub use self::{kitchen::BoardItem, rooms::MAX_UNREAD_ORDERS, shown::BoardSums, tray::MAX_WAITING_ORDERS};
use self::{
    kitchen::{Items, Kitchen, Look, changed_items},
    rooms::Seat,
    shown::Shown,
    tray::{Delivery, Tray},
};
use super::{
    EndReason, Full, Kind, Live, Session, Shared,
    follower::READ_TIMEOUT,
    index::{Entry, Topic},
    mailbox::Receiver as _,
    open::{Place, Right},
    shard::{Consumer, Shard},
};
use crate::TypeSet;

/// Maximum number of orders of a part of a snapshot.
pub const MAX_PART_ORDERS: usize = 100;

/// Maximum size of the orders of a part of a snapshot, unless a single order is larger. A part becomes one message in memory.
pub const MAX_PART_BYTES: usize = 1024 * 1024;

/// Maximum number of orders that a board shows. A board that exceeds it ends, and its client begins anew with the newest
/// orders ([`dabba_engine::MAX_BOARD_ORDERS`]).
pub const MAX_SHOWN_ORDERS: usize = 2_000;

/// Maximum time for which a board waits for other boards and streams of its shard to end their reads. The reads of a
/// shard that hangs end only after their timeouts, so boards would otherwise queue without a limit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reason why a board cannot be shown.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BoardError {
    /// A limit of the number of streams is reached.
    #[error("too many streams are open")]
    Full(Full),
    /// The board cannot be read.
    #[error(transparent)]
    Engine(#[from] Error),
}

/// The present state of a board, or a part of it.
#[derive(Clone, Debug)]
pub struct BoardSnapshot {
    /// Number of the part, from 1.
    pub part: usize,
    /// Number of parts, at least 1.
    pub parts: usize,
    /// The restaurant. Only in the first part.
    pub restaurant: Option<Arc<CatalogueEntry>>,
    /// The items that are unavailable, or whose stock is limited, by id. Only in the first part.
    pub items: Option<Vec<BoardItem>>,
    /// The orders, oldest first over all parts.
    pub orders: Vec<Arc<Order>>,
    /// Whether the restaurant has more orders than a board shows.
    pub is_truncated: bool,
}

/// A message of a board.
#[derive(Clone, Debug)]
pub enum BoardMessage {
    /// A part of the present state.
    Snapshot(BoardSnapshot),
    /// An order that is new on the board, or has changed.
    Order(Arc<Order>),
    /// An order that is no longer on the board.
    Gone(Arc<Order>),
    /// The restaurant after a change.
    Restaurant(Arc<CatalogueEntry>),
    /// An item after a change.
    Item(BoardItem),
    /// A heartbeat with the sums of what the board shows.
    Heartbeat(BoardSums),
    /// The end of the stream.
    End(EndReason),
}

/// A stream of a board. Dropping it ends it.
pub struct BoardStream {
    shared: Arc<Shared>,
    tray: Arc<Tray>,
    /// What is sent before the next delivery of the tray.
    outgoing: VecDeque<BoardMessage>,
    shown: Shown,
    kitchen: Arc<Kitchen>,
    look: Look,
    items: Items,
    end: Option<EndReason>,
    _place: Place,
    joined: Joined,
    seat: Seat,
}

/// The place of a board in the index of its shard. Dropping it leaves the index.
struct Joined {
    shard: Arc<Shard>,
    topic: Topic,
    id: u64,
    _consumer: Consumer,
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.shard.leave(self.topic, self.id);
    }
}

impl Live {
    /// Returns the present state of a restaurant's board in one part. The caller may see the board.
    pub async fn board(&self, restaurant_id: RestaurantId) -> Result<BoardSnapshot, Error> {
        let (kitchen, orders) = self.shared.read_board(restaurant_id).await?;
        let items = kitchen.items(self.shared.engine.now()).into_values().collect();
        Ok(BoardSnapshot {
            part: 1,
            parts: 1,
            restaurant: Some(Arc::clone(&kitchen.entry)),
            items: Some(items),
            orders: orders.orders.into_iter().map(|sized| sized.order).collect(),
            is_truncated: orders.is_truncated,
        })
    }

    /// Opens a stream of a restaurant's board. The caller may see the board.
    pub async fn board_stream(
        &self,
        session: Session,
        restaurant_id: RestaurantId,
    ) -> Result<BoardStream, BoardError> {
        let shared = Arc::clone(&self.shared);
        let index = shared.store.shard_of(restaurant_id.bucket());
        let of_shard = shared.shards.get(index).zip(shared.rooms.get(index));
        let (shard, rooms) = of_shard.ok_or(Error::Unavailable)?;
        let tray = Tray::new(rooms);
        let right = Right::Board(restaurant_id);
        let place = shared.streams.open(Kind::Board, session, Some(right), Arc::<Tray>::clone(&tray));
        let place = place.map_err(BoardError::Full)?;
        let seat = rooms.join(&shared.engine, restaurant_id, place.id, &tray);
        let joined = shared.join_board(shard, restaurant_id, place.id, &tray).await?;
        // The present state is read after the board has joined, so that no change is missing.
        let (kitchen, orders) = shared.read_board(restaurant_id).await?;
        if kitchen.has_stock() {
            rooms.has_stock(restaurant_id);
        }
        let now = shared.engine.now();
        let (look, items) = (kitchen.look(now), kitchen.items(now));
        let mut stream = BoardStream {
            tray,
            outgoing: VecDeque::new(),
            shown: Shown::default(),
            kitchen: Arc::new(kitchen),
            look,
            items,
            end: None,
            _place: place,
            joined,
            seat,
            shared,
        };
        stream.begin(&orders);
        Ok(stream)
    }
}

impl Shared {
    /// Joins the index of a shard: the board receives every event of its restaurant from now on.
    async fn join_board(
        &self,
        shard: &Arc<Shard>,
        restaurant_id: RestaurantId,
        id: u64,
        tray: &Arc<Tray>,
    ) -> Result<Joined, Error> {
        let (topic, consumer) = (Topic::Restaurant(restaurant_id), shard.consume());
        let join = async {
            loop {
                shard.until_followed().await;
                let (after, types) = (FeedPosition::START, TypeSet::ALL);
                let receiver = Arc::<Tray>::clone(tray);
                if shard.join_now(topic, Entry { id, after, types, receiver }) {
                    return;
                }
            }
        };
        timeout(READ_TIMEOUT, join).await.map_err(|_| Error::Unavailable)?;
        Ok(Joined { shard: Arc::clone(shard), topic, id, _consumer: consumer })
    }

    /// Reads the present state of a board.
    async fn read_board(&self, id: RestaurantId) -> Result<(Kitchen, BoardOrders), Error> {
        let shard = self.shards.get(self.store.shard_of(id.bucket())).ok_or(Error::Unavailable)?;
        let permit = timeout(PERMIT_TIMEOUT, shard.begin_read()).await;
        let _permit = permit.ok().flatten().ok_or(Error::Unavailable)?;
        let kitchen = Kitchen::read(&self.engine, &*self.store, id).await?;
        // The timeout is that of each part, because the work depends on the sizes of the orders.
        let orders = self.engine.orders.board_orders(id, READ_TIMEOUT).await?;
        Ok((kitchen, orders))
    }
}

impl BoardStream {
    /// Returns the restaurant and its menu, as the board has read them last.
    pub fn restaurant(&self) -> &CatalogueEntry {
        &self.kitchen.entry
    }

    /// Returns the next message; `None` after the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<BoardMessage> {
        loop {
            if self.end.is_some() {
                return None;
            }
            // First of all, so that a long snapshot does not outlive the caller's rights.
            if let Some(reason) = self.tray.end_reason() {
                return self.finish(reason);
            }
            if let Some(message) = self.outgoing.pop_front() {
                return Some(message);
            }
            let tray = &self.tray;
            match poll_fn(|context| tray.poll(context)).await {
                Delivery::Order(order) => {
                    self.outgoing.extend(self.shown.change(order));
                    if self.shown.sums().open > MAX_SHOWN_ORDERS {
                        return self.finish(EndReason::Lagging);
                    }
                }
                Delivery::Kitchen(kitchen) => {
                    if kitchen.refund_limit() != self.kitchen.refund_limit() {
                        return self.finish(EndReason::BoardChanged);
                    }
                    self.kitchen = kitchen;
                    self.look_again();
                }
                Delivery::Beat => {
                    // Time alone changes how a restaurant and its items look.
                    self.look_again();
                    if self.is_current() {
                        self.outgoing.push_back(BoardMessage::Heartbeat(self.shown.sums()));
                    }
                }
                Delivery::End(reason) => return self.finish(reason),
            }
        }
    }

    /// Ends the stream. Returns its last message; `None` if it has ended before.
    pub fn finish(&mut self, reason: EndReason) -> Option<BoardMessage> {
        if self.end.is_some() {
            return None;
        }
        self.tray.end(reason);
        self.outgoing = VecDeque::new();
        self.end = Some(reason);
        Some(BoardMessage::End(reason))
    }

    /// Puts the parts of the snapshot into the queue.
    fn begin(&mut self, orders: &BoardOrders) {
        let BoardOrders { orders, is_truncated } = orders;
        for sized in orders {
            self.shown.insert(&sized.order);
        }
        let all = parts_of(orders);
        let parts = all.len();
        for (index, of_part) in all.into_iter().enumerate() {
            let is_first = index == 0;
            self.outgoing.push_back(BoardMessage::Snapshot(BoardSnapshot {
                part: index + 1,
                parts,
                restaurant: is_first.then(|| Arc::clone(&self.kitchen.entry)),
                items: is_first.then(|| self.items.values().cloned().collect()),
                orders: of_part,
                is_truncated: *is_truncated,
            }));
        }
    }

    /// Returns whether the board has every change until shortly before now. Without heartbeats, the client notices that
    /// it may be out of date.
    fn is_current(&self) -> bool {
        let within = self.shared.config.max_board_lag;
        self.joined.shard.is_caught_up(within) && self.seat.is_read(within)
    }

    /// Queues what looks different of the restaurant and its items now.
    fn look_again(&mut self) {
        let now = self.shared.engine.now();
        let (look, items) = (self.kitchen.look(now), self.kitchen.items(now));
        if look != self.look {
            self.outgoing.push_back(BoardMessage::Restaurant(Arc::clone(&self.kitchen.entry)));
        }
        self.outgoing.extend(changed_items(&self.items, &items).into_iter().map(BoardMessage::Item));
        (self.look, self.items) = (look, items);
    }
}

/// Divides the orders of a snapshot into parts: at least one part, each within [`MAX_PART_ORDERS`] and [`MAX_PART_BYTES`] unless
/// it has a single order.
fn parts_of(orders: &[SizedOrder]) -> Vec<Vec<Arc<Order>>> {
    let (mut parts, mut last, mut bytes) = (Vec::new(), Vec::new(), 0);
    for sized in orders {
        let is_full = last.len() >= MAX_PART_ORDERS || bytes + sized.bytes > MAX_PART_BYTES;
        if is_full && !last.is_empty() {
            parts.push(std::mem::take(&mut last));
            bytes = 0;
        }
        last.push(Arc::clone(&sized.order));
        bytes += sized.bytes;
    }
    parts.push(last);
    parts
}

impl Drop for BoardStream {
    fn drop(&mut self) {
        self.shared.metrics.ended(self.end);
    }
}
