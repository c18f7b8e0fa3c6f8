//! The orders that a board shows, and their sums.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use dabba_domain::{
    OrderId,
    order::{Order, Version},
};
use dabba_engine::is_on_board;

use super::BoardMessage;

/// Number of orders that left last whose versions a board keeps.
const MAX_GONE: usize = 64;

/// Sums over the orders that a board shows. A client whose sums differ has missed something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoardSums {
    /// Number of orders.
    pub open: usize,
    /// Sum of the versions.
    pub versions: u64,
    /// XOR of the last 32 bits of the ids.
    pub ids: u32,
}

/// The versions of the orders that a board shows, with their sums.
#[derive(Debug, Default)]
pub(super) struct Shown {
    versions: HashMap<OrderId, Version>,
    sums: BoardSums,
    /// The orders that left last. A state that was read before an order left must not bring it back.
    gone: VecDeque<(OrderId, Version)>,
}

impl Shown {
    pub(super) const fn sums(&self) -> BoardSums {
        self.sums
    }

    /// Records the state of an order that the board shows now.
    pub(super) fn insert(&mut self, order: &Order) {
        match self.versions.insert(order.id, order.version) {
            None => {
                self.sums.open += 1;
                self.sums.ids ^= last_bits(order.id);
            }
            Some(before) => self.sums.versions -= u64::from(before),
        }
        self.sums.versions += u64::from(order.version);
    }

    /// Records a state of an order. Returns the message of the change; `None` if there is none: the board shows the
    /// state or a later one already, or has never shown an order that is not for boards.
    pub(super) fn change(&mut self, order: Arc<Order>) -> Option<BoardMessage> {
        let left = || self.gone.iter().find(|(id, _)| *id == order.id).map(|(_, version)| *version);
        let known = self.versions.get(&order.id).copied().or_else(left);
        if known.is_some_and(|known| order.version <= known) {
            return None;
        }
        if is_on_board(order.status) {
            self.insert(&order);
            return Some(BoardMessage::Order(order));
        }
        self.remove(&order).then_some(BoardMessage::Gone(order))
    }

    /// Removes an order. Returns whether the board has shown it.
    fn remove(&mut self, order: &Order) -> bool {
        let Some(shown) = self.versions.remove(&order.id) else { return false };
        self.sums.open -= 1;
        self.sums.versions -= u64::from(shown);
        self.sums.ids ^= last_bits(order.id);
        self.gone.retain(|(id, _)| *id != order.id);
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back((order.id, order.version));
        true
    }
}

/// Returns the last 32 bits of an id.
fn last_bits(id: OrderId) -> u32 {
    let [.., a, b, c, d] = *id.uuid().as_bytes();
    u32::from_be_bytes([a, b, c, d])
}
