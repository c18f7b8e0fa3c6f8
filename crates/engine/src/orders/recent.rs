//! Orders as commands of this process last left them, so that the next command on one reads nothing.
//!
//! What is decided on a remembered order is written only if the order is still at that version, which the store
//! checks in the same transaction; so a "yes" holds as well as if the order had been read. A "no" is never said
//! from memory: the order is read first.
//!
//! Where several processes change the same orders, memory is often behind, and a batch that holds a decision
//! that has to be made again is slower for all in it. So after one that was behind, orders are read for a while.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use dabba_domain::{
    OrderId,
    order::{Order, Version},
};
use hashlink::LruCache;

/// After one that was behind, so many commands read their orders.
const READS_AFTER_STALE: u32 = 1_000;

pub(crate) struct RecentOrders {
    orders: Mutex<LruCache<OrderId, Arc<Order>>>,
    /// Commands that still have to read.
    reads: AtomicU32,
}

impl RecentOrders {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { orders: Mutex::new(LruCache::new(capacity.max(1))), reads: AtomicU32::new(0) }
    }

    /// The order as it was left, if that is remembered and to be relied on.
    pub(super) fn recall(&self, id: OrderId) -> Option<Arc<Order>> {
        let one_less = |reads: u32| reads.checked_sub(1);
        if self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return None;
        }
        self.lock().get(&id).cloned()
    }

    /// Remembers an order as it has just been written, in the place of the one that was used longest ago. Of one
    /// at its end little more is asked.
    pub(crate) fn remember(&self, order: Arc<Order>) {
        if order.status.is_terminal() {
            return self.forget(order.id);
        }
        let mut orders = self.lock();
        // Of two that two committers write, the earlier may come here later.
        if orders.peek(&order.id).is_some_and(|known| known.version > order.version) {
            return;
        }
        let oldest = if orders.len() == orders.capacity() { orders.remove_lru() } else { None };
        let earlier = orders.insert(order.id, order);
        drop(orders);
        // It takes a while to drop them, and others need not wait for that.
        drop((oldest, earlier));
    }

    /// Takes note that an order was not at this version any more. Unless a command of this process has moved it
    /// on meanwhile, others change orders as well.
    pub(super) fn was_stale(&self, id: OrderId, version: Version) {
        let mut orders = self.lock();
        if orders.peek(&id).is_some_and(|order| order.version == version) {
            orders.remove(&id);
            self.reads.store(READS_AFTER_STALE, Ordering::Relaxed);
        }
    }

    /// Forgets an order that something else than a command has changed.
    pub(crate) fn forget(&self, id: OrderId) {
        let forgotten = self.lock().remove(&id);
        drop(forgotten);
    }

    /// Not to be held across a wait.
    fn lock(&self) -> MutexGuard<'_, LruCache<OrderId, Arc<Order>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
