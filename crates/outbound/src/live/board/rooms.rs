//! The boards of a shard's restaurants, and what has changed for them and is not read yet.
//!
//! The boards of a restaurant share its room. A change is recorded once per room, read once by the shard's reader, and
//! put into the tray of each board.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use dabba_domain::{
    OrderId, RestaurantId,
    order::{Order, Version},
};
use dabba_engine::{CatalogueListener, CatalogueSubscription, Engine};
use dabba_store::FeedEvent;
use tokio::{sync::Notify, time::Instant};

use super::{
    super::mailbox::{EndReason, Receiver as _},
    kitchen::Kitchen,
    tray::Tray,
};

/// Maximum number of orders of a shard that have changed and are not read yet. Beyond it, the boards of the restaurants
/// whose orders change end as lagging.
pub const MAX_UNREAD_ORDERS: usize = 10_000;

/// The rooms of a shard.
#[derive(Debug, Default)]
pub(in crate::live) struct Rooms {
    state: Mutex<State>,
    /// Notified when orders have changed.
    pub(super) orders_due: Notify,
    /// Notified when a restaurant, its menu or its stock has changed.
    pub(super) kitchens_due: Notify,
}

#[derive(Debug, Default)]
struct State {
    rooms: HashMap<RestaurantId, Room>,
    /// Orders that have changed and are not read yet.
    unread: HashMap<OrderId, Unread>,
}

/// The boards of a restaurant.
#[derive(Debug)]
struct Room {
    trays: HashMap<u64, Arc<Tray>>,
    /// Whether the restaurant must be read again.
    is_due: bool,
    /// Whether orders may change the stock that the boards show.
    has_stock: bool,
    _subscription: CatalogueSubscription,
}

/// An order that has changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    pub(super) restaurant_id: RestaurantId,
    /// The version of the latest change that was published.
    pub(super) version: Version,
    /// Time of the first change that is not read.
    since: Instant,
}

/// The seat of a board in its room. Dropping it leaves the room.
#[derive(Debug)]
pub(super) struct Seat {
    rooms: Arc<Rooms>,
    restaurant_id: RestaurantId,
    id: u64,
}

impl Seat {
    /// Returns whether no change of the restaurant's orders has waited to be read for this time.
    pub(super) fn is_read(&self, within: Duration) -> bool {
        self.rooms.is_read(self.restaurant_id, within)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.rooms.leave(self.restaurant_id, self.id);
    }
}

impl Rooms {
    /// Adds a board, which receives every change from now on.
    pub(super) fn join(
        self: &Arc<Self>,
        engine: &Engine,
        restaurant_id: RestaurantId,
        id: u64,
        tray: &Arc<Tray>,
    ) -> Seat {
        let mut state = self.lock();
        let room = state.rooms.entry(restaurant_id).or_insert_with(|| {
            let listener: Weak<Self> = Arc::downgrade(self);
            let subscription = engine.catalogue.subscribe(restaurant_id, listener);
            Room { trays: HashMap::new(), is_due: false, has_stock: false, _subscription: subscription }
        });
        room.trays.insert(id, Arc::clone(tray));
        Seat { rooms: Arc::clone(self), restaurant_id, id }
    }

    fn leave(&self, restaurant_id: RestaurantId, id: u64) {
        let mut state = self.lock();
        let Some(room) = state.rooms.get_mut(&restaurant_id) else { return };
        room.trays.remove(&id);
        if room.trays.is_empty() {
            let room = state.rooms.remove(&restaurant_id);
            state.unread.retain(|_, unread| unread.restaurant_id != restaurant_id);
            // The subscription ends after the lock is released.
            drop(state);
            drop(room);
        }
    }

    /// Records that an order has changed.
    pub(super) fn order_changed(&self, event: &FeedEvent) {
        let FeedEvent { restaurant_id, order_id, version, .. } = *event;
        let mut state = self.lock();
        let State { rooms, unread } = &mut *state;
        let Some(room) = rooms.get_mut(&restaurant_id) else { return };
        if room.has_stock && !room.is_due {
            room.is_due = true;
            self.kitchens_due.notify_one();
        }
        if unread.len() >= MAX_UNREAD_ORDERS && !unread.contains_key(&order_id) {
            let trays: Vec<_> = room.trays.values().map(Arc::clone).collect();
            drop(state);
            return end_all(&trays, EndReason::Lagging);
        }
        let latest = unread.entry(order_id).or_insert_with(|| Unread {
            restaurant_id,
            version,
            since: Instant::now(),
        });
        latest.version = latest.version.max(version);
        drop(state);
        self.orders_due.notify_one();
    }

    /// Returns the orders that have changed and are not read yet.
    pub(super) fn unread(&self) -> Vec<(OrderId, Unread)> {
        self.lock().unread.iter().map(|(id, unread)| (*id, *unread)).collect()
    }

    /// Gives the state of an order that was read to the boards of its restaurant. The order must be read again if it has
    /// changed since.
    pub(super) fn deliver(&self, order: &Arc<Order>) {
        let mut state = self.lock();
        if state.unread.get(&order.id).is_some_and(|unread| unread.version <= order.version) {
            state.unread.remove(&order.id);
        }
        let trays = state.trays(order.details.restaurant_id);
        drop(state);
        for tray in trays {
            tray.put_order(order);
        }
    }

    /// Gives an order up whose published state cannot be read. With a reason, the boards of its restaurant end, because
    /// they would miss a change.
    pub(super) fn give_up(&self, id: OrderId, reason: Option<EndReason>) {
        let mut state = self.lock();
        let Some(unread) = state.unread.remove(&id) else { return };
        let trays = state.trays(unread.restaurant_id);
        drop(state);
        if let Some(reason) = reason {
            end_all(&trays, reason);
        }
    }

    /// Returns whether no change of a restaurant's orders has waited to be read for this time.
    fn is_read(&self, id: RestaurantId, within: Duration) -> bool {
        let is_late = |unread: &Unread| unread.restaurant_id == id && unread.since.elapsed() >= within;
        !self.lock().unread.values().any(is_late)
    }

    /// Makes every restaurant due: for changes that nothing notifies.
    pub(super) fn all_kitchens_due(&self) {
        let mut state = self.lock();
        for room in state.rooms.values_mut() {
            room.is_due = true;
        }
    }

    /// Returns the restaurants that must be read again, and records that they are read.
    pub(super) fn take_due_kitchens(&self) -> Vec<RestaurantId> {
        let mut state = self.lock();
        let due =
            state.rooms.iter_mut().filter_map(|(id, room)| std::mem::take(&mut room.is_due).then_some(*id));
        due.collect()
    }

    /// Gives the state of a restaurant that was read to its boards.
    pub(super) fn deliver_kitchen(&self, id: RestaurantId, kitchen: &Arc<Kitchen>) {
        let mut state = self.lock();
        if let Some(room) = state.rooms.get_mut(&id) {
            room.has_stock = kitchen.has_stock();
        }
        let trays = state.trays(id);
        drop(state);
        for tray in trays {
            tray.put_kitchen(kitchen);
        }
    }

    /// Records that orders may change the stock that the boards of a restaurant show. The stock is read again, because
    /// orders may have changed it since it was read for the new board.
    pub(super) fn has_stock(&self, id: RestaurantId) {
        let mut state = self.lock();
        if let Some(room) = state.rooms.get_mut(&id)
            && !room.has_stock
        {
            (room.has_stock, room.is_due) = (true, true);
            drop(state);
            self.kitchens_due.notify_one();
        }
    }

    /// The lock is never held while anything waits, nor while a tray is locked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trays(&self, id: RestaurantId) -> Vec<Arc<Tray>> {
        self.rooms.get(&id).map(|room| room.trays.values().map(Arc::clone).collect()).unwrap_or_default()
    }
}

fn end_all(trays: &[Arc<Tray>], reason: EndReason) {
    for tray in trays {
        tray.end(reason);
    }
}

impl CatalogueListener for Rooms {
    fn catalogue_changed(&self, id: RestaurantId) {
        let mut state = self.lock();
        if let Some(room) = state.rooms.get_mut(&id) {
            room.is_due = true;
            drop(state);
            self.kitchens_due.notify_one();
        }
    }
}
