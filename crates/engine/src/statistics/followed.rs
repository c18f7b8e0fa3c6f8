//! The orders whose events are rolled up: the times of earlier events, which the values of later events need.

use std::collections::{HashMap, VecDeque};

use dabba_domain::{
    OrderId, Timestamp,
    order::{Event, RecordedEvent, Version},
};

/// Maximum number of followed orders of a shard. Beyond it, the order that was placed first is read from the store when
/// its next event needs it.
const MAX_FOLLOWED: usize = 50_000;

/// What the values of later events need of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    pub(super) placed_at: Timestamp,
    pub(super) confirmed_at: Option<Timestamp>,
    pub(super) ready_by: Option<Timestamp>,
    pub(super) has_ended: bool,
}

impl Followed {
    pub(super) const fn placed(at: Timestamp) -> Self {
        Self { placed_at: at, confirmed_at: None, ready_by: None, has_ended: false }
    }

    /// Returns what the events before a version state; `None` without events.
    pub(super) fn before(history: &[RecordedEvent], version: Version) -> Option<Self> {
        let mut followed = Self::placed(history.first()?.at);
        for recorded in history.iter().filter(|recorded| recorded.version < version) {
            match &recorded.event {
                Event::Confirmed { .. } => followed.confirmed_at = Some(recorded.at),
                Event::Accepted { ready_by, .. } => followed.ready_by = Some(*ready_by),
                Event::Delivered { .. }
                | Event::Cancelled { .. }
                | Event::Rejected { .. }
                | Event::Expired { .. }
                | Event::PaymentFailed { .. } => followed.has_ended = true,
                _ => {}
            }
        }
        Some(followed)
    }
}

/// The followed orders of a shard.
#[derive(Debug, Default)]
pub(super) struct FollowedOrders {
    orders: HashMap<OrderId, Followed>,
    /// The orders in the sequence of their insertion, including some that are no longer followed.
    inserted: VecDeque<OrderId>,
}

impl FollowedOrders {
    pub(super) fn get(&mut self, id: OrderId) -> Option<&mut Followed> {
        self.orders.get_mut(&id)
    }

    pub(super) fn insert(&mut self, id: OrderId, followed: Followed) {
        if self.orders.insert(id, followed).is_none() {
            self.inserted.push_back(id);
        }
        if self.inserted.len() > MAX_FOLLOWED
            && let Some(first) = self.inserted.pop_front()
        {
            self.orders.remove(&first);
        }
    }

    pub(super) fn remove(&mut self, id: OrderId) {
        self.orders.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use dabba_domain::Bucket;

    use super::*;

    fn id(number: u64) -> OrderId {
        OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::from_random(0), number << 2)
    }

    /// Proves that the memory is bounded however many orders never end, and that an order that is followed again is
    /// not inserted twice.
    #[test]
    fn the_number_of_followed_orders_is_limited() {
        let mut orders = FollowedOrders::default();
        let followed = Followed::placed(Timestamp::UNIX_EPOCH);
        let most = u64::try_from(MAX_FOLLOWED).unwrap();
        for number in 0..=most {
            orders.insert(id(number), followed);
            orders.insert(id(number), followed);
        }
        assert_eq!((orders.orders.len(), orders.inserted.len()), (MAX_FOLLOWED, MAX_FOLLOWED));
        assert_eq!(orders.get(id(0)), None);
        orders.remove(id(most));
        assert_eq!(orders.get(id(most)), None);
        assert!(orders.get(id(1)).is_some());
    }
}
