//! The streams of one shard, found by what they follow: an event reaches only the streams that follow its order, its
//! restaurant or the whole platform.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use dabba_domain::{OrderId, RestaurantId};
use dabba_store::FeedPosition;

use super::{
    event::LiveEvent,
    mailbox::{EndReason, Receiver},
};
use crate::TypeSet;

/// What a stream follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// All orders.
    Platform,
    /// The orders of a restaurant.
    Restaurant(RestaurantId),
    /// An order.
    Order(OrderId),
}

impl Topic {
    pub(super) fn contains(self, event: &LiveEvent) -> bool {
        match self {
            Self::Platform => true,
            Self::Restaurant(id) => event.event.restaurant_id == id,
            Self::Order(id) => event.event.order_id == id,
        }
    }
}

/// A stream in the index.
#[derive(Debug)]
pub(super) struct Entry {
    /// Number of the stream.
    pub(super) id: u64,
    /// The stream already has the events up to this position.
    pub(super) after: FeedPosition,
    pub(super) types: TypeSet,
    pub(super) receiver: Arc<dyn Receiver>,
}

impl Entry {
    /// Returns whether the stream goes on.
    fn deliver(&self, event: &Arc<LiveEvent>) -> bool {
        let wants = event.event.position > self.after && self.types.contains(&event.event.name);
        !wants || self.receiver.push(event)
    }
}

/// The streams of a shard.
#[derive(Debug, Default)]
pub(super) struct Index {
    platform: Vec<Entry>,
    by_restaurant: HashMap<RestaurantId, Vec<Entry>>,
    by_order: HashMap<OrderId, Vec<Entry>>,
}

impl Index {
    pub(super) fn insert(&mut self, topic: Topic, entry: Entry) {
        match topic {
            Topic::Platform => self.platform.push(entry),
            Topic::Restaurant(id) => self.by_restaurant.entry(id).or_default().push(entry),
            Topic::Order(id) => self.by_order.entry(id).or_default().push(entry),
        }
    }

    pub(super) fn remove(&mut self, topic: Topic, id: u64) {
        match topic {
            Topic::Platform => self.platform.retain(|entry| entry.id != id),
            Topic::Restaurant(restaurant) => remove(&mut self.by_restaurant, &restaurant, id),
            Topic::Order(order) => remove(&mut self.by_order, &order, id),
        }
    }

    /// Delivers an event to the streams that follow it.
    pub(super) fn route(&mut self, event: &Arc<LiveEvent>) {
        self.platform.retain(|entry| entry.deliver(event));
        route(&mut self.by_restaurant, &event.event.restaurant_id, event);
        route(&mut self.by_order, &event.event.order_id, event);
    }

    /// Ends every stream.
    pub(super) fn end_all(&mut self, reason: EndReason) {
        let Self { platform, by_restaurant, by_order } = std::mem::take(self);
        let others = by_restaurant.into_values().chain(by_order.into_values()).flatten();
        for entry in platform.into_iter().chain(others) {
            entry.receiver.end(reason);
        }
    }
}

fn route<K: Eq + Hash>(streams: &mut HashMap<K, Vec<Entry>>, key: &K, event: &Arc<LiveEvent>) {
    if let Some(entries) = streams.get_mut(key) {
        entries.retain(|entry| entry.deliver(event));
        if entries.is_empty() {
            streams.remove(key);
        }
    }
}

fn remove<K: Eq + Hash>(streams: &mut HashMap<K, Vec<Entry>>, key: &K, id: u64) {
    if let Some(entries) = streams.get_mut(key) {
        entries.retain(|entry| entry.id != id);
        if entries.is_empty() {
            streams.remove(key);
        }
    }
}
