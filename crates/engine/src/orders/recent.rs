//! Orders as commands of this process last left them, so that the next command on one reads nothing.
//!
//! What is decided on a remembered order is written only if the order is still at that version, which the store
//! checks in the same transaction; so a "yes" holds as well as if the order had been read. A "no" is never said
//! from memory: the order is read first.
//!
//! Where several processes change the same orders, memory is often behind, and a batch that holds a decision
//! that has to be made again is slower for all in it. So after one that was behind, nothing is remembered for a
//! while.

use std::sync::atomic::{AtomicU32, Ordering};

use dabba_domain::{
    OrderId,
    order::{Order, Version},
};
use moka::{policy::EvictionPolicy, sync::Cache};

use super::Answer;

/// After one that was behind, so many commands read their orders.
const READS_AFTER_STALE: u32 = 1_000;

pub(crate) struct RecentOrders {
    orders: Cache<OrderId, Order>,
    /// Commands that still have to read.
    reads: AtomicU32,
}

impl RecentOrders {
    pub(crate) fn new(capacity: u64) -> Self {
        // Those that were used last, not those that were used most: an order that has just been placed is yet to be
        // used.
        let orders = Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru()).build();
        Self { orders, reads: AtomicU32::new(0) }
    }

    /// The order as it was left, if that is remembered and to be relied on.
    pub(super) fn recall(&self, id: OrderId) -> Option<Order> {
        let one_less = |reads: u32| reads.checked_sub(1);
        if self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return None;
        }
        self.orders.get(&id)
    }

    /// Remembers an order as it has just been written. Of one at its end little more is asked.
    pub(super) fn remember_answer(&self, Answer { order, replayed }: &Answer) {
        if *replayed {
            return;
        }
        if order.status.is_terminal() {
            self.orders.invalidate(&order.id);
        } else {
            self.orders.insert(order.id, order.clone());
        }
    }

    /// Takes note that an order was not at this version any more. Unless a command of this process has moved it
    /// on meanwhile, others change orders as well.
    pub(super) fn was_stale(&self, id: OrderId, version: Version) {
        if self.orders.get(&id).is_some_and(|order| order.version == version) {
            self.orders.invalidate(&id);
            self.reads.store(READS_AFTER_STALE, Ordering::Relaxed);
        }
    }

    /// Forgets an order that something else than a command has changed.
    pub(crate) fn forget(&self, id: OrderId) {
        self.orders.invalidate(&id);
    }
}
