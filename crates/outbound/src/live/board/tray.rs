//! What waits for one board: the latest state of each order that has changed, and the latest state of the restaurant.
//!
//! A slow board coalesces: a later state of an order replaces the waiting one. So what waits is limited by the number
//! of orders, and not by the number of their changes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use dabba_domain::{OrderId, order::Order};

use super::{
    super::{
        buffer::Buffer,
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

/// The buffer of a board.
#[derive(Debug)]
pub(super) struct Tray {
    buffer: Buffer<Waiting>,
    rooms: Weak<Rooms>,
}

/// What waits for a board.
#[derive(Debug, Default)]
struct Waiting {
    orders: HashMap<OrderId, Arc<Order>>,
    /// The keys of `orders`, in the order of their first waiting changes.
    turns: VecDeque<OrderId>,
    kitchen: Option<Arc<Kitchen>>,
}

impl Waiting {
    /// Adds the state of an order, unless a later one waits.
    fn put_order(&mut self, order: &Arc<Order>) -> Result<(), EndReason> {
        if let Some(waiting) = self.orders.get_mut(&order.id) {
            if waiting.version < order.version {
                *waiting = Arc::clone(order);
            }
            return Ok(());
        }
        if self.orders.len() >= MAX_WAITING_ORDERS {
            return Err(EndReason::Lagging);
        }
        self.orders.insert(order.id, Arc::clone(order));
        self.turns.push_back(order.id);
        Ok(())
    }

    fn next_order(&mut self) -> Option<Arc<Order>> {
        while let Some(id) = self.turns.pop_front() {
            let order = self.orders.remove(&id);
            if self.turns.is_empty() {
                // An idle board keeps no buffer.
                (self.orders, self.turns) = Default::default();
            }
            if order.is_some() {
                return order;
            }
        }
        None
    }
}

impl Tray {
    pub(super) fn new(rooms: &Arc<Rooms>) -> Arc<Self> {
        Arc::new(Self { buffer: Buffer::default(), rooms: Arc::downgrade(rooms) })
    }

    /// Adds the state of an order, unless a later one waits.
    pub(super) fn put_order(&self, order: &Arc<Order>) {
        self.buffer.put(|waiting| waiting.put_order(order));
    }

    /// Replaces the state of the restaurant.
    pub(super) fn put_kitchen(&self, kitchen: &Arc<Kitchen>) {
        self.buffer.put(|waiting| {
            waiting.kitchen = Some(Arc::clone(kitchen));
            Ok(())
        });
    }

    /// Returns the reason for which the board ends, if it does.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.buffer.with(|_, end| end)
    }

    /// Returns the next delivery. A heartbeat precedes the orders, so that orders that change all the time do not delay
    /// it.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Delivery> {
        let next = self.buffer.poll(context, |waiting, is_beat_due| {
            if let Some(kitchen) = waiting.kitchen.take() {
                return Some(Delivery::Kitchen(kitchen));
            }
            if std::mem::take(is_beat_due) {
                return Some(Delivery::Beat);
            }
            waiting.next_order().map(Delivery::Order)
        });
        next.map(|delivery| delivery.unwrap_or_else(Delivery::End))
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
        self.buffer.beat();
    }

    fn end(&self, reason: EndReason) {
        self.buffer.end(reason);
    }
}
