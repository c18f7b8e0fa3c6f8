//! Events of an order's history, in the form of the feed.

use dabba_domain::{
    AccountId, OrderId, RestaurantId,
    order::{Event, Order, RecordedEvent},
};
use dabba_store::{FeedEvent, FeedPosition, StoreError};

/// What every event of an order has in common.
#[derive(Clone, Copy, Debug)]
pub struct RecordedOrder {
    pub(crate) id: OrderId,
    restaurant_id: RestaurantId,
    customer_id: AccountId,
    is_newer: bool,
}

impl RecordedOrder {
    /// Returns the common content of the events of an order.
    pub fn of(order: &Order) -> Self {
        Self {
            id: order.id,
            restaurant_id: order.details.restaurant_id,
            customer_id: order.details.customer_id,
            is_newer: order.is_written_by_newer,
        }
    }

    /// Returns an event of the order's history as the feed would contain it, without a position.
    pub fn feed_event(&self, recorded: &RecordedEvent) -> Result<FeedEvent, StoreError> {
        let corrupt = |error: serde_json::Error| {
            StoreError::Corrupt(format!("event {} of the order {}: {error}", recorded.version, self.id))
        };
        let data = match &recorded.event {
            Event::Unknown(unknown) => unknown.data.clone(),
            known => {
                serde_json::to_value(known).map_err(corrupt)?.get_mut("data").map(serde_json::Value::take)
            }
        };
        let data = data.filter(|data| data.as_object().is_none_or(|members| !members.is_empty()));
        Ok(FeedEvent {
            position: FeedPosition::START,
            order_id: self.id,
            restaurant_id: self.restaurant_id,
            customer_id: self.customer_id,
            version: recorded.version,
            at: recorded.at,
            name: recorded.event.name().into(),
            actor: serde_json::to_string(&recorded.actor).map_err(corrupt)?.into(),
            data: data.map(|data| data.to_string().into()),
            is_newer: self.is_newer,
        })
    }
}
