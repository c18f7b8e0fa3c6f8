//! Use cases of a restaurant's board: the orders that its staff works on now.

use std::sync::Arc;

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Order, OrderStatus, Version},
};

use super::Orders;
use crate::{Error, Principal, Scope};

/// Maximum number of orders with which a board begins: the newest ones. More open orders are orders that nobody has
/// ended for a long time, because an order that waits for its acceptance expires.
pub const MAX_BOARD_ORDERS: u32 = 1_000;

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
    /// The newest orders, oldest first. At most [`MAX_BOARD_ORDERS`].
    pub orders: Vec<Arc<Order>>,
    /// Whether the restaurant has more orders in these statuses.
    pub is_truncated: bool,
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
    pub async fn board_orders(&self, restaurant_id: RestaurantId) -> Result<BoardOrders, Error> {
        let mut orders = self.store.open_orders(restaurant_id, &STATUSES, MAX_BOARD_ORDERS + 1).await?;
        let max = MAX_BOARD_ORDERS as usize;
        let is_truncated = orders.len() > max;
        orders.truncate(max);
        Ok(BoardOrders { orders: orders.into_iter().rev().map(Arc::new).collect(), is_truncated })
    }

    /// Returns an order from the cache of recent orders, if it is cached at this version or a later one. An order in
    /// the cache was committed. Reads nothing, and does not count as a use of the cached order.
    pub fn recent_order(&self, id: OrderId, version: Version) -> Option<Arc<Order>> {
        self.recent.peek(id).filter(|order| order.version >= version)
    }
}
