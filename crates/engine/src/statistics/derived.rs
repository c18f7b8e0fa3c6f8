//! The values that follow from the events of a feed.

use std::collections::BTreeMap;

use dabba_domain::{
    Timestamp,
    order::Event,
    statistics::{Minute, Statistic, Tally},
};
use dabba_store::{FeedEvent, StatisticsKey, StatisticsRow, Store, StoreError};

use super::followed::{Followed, FollowedOrders};

/// Maximum number of events of an order that are read to learn the times of earlier events. An order is delivered or
/// has ended after fewer events.
const MAX_HISTORY: u32 = 200;

/// Meaning of an event for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Placed,
    Confirmed,
    Accepted,
    Ready,
    Delivered,
    /// An early end.
    Ended,
    /// An early end, unless the order has ended before.
    PaymentFailed,
}

impl Step {
    /// Returns the meaning of the event with this name; `None` for an event without influence.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "placed" => Self::Placed,
            "confirmed" => Self::Confirmed,
            "accepted" => Self::Accepted,
            "marked_ready" => Self::Ready,
            "delivered" => Self::Delivered,
            "cancelled" | "rejected" | "expired" => Self::Ended,
            "payment_failed" => Self::PaymentFailed,
            _ => return None,
        })
    }
}

/// Values per minute that follow from events.
#[derive(Debug, Default)]
pub(super) struct Derived(BTreeMap<(Minute, Statistic), Tally>);

impl Derived {
    /// Adds what follows from an event. An event that cannot be decoded, or whose order cannot be, is left out: it would
    /// prevent all later ones from being counted.
    pub(super) async fn add(
        &mut self,
        store: &dyn Store,
        orders: &mut FollowedOrders,
        event: &FeedEvent,
    ) -> Result<(), StoreError> {
        let Some(step) = Step::of(&event.name) else { return Ok(()) };
        match self.add_step(store, orders, event, step).await {
            Err(error @ (StoreError::Corrupt(_) | StoreError::WrittenByNewer(_))) => {
                tracing::warn!(%error, order_id = %event.order_id, version = event.version, "an event is left out of the statistics");
                Ok(())
            }
            added => added,
        }
    }

    async fn add_step(
        &mut self,
        store: &dyn Store,
        orders: &mut FollowedOrders,
        event: &FeedEvent,
        step: Step,
    ) -> Result<(), StoreError> {
        let (id, at) = (event.order_id, event.at);
        match step {
            Step::Placed => {
                self.count(at, Statistic::OrdersPlaced);
                orders.insert(id, Followed::placed(at));
            }
            Step::Confirmed => {
                if let Some(followed) = orders.get(id) {
                    followed.confirmed_at = Some(at);
                }
            }
            Step::Accepted => {
                let decoded = event.decode()?.event;
                let followed = followed(store, orders, event).await?;
                if let Event::Accepted { ready_by, .. } = decoded {
                    followed.ready_by = Some(ready_by);
                }
                self.measure(at, Statistic::AcceptanceTime, followed.confirmed_at);
            }
            Step::Ready => {
                let promised = followed(store, orders, event).await?.ready_by;
                self.measure(at, Statistic::Lateness, promised);
            }
            Step::Delivered => {
                self.count(at, Statistic::OrdersDelivered);
                let placed_at = followed(store, orders, event).await?.placed_at;
                self.measure(at, Statistic::DeliveryTime, Some(placed_at));
                orders.remove(id);
            }
            Step::Ended => {
                self.count(at, Statistic::OrdersCancelled);
                orders.remove(id);
            }
            Step::PaymentFailed => {
                if !followed(store, orders, event).await?.has_ended {
                    self.count(at, Statistic::OrdersCancelled);
                }
                orders.remove(id);
            }
        }
        Ok(())
    }

    fn count(&mut self, at: Timestamp, statistic: Statistic) {
        self.merge(at, statistic, &Tally::one());
    }

    /// Adds the time since `since`, which is 0 if `since` is later. Without `since`, there is nothing to measure.
    fn measure(&mut self, at: Timestamp, statistic: Statistic, since: Option<Timestamp>) {
        let Some(since) = since else { return };
        let microseconds = u64::try_from(at.duration_since(since).as_micros()).unwrap_or(0);
        self.merge(at, statistic, &Tally::duration(microseconds));
    }

    fn merge(&mut self, at: Timestamp, statistic: Statistic, tally: &Tally) {
        self.0.entry((Minute::of(at), statistic)).or_default().merge(tally);
    }

    /// Returns the values as rows.
    pub(super) fn into_rows(self) -> Vec<StatisticsRow> {
        let row = |((minute, statistic), tally)| StatisticsRow {
            key: StatisticsKey::of_shard(minute, statistic),
            tally,
        };
        self.0.into_iter().map(row).collect()
    }
}

/// Returns what is known of the order before an event. Reads the order's events if it is not followed: it was placed
/// before this process began to roll up, or has ended.
async fn followed<'a>(
    store: &dyn Store,
    orders: &'a mut FollowedOrders,
    event: &FeedEvent,
) -> Result<&'a mut Followed, StoreError> {
    let missing = || {
        StoreError::Corrupt(format!(
            "the order {} has no event before its event {}",
            event.order_id, event.version
        ))
    };
    if orders.get(event.order_id).is_none() {
        let history = store.events(event.order_id, 0, MAX_HISTORY).await?;
        let before = Followed::before(&history, event.version).ok_or_else(missing)?;
        orders.insert(event.order_id, before);
    }
    orders.get(event.order_id).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that every name that has a meaning is the name of an event.
    #[test]
    fn every_step_is_an_event() {
        let steps: Vec<_> = Event::NAMES.iter().filter_map(|name| Step::of(name)).collect();
        assert_eq!(steps.len(), 9);
        for step in [
            Step::Placed,
            Step::Confirmed,
            Step::Accepted,
            Step::Ready,
            Step::Delivered,
            Step::Ended,
            Step::PaymentFailed,
        ] {
            assert!(steps.contains(&step), "{step:?}");
        }
    }
}
