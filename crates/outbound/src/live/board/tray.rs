//! What waits for one board: the latest state of each order that has changed, and the latest state of the restaurant.
//!
//! A slow board coalesces: a later state of an order replaces the waiting one. So what waits is limited by the number
//! of orders, and not by the number of their changes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use dabba_domain::{OrderId, order::Order};

use super::{
    super::{
        event::LiveEvent,
        mailbox::{EndReason, Receiver},
    },
    kitchen::Kitchen,
    rooms::Rooms,
};

/// Maximum number of orders whose changes wait for a board. Beyond it the board ends as lagging.
pub const MAX_WAITING_ORDERS: usize = 2_000;

/// What a tray delivers.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The state of an order after a change.
    Order(Arc<Order>),
    /// The state of the restaurant, its menu and its stock after a change.
    Kitchen(Arc<Kitchen>),
    /// It is time for a heartbeat.
    Beat,
    /// The board ends.
    End(EndReason),
}

/// The buffer of a board. It has one reader.
#[derive(Debug)]
pub(super) struct Tray {
    state: Mutex<State>,
    rooms: Weak<Rooms>,
}

#[derive(Debug, Default)]
struct State {
    orders: HashMap<OrderId, Arc<Order>>,
    /// The keys of `orders`, in the order of their first waiting changes.
    turns: VecDeque<OrderId>,
    kitchen: Option<Arc<Kitchen>>,
    is_beat_due: bool,
    end: Option<EndReason>,
    waker: Option<Waker>,
}

impl Tray {
    pub(super) fn new(rooms: &Arc<Rooms>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), rooms: Arc::downgrade(rooms) })
    }

    /// Adds the state of an order, unless a later one waits.
    pub(super) fn put_order(&self, order: &Arc<Order>) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        if let Some(waiting) = state.orders.get_mut(&order.id) {
            if waiting.version < order.version {
                *waiting = Arc::clone(order);
            }
            return;
        }
        if state.orders.len() >= MAX_WAITING_ORDERS {
            return Self::finish(state, EndReason::Lagging);
        }
        state.orders.insert(order.id, Arc::clone(order));
        state.turns.push_back(order.id);
        Self::wake(state);
    }

    /// Replaces the state of the restaurant.
    pub(super) fn put_kitchen(&self, kitchen: &Arc<Kitchen>) {
        let mut state = self.lock();
        if state.end.is_none() {
            state.kitchen = Some(Arc::clone(kitchen));
            Self::wake(state);
        }
    }

    /// Returns the reason for which the board ends, if it does.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.lock().end
    }

    /// Returns the next delivery. A heartbeat precedes the orders, so that orders that change all the time do not delay
    /// it.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Delivery> {
        let mut state = self.lock();
        if let Some(reason) = state.end {
            return Poll::Ready(Delivery::End(reason));
        }
        if let Some(kitchen) = state.kitchen.take() {
            return Poll::Ready(Delivery::Kitchen(kitchen));
        }
        if std::mem::take(&mut state.is_beat_due) {
            return Poll::Ready(Delivery::Beat);
        }
        while let Some(id) = state.turns.pop_front() {
            let order = state.orders.remove(&id);
            if state.turns.is_empty() {
                // An idle board keeps no buffer.
                (state.orders, state.turns) = Default::default();
            }
            if let Some(order) = order {
                return Poll::Ready(Delivery::Order(order));
            }
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    fn finish(mut state: MutexGuard<'_, State>, reason: EndReason) {
        if state.end.is_none() {
            let waker = state.waker.take();
            *state = State { end: Some(reason), waker, ..State::default() };
            Self::wake(state);
        }
    }

    fn wake(mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver for Tray {
    /// Records in the shard's rooms that an order has changed: its state is read once for all boards.
    fn push(&self, event: &Arc<LiveEvent>) -> bool {
        if self.end_reason().is_some() {
            return false;
        }
        if let Some(rooms) = self.rooms.upgrade() {
            rooms.order_changed(&event.event);
        }
        true
    }

    fn beat(&self) {
        let mut state = self.lock();
        state.is_beat_due = true;
        Self::wake(state);
    }

    fn end(&self, reason: EndReason) {
        Self::finish(self.lock(), reason);
    }
}
