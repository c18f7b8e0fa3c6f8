//! Notifications that a restaurant's catalogue or stock has changed, to the parts of this process that show them.
//!
//! The cache of catalogues notifies when it replaces an entry, whatever the reason: a change of this process, or one of
//! another process that polling or a hint has found. An index by restaurant routes the notifications.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use dabba_domain::RestaurantId;

/// Is notified of changes of a restaurant's catalogue and stock.
pub trait CatalogueListener: Send + Sync {
    /// The cached catalogue was replaced or evicted, or this process has changed the stock. Must not wait.
    fn catalogue_changed(&self, id: RestaurantId);
}

type Listeners = HashMap<RestaurantId, Vec<(u64, Weak<dyn CatalogueListener>)>>;

/// The listeners of each restaurant.
#[derive(Default)]
pub(crate) struct CatalogueSignals {
    listeners: Mutex<Listeners>,
    next_id: AtomicU64,
}

impl CatalogueSignals {
    /// Notifies the listeners of a restaurant.
    pub(crate) fn changed(&self, id: RestaurantId) {
        // The listeners run without the lock, because they take locks of their own.
        let listeners: Vec<_> = match self.lock().get(&id) {
            Some(listeners) => listeners.iter().filter_map(|(_, listener)| listener.upgrade()).collect(),
            None => return,
        };
        for listener in listeners {
            listener.catalogue_changed(id);
        }
    }

    pub(crate) fn subscribe(
        self: &Arc<Self>,
        restaurant_id: RestaurantId,
        listener: Weak<dyn CatalogueListener>,
    ) -> CatalogueSubscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.lock().entry(restaurant_id).or_default().push((id, listener));
        CatalogueSubscription { signals: Arc::clone(self), restaurant_id, id }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a listener subscribed. Dropping it ends the subscription.
#[must_use]
pub struct CatalogueSubscription {
    signals: Arc<CatalogueSignals>,
    restaurant_id: RestaurantId,
    id: u64,
}

impl Drop for CatalogueSubscription {
    fn drop(&mut self) {
        let mut listeners = self.signals.lock();
        if let Some(of_restaurant) = listeners.get_mut(&self.restaurant_id) {
            of_restaurant.retain(|(id, _)| *id != self.id);
            if of_restaurant.is_empty() {
                listeners.remove(&self.restaurant_id);
            }
        }
    }
}

impl fmt::Debug for CatalogueSubscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CatalogueSubscription")
            .field("restaurant_id", &self.restaurant_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use dabba_domain::{Bucket, Timestamp};

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl CatalogueListener for Counter {
        fn catalogue_changed(&self, _: RestaurantId) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Proves that a change reaches the listeners of its restaurant and no others, and that nothing remains of an ended
    /// subscription.
    #[test]
    fn a_change_reaches_the_listeners_of_its_restaurant() {
        let id = |random: u64| RestaurantId::generate(Timestamp::UNIX_EPOCH, Bucket::FIRST, random << 2);
        let signals = Arc::<CatalogueSignals>::default();
        let counters = [(); 3].map(|()| Arc::<Counter>::default());
        let listen = |counter: &Arc<Counter>, restaurant| {
            let listener: Weak<Counter> = Arc::downgrade(counter);
            signals.subscribe(restaurant, listener)
        };
        let first = listen(&counters[0], id(1));
        let second = listen(&counters[1], id(1));
        let other = listen(&counters[2], id(2));
        let counts = || counters.each_ref().map(|counter| counter.0.load(Ordering::Relaxed));
        signals.changed(id(1));
        assert_eq!(counts(), [1, 1, 0]);
        drop(first);
        signals.changed(id(1));
        signals.changed(id(3));
        assert_eq!(counts(), [1, 2, 0]);
        drop((second, other));
        signals.changed(id(1));
        assert_eq!(counts(), [1, 2, 0]);
        assert!(signals.lock().is_empty());
    }
}
