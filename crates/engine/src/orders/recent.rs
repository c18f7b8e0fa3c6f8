//! Cache of orders as commands of this process last wrote them, so that the next command on such an order reads
//! nothing.
//!
//! A decision on a cached order is written only if the order is still at that version; the store checks the version in
//! the same transaction. So accepting a command from the cache is as safe as after a read. Dabba reads the order again
//! before it refuses a command, because a refusal is not written and nothing would check it.
//!
//! When several processes change the same orders, cached orders are often stale, and a batch with a decision that has
//! to be made again is slower for all its commits. So after a stale hit, a number of commands bypass the cache.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use dabba_domain::{
    OrderId,
    order::{Order, Version},
};
use hashlink::LruCache;

/// Number of commands that bypass the cache after a stale hit.
const BYPASSES_AFTER_STALE: u32 = 1_000;

pub(crate) struct RecentOrders {
    orders: Mutex<LruCache<OrderId, Arc<Order>>>,
    /// Number of commands that still bypass the cache.
    bypasses: AtomicU32,
}

impl RecentOrders {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { orders: Mutex::new(LruCache::new(capacity.max(1))), bypasses: AtomicU32::new(0) }
    }

    /// Returns the cached order; `None` if it is not cached or the cache is bypassed.
    pub(super) fn get(&self, id: OrderId) -> Option<Arc<Order>> {
        let decrement = |bypasses: u32| bypasses.checked_sub(1);
        if self.bypasses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement).is_ok() {
            return None;
        }
        self.lock().get(&id).cloned()
    }

    /// Returns the cached order, also while the cache is bypassed, and without making it the most recently used one.
    pub(super) fn peek(&self, id: OrderId) -> Option<Arc<Order>> {
        self.lock().peek(&id).map(Arc::clone)
    }

    /// Caches an order as just written, and evicts the least recently used one if the cache is full. An ended order is
    /// removed instead, because few further commands concern it.
    pub(crate) fn insert(&self, order: Arc<Order>) {
        if order.status.is_terminal() {
            return self.remove(order.id);
        }
        let mut orders = self.lock();
        // When two committers write versions of the same order, the earlier version may arrive later.
        if orders.peek(&order.id).is_some_and(|known| known.version > order.version) {
            return;
        }
        let oldest = if orders.len() == orders.capacity() { orders.remove_lru() } else { None };
        let earlier = orders.insert(order.id, order);
        drop(orders);
        // Dropping the orders takes time, so they are dropped after the lock is released.
        drop((oldest, earlier));
    }

    /// Records that an order was no longer at this version. If the cache still contains this version, another process
    /// changed the order, and the cache is bypassed for a while.
    pub(super) fn mark_stale(&self, id: OrderId, version: Version) {
        let mut orders = self.lock();
        if orders.peek(&id).is_some_and(|order| order.version == version) {
            orders.remove(&id);
            self.bypasses.store(BYPASSES_AFTER_STALE, Ordering::Relaxed);
        }
    }

    /// Removes an order that something other than a command has changed.
    pub(crate) fn remove(&self, id: OrderId) {
        let removed = self.lock().remove(&id);
        drop(removed);
    }

    /// The lock must not be held across an `await`.
    fn lock(&self) -> MutexGuard<'_, LruCache<OrderId, Arc<Order>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
