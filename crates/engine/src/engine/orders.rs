//! The use cases of orders, as methods of the engine. Each calls the method of the part.

use dabba_domain::{
    OrderId, RestaurantId,
    ledger::LedgerPosting,
    order::{AllowedAction, Order, OrderRequest, OrderStatus, PaymentMethod, RecordedEvent, Version},
    pricing::CartRef,
};
use dabba_store::{IdempotencyKey, OrderCursor, OrderPage, PageSize};

use crate::{Answer, CommandRequest, Engine, Error, Principal, Quote};

impl Engine {
    /// Calls [`crate::Orders::place`].
    pub fn place<'a>(
        &'a self,
        principal: &'a Principal,
        restaurant_id: RestaurantId,
        request: &'a OrderRequest,
        key: IdempotencyKey,
    ) -> impl Future<Output = Result<Answer, Error>> + Send + 'a {
        self.orders.place(principal, restaurant_id, request, key)
    }

    /// Calls [`crate::Orders::act`].
    pub fn act<'a>(
        &'a self,
        principal: &'a Principal,
        request: &'a CommandRequest,
    ) -> impl Future<Output = Result<Answer, Error>> + Send + 'a {
        self.orders.act(principal, request)
    }

    /// Calls [`crate::Orders::quote`].
    pub async fn quote(
        &self,
        restaurant_id: RestaurantId,
        cart: CartRef<'_>,
        payment_method: Option<PaymentMethod>,
    ) -> Result<Quote, Error> {
        self.orders.quote(restaurant_id, cart, payment_method).await
    }

    /// Calls [`crate::Orders::order`].
    pub async fn order(&self, principal: &Principal, id: OrderId) -> Result<Order, Error> {
        self.orders.order(principal, id).await
    }

    /// Calls [`crate::Orders::events`].
    pub async fn events(
        &self,
        principal: &Principal,
        id: OrderId,
        after: Version,
        limit: PageSize,
    ) -> Result<Vec<RecordedEvent>, Error> {
        self.orders.events(principal, id, after, limit).await
    }

    /// Calls [`crate::Orders::ledger`].
    pub async fn ledger(
        &self,
        principal: &Principal,
        id: OrderId,
    ) -> Result<(Order, Vec<LedgerPosting>), Error> {
        self.orders.ledger(principal, id).await
    }

    /// Calls [`crate::Orders::allowed_actions`].
    pub async fn allowed_actions(
        &self,
        principal: &Principal,
        order: &Order,
    ) -> Result<Vec<AllowedAction>, Error> {
        self.orders.allowed_actions(principal, order).await
    }

    /// Calls [`crate::Orders::own_orders`].
    pub async fn own_orders(
        &self,
        principal: &Principal,
        statuses: Vec<OrderStatus>,
        after: Option<OrderCursor>,
        limit: PageSize,
    ) -> Result<OrderPage, Error> {
        self.orders.own_orders(principal, statuses, after, limit).await
    }

    /// Calls [`crate::Orders::restaurant_orders`].
    pub async fn restaurant_orders(
        &self,
        principal: &Principal,
        restaurant_id: RestaurantId,
        statuses: Vec<OrderStatus>,
        after: Option<OrderCursor>,
        limit: PageSize,
    ) -> Result<OrderPage, Error> {
        self.orders.restaurant_orders(principal, restaurant_id, statuses, after, limit).await
    }
}
