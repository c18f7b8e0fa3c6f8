//! The orders in webhooks: the representation of `GET /v1/orders/{order_id}`.

use std::sync::Arc;

use async_trait::async_trait;
use dabba_domain::{Actor, order::Order};
use dabba_engine::{Engine, Orders};
use dabba_outbound::{
    public::{Audience, PublicOrder},
    webhooks::OrderRenderer,
};
use serde_json::value::{RawValue, to_raw_value};

/// Represents the orders in webhooks as the API shows them to the owner of the endpoint.
pub struct WebhookOrders {
    orders: Arc<Orders>,
}

impl WebhookOrders {
    /// Returns the representation with the settings of the engine's restaurants.
    pub fn new(engine: &Engine) -> Arc<Self> {
        Arc::new(Self { orders: Arc::clone(&engine.orders) })
    }
}

#[async_trait]
impl OrderRenderer for WebhookOrders {
    async fn render(&self, order: &Order, viewer: &Actor) -> Result<Box<RawValue>, String> {
        // The restaurant's refund limit decides whether its staff may refund.
        let allowed = self.orders.allowed_actions_of(viewer, order).await.map_err(|error| {
            tracing::warn!(order = %order.id, %error, "the settings of a restaurant cannot be read for a webhook");
            "the settings of its restaurant cannot be read".to_owned()
        })?;
        let body = PublicOrder::new(order, allowed, Audience::of_actor(viewer));
        to_raw_value(&body).map_err(|error| error.to_string())
    }
}
