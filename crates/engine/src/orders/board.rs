//! Use cases of a restaurant's board: the orders that its staff works on now.

use std::{io, sync::Arc, time::Duration};

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Order, OrderStatus, Version},
};

use tokio::time::timeout;

use super::Orders;
use crate::{Error, Principal, Scope};

/// Maximum number of orders with which a board begins: the newest ones. More open orders are orders that nobody has
/// ended for a long time, because an order that waits for its acceptance expires.
pub const MAX_BOARD_ORDERS: u32 = 1_000;

/// Maximum size of the orders with which a board begins: the newest ones. An order of a usual size has a few kilobytes, so only
/// a board of large orders reaches this limit before [`MAX_BOARD_ORDERS`].
pub const MAX_BOARD_BYTES: usize = 8 * 1024 * 1024;

/// Number of orders of the first read of a board. The sizes of these orders determine the number of orders of the next read.
const FIRST_READ: usize = 20;
/// Maximum number of orders of a read.
const MAX_READ: usize = 250;
/// Intended size of the orders of a read, so that a read takes a fraction of its timeout.
const READ_BYTES: usize = MAX_BOARD_BYTES / 4;

/// Size of an order's JSON without its details, refunds and closure: ids, times, amounts and allowed actions.
const FRAME_BYTES: usize = 2 * 1024;

/// The statuses of the orders on a board.
const STATUSES: [OrderStatus; 4] = [
    OrderStatus::Confirmed,
    OrderStatus::Preparing,
    OrderStatus::ReadyForPickup,
    OrderStatus::OutForDelivery,
];

/// Returns whether orders in this status are on the board of their restaurant.
pub fn is_on_board(status: OrderStatus) -> bool {
    STATUSES.contains(&status)
}

/// The orders of a board.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardOrders {
    /// The newest orders, oldest first. At most [`MAX_BOARD_ORDERS`], and at most [`MAX_BOARD_BYTES`] unless a single order is
    /// larger.
    pub orders: Vec<SizedOrder>,
    /// Whether the restaurant has more orders in these statuses.
    pub is_truncated: bool,
}

/// An order and its size.
#[derive(Clone, Debug, PartialEq)]
pub struct SizedOrder {
    /// The order.
    pub order: Arc<Order>,
    /// Size of its JSON in bytes, rounded up.
    pub bytes: usize,
}

impl SizedOrder {
    fn new(order: Order) -> Result<Self, Error> {
        let mut counter = Counter(FRAME_BYTES);
        let Order { details, refunds, closure, .. } = &order;
        serde_json::to_writer(&mut counter, &(&**details, refunds, closure))
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self { order: Arc::new(order), bytes: counter.0 })
    }
}

/// Counts bytes instead of writing them.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A board while its orders are read, newest first.
#[derive(Default)]
struct Reading {
    orders: Vec<SizedOrder>,
    bytes: usize,
}

impl Reading {
    /// Adds the next older order. Returns false if the order exceeds a limit of the board.
    fn add(&mut self, order: SizedOrder) -> bool {
        let bytes = self.bytes.saturating_add(order.bytes);
        if self.orders.len() >= MAX_BOARD_ORDERS as usize
            || (bytes > MAX_BOARD_BYTES && !self.orders.is_empty())
        {
            return false;
        }
        self.bytes = bytes;
        self.orders.push(order);
        true
    }

    /// Returns how many orders the next read requests: as many as have the intended size if they are as large as those before,
    /// and one more than the board still holds, which shows whether there are more.
    fn wanted(&self) -> usize {
        let mean = self.bytes.checked_div(self.orders.len());
        let intended = mean.map_or(FIRST_READ, |mean| READ_BYTES / mean.max(1));
        intended.clamp(1, MAX_READ).min(MAX_BOARD_ORDERS as usize + 1 - self.orders.len())
    }

    fn finish(mut self, is_truncated: bool) -> BoardOrders {
        self.orders.reverse();
        BoardOrders { orders: self.orders, is_truncated }
    }
}

impl Orders {
    /// Allows a restaurant's staff and admins to see its board.
    pub async fn authorize_board(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
    ) -> Result<(), Error> {
        principal.require(Scope::ReadOrders)?;
        self.accounts.check_staff(principal, restaurant_id).await
    }

    /// Returns the orders on a restaurant's board, read from the store. The caller was authorized before.
    ///
    /// Reads the orders in parts, newest first, and stops at the limits of a board. So a board of any size is read in parts that
    /// each end within their timeout. If a part exceeds it, the part is read again in smaller parts.
    pub async fn board_orders(
        &self,
        restaurant_id: RestaurantId,
        timeout_of_read: Duration,
    ) -> Result<BoardOrders, Error> {
        let (mut reading, mut max_read) = (Reading::default(), MAX_READ);
        loop {
            let before = reading.orders.last().map(|oldest| oldest.order.id);
            let wanted = reading.wanted().min(max_read);
            let limit = u32::try_from(wanted).unwrap_or(u32::MAX);
            let read = self.store.open_orders(restaurant_id, &STATUSES, before, limit);
            let Ok(orders) = timeout(timeout_of_read, read).await else {
                // The store does not answer at all, or one order takes too long.
                if before.is_none() || wanted == 1 {
                    return Err(Error::Unavailable);
                }
                max_read = wanted.div_ceil(4);
                continue;
            };
            let orders = orders?;
            let is_last = orders.len() < wanted;
            for order in orders {
                if !reading.add(SizedOrder::new(order)?) {
                    return Ok(reading.finish(true));
                }
            }
            if is_last {
                return Ok(reading.finish(false));
            }
        }
    }

    /// Returns an order from the cache of recent orders, if it is cached at this version or a later one. An order in
    /// the cache was committed. Reads nothing, and does not count as a use of the cached order.
    pub fn recent_order(&self, id: OrderId, version: Version) -> Option<Arc<Order>> {
        self.recent.peek(id).filter(|order| order.version >= version)
    }
}
